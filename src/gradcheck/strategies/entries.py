"""Where every number comes from: bytes for named choices and a small grid of entries, a seed for all others.

The bytes of a case are one choice to Hypothesis, which shrinks it byte by byte towards zeros. Each of ours has its
place in it whatever the others are, and the first row and class of the grid are those of the array whatever the sizes
are, so that entries keep their values while rows and classes are taken away.

Hypothesis also tries the bytes in ascending order. What stands first is therefore what should be the simplest: the
regimes and sizes; and the labels, which make a case of interest when all else is plain, stand last.
"""

from __future__ import annotations

import math
from enum import IntEnum
from functools import cached_property, lru_cache

import numpy as np
from hypothesis import strategies as st

from gradcheck.strategies.options import Array

# Rows and classes that are read one by one: as many as one cares to read.
_ROWS, _CLASSES = 4, 8
# Multiples of 1/4 in [-4, 4], the shortest decimals first.
_QUARTERS = np.array(sorted(range(-16, 17), key=lambda q: (q % 4 != 0, q % 2 != 0, abs(q), q < 0))) / 4


class Choice(IntEnum):
    """What is chosen by `Source.pick`, and where in the bytes of an array it stands."""

    SIZES = 0
    SIZES_SCALE = 1
    VALUES = 2
    VALUES_SCALE = 3
    MASKS = 4
    MASKS_SCALE = 5
    LABELS = 6
    LABELS_SCALE = 7
    SOFT = 8
    SOFT_SCALE = 9
    IGNORED = 10
    IGNORED_SCALE = 11
    WEIGHTS = 12
    WEIGHTS_SCALE = 13
    ROWS = 14
    CLASSES = 15
    EVERY = 16
    FULL = 17
    KIND = 18
    SCALE = 19
    SHAPE = 20
    ENTRY = 21
    SEED = 22


# A number is read from two bytes: 65,536 are more than there are rows, classes or regimes to choose from, and as seeds
# enough for hardly two cases of a run to be alike. In the bytes, the choices of each array come first, then the grids,
# then the labels.
_WORD, _WORDS = 2, 2**16
_CHOSEN = _WORD * Choice.ENTRY
_TAIL = _WORD * _ROWS


@lru_cache(maxsize=1024)  # making a strategy costs more than drawing from it
def _below(count: int, *path: int) -> st.SearchStrategy[int]:
    """Make a strategy of the numbers below `count` that is like no other: `path` is its name.

    Hypothesis copies values between draws from like strategies, and up to five in six cases are variations made that
    way. Where no two are alike, 100 cases are 100 independent ones, and miss hardly a regime.
    """
    offset = sum(step << (40 * place) for place, step in enumerate(path, start=1))
    return st.sampled_from(range(offset, offset + count)).map(lambda index: index - offset)


@lru_cache(maxsize=8)
def _binary(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


class Source:
    """The numbers of one case, from two choices of Hypothesis, bytes and a seed.

    Parameters
    ----------
    draw : callable
        What a composite strategy draws with.
    arrays : int
        How many arrays of `numbers` there are.
    """

    _part = 0

    def __init__(self, draw: st.DrawFn, *, arrays: int = 1) -> None:
        self._draw = draw
        self._arrays = arrays

    @cached_property
    def _bytes(self) -> bytes:
        size = self._arrays * (_CHOSEN + _ROWS * _CLASSES) + _TAIL
        return self._draw(_binary(size))

    @cached_property
    def _grids(self) -> Array:
        # Hypothesis moves what it cannot remove to the end. Read backwards, that is the first row and class, the
        # ones that stay longest.
        entries = np.frombuffer(self._bytes, dtype=np.uint8)[self._arrays * _CHOSEN : -_TAIL][::-1]
        return _QUARTERS[entries % len(_QUARTERS)].reshape(self._arrays, _ROWS, _CLASSES)

    @cached_property
    def _rng(self) -> np.random.Generator | None:
        """Where the entries beyond the grid come from; None, the simplest, makes them all zero."""
        seed = self._draw(_below(_WORDS, Choice.SEED, self._part))
        return np.random.Generator(np.random.PCG64(seed)) if seed else None

    def _word(self, start: int) -> int:
        return int.from_bytes(self._bytes[start : start + _WORD])

    def _first(self, below: int) -> list[int]:
        """Read as many numbers below `below` as there are rows in the grid."""
        # For the same reason as the grid, the first row is read last.
        start = len(self._bytes) - _WORD
        return [self._word(start - _WORD * row) * below // _WORDS for row in range(_ROWS)]

    def pick(self, choice: Choice, count: int, nth: int = 0) -> int:
        """Read a number below `count`, for the `nth` of the arrays; 0 is the simplest."""
        return self._word(_CHOSEN * nth + _WORD * choice) * count // _WORDS

    def indices(self, size: int, below: int) -> Array:
        """Read `size` int64 numbers in [0, below)."""
        out = np.zeros(size, dtype=np.int64)
        out[:_ROWS] = self._first(below)[:size]
        if size > _ROWS and self._rng is not None:
            out[_ROWS:] = self._rng.integers(0, below, size - _ROWS)
        return out

    def numbers(self, shape: tuple[int, ...], *, full: bool = True, nth: int = 0) -> Array:
        """Read float64 numbers of `shape` in about [-4, 4], for the `nth` of the arrays.

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


class SideSource(Source):
    """The numbers of what is drawn beside a case: few, each a choice of its own, and unlike the bytes of the case.

    Parameters
    ----------
    draw : callable
        What a composite strategy draws with.
    part : int
        Tells several of them in one test apart.
    """

    def __init__(self, draw: st.DrawFn, part: int) -> None:
        super().__init__(draw)
        self._part = part

    @cached_property
    def _grids(self) -> Array:
        grid = np.zeros((_ROWS, _CLASSES))
        grid.flat[:_ROWS] = _QUARTERS[self._first(len(_QUARTERS))]
        if self._rng is not None:
            grid.flat[_ROWS:] = _QUARTERS[self._rng.integers(0, len(_QUARTERS), grid.size - _ROWS)]
        return np.broadcast_to(grid, (3, *grid.shape))  # whichever is asked for

    def _first(self, below: int) -> list[int]:
        return [self.pick(Choice.ENTRY, below, row) for row in reversed(range(_ROWS))][::-1]

    def pick(self, choice: Choice, count: int, nth: int = 0) -> int:
        """Draw a number below `count`; 0 is the simplest."""
        # One of one is no choice to Hypothesis, and a case of fewer choices is simpler: an empty one would be the
        # simplest of all, and shows nothing.
        return self._draw(_below(max(count, 2), choice, nth, self._part)) % count
