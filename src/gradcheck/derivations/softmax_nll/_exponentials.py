"""The shifted exponentials that every form starts from."""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

import numpy as np

from gradcheck.derivations._arrays import Array, is_concrete

__all__ = ["Exponentials", "exponentials_of"]


class Exponentials(NamedTuple):
    """Softmax before the division."""

    shifted: Array
    """``z - max z``, shape (N, K), at most 0."""
    exponentials: Array
    """Of the shifted logits, shape (N, K), at most 1."""
    total: Array
    """Their sums, shape (N, 1), at least 1."""


def exponentials_of(xp: ModuleType, z: Array) -> Exponentials:
    """Subtract the row maximum of logits `z`, shape (N, K), exponentiate and sum.

    Raises
    ------
    ValueError
        If a row has no finite maximum.
    """
    peak = xp.max(z, axis=1, keepdims=True)
    if is_concrete(peak) and np.isinf(peak).any():
        i = np.flatnonzero(np.isinf(peak))[0]
        raise ValueError(
            f"row z[{i}] has the maximum {peak[i, 0]}, so softmax is undefined there: "
            "keep logits below inf and at least one in each row above -inf"
        )
    # Logits further apart than the largest float differ by -inf, whose exponential is rightly 0.
    with np.errstate(over="ignore"):
        shifted = z - peak
    exponentials = xp.exp(shifted)
    return Exponentials(shifted, exponentials, xp.sum(exponentials, axis=1, keepdims=True))
