"""Activations against ``jax.vjp`` of the library's own functions, and tails against closed forms."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradcheck.derivations import relu, sigmoid, tanh

RULES = {"relu": relu, "sigmoid": sigmoid, "tanh": tanh}
RESTATED: dict[str, Any] = {
    "relu": lambda z: jnp.where(z > 0, z, 0),
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
}
Z = np.array([[0.0, -0.0, 1.5, -1.5], [30.0, -30.0, 1e4, -1e4], [1e-30, -1e-30, 1e308, -1e308]])
CT = np.array([[2.0, -1.0, 0.5, 3.0]] * 3)


def unit_roundoff(dtype: Any) -> float:
    return float(np.finfo(dtype).eps) / 2


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("name", RULES)
def test_agrees_with_autodiff(name: str, dtype: Any, reference_vjp: Any) -> None:
    top = float(np.finfo(dtype).max)
    z, ct = Z.clip(-top, top).astype(dtype), CT.astype(dtype)
    h, pullback = RULES[name](z)
    dz = pullback(ct)
    value, (cotangent,) = reference_vjp(RESTATED[name], (z,), ct)
    assert h.dtype == dz.dtype == dtype
    # A slope is made of summands of size 1 (1 - h or 1 - h^2, in the reference); each of the about eight
    # operations rounds once, an exponential by up to 4 u, in the rule and in the reference.
    u = 16 * unit_roundoff(dtype)
    assert np.all(np.abs(h - value) <= u * np.maximum(np.abs(value), 1 if name == "sigmoid" else 0))
    assert np.all(np.abs(dz - cotangent) <= u * np.abs(ct))


def sigmoid_slope(z: float) -> float:
    return 1 / (4 * math.cosh(z / 2) ** 2)


def tanh_slope(z: float) -> float:
    return 1 / math.cosh(z) ** 2


@pytest.mark.parametrize("z", [-300.0, -40.0, -1.0, 0.0, 1e-9, 20.0, 40.0, 300.0])
@pytest.mark.parametrize(("rule", "slope"), [(sigmoid, sigmoid_slope), (tanh, tanh_slope)])
def test_slopes_keep_their_relative_accuracy_in_both_tails(rule: Any, slope: Any, z: float) -> None:
    _, pullback = rule(np.array([z]))
    # A dozen roundings, and cosh squared doubles the relative error of its argument's exponential.
    assert pullback(np.array([1.0]))[0] == pytest.approx(slope(z), rel=32 * unit_roundoff(float), abs=0)


def test_sigmoid_keeps_its_relative_accuracy_at_small_values() -> None:
    h, _ = sigmoid(np.array([-700.0, -30.0]))
    assert h == pytest.approx(np.exp([-700.0, -30.0]) / (1 + np.exp([-700.0, -30.0])), rel=1e-15, abs=0)


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_the_forward_itself_can_be_differentiated_at_zero(name: str) -> None:
    slope = jax.grad(lambda z: RULES[name](z)[0])(0.0)
    assert slope == {"sigmoid": 0.25, "tanh": 1.0}[name]


def test_relu_takes_the_subgradient_zero_and_drops_what_does_not_pass() -> None:
    _, pullback = relu(np.array([0.0, -0.0, -1.0, 1.0]))
    assert np.array_equal(pullback(np.array([np.inf, 1.0, np.nan, 5.0])), [0, 0, 0, 5])


@pytest.mark.parametrize("name", RULES)
def test_infinities_saturate(name: str) -> None:
    h, pullback = RULES[name](np.array([-np.inf, np.inf]))
    expected: dict[str, tuple[list[float], list[float]]] = {
        "relu": ([0, np.inf], [0, 1]),
        "sigmoid": ([0, 1], [0, 0]),
        "tanh": ([-1, 1], [0, 0]),
    }
    assert np.array_equal(h, expected[name][0])
    assert np.array_equal(pullback(np.ones(2)), expected[name][1])


@pytest.mark.parametrize("name", RULES)
def test_malformed_arguments_are_named(name: str) -> None:
    with pytest.raises(ValueError, match="z has dtype int64, and only real floating-point numbers"):
        RULES[name](np.arange(3))
    _, pullback = RULES[name](np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"the cotangent has shape \(3,\) and the output \(2, 3\)"):
        pullback(np.ones(3))
