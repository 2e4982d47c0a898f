"""Contests within an array: extrema, their places, running extrema, scatters that keep the best, and sorting.

What is decided is where the winners stand; what is replayed is taking them from there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cmp_to_key
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.oracles.balls.compare import ABOVE, BELOW, EQUAL, UNORDERED, Choice, as_decided, compare, order
from gradcheck.oracles.balls.values import Array, as_balls, exact
from gradcheck.oracles.program.operation import Params
from gradcheck.oracles.program.primitives import BINDERS

if TYPE_CHECKING:
    from flint import arb

__all__ = ["CONTESTS"]


def _best(final: bool, lines: Array, better: int) -> Array:
    """Give the place of the best entry along the last axis: the first among equals; a NaN wins."""
    middle = lines.astype(np.float64)  # rounded, so that it is only a guess
    place = (np.argmax if better == ABOVE else np.argmin)(middle, axis=-1)
    while True:
        codes = compare(final, lines, np.take_along_axis(lines, place[..., None], -1))
        ahead = codes == better
        if not ahead.any():
            unordered = np.any(codes == UNORDERED, axis=-1)
            return np.asarray(np.where(unordered, place, np.argmax(codes == EQUAL, axis=-1)))
        place = np.where(ahead.any(axis=-1), np.argmax(ahead, axis=-1), place)


def _lines(x: Array, axes: tuple[int, ...]) -> Array:
    kept = x.ndim - len(axes)
    moved = np.moveaxis(x, axes, range(kept, x.ndim))
    return moved.reshape(*moved.shape[:kept], math.prod(moved.shape[kept:]))


def _bind_extreme(better: int) -> Callable[[Params], Choice]:
    def bind(params: Params) -> Choice:
        axes = tuple(int(a) for a in params["axes"])

        def decide(final: bool, x: Array) -> Array | None:
            lines = _lines(x, axes)
            return _best(final, lines, better) if lines.shape[-1] else None

        def replay(place: Array | None, x: Array) -> Array:
            lines = _lines(x, axes)
            if place is None:  # over no entries lax returns the neutral element
                return exact(np.full(lines.shape[:-1], -better * math.inf))
            return np.take_along_axis(lines, place[..., None], -1)[..., 0]

        return Choice(decide, replay)

    return bind


def _bind_place(better: int) -> Callable[[Params], Choice]:
    def bind(params: Params) -> Choice:
        (axis,) = params["axes"]
        dtype = np.dtype(params["index_dtype"])
        return Choice(lambda final, x: _best(final, _lines(x, (axis,)), better).astype(dtype), as_decided)

    return bind


@dataclass(frozen=True)
class _Entrant:
    """A ball and its place, whose sum with another is the better one: what NumPy's sums then make is a tournament."""

    ball: arb
    place: int
    better: int
    final: bool

    def __add__(self, other: _Entrant) -> _Entrant:
        code = order(self.final, other.ball, self.ball)
        return other if code == self.better or (code == UNORDERED and other.ball.is_nan()) else self


def _entrants(final: bool, x: Array, better: int, first: int = 0) -> Array:
    """Enter all of an array into a tournament, numbered from ``first``."""
    places = np.arange(first, first + x.size).reshape(x.shape)
    return as_balls(np.frompyfunc(lambda ball, place: _Entrant(ball, place, better, final), 2, 1)(x, places))


def _places(entrants: Array) -> Array:
    return np.asarray(np.frompyfunc(lambda entrant: entrant.place, 1, 1)(entrants), dtype=np.intp)


def _bind_running(better: int) -> Callable[[Params], Choice]:
    def bind(params: Params) -> Choice:
        running = BINDERS["cumsum"](params)

        def decide(final: bool, x: Array) -> Array:
            return _places(running(_entrants(final, x, better)))

        return Choice(decide, lambda places, x: x.ravel()[places])

    return bind


def _bind_scatter(better: int) -> Callable[[Params], Choice]:
    def bind(params: Params) -> Choice:
        scatter = BINDERS["scatter-add"](params)

        def decide(final: bool, x: Array, indices: Array, updates: Array) -> Array:
            return _places(scatter(_entrants(final, x, better), indices, _entrants(final, updates, better, x.size)))

        return Choice(decide, lambda places, x, _, updates: np.concatenate([x.ravel(), updates.ravel()])[places])

    return bind


def _bind_sort(params: Params) -> Choice:
    axis, keys = params["dimension"], params["num_keys"]

    def decide(final: bool, *operands: Array) -> Array:
        columns = [np.moveaxis(x, axis, -1) for x in operands[:keys]]
        places = np.empty(columns[0].shape, dtype=np.intp)
        for line in np.ndindex(places.shape[:-1]):
            by_keys = _lexicographic(final, [column[line] for column in columns])
            places[line] = sorted(range(places.shape[-1]), key=cmp_to_key(by_keys))
        return np.moveaxis(places, -1, axis)

    def replay(places: Array, *operands: Array) -> Any:
        moved = [np.take_along_axis(x, places, axis) for x in operands]
        return moved if len(moved) > 1 else moved[0]  # one result stands for itself

    return Choice(decide, replay)


def _lexicographic(final: bool, keys: list[Array]) -> Callable[[int, int], int]:
    """Compare two places of a line by its keys in turn, NaN last."""

    def by_keys(i: int, j: int) -> int:
        for key in keys:
            if key.dtype != object:
                code = int(key[i] > key[j]) - int(key[i] < key[j])
            elif (code := order(final, key[i], key[j])) == UNORDERED:
                code = int(key[i].is_nan()) - int(key[j].is_nan())
            if code:
                return code
        return 0

    return by_keys


CONTESTS: Mapping[str, Callable[[Params], Choice]] = {
    "argmax": _bind_place(ABOVE),
    "argmin": _bind_place(BELOW),
    "cummax": _bind_running(ABOVE),
    "cummin": _bind_running(BELOW),
    "reduce_max": _bind_extreme(ABOVE),
    "reduce_min": _bind_extreme(BELOW),
    "scatter-max": _bind_scatter(ABOVE),
    "scatter-min": _bind_scatter(BELOW),
    "sort": _bind_sort,
}
