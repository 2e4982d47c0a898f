"""The rules that the benchmark of diagnosis puts mistakes into: right ones, and enough of them for every mistake."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import gradcheck
from gradcheck.mistakes import MISTAKES

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RULES, HELD_OUT = 5, 2
# Most mistakes show at the first few points, and a comparison that finds no difference looks at all of them.
POINTS = (12, 60)


@pytest.fixture(scope="module")
def importable() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
        yield


def held_out() -> Sequence[Any]:
    found: Sequence[Any] = importlib.import_module("_diagnosis_held_out").HELD_OUT
    return found


# Counted, since what is tested is listed before any module of the benchmarks can be imported.
@pytest.mark.parametrize("at", range(23))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # an exponential that overflows on the way to a quotient of 0
def test_a_held_out_rule_is_right(importable: None, at: int, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    subject = held_out()[at]
    report = gradcheck.verify(subject.make(), subject.cases(), examples=50, seed=0, **subject.data)
    assert report, subject.name


def test_all_held_out_rules_are_tested(importable: None) -> None:
    assert len(held_out()) == 23
    assert len({subject.name for subject in held_out()}) == 23


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_has_enough_rules(importable: None, mistake: Any) -> None:
    """Five in all, two of them held out, in which it changes anything."""
    trial = importlib.import_module("_diagnosis_trial")
    rules = importlib.import_module("_diagnosis_rules").RULES

    def changed(among: Sequence[Any], enough: int, points: int) -> int:
        found = 0
        for subject in among:
            found += found < enough and trial.changes(mistake, subject, 0, points)
        return found

    counts = []
    for points in POINTS:
        theirs = changed(held_out()[::-1], RULES - 1, points)  # losses first: most that is rare is about labels
        counts = [theirs, changed(rules, RULES - theirs, points)]
        if theirs >= HELD_OUT and sum(counts) >= RULES:
            break
    assert counts[0] >= HELD_OUT
    assert sum(counts) >= RULES
