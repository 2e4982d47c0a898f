"""Teeth: ten allowances off is called wrong and a tenth is not, in every regime, whatever the precision."""

from __future__ import annotations

from functools import partial
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

import gradcheck
from gradcheck import derivations
from gradcheck import strategies as gst
from gradcheck.catalogue.softmax_nll import nll
from gradcheck.oracles.autodiff import Autodiff, differentiate
from gradcheck.rule import Point
from gradcheck.tree import flatten
from gradcheck.verdict import Grade, Outcome
from gradcheck.verdict.allowance import precision_of
from gradcheck.verdict.compare import compare
from gradcheck.verdict.evidence import Evidence
from gradcheck.verdict.outcome import Precision

FUSED = derivations.softmax_nll.fused


def shifted(by: np.ndarray[Any, Any]) -> gradcheck.Rule:
    """Make the fused rule with something added to its gradient."""

    def rule(z: Any, y: Any) -> Any:
        loss, pullback = FUSED(z, y)
        return loss, lambda cotangent: (pullback(cotangent) + by).astype(z.dtype)

    return gradcheck.from_pullback(rule, argnums=0, reference=nll)


def exact() -> gradcheck.Rule:
    return gradcheck.from_pullback(FUSED, argnums=0, reference=nll)


# What makes a regime that needs an option possible, in the strategy and in the loss.
DRAWN: dict[str | None, dict[str, Any]] = {
    None: {},
    "masks=True": {"masks": True},
    "labels='soft'": {"labels": "soft"},
    "ignore_index=": {"ignore_index": -100},
    "weights=True": {"weights": True},
}


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("regime", sorted(set(gst.REGIMES) - {"no rows"}))
def test_ten_allowances_are_wrong_and_a_tenth_is_not(dtype: str, regime: str) -> None:
    precision = precision_of(np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype))
    wide = "float32" if dtype == "bfloat16" else dtype
    drawn = DRAWN[gst.REGIMES[regime].option]
    loss = partial(nll, ignore_index=drawn.get("ignore_index"))
    bitten = 0

    @seed(0)
    @settings(max_examples=15, database=None, deadline=None, phases=[Phase.generate])
    @given(
        gst.softmax_nll(dtype=wide, regimes=[regime], **drawn),
        st.integers(0, 10**6),
    )
    def bite(case: Any, where: int) -> None:
        nonlocal bitten
        evidence = Evidence(differentiated(case, loss))
        truth, _ = evidence.best(0)
        index = np.unravel_index(where % truth.size, truth.shape)
        entry, row = (a[index] for a in evidence.allowances(0, precision))
        for off, expected in ((10 * row, [Grade.WRONG]), (0.1 * row, [Grade.NORM_WISE, Grade.ENTRY_WISE])):
            assert graded(evidence, truth, index, off, precision) in expected
        for off, expected in ((10 * entry, [Grade.WRONG, Grade.NORM_WISE]), (0.1 * entry, [Grade.ENTRY_WISE])):
            assert graded(evidence, truth, index, off, precision) in expected
        bitten += 1

    bite()
    assert bitten >= 10


def differentiated(case: Any, loss: Any = nll) -> Autodiff:
    flat = flatten(exact(), Point(tuple(case), {}, np.asarray(1.0)))
    return differentiate("", loss, flat, [np.asarray(1.0)])


def graded(evidence: Evidence, truth: Any, index: Any, off: float, precision: Precision) -> int:
    """Grade the true gradient with one entry off."""
    analytic = truth.copy()
    analytic[index] += off
    return int(compare("z", analytic, evidence, 0, precision).grade[index])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_would_have_been_seen_is_seen(dtype: str) -> None:
    """A scale error of twice the figure that a pass reports fails, and half of it passes."""
    z, y = np.array([[0.5, -1.25, 2.0], [1.0, 0.0, -0.5]]), np.array([2, 1])
    seen = gradcheck.examine(exact(), z.astype(dtype), y).verdict.seen
    reference, precision = differentiated((z.astype(dtype), y)), precision_of(np.dtype(dtype))
    for factor, wrong in ((2.0, True), (0.5, False)):
        off = compare("z", reference.gradient[0] * (1 + factor * seen), Evidence(reference), 0, precision)
        assert bool(np.any(off.wrong)) is wrong


@pytest.mark.parametrize(
    ("dtype", "unit"), [("float64", 2.0**-53), ("float32", 2.0**-24), ("float16", 2.0**-11), ("bfloat16", 2.0**-8)]
)
def test_unit_round_off(dtype: str, unit: float) -> None:
    precision = precision_of(np.dtype(getattr(ml_dtypes, dtype, dtype)))
    assert precision.unit == unit
    assert 0 < precision.tiny < 1e-6


def test_the_allowance_does_not_grow_with_the_array() -> None:
    """A single entry wrong by 1e-9 is seen among 4 and among 40,000."""
    for rows in (1, 10_000):
        z, y = np.tile([0.5, -1.0, 2.0, 0.25], (rows, 1)), np.zeros(rows, dtype=np.int64)
        wrong = np.zeros(z.shape)
        wrong[-1, 2] = 1e-9 / rows  # of the entry, which the mean divides by the rows
        report = gradcheck.examine(shifted(wrong), z, y)
        assert report.outcome is Outcome.FAIL
        assert report.verdict.discrepancies[0].worst(5) == [(rows - 1, 2)]


def test_small_gradients_are_judged_at_their_own_scale() -> None:
    """A zero gradient of 1e-6 x^2 passes every checker with an absolute tolerance."""
    rule = gradcheck.from_loss(lambda x: 1e-6 * np.sum(x * x), np.zeros_like, name="zero")
    assert gradcheck.examine(rule, np.array([0.5, -1.0])).outcome is Outcome.FAIL


def test_confident_rows_are_judged_at_their_own_scale() -> None:
    """All rows right by a logit gap of 20: true gradients near 1e-9, ten times too large is seen."""

    def ten_times(z: Any, y: Any) -> Any:
        loss, pullback = FUSED(z, y)
        return loss, lambda cotangent: 10 * pullback(cotangent)

    z = np.array([[20.0, 0.0, -1.0], [0.5, 21.0, 0.0]])
    rule = gradcheck.from_pullback(ten_times, argnums=0, reference=nll)
    assert gradcheck.examine(rule, z, np.array([0, 1])).outcome is Outcome.FAIL
    assert gradcheck.examine(exact(), z, np.array([0, 1])).outcome is Outcome.PASS


def test_not_finite_where_the_truth_is_finite_fails_whatever_the_allowance() -> None:
    for bad in (np.nan, np.inf, -np.inf):
        wrong = np.zeros((1, 3))
        wrong[0, 1] = bad
        report = gradcheck.examine(shifted(wrong), np.array([[0.0, 1.0, 2.0]]), np.array([0]))
        assert report.outcome is Outcome.FAIL


def test_grades() -> None:
    """1 - sum of the others loses small entries: accurate for the row, not for each entry."""

    def by_complement(z: Any, y: Any) -> Any:
        loss, pullback = FUSED(z, y)

        def lossy(cotangent: Any) -> Any:
            # through numbers near 1, as 1 - sum over the others would
            return (pullback(cotangent) + 1.0) - 1.0

        return loss, lossy

    rule = gradcheck.from_pullback(by_complement, argnums=0, reference=nll)
    z, y = np.array([[30.0, 0.0, 29.0]]), np.array([0])
    report = gradcheck.examine(rule, z, y)
    assert report.outcome is Outcome.PASS
    assert report.verdict.grade == "norm-wise"
    assert report.verdict.discrepancies[0].grade[0, 1] == Grade.NORM_WISE
    assert gradcheck.examine(exact(), z, y).verdict.grade == "entry-wise"
