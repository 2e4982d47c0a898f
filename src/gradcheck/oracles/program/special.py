"""Special functions in float64: from the standard library, by short formulas here, or from python-flint.

scipy is not a dependency. A function is written out here only where a few lines give it to a few units in the last
place (of its argument's effect, near a zero); the others are evaluated at 80 bits by python-flint, element by element,
and refused where that extra is missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradcheck.oracles.program.operation import Array, Binder, Operation, Params, Untraceable

__all__ = ["SPECIAL"]

# B_2k / (2k)!, k = 1...10, of the Euler-Maclaurin formula (DLMF 2.10.1); with 10 terms summed before it, the tenth
# correction is below 2^-60 of the sum.
_EULER_MACLAURIN = tuple(
    b / math.factorial(2 * k)
    for k, b in enumerate(
        (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330), start=1
    )
)
_TERMS = 10
# A negative argument is shifted up to `_TERMS`, from no farther below: there, its powers are poles apart by less than
# a float64 argument tells.
_FARTHEST = 1000
# Where the ascending series of a modified Bessel function takes 50 terms, and the least term of the asymptotic one
# (about exp(-2x)) is far below 2^-53.
_BESSEL_SWITCH, _BESSEL_TERMS = 20.0, 64
# Halley's steps triple the digits: from two to more than 16 in three.
_HALLEY = 3
_BITS = 80
# Half the distance of a central difference at `_BITS` + 240 bits: truncation near 2^-120 of the function.
_DIFFERENCE = 2.0**-60


def _elementwise(function: Callable[..., float], inputs: int = 1) -> Binder:
    ufunc = np.frompyfunc(function, inputs, 1)
    return lambda _: lambda *xs: np.asarray(ufunc(*xs), dtype=np.float64)


def _lgamma(x: float) -> float:
    return math.inf if x <= 0 and x == math.floor(x) else math.lgamma(x)


def _digamma(x: Array) -> Array:
    """Shift the argument above 10 by the recurrence, then the asymptotic series (DLMF 5.5.2, 5.11.2)."""
    negative = x <= 0
    y = np.where(negative, 1.0 - x, x)  # psi(x) = psi(1 - x) - pi / tan(pi x)
    shifted = np.zeros_like(y)
    for _ in range(_TERMS):
        low = y < _TERMS
        shifted += np.where(low, 1.0 / y, 0.0)
        y = np.where(low, y + 1.0, y)
    tail = np.zeros_like(y)
    for k in reversed(range(len(_EULER_MACLAURIN))):
        # B_2k / 2k y^-2k
        tail = (tail + _EULER_MACLAURIN[k] * math.factorial(2 * k + 1)) / (y * y)
    value = np.log(y) - 0.5 / y - tail - shifted
    at = np.where(x == np.floor(x), np.nan, x - np.round(x))  # a pole is NaN, as in XLA
    return np.where(negative, value - np.pi / np.tan(np.pi * at), value)


def _zeta(s: Array, a: Array) -> Array:
    """Hurwitz's zeta, the sum of (a + k)^-s, by Euler-Maclaurin (DLMF 25.11.5)."""
    total = np.zeros(np.broadcast_shapes(s.shape, a.shape))
    below = -np.min(a, initial=0.0, where=np.isfinite(a))
    for _ in range(_TERMS + min(math.ceil(below), _FARTHEST)):
        total = total + np.power(a, -s)
        a = a + 1.0
    power = np.power(a, -s)
    total = total + power * a / (s - 1.0) + 0.5 * power
    factor = s
    for k, coefficient in enumerate(_EULER_MACLAURIN):
        power = power / a
        total = total + coefficient * factor * power
        power = power / a
        factor = factor * (s + 2 * k + 1) * (s + 2 * k + 2)
    return np.asarray(total)


def _zeta_in_domain(s: Array, a: Array) -> Array:
    poles = (s == 1) | ((a <= 0) & (a == np.floor(a)))
    outside = (s < 1) | ((a <= 0) & (s != np.floor(s)))
    return np.where(outside, np.nan, np.where(poles, np.inf, _zeta(s, a)))


def _polygamma(m: Array, x: Array) -> Array:
    factorial = np.vectorize(math.gamma, otypes=[float])(m + 1.0)
    higher = np.where(m % 2 == 0, -1.0, 1.0) * factorial * _zeta_in_domain(m + 1.0, x)
    return np.where(m == 0, _digamma(x), higher)


def _bessel_ie(order: int) -> Operation:
    """I_order(x) exp(-|x|), order 0 or 1: ascending series below 20, asymptotic above (DLMF 10.25.2, 10.40.1)."""

    def function(x: Array) -> Array:
        size = np.abs(x)
        near = np.minimum(size, _BESSEL_SWITCH)
        quarter = near * near / 4.0
        term = np.ones_like(near) if order == 0 else near / 2.0
        ascending = term
        for k in range(1, _BESSEL_TERMS):
            term = term * quarter / (k * (k + order))
            ascending = ascending + term
        far = np.maximum(size, _BESSEL_SWITCH)
        term = np.ones_like(far)
        asymptotic = term
        for k in range(1, int(_BESSEL_SWITCH) + 1):
            term = term * ((2 * k - 1) ** 2 - 4 * order) / (8.0 * k * far)
            asymptotic = asymptotic + term
        value = np.where(size < _BESSEL_SWITCH, ascending * np.exp(-near), asymptotic / np.sqrt(2 * np.pi * far))
        return value if order == 0 else np.copysign(value, x)

    return function


def _erf_inv(y: float) -> float:
    if not -1.0 < y < 1.0:
        return math.copysign(math.inf, y) if abs(y) == 1.0 else math.nan
    rest = 1.0 - abs(y)  # exact where it matters: above 1/2
    # Winitzki's approximation, good to 2e-3
    logarithm = math.log(rest * (1.0 + abs(y)))
    a = 2.0 / (math.pi * 0.147) + logarithm / 2.0
    x = math.sqrt(math.sqrt(a * a - logarithm / 0.147) - a) if y else 0.0
    for _ in range(_HALLEY):
        excess = math.erf(x) - abs(y) if abs(y) < 0.5 else rest - math.erfc(x)
        newton = excess * math.sqrt(math.pi) / 2.0 * math.exp(x * x)
        x -= newton / (1.0 + x * newton)
    return math.copysign(x, y)


def _by_flint(name: str, function: Callable[..., Any], inputs: int) -> Binder:
    """Bind a function of arb's that float64 has in no short form; the extra is asked for only where it is needed."""

    def bind(_: Params) -> Operation:
        try:
            import flint
        except ImportError as error:
            raise Untraceable(
                f"its program has the primitive {name!r}, for which it needs python-flint: "
                "pip install 'gradcheck[exact]'"
            ) from error

        def element(*xs: float) -> float:
            before = flint.ctx.prec
            flint.ctx.prec = _BITS + 240
            try:
                return float(function(*map(flint.arb, xs)).mid())
            finally:
                flint.ctx.prec = before

        ufunc = np.frompyfunc(element, inputs, 1)
        return lambda *xs: np.asarray(ufunc(*xs), dtype=np.float64)

    return bind


def _gamma_lower(a: Any, x: Any) -> Any:
    return x.gamma_lower(a, regularized=1)


def _gamma_lower_in_a(a: Any, x: Any) -> Any:
    """d/da of the regularised lower incomplete gamma function: a difference that has no round-off at these bits."""
    return (_gamma_lower(a + _DIFFERENCE, x) - _gamma_lower(a - _DIFFERENCE, x)) / (2 * _DIFFERENCE)


def _gamma_sample_in_a(a: Any, x: Any) -> Any:
    """How a gamma-distributed sample moves with its shape: -(dP/da) / (dP/dx)."""
    return -_gamma_lower_in_a(a, x) * a.gamma() * x.exp() / x ** (a - 1)


SPECIAL: Mapping[str, Binder] = {
    "bessel_i0e": lambda _: _bessel_ie(0),
    "bessel_i1e": lambda _: _bessel_ie(1),
    "digamma": lambda _: _digamma,
    "erf": _elementwise(math.erf),
    "erf_inv": _elementwise(_erf_inv),
    "erfc": _elementwise(math.erfc),
    "igamma": _by_flint("igamma", _gamma_lower, 2),
    "igamma_grad_a": _by_flint("igamma_grad_a", _gamma_lower_in_a, 2),
    "igammac": _by_flint("igammac", lambda a, x: x.gamma_upper(a, regularized=1), 2),
    "lgamma": _elementwise(_lgamma),
    "polygamma": lambda _: _polygamma,
    "random_gamma_grad": _by_flint("random_gamma_grad", _gamma_sample_in_a, 2),
    "regularized_incomplete_beta": _by_flint(
        "regularized_incomplete_beta", lambda a, b, x: x.beta_lower(a, b, regularized=1), 3
    ),
    "zeta": lambda _: _zeta_in_domain,
}
