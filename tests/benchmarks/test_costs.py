"""The benchmarks of time, from end to end at their smallest sizes: on a busy machine they may miss their bounds."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

Python = Callable[..., "subprocess.CompletedProcess[str]"]


def run(python: Python, script: str, *arguments: str, cwd: Path) -> tuple[str, dict[str, str], list[dict[str, object]]]:
    """Run a benchmark, and return its table and what it has written, having matched them with its exit code."""
    ran = python(str(BENCHMARKS / script), *arguments, "--json", "out.json", cwd=cwd)
    assert not ran.stderr
    assert ran.returncode == ("MISSED" in ran.stdout)
    machine, _, table = ran.stdout.partition("\n")
    conditions, rows = json.loads((cwd / "out.json").read_text(encoding="utf-8")).values()
    assert machine == ", ".join(f"{name} {value}" for name, value in conditions.items())
    assert conditions["machine"].endswith(" CPUs")
    assert all(conditions[package] == version(package) for package in ("gradcheck", "numpy", "hypothesis"))
    for line, row in zip(table.splitlines()[1:], rows, strict=True):
        assert line.startswith(row["name"])
        spent = row["cpu" if "cpu" in row else "seconds"]
        assert ("MISSED" in line) == (row["bound"] is not None and spent > row["bound"])
    return table, conditions, rows


def test_cost_of_a_draw(python: Python, tmp_path: Path) -> None:
    table, conditions, rows = run(python, "draw_cost.py", "--runs", "1", "--examples", "2", cwd=tmp_path)
    assert table.split()[:5] == ["an", "example", "of", "ms", "ratio"]
    assert (conditions["runs"], conditions["examples"]) == ("1", "2")
    assert [row["name"] for row in rows if row["bound"] is not None] == ["softmax_nll()"]
    assert rows[0]["ratio"] == 1.0


def test_cost_of_a_cold_start(python: Python, tmp_path: Path) -> None:
    table, conditions, rows = run(python, "cold_start.py", "--runs", "1", cwd=tmp_path)
    assert table.split()[:4] == ["CPU", "ms", "wall", "ms"]
    assert conditions["runs"] == "1"
    bounded = [row["name"] for row in rows if row["bound"] is not None]
    assert bounded == ["import gradcheck", "idle plugin", "first verdict"]


def test_cost_of_an_example(python: Python, tmp_path: Path) -> None:
    sizes = ("--examples", "3", "--peer-examples", "1", "--runs", "1")
    ran = python(str(BENCHMARKS / "cost.py"), *sizes, "--json", "out.json", cwd=tmp_path)
    assert not ran.stderr
    assert ran.returncode == ("MISSED" in ran.stdout)
    machine, head, *lines = ran.stdout.splitlines()
    conditions, rows = json.loads((tmp_path / "out.json").read_text(encoding="utf-8")).values()
    assert machine == ", ".join(f"{name} {value}" for name, value in conditions.items())
    assert head.split()[:3] == ["of", "an", "example,"]
    assert [row["dtype"] for row in rows] == sorted((row["dtype"] for row in rows), reverse=True)
    for line, row in zip(lines, rows, strict=True):
        assert line.startswith(f"{row['name']} ")
        missed = [
            row[f"{what}_bound"] is not None and row[what] > row[f"{what}_bound"]
            for what in ("median", "percentile", "ratio")
        ]
        assert ("MISSED" in line) == any(missed)
    named = {row["name"]: row for row in rows if row["dtype"] == "float64"}
    assert named["gradcheck.check"]["examples"] == 3
    assert named["jax.jit(jax.grad(f))"]["examples"] == 1
    assert (named["gradcheck.check"]["median_bound"], named["draw: softmax_nll()"]["ratio_bound"]) == (1.2e-3, 1.5)
    assert named["draw: reference generator"]["ratio"] == 1.0


def test_cost_of_an_example_as_markdown(python: Python, tmp_path: Path) -> None:
    sizes = ("--examples", "2", "--peer-examples", "1", "--runs", "1")
    ran = python(str(BENCHMARKS / "cost.py"), *sizes, "--markdown", cwd=tmp_path)
    _, head, rule, *rows = ran.stdout.splitlines()
    assert head.count("|") == rule.count("|") == rows[-1].count("|")


@pytest.mark.parametrize(
    ("script", "option", "words"),
    [
        ("draw_cost.py", ("--examples", "1"), "--runs must be at least 1, and --examples 2"),
        ("draw_cost.py", ("--runs", "0"), "--runs must be at least 1, and --examples 2"),
        ("cold_start.py", ("--runs", "0"), "--runs must be at least 1"),
        ("cost.py", ("--examples", "1"), "--examples must be at least 2, --peer-examples and --runs 1"),
    ],
)
def test_sizes_are_checked(python: Python, tmp_path: Path, script: str, option: tuple[str, str], words: str) -> None:
    ran = python(str(BENCHMARKS / script), *option, cwd=tmp_path)
    assert ran.returncode == 2
    assert words in ran.stderr
