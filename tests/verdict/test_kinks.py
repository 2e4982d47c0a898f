"""At a kink any mix of the sides passes, and nothing else does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcheck
from gradcheck import domain
from gradcheck.verdict import Outcome


def relu(x: Any) -> Any:
    return np.maximum(x, 0.0)


def row_max(x: Any) -> Any:
    return np.max(x, axis=-1)


def relu_rule(at_zero: float) -> gradcheck.Rule:
    return gradcheck.from_vjp(relu, lambda x, cotangent: cotangent * np.where(x == 0, at_zero, x > 0), name="relu")


def max_rule(share: Any) -> gradcheck.Rule:
    return gradcheck.from_vjp(row_max, lambda x, cotangent: share(x) * cotangent[:, None], name="max")


def first(x: Any) -> Any:
    return np.eye(x.shape[1])[x.argmax(axis=-1)]


def all_in_full(x: Any) -> Any:
    return (x == x.max(axis=-1, keepdims=True)).astype(float)


def shared(x: Any) -> Any:
    return all_in_full(x) / all_in_full(x).sum(axis=-1, keepdims=True)


X = np.array([[0.0, -1.0, 0.0], [2.0, 0.0, 0.5]])
TIES = np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 2.0], [0.0, -1.0, -3.0]])


@pytest.mark.parametrize("at_zero", [0.0, 0.25, 0.5, 1.0])
def test_any_subgradient_of_relu_passes(at_zero: float) -> None:
    assert gradcheck.examine(relu_rule(at_zero), X)


@pytest.mark.parametrize("at_zero", [-0.25, 1.25, np.nan])
def test_what_is_no_subgradient_fails(at_zero: float) -> None:
    assert gradcheck.examine(relu_rule(at_zero), X).outcome is Outcome.FAIL


@pytest.mark.parametrize("share", [first, shared])
def test_a_tie_may_be_broken_or_shared(share: Any) -> None:
    assert gradcheck.examine(max_rule(share), TIES)


@pytest.mark.parametrize("shape", [(15, 32), (32, 33), (40, 2), (60, 60)])
def test_many_ties_of_many(shape: tuple[int, int]) -> None:
    """Far more ways to break them than sides can be drawn at random."""
    ties = np.zeros(shape)
    assert gradcheck.examine(max_rule(first), ties)
    assert gradcheck.examine(max_rule(shared), ties)
    assert gradcheck.examine(max_rule(all_in_full), ties).outcome is Outcome.FAIL
    assert gradcheck.examine(max_rule(lambda x: np.roll(first(x), 1, axis=0) * 0.9), ties).outcome is Outcome.FAIL


def test_a_tie_must_not_be_let_through_twice() -> None:
    """Each entry lies between the slopes of its own coordinate, but together they are no subgradient."""
    assert gradcheck.examine(max_rule(all_in_full), TIES).outcome is Outcome.FAIL


def test_a_kink_is_said() -> None:
    report = gradcheck.examine(relu_rule(1.0), X)
    assert any("coincide" in note for note in report.verdict.notes)
    assert not gradcheck.examine(relu_rule(1.0), np.array([1.0, -2.0])).verdict.notes


def test_a_kink_excuses_nothing_elsewhere() -> None:
    wrong = gradcheck.from_vjp(relu, lambda x, cotangent: cotangent * (x >= 0) * np.where(x == 2.0, 1.001, 1.0))
    assert gradcheck.examine(wrong, X).outcome is Outcome.FAIL


def test_cotangents_of_very_unlike_size() -> None:
    """What is rounding in one row is a side of a kink in another."""
    cotangent = np.array([2.0**20, 2.0**-20, 0.0])
    assert gradcheck.examine(max_rule(first), TIES, cotangent=cotangent)
    assert gradcheck.examine(max_rule(all_in_full), TIES, cotangent=cotangent).outcome is Outcome.FAIL


def test_a_comparison_that_float32_decides_otherwise() -> None:
    """In float32 the sum is 0 where in exact arithmetic it is not: both sides of the ReLU are right there."""

    def forward(x: Any) -> Any:
        return np.maximum(x[0] + x[1] - x[2], 0)

    def vjp(x: Any, cotangent: Any) -> Any:
        on = x[0] + x[1] - x[2] > 0
        return np.where(on, cotangent * np.array([1, 1, -1], dtype=x.dtype), 0).astype(x.dtype)

    rule = gradcheck.from_vjp(forward, vjp, name="clipped sum")
    x = np.array([1.0, 2.0**-25, 1.0], dtype=np.float32)
    assert vjp(x, np.float32(1)).any() != vjp(x.astype(float), 1.0).any()
    report = gradcheck.examine(rule, x)
    assert report
    assert report.verdict.notes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_branch_outside_the_domain_is_no_side(dtype: Any) -> None:
    """The last float below 1 is an ulp from where the forward is something else, and that is beyond its domain."""
    pytest.importorskip("flint", exc_type=ImportError)

    def surprisal(p: Any) -> Any:
        return np.sum(np.where(p >= 1, 7 * p, -np.log(p)))

    def rule(gradient: Any, stated: Any) -> gradcheck.Rule:
        return gradcheck.from_loss(surprisal, lambda p: gradient(p).astype(p.dtype), domain=stated)

    p = np.array([np.nextafter(dtype(1), dtype(0)), 0.5], dtype)
    assert gradcheck.examine(rule(lambda p: -1 / p, domain.bounded(0, 1)), p)
    beyond = rule(lambda p: np.where(p > 0.9, 7.0, -1 / p), domain.bounded(0, 1))
    assert gradcheck.examine(beyond, p).outcome is Outcome.FAIL
    assert gradcheck.examine(rule(lambda p: np.where(p > 0.9, 7.0, -1 / p), domain.positive), p)
