"""Values and partial derivatives of the functions that a NumPy forward is made of, on balls of python-flint.

Each name is NumPy's, SciPy's or that of Python's `math`. Balls are finite where the functions are infinite (``log 0``,
``1/0``) only if that is said here: arb leaves such values undefined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["ALIASES", "BINARY", "UNARY"]

Unary = tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]


def _divide(x: Any, y: Any) -> Any:
    """Divide; by exactly 0 as float64 does."""
    if not y.is_zero() or x.is_nan() or x.is_zero():
        return x / y
    return type(x)(np.inf if x > 0 else -np.inf)


def _log(x: Any) -> Any:
    return type(x)(-np.inf) if x.is_zero() else type(x)(np.inf) if _infinite(x) and x > 0 else x.log()


def _log1p(x: Any) -> Any:
    return type(x)(-np.inf) if x == -1 else x.log1p()


def _infinite(x: Any) -> bool:
    return not x.is_finite() and not x.is_nan() and bool(x.rad() == 0)


def _squashed(name: str, low: float, high: float) -> Callable[[Any], Any]:
    """Complete a bounded function of arb by its limits."""

    def value(x: Any) -> Any:
        return type(x)(high if x > 0 else low) if _infinite(x) else getattr(x, name)()

    return value


def _expit(x: Any) -> Any:
    growth = (-x).exp()
    return 1 / (1 + growth) if growth.is_finite() else x.exp() / (1 + x.exp())


def _lgamma(x: Any) -> Any:
    """log|gamma(x)|; below 0 by reflection."""
    return x.lgamma() if x > 0 else (_pi(x) / abs(x.sin_pi())).log() - (1 - x).lgamma()


def _cbrt(x: Any) -> Any:
    return -(-x).root(3) if x < 0 else x.root(3) if not x.is_zero() else x


def _pi(x: Any) -> Any:
    return type(x).pi()


def _two(x: Any) -> Any:
    return type(x)(2)


def _bell(x: Any) -> Any:
    """Give the derivative of erf."""
    return 2 / _pi(x).sqrt() * (-x * x).exp()


def _slope_expit(_: Any, v: Any) -> Any:
    return v * (1 - v)


def _ndtr(x: Any) -> Any:
    return (-x / _two(x).sqrt()).erfc() / 2


def _normal_density(x: Any) -> Any:
    return (-x * x / 2).exp() / (2 * _pi(x)).sqrt()


UNARY: Mapping[str, Unary] = {
    "arccos": (lambda x: x.acos(), lambda x, _: -1 / (1 - x * x).sqrt()),
    "arccosh": (lambda x: x.acosh(), lambda x, _: 1 / (x * x - 1).sqrt()),
    "arcsin": (lambda x: x.asin(), lambda x, _: 1 / (1 - x * x).sqrt()),
    "arcsinh": (lambda x: x.asinh(), lambda x, _: 1 / (1 + x * x).sqrt()),
    "arctan": (lambda x: x.atan(), lambda x, _: 1 / (1 + x * x)),
    "arctanh": (lambda x: x.atanh(), lambda x, _: 1 / (1 - x * x)),
    "cbrt": (_cbrt, lambda x, v: v / (3 * x)),
    "cos": (lambda x: x.cos(), lambda x, _: -x.sin()),
    "cosh": (lambda x: x.cosh(), lambda x, _: x.sinh()),
    "digamma": (lambda x: x.digamma(), lambda x, _: _two(x).zeta(x)),
    "erf": (_squashed("erf", -1.0, 1.0), lambda x, _: _bell(x)),
    "erfc": (_squashed("erfc", 2.0, 0.0), lambda x, _: -_bell(x)),
    "exp": (lambda x: x.exp(), lambda _, v: v),
    "exp2": (lambda x: _two(x) ** x, lambda x, v: v * type(x).const_log2()),
    "expit": (_expit, _slope_expit),
    "expm1": (lambda x: x.expm1(), lambda _, v: v + 1),
    "gamma": (lambda x: x.gamma(), lambda x, v: v * x.digamma()),
    "gammaln": (_lgamma, lambda x, _: x.digamma()),
    "log": (_log, lambda x, _: _divide(type(x)(1), x)),
    "log10": (lambda x: _log(x) / type(x).const_log10(), lambda x, _: 1 / (x * type(x).const_log10())),
    "log1p": (_log1p, lambda x, _: _divide(type(x)(1), 1 + x)),
    "log2": (lambda x: _log(x) / type(x).const_log2(), lambda x, _: 1 / (x * type(x).const_log2())),
    "ndtr": (_ndtr, lambda x, _: _normal_density(x)),
    "negative": (lambda x: -x, lambda *_: -1),
    "reciprocal": (lambda x: _divide(type(x)(1), x), lambda _, v: -v * v),
    "sin": (lambda x: x.sin(), lambda x, _: x.cos()),
    "sinh": (lambda x: x.sinh(), lambda x, _: x.cosh()),
    "sqrt": (lambda x: x.sqrt(), lambda x, v: _divide(type(x)(0.5), v)),
    "square": (lambda x: x * x, lambda x, _: 2 * x),
    "tan": (lambda x: x.tan(), lambda _, v: 1 + v * v),
    "tanh": (_squashed("tanh", -1.0, 1.0), lambda _, v: 1 - v * v),
}

ALIASES: Mapping[str, str] = {
    "acos": "arccos",
    "acosh": "arccosh",
    "asin": "arcsin",
    "asinh": "arcsinh",
    "atan": "arctan",
    "atan2": "arctan2",
    "atanh": "arctanh",
    "fabs": "absolute",
    "float_power": "power",
    "lgamma": "gammaln",
    "pow": "power",
    "psi": "digamma",
    "true_divide": "divide",
}


def _quotient(x: Any, y: Any) -> tuple[Any, Any, Any]:
    q = _divide(x, y)
    inverse = _divide(type(x)(1), y)
    return q, inverse, -q * inverse


def _hypot(x: Any, y: Any) -> tuple[Any, Any, Any]:
    length = (x * x + y * y).sqrt()
    return length, _divide(x, length), _divide(y, length)


def _arctan2(y: Any, x: Any) -> tuple[Any, Any, Any]:
    square = x * x + y * y
    return type(y).atan2(y, x), x / square, -y / square


def _power(x: Any, y: Any) -> tuple[Any, Any, Any]:
    whole = _small_whole(y)
    if whole is not None:
        value, slope = _multiplied_out(x, whole), whole * _multiplied_out(x, whole - 1) if whole else type(x)(0)
    elif x.is_zero():
        value, slope = type(x)(0 if y > 0 else np.inf), type(x)(0 if y > 1 else np.inf)
    else:
        value, slope = x**y, y * x ** (y - 1)
    # as a function of its exponent, a power of 0 jumps at 0, and is 0 throughout above
    return value, slope, type(x)(0 if y > 0 else np.nan) if x.is_zero() else value * _log(x)


# Beyond this many, repeated squaring widens a ball more than exp(y log x) does.
_MULTIPLIED_OUT = 64


def _small_whole(y: Any) -> int | None:
    whole = y.unique_fmpz() if y.is_exact() else None
    return int(whole) if whole is not None and abs(whole) <= _MULTIPLIED_OUT else None


def _multiplied_out(x: Any, n: int) -> Any:
    """Raise to a whole power, which is defined at and below 0 too."""
    power, square, left = type(x)(1), x, abs(n)
    while left:
        power = power * square if left & 1 else power
        square, left = square * square, left >> 1
    return power if n >= 0 else _divide(type(x)(1), power)


BINARY: Mapping[str, Callable[[Any, Any], tuple[Any, Any, Any]]] = {
    "add": lambda x, y: (x + y, 1, 1),
    "arctan2": _arctan2,
    "divide": _quotient,
    "hypot": _hypot,
    "multiply": lambda x, y: (x * y, y, x),
    "power": _power,
    "subtract": lambda x, y: (x - y, 1, -1),
}
