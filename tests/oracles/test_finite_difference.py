"""Finite differences: the error has to hold, and has to be small enough to be worth having."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import assume, given, reject, settings

from gradcheck.errors import InvalidArgument
from gradcheck.oracles.differences.finite_difference import derivative, directional

if TYPE_CHECKING:
    from tests.oracles.conftest import Composition, Truth

Compositions = st.SearchStrategy["Composition"]


def test_the_error_holds(truth: Truth) -> None:
    estimate = directional(truth.fun, truth.at, truth.along)
    assert abs(float(estimate.value) - truth.derivative) <= float(estimate.error)
    assert not estimate.kink


def test_the_accuracy_is_reached(truth: Truth) -> None:
    assert float(directional(truth.fun, truth.at, truth.along).error) <= truth.reached(truth.differences)


def test_a_fixed_step_would_fail_most_of_the_table(truths: tuple[Truth, ...]) -> None:
    def misses(truth: Truth) -> bool:
        x, v, step = np.asarray(truth.at), np.asarray(truth.along), 1e-6
        with np.errstate(all="ignore"):
            slope = (float(truth.fun(x + step * v)) - float(truth.fun(x - step * v))) / (2 * step)
        return not abs(slope - truth.derivative) <= truth.reached(truth.differences)

    assert sum(map(misses, truths)) > 0.7 * len(truths)


def agrees(composition: Composition) -> None:
    slope = composition.derivative
    if slope is None:
        reject()
    estimate = directional(composition, composition.primal, composition.direction)
    assume(estimate.known)
    assert abs(float(estimate.value) - slope) <= float(estimate.error), estimate
    if composition.weights:  # at a tie, log-sum-exp of large numbers is their maximum to the last bit
        assert not estimate.kink


@settings(max_examples=150, derandomize=True, deadline=None)
@given(data=st.data())
def test_the_error_holds_for_random_compositions(compositions: Compositions, data: st.DataObject) -> None:
    agrees(data.draw(compositions))


@pytest.mark.slow
@settings(max_examples=20_000, deadline=None)
@given(data=st.data())
def test_the_error_holds_for_very_many_compositions(compositions: Compositions, data: st.DataObject) -> None:
    agrees(data.draw(compositions))


@pytest.mark.parametrize(
    ("fun", "behind", "ahead", "excess"),
    [
        (np.abs, -1.0, 1.0, 1e-12),
        (lambda x: np.maximum(x, 0.0), 0.0, 1.0, 1e-12),
        (lambda x: np.maximum(x, 0.0) * np.exp(x) + x * x, 0.0, 1.0, 1e-5),
        (lambda x: np.maximum(np.sin(x), np.sin(3 * x)) + np.exp(x), 2.0, 4.0, 1e-4),
        (lambda x: 1e-3 * np.abs(x) + np.cosh(x), -1e-3, 1e-3, 1e-3),
        (lambda x: np.maximum(x, 0.0) + np.maximum(x - 1e-2, 0.0) - np.maximum(x + 3e-3, 0.0), -1.0, 0.0, 0.25),
    ],
    ids=["abs", "relu", "relu * exp", "maximum", "a small kink", "among kinks"],
)
def test_a_kink_is_seen_and_the_error_covers_both_slopes(
    fun: Callable[[Any], Any], behind: float, ahead: float, excess: float
) -> None:
    estimate = directional(lambda x: fun(x[()]), 0.0, 1.0)
    low, high = float(estimate.value - estimate.error), float(estimate.value + estimate.error)
    assert estimate.kink
    assert "kink" in estimate.detail
    assert low <= behind <= ahead <= high
    assert high - low <= (1 + excess) * (ahead - behind)


def test_a_near_kink_is_told_from_the_noise_around_it() -> None:
    def phi(t: float) -> float:
        return (math.sin(t) + 30) - 30 + max(t - 6e-4, 0.0)

    estimate = derivative(phi)
    assert abs(estimate.value - 1) <= estimate.error < 1e-8
    assert not estimate.kink


def test_both_slopes_are_named() -> None:
    assert derivative(lambda t: max(2 * t, -t)).detail == "kink: slopes -1 behind and 2 ahead"


def test_a_jump_has_no_derivative() -> None:
    estimate = derivative(lambda t: float(t > 0))
    assert not estimate.known
    assert "jumps" in estimate.detail


def test_what_oscillates_faster_than_floats_has_none_either() -> None:
    estimate = directional(lambda x: float(np.cos(np.exp(x))), 100.0, 1.0)
    assert not estimate.known
    assert "however small the step" in estimate.detail


def test_noise_that_the_caller_knows_of_is_no_jump() -> None:
    def phi(t: float) -> float:
        return 1e-13 * random.Random(t).random()

    assert not derivative(phi).known
    estimate = derivative(phi, noise=1e-13)
    assert abs(estimate.value) <= estimate.error < 1e-9


@pytest.mark.parametrize(("fun", "said"), [(np.log, "-inf"), (lambda x: x / x, "nan")])
def test_a_point_where_the_forward_is_not_finite(fun: Callable[[Any], Any], said: str) -> None:
    estimate = directional(lambda x: fun(x[()]), 0.0, 1.0)
    assert not estimate.known
    assert estimate.detail == f"the forward is {said} at the point itself"


def test_a_point_on_the_edge_of_the_domain() -> None:
    estimate = directional(lambda x: float(np.sqrt(x)), 0.0, 1.0)
    assert not estimate.known
    assert estimate.detail == "the forward is not finite on both sides of the point"


def test_a_forward_that_is_finite_at_large_steps_only() -> None:
    estimate = derivative(lambda t: t if abs(t) > 1e-3 or t == 0 else math.nan)
    assert not estimate.known
    assert "not at smaller ones" in estimate.detail


def test_a_forward_that_raises_beyond_its_domain() -> None:
    estimate = derivative(lambda t: math.log(0.01 + t))
    assert abs(estimate.value - 100) <= estimate.error < 1e-7


def test_what_else_the_forward_raises_is_not_swallowed() -> None:
    def phi(t: float) -> float:
        return {0.0: 0.0}[t]

    with pytest.raises(KeyError):
        derivative(phi)


def test_evaluations_are_few_and_counted() -> None:
    calls: list[float] = []
    estimate = derivative(lambda t: calls.append(t) or math.sin(1 + t))  # type: ignore[func-returns-value]  # counts
    assert estimate.evaluations == len(calls) == 13
    assert len(set(calls)) == len(calls)


@pytest.mark.parametrize("factor", [2.0**-40, -4.0, 2.0**300])
def test_a_factor_on_the_function_is_a_factor_on_the_estimate(factor: float) -> None:
    plain = derivative(lambda t: math.exp(1 + t))
    scaled = derivative(lambda t: factor * math.exp(1 + t))
    assert scaled.value == factor * plain.value
    assert scaled.error == pytest.approx(abs(factor) * plain.error, rel=1e-9)


def test_a_factor_on_the_direction_is_a_factor_on_the_estimate(truth: Truth) -> None:
    plain = directional(truth.fun, truth.at, truth.along)
    fast = directional(truth.fun, truth.at, 4 * np.asarray(truth.along))
    assert fast.value == 4 * plain.value
    assert fast.evaluations == plain.evaluations


def test_a_scale_helps_to_find_a_far_bend() -> None:
    def phi(t: float) -> float:
        return math.cos(1e-9 * (t + 1e9))

    blind, told = derivative(phi), derivative(phi, scale=1e9)
    for estimate in (blind, told):
        assert abs(estimate.value + 1e-9 * math.sin(1)) <= estimate.error
    assert told.error < 1e-6 * blind.error


@pytest.mark.parametrize("x", [1e-300, 1e-12, 1e-3, 0.5, 1 - 1e-3, 1 - 1e-9])
def test_steps_end_before_the_domain_does(x: float) -> None:
    seen: list[float] = []

    def fun(p: Any) -> float:
        seen.append(float(p[0]))
        return math.log(p[0]) - math.log1p(-p[0])

    estimate = directional(fun, [x], [1.0], room=[min(x, 1 - x)])
    slope = 1 / x + 1 / (1 - x)
    assert all(0 < p < 1 for p in seen)
    assert abs(float(estimate.value) - slope) <= float(estimate.error) < 1e-3 * slope


def test_where_rounding_leaves_no_step_nothing_is_claimed() -> None:
    estimate = directional(lambda p: float(np.log1p(-p[0])), [1 - 2.0**-50], [1.0], room=[2.0**-50])
    assert not estimate.known
    assert estimate.evaluations == 0
    assert estimate.detail == "the domain ends 8.9e-16 away, too near for a step"


@pytest.mark.parametrize("away", [2.0**-52, 1e-14, 1e-12, 1e-9])
def test_a_slow_entry_near_an_end_is_not_overlooked(away: float) -> None:
    """Its steps are too small for the floats there, while another entry moves freely."""
    x = np.array([1 - away, 0.25])
    v = np.array([-away, 0.25])
    estimate = directional(lambda x: float(np.sum(np.arcsin(x))), x, v, room=np.minimum(x, 1 - x))
    slope = math.fsum(v / np.sqrt((1 - x) * (1 + x)))
    assert not abs(float(estimate.value) - slope) > float(estimate.error)  # nor where it is unknown, which is NaN
    assert estimate.known == (away >= 1e-12)


@pytest.mark.parametrize("zeros", [0, 1, 5])
def test_entries_that_float32_moves_are_not_taken_for_all(zeros: int) -> None:
    """Inside the forward, steps of 1e-8 move the zeros and not the ones."""
    x = np.concatenate([np.zeros(zeros), -np.ones(2)])
    estimate = directional(
        lambda x: float(np.sum(np.tanh(x.astype(np.float32)).astype(np.float64))), x, np.ones(x.size)
    )
    assert abs(float(estimate.value) - (zeros + 2 / math.cosh(1) ** 2)) <= float(estimate.error)


def test_masked_entries_may_be_infinite() -> None:
    z, v = np.array([1.0, -math.inf, 0.5]), np.array([1.0, 1.0, -1.0])
    estimate = directional(lambda z: float(np.log(np.sum(np.exp(z)))), z, v)
    a = np.exp(z) / np.sum(np.exp(z))
    assert abs(estimate.value - (a[0] - a[2])) <= estimate.error < 1e-10


def test_the_forward_may_overwrite_what_it_is_given() -> None:
    primal = np.array([1.0, 2.0])

    def fun(x: Any) -> float:
        np.exp(x, out=x)
        return float(x.sum())

    estimate = directional(fun, primal, np.array([1.0, -1.0]))
    assert abs(estimate.value - (math.e - math.e**2)) <= estimate.error
    assert primal.tolist() == [1.0, 2.0]


def test_floating_point_errors_stay_as_the_caller_set_them() -> None:
    with np.errstate(all="raise"):
        before = np.geterr()
        assert directional(lambda x: float(np.exp(x)), 700.0, 1.0).known
        assert np.geterr() == before


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan, (1.0, 0.0), ()])
def test_a_scale_that_is_no_length_is_refused(scale: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"scale is .*; give lengths of t, above zero"):
        derivative(math.sin, scale=scale)


@pytest.mark.parametrize("name", ["grain", "noise"])
@pytest.mark.parametrize("size", [-1.0, math.nan, math.inf])
def test_a_negative_or_infinite_grain_or_noise_is_refused(name: str, size: float) -> None:
    with pytest.raises(InvalidArgument, match=f"{name} is {size}; give a finite number"):
        derivative(math.sin, **{name: size})


def test_a_kink_nearer_than_any_normal_step_is_no_crash() -> None:
    """The distance of a subnormal number from zero is a scale too, with no steps below it to extrapolate from."""
    primal = np.array([5e-323, 2.0])
    found = directional(lambda x: float(np.maximum(x, 0.0).sum()), primal, np.ones(2))
    assert not abs(float(found.value) - 2.0) > float(found.error)  # nor where the error is unknown, which is NaN
