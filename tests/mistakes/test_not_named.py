"""What must not be named: another mistake than the one that is there, and wrong gradients of no listed kind."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import gradcheck
from gradcheck.mistakes import MISTAKES, Context
from gradcheck.tree import leaves_of

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
# In a linear layer there is no label, no softmax, no option and no kink: these must leave it as it is.
NOWHERE_IN_A_LINEAR_LAYER = (
    "weights' sum",
    "kept rows' count",
    "only the active neuron",
    "no softmax Jacobian",
    "missing onehot",
    "missing softmax",
    "labels assumed to sum to one",
    "label off by one",
    "wrapped label",
    "always the last column",
    "soft labels hardened",
    "softmax over the wrong axis",
    "softmax over the whole array",
    "first row's softmax for all",
    "softmax taken twice",
    "diagonal of the Jacobian only",
    "missing cross term",
    "wrong cross term",
    "repeated index not accumulated",
    "ignored rows not zeroed",
    "option missing",
    "option twice",
    "overflow",
    "underflow",
    "gradient at ties",
    "factor T",
    "factor 1/T",
    "factor T^2",
)
# Of unlike kinds, at places where each says something of its own.
THERE = (
    ("factor N", "nll rows"),
    ("missing onehot", "nll mean"),
    ("cotangent ignored", "linear"),
    ("rolled", "linear"),
    ("option missing", "nll with options"),
    ("softmax over the wrong axis", "softmax"),
    ("shared buffer", "nll rows"),
    ("lower precision inside", "nll rows"),
)
UNLISTED = ("sine for cosine", "clipped", "probabilities squared", "first and last entry mixed", "target added")

Report = Callable[[str, str], gradcheck.Report]
Show = Callable[..., Any]


@pytest.mark.sweep
@pytest.mark.parametrize("name", NOWHERE_IN_A_LINEAR_LAYER)
def test_a_mistake_that_makes_no_sense_changes_nothing(show: Show, name: str) -> None:
    right, mutant = show("linear").answer(), show("linear", name).answer()
    for mine, its in zip(leaves_of(right), leaves_of(mutant), strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.sweep
@pytest.mark.parametrize(("name", "place"), THERE, ids=[name for name, _ in THERE])
def test_no_other_mistake_is_recognised(report: Report, name: str, place: str) -> None:
    """Each is asked alone, so that no ranking helps it: only what the finding calls alike may explain the same."""
    found = report(name, place)
    (finding,) = found.findings
    assert found.rule is not None
    context = Context.of(found.rule, found.point, found.verdict, found.seed)
    others = [mistake for mistake in MISTAKES if mistake.name != name and name not in mistake.contains]
    recognised = {mistake.name for mistake in others if mistake.recognise(context) is not None}
    # a constant that happens to be that number at every size drawn is a less telling name for the same
    assert recognised - {*finding.alike, "constant factor"} == set()


@pytest.fixture(scope="module")
def unlisted() -> tuple[Any, ...]:
    """Give wrong gradients that have no name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
        found: tuple[Any, ...] = importlib.import_module("_diagnosis_unlisted").UNLISTED
    return found


@pytest.mark.sweep
@pytest.mark.parametrize("name", UNLISTED)
def test_what_has_no_name_is_given_none(
    unlisted: tuple[Any, ...], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # failures are kept under the working directory
    (one,) = (u for u in unlisted if u.name.endswith(name))
    with pytest.raises(gradcheck.GradientMismatch) as raised:
        gradcheck.verify(one.make(), one.subject.cases(), examples=20, seed=0, **one.subject.data)
    diagnosis = raised.value.report.diagnosis
    assert diagnosis.findings == ()
    assert diagnosis.trouble == ""
    assert "unlike any known mistake" in str(raised.value.report)


def test_a_right_gradient_has_no_diagnosis(show: Show) -> None:
    passed = show("nll mean").report()
    assert passed
    assert passed.findings == ()
    assert "what" not in str(passed).split()


@pytest.mark.parametrize(("factor", "name"), [(1.7, "constant factor"), (2.0, "factor 2"), ((1, 1, 1.5), None)])
def test_a_wide_allowance_does_not_make_one_factor_another(factor: Any, name: str | None) -> None:
    def cubes(w: Any) -> Any:
        return (3 * w**2 * np.array(factor)).astype(w.dtype)

    w = np.array([0.3, 1.7, -2.6]).astype(ml_dtypes.bfloat16)
    report = gradcheck.examine(gradcheck.from_loss(lambda w: np.sum(w**3), cubes), w)
    assert [finding.name for finding in report.findings] == ([] if name is None else [name])
