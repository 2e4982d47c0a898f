"""Where every number comes from: named choices, bytes for a small grid of entries, a seed for all others.

The grid is one choice to Hypothesis, which shrinks it byte by byte towards zeros. Its first row and class are
those of the array whatever the sizes are, so entries keep their values while rows and classes are taken away.
"""

from __future__ import annotations

import math
from enum import IntEnum, auto
from functools import cached_property, lru_cache

import numpy as np
from hypothesis import strategies as st

from gradcheck.strategies.options import Array

# Rows and classes that are read one by one: as many as one cares to read.
_ROWS, _CLASSES = 4, 8
# Multiples of 1/4 in [-4, 4], the shortest decimals first.
_QUARTERS = np.array(sorted(range(-16, 17), key=lambda q: (q % 4 != 0, q % 2 != 0, abs(q), q < 0))) / 4


class Choice(IntEnum):
    """What is chosen by `Source.pick`."""

    SIZES = auto()
    VALUES = auto()
    LABELS = auto()
    ROWS = auto()
    CLASSES = auto()
    SCALE = auto()
    EVERY = auto()
    ENTRY = auto()
    FULL = auto()
    KIND = auto()
    SEED = auto()


@lru_cache(maxsize=1024)  # making a strategy costs more than drawing from it
def _below(count: int, *path: int) -> st.SearchStrategy[int]:
    """Make a strategy of the numbers below `count` that is like no other: `path` is its name.

    Hypothesis copies values between draws from like strategies, and up to five in six cases are variations made that
    way. Where no two are alike, 100 cases are 100 independent ones, and miss hardly a regime.
    """
    offset = sum(step << (40 * place) for place, step in enumerate(path, start=1))
    return st.sampled_from(range(offset, offset + count)).map(lambda index: index - offset)


class Source:
    """The numbers of one case, each drawn when it is asked for.

    Parameters
    ----------
    draw : callable
        What a composite strategy draws with.
    part : int
        Tells several sources in one test apart.
    arrays : int
        How many arrays of `numbers` there are.
    """

    def __init__(self, draw: st.DrawFn, *, part: int = 0, arrays: int = 1) -> None:
        self._draw = draw
        self._part = part
        self._arrays = arrays

    @cached_property
    def _grids(self) -> Array:
        size = self._arrays * _ROWS * _CLASSES
        # Hypothesis moves what it cannot remove to the end. Read backwards, that is the first row and class, the
        # ones that stay longest.
        entries = np.frombuffer(self._draw(st.binary(min_size=size, max_size=size)), dtype=np.uint8)[::-1]
        return _QUARTERS[entries % len(_QUARTERS)].reshape(self._arrays, _ROWS, _CLASSES)

    @cached_property
    def _rng(self) -> np.random.Generator | None:
        """Where the entries beyond the grid come from; None, the simplest, makes them all zero."""
        seed = self.pick(Choice.SEED, 2**32)
        return np.random.Generator(np.random.PCG64(seed)) if seed else None

    def pick(self, choice: Choice, count: int, nth: int = 0) -> int:
        """Draw a number below `count`; 0 is the simplest."""
        # One of one is no choice to Hypothesis, and a case of fewer choices is simpler: an empty one would be the
        # simplest of all, and shows nothing.
        return self._draw(_below(max(count, 2), choice, nth, self._part)) % count

    def indices(self, size: int, below: int) -> Array:
        """Draw `size` int64 numbers in [0, below)."""
        out = np.zeros(size, dtype=np.int64)
        # For the same reason as the grid, the first row is drawn last.
        out[:_ROWS] = [self.pick(Choice.ENTRY, below, row) for row in reversed(range(_ROWS))][::-1][:size]
        if size > _ROWS and self._rng is not None:
            out[_ROWS:] = self._rng.integers(0, below, size - _ROWS)
        return out

    def numbers(self, shape: tuple[int, ...], *, full: bool = True, nth: int = 0) -> Array:
        """Draw float64 numbers of `shape` in about [-4, 4], for the `nth` of the arrays.

        Multiples of 1/4 at first, of 2^-6 beyond the grid. Where `full`, half of the arrays are multiplied by random
        factors near 1, which makes them full precision.
        """
        grid = self._grids[nth]
        if len(shape) < 2:  # a vector is as long as it is read
            grid = grid.reshape(1, -1)
        out = np.zeros((math.prod(shape[:-1]), shape[-1]) if shape else (1, 1))
        rows, columns = (min(sizes) for sizes in zip(out.shape, grid.shape, strict=True))
        if out.size > rows * columns and self._rng is not None:
            out[:] = self._rng.integers(-256, 257, out.shape) / 64
        out[:rows, :columns] = grid[:rows, :columns]
        if full and self.pick(Choice.FULL, 2, nth) and self._rng is not None:
            out *= 1 + self._rng.uniform(-(2.0**-7), 2.0**-7, out.shape)
        return out.reshape(shape)
