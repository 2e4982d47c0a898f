"""Which axes of the arguments belong together, so that a point can be drawn with other numbers of rows and classes.

A failing point is small, and at one row or one class most axes could be anything. So there are several readings of the
shapes, and whoever draws a point takes the first at which the rule still answers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from gradcheck.mistakes.roles import Roles
from gradcheck.tree import Array, Flat

__all__ = ["Reading", "readings"]

ROWS, CLASSES = "rows", "classes"
FIRST = "first"  # of the axes of the first matrix, which in a network are not rows
# Unequal, and neither 1 nor 2, which too much coincides with; small, since a point is to be judged in milliseconds.
_SIZES = ((3, 4, 5, 6, 7, 8), (5, 3, 4, 7, 6, 2), (4, 7, 3, 5, 8, 6))


@dataclass(frozen=True, eq=False)
class Reading:
    """A name for every axis of every array, by the array's index among the leaves; the same name, the same length."""

    names: Mapping[int, tuple[str, ...]]

    @property
    def axes(self) -> tuple[str, ...]:
        """The names, in order of appearance, that of rows first and that of classes second where there are."""
        found = dict.fromkeys(name for names in self.names.values() for name in names)
        return tuple(sorted(found, key=lambda name: (name != ROWS, name != CLASSES)))

    def sizes(self, variant: int, fixed: Mapping[str, int]) -> dict[str, int]:
        """Choose a length for each axis."""
        chosen = _SIZES[variant % len(_SIZES)]
        return {name: chosen[i % len(chosen)] for i, name in enumerate(self.axes)} | dict(fixed)

    def named(self, index: int | None, fixed: Mapping[str, int]) -> dict[str, int]:
        """Give lengths of rows and classes the names that these have here, with an array whose axes stand in for them.

        What has no name is left out.
        """
        axes = () if index is None else self.names[index]
        stand_in = {FIRST: axes[0], ROWS: axes[0], CLASSES: axes[-1]} if len(axes) > 1 else {}
        names = {wanted: wanted if wanted in self.axes else stand_in.get(wanted) for wanted in fixed}
        return {name: fixed[wanted] for wanted, name in names.items() if name is not None}

    def shape(self, index: int, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Give the shape of one array."""
        return tuple(sizes[name] for name in self.names[index])


def readings(flat: Flat, roles: Roles) -> Iterator[Reading]:
    """Yield readings of the shapes, the most telling first: by logits, layers, a network, equal axes, equal lengths."""
    arrays = {i: x for i, x in enumerate(flat.leaves) if isinstance(x, np.ndarray)}
    if roles.logits is not None:
        yield _as_logits(arrays, flat.differentiated[roles.logits].index, roles)
    yield _as_layers(arrays)
    primals = {leaf.index for leaf in flat.differentiated}
    yield from (_as_network(arrays, primals, across=across) for across in (True, False))
    yield _by_position(arrays)
    yield _by_length(arrays)


def _as_logits(arrays: Mapping[int, Array], logits: int, roles: Roles) -> Reading:
    *rows, classes = arrays[logits].shape
    batch = (ROWS, *(f"rows {i}" for i in range(1, len(rows))))[: len(rows)]
    names: dict[int, tuple[str, ...]] = {}
    for index, array in arrays.items():
        if array.shape == (*rows, classes) and index in (logits, roles.soft):
            names[index] = (*batch, CLASSES)
        elif array.shape == tuple(rows) and index == roles.labels:
            names[index] = batch
        else:
            lengths = {classes: CLASSES} | ({rows[0]: ROWS} if rows and rows[0] != classes else {})
            names[index] = _matched(index, array, lengths)
    return Reading(names)


def _as_layers(arrays: Mapping[int, Array]) -> Reading:
    """Follow a chain: each matrix takes what the one before it gives, a vector is added to that, labels are rows."""
    names: dict[int, tuple[str, ...]] = {}
    state: tuple[str, ...] = ()
    lengths: dict[str, int] = {}
    for index, array in arrays.items():
        if array.dtype.kind in "iu" and array.ndim == 1:
            named: tuple[str, ...] = (ROWS,) if lengths.get(ROWS) in (None, len(array)) else (f"{index}.0",)
        elif array.ndim == 2 and state and array.shape[0] == lengths[state[-1]]:
            named = (state[-1], f"{index}.1")
        elif array.ndim == 2 and not state:
            named = (ROWS, f"{index}.1")
        elif array.ndim == 1 and state and len(array) == lengths[state[-1]]:
            named = (state[-1],)
        else:
            named = tuple(f"{index}.{axis}" for axis in range(array.ndim))
        names[index] = named
        lengths.update(zip(named, array.shape, strict=True))
        if array.dtype.kind not in "iub" and array.ndim:
            state = named if array.ndim > 1 or not state else state
    return Reading(names)


def _as_network(arrays: Mapping[int, Array], primals: Collection[int], *, across: bool) -> Reading:
    """Follow a chain that starts with the data, wherever the parameters stand, and adds a vector to each product.

    ``across`` reads matrices as they are in ``x @ W.T``.
    """
    names: dict[int, tuple[str, ...]] = {}
    lengths: dict[str, int] = {}
    inner, unbiased = "", list[str]()
    for index in sorted(arrays, key=lambda index: (index in primals, index)):
        array = arrays[index]
        named = tuple(f"{index}.{axis}" for axis in range(array.ndim))
        added = next((name for name in unbiased if array.shape == (lengths[name],)), None)
        if index not in primals and array.ndim in (1, 2) and lengths.get(ROWS) in (None, len(array)):
            named = (ROWS, *named[1:])
            inner = named[-1] if array.ndim == 2 else inner
        elif array.ndim == 2 and inner and array.shape[across] == lengths[inner]:
            outer = named[1 - across]
            named, inner = ((outer, inner) if across else (inner, outer)), outer
            unbiased.append(outer)
        elif added is not None:
            unbiased.remove(added)
            named = (added,)
        names[index] = named
        lengths.update(zip(named, array.shape, strict=True))
    return Reading(names)


def _by_position(arrays: Mapping[int, Array]) -> Reading:
    """Take equal lengths for the same axis where both are first axes, or both are not, as of queries, keys, values."""

    def named(array: Array) -> tuple[str, ...]:
        return tuple(f"{'later' if axis else 'first'} {n}" for axis, n in enumerate(array.shape))

    return Reading({i: named(x) for i, x in arrays.items()})


def _by_length(arrays: Mapping[int, Array]) -> Reading:
    """Take equal lengths for the same axis, wherever they are."""
    return Reading({i: tuple(f"length {n}" for n in x.shape) for i, x in arrays.items()})


def _matched(index: int, array: Array, lengths: Mapping[int, str]) -> tuple[str, ...]:
    return tuple(lengths.get(n, f"{index}.{axis}") for axis, n in enumerate(array.shape))
