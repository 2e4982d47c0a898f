"""The line through a point that a derivative is taken along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcheck.errors import InvalidArgument
from gradcheck.oracles.estimate import FloatArray

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

    Raises
    ------
    InvalidArgument
        If they are not so, or an entry is NaN.

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
    def through(cls, primal: ArrayLike, direction: ArrayLike) -> Line:
        """Make a line of array-likes."""
        return cls(np.asarray(primal, dtype=np.float64), np.asarray(direction, dtype=np.float64))

    def at(self, t: complex) -> NDArray[Any]:
        """Give the point at ``t``: a new array each time, which a forward may overwrite."""
        return np.asarray(self.primal + t * self.direction)

    @property
    def speed(self) -> float:
        """How far the fastest entry moves for a ``t`` of 1."""
        return float(np.abs(self.direction).max())

    @property
    def scales(self) -> tuple[float, ...]:
        """Lengths of ``t`` over which a forward may bend, longest first.

        It may bend with the size of what it is given, as powers do; with 1, as an exponential does at whatever
        offset; or with the distance of an entry from zero, as a reciprocal does.
        """
        sizes = self._sizes[self._sizes > 0]
        lengths = {1.0, max(1.0, sizes.max()), sizes.min()} if sizes.size else {1.0}
        with np.errstate(over="ignore"):  # a slow direction may take longer than the largest float to get there
            times = [float(length / self.speed) for length in lengths]
        return tuple(sorted(filter(np.isfinite, times), reverse=True))

    @property
    def grain(self) -> float:
        """The change of ``t`` that moves the largest entry to the next float: what rounding does to a step."""
        # after the largest float there is none
        size = min(self._sizes.max(initial=0.0), np.nextafter(np.finfo(np.float64).max, 0))
        with np.errstate(over="ignore"):
            return min(float(np.spacing(size) / self.speed), float(np.finfo(np.float64).max))

    @property
    def _sizes(self) -> FloatArray:
        sizes: FloatArray = np.abs(self.primal[(self.direction != 0) & np.isfinite(self.primal)])
        return sizes
