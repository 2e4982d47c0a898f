"""Between float64 and balls: exact values, values known to half an ulp, and midpoints with an upper bound of the error.

A ball is an ``arb`` of python-flint: a midpoint of any precision and a radius that bounds every rounding made on the
way to it. Arrays of balls are NumPy arrays of objects, so that everything which only moves entries about is NumPy's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.errors import MissingExtra
from gradcheck.extras import import_extra

if TYPE_CHECKING:
    from flint import arb

__all__ = [
    "Array",
    "Unenclosable",
    "as_balls",
    "exact",
    "infinite",
    "literal",
    "precision",
    "radii",
    "require_flint",
    "rounded",
    "to_floats",
    "unknown",
    "vectorised",
]

Array = np.ndarray[Any, np.dtype[Any]]

# A number of at most this many significant bits (0.5, 3, 1000) that stands in a program is taken for meant exactly.
# One that was rounded to float64 (0.1, 2/sqrt(pi)) passes for such with probability 2^-40.
_SHORT = 12
_WORKING = 128  # bits that hold any float64 number times another without rounding
_LARGEST = float(np.finfo(np.float64).max)


class Unenclosable(Exception):
    """Balls cannot evaluate a program: a primitive they lack, a comparison they cannot decide, or no python-flint."""


def require_flint() -> None:
    """Raise `Unenclosable`, with the command that mends it, where python-flint cannot be imported."""
    try:
        import_extra("flint", "ball arithmetic", "python-flint", "exact")
    except MissingExtra as error:
        raise Unenclosable(str(error)) from error


@contextmanager
def precision(bits: int) -> Iterator[None]:
    """Work with ``bits`` bits, and restore the precision whatever happens.

    That of python-flint is one for the whole process: what runs in several threads at once changes it under the others,
    so runs in ball arithmetic must not overlap. Processes do not share it.
    """
    from flint import ctx

    before = ctx.prec
    try:
        ctx.prec = bits
        yield
    finally:
        ctx.prec = before


def infinite(x: arb) -> bool:
    """Say whether a ball is one of the two infinities."""
    return not x.is_finite() and not x.is_nan() and x.rad().is_finite()


def unknown(x: arb) -> bool:
    """Say whether nothing is known of a ball: it has no finite radius, for want of bits or of a function's range.

    A NaN that is meant (one that came in, or the difference of two infinities) has one, and is known for what it is.
    """
    return not x.is_finite() and not x.rad().is_finite()


def as_balls(result: Any) -> Array:
    """Wrap what a NumPy function made of an array of balls: a bare ball where the array had no axes."""
    return np.asarray(result, dtype=object)


def vectorised(function: Callable[..., Any], inputs: int = 1) -> Callable[..., Array]:
    """Lift a function of balls to arrays of them."""
    lifted = np.frompyfunc(function, inputs, 1)
    return lambda *arrays: as_balls(lifted(*arrays))


@lru_cache(maxsize=1)
def _from_float() -> Callable[..., Array]:
    from flint import arb

    return vectorised(arb)


def exact(x: Array) -> Array:
    """Make balls of radius 0."""
    return _from_float()(np.asarray(x, dtype=np.float64))


def rounded(x: Array, unit_bits: int) -> Array:
    """Make balls that hold all that rounds to ``x`` in a precision of ``unit_bits``: x(1 ± 2^-unit_bits).

    Zeros, infinities and NaN have no such neighbours and stay exact.
    """
    from flint import arb

    x = np.asarray(x, dtype=np.float64)
    with precision(_WORKING):
        unit = as_balls([arb(1), arb(1, arb(2) ** -unit_bits)])
        return as_balls(exact(x) * unit[np.isfinite(x).astype(np.intp)])


def literal(x: Array, unit_bits: int) -> Array:
    """Make balls of numbers that stand in a program: half an ulp wide unless they look meant exactly."""
    x = np.asarray(x, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        mantissa, _ = np.frexp(x)
        short = np.ldexp(mantissa, min(_SHORT, unit_bits)) % 1 == 0
        whole = (x % 1 == 0) & (np.abs(x) < 2.0**unit_bits)
    return np.asarray(np.where(short | whole, exact(x), rounded(x, unit_bits)), dtype=object)


def to_floats(x: Array) -> tuple[Array, Array]:
    """Give the correctly rounded midpoints, and an upper bound of the distance between them and any point of the ball.

    A finite ball beyond float64 has an infinite midpoint and an infinite error; a ball of no finite radius has NaN and
    an infinite error; an exact infinity has error 0; a NaN has error NaN.
    """
    with np.errstate(all="ignore"):
        pairs: Any = np.frompyfunc(_midpoint_and_error, 1, 2)(x)
    values, errors = pairs
    return np.asarray(values, dtype=np.float64), np.asarray(errors, dtype=np.float64)


def _midpoint_and_error(x: arb) -> tuple[float, float]:
    middle = float(x)
    if x.is_finite() and abs(middle) <= _LARGEST:
        return middle, _upper(x - middle)
    if x.is_nan():
        return math.nan, math.nan
    if x.is_finite():
        return middle, math.inf
    return (middle, 0.0) if infinite(x) else (math.nan, math.inf)


def _upper(x: arb) -> float:
    """Bound the magnitude of a ball from above by a float64."""
    return 0.0 if x.is_zero() else math.nextafter(float(x.abs_upper()), math.inf)


def radii(x: Array) -> Array:
    """Give an upper bound of each radius; infinite where a ball has blown up or is NaN."""
    with np.errstate(all="ignore"):
        return np.asarray(np.frompyfunc(_radius, 1, 1)(x), dtype=np.float64)


def _radius(x: arb) -> float:
    return math.inf if x.is_nan() else _upper(x.rad())
