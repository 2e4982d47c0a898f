"""What ``gradcheck verify`` leaves in files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradcheck.cli import main

Write = Callable[[str, str], Path]
Captured = pytest.CaptureFixture[str]

PAIRS = """
    import numpy as np
    from gradcheck import strategies as gst

    def cube(x): return np.sum(x ** 3)
    def cube_grad(x): return 3 * x ** 2
    def square(x): return np.sum(x ** 2)
    def square_grad(x): return 1.0 * x

    cases = gst.like(np.array([1.0, 2.0]))
"""
BROKEN = """
    def raises(x): raise ValueError("no weights")
    def raises_grad(x): return x
"""


def _content(path: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_files_are_written_when_gradients_fail(write: Write, capsys: Captured, jobs: str) -> None:
    pytest.importorskip("matplotlib", reason="pages need the extra 'report'")
    write("mine.py", PAIRS + BROKEN)
    command = ["verify", "mine.py", "--examples", "5", "--jobs", jobs, "--json", "r.json", "--html", "r.html"]
    assert main(command) == 1
    assert capsys.readouterr().out.endswith("could not be run\nwrote r.json\nwrote r.html\n")
    content = _content("r.json")
    assert [(r["name"], r["outcome"]) for r in content["reports"]] == [
        ("mine.cube_grad", "PASS"), ("mine.square_grad", "FAIL")
    ]  # fmt: skip
    assert content["reports"][1]["saved"].endswith(".npz")
    assert [one["name"] for one in content["not_run"]] == ["mine.raises_grad"]
    assert "no weights" in content["not_run"][0]["why"]
    page = Path("r.html").read_text(encoding="utf-8")
    assert "3 gradients: 1 wrong, 1 right, 1 not run" in page
    # the rule is found again here, wherever it was verified
    assert page.count("Finite differences against the step") == 2


def test_what_keeps_the_only_one_from_being_run_is_written_too(write: Write, capsys: Captured) -> None:
    write("mine.py", PAIRS + BROKEN)
    assert main(["verify", "mine.py:raises_grad", "--json", "r.json"]) == 2
    assert capsys.readouterr().err.startswith("gradcheck: mine.raises_grad: the forward raised ValueError: no weights")
    assert _content("r.json")["not_run"][0]["name"] == "mine.raises_grad"


def test_ctrl_c_leaves_what_was_done(write: Write, capsys: Captured) -> None:
    write("mine.py", PAIRS.replace("return 1.0 * x", "raise KeyboardInterrupt"))
    assert main(["verify", "mine.py", "--examples", "5", "--jobs", "1", "--json", "r.json"]) == 130
    assert "1 of 2 verified" in capsys.readouterr().out
    assert [r["name"] for r in _content("r.json")["reports"]] == ["mine.cube_grad"]


SLOW = """
    import time

    def slow(x): return np.sum(x ** 4)
    def slow_grad(x):
        time.sleep(30)
        return 4 * x ** 3
"""


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_signal_midway_leaves_both_files(write: Write, jobs: str) -> None:
    pytest.importorskip("matplotlib", reason="pages need the extra 'report'")
    write("mine.py", PAIRS.replace("1.0 * x", "2.0 * x") + SLOW)
    command = [sys.executable, "-m", "gradcheck", "verify", "mine.py", "--examples", "5", "--jobs", jobs]
    # as from a terminal, whose Ctrl-C goes to all processes of the group
    running = subprocess.Popen(
        [*command, "--json", "r.json", "--html", "r.html"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", start_new_session=True,
    )  # fmt: skip
    assert running.stdout is not None
    before = "".join(next(running.stdout) for _ in range(2))
    os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert before.count("PASS") == 2
    assert "2 of 3 verified: 2 passed, 0 failed, 0 undecided\nwrote r.json\nwrote r.html\n" in out
    assert err == "\ninterrupted\n"
    assert [r["name"] for r in _content("r.json")["reports"]] == ["mine.cube_grad", "mine.square_grad"]
    assert "2 gradients: 2 right" in Path("r.html").read_text(encoding="utf-8")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no folder here that refuses files even from root")
@pytest.mark.parametrize("option", ["--json", "--html"])
def test_a_folder_that_cannot_be_written_is_told_first(write: Write, capsys: Captured, option: str) -> None:
    write("mine.py", PAIRS)
    assert main(["verify", "mine.py", option, "/proc/r"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("gradcheck: /proc/r cannot be written: the folder /proc: ")


@pytest.mark.parametrize("option", ["--json", "--html"])
def test_a_folder_that_is_not_there_is_told_first(write: Write, capsys: Captured, option: str) -> None:
    write("mine.py", PAIRS)
    assert main(["verify", "mine.py", option, "nowhere/r"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "gradcheck: nowhere/r cannot be written: the folder nowhere does not exist; create it first\n"


def test_a_missing_extra_is_told_first(write: Write, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    write("mine.py", PAIRS)
    assert main(["verify", "mine.py", "--html", "r.html"]) == 2
    assert "python -m pip install 'gradcheck[report]'" in capsys.readouterr().err
