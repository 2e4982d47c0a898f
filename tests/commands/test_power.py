"""What `gradcheck power` prints, writes, and exits with."""

from __future__ import annotations

import io
import itertools
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradcheck import catalogue
from gradcheck.cli import main
from gradcheck.commands import power as command
from gradcheck.mutation import answers, measuring

Write = Callable[[str, str], Path]
Captured = pytest.CaptureFixture[str]

SQUARES = """
    import numpy as np
    from gradcheck import strategies as gst
    from hypothesis import strategies as st

    def squares(x): return np.sum(x * x) / max(len(x), 1)
    def squares_grad(x): return 2 * x / max(len(x), 1)
    def wrong(x): return np.sum(x)
    def wrong_grad(x): return x
    squares_cases = gst.like(np.array([1.0, 2.0]))
    wrong_cases = squares_cases
"""
WEAK = SQUARES.replace("squares_cases = gst.like(np.array([1.0, 2.0]))", "squares_cases = st.just((np.ones(1),))")


@pytest.fixture(autouse=True)
def few_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out most named mistakes, which are tested elsewhere and take their time."""
    every = answers.mistaken
    monkeypatch.setattr(measuring, "mistaken", lambda rule: itertools.islice(every(rule), 2))
    monkeypatch.setattr(measuring, "_LEAST", 30)


def _power(*arguments: str) -> int:
    return main(["power", *arguments, "--examples", "5"])


def test_a_strong_check_exits_with_0(write: Write, capsys: Captured) -> None:
    write("mine.py", SQUARES)
    assert _power("mine.py:squares") == 0
    out, err = capsys.readouterr()
    assert re.match(r"mine\.squares_grad: kills (\d+) of \1 mutants, \d+ not distinguished\n  5 examples, seed 0", out)
    assert err == ""


def test_a_weak_check_exits_with_1_and_shows_what_survives(write: Write, capsys: Captured) -> None:
    write("mine.py", WEAK)
    assert _power("mine.py:squares") == 1
    out = capsys.readouterr().out
    assert "survives: mine.py:7, squares_grad: dropped: / max(len(x), 1)\n" in out
    assert "\n  -def squares_grad(x): return 2 * x / max(len(x), 1)\n  +def squares_grad(x): return 2 * x\n" in out


def test_a_wrong_gradient_among_others_does_not_stop_them(write: Write, capsys: Captured) -> None:
    write("mine.py", SQUARES)
    assert _power("mine.py") == 1
    out = capsys.readouterr().out
    assert "mine.wrong_grad does not pass its own check, so there is nothing to mutate" in out
    assert "mine.squares_grad: kills" in out


def test_what_cannot_be_run_does_not_stop_the_others(write: Write, capsys: Captured) -> None:
    source = SQUARES.replace("wrong_cases = squares_cases", "wrong_cases = gst.like(np.array([-1.0]))")
    write("mine.py", source.replace("return np.sum(x)\n", "return np.zeros(())[len(x)]\n"))
    assert _power("mine.py") == 2
    out = capsys.readouterr().out
    assert "mine.wrong_grad could not be run\n  mine.wrong_grad: the forward raised IndexError" in out
    assert "mine.squares_grad: kills" in out


def test_an_undecided_gradient_exits_with_3(write: Write, capsys: Captured) -> None:
    endless = "import numpy as np\ndef f(x): return np.float64(np.inf)\ndef f_grad(x): return 0 * x\n"
    write("mine.py", endless + "from gradcheck import strategies as gst\ncases = gst.like(np.ones(2))\n")
    assert _power("mine.py") == 3
    assert "does not pass its own check" in capsys.readouterr().out


def test_a_spent_budget_exits_with_3(write: Write, capsys: Captured) -> None:
    write("mine.py", SQUARES)
    assert _power("mine.py:squares", "--budget", "0.001") == 3
    assert re.search(r"stopped after 0\.001 s: 0 of \d+ mutants tried", capsys.readouterr().out)


def test_json_holds_all_reports(write: Write, tmp_path: Path) -> None:
    write("mine.py", SQUARES)
    _power("mine.py:squares", "--json", "out.json")
    (report,) = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert (report["rule"], report["examples"], report["rate"]) == ("mine.squares_grad", 5, 1.0)
    assert report["killed"][-1]["diff"].startswith("@@ -7 +7 @@\n")


def test_an_interrupt_prints_and_writes_what_is_known(
    write: Write, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_nothing", interrupted)
    write("mine.py", SQUARES)
    assert _power("mine.py", "--json", "out.json") == 130
    out, err = capsys.readouterr()
    assert "interrupted: 0 of" in out
    assert "wrong_grad" not in out
    assert "interrupted" in err
    (report,) = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert report["stopped"] == "interrupted"


def test_without_a_target_the_derivations_have_a_line_each(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    tanh = [entry for entry in catalogue.entries() if entry.name == "tanh"]
    monkeypatch.setattr(command, "entries", lambda: iter(tanh))
    assert main(["power", "--examples", "60"]) == 0
    assert re.fullmatch(r"tanh +kills (\d+) of \1 mutants, \d+ not distinguished  \(.* s\)\n", capsys.readouterr().out)


def test_markdown_is_a_table(write: Write, capsys: Captured) -> None:
    write("mine.py", SQUARES)
    assert _power("mine.py:squares", "--markdown") == 0
    head, rule, row = capsys.readouterr().out.splitlines()
    assert head.count("|") == rule.count("|") == row.count("|") == 5
    assert re.match(r"\| mine\.squares_grad \| (\d+) of \1 \| \d+ \| x \d+e-\d+ / \d+e-\d+ \|", row)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--budget", "0"), "'0' is not a positive number of seconds"),
        (("--budget", "nan"), "'nan' is not a positive number of seconds"),
        (("--budget", "soon"), "'soon' is not a positive number of seconds"),
        (("--examples", "0"), "'0' is not a positive whole number"),
    ],
)
def test_bad_options_are_refused(arguments: tuple[str, ...], said: str, capsys: Captured) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["power", *arguments])
    assert said in capsys.readouterr().err


def test_a_target_that_is_not_there_is_said(capsys: Captured) -> None:
    assert _power("nowhere.py") == 2
    assert "nowhere.py: no such file" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("rich", [True, False])
def test_a_terminal_shows_how_far_it_is(rich: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    if not rich:
        monkeypatch.setitem(sys.modules, "rich", None)
    shown = Terminal()
    with command._watching("mine.f", shown) as watch:
        watch(3, 7)
    assert "mine.f" in shown.getvalue()
    assert ("mine.f: 3 of 7 mutants tried" in shown.getvalue()) is not rich


def test_a_log_shows_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    for file in (Terminal(), io.StringIO()):
        with command._watching("mine.f", file) as watch:
            watch(3, 7)
        assert file.getvalue() == ""


def test_a_file_that_could_not_be_written_is_refused_before_the_work(write: Write, capsys: Captured) -> None:
    write("mine.py", SQUARES)
    assert _power("mine.py:squares", "--json", "absent/power.json") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "the folder absent does not exist; create it first" in err
