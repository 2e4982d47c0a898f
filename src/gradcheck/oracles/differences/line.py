"""The line through a point that a derivative is taken along."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcheck.errors import InvalidArgument
from gradcheck.oracles.differences.estimate import FloatArray

__all__ = ["Line", "largest"]


def largest(x: NDArray[Any]) -> float:
    """Give the largest finite magnitude: a mask of -inf is no size."""
    size = float(max(x.max(initial=0.0), -x.min(initial=0.0)))  # no array of magnitudes, which may be a large one
    return size if math.isfinite(size) else float(np.max(np.abs(x), initial=0.0, where=np.isfinite(x)))


@dataclass(frozen=True, eq=False)
class Line:
    """The points ``primal + t * direction``, and the lengths of ``t`` that matter on it.

    Parameters
    ----------
    pieces : tuple of float64 arrays
        The primal, cut into pieces of one axis, so that large arrays need not be copied to lie end to end. Entries may
        be infinite, as masked logits are; these stay where they are.
    direction : array of float64
        One component per entry of the primal, finite, not zero everywhere; points have its shape.
    room : array of float64, optional
        Of that shape: how far each entry may move to either side before its domain ends.

    Raises
    ------
    InvalidArgument
        If they are not so, or an entry of the primal is NaN.

    Examples
    --------
    >>> line = Line.through([1e6, 0.5, 7.0], [1.0, -0.5, 0.0])
    >>> line.at(2.0).tolist()
    [1000002.0, -0.5, 7.0]
    >>> line.scales
    (1000000.0, 1.0, 0.5)
    >>> line.grain
    1.1641532182693481e-10
    """

    pieces: tuple[FloatArray, ...]
    direction: FloatArray
    room: FloatArray | None = None

    def __post_init__(self) -> None:
        if any(math.isnan(piece.min(initial=math.inf)) for piece in self.pieces):
            raise InvalidArgument("primal holds NaN; there is no derivative to take there")
        if not 0 < self.speed < math.inf:
            raise InvalidArgument(
                f"direction is {np.array2string(self.direction, threshold=6)}; give finite components, not all zero"
            )

    @classmethod
    def through(cls, primal: ArrayLike, direction: ArrayLike, room: ArrayLike | None = None) -> Line:
        """Make a line of array-likes."""
        start, along = (np.asarray(x, dtype=np.float64) for x in (primal, direction))
        if start.shape != along.shape:
            raise InvalidArgument(
                f"direction has shape {along.shape} where primal has {start.shape}; give one component per entry of "
                "the primal"
            )
        return cls((start.ravel(),), along, None if room is None else np.asarray(room, dtype=np.float64))

    def at(self, t: complex, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Give the point at ``t``: a new array each time, which a forward may overwrite, or in memory that is spare."""
        if out is None:
            out = np.empty(self.direction.shape, dtype=np.complex128 if isinstance(t, complex) else np.float64)
        out[...] = self.direction  # cast first: a product of two types takes buffers
        out *= t
        for part, piece in self._paired(out.reshape(-1)):
            part += piece
        return out

    def _paired(self, array: NDArray[Any]) -> Iterator[tuple[NDArray[Any], FloatArray]]:
        """Cut an array of one axis as the primal is, and give its parts beside the pieces."""
        start = 0
        for piece in self.pieces:
            yield array[start : start + piece.size], piece
            start += piece.size

    @cached_property
    def speed(self) -> float:
        """How far the fastest entry moves for a ``t`` of 1."""
        low, high = (float(end(initial=0.0)) for end in (self.direction.min, self.direction.max))
        return math.nan if math.isnan(low) else max(-low, high)

    @cached_property
    def reach(self) -> float:
        """The ``t`` at which the first entry is at the end of its domain, on the nearer side; infinite without one."""
        if self.room is None:
            return math.inf
        moves = self._moves
        with np.errstate(over="ignore"):
            return float(np.min(self.room[moves] / np.abs(self.direction[moves]), initial=math.inf))

    @cached_property
    def scales(self) -> tuple[float, ...]:
        """Lengths of ``t`` over which a forward may bend, longest first, none of which leaves the domain.

        It may bend with the size of what it is given, as powers do; with 1, as an exponential does at whatever
        offset; with the distance of an entry from zero, as a reciprocal does; or with that from the end of its domain.
        """
        lengths = {1.0, max(1.0, self._largest), self._smallest or 1.0}
        # in Python's floats, which divide without a warning: a slow direction may take longer than the largest float,
        # and a fast one less than the smallest
        most = self.reach / 2
        times = {min(length / self.speed, most) for length in lengths} | {most}
        found = sorted((t for t in times if 0 < t < math.inf), reverse=True)
        return tuple(found) or (float(np.finfo(np.float64).max),)

    @cached_property
    def grain(self) -> float:
        """The change of ``t`` that moves the largest entry to the next float: what rounding does to a step.

        Where there is room to keep to, any entry: near the end of its domain it may be a large and slow one.
        """
        if self.room is not None:
            with np.errstate(over="ignore"):
                each = np.spacing(np.abs(self._primal[self._moves])) / np.abs(self.direction[self._moves])
            return min(float(np.max(each, initial=0.0)), float(np.finfo(np.float64).max))
        largest = float(np.finfo(np.float64).max)
        # after the largest float there is none
        size = min(self._largest, math.nextafter(largest, 0))
        return min(math.ulp(size) / self.speed, largest)

    @cached_property
    def _largest(self) -> float:
        """The largest size among the entries that move, zero where there is none."""
        pairs = self._paired(self.direction.reshape(-1))
        return max((largest(piece if along.all() else piece[along != 0]) for along, piece in pairs), default=0.0)

    @cached_property
    def _smallest(self) -> float:
        """The smallest size above zero among the entries that move, zero where there is none."""
        low = math.inf
        for along, piece in self._paired(self.direction.reshape(-1)):
            sizes = np.abs(piece)
            low = float(sizes.min(initial=low, where=(along != 0) & (sizes > 0) & (sizes < math.inf)))
        return low if low < math.inf else 0.0

    @cached_property
    def _moves(self) -> NDArray[np.bool_]:
        return np.asarray((self.direction != 0) & np.isfinite(self._primal))

    @property
    def _primal(self) -> FloatArray:
        return np.concatenate(self.pieces).reshape(self.direction.shape)
