"""The line through a point that a derivative is taken along."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcheck.errors import InvalidArgument
from gradcheck.oracles.differences.estimate import FloatArray

__all__ = ["Line"]


@dataclass(frozen=True, eq=False)
class Line:
    """The points ``primal + t * direction``, and the lengths of ``t`` that matter on it.

    Parameters
    ----------
    primal : array of float64
        Entries may be infinite, as masked logits are; these stay where they are.
    direction : array of float64
        Of the same shape, finite, not zero everywhere.
    room : array of float64, optional
        Of the same shape: how far each entry may move to either side before its domain ends.

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

    primal: FloatArray
    direction: FloatArray
    room: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.primal.shape != self.direction.shape:
            raise InvalidArgument(
                f"direction has shape {self.direction.shape} where primal has {self.primal.shape}; give one "
                "component per entry of the primal"
            )
        if np.isnan(self.primal).any():
            raise InvalidArgument("primal holds NaN; there is no derivative to take there")
        if not np.isfinite(self.direction).all() or not self.direction.any():
            raise InvalidArgument(
                f"direction is {np.array2string(self.direction, threshold=6)}; give finite components, not all zero"
            )

    @classmethod
    def through(cls, primal: ArrayLike, direction: ArrayLike, room: ArrayLike | None = None) -> Line:
        """Make a line of array-likes."""
        ends = None if room is None else np.asarray(room, dtype=np.float64)
        return cls(np.asarray(primal, dtype=np.float64), np.asarray(direction, dtype=np.float64), ends)

    def at(self, t: complex) -> NDArray[Any]:
        """Give the point at ``t``: a new array each time, which a forward may overwrite."""
        return np.asarray(self.primal + t * self.direction)

    @cached_property
    def speed(self) -> float:
        """How far the fastest entry moves for a ``t`` of 1."""
        return float(np.abs(self.direction).max())

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
        low, high = self._extent
        lengths = {1.0, max(1.0, high), low or 1.0}
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
                each = np.spacing(np.abs(self.primal[self._moves])) / np.abs(self.direction[self._moves])
            return min(float(np.max(each, initial=0.0)), float(np.finfo(np.float64).max))
        largest = float(np.finfo(np.float64).max)
        # after the largest float there is none
        size = min(self._extent[1], math.nextafter(largest, 0))
        return min(math.ulp(size) / self.speed, largest)

    @cached_property
    def _extent(self) -> tuple[float, float]:
        """The smallest size above zero and the largest among the entries that move, zero where there is none."""
        sizes = np.abs(self.primal[self._moves])
        high = float(sizes.max(initial=0.0))
        return float(sizes.min(initial=high, where=sizes > 0)), high

    @cached_property
    def _moves(self) -> NDArray[np.bool_]:
        return np.asarray((self.direction != 0) & np.isfinite(self.primal))
