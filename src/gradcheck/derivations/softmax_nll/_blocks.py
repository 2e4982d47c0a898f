r"""What the forms that never see a whole row share: the sums that a row keeps, and the gradient of a block.

A block is some of the columns of the scores ``s``, shape (N, B), with the class `first` it begins at. Of each row the
sums below are kept, and no exponential (T is the temperature, l the label)::

    peak = max_k s_k        total = sum_k exp((s_k - peak) / T)        at_label = s_l

They give the loss of the row and its gradient, with ``lse = peak / T + log total`` and ``zeta`` for `z_loss`::

    r          = (peak - at_label) / T + log total + zeta lse^2
    T dr/ds_k  = a_k (1 + 2 zeta lse) - [k = l],       a_k = exp((s_k - peak) / T) / total

since ``T d lse / d s_k = a_k``. ``peak`` and ``log total`` stay apart: at logits of 1e6 in float32, ``lse`` alone
would be rounded to a multiple of 1/16, and ``exp(s_k / T - lse)`` be wrong by as much.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gradcheck.derivations._arrays import Array
from gradcheck.derivations._labels import read_indices
from gradcheck.derivations._namespace import namespace
from gradcheck.derivations.softmax_nll.options import check_index

__all__ = [
    "IndexLabels",
    "Sums",
    "check_size",
    "gradient",
    "including",
    "nothing_seen",
    "relative_to",
    "row_losses",
    "spans",
]


class IndexLabels(NamedTuple):
    """The labels of N rows, and which rows count: arrays of shape (N, 1)."""

    y: Array
    """Integers."""
    kept: Array | None
    """Bools, False for the rows to ignore; None where all count."""

    @classmethod
    def read(cls, y: npt.ArrayLike, logits: Array, classes: int, ignore_index: int | None) -> IndexLabels:
        """Check class indices, shape (N,), against N rows of `logits` for so many classes."""
        index = None if ignore_index is None else check_index(ignore_index)
        return cls(*read_indices(y, (logits.shape[0], classes), like=logits, ignore_index=index))

    @property
    def count(self) -> Any:
        """How many rows count, None for all."""
        return None if self.kept is None else namespace(self.kept).sum(self.kept)

    def rows(self, rows: slice) -> IndexLabels:
        """Return the labels of some of the rows."""
        return IndexLabels(self.y[rows], None if self.kept is None else self.kept[rows])

    def cleared(self, x: Array) -> Array:
        """Return `x`, shape (N, B), with 0 in the rows to ignore: padding may hold anything, NaN too."""
        if self.kept is None:
            return x
        cleared: Array = namespace(x, self.kept).where(self.kept, x, 0)
        return cleared

    def scores(self, s: Array, first: int) -> Array:
        """Pick each row's label out of a block of scores, or 0 where it is in another block."""
        xp, column = namespace(s, self.y), self.y - first
        picked = xp.take_along_axis(s, xp.clip(column, 0, s.shape[1] - 1), axis=1)
        scores: Array = xp.where((column >= 0) & (column < s.shape[1]), picked, 0)
        return scores

    def one_hot(self, first: int, width: int) -> Array:
        """Return the columns of the one-hot matrix that belong to a block, bools of shape (N, B)."""
        columns: Array = self.y == namespace(self.y).arange(first, first + width)
        return columns


class Sums(NamedTuple):
    """What is kept of the rows: arrays of shape (N, 1)."""

    peak: Array
    total: Array
    at_label: Array
    temperature: float = 1.0

    @property
    def log_total(self) -> Array:
        """The logarithm of the sum relative to the peak."""
        log_total: Array = namespace(self.total).log(self.total)
        return log_total

    @property
    def lse(self) -> Array:
        """The logarithm of the sum of the exponentials."""
        return self.peak / self.temperature + self.log_total


def check_size(name: str, size: object) -> int:
    """Refuse a size of blocks that is no integer of at least 1."""
    if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or size < 1:
        raise ValueError(f"{name}={size!r} ({type(size).__name__}) is no size: pass an integer of at least 1")
    return int(size)


def spans(length: int, size: int) -> Iterator[slice]:
    """Cut ``range(length)`` into slices of `size`; the last takes what is left.

    >>> list(spans(5, 3))
    [slice(0, 3, None), slice(3, 5, None)]
    """
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))


def relative_to(s: Array, peak: Array, temperature: float = 1.0) -> Array:
    """Return ``exp((s - peak) / T)``, shaped like `s`; two such arrays live at once."""
    # A gap wider than the largest float has the exponential 0. The difference is divided, not its terms, which would
    # be rounded; and inf - inf is left to `check_peak`.
    with np.errstate(over="ignore", invalid="ignore"):
        shifted = s - peak
        if temperature != 1:
            shifted = shifted / temperature
        exponentials: Array = namespace(shifted).exp(shifted)
    return exponentials


def nothing_seen(xp: ModuleType, rows: int, dtype: Any, temperature: float = 1.0) -> Sums:
    """Return the sums over no classes."""
    zeros = xp.zeros((rows, 1), dtype)
    return Sums(zeros - np.inf, zeros, zeros, temperature)


def including(sums: Sums, s: Array, labels: IndexLabels, first: int) -> Sums:
    """Go on with a block of scores: the total so far is relative to the old peak, and is rescaled to the new one.

    Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018, arXiv:1805.02867, algorithm 3, with a
    block for their single entry.
    """
    xp = namespace(sums.peak, s)
    peak = xp.maximum(sums.peak, xp.max(s, axis=1, keepdims=True))
    # Where all is masked so far the peak is -inf, and -inf - -inf would be NaN; relative to 0 they are exp(-inf) = 0.
    base = xp.where(peak == -np.inf, 0, peak)
    total = sums.total * relative_to(sums.peak, base, sums.temperature)
    total = total + xp.sum(relative_to(s, base, sums.temperature), axis=1, keepdims=True)
    return sums._replace(peak=peak, total=total, at_label=sums.at_label + labels.scores(s, first))


def row_losses(sums: Sums, labels: IndexLabels, z_loss: float) -> Array:
    """Return the losses of the rows, shape (N,)."""
    with np.errstate(over="ignore"):  # a label further below the peak than the largest float costs inf
        losses = (sums.peak - sums.at_label) / sums.temperature + sums.log_total
    if z_loss:
        losses = losses + z_loss * sums.lse**2
    return labels.cleared(losses)[:, 0]


def gradient(s: Array, sums: Sums, labels: IndexLabels, first: int, z_loss: float) -> Array:
    """Return ``T dr/ds`` for a block of scores, shape (N, B), as if no row were ignored.

    Two arrays of this shape live at once, and one of bools; `s` is not among them.
    """
    g = relative_to(s, sums.peak, sums.temperature)
    g = g / sums.total
    if z_loss:
        g = g * (1 + 2 * z_loss * sums.lse)
    return g - labels.one_hot(first, s.shape[1])
