"""The shifted exponentials that the forms of whole rows start from, and the check that all forms make first."""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

import numpy as np

from gradcheck.derivations._arrays import Array, is_concrete
from gradcheck.derivations._labels import entry

__all__ = ["Exponentials", "check_peak", "exponentials_of"]


class Exponentials(NamedTuple):
    """Softmax before the division, over the last axis of K classes."""

    top: Array
    """Index of the first maximum, shape (..., 1)."""
    peak: Array
    """``max s``, shape (..., 1); infinite where only the division by the temperature overflows."""
    shifted: Array
    """``s - max s``, shape (..., K), at most 0."""
    exponentials: Array
    """Of the shifted logits, shape (..., K), at most 1."""
    total: Array
    """Their sums, shape (..., 1), at least 1."""


def check_peak(peak: Array, name: str, start: int = 0) -> None:
    """Refuse a row without a finite maximum, given the maxima, shape (..., 1), of the logits called `name`.

    `start` is the number of the first row, where these are some of the rows.

    Raises
    ------
    ValueError
        Where values can be seen.
    """
    if is_concrete(peak) and np.isinf(peak).any():
        where = tuple(np.argwhere(np.isinf(peak))[0])
        row = (start + where[0], *where[1:-1])
        raise ValueError(
            f"row {entry(name, row)} has the maximum {peak[where]}, so softmax is undefined "
            "there: keep logits below inf and at least one in each row above -inf"
        )


def exponentials_of(xp: ModuleType, z: Array, temperature: float = 1.0, name: str = "z") -> Exponentials:
    """Subtract the row maximum of logits `z`, shape (..., K), divide by the temperature, exponentiate and sum.

    The maximum is the entry at its place, so that whoever differentiates this sees that this entry, less
    itself, stays 0 even where others tie with it.

    Raises
    ------
    ValueError
        If a row has no finite maximum; the message calls the logits `name`.
    """
    top = xp.argmax(z, axis=-1)[..., None]
    peak = xp.take_along_axis(z, top, axis=-1)
    check_peak(peak, name)
    # Logits further apart than the largest float differ by -inf, whose exponential is rightly 0; and what a
    # small temperature makes of a difference may be as large. Divided before they are subtracted, equal
    # logits would overflow too.
    with np.errstate(over="ignore"):
        shifted = z - peak
        if temperature != 1:
            shifted, peak = shifted / temperature, peak / temperature
    exponentials = xp.exp(shifted)
    return Exponentials(top, peak, shifted, exponentials, xp.sum(exponentials, axis=-1, keepdims=True))
