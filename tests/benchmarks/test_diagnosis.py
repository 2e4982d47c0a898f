"""The benchmark of diagnosis: its comparison of rules, its table, and that a missed bound is said."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import gradcheck

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPT = BENCHMARKS / "diagnosis.py"

Python = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module", autouse=True)
def importable() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
        yield


@pytest.fixture
def behaviour() -> ModuleType:
    return importlib.import_module("_diagnosis_behaviour")


@pytest.fixture
def table() -> ModuleType:
    return importlib.import_module("_diagnosis_table")


@pytest.fixture
def trial() -> Any:
    return importlib.import_module("_diagnosis_trial").Trial


@pytest.fixture
def subject() -> Any:
    (found,) = (s for s in importlib.import_module("_diagnosis_rules").RULES if s.name == "soft norm of rows")
    return found


def scaled(rule: gradcheck.Rule, factor: float) -> gradcheck.Rule:
    def call(*args: Any) -> Any:
        out, pullback = rule(*args)
        return out, lambda cotangent: factor * pullback(cotangent)

    return replace(rule, call=call)


def returning_its_cache(rule: gradcheck.Rule) -> gradcheck.Rule:
    def call(*args: Any) -> Any:
        out, pullback = rule(*args)
        kept: list[Any] = []

        def cached(cotangent: Any) -> Any:
            kept.append(pullback(cotangent))
            return kept[0]

        return out, cached

    return replace(rule, call=call)


@pytest.mark.parametrize(("factor", "same"), [(1.0, True), (1 + 2**-40, True), (1 + 2**-24, False), (-1.0, False)])
def test_rules_are_alike_up_to_rounding(behaviour: ModuleType, subject: Any, factor: float, same: bool) -> None:
    points = behaviour.points_of(subject, 0, 20)
    assert len(points) == 20
    assert behaviour.alike(subject.make(), scaled(subject.make(), factor), points) is same


def test_rules_that_share_memory_are_not_alike(behaviour: ModuleType, subject: Any) -> None:
    points = behaviour.points_of(subject, 0, 5)
    assert not behaviour.alike(subject.make(), returning_its_cache(subject.make()), points)


def test_the_bounds(table: ModuleType, trial: Any) -> None:
    right, wrong = (
        trial("sign", "a rule", word, first) for word, first in (("named right", "sign"), ("named wrong", "x"))
    )
    assert table.failures({table.INJECTED: [right] * 99 + [wrong]}) == []
    (message,) = table.failures({table.INJECTED: [right] * 98 + [wrong] * 2})
    assert message == "2.0% of all wrong gradients are named wrong, at most 1% is the bound"
    silent = trial("sign", "a rule", "does not know")
    (message,) = table.failures({table.INJECTED: [right] * 94 + [silent] * 6})
    assert message == "94.0% of the injected mistakes are named right, at least 95% is the bound"


def test_what_changes_nothing_does_not_count(table: ModuleType, trial: Any) -> None:
    right, nothing = trial("sign", "a rule", "named right", "sign"), trial("sign", "another", "no difference")
    groups = {table.INJECTED: [right, nothing]}
    assert table.failures(groups) == []
    assert "100.0%" in table.page(groups, as_markdown=True)


def test_a_name_for_what_has_none_is_a_miss(table: ModuleType, trial: Any) -> None:
    (*_, message) = table.failures({table.UNLISTED: [trial("clipped", "a rule", "named wrong", "sign")]})
    assert message == "clipped: of no listed kind, but: named wrong sign"


def test_a_confusion_is_printed(table: ModuleType, trial: Any) -> None:
    page = table.page({table.INJECTED: [trial("sign", "a rule", "named wrong", "rolled")]}, as_markdown=False)
    assert "sign -> rolled: a rule" in page


def test_every_expected_name_and_specimen_is_there() -> None:
    corpus = importlib.import_module("_diagnosis_corpus")
    names = importlib.import_module("_diagnosis_trial").NAMED
    assert {name for expected in corpus.EXPECTED.values() for name in expected} <= set(names)
    assert set(corpus.EXPECTED) <= {specimen.name for specimen in corpus.wrong_specimens()}


def test_it_runs(python: Python, tmp_path: Path) -> None:
    options = ("--only", "injected: sign in leaky", "--examples", "10", "--jobs", "1", "--json", "out.json")
    ran = python(str(SCRIPT), *options, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 (100.0%)" in ran.stdout
    assert (tmp_path / "out.json").is_file()


def test_a_filter_that_leaves_nothing_is_refused(python: Python, tmp_path: Path) -> None:
    ran = python(str(SCRIPT), "--only", "no such thing", cwd=tmp_path)
    assert ran.returncode == 2
    assert "leaves no trial" in ran.stderr
