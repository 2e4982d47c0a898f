"""The benchmark of growth: what it measures, the bounds it can miss, and what becomes of a tool without an answer."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPT = BENCHMARKS / "growth.py"
OURS = "gradcheck, laws off"

Python = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def growth(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    yield importlib.import_module("growth")
    sys.modules.pop("growth", None)


def test_from_end_to_end_at_one_small_size(python: Python, tmp_path: Path) -> None:
    options = ("--sizes", "200", "--runs", "1", "--peers", "jax", "--json", "out.json")
    ran = python(str(SCRIPT), *options, cwd=tmp_path)
    assert ran.returncode == ("MISSED" in ran.stdout), ran.stdout + ran.stderr
    conditions, rows, exponents = json.loads((tmp_path / "out.json").read_text(encoding="utf-8")).values()
    machine, head, *lines = ran.stdout.splitlines()
    assert machine == ", ".join(f"{name} {value}" for name, value in conditions.items())
    assert head.split()[:3] == ["tool", "parameters", "says"]
    assert [row["tool"] for row in rows] == ["gradcheck, laws off", "gradcheck", "jax"]
    assert [row["says"] for row in rows] == ["PASS", "PASS", "passed"]
    assert {row["parameters"] for row in rows} == {190}
    assert all(row["check"] > 0 and row["evaluation"] > 0 for row in rows)
    assert [row["traced"] is None for row in rows] == [False, False, True]
    assert all(line.startswith(row["tool"]) for line, row in zip(lines, rows, strict=False))
    assert exponents == {}  # of one size


@pytest.mark.parametrize("parameters", [972, 10_080, 100_152])
def test_networks_have_the_sizes_that_are_told(growth: ModuleType, parameters: int) -> None:
    network = growth.Network.of(parameters)
    assert sum(value.size for value in network.params.values()) == parameters
    assert {name: gradient.shape for name, gradient in network.evaluate().items()} == {
        name: value.shape for name, value in network.params.items()
    }


def test_peers_are_asked_about_the_same_gradient(growth: ModuleType) -> None:
    network = growth.Network.of(190)
    question = network._question()
    forward, linearize = question.functions()
    value, pull = linearize(*question.args)
    assert forward(*question.args) == value == network.rule(network.params, network.x, network.y)[0]
    for gradient, expected in zip(pull(np.ones(())), network.evaluate().values(), strict=True):
        assert np.array_equal(gradient, expected)
    assert network.check("jax") == "passed"


def test_what_numpy_holds_at_its_worst_moment_is_traced(growth: ModuleType) -> None:
    held = growth._traced(lambda: np.ones(10**6).sum())
    assert 8e6 <= held < 9e6


def row(growth: ModuleType, **other: Any) -> Any:
    measured = {"says": "PASS", "evaluation": 1.0, "check": 9.0, "compiling": 1.0, "traced": 5.0, "resident": 50.0}
    return growth.Row(**{"tool": OURS, "parameters": 10**6, **measured, **other})


@pytest.mark.parametrize(
    ("other", "missed"),
    [
        ({}, []),
        ({"check": 10.5}, ["10.5 evaluations, more than 10"]),
        ({"tool": "gradcheck", "check": 10.5}, []),
        ({"tool": "gradcheck", "check": 40.5}, ["40.5 evaluations, more than 40"]),
        ({"traced": 6.5}, ["6.5 copies of the parameters, more than 6"]),
        ({"says": "UNDECIDED"}, ["UNDECIDED"]),
        ({"says": "over 5 s", "check": None, "evaluation": None, "traced": None}, ["over 5 s"]),
        ({"tool": "jax", "check": 1e5, "says": "accuses it", "traced": None}, []),
    ],
)
def test_bounds(growth: ModuleType, other: dict[str, Any], missed: list[str]) -> None:
    measured = row(growth, **other)
    assert growth.misses([measured]) == [f"{measured.tool}, 1000000 parameters: {line}" for line in missed]


def test_exponent_is_that_of_the_three_largest_sizes(growth: ModuleType) -> None:
    sizes = (10**3, 10**4, 10**5, 10**6)
    rows = [
        row(growth, tool=tool, parameters=n, check=max(n, 10**4) ** power, evaluation=float(n) ** power + 1e9)
        for tool, power in ((OURS, 1.2), ("gradcheck", 1.0), ("jax", 1.5))
        for n in sizes
    ]
    assert growth.exponents(rows) == pytest.approx({OURS: 1.2, "gradcheck": 1.0, "jax": 1.5})
    assert growth.misses(rows) == [f"{OURS}: grows with an exponent of 1.20, more than 1.05"]
    assert growth.exponents(rows[:2]) == {}
    assert "| gradcheck, laws off | 1000 | PASS |" in growth.table(rows, as_markdown=True)
    assert f"Exponents of time over the 3 largest sizes: {OURS} 1.20, gradcheck 1.00" in growth.table(
        rows, as_markdown=False
    )


def test_a_tool_that_runs_out_of_its_budget_is_ended_and_asked_no_more(growth: ModuleType) -> None:
    first, second = growth._rows(["torch-slow"], [1000, 200], runs=1, budget=0.01)  # no import is as fast
    assert (first.parameters, first.says, first.check) == (200, "over 0.01 s", None)
    assert (second.parameters, second.says) == (1000, "not asked")


def test_a_tool_that_breaks_is_a_line_of_the_table(growth: ModuleType) -> None:
    broken = growth._in_a_process("no such tool", 200, 1, 60.0)
    assert (broken.says, broken.check) == ("KeyError: 'no such tool'", None)


def test_interrupted_run_prints_what_was_measured(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), "--sizes", "200,400,800", "--runs", "1", "--peers", ""],
        cwd=tmp_path,
        start_new_session=True,  # so that the signal reaches the run and its workers, as from a terminal, and no other
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as running:
        assert running.stderr is not None
        assert running.stderr.readline().startswith(OURS)
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert "measurements were made" in err
    assert OURS in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--sizes", "1e3,many"), "--sizes '1e3,many': pass numbers of parameters from 200 up"),
        (("--sizes", "10"), "pass numbers of parameters from 200 up"),
        (("--peers", "toch"), "there is no peer 'toch'; there are torch-slow, torch-fast, jax"),
        (("--runs", "0"), "--runs must be at least 1, and --budget above 0"),
    ],
)
def test_bad_options_are_named(
    growth: ModuleType, options: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        growth.main(options)
    assert words in capsys.readouterr().err
