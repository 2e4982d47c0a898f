"""The contraction: fresh arguments in float64, and nothing outside the domain."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import gradcheck
from gradcheck import domain
from gradcheck.oracles.differences.contraction import Contraction
from gradcheck.rule import Point
from gradcheck.tree import flatten

X = np.array([[0.25, 0.5, 0.25], [0.125, 0.125, 0.75]])


def contraction(forward: Any, *args: Any, cotangents: Any = (1.0,), stated: Any = None) -> Contraction:
    rule = gradcheck.from_vjp(forward, forward, name="r", domain=stated)
    return Contraction(forward, flatten(rule, Point(args, {}, None)), cotangents)


def test_arguments_are_fresh_each_time() -> None:
    weights = np.array([1, 2, 3])

    def forward(x: Any, w: Any) -> Any:
        x *= w
        w += 1
        return x.sum()

    summed = contraction(forward, X, weights)
    first = summed(summed.origin)
    assert summed(summed.origin) == first == (X * [1, 2, 3]).sum()
    assert summed.origin.tolist() == X.ravel().tolist()
    assert weights.tolist() == [1, 2, 3]


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_narrow_arrays_are_widened(dtype: Any) -> None:
    seen: list[Any] = []

    def forward(x: Any, w: Any) -> Any:
        seen.extend((x.dtype, w.dtype))
        return x.sum() + w.sum()

    summed = contraction(forward, X.astype(dtype), np.ones(2, dtype))
    summed(summed.origin)
    assert set(seen) == {np.dtype(np.float64)}


def test_jax_code_runs_in_float64() -> None:
    import jax.numpy as jnp

    summed = contraction(lambda x: jnp.sum(x) - 1.0, np.array([1.0, 1e-12]))
    assert summed(summed.origin) == pytest.approx(1e-12, rel=1e-3)


def test_several_values_are_contracted_with_their_cotangents() -> None:
    both = contraction(lambda x: (x, 2 * x[0]), X, cotangents=(np.eye(2, 3), np.array([1.0, 0.0, -1.0])))
    assert both(both.origin) == X[0, 0] + X[1, 1] + 2 * (X[0, 0] - X[0, 2])
    assert both(1j * both.origin) == 1j * both(both.origin)


@pytest.mark.parametrize(
    ("stated", "away"),
    [
        (domain.positive, [1.0, 1.0, 1.0, 1.0, 1.0, 0.0]),
        (domain.bounded(0, 1), [1.0, 0.5, 0.5, 0.5, 0.5, 0.5]),
        (domain.simplex, [0.25, 0.5, 0.26, 0.125, 0.125, 0.75]),
    ],
    ids=repr,
)
def test_outside_the_domain_it_is_nan_and_the_forward_is_not_asked(stated: Any, away: list[float]) -> None:
    calls: list[Any] = []

    def forward(x: Any) -> Any:
        calls.append(x)
        return x.sum()

    summed = contraction(forward, X, stated=stated)
    assert math.isnan(summed(np.array(away)))
    assert math.isnan(np.real(summed(np.array(away) + 1e-30j)))
    assert not calls
    assert summed(summed.origin) == 2
    assert len(calls) == 1


def test_a_direction_leaves_every_entry_its_room() -> None:
    x = np.array([1e-300, 1e-12, 1.0, 1e6])
    summed = contraction(np.sum, x, stated=domain.positive)
    vector = np.array([1.0, -0.5, 0.25, -1.0])
    direction = summed.direction(vector)
    assert (np.abs(direction) <= x).all()
    assert (np.abs(direction[:2]) > x[:2] / 4).all()
    assert direction[2:].tolist() == vector[2:].tolist()
    assert (np.frexp(direction)[0] == np.frexp(vector)[0]).all()


def test_what_is_too_near_an_end_to_move_stays_where_it_is() -> None:
    x = np.array([1 - 2.0**-50, 0.5, 2.0**-50])
    summed = contraction(np.sum, x, stated=domain.bounded(0, 1))
    assert summed.direction(np.ones(3)).tolist() == [0.0, 0.5, 2.0**-50]
    alone = contraction(np.sum, x[:1], stated=domain.bounded(0, 1))
    assert alone.direction(np.ones(1)).tolist() == [2.0**-50]


def test_on_a_simplex_directions_keep_the_sums_of_rows_and_gradients_lose_their_mean() -> None:
    summed = contraction(np.sum, X, stated=domain.simplex)
    gradient = np.arange(6.0).reshape(2, 3)
    (seen,) = summed.intrinsic([gradient])
    for k in range(6):
        corner = summed.projected(np.eye(6)[k])
        assert corner.reshape(2, 3).sum(axis=1) == pytest.approx(0, abs=1e-15)
        assert np.vdot(gradient, corner) == pytest.approx(seen.flat[k])
    assert summed.intrinsic([gradient + 5])[0] == pytest.approx(seen)


def test_without_a_domain_directions_and_gradients_stay_as_they_are() -> None:
    summed = contraction(np.sum, X)
    vector = np.arange(6.0)
    assert summed.room is None
    assert summed.direction(vector) is vector
    assert summed.projected(vector).tolist() == vector.tolist()
    assert summed.intrinsic([X])[0] is X


def test_masked_entries_have_no_room_to_measure() -> None:
    summed = contraction(np.sum, np.array([1.0, -np.inf]), stated=domain.masked)
    assert summed.direction(np.array([1.0, 0.5])).tolist() == [1.0, 0.5]


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_rows_that_were_rounded_are_on_their_simplex(dtype: Any) -> None:
    rows = np.random.default_rng(0).dirichlet(np.ones(7), 5).astype(dtype)
    summed = contraction(np.sum, rows, stated=domain.simplex)
    assert np.abs(rows.astype(np.float64).sum(axis=1) - 1).max() > 2.0**-40
    assert summed(summed.origin) == pytest.approx(5, rel=1e-2)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_a_forward_that_narrows_its_value_is_known_by_it(dtype: Any) -> None:
    assert contraction(lambda x: x.sum().astype(dtype), X).unit == float(ml_dtypes.finfo(dtype).eps) / 2  # type: ignore[no-untyped-call]  # it has no annotations
    assert contraction(np.sum, X.astype(dtype)).unit == 2.0**-53


def test_what_the_forward_is_here_outlives_later_calls() -> None:
    buffer = np.empty(2)

    def forward(x: Any) -> Any:
        np.copyto(buffer, x)
        return buffer  # the same array each time

    summed = contraction(forward, np.array([1.0, 2.0]), cotangents=(np.ones(2),))
    here = summed.here
    summed(np.zeros(2))
    assert here[0].tolist() == [1.0, 2.0]
