"""The training loop. Every number in it that is a gradient comes from `gradcheck.derivations.mlp`.

A run is reproducible to the bit on one machine with one installation and one number of BLAS threads (which decides how
a matrix product is cut up, and so how it is rounded). Its randomness is two streams of one `numpy.random.SeedSequence`,
one for the weights and one for each epoch's order of digits. Since the order of epoch n follows from the seed and n
alone, a `State` is enough to go on from, in the midst of an epoch too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from math import isfinite
from time import perf_counter

import numpy as np

from gradcheck.derivations import softmax_nll
from gradcheck.errors import InvalidArgument, TrainingDiverged
from gradcheck.mnist.config import Config
from gradcheck.mnist.data import Digits
from gradcheck.mnist.losses import Array, Loss
from gradcheck.mnist.model import Model
from gradcheck.mnist.objective import nan_where_overflown, objective, select, untrained
from gradcheck.mnist.optim import Arrays, find_optimiser
from gradcheck.mnist.schedule import SCHEDULES

__all__ = ["Metrics", "Result", "State", "Training", "train"]


@dataclass(frozen=True, eq=False)
class State:
    """Where a run stands after a whole number of steps."""

    step: int
    params: Arrays
    memory: Arrays
    """What the optimiser remembers."""
    summed_loss: float
    """Over the digits that the present epoch has visited, each with the parameters it met."""


@dataclass(frozen=True)
class Metrics:
    """What was measured at the end of an epoch; epoch 0 is before the first step.

    Losses are in nats for each digit. Two runs of one seed have equal metrics, `seconds` aside.
    """

    epoch: int
    step: int
    """Updates so far."""
    train_loss: float | None
    """Mean over the epoch, penalty included, each digit with the parameters it met. None for epoch 0."""
    test_loss: float
    """Without the penalty, as `test_accuracy` with the parameters at the end of the epoch."""
    test_accuracy: float
    """Fraction, 0 to 1."""
    learning_rate: float | None
    """Of the epoch's last step. None for epoch 0."""
    weight_norms: dict[str, float]
    """Euclidean norm of each parameter array."""
    seconds: float = field(compare=False)
    """Since the measurement before, this one included."""


@dataclass(frozen=True, eq=False)
class Result:
    """A finished run."""

    model: Model
    history: tuple[Metrics, ...]
    """One for each epoch, epoch 0 first."""


class Training:
    """A run under way.

    Parameters
    ----------
    config : Config
    train, test : Digits
        `config.digits` and `config.limit` are applied here.
    loss : callable
        A rule ``(z, y, *, reduction) -> (loss, pullback)``; `gradcheck.mnist.losses` makes one of your own gradient.
    state : State, optional
        Where to go on from: one that a run of the same configuration and digits left.

    Attributes
    ----------
    state : State
        After the last completed step, whatever interrupted the next one. Its arrays are never written to if it is taken
        while `epochs` is not at work; what `on_step` takes, it must copy before it returns.

    Raises
    ------
    InvalidArgument
        The test digits are unlike the training digits, or there is nothing to learn from.
    """

    def __init__(
        self,
        config: Config,
        train: Digits,
        test: Digits,
        *,
        loss: Loss = softmax_nll.fused,
        state: State | None = None,
    ) -> None:
        train, test = select(config, train, most=config.limit), select(config, test)
        if (train.classes, train.images.shape[1:]) != (test.classes, test.images.shape[1:]):
            raise InvalidArgument(
                f"train has classes {train.classes} and images {train.images.shape[1:]}, test {test.classes} and "
                f"{test.images.shape[1:]}: pass two splits of one dataset"
            )
        self.config, self.train, self.test = config, train, test
        self.steps_per_epoch = -(-len(train) // config.batch_size)
        self.total_steps = config.epochs * self.steps_per_epoch
        self._labels = train.labels.astype(np.intp)
        self._loss = nan_where_overflown(loss)
        self._objective = objective(config, self._loss)
        self.optimiser = find_optimiser(config.optimiser)
        self._untrained = untrained(config, train)
        self.state = state or State(0, self._untrained.params, self.optimiser.start(self._untrained.params), 0.0)

    @property
    def model(self) -> Model:
        """The classifier as it stands."""
        return replace(self._untrained, params=self.state.params)

    def epochs(self, on_step: Callable[[int, float], object] | None = None) -> Iterator[Metrics]:
        """Train, and measure after each epoch, and before the first.

        A run that goes on from the end of an epoch begins by measuring that end again.

        Parameters
        ----------
        on_step : callable, optional
            ``on_step(step, loss)`` after each update: how many there were, and the loss of the batch before it.

        Raises
        ------
        TrainingDiverged
            The loss of a batch, or of the test digits, is not finite, and `config.stop_on_divergence`.
        """
        batch = self.config.batch_size
        started = perf_counter()
        while True:
            epoch, done = divmod(self.state.step, self.steps_per_epoch)
            if done == 0:
                yield self._measure(epoch, started)
                started = perf_counter()
            if epoch >= self.config.epochs:
                return
            order = self._order(epoch)
            # Two sets of arrays take turns. The one to begin with may be in other hands by now, and is left alone.
            kept, spare = self.state, None
            for first in range(done * batch, len(order), batch):
                before = self.state
                loss = self._advance(order[first : first + batch], spare)
                spare = None if before is kept else before
                if on_step is not None:
                    on_step(self.state.step, loss)

    # What overflows shows in the loss, where it is dealt with; NumPy's warnings would only say it twice.
    @np.errstate(over="ignore", invalid="ignore")
    def _advance(self, chosen: Array, spare: State | None = None) -> float:
        """Take one step on the digits with the indices `chosen`, over the arrays of `spare`; return their loss."""
        state, train = self.state, self.train
        x = self._untrained.inputs(train.images[chosen])
        value, pullback = self._objective(state.params, x, self._labels[chosen])
        loss = float(value)
        self._require_finite(loss, state.step + 1)
        into = None if spare is None else (spare.params, spare.memory)
        rate = self._rate(state.step)
        params, memory = self.optimiser.step(state.params, pullback(1.0), state.memory, rate, into)
        visited = state.summed_loss if state.step % self.steps_per_epoch else 0.0
        # One assignment, so that Ctrl-C finds either the whole step done or nothing of it.
        self.state = State(state.step + 1, params, memory, visited + loss * len(chosen))
        return loss

    @np.errstate(over="ignore", invalid="ignore")
    def _measure(self, epoch: int, started: float) -> Metrics:
        state = self.state
        z = self.model.logits(self.test.images)
        test_loss = float(self._loss(z, self.test.labels.astype(np.intp), reduction="mean")[0])
        self._require_finite(test_loss, state.step)
        # NaN and inf would win argmax, and with it some of the digits.
        right = (z.argmax(axis=1) == self.test.labels) & np.isfinite(z).all(axis=1)
        return Metrics(
            epoch=epoch,
            step=state.step,
            train_loss=state.summed_loss / len(self.train) if epoch else None,
            test_loss=test_loss,
            test_accuracy=float(right.mean()),
            learning_rate=self._rate(state.step - 1) if epoch else None,
            weight_norms={name: _norm(w) for name, w in state.params.items()},
            seconds=perf_counter() - started,
        )

    def _rate(self, step: int) -> float:
        return self.config.rate * SCHEDULES[self.config.schedule](step, self.total_steps)

    def _order(self, epoch: int) -> Array:
        stream = np.random.SeedSequence(self.config.seed, spawn_key=(1, epoch))
        return np.random.default_rng(stream).permutation(len(self.train))

    def _require_finite(self, loss: float, step: int) -> None:
        """Stop a run that has diverged at `step`, counted from 1; 0 is before the first."""
        if self.config.stop_on_divergence and not isfinite(loss):
            epoch = -(-step // self.steps_per_epoch)
            raise TrainingDiverged(loss, epoch, step, self._rate(step - 1) if step else 0.0)


def train(
    config: Config,
    train: Digits,
    test: Digits,
    *,
    loss: Loss = softmax_nll.fused,
    on_metrics: Callable[[Metrics], object] | None = None,
) -> Result:
    """Train a classifier from beginning to end.

    Parameters
    ----------
    config, train, test, loss
        As for `Training`.
    on_metrics : callable, optional
        Called with the metrics of each epoch as soon as they are there, epoch 0 first.

    Raises
    ------
    InvalidArgument, TrainingDiverged
        As `Training` does.

    Examples
    --------
    >>> from gradcheck.mnist.data import load
    >>> digits = load("train", "sample"), load("test", "sample")
    >>> result = train(Config(hidden=(), epochs=2), *digits)
    >>> [round(metrics.test_accuracy, 1) for metrics in result.history]
    [0.1, 0.8, 0.9]
    """
    training = Training(config, train, test, loss=loss)
    history = []
    for metrics in training.epochs():
        history.append(metrics)
        if on_metrics is not None:
            on_metrics(metrics)
    return Result(training.model, tuple(history))


def _norm(w: Array) -> float:
    return float(np.sqrt(np.sum(np.square(w, dtype=np.float64))))
