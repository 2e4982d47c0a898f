"""Comparing balls: below, equal, above, unordered, or overlapping, which more bits may resolve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.oracles.balls.values import Array, Unenclosable, infinite, unknown

if TYPE_CHECKING:
    from flint import arb

__all__ = [
    "ABOVE",
    "BELOW",
    "EQUAL",
    "UNORDERED",
    "Choice",
    "Undecided",
    "as_decided",
    "compare",
    "is_nan",
    "order",
    "wins",
]

# what comparing two balls may give
BELOW, EQUAL, ABOVE, UNORDERED = -1, 0, 1, 2


class Undecided(Exception):
    """Two balls overlap; more bits may tell them apart."""


@dataclass(frozen=True)
class Choice:
    """A comparing primitive: ``decide(final, *operands) -> choice`` and ``replay(choice, *operands) -> result``.

    With ``final`` set, balls that still overlap are taken for equal.
    """

    decide: Callable[..., Any]
    replay: Callable[..., Any]


def as_decided(choice: Any, *_: Any) -> Any:
    """Replay a choice that is itself the result."""
    return choice


def order(final: bool, a: arb, b: arb) -> int:
    """Compare two balls: BELOW, EQUAL, ABOVE, or UNORDERED where one is NaN.

    Raises
    ------
    Undecided
        If they overlap, or one is unknown, and this is not the final attempt, in which what overlaps is equal.
    Unenclosable
        If one is unknown even then: it is not equal to the other, and NaN only for want of bits.
    """
    if a is b and not a.is_nan():
        return EQUAL
    if a < b:
        return BELOW
    if a > b:
        return ABOVE
    if a == b:  # both exact
        return EQUAL
    if any(ball.is_nan() and not unknown(ball) for ball in (a, b)):
        return UNORDERED
    if infinite(a) and infinite(b):  # of one sign, whatever radius a finite summand left them
        return EQUAL
    if not final:
        raise Undecided
    if unknown(a) or unknown(b):
        raise Unenclosable("a comparison of numbers that ball arithmetic cannot enclose cannot be decided")
    return EQUAL


def compare(final: bool, a: Any, b: Any) -> Array:
    """Compare arrays entry by entry, as `order` does."""
    return np.asarray(np.frompyfunc(partial(order, final), 2, 1)(a, b), dtype=np.int8)


def wins(final: bool, a: Any, b: Any, better: int) -> Array:
    """Say where ``a`` is better than ``b``, or is NaN."""
    codes = compare(final, a, b)
    unordered = codes == UNORDERED
    ahead = codes == better
    return np.asarray(ahead | (unordered & is_nan(a)) if unordered.any() else ahead)


def is_nan(x: Any) -> Array:
    """Say which balls are NaN."""
    return np.asarray(np.frompyfunc(lambda ball: ball.is_nan(), 1, 1)(x), dtype=bool)
