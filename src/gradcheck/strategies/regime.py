"""What a regime is, what makes one, and what regimes ask about a finished case."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from gradcheck.strategies.options import Array

Kind = Literal["sizes", "values", "masks", "labels", "soft", "ignored", "weights"]
KINDS: tuple[Kind, ...] = ("sizes", "values", "masks", "labels", "soft", "ignored", "weights")
Option = Literal["masks=True", "labels='soft'", "ignore_index=", "weights=True"]

# Sizes are a least and a greatest one, or those listed.
Allowed = tuple[int, int] | frozenset[int]


@dataclass
class Draft:
    """A case in the making, which regimes write into.

    Attributes
    ----------
    z : numpy.ndarray
        Logits (N, K), float64.
    y : numpy.ndarray
        Labels (N,), int64 in [0, K), also of rows that are going to be ignored.
    spare : numpy.ndarray
        Further ordinary numbers (N, K) for masks and soft labels to be made of; none without those options.
    q : numpy.ndarray or None
        Labels as rows (N, K), float64, where they are soft.
    ignored : numpy.ndarray
        Whether a row is ignored, (N,).
    weights : numpy.ndarray
        Weights (K,), float64; none without that option.
    """

    z: Array
    y: Array
    spare: Array
    q: Array | None
    ignored: Array
    weights: Array

    @property
    def classes(self) -> int:
        """The number of classes K."""
        return int(self.z.shape[1])

    def rows(self, every: int) -> Draft:
        """Give a view of every row, or every other one."""
        return Draft(self.z[::every], self.y[::every], self.spare, None, self.ignored, self.weights)


@dataclass(frozen=True)
class Summary:
    """What the regimes ask about a case; each array has one entry per row, but for `weights`.

    Masked classes, whose logit is -inf, count as absent.

    Attributes
    ----------
    rows, classes : int
        N and K.
    dtype : str
        The name of the dtype of the logits.
    top, second, low : numpy.ndarray
        The largest, second largest (equal to `top` in a tie; -inf for one class) and smallest logit, float64.
    masked : bool
        Whether a row has a logit of -inf beside finite ones.
    kept : numpy.ndarray
        The numbers of the rows that are not ignored and have a label.
    labels : numpy.ndarray
        The labels of the kept rows; of a soft label, the class with the greatest part.
    lead : numpy.ndarray
        In kept rows, the logit of the label minus the largest of the others, float64.
    ignored : int
        How many rows are ignored.
    q : numpy.ndarray or None
        Labels (N, K), where they are rows.
    weights : numpy.ndarray or None
        Weights (K,).
    """

    rows: int
    classes: int
    dtype: str
    top: Array
    second: Array
    low: Array
    masked: bool
    kept: Array
    labels: Array
    lead: Array
    ignored: int
    q: Array | None
    weights: Array | None

    @classmethod
    def of(cls, z: Array, y: Array | None, weights: Array | None, ignore_index: int | None) -> Summary:
        """Summarise logits (N, K), labels (N,) or (N, K), if any, and weights (K,)."""
        n, k = z.shape
        wide = z.astype(np.float64)
        top, second, low, masked = _extremes(wide)
        rows = y if y is not None and y.ndim == 2 else None
        if y is None:
            ignored, kept = 0, np.zeros(0, dtype=np.int64)
            labels = kept
        elif y.ndim == 2:
            ignored, kept, labels = 0, np.flatnonzero(y.any(axis=1)), y.argmax(axis=1)
        else:
            kept, labels = np.arange(n) if ignore_index is None else np.flatnonzero(y != ignore_index), y
            ignored = n - len(kept)
        labels = labels[kept]
        label, best = wide[kept, labels], top[kept]
        lead = label - np.where(label == best, second[kept], best)
        return cls(n, k, z.dtype.name, top, second, low, masked, kept, labels, lead, ignored, rows, weights)

    @cached_property
    def peak(self) -> Array:
        """The largest magnitude in each row."""
        return np.maximum(np.abs(self.top), np.abs(self.low))

    def carried(self) -> Array:
        """Give the weights of all classes that are among the labels."""
        assert self.weights is not None, "asked where there are weights"
        if self.q is None:
            return self.weights[self.labels]
        return self.weights[(self.q > 0).any(axis=0)]


def _extremes(wide: Array) -> tuple[Array, Array, Array, bool]:
    """Find the largest, second largest and smallest number of each row, and whether one has both -inf and others."""
    n, k = wide.shape
    if k > 1:
        ordered = np.partition(wide, (0, k - 2), axis=1)
        top, second, low = ordered[:, -1], ordered[:, -2], ordered[:, 0]
    else:
        top, second, low = wide[:, 0], np.full(n, -np.inf), wide[:, 0]
    hidden = (low == -np.inf) & (top > -np.inf)
    if not some(hidden):
        return top, second, low, False
    return top, second, np.where(np.isneginf(wide), top[:, None], wide).min(axis=1), True


@dataclass(frozen=True)
class Terms:
    """What the scales of a regime depend on, as far as the options of a strategy settle it."""

    dtype: str
    gap: float
    ignore_index: int | None


def some(mask: Array) -> bool:
    """Whether an entry is true: `any` of so few takes several times as long."""
    return bool(np.count_nonzero(mask))


def _always(_: Summary) -> bool:
    return True


def _unchanged(_draft: Draft, _scale: float) -> None:
    pass


def _one(_: Terms) -> Sequence[float]:
    return (1.0,)


@dataclass(frozen=True)
class Regime:
    """One corner of the domain of softmax + NLL.

    Attributes
    ----------
    name, about : str
        What it is called, and what it is, in one line.
    kind : str
        What it settles: one of "sizes", "values", "masks", "labels", "soft", "ignored" and "weights". A drawn case has
        at most one regime of each kind on purpose.
    option : str or None
        The option without which it never occurs, as one writes it.
    holds : callable
        Whether a case of the right sizes, given as its `Summary`, is in the regime.
    make : callable
        Makes of an ordinary `Draft` and a scale one in the regime, in place.
    scales : callable
        From the `Terms` to the scales that `make` may be given; none where it does not apply.
    rows, classes : (int, int) or frozenset of int
        Least and greatest N and K, or all that there may be.
    square : bool
        Whether N = K.
    """

    name: str
    kind: Kind
    about: str
    holds: Callable[[Summary], bool] = _always
    make: Callable[[Draft, float], None] = _unchanged
    scales: Callable[[Terms], Sequence[float]] = _one
    rows: Allowed = (1, sys.maxsize)
    classes: Allowed = (1, sys.maxsize)
    square: bool = False
    option: Option | None = None

    def has(self, summary: Summary) -> bool:
        """Whether the summarised case is in the regime, its sizes included."""
        return (
            _allows(self.rows, summary.rows)
            and _allows(self.classes, summary.classes)
            and (summary.rows == summary.classes or not self.square)
            and self.holds(summary)
        )


def _allows(allowed: Allowed, size: int) -> bool:
    return size in allowed if isinstance(allowed, frozenset) else allowed[0] <= size <= allowed[1]
