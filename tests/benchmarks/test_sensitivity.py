"""The benchmark of sensitivity: its bounds hold, its search finds what it should, and a missed bound is said."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPT = BENCHMARKS / "sensitivity.py"

Python = Callable[..., "subprocess.CompletedProcess[str]"]


def test_the_bounds_hold(python: Python, tmp_path: Path) -> None:
    """They are on no time, so they hold on a busy machine."""
    ran = python(str(SCRIPT), "--points", "1", "--peers", "", "--json", "out.json", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    conditions, rows = json.loads((tmp_path / "out.json").read_text(encoding="utf-8")).values()
    machine, _, head, *lines = ran.stdout.splitlines()
    assert machine == ", ".join(f"{name} {value}" for name, value in conditions.items())
    assert {"machine", "python", "gradcheck", "numpy", "jax", "python-flint"} < set(conditions)
    assert head.split()[-2:] == ["bound", "gradcheck"]
    assert len(lines) == len(rows) == 15
    assert all(row["found"]["gradcheck"] <= row["bound"] for row in rows)


@pytest.fixture
def sensitivity(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    yield importlib.import_module("sensitivity")
    sys.modules.pop("sensitivity", None)


def checker(threshold: float, at_zero: str = "passed") -> Callable[[float], str]:
    """Make a checker that catches from some size on."""
    return lambda size: at_zero if size == 0 else "caught" if size >= threshold else "passed"


@pytest.mark.parametrize("threshold", [3e-16, 1.1e-3, 0.9, 9.0])
def test_the_search_finds_the_smallest_size(sensitivity: ModuleType, threshold: float) -> None:
    found = sensitivity.smallest(checker(threshold))
    assert threshold <= found <= threshold * 10**0.125


@pytest.mark.parametrize(
    ("catches", "word"),
    [
        (checker(np.inf), "never"),
        (checker(0.0, "caught"), "accuses the right one"),
        (checker(0.0, "not expressible"), "not expressible"),
        (checker(0.0, "undecided"), "undecided"),
    ],
)
def test_there_may_be_no_size(sensitivity: ModuleType, catches: Any, word: str) -> None:
    assert sensitivity.smallest(catches) == word


@pytest.mark.parametrize("setting", ["ordinary", "confident", "offset 1e6", "float32", "bfloat16"])
def test_the_gradient_is_right(sensitivity: ModuleType, setting: str) -> None:
    """By a difference of the loss in float64, which is good for six digits of the largest entry."""
    (chosen,) = (s for s in sensitivity.SETTINGS if s.name == setting)
    z, y = chosen.point(0)
    exact = np.asarray(sensitivity.gradient(z, y), float)
    wide, step = z.astype(float), 1e-4
    moved = np.zeros(z.shape)
    moved[2, 3] = step
    slope = (sensitivity.nll(wide + moved, y) - sensitivity.nll(wide - moved, y)) / (2 * step)
    close = {"bfloat16": 2e-2, "float32": 1e-6}.get(setting, 1e-6)
    assert abs(exact[2, 3] - slope) <= close
    assert (np.abs(exact).max() < 1e-8) == (setting == "confident")


def test_a_missed_bound_is_said(
    sensitivity: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    strict = sensitivity.Setting("strict", np.dtype(np.float64), 0.0, 0.0, dict.fromkeys(sensitivity.FAULTS, 1e-15))
    monkeypatch.setattr(sensitivity, "SETTINGS", (strict,))
    assert sensitivity.main(["--points", "1", "--peers", "", "--markdown"]) == 1
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("| strict, dropped | 1e-15 |")
    assert last.endswith("MISSED |")


@pytest.mark.parametrize(
    ("wrong", "why"), [(["--points", "0"], "at least 1"), (["--peers", "nobody"], "there is no peer 'nobody'")]
)
def test_arguments_are_checked(
    sensitivity: ModuleType, wrong: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        sensitivity.main(wrong)
    assert why in capsys.readouterr().err
