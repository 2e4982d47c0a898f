"""What a regime is, and what regimes ask about a pair of logits and labels."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gradcheck.strategies.options import Array

Pair = tuple[Array, Array]
Kind = Literal["values", "sizes", "labels"]


@dataclass(frozen=True)
class Summary:
    """What the regimes ask about logits (N, K) and labels (N,); each array has one entry per row.

    Attributes
    ----------
    rows, classes : int
        N and K.
    dtype : str
        The name of the dtype of the logits.
    labels : numpy.ndarray
        The labels, int.
    top, second, low : numpy.ndarray
        The largest, second largest (equal to `top` in a tie; -inf for one class) and smallest logit, float64.
    lead : numpy.ndarray
        The logit of the label minus the largest of the others, float64.
    """

    rows: int
    classes: int
    dtype: str
    labels: Array
    top: Array
    second: Array
    low: Array
    lead: Array

    @classmethod
    def of(cls, z: Array, y: Array) -> Summary:
        """Summarise logits `z` (N, K) and labels `y` (N,), int in [0, K)."""
        n, k = z.shape
        wide = z.astype(np.float64)
        if k > 1:
            ordered = np.partition(wide, k - 2, axis=1)
            top, second = ordered[:, -1], ordered[:, -2]
        else:
            top, second = wide[:, 0], np.full(n, -np.inf)
        label = wide[np.arange(n), y]
        lead = label - np.where(label == top, second, top)
        return cls(n, k, z.dtype.name, y, top, second, wide.min(axis=1), lead)

    @property
    def peak(self) -> Array:
        """The largest magnitude in each row."""
        return np.maximum(np.abs(self.top), np.abs(self.low))


def _always(_: Summary) -> bool:
    return True


def _unchanged(z: Array, y: Array, _: float) -> Pair:
    return z, y


def _one(_dtype: str, _gap: float) -> Sequence[float]:
    return (1.0,)


@dataclass(frozen=True)
class Regime:
    """One corner of the domain of softmax + NLL.

    Attributes
    ----------
    name, about : str
        What it is called, and what it is, in one line.
    kind : {"values", "sizes", "labels"}
        What it settles. A drawn case has at most one regime of each kind on purpose.
    holds : callable
        Whether a pair of the right sizes, given as its `Summary`, is in the regime.
    make : callable
        From an ordinary pair (z, y) and a scale to a pair in the regime; it may write into both.
    scales : callable
        From the dtype's name and the gap to the scales that `make` may be given; none where it does not apply.
    rows, classes : (int, int)
        Least and greatest N and K.
    square : bool
        Whether N = K.
    """

    name: str
    kind: Kind
    about: str
    holds: Callable[[Summary], bool] = _always
    make: Callable[[Array, Array, float], Pair] = _unchanged
    scales: Callable[[str, float], Sequence[float]] = _one
    rows: tuple[int, int] = (1, sys.maxsize)
    classes: tuple[int, int] = (1, sys.maxsize)
    square: bool = False

    def has(self, summary: Summary) -> bool:
        """Whether the summarised pair is in the regime, its sizes included."""
        return (
            self.rows[0] <= summary.rows <= self.rows[1]
            and self.classes[0] <= summary.classes <= self.classes[1]
            and (summary.rows == summary.classes or not self.square)
            and self.holds(summary)
        )
