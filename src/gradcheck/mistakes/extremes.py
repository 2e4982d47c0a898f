"""Where an answer stops being finite: a row is moved away, alone or in part, until it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Evidence
from gradcheck.mistakes.setting import Sample
from gradcheck.tree import Array, Leaf

__all__ = ["MOVES", "OVERFLOW", "UNDERFLOW", "Edge", "edges", "finite_here"]

# The largest number of each format, and the smallest above zero: beyond the logarithm of the one an exponential is
# infinite, below that of the other it is zero.
OVERFLOW: Mapping[str, float] = {
    "float64": 1024 * np.log(2),
    "float32": 128 * np.log(2),
    "float16": 16 * np.log(2),
}
UNDERFLOW: Mapping[str, float] = {
    "float64": 1075 * np.log(2),  # half of the smallest subnormal is rounded to zero
    "float32": 150 * np.log(2),
    "float16": 25 * np.log(2),
}
# Limits of one format are 5 % apart or more; a sum of a few exponentials moves an edge by the logarithm of how many.
_NEAR = 0.01
# Enough to find an edge to a thousandth of the farthest move.
_HALVINGS = 12
# Digits go before all is lost: a sum is infinite a little sooner, and of subnormal numbers some digits are left.
_WELL_BELOW = 0.9
_FARTHEST = 4 * OVERFLOW["float64"]


@dataclass(frozen=True, eq=False)
class _Move:
    """A way to move the first row, and how far that puts it: ``size`` of the row, then of the array."""

    name: str
    moved: Callable[[Array, float], Array]
    size: Callable[[Array], float]
    least: int = 1


def _up(x: Array, by: float) -> Array:
    return np.concatenate([x[:1] + by, x[1:]])


def _last(x: Array, by: float) -> Array:
    found = x.copy()
    found[0, -1] += by
    return found


def _next(x: Array, by: float) -> Array:
    return np.concatenate([x[:1], x[1:] + by])


MOVES: Mapping[str, _Move] = {
    "up": _Move("up", _up, lambda x: float(x[0].max())),
    "down": _Move("down", lambda x, by: _up(x, -by), lambda x: -float(x[0].min())),
    "apart": _Move("apart", _last, lambda x: float(np.ptp(x[0]))),
    "apart down": _Move("apart down", lambda x, by: _last(x, -by), lambda x: float(np.ptp(x[0]))),
    "rows apart": _Move("rows apart", _next, lambda x: float(x.max() - x[0].max()), least=2),
}


@dataclass(frozen=True, eq=False)
class Edge:
    """Where an answer stops being finite as a row of one array is moved.

    Parameters
    ----------
    path : str
        The array that is moved.
    move : str
        How: a key of `MOVES`.
    size : float
        How far the row then is: its largest entry, its least one with another sign, or what lies between two.
    below, above : Sample
        The rule well below and just beyond.
    """

    path: str
    move: str
    size: float
    below: Sample
    above: Sample

    def near(self, limits: Mapping[str, float], power: float = 1.0) -> str | None:
        """Name the format whose limit this is, for an exponential of this power; None if it is that of none."""
        room = np.log(max(self.below.leaves[0].array.size, 1))
        for name, limit in limits.items():
            if -_NEAR * limit - room <= power * self.size - limit <= _NEAR * limit:
                return name
        return None

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What the answer is off by on both sides, of which the one beyond is explained."""
        below = Evidence(f"{self.path} well below {self.size:.4g}", self.below.before, self.below.before)
        return below, Evidence(f"{self.path} just beyond {self.size:.4g}", self.above.before, 0.0)


def finite_here(sample: Sample) -> bool:
    """Whether an answer is finite."""
    return all(bool(np.all(np.isfinite(a))) for a in sample.analytic)


def edges(context: Context, moves: tuple[str, ...]) -> Iterator[Edge]:
    """Yield the edges that are found from an ordinary point, of each array and move in turn."""
    failing = context.failing
    if failing is None or finite_here(failing):
        return
    base = next((s for s in context.samples[1:] if s.before <= 1.0), None)
    if base is None:
        return
    for leaf in base.leaves:
        for move in moves:
            if leaf.array.ndim and leaf.array.size and len(_rows(leaf.array)) >= MOVES[move].least:
                yield from _edge(context, base, leaf, move)


def _edge(context: Context, base: Sample, leaf: Leaf, move: str) -> Iterator[Edge]:
    near, far = 0.0, _FARTHEST
    if _finite(context, base, leaf, move, far):
        return
    for _ in range(_HALVINGS):
        middle = 0.5 * (near + far)
        near, far = (middle, far) if _finite(context, base, leaf, move, middle) else (near, middle)
    below, above = (context.sample(_moved(base, leaf, move, by), base.where) for by in (_WELL_BELOW * near, far))
    if below is None or above is None or below.before > 1.0 or not above.before > 1.0:
        return
    size = MOVES[move].size(_rows(_array(leaf, move, far)).astype(np.float64))
    yield Edge(leaf.path, move, size, below, above)


def _finite(context: Context, base: Sample, leaf: Leaf, move: str, by: float) -> bool:
    answer = context.evaluate(_moved(base, leaf, move, by))
    return answer is None or all(a is None or bool(np.all(np.isfinite(a))) for a in answer)


def _moved(base: Sample, leaf: Leaf, move: str, by: float) -> Any:
    return base.moved({leaf.index: _array(leaf, move, by)})


def _array(leaf: Leaf, move: str, by: float) -> Array:
    moved = MOVES[move].moved(_rows(leaf.array).astype(np.float64), by)
    with np.errstate(over="ignore"):  # what a narrow format does not hold is no edge of the rule
        return np.asarray(moved.reshape(leaf.array.shape).astype(leaf.array.dtype))


def _rows(array: Array) -> Array:
    return array.reshape(-1, array.shape[-1])
