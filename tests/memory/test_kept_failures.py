"""Failures that several processes keep at once, one of which is killed."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gradcheck
from gradcheck.report import Report, keep, load_failure

FOLDER = Path(".gradcheck") / "failures"

# Keeps the failure under so many seeds, each of which is a failure of its own; twice, so that files are replaced too.
KEEPING = """
import pickle, sys
from dataclasses import replace
from pathlib import Path
from gradcheck.report import keep

report = pickle.loads(Path("report.pickle").read_bytes())
for seed in 2 * list(range(int(sys.argv[1]), int(sys.argv[2]))):
    keep(replace(report, seed=seed))
    print(seed, flush=True)
"""
# Is killed when a file has been written, but not renamed.
KILLED = """
import os, pickle, signal
from pathlib import Path
from gradcheck.report import keep

os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
keep(pickle.loads(Path("report.pickle").read_bytes()))
"""


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.chdir(tmp_path)
    rule = gradcheck.from_loss(lambda w: (w * w).sum(), lambda w: +w, name="square")
    report = pickle.loads(pickle.dumps(gradcheck.examine(rule, np.arange(1.0, 5000.0))))
    Path("report.pickle").write_bytes(pickle.dumps(report))
    return report  # type: ignore[no-any-return]


def _started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", *arguments], stdout=subprocess.PIPE, text=True)


def _names(seeds: Iterator[int] | range, report: Report) -> set[str]:
    """Name the files in which the failure is kept under these seeds, by keeping them elsewhere."""
    saved = (keep(replace(report, seed=seed), Path("elsewhere")).saved for seed in seeds)
    return {path.name for path in saved if path is not None}


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_two_processes_and_a_kill(report: Report) -> None:
    killed, other = _started(KEEPING, "0", "2000"), _started(KEEPING, "20", "60")
    assert killed.stdout is not None
    while killed.stdout.readline() != "30\n":  # by now both keep the same failures
        assert killed.poll() is None
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)
    other.communicate(timeout=60)
    assert other.returncode == 0
    whole = [path for path in FOLDER.iterdir() if path.suffix == ".npz"]
    assert {path.name for path in whole} >= _names(range(60), report) - _names(range(31, 60), report)
    assert {path.name for path in whole} >= _names(range(20, 60), report), "what one has kept, the other has not harmed"
    for path in whole:
        assert load_failure(path).args[0].shape == (4999,)
    # a process that is killed cannot tidy up, but leaves one unfinished file at most
    assert len(list(FOLDER.iterdir())) - len(whole) <= 1


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_kill_in_between_leaves_room_for_the_whole(report: Report) -> None:
    killed = _started(KILLED)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    (unfinished,) = FOLDER.iterdir()
    assert unfinished.suffix == ".tmp"
    begun = time.monotonic()
    path = keep(report).saved
    assert path is not None
    assert load_failure(path).rule == "square"
    assert time.monotonic() - begun < 10, "nothing is waited for: there is no lock to be left behind"
