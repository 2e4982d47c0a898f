"""Gradients verified side by side, in processes of their own: the same words, the same exit codes, and a clean end."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gradcheck.cli import main
from gradcheck.commands.workers import in_order, in_processes, jobs_for
from gradcheck.errors import RuleError
from gradcheck.report import load_failure

Write = Callable[[str, str], Path]
Captured = pytest.CaptureFixture[str]

# Three pairs: right, wrong by a factor, and one whose forward has no derivative anywhere.
PAIRS = """
    import os
    import numpy as np
    import time
    from gradcheck import strategies as gst

    def cube(x): return np.sum(x ** 3)
    def cube_grad(x): return 3 * x ** 2
    def square(x): return np.sum(x ** 2)
    def square_grad(x): return x
    def endless(x): return np.float64(np.inf)
    def endless_grad(x): return np.zeros_like(x)

    cases = gst.like(np.array([1.0, 2.0]))
"""
ASLEEP = "def sleepy(x): time.sleep(600)\n    def sleepy_grad(x): return x\n    cases ="


# Ctrl-C reaches whoever does not ignore it, as a command in the background of a shell does.
COMMAND = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); import gradcheck.cli as cli; "
# A failure was found, and the smallest is still looked for when Ctrl-C comes.
SHRINKING = """
    from gradcheck.verification.run import Run

    one = Run.one
    def slow(run, case, point):
        if run.failed is not None:
            print("found", flush=True)
            time.sleep(600)
        return one(run, case, point)
    Run.one = slow
"""


def _started(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", f"{COMMAND}sys.exit(cli.main({list(arguments)}))"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")


def _shown(text: str) -> str:
    """Leave out what differs from run to run: seconds, and the names of files, which hold times of their own."""
    return re.sub(r"\(\d+\.\d s\)|\w{12}\.npz", "", text)


def test_two_processes_say_what_one_says(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    write("mine.py", PAIRS)
    said = {}
    for jobs in ("1", "2"):
        assert main(["verify", "mine.py", "--examples", "5", "--jobs", jobs]) == 1
        said[jobs], err = capfd.readouterr()
        assert err == ""
    assert _shown(said["1"]) == _shown(said["2"])
    assert said["2"].startswith("mine.cube_grad ")
    assert said["2"].endswith("\n3 verified: 1 passed, 1 failed, 1 undecided\n")


def test_ctrl_c_ends_the_processes_and_says_what_is_known(write: Write) -> None:
    write("mine.py", PAIRS.replace("cases =", ASLEEP, 1))
    running = _started("verify", "mine.py", "--examples", "5", "--jobs", "2")
    assert running.stdout is not None
    first = running.stdout.readline()
    assert first.startswith("mine.cube_grad ")
    start = time.monotonic()
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert time.monotonic() - start < 30, "it has waited for a gradient that takes ten minutes"
    assert running.returncode == 130
    assert re.search(r"^[1-3] of 4 verified: 1 passed, ", out, re.MULTILINE)
    assert err == "\ninterrupted\n"


def test_ctrl_c_keeps_the_failure_that_was_found(write: Write) -> None:
    write("mine.py", PAIRS + SHRINKING)
    running = _started("verify", "mine.py", "--examples", "5", "--jobs", "1", "--json", "r.json")
    assert running.stdout is not None
    assert any("found" in line for line in running.stdout)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert re.search(r"^[01] of 3 verified: ", out, re.MULTILINE)
    (kept,) = Path(".gradcheck/failures").iterdir()
    assert load_failure(kept).rule == "mine.square_grad"
    said = "mine.square_grad is wrong; this was found so far, at a point that is not the smallest\n"
    said += f"  gradcheck replay {kept}\n"
    assert said in err
    assert err.replace(said, "") == "\ninterrupted\n"
    assert Path("r.json").is_file()


def test_a_process_that_dies_is_told(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    write("mine.py", PAIRS.replace("return np.sum(x ** 2)", "os._exit(3)"))
    assert main(["verify", "mine.py", "--examples", "5", "--jobs", "2"]) == 2
    assert "gradcheck: a process that verified a gradient has died" in capfd.readouterr().err


def test_only_positive_numbers_of_processes(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as left:
        main(["verify", "--jobs", "0"])
    assert left.value.code == 2
    assert "'0' is not a positive whole number" in capsys.readouterr().err


def test_processes_are_started_where_there_is_enough_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    assert [jobs_for(None, tasks) for tasks in (0, 1, 7, 8, 1000)] == [1, 1, 1, 2, 8]
    assert [jobs_for(3, tasks) for tasks in (0, 1, 2, 1000)] == [1, 1, 2, 3]


class Terminal(io.StringIO):
    """Something that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def _late(first: int) -> int:
    time.sleep(0.2 if first == 0 else 0)
    return first


def test_any_executor_keeps_the_order_and_a_terminal_sees_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with ThreadPoolExecutor(3) as pool:
        assert list(in_order(pool, _late, [0, 1, 2])) == [0, 1, 2]
    assert "\r2 of 3 done" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def _raising(_: int) -> int:
    raise RuleError("as in a process")


def test_what_a_process_raises_is_raised() -> None:
    results: Iterator[int] = in_processes(_raising, [0], 1)
    with pytest.raises(RuleError, match="as in a process"):
        next(results)
