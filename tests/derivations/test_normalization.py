"""Normalisation layers against ``jax.vjp`` of one-line restatements, and against exact arithmetic where it is hard."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from gradcheck.derivations import batch_norm, layer_norm, rms_norm

DRAW = np.random.default_rng(20261124).standard_normal
EPSILON = 1e-3
SHAPES = {"matrix": (4, 5), "one row": (1, 5), "no rows": (0, 5), "images": (2, 3, 2, 4), "one feature": (3, 1)}


def standardised(x: Any, axes: Any) -> Any:
    centred = x - jnp.mean(x, axis=axes, keepdims=True)
    return centred / jnp.sqrt(jnp.mean(centred**2, axis=axes, keepdims=True) + EPSILON)


def layer(x: Any, gain: Any, bias: Any) -> Any:
    return gain * standardised(x, -1) + bias


def batch(x: Any, gain: Any, bias: Any) -> Any:
    if x.shape[0] == 0:
        return gain * x + bias
    return gain * standardised(x, tuple(range(x.ndim - 1))) + bias


def rms(x: Any, gain: Any) -> Any:
    return gain * x / jnp.sqrt(jnp.mean(x**2, axis=-1, keepdims=True) + EPSILON)


RULES: dict[str, tuple[Any, Any]] = {
    "layer": (layer_norm, layer),
    "batch": (batch_norm, batch),
    "rms": (rms_norm, rms),
}


def unit_roundoff(dtype: Any) -> float:
    return float(np.finfo(dtype).eps) / 2


def arguments(name: str, shape: tuple[int, ...], dtype: Any) -> list[Any]:
    parameters = 1 if name == "rms" else 2
    return [DRAW(shape).astype(dtype), *(DRAW(shape[-1:]).astype(dtype) for _ in range(parameters))]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", RULES)
def test_agrees_with_autodiff(name: str, shape: str, dtype: Any, reference_vjp: Any) -> None:
    rule, restated = RULES[name]
    primals = arguments(name, SHAPES[shape], dtype)
    ct = DRAW(SHAPES[shape]).astype(dtype)
    out, pullback = rule(*primals, epsilon=EPSILON)
    results = (out, *pullback(ct))
    value, cotangents = reference_vjp(restated, tuple(primals), ct)
    # Ordinary numbers: two means of at most 12 summands and a dozen other roundings, in float32 for float16, on
    # numbers no larger than the scale 1 / sqrt(epsilon) times the largest inputs; then one rounding of the result.
    u, u_inside = unit_roundoff(dtype), unit_roundoff(np.promote_types(dtype, np.float32))
    size = float(np.prod([np.abs(x).max(initial=1) for x in (*primals, ct)])) / EPSILON**0.5
    for result, reference in zip(results, (value, *cotangents), strict=True):
        assert result.dtype == dtype
        assert result.shape == reference.shape
        assert np.all(np.abs(result - reference) <= 2 * 36 * u_inside * size + u * np.abs(reference))


def test_epsilon_matters_and_is_1e_5_unless_said() -> None:
    x, gain, bias = DRAW((2, 3)) * 1e-2, np.ones(3), np.zeros(3)
    for rule, args in ((layer_norm, (x, gain, bias)), (batch_norm, (x, gain, bias)), (rms_norm, (x, gain))):
        assert np.array_equal(rule(*args)[0], rule(*args, epsilon=1e-5)[0])
        assert np.all(np.abs(rule(*args)[0] - rule(*args, epsilon=1e-3)[0]) > 0.01)


@pytest.mark.parametrize("rule", [layer_norm, batch_norm])
def test_what_has_no_spread_gets_no_gradient(rule: Any) -> None:
    x = np.full((1, 1), 1e6 / 3)
    out, pullback = rule(x, np.array([2.0]), np.array([3.0]))
    dx, dgain, dbias = pullback(np.array([[5.0]]))
    assert (out, dx, dgain, dbias) == (3.0, 0.0, 0.0, 5.0)


def test_a_batch_of_one_gives_the_bias_and_no_gradient() -> None:
    x, gain, bias = DRAW((1, 4)) * 1e3, DRAW(4), DRAW(4)
    out, pullback = batch_norm(x, gain, bias)
    dx, dgain, dbias = pullback(np.ones((1, 4)))
    assert np.array_equal(out, bias[None])
    assert not dx.any()
    assert not dgain.any()
    assert np.array_equal(dbias, np.ones(4))


@pytest.mark.parametrize("name", RULES)
def test_no_rows_give_zeros_for_the_parameters(name: str) -> None:
    primals = arguments(name, (0, 3), np.float64)
    out, pullback = RULES[name][0](*primals)
    dx, *parameters = pullback(out)
    assert out.shape == dx.shape == (0, 3)
    assert all(np.array_equal(d, np.zeros(3)) for d in parameters)


def test_a_batch_norm_is_a_layer_norm_of_the_transpose() -> None:
    x, ct = DRAW((3, 4)), DRAW((3, 4))
    over_rows, rows_pullback = batch_norm(x, np.ones(4), np.zeros(4))
    over_features, features_pullback = layer_norm(x.T.copy(), np.ones(3), np.zeros(3))
    u = 64 * unit_roundoff(float)  # sums of three in two orders of memory
    assert over_rows == pytest.approx(over_features.T, abs=u)
    assert rows_pullback(ct)[0] == pytest.approx(features_pullback(ct.T.copy())[0].T, abs=u)


def exact_dx(x: Any, ct: Any, epsilon: float) -> Any:
    """Layer norm's `dx` of one row with gain 1, in fractions but for the square root."""
    xs, g = [Fraction(float(v)) for v in x], [Fraction(float(v)) for v in ct]
    d = len(xs)
    mean, mean_g = sum(xs) / d, sum(g) / d
    c = [v - mean for v in xs]
    v = sum(e * e for e in c) / d + Fraction(epsilon)
    along = sum(a * b for a, b in zip(g, c, strict=True)) / d / v
    numerators = [float(a - mean_g - b * along) for a, b in zip(g, c, strict=True)]
    return np.array(numerators) / float(v) ** 0.5


@pytest.mark.parametrize("epsilon", [1e-5, 1.0])
@pytest.mark.parametrize("offset", [0.0, 1e6 / 3, 1e12 / 3])
@pytest.mark.parametrize("spread", [1e-30, 1e-3, 1.0])
def test_neither_an_offset_nor_a_tiny_variance_costs_digits(spread: float, offset: float, epsilon: float) -> None:
    x, ct = offset + spread * DRAW(6), DRAW(6)
    _, pullback = layer_norm(x, np.ones(6), np.zeros(6), epsilon=epsilon)
    exact = exact_dx(x, ct, epsilon)
    # About three sums of six and ten roundings, of summands no larger than those of g - mean(g) - n mean(g n).
    size = 4 * np.abs(ct).max() / np.sqrt(np.var(x - x[0]) + epsilon)
    assert np.all(np.abs(pullback(ct)[0] - exact) <= 28 * unit_roundoff(float) * size)


def test_centring_once_would_cost_digits() -> None:
    """What the test above would see: the rounded mean of numbers near 1e12 is off by 1e-4 of a spread of 1."""
    x = 1e12 / 3 + DRAW(6)
    out, _ = layer_norm(x, np.ones(6), np.zeros(6))
    once = x - x.mean()
    assert abs(out.sum()) <= 36 * unit_roundoff(float)
    assert abs(once.sum()) > 1e-6


def test_float16_sums_in_float32() -> None:
    x = np.full((3, 4096), 20.0, np.float16)  # the sum is 81,920, beyond float16
    x[:, ::2] = -20.0
    out, pullback = rms_norm(x, np.ones(4096, np.float16))
    assert np.array_equal(out, np.sign(x))
    dx, dgain = pullback(np.ones_like(x))
    assert np.all(np.isfinite(dx))
    assert np.array_equal(dgain, 3 * np.sign(x[0]))


def test_each_cotangent_has_the_dtype_of_its_primal() -> None:
    x, gain, bias = DRAW((2, 3)).astype(np.float16), DRAW(3).astype(np.float32), DRAW(3)
    out, pullback = layer_norm(x, gain, bias)
    assert out.dtype == np.float64
    assert [d.dtype for d in pullback(out)] == [np.float16, np.float32, np.float64]


X, ONES = np.zeros((2, 3)), np.ones(3)
REFUSED: dict[str, tuple[Any, str]] = {
    "x is a number": (lambda: layer_norm(1.0, ONES, ONES), r"x has shape \(\), and the layer takes \(\.\.\., D\)"),
    "no features": (lambda: rms_norm(np.zeros((2, 0)), np.zeros(0)), r"x has shape \(2, 0\), .* D >= 1"),
    "a batch without rows": (lambda: batch_norm(ONES, ONES, ONES), r"x has shape \(3,\), .* \(N, \.\.\., C\)"),
    "gain does not fit": (lambda: rms_norm(X, np.ones(2)), r"gain has shape \(2,\) and x \(2, 3\)"),
    "gain broadcasts": (lambda: layer_norm(X, np.ones(1), ONES), r"gain has shape \(1,\)"),
    "bias is a row": (lambda: batch_norm(X, ONES, ONES[None]), r"bias has shape \(1, 3\)"),
    "x holds integers": (lambda: layer_norm(X.astype(int), ONES, ONES), "x has dtype int64"),
    "gain holds objects": (lambda: rms_norm(X, ONES.astype(object)), "gain has dtype object"),
    "epsilon is 0": (lambda: layer_norm(X, ONES, ONES, epsilon=0.0), "epsilon=0.0: pass a finite number above 0, such"),
    "epsilon is NaN": (lambda: batch_norm(X, ONES, ONES, epsilon=np.nan), "epsilon=nan: pass a finite number"),
    "epsilon is lost": (
        lambda: rms_norm(X.astype("f4"), ONES.astype("f4"), epsilon=1e-60),
        "epsilon=1e-60 is outside the normal numbers of float32",
    ),
    "epsilon in text": (lambda: layer_norm(X, ONES, ONES, epsilon="a"), "epsilon='a': pass a finite number above 0"),  # type: ignore[arg-type]  # refused
    "epsilon is true": (lambda: rms_norm(X, ONES, epsilon=True), "epsilon=True: pass a finite number above 0"),
    "the cotangent broadcasts": (lambda: layer_norm(X, ONES, ONES)[1](ONES), r"cotangent has shape \(3,\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_says_what_does_not_fit(case: str) -> None:
    call, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        call()
