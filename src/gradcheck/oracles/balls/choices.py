"""Primitives that compare: decided once, at exact inputs, and replayed ever after.

A ball of a maximum always overlaps the entry it came from, so no inexact run can decide which entry that was. Each
primitive is therefore two functions: one that decides and returns a choice (Booleans, places, whole numbers), and one
that carries a choice out, in any precision, on balls of any width. Here are the elementwise ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.oracles.balls.compare import (
    ABOVE,
    BELOW,
    EQUAL,
    UNORDERED,
    Choice,
    Undecided,
    as_decided,
    compare,
    is_nan,
    wins,
)
from gradcheck.oracles.balls.contests import CONTESTS
from gradcheck.oracles.balls.functions import divided
from gradcheck.oracles.balls.values import Array, Unenclosable, as_balls, exact, radii, unknown
from gradcheck.oracles.program.operation import Params
from gradcheck.oracles.program.shaping import truncated

if TYPE_CHECKING:
    from flint import arb

__all__ = ["CHOICES"]


def _comparison(*true: int) -> Choice:
    """Give the comparison that holds where operands compare as one of ``true``."""

    def decide(final: bool, a: Array, b: Array) -> Array:
        return np.isin(compare(final, a, b), true)

    return Choice(decide, lambda choice, *_: choice)


def _extremum(better: int) -> Choice:
    """Give the larger (or smaller) of two operands; of equal ones the first; NaN where either is."""

    def decide(final: bool, a: Array, b: Array) -> Array:
        return wins(final, b, a, better)

    return Choice(decide, lambda second, a, b: np.where(second, b, a))


def _decide_clamp(final: bool, low: Array, x: Array, high: Array) -> Array:
    return np.where(compare(final, x, low) == BELOW, 0, np.where(compare(final, x, high) == ABOVE, 2, 1))


def _replay_clamp(choice: Array, low: Array, x: Array, high: Array) -> Array:
    return np.where(choice == 0, low, np.where(choice == 2, high, x))


def _decide_sign(final: bool, x: Array) -> Array:
    codes = compare(final, x, exact(np.zeros(())))
    return np.where(codes == UNORDERED, 0, codes)


def _replay_sign(choice: Array, x: Array) -> Array:
    return np.where(is_nan(x), x, exact(choice))


def _replay_abs(choice: Array, x: Array) -> Array:
    return np.where(choice < 0, as_balls(-x), x)


def _whole(function: Callable[[Any], Any]) -> Callable[..., Array]:
    """Decide a whole number near each ball by a monotone function of arb; infinities and NaN stand for themselves."""

    def decide_one(x: arb) -> Any:
        if unknown(x):
            return None
        if not x.is_finite():
            return x
        low, high = function(x.lower()).unique_fmpz(), function(x.upper()).unique_fmpz()
        return type(x)(low) if low is not None and low == high else None

    def decide(final: bool, x: Array) -> Array:
        whole = as_balls(np.frompyfunc(decide_one, 1, 1)(x))
        overlapping = np.asarray(np.frompyfunc(lambda ball: ball is None, 1, 1)(whole), dtype=bool)
        if overlapping.any():
            if not final:
                raise Undecided
            if any(map(unknown, np.ravel(x))):
                raise Unenclosable("a number that ball arithmetic cannot enclose cannot be rounded to a whole one")
            # overlapping the place of a jump is being there
            nearest = np.frompyfunc(lambda ball: function(_nearest_half(ball)), 1, 1)
            whole = np.where(overlapping, as_balls(nearest(x)), whole)
        return whole

    return decide


def _nearest_half(x: arb) -> arb:
    return (2 * x.mid() + 0.5).floor() / 2


def _toward_zero(x: arb) -> arb:
    return x.floor() if x >= 0 else x.ceil()


def _to_nearest(x: arb, even: bool) -> arb:
    above = (x + 0.5).floor()
    if not (x + 0.5).is_integer():
        return above
    up = (above / 2).is_integer() if even else x > 0
    return above if up else above - 1


def _rounding(function: Callable[[Any], Any]) -> Choice:
    return Choice(_whole(function), as_decided)


def _bind_round(params: Params) -> Choice:
    even = int(params["rounding_method"]) == 1
    return _rounding(lambda x: _to_nearest(x, even))


def _rem() -> Choice:
    whole = _whole(_toward_zero)
    return Choice(lambda final, x, y: whole(final, divided(x, y)), lambda q, x, y: x - q * y)


def _bind_convert(params: Params) -> Choice:
    dtype = np.dtype(params["new_dtype"])
    if dtype.kind == "b":
        zero = exact(np.zeros(()))
        return Choice(lambda final, x: compare(final, x, zero) != EQUAL, as_decided)
    if dtype.kind in "iu":
        whole = _whole(_toward_zero)
        return Choice(lambda final, x: truncated(np.asarray(whole(final, x), dtype=float), dtype), as_decided)
    if dtype.kind == "c":
        raise Unenclosable("ball arithmetic lacks complex numbers, to which the program converts")
    return Choice(lambda *_: None, lambda _, x: x)  # between floats: the identity of the function differentiated


def _bind_bits(params: Params) -> Choice:
    """Bind a cast to bits, which only numbers of the width at hand have: those that nothing has rounded.

    Where a program shifts out all bits but the sign's (``sign_only``), any number has that one; zero is positive.
    """
    dtype = np.dtype(params["new_dtype"])

    def decide(final: bool, x: Array) -> Array:
        if params.get("sign_only"):
            below = compare(final, x, exact(np.zeros(()))) == BELOW
            return np.where(below, -1.0, 1.0).astype(f"f{dtype.itemsize}").view(dtype)
        floats = x.astype(np.float64).astype(f"f{dtype.itemsize}")
        if np.all(compare(True, x, exact(floats)) == EQUAL) and not radii(x).any():
            return floats.view(dtype)
        raise Unenclosable("ball arithmetic lacks the primitive 'bitcast_convert_type' of rounded numbers")

    return Choice(decide, as_decided)


def _decide_finite(final: bool, x: Array) -> Array:
    if any(map(unknown, np.ravel(x))):
        if not final:
            raise Undecided
        raise Unenclosable("whether a number is finite that ball arithmetic cannot enclose cannot be decided")
    return np.asarray(np.frompyfunc(lambda ball: ball.is_finite(), 1, 1)(x), dtype=bool)


def _always(choice: Choice) -> Callable[[Params], Choice]:
    return lambda _: choice


CHOICES: Mapping[str, Callable[[Params], Choice]] = {
    **CONTESTS,
    "abs": _always(Choice(_decide_sign, _replay_abs)),
    "bitcast_convert_type": _bind_bits,
    "ceil": _always(_rounding(lambda x: x.ceil())),
    "clamp": _always(Choice(_decide_clamp, _replay_clamp)),
    "convert_element_type": _bind_convert,
    "eq": _always(_comparison(EQUAL)),
    "floor": _always(_rounding(lambda x: x.floor())),
    "ge": _always(_comparison(ABOVE, EQUAL)),
    "gt": _always(_comparison(ABOVE)),
    "is_finite": _always(Choice(_decide_finite, as_decided)),
    "le": _always(_comparison(BELOW, EQUAL)),
    "lt": _always(_comparison(BELOW)),
    "max": _always(_extremum(ABOVE)),
    "min": _always(_extremum(BELOW)),
    "ne": _always(_comparison(BELOW, ABOVE, UNORDERED)),
    "rem": _always(_rem()),
    "round": _bind_round,
    "sign": _always(Choice(_decide_sign, _replay_sign)),
}
