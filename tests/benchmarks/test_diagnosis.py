"""The benchmark of diagnosis: its comparison of rules, its table, and that a missed bound is said."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
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


def test_what_is_left_of_large_cotangents_is_rounding(behaviour: ModuleType, subject: Any) -> None:
    """Where summands of the size of the cotangent cancel, two orders of adding them up leave different rests."""

    def rule(rest: float) -> gradcheck.Rule:
        return gradcheck.from_vjp(lambda x: x, lambda x, cotangent: rest * cotangent, name="what is left")

    points = [replace(point, cotangent=point.args[0] * 0 + 65536.0) for point in behaviour.points_of(subject, 0, 5)]
    assert behaviour.alike(rule(0.0), rule(2.0**-52), points)
    assert not behaviour.alike(rule(0.0), rule(2.0**-24), points)


def test_only_arrays_of_one_number_are_stored_as_one(behaviour: ModuleType) -> None:
    """Others would be another point, which nobody drew."""
    several, one = np.array([1.0, 2.0]), np.array([2.0, 2.0])
    assert behaviour._repeated(several).tolist() == [1.0, 2.0]
    assert behaviour._repeated(one).strides == (0,)


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
    assert "100.0%" in table.page({}, groups, as_markdown=True)


def test_a_name_for_what_has_none_is_a_miss(table: ModuleType, trial: Any) -> None:
    (*_, message) = table.failures({table.UNLISTED: [trial("clipped", "a rule", "named wrong", "sign")]})
    assert message == "clipped: of no listed kind, but: named wrong sign"


def test_a_confusion_is_printed(table: ModuleType, trial: Any) -> None:
    trials = [trial("sign", rule, "named wrong", "rolled") for rule in ("a rule", "another")]
    page = table.page({}, {table.INJECTED: trials}, as_markdown=True)
    assert "| sign -> rolled: a rule, another | 2 |" in page


def test_a_mistake_has_its_number_of_rules(table: ModuleType, trial: Any) -> None:
    """Of two seeds, a rule counts once; a rule in which nothing changes does not."""
    told = [trial("sign", "a rule", "named right", "sign")] * 2 + [trial("sign", "another", "no difference")]
    groups = {table.INJECTED: told, table.HELD_OUT: [trial("sign", "held out: a third", "does not know")]}
    assert "| sign | 2 | 1 | 3 | 2 | 0 | 1 | 0 | 0 |" in table.page({}, groups, as_markdown=True)


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


def stored(path: Path, table: ModuleType, trial: Any) -> Path:
    trials: dict[str, list[Any]] = {
        group: [] for group in (table.INJECTED, table.HELD_OUT, table.UNLISTED, table.CORPUS)
    }
    trials[table.INJECTED] = [asdict(trial("sign", "a rule", "named right", "sign"))]
    path.write_text(json.dumps({"conditions": {"python": "3.11"}, "trials": trials}), encoding="utf-8")
    return path


def test_a_page_shows_what_is_printed(python: Python, tmp_path: Path, table: ModuleType, trial: Any) -> None:
    path, page = stored(tmp_path / "trials.json", table, trial), tmp_path / "page.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n", encoding="utf-8")
    ran = python(str(SCRIPT), "--from", str(path), "--markdown", "--page", str(page), cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert page.read_text(encoding="utf-8") == f"before\n{table.BEGIN}\n{ran.stdout}{table.END}\nafter\n"
    assert "python 3.11" in ran.stdout


def test_a_page_without_marks_is_refused_before_any_trial(python: Python, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n", encoding="utf-8")
    ran = python(str(SCRIPT), "--page", str(page), cwd=tmp_path)
    assert ran.returncode == 2
    assert "the page has no '<!-- begin benchmarks/diagnosis.py -->'" in ran.stderr


def test_the_reference_has_the_marks(table: ModuleType) -> None:
    page = (BENCHMARKS.parent / "docs/reference/mistakes.md").read_text(encoding="utf-8")
    assert table.put_into(page, "a table") != page


def test_a_filter_that_leaves_nothing_is_refused(python: Python, tmp_path: Path) -> None:
    ran = python(str(SCRIPT), "--only", "no such thing", cwd=tmp_path)
    assert ran.returncode == 2
    assert "leaves no trial" in ran.stderr
