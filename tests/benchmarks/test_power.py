"""The benchmark of power: what its table counts, what misses its bounds, and that a run can be gone on with."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPT = BENCHMARKS / "power.py"

Python = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    yield importlib.import_module("power")
    sys.modules.pop("power", None)


@pytest.fixture
def table(benchmark: ModuleType) -> ModuleType:
    return sys.modules[benchmark.page.__module__]


def change(says: str, *, diff: str = "", **more: Any) -> dict[str, Any]:
    return {"says": says, "where": "a.py:1, f" if diff else "", "diff": diff, **more}


KILLED = [change("sign", by="numbers"), change("+ for -", diff="-a\n+b", by="raised")]
SURVIVES = change("* for /", diff="-a\n+b", at="z (2, 3)", by="numbers", share=0.025)


def row(**more: Any) -> dict[str, Any]:
    smallest = [{"path": "z", "array": 1e-14, "entry": 1e-13}]
    return {"killed": KILLED, "survivors": [], "alike": [], "untried": [], "smallest": smallest, "seconds": 2.0, **more}


def test_a_family_has_a_line(table: ModuleType) -> None:
    rows = {
        "softmax-nll/fused/mean": row(),
        "softmax-nll/fused/sum": row(survivors=[SURVIVES], smallest=[{"path": "z", "array": 0.1, "entry": None}]),
        "softmax-nll/accurate/mean": row(untried=[change("mean for sum", diff="-a\n+b")]),
        "relu": row(alike=[change("factor N")]),
        "tanh": {"error": "GradientMismatch: it is wrong"},
    }
    lines = table.page(rows, as_markdown=True).splitlines()
    assert lines[2:8] == [
        "| softmax-nll/fused | 2 | 4 of 5 | 0 | 1e-01 | inf |",
        "| softmax-nll/accurate | 1 | 2 of 2 (1 not tried) | 0 | 1e-14 | 1e-13 |",
        "| relu | 1 | 2 of 2 | 1 | 1e-14 | 1e-13 |",
        "| all | 4 | 8 of 9 (1 not tried) | 1 | 1e-01 | inf |",
        "| edits of the source alone |  | 4 of 5 (1 not tried) | 0 |  |  |",
        "",
    ]
    assert lines[8] == "Killed by numbers 4, raised 4."
    assert lines[-1] == (
        "- softmax-nll/fused/sum: * for / (a.py:1, f); killed by numbers at z (2, 3) (2.5 % of the inputs tried)"
    )
    assert table.misses(rows) == [
        "softmax-nll/fused/sum: survives: * for / (a.py:1, f)",
        "softmax-nll/accurate/mean: 1 mutants were not tried",
        "tanh: GradientMismatch: it is wrong",
    ]


def test_what_was_killed_misses_nothing(table: ModuleType) -> None:
    assert table.misses({"relu": row()}) == []
    assert "Surviving" not in table.page({"relu": row()}, as_markdown=False)


def test_one_derivation_from_end_to_end(python: Python, tmp_path: Path) -> None:
    """In a second not all is tried of one example, and not all of it killed; a run that goes on measures none again."""
    asked = ("--only", "relu", "--examples", "1", "--budget", "1", "--jobs", "1")
    command = (str(SCRIPT), *asked, "--json", "out.json")
    ran = python(*command, cwd=tmp_path)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "MISSED  relu: " in ran.stderr
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert list(content["derivations"]) == ["relu"]  # and not mlp/relu
    assert content["conditions"]["examples"] == "1"
    again = python(*command, "--resume", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (1, ran.stdout)
    other = python(*command, "--resume", "--seed", "1", cwd=tmp_path)
    assert other.returncode == 2
    assert "out.json was measured with another seed" in other.stderr


def test_an_interrupted_run_says_what_is_known(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def measured(_names: Any, _arguments: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        yield "relu", row()
        raise KeyboardInterrupt

    monkeypatch.setattr(benchmark, "_measured", measured)
    assert benchmark.main(["--json", str(tmp_path / "out.json")]) == 130
    told = capsys.readouterr()
    assert "measured 1 of " in told.out
    assert "relu" in told.out.splitlines()[3]
    assert "KeyboardInterrupt: 1 derivations were measured" in told.err
    assert list(json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["derivations"]) == ["relu"]


def test_a_derivation_that_does_not_pass_is_told(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def power(*_: Any, **__: Any) -> None:
        raise benchmark.GradcheckError("it is wrong")

    monkeypatch.setattr(benchmark, "power", power)
    assert benchmark.measure("relu", 1, 0, 1.0) == ("relu", {"error": "GradcheckError: it is wrong"})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--examples", "0"), "--examples and --jobs must be at least 1"),
        (("--budget", "0"), "--budget more than 0"),
        (("--only", "rleu"), "--only 'rleu' is in the name of no derivation"),
        (("--resume",), "--resume needs --json PATH"),
    ],
)
def test_bad_options_are_named(
    benchmark: ModuleType, options: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        benchmark.main(options)
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err
