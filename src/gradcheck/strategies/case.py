"""What is drawn: logits and labels that belong together, with or without weights, printed as code."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np

from gradcheck.strategies.options import Array
from gradcheck.strategies.visited import regimes_of

_READABLE = 2048  # entries: above the 33 x 33 that sizes go up to by themselves, far below what Hypothesis warns of


class Case(NamedTuple):
    """Logits and labels that belong together: the tuple ``(z, y)``.

    Printed as code, dtypes included, so that what Hypothesis shows of a failure can be pasted into a test, up to a few
    thousand entries.

    Attributes
    ----------
    z : numpy.ndarray
        Logits, float (N, K), or (B, T, K) for sequences; -inf where a class is masked.
    y : numpy.ndarray
        Labels: int64 (N,) or (B, T) in [0, K), or the number that marks ignored rows; or rows of the shape and dtype
        of `z`, one-hot or soft.

    Examples
    --------
    >>> from gradcheck import strategies as gst
    >>> case = gst.Case(np.array([[0.0, 0.5, 0.25]]), np.array([1]))
    >>> case
    Case(np.array([[0.0, 0.5, 0.25]], dtype=np.float64), np.array([1], dtype=np.int64))
    >>> z, y = case
    >>> sorted(case.regimes)
    ['one row', 'ordinary']
    """

    z: Array
    y: Array

    @property
    def regimes(self) -> frozenset[str]:
        """The names of all regimes the case is in: `regimes_of` its arrays."""
        return regimes_of(self.z, self.y, ignore_index=self.ignore_index)

    @property
    def offered(self) -> frozenset[str]:
        """The names of all regimes that the strategy it was drawn from visits; none for one made by hand."""
        return frozenset()

    @property
    def ignore_index(self) -> int | None:
        """The label of ignored rows that the strategy was given; None for a case made by hand."""
        return None

    def __repr__(self) -> str:
        return f"Case({as_code(self.z)}, {as_code(self.y)})"


class WeightedCase(NamedTuple):
    """Logits, labels and class weights that belong together: the tuple ``(z, y, weights)``.

    Attributes
    ----------
    z, y : numpy.ndarray
        As in `Case`.
    weights : numpy.ndarray
        (K,), >= 0, in the dtype of `z`.

    Examples
    --------
    >>> from gradcheck import strategies as gst
    >>> case = gst.WeightedCase(np.array([[0.0, 0.5, 0.25]]), np.array([1]), np.array([1.0, 0.0, 2.0]))
    >>> sorted(case.regimes)
    ['no weight', 'one row', 'ordinary', 'unequal weights', 'zero weight']
    """

    z: Array
    y: Array
    weights: Array

    @property
    def regimes(self) -> frozenset[str]:
        """The names of all regimes the case is in: `regimes_of` its arrays."""
        return regimes_of(self.z, self.y, self.weights, self.ignore_index)

    @property
    def offered(self) -> frozenset[str]:
        """The names of all regimes that the strategy it was drawn from visits; none for one made by hand."""
        return frozenset()

    @property
    def ignore_index(self) -> int | None:
        """The label of ignored rows that the strategy was given; None for a case made by hand."""
        return None

    def __repr__(self) -> str:
        return f"WeightedCase({as_code(self.z)}, {as_code(self.y)}, {as_code(self.weights)})"


class DrawnCase(Case):
    """A `Case` that remembers the strategy it was drawn from, and its regimes, which are asked for more than once."""

    offered: frozenset[str] = frozenset()
    ignore_index: int | None = None

    @cached_property
    def regimes(self) -> frozenset[str]:
        """As those of a `Case`."""
        return super().regimes


class DrawnWeightedCase(WeightedCase):
    """A `WeightedCase` that remembers what a `DrawnCase` does."""

    offered: frozenset[str] = frozenset()
    ignore_index: int | None = None

    @cached_property
    def regimes(self) -> frozenset[str]:
        """As those of a `WeightedCase`."""
        return super().regimes


def as_code(array: Array) -> str:
    """Write an array as an expression that makes the same one, entry for entry, where `np` is NumPy.

    One that nobody would paste is named by dtype and shape instead: a failure is kept in a file as well.
    """
    if array.size > _READABLE:
        return f"<{array.dtype.name} {array.shape}>"
    home = "ml_dtypes" if array.dtype.kind == "V" else "np"
    dtype = f"dtype={home}.{array.dtype.name}"
    return f"np.array({_entries(array)}, {dtype})" if array.size else f"np.zeros({array.shape}, {dtype})"


def _entries(array: Array) -> str:
    if array.ndim:
        return f"[{', '.join(map(_entries, array))}]"
    # NumPy writes a number with the fewest digits that tell it from its neighbours in its own dtype.
    return str(array[()]) if np.isfinite(array) else f"{'-' if array < 0 else ''}np.{abs(array)!s}"
