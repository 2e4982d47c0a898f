"""What a run says while it goes on: a bar on a terminal, one line for each epoch elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from gradcheck.mnist.loop import Metrics

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rich.progress import Progress

__all__ = ["Bar", "Lines", "Silence", "describe", "reporter"]


class Silence:
    """Says nothing; the form of a reporter, which is a context manager that hears of each step and epoch."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the terminal back."""

    def step(self, step: int, loss: float) -> None:
        """Hear that `step` updates are done, the last one with the loss `loss`."""

    def epoch(self, metrics: Metrics) -> None:
        """Hear what was measured at the end of an epoch."""


class Lines(Silence):
    """Prints one line for each epoch: what a log file wants."""

    def __init__(self, epochs: int, file: TextIO) -> None:
        self._epochs, self._file = epochs, file

    def epoch(self, metrics: Metrics) -> None:
        """Print the line of an epoch at once, also into a pipe."""
        print(describe(metrics, self._epochs), file=self._file, flush=True)


class Bar(Silence):
    """Shows a bar of the whole run, by rich, with the lines of the finished epochs above it."""

    def __init__(self, epochs: int, total_steps: int, progress: Progress) -> None:
        self._epochs, self._progress = epochs, progress
        self._task = progress.add_task("training", total=total_steps, loss=float("nan"))
        # Drawn ten times a second anyway: to tell rich of 60,000 steps an epoch would take longer than they do.
        self._every = max(1, total_steps // 1000)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take the bar away and leave the lines."""
        self._progress.stop()

    def step(self, step: int, loss: float) -> None:
        """Move the bar."""
        if step % self._every == 0:
            self._progress.update(self._task, completed=step, loss=loss)

    def epoch(self, metrics: Metrics) -> None:
        """Print the line of an epoch above the bar."""
        self._progress.console.print(describe(metrics, self._epochs), highlight=False)


def describe(metrics: Metrics, epochs: int) -> str:
    """Put the metrics of an epoch in one line.

    Examples
    --------
    >>> print(describe(Metrics(3, 1407, 0.0712, 0.0801, 0.9752, 0.0027, {"W1": 20.0}, 1.44), epochs=10))
    epoch  3/10  train loss 0.0712  test loss 0.0801  accuracy 97.52 %  learning rate 0.0027  1.4 s
    """
    train_loss = "     -" if metrics.train_loss is None else f"{metrics.train_loss:6.4f}"
    rate = "-" if metrics.learning_rate is None else f"{metrics.learning_rate:.2g}"
    return (
        f"epoch {metrics.epoch:{len(str(epochs))}}/{epochs}  train loss {train_loss}  "
        f"test loss {metrics.test_loss:6.4f}  accuracy {100 * metrics.test_accuracy:5.2f} %  "
        f"learning rate {rate}  {metrics.seconds:.1f} s"
    )


def reporter(
    epochs: int,
    total_steps: int,
    file: TextIO | None = None,
    environment: Mapping[str, str] | None = None,
) -> Silence:
    """Choose what suits `file`: a bar on a terminal that can show one, if rich is there, and else lines.

    Parameters
    ----------
    epochs, total_steps : int
        Of the whole run.
    file : text file, optional
        By default standard output.
    environment : mapping, optional
        By default ``os.environ``. ``CI`` and ``TERM=dumb`` ask for lines; ``NO_COLOR`` for a bar without colours.
    """
    file = sys.stdout if file is None else file
    environment = os.environ if environment is None else environment
    if file.isatty() and not environment.get("CI") and environment.get("TERM") != "dumb":
        progress = _rich_progress(file, no_color=bool(environment.get("NO_COLOR")))
        if progress is not None:
            return Bar(epochs, total_steps, progress)
    return Lines(epochs, file)


def _rich_progress(file: TextIO, *, no_color: bool) -> Progress | None:
    try:
        from rich import console, progress
    except ImportError:
        return None
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("loss {task.fields[loss]:.4f}"),
        progress.TimeRemainingColumn(),
        console=console.Console(file=file, no_color=no_color),
        transient=True,
    )
