from __future__ import annotations

import builtins
import io
import re
from typing import Any

import pytest

from gradcheck.mnist.config import Config
from gradcheck.mnist.data import Digits
from gradcheck.mnist.loop import Metrics, Training
from gradcheck.mnist.progress import Bar, Lines, Silence, describe, reporter
from gradcheck.mnist.run import new_folder, record

METRICS = Metrics(1, 3, 2.0, 1.5, 0.5, 0.01, {}, 0.25)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run_with(heard: Silence, digits: tuple[Digits, Digits], folder: Any) -> None:
    record(Training(Config(hidden=(), epochs=2), *digits), new_folder(folder), reporter=heard)


def test_without_a_terminal_each_epoch_is_one_plain_line(
    capsys: pytest.CaptureFixture[str], digits: tuple[Digits, Digits], tmp_path: Any
) -> None:
    run_with(reporter(2, 6), digits, tmp_path)
    shown = capsys.readouterr()
    assert shown.err == ""
    loss, tail = r"\d+\.\d{4}", r"accuracy +\d+\.\d\d %  learning rate (-|0\.\d+)  \d+\.\d s"
    patterns = [rf"epoch 0/2  train loss      -  test loss {loss}  {tail}"]
    patterns += [rf"epoch {n}/2  train loss {loss}  test loss {loss}  {tail}" for n in (1, 2)]
    for pattern, line in zip(patterns, shown.out.splitlines(), strict=True):
        assert re.fullmatch(pattern, line), line


def test_a_terminal_gets_a_bar_with_the_lines_above_it(digits: tuple[Digits, Digits], tmp_path: Any) -> None:
    pytest.importorskip("rich")
    terminal = Terminal()
    heard = reporter(2, 6, terminal, {"TERM": "xterm"})
    assert isinstance(heard, Bar)
    run_with(heard, digits, tmp_path)
    shown = terminal.getvalue()
    assert "training" in shown
    assert shown.count("epoch 2/2  train loss") == 1


def test_no_color_leaves_the_bar_and_takes_the_colours() -> None:
    pytest.importorskip("rich")
    # \x1b[...m sets a colour; other escapes move the cursor.
    colours = {}
    for no_color in ("", "1"):
        terminal = Terminal()
        heard = reporter(1, 3, terminal, {"TERM": "xterm", "NO_COLOR": no_color})
        with heard:
            heard.step(1, 2.0)
            heard.epoch(METRICS)
        assert "epoch 1/1" in terminal.getvalue()
        colours[no_color] = re.findall(r"\x1b\[[\d;]*3\d[\d;]*m", terminal.getvalue())
    assert colours[""]
    assert not colours["1"]


@pytest.mark.parametrize("environment", [{"CI": "true", "TERM": "xterm"}, {"TERM": "dumb"}])
def test_a_terminal_that_cannot_show_a_bar_gets_lines(environment: dict[str, str]) -> None:
    assert isinstance(reporter(1, 1, Terminal(), environment), Lines)


def test_without_rich_a_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    ordinary = builtins.__import__

    def without_rich(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("rich"):
            raise ImportError(name)
        return ordinary(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_rich)
    heard = reporter(1, 1, terminal := Terminal(), {"TERM": "xterm"})
    assert isinstance(heard, Lines)
    with heard:
        heard.step(1, 2.0)
        heard.epoch(METRICS)
    assert terminal.getvalue() == describe(METRICS, 1) + "\n"


def test_the_bar_hears_of_a_thousandth_of_the_steps_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    heard = reporter(1, 10_000, Terminal(), {"TERM": "xterm"})
    assert isinstance(heard, Bar)
    updates: list[int] = []
    monkeypatch.setattr(heard._progress, "update", lambda _task, completed, **_: updates.append(completed))
    for step in range(1, 10_001):
        heard.step(step, 1.0)
    assert updates == list(range(10, 10_001, 10))
