"""Random relative perturbations, drawn by the block: a draw costs more than the small array it is for."""

from __future__ import annotations

import numpy as np

from gradcheck.oracles.program.operation import Array

__all__ = ["Noise"]

# 64 kB: some hundred small arrays to a block, and no weight beside large ones
_BLOCK = 2**13
# an array of more entries is given numbers of its own
_LARGE = _BLOCK // 8


class Noise:
    """Factors 1 + scale * (uniform in [-1, 1)), each used once.

    Two of the same seed draw the same uniform numbers, whatever their scales.
    """

    def __init__(self, seed: int, scale: float) -> None:
        self._rng = np.random.default_rng(seed)
        self._scale = scale
        self._block = self._drawn(0)
        self._used = 0

    def nudge(self, x: Array) -> Array:
        """Change every entry by a random relative amount."""
        size = x.size
        if size > _LARGE:
            return np.asarray(x * self._drawn(size).reshape(x.shape))
        if self._used + size > self._block.size:
            self._block, self._used = self._drawn(_BLOCK), 0
        factors = self._block[self._used : self._used + size]
        self._used += size
        return np.asarray(x * factors.reshape(x.shape))

    def _drawn(self, size: int) -> Array:
        factors = self._rng.random(size)
        factors *= 2.0 * self._scale
        factors += 1.0 - self._scale
        return factors
