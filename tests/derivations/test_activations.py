"""Activations against ``jax.vjp`` of the library's own functions, and tails against closed forms."""

from __future__ import annotations

import importlib
import math
import sys
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradcheck.derivations import gelu, relu, sigmoid, silu, tanh
from gradcheck.derivations.activations import _erfc

# By name, since mpmath brings no types, and with a precision of its own.
mp: Any = importlib.import_module("mpmath").MPContext()
# The gates with the left end of their tails: a little further, and they are no normal numbers.
GATED = {"silu": 700.0, "gelu": 37.0, "gelu, approximate": 20.0}
LEFT = (-37.0, -20.3, -12.0, -5.1)
RULES: dict[str, Any] = {
    "relu": relu,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "silu": silu,
    "gelu": gelu,
    "gelu, approximate": partial(gelu, approximate=True),
}
RESTATED: dict[str, Any] = {
    "relu": lambda z: jnp.where(z > 0, z, 0),
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    # their derivatives are NaN where z^2 or z^3 overflows, so the far tails are compared at a z that is just far
    "silu": lambda z: jax.nn.silu(jnp.clip(z, -1e3, 1e3)) + jnp.maximum(z - 1e3, 0),
    "gelu": lambda z: jax.nn.gelu(jnp.clip(z, -1e3, 1e3), approximate=False) + jnp.maximum(z - 1e3, 0),
    "gelu, approximate": lambda z: jax.nn.gelu(jnp.clip(z, -1e3, 1e3)) + jnp.maximum(z - 1e3, 0),
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
    of_ones = name not in ("relu", "tanh")  # a sum with a 1 makes the value in the reference, or in its gate
    assert np.all(np.abs(h - value) <= u * np.maximum(np.abs(value), 1 if of_ones else 0))
    # In the reference of the gated ones it is z (1 - h), which is 0 once h has rounded to 1, well before z = 40.
    size = np.minimum(np.abs(z), 40) if name in GATED else 1
    assert np.all(np.abs(dz - cotangent) <= u * size * np.abs(ct) + u * np.abs(ct))


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
    passes: tuple[list[float], list[float]] = ([0, np.inf], [0, 1])
    saturates: dict[str, tuple[list[float], list[float]]] = {"sigmoid": ([0, 1], [0, 0]), "tanh": ([-1, 1], [0, 0])}
    expected = saturates.get(name, passes)
    assert np.array_equal(h, expected[0])
    assert np.array_equal(pullback(np.ones(2)), expected[1])


def exact_gate(name: str, z: Any) -> Any:
    """The gates of the three, in mp."""
    if name == "gelu":
        return mp.erfc(-z / mp.sqrt(2)) / 2
    if name == "silu":
        return 1 / (1 + mp.exp(-z))
    w = mp.sqrt(2 / mp.pi) * (z + mp.mpf(0.044715) * z**3)
    return 1 / (1 + mp.exp(-2 * w))


def exponent(name: str, z: float) -> float:
    """How far the gate is from 1 or 0, as the exponent of e: rounding it costs this many ``u``."""
    return {"silu": abs(z), "gelu": z * z, "gelu, approximate": 2 * abs(z) * (1 + z * z / 20)}[name]


@pytest.mark.parametrize("z", [*LEFT, -2.0, -0.5, -1e-9, 0.0, 1e-300, 0.7, 3.0, 9.1, 37.0])
@pytest.mark.parametrize("name", GATED)
def test_gated_values_and_slopes_keep_their_relative_accuracy(name: str, z: float) -> None:
    z *= GATED[name] / 37 if z in LEFT else 1
    h, pullback = RULES[name](np.array([z]))
    with mp.workdps(50):
        value = mp.mpf(z) * exact_gate(name, mp.mpf(z))
        slope = mp.diff(lambda x: x * exact_gate(name, x), mp.mpf(z), h=mp.mpf(10) ** -16)
    # The exponent is rounded two or three times, and a dozen operations follow, none with cancelling summands.
    u = (2 * exponent(name, z) + 32) * unit_roundoff(float)
    assert abs(h[0] - value) <= u * abs(value)
    assert abs(pullback(np.ones(1))[0] - slope) <= u * abs(slope)


def test_gelu_and_its_approximation_are_two_functions() -> None:
    z = np.linspace(-6, 6, 4001)
    (exact, exact_pullback), (approximate, approximate_pullback) = gelu(z), gelu(z, approximate=True)
    assert 4e-4 < np.abs(exact - approximate).max() < 5e-4
    assert 5e-4 < np.abs(exact_pullback(0 * z + 1) - approximate_pullback(0 * z + 1)).max() < 2e-3


def test_gelu_says_where_it_has_no_erfc() -> None:
    class Foreign:
        """An array of a library that has all else."""

        dtype, shape = np.dtype(float), ()

        def __array_namespace__(self) -> Any:
            return sys

    foreign: Any = Foreign()
    with pytest.raises(ValueError, match="an array of sys, for which no erfc is known here: pass approximate=True"):
        _erfc(foreign)


@pytest.mark.parametrize("approximate", ["none", "tanh", 1, None])
def test_an_approximation_is_asked_for_by_a_bool(approximate: Any) -> None:
    with pytest.raises(ValueError, match=f"approximate={approximate!r}: pass True for the gate with tanh, or False"):
        gelu(np.zeros(3), approximate=approximate)


@pytest.mark.parametrize("name", RULES)
def test_malformed_arguments_are_named(name: str) -> None:
    with pytest.raises(ValueError, match="z has dtype int64, and only real floating-point numbers"):
        RULES[name](np.arange(3))
    _, pullback = RULES[name](np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"the cotangent has shape \(3,\) and the output \(2, 3\)"):
        pullback(np.ones(3))
