"""Elementwise primitives in ball arithmetic.

Most are arb's own. Added here are the limits that ``jax.lax`` has and arb leaves undefined (``log 0``, ``1 / 0``,
``erf`` at infinity), NaN where a function is not real, and forms in which an argument occurs once, since each further
occurrence of a ball widens the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.oracles.balls.special import SPECIAL
from gradcheck.oracles.balls.values import Array, as_balls, exact, infinite, vectorised
from gradcheck.oracles.program.operation import Binder

if TYPE_CHECKING:
    from flint import arb

__all__ = ["divided", "functions"]


@lru_cache(maxsize=1)
def functions() -> Mapping[str, Binder]:
    """Give the table: from a primitive's name to what takes its parameters and returns a function of ball arrays."""
    from flint import arb

    return {
        **SPECIAL,
        **{name: _plain(_of_reals(name, function)) for name, function in (_of_arb(arb) | _UNARY).items()},
        **{name: _plain(function, 2) for name, function in _BINARY.items()},
        "integer_pow": lambda params: lambda x: _whole_power(x, int(params["y"])),
        "one_minus_square": lambda _: lambda x: (1 - x) * (1 + x),
        "square": lambda _: lambda x: x * x,
    }


def _plain(function: Callable[..., Any], inputs: int = 1) -> Binder:
    lifted = vectorised(function, inputs)
    return lambda _: lifted


def _of_arb(arb: Any) -> dict[str, Callable[..., Any]]:
    return {
        "acos": arb.acos,
        "acosh": arb.acosh,
        "asin": arb.asin,
        "asinh": arb.asinh,
        "atan": arb.atan,
        "cos": arb.cos,
        "cosh": arb.cosh,
        "exp": arb.exp,
        "expm1": arb.expm1,
        "sin": arb.sin,
        "sinh": arb.sinh,
        "sqrt": arb.sqrt,
        "tan": arb.tan,
        "tanh": arb.tanh,
    }


def _whole_power(x: Array, exponent: int) -> Array:
    """Multiply out: arb's own power is NaN where the midpoint is 0."""
    power, square, n = None, x, abs(exponent)
    while n:
        if n & 1:
            power = square if power is None else power * square
        square, n = square * square, n >> 1
    if power is None:
        return exact(np.ones(np.shape(x)))
    return power if exponent > 0 else divided(exact(np.asarray(1.0)), power)


def _div(a: arb, b: arb) -> arb:
    """Divide with the limits of IEEE 754, where a zero counts as positive."""
    found = a / b
    if not found.is_nan():
        return found
    if b.is_zero() and (a > 0 or a < 0):
        return type(a)(math.inf if a > 0 else -math.inf)
    undefined = (a.is_zero() and b.is_zero()) or (infinite(a) and infinite(b))
    return type(a)(math.nan) if undefined else found


divided = vectorised(_div, 2)


def _of_reals(name: str, function: Callable[[Any], Any]) -> Callable[[arb], Any]:
    """Give a function a NaN that is known for one where it is not real: arb has the same for want of bits."""
    if name not in _REAL:
        return function
    low, high = _REAL[name]

    def completed(x: arb) -> Any:
        found = function(x)
        return type(x)(math.nan) if found.is_nan() and (x < low or x > high) else found

    return completed


def _with_pole(function: str, pole: float, value: float) -> Callable[[arb], arb]:
    """Complete a function of arb by its infinite value at one point."""

    def completed(x: arb) -> Any:
        return type(x)(value) if x == pole else getattr(x, function)()

    return completed


def _atanh(x: arb) -> arb:
    return x * math.inf if abs(x) == 1 else x.atanh()


def _cbrt(x: arb) -> arb:
    if x > 0:
        return x.root(3)
    if x < 0:
        return -(-x).root(3)
    if x.is_zero() or x.is_nan():
        return x
    return type(x)(0, x.abs_upper().root(3))


def _logistic(x: arb) -> arb:
    # x occurs once; where exp(-x) is beyond arb's exponents, exp(x) is a ball about 0 that holds the truth
    growth = (-x).exp()
    return 1 / (1 + growth) if growth.is_finite() or not x < 0 else x.exp()


def _exp2(x: arb) -> arb:
    return type(x)(2) ** x


def _log2(x: arb) -> arb:
    return _log(x) / type(x).const_log2()


_log = _with_pole("log", 0.0, -math.inf)


def _pow(x: arb, y: arb) -> Any:
    if x > 0:
        return x**y
    n = type(x)(y).unique_fmpz()
    if x < 0:
        if n is not None:
            return (-x) ** y * (-1 if n % 2 else 1)
        return x**y if type(x)(y).contains_integer() else type(x)(math.nan)
    if x.is_zero():
        return type(x)(0 if y > 0 else math.inf) if y > 0 or y < 0 else x**y
    if n is not None and n > 0 and type(x)(y).is_exact():
        return as_balls(_whole_power(as_balls(x), int(n))).item()
    return x**y


def _atan2(y: arb, x: arb) -> arb:
    return type(y).atan2(y, x)


# where functions are real that are not so everywhere
_REAL: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("acos", "asin", "atanh"), (-1.0, 1.0)),
    **dict.fromkeys(("log", "log2", "rsqrt", "sqrt"), (0.0, math.inf)),
    "acosh": (1.0, math.inf),
    "log1p": (-1.0, math.inf),
}

_UNARY: dict[str, Callable[[Any], Any]] = {
    "atanh": _atanh,
    "cbrt": _cbrt,
    "exp2": _exp2,
    "log": _log,
    "log1p": _with_pole("log1p", -1.0, -math.inf),
    "log2": _log2,
    "logistic": _logistic,
    "rsqrt": _with_pole("rsqrt", 0.0, math.inf),
}

_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "atan2": _atan2,
    "div": _div,
    "pow": _pow,
}
