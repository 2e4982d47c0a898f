"""The benchmark of finite differences: its table of truths, its words, its bounds."""

from __future__ import annotations

import importlib
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

Python = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])


@pytest.fixture
def benchmark() -> ModuleType:
    return importlib.import_module("finite_differences")


@pytest.fixture
def functions() -> ModuleType:
    return importlib.import_module("_hard_functions")


def test_it_holds_its_bounds_and_writes_what_it_prints(python: Python, tmp_path: Path) -> None:
    ran = python(str(BENCHMARKS / "finite_differences.py"), "--json", "out.json", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    machine = ran.stdout.partition("\n")[0]
    assert machine == ", ".join(f"{name} {value}" for name, value in content["conditions"].items())
    ours = [row for row in content["rows"] if row["tool"] == "gradcheck"]
    assert len(ours) >= 20
    assert all(row["word"] == "holds" and row["error"] <= row["claimed"] for row in ours)
    assert np.median([row["claimed"] for row in ours]) < 1e-8
    assert max(row["evaluations"] for row in ours) <= 80
    assert all(row["function"] in ran.stdout for row in ours)


def test_markdown_has_a_table_of_functions_and_one_of_tools(python: Python, tmp_path: Path) -> None:
    ran = python(str(BENCHMARKS / "finite_differences.py"), "--markdown", cwd=tmp_path)
    assert sum(line.startswith("| --- |") for line in ran.stdout.splitlines()) == 2
    assert "| gradcheck | " in ran.stdout


def test_the_functions_are_what_their_truths_say(functions: ModuleType) -> None:
    """A slope in closed form is that of the function: at a step that suits it, a difference comes close."""
    assert len({hard.name for hard in functions.HARD}) == len(functions.HARD) >= 20
    close = 0
    for hard in functions.HARD:
        with np.errstate(all="ignore"):
            steps = [max(abs(hard.at), 1.0) * 10.0**-k for k in range(2, 18)] + [1e-301, abs(hard.at) / 100]
            pairs = [(h, hard.fun(np.float64(hard.at + h)), hard.fun(np.float64(hard.at - h))) for h in steps if h]
            slopes = [float(ahead / 2 - behind / 2) / h for h, ahead, behind in pairs]
        error = min(abs(slope - float(hard.truth)) for slope in slopes if math.isfinite(slope))
        close += bool(error <= 1e-2 * abs(hard.truth) or error < 1e-10)
    assert close == len(functions.HARD)


def square(functions: ModuleType) -> Any:
    return functions.Hard("square", "for a test", lambda x: x * x, 3.0, lambda x: 2 * x)


@pytest.mark.parametrize(
    ("answer", "word"),
    [((6.0, 0.0), "holds"), ((6.5, 0.5), "holds"), ((6.5, 0.25), "broken"), ((6.0, math.nan), "no claim"),
     ((math.nan, 0.5), "broken"), ((math.inf, math.inf), "holds")],
)  # fmt: skip
def test_a_claim_holds_or_is_broken_or_is_none(
    benchmark: ModuleType, functions: ModuleType, answer: tuple[float, float], word: str
) -> None:
    row = benchmark.measure(square(functions), "gradcheck", lambda fun, _: (fun(np.ones(3)), answer)[1])
    assert (row.word, row.evaluations, row.raised) == (word, 3, "")
    assert bool(benchmark.failures([row])) == (word != "holds")


def test_a_tool_that_raises_has_no_answer(benchmark: ModuleType, functions: ModuleType) -> None:
    def raising(_fun: Any, _at: float) -> tuple[float, float]:
        raise ArithmeticError("no step left")

    row = benchmark.measure(square(functions), "peer", raising)
    assert (row.word, row.raised, row.error) == ("no claim", "ArithmeticError: no step left", math.inf)
    assert benchmark.failures([row]) == []
