"""Complex steps: exact where the forward is analytic, and refused where it is seen not to be."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import assume, given, reject, settings

from gradcheck.errors import InvalidArgument
from gradcheck.oracles.differences.complex_step import directional

if TYPE_CHECKING:
    from tests.oracles.conftest import Composition, Truth


def test_the_error_holds_and_the_accuracy_is_reached(truth: Truth) -> None:
    estimate = directional(truth.fun, truth.at, truth.along)
    assert estimate.known == (truth.complex_step is not None), estimate.detail
    if truth.complex_step is not None:
        assert abs(float(estimate.value) - truth.derivative) <= float(estimate.error)
        assert float(estimate.error) <= truth.reached(truth.complex_step)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(data=st.data())
def test_the_error_holds_for_random_compositions(
    compositions: st.SearchStrategy[Composition], data: st.DataObject
) -> None:
    composition = data.draw(compositions)
    slope = composition.derivative
    if slope is None:
        reject()
    estimate = directional(composition, composition.primal, composition.direction)
    assume(estimate.known)
    assert abs(float(estimate.value) - slope) <= float(estimate.error), estimate


def in_real_code(x: Any) -> Any:
    return math.exp(x)


def cast(x: Any) -> Any:
    return 2 * np.asarray(x, dtype=np.float64)


def integers_only(x: Any) -> Any:
    if not isinstance(x, float):
        raise AssertionError(f"a float is wanted, not {x!r}")
    return x


def other_branch(x: Any) -> Any:
    return x**3 + 1 if np.iscomplexobj(x) else x**3


@pytest.mark.parametrize(
    ("fun", "reason"),
    [
        (np.abs, "it takes a modulus or a real part, or casts"),
        (np.real, "it takes a modulus or a real part, or casts"),
        (lambda _: 3.0, "it takes a modulus or a real part, or casts"),
        (cast, "casts to a real dtype"),
        (integers_only, "refuses complex numbers: AssertionError: a float is wanted"),
        (lambda x: x * np.abs(x), "not analytic: the derivative is 1.5 into the complex plane and 3 along the real"),
        (lambda x: x * np.conj(x), "not analytic: the derivative is 0 into"),
        (other_branch, "the forward is 3.375, but 4.375 when given complex numbers"),
        (lambda x: np.where(np.imag(x) > 0, np.nan, x), "beside the real line"),
    ],
    ids=["abs", "real", "constant", "cast", "raises", "x abs(x)", "x conj(x)", "branch", "nan"],
)
def test_what_is_not_analytic_is_refused(fun: Callable[[Any], Any], reason: str) -> None:
    estimate = directional(lambda x: fun(x[()]), 1.5, 1.0)
    assert not estimate.known
    assert math.isnan(estimate.value)
    assert re.search(reason, estimate.detail), estimate.detail


def test_a_refused_dtype_is_no_warning_and_leaves_the_filters() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        assert not directional(lambda x: cast(x)[()], 1.5, 1.0).known
        assert warnings.filters == before
    assert not seen


def test_floating_point_errors_stay_as_the_caller_set_them() -> None:
    with np.errstate(all="raise"):
        before = np.geterr()
        assert directional(lambda x: np.exp(x[()]) + 1e-300 * x[()] ** 2, 1.5, 1.0).known
        assert np.geterr() == before


def test_underflow_of_the_imaginary_part_is_in_the_error() -> None:
    estimate = directional(lambda x: 1e-300 * np.sin(x[()]), 1.0, 1.0)
    assert abs(estimate.value - 1e-300 * math.cos(1)) <= estimate.error < 1e-280


def test_a_derivative_that_underflow_spoils_claims_nothing() -> None:
    estimate = directional(lambda x: 1e300 * np.exp(x[()]), -700.0, 1.0)
    assert abs(estimate.value - 1e300 * math.exp(-700)) <= estimate.error


def test_evaluations_are_few_and_counted() -> None:
    calls: list[Any] = []

    def fun(x: Any) -> Any:
        calls.append(x)
        return np.sum(np.exp(x))

    estimate = directional(fun, [1.0, 2.0], [1.0, -1.0])
    assert estimate.evaluations == len(calls) == 5


def test_masked_entries_may_be_infinite() -> None:
    z, v = np.array([1.0, -math.inf, 0.5]), np.array([1.0, 1.0, -1.0])
    estimate = directional(lambda z: np.log(np.sum(np.exp(z))), z, v)
    a = np.exp(z) / np.sum(np.exp(z))
    assert abs(estimate.value - (a[0] - a[2])) <= estimate.error < 1e-12


def test_a_kink_at_the_point_is_not_resolved() -> None:
    """Comparisons of complex numbers look at the real part first; the error has to cover what they hide."""
    estimate = directional(lambda x: np.maximum(x[()], 0), 0.0, 1.0)
    assert abs(estimate.value - 0.5) <= estimate.error
    assert estimate.error >= 1


def test_what_is_no_line_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="direction has shape"):
        directional(np.sum, [1.0, 2.0], [1.0])


@pytest.mark.parametrize("x", [1e-12, 0.5, 1 - 1e-9])
def test_neighbours_stay_in_the_domain(x: float) -> None:
    seen: list[float] = []

    def fun(p: Any) -> Any:
        seen.append(float(p[0].real))
        return np.log(p[0]) - np.log(1 - p[0])

    estimate = directional(fun, [x], [1.0], room=[min(x, 1 - x)])
    slope = 1 / x + 1 / (1 - x)
    assert all(0 < p < 1 for p in seen)
    assert abs(float(estimate.value) - slope) <= float(estimate.error)


def test_without_room_for_neighbours_nothing_is_claimed() -> None:
    estimate = directional(lambda p: np.log(p[0]), [1.0], [1.0], room=[2.0**-50])
    assert not estimate.known
    assert estimate.detail == "the domain ends too near for a real difference"
