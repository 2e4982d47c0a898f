"""What is within two roundings costs no more than a glance; what is not is compared with all evidence."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import gradcheck
from gradcheck.oracles.autodiff import differentiate
from gradcheck.oracles.balls import Balls
from gradcheck.oracles.program.plan import Plan
from gradcheck.rule import Point
from gradcheck.tree import flatten
from gradcheck.verdict import Grade, Outcome
from gradcheck.verdict.allowance import FLOAT64, sampled
from gradcheck.verdict.compare import compare, in_full
from gradcheck.verdict.evidence import Evidence

X = np.array([0.5, -1.25, 2.0])


def cube(x: Any) -> Any:
    return jnp.sum(x**3)


def evidence_of(loss: Any, x: Any) -> Evidence:
    flat = flatten(gradcheck.from_loss(loss, lambda x: x), Point((x,), {}, np.asarray(1.0)))
    return Evidence(differentiate("", loss, flat, [np.asarray(1.0)]))


@pytest.fixture
def no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make all that is dear fail."""

    def dear(*_: Any, **__: Any) -> Any:
        pytest.fail("a glance was enough")

    monkeypatch.setattr(Plan, "spread", dear)
    monkeypatch.setattr(Balls, "__init__", dear)


@pytest.mark.usefixtures("no_evidence")
def test_a_glance_is_enough_for_a_right_gradient() -> None:
    report = gradcheck.examine(gradcheck.from_loss(lambda x: np.sum(x**3), lambda x: 3 * x**2), X)
    assert report
    (discrepancy,) = report.verdict.discrepancies
    assert discrepancy.at_a_glance
    assert report.verdict.grade == "entry-wise"
    assert report.verdict.nearness == 0
    assert report.verdict.worst_ulps <= 1


def test_what_would_have_been_seen_takes_all_evidence() -> None:
    """The allowance that was kept is narrower than the one that an entry may not exceed."""
    evidence = evidence_of(cube, X)
    seen = compare("x", 3 * X**2, evidence, 0, FLOAT64)
    full = in_full("x", 3 * X**2, evidence, 0, FLOAT64)
    assert seen.at_a_glance
    assert not full.at_a_glance
    assert np.array_equal(seen.widest, full.widest)
    assert np.all(seen.widest > seen.allowed)
    assert seen.seen == full.seen > 0


def test_a_report_is_pickled_with_its_limit() -> None:
    report = gradcheck.examine(gradcheck.from_loss(lambda x: np.sum(x**3), lambda x: 3 * x**2), X)
    again = pickle.loads(pickle.dumps(report.verdict))
    assert again.seen == report.verdict.seen
    assert not again.discrepancies[0].at_a_glance


@pytest.mark.parametrize("off", [1e-12, np.nan, np.inf])
def test_what_is_off_is_compared_in_full(off: float) -> None:
    analytic = 3 * X**2
    analytic[1] += off
    found = compare("x", analytic, evidence_of(cube, X), 0, FLOAT64)
    assert not found.at_a_glance
    assert [g == Grade.WRONG for g in found.grade] == [False, True, False]


def test_agreement_below_the_allowance_is_no_glance() -> None:
    """In a saturated row zeros agree to within two roundings of 1, which says nothing."""
    evidence = evidence_of(lambda z: jnp.log(jnp.sum(jnp.exp(z))) - z[0], np.array([50.0, 0.0]))
    found = compare("z", np.zeros(2), evidence, 0, FLOAT64)
    assert not found.at_a_glance
    assert found.vacuous


@pytest.mark.usefixtures("no_evidence")
def test_a_zero_that_nothing_moves_takes_a_single_run(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []

    def spread(*_: Any, **keywords: Any) -> tuple[Any, ...]:
        runs.append(keywords["runs"])
        return tuple(np.zeros(np.shape(x)) for x in (0.0, X))

    monkeypatch.setattr(Plan, "spread", spread)
    found = compare("x", 0 * X, evidence_of(lambda x: jnp.sum(0 * x), X), 0, FLOAT64)
    assert found.at_a_glance
    assert runs == [1]


def test_zeros_that_are_underflow_are_not_believed() -> None:
    """exp(-800) is 0 in float64, and 1e200 times it is not: 1e-147 is the truth, and balls know."""
    pytest.importorskip("flint", exc_type=ImportError)

    def tiny(x: Any) -> Any:
        return np.sum(np.exp(x - 800.0)) * 1e200

    right = gradcheck.from_loss(tiny, lambda x: np.exp(x - 400.0) * (np.exp(-400.0) * 1e200))
    report = gradcheck.examine(right, X)
    assert report
    assert report.verdict.grade in ("entry-wise", "norm-wise")
    assert gradcheck.examine(gradcheck.from_loss(tiny, np.zeros_like), X).outcome is not Outcome.PASS


def test_without_balls_the_sampled_allowance_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flint", None)
    evidence = evidence_of(cube, X)
    assert isinstance(evidence.balls, str)
    assert "pip install 'gradcheck[exact]'" in evidence.balls
    error, _ = sampled(evidence.magnitude(0), evidence.spread(0), FLOAT64)
    _, row = sampled(evidence.magnitude(0), evidence.spread(0), FLOAT64)
    found = in_full("x", 3 * X**2, evidence, 0, FLOAT64)
    assert np.array_equal(found.widest, row + error)
    assert np.array_equal(found.reference, evidence.autodiff.gradient[0])


def test_a_spread_that_is_not_in_proportion_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sine turns several times within a relative 2^-40 of 1e14."""
    pytest.importorskip("flint", exc_type=ImportError)
    x = np.array([0.123, 0.7, -0.33])
    right = gradcheck.from_loss(
        lambda x: np.sum(np.sin(1e14 * x)), lambda x: 1e14 * np.cos((1e7 * x) * 1e7), name="fast sine"
    )
    assert gradcheck.examine(right, x)
    monkeypatch.setitem(sys.modules, "flint", None)
    report = gradcheck.examine(right, x)
    assert report.outcome is Outcome.UNDECIDED
    assert any("no sample bounds" in note for note in report.verdict.notes)


def test_large_arrays_are_judged_without_balls() -> None:
    x = np.linspace(0.5, 1.5, 10_001)
    evidence = evidence_of(cube, x)
    assert evidence.balls == "the arrays are too large for ball arithmetic"
    runs = [
        evidence.autodiff.plan.spread(evidence.autodiff.inputs, evidence.autodiff.trace, runs=n, seed=0) for n in (2, 8)
    ]
    assert np.array_equal(evidence.spread(0), runs[0][1])
    assert not np.array_equal(evidence.spread(0), runs[1][1])
    wrong = 3 * x**2
    wrong[77] *= 1 + 1e-12
    assert [int(i) for (i,) in in_full("x", wrong, evidence, 0, FLOAT64).worst(5)] == [77]


def test_entries_of_a_large_array_that_are_not_resolved_are_counted() -> None:
    x = np.linspace(0.5, 1.5, 10_001)
    x[7:9] = 1e-20
    report = gradcheck.examine(gradcheck.from_loss(lambda x: np.sum(x**3), lambda x: 3 * x**2), x)
    assert report
    assert report.verdict.notes == (
        "2 of 10001 entries of x are smaller than what they may be off by, and not resolved",
        "layouts: each array was handed over in 2 of its up to 9, since they are large",
    )


def test_an_enclosure_of_another_branch_is_not_believed() -> None:
    """In float64 1 - sigmoid(150) is 0; exactly it is not, and its logarithm is finite."""
    pytest.importorskip("flint", exc_type=ImportError)

    def branched(z: Any) -> Any:
        return jnp.sum(jnp.where(jnp.isfinite(jnp.log(1 - 1 / (1 + jnp.exp(-z)))), z, 3 * z))

    z = np.array([150.0, 1.0])
    evidence = evidence_of(branched, z)
    assert Balls(evidence.autodiff.plan, evidence.autodiff.inputs).truth().value[0] == 151.0
    assert evidence.autodiff.value[0] == 451.0
    assert evidence.truth is None
    assert evidence.best(0)[0].tolist() == [3.0, 1.0]
    assert evidence_of(branched, z[1:]).truth is not None


def test_the_sign_of_a_zero_that_balls_do_not_have_is_seen() -> None:
    pytest.importorskip("flint", exc_type=ImportError)

    def by_reciprocal(n: Any) -> Any:
        return jnp.sum(jnp.where(1 / n > 5, n + 1, 3 * n))

    assert evidence_of(by_reciprocal, np.array([0.0, 1.0])).truth is not None
    assert evidence_of(by_reciprocal, np.array([-0.0, 1.0])).truth is None


@pytest.mark.parametrize(
    ("loss", "x"),
    [
        (lambda x: jnp.sum((1 - jnp.cos(x)) / x**2), [1e-9, 1.0]),  # cancels: 0 where it is 1/2
        (lambda x: jnp.sum(jnp.exp(x - 800.0)) * 1e200, [0.0, 1.0]),  # underflows
        (lambda x: jnp.sum(x**2 * 1e-200 / 1e-200), [1e170, 1.0]),  # overflows
        (lambda x: jnp.log(jnp.sum(jnp.exp(x - 1000.0))), [0.0, 1.0]),  # -inf where it is about -1000
        (lambda x: jnp.sum((x + 1e17 - 1e17) ** 2), [1.0, 2.0]),
    ],
    ids=["cancels", "underflows", "overflows", "is lost", "is absorbed"],
)
def test_what_float64_lost_is_no_reason_to_doubt_an_enclosure(loss: Any, x: list[float]) -> None:
    pytest.importorskip("flint", exc_type=ImportError)
    assert evidence_of(loss, np.array(x)).truth is not None
