"""Which symmetries the forward has, by evidence: it is run at transformed arguments, in float64.

A gradient has the symmetries of its function. Nothing is taken from names: a symmetry counts where the forward's value
shows it at the point itself and at a generic point close by, up to the rounding of that value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np

from gradcheck.domain import rounding_unit
from gradcheck.laws.elsewhere import calm, generic, largest, row_counts, uniform
from gradcheck.laws.noise import SAFETY, near, noise_here
from gradcheck.laws.placing import asked_as_placed, shared
from gradcheck.laws.subject import Changes, Subject
from gradcheck.tree import Array, Leaf, every

__all__ = [
    "Permutation",
    "alike",
    "at_once",
    "class_permutations",
    "hidden",
    "noise_of_symmetry",
    "not_one_matrix",
    "permuted",
    "resolution",
    "row_permutations",
    "shift_of",
    "shifts",
    "smooth",
    "value_here",
]

_FEW_ULPS = 2.0**-50  # half of it, the relative move, is two to four ulps
_ONE_MATRIX = "more than one array is differentiated, or one without rows"
# Leaves of a large tree of parameters that are looked at; the last of them are as good as the first.
_LEAVES = 4
# The root of float64's unit round-off, rounded up: second differences of smooth functions all but vanish there. With a
# fourth of all directions on each side of two coinciding comparisons, four find a kink.
_STEP = 2.0**-20
_DIRECTIONS = 4
_QUARTER = 0.35


def not_one_matrix(subject: Subject) -> str | None:
    """Say why laws about the rows and classes of logits do not apply, if so.

    What a network does with its parameters has symmetries too, but at a single point it shows many that it has not: a
    layer whose input is tiny, or whose units are dead, is not noticed whatever its weights are.
    """
    if subject.irregular:
        return subject.irregular
    leaves = subject.flat.differentiated
    return None if len(leaves) == 1 and leaves[0].array.ndim > 1 else _ONE_MATRIX


@dataclass(frozen=True, eq=False)
class Permutation:
    """A new order along an axis, for every array whose length along it is that of the order."""

    axis: int
    order: Array

    def of(self, array: Array) -> Array:
        """Give an array in the new order, or as it is if it has no such axis."""
        fits = array.ndim > 0 and array.shape[self.axis] == len(self.order)
        return array.take(self.order, self.axis) if fits else array

    @cached_property
    def back(self) -> Permutation:
        """The permutation that undoes this one."""
        return Permutation(self.axis, np.argsort(self.order))

    def of_data(self, array: Array) -> Array:
        """Give data in the new order; whole numbers without an axis of classes are names of classes."""
        columns = array.ndim > 1 and array.shape[-1] == len(self.order)
        if self.axis == 0 or array.dtype.kind not in "iu" or columns:
            return self.of(array)
        names = self.back.order.astype(array.dtype)
        named = (array >= 0) & (array < len(names))
        if every(named):
            return np.asarray(names[array])
        return np.where(named, names[np.where(named, array, 0)], array)


def permuted(subject: Subject, permutation: Permutation, changes: Changes) -> Changes:
    """Permute all arrays of a point."""
    leaves = {i: changes.get(i, x) for i, x in enumerate(subject.flat.leaves)}
    primals = set(subject.indices)
    return {
        i: permutation.of(x) if i in primals else permutation.of_data(x)
        for i, x in leaves.items()
        if isinstance(x, np.ndarray)
    }


@dataclass(frozen=True, eq=False)
class Symmetries:
    """Symmetries that a forward and its gradient have shown."""

    rows: list[Permutation]
    classes: list[Permutation]
    shifts: list[Leaf]


def at_once(subject: Subject) -> Symmetries | None:
    """Give all symmetries there can be, if forward and gradient go along with all of them at once.

    One run of each then serves three laws. What goes along with only some of them has to show each by itself, at a
    generic point too; here, at the point alone, the gradient is held to no symmetry that it does not have.
    """
    if not_one_matrix(subject):
        return None
    (leaf,) = subject.flat.differentiated
    rows, classes = (_turns(subject, axis) for axis in (0, -1))
    shift = leaf.array.shape[-1] > 1
    x = leaf.array.astype(np.float64)
    # unequal, lest they cancel in a sum over the whole array, which would not notice them
    apart = shift_of(x) * (1 + uniform(6, (*x.shape[:-1], 1))) / 2
    changes: Changes = {leaf.index: x + apart if shift else x}
    value, cotangents = subject.recall(value_here), subject.cotangents
    for turn in (*rows, *classes):
        changes = permuted(subject, turn, changes)
        value = value and [turn.of(v) for v in value]
        cotangents = [turn.of(c) for c in cotangents]
    if not alike(subject, value, subject.values(changes)):
        return None
    own = changes[leaf.index].astype(leaf.array.dtype)
    there = asked_as_placed(subject, shared(subject, 0), {**changes, leaf.index: own}, cotangents)
    if there is None or isinstance(there, str) or there[0] is None:
        return None
    back = reduce(lambda array, turn: turn.back.of(array), (*rows, *classes), there[0])
    along = near(subject, subject.answer.cotangents, (back,), calm=True)
    return Symmetries(rows, classes, [leaf] if shift else []) if along else None


def _turns(subject: Subject, axis: int) -> list[Permutation]:
    """Give a permutation for each length that primals have along an axis, and, of rows, other arrays too."""
    lengths = {leaf.array.shape[axis] for leaf in subject.flat.differentiated[-_LEAVES:] if leaf.array.ndim}
    if axis == 0:
        lengths |= set(subject.recall(row_counts))
    # nothing stays where it was
    return [Permutation(axis, (np.arange(n) + 1) % n) for n in sorted(lengths - {0, 1})]


def permutations(subject: Subject, axis: int) -> list[Permutation]:
    """Find the permutations along an axis of some primals that permute the forward's value, or leave it as it is."""
    return [turn for turn in _turns(subject, axis) if _noticed_nowhere(subject, turn)]


def _noticed_nowhere(subject: Subject, turn: Permutation) -> bool:
    """Whether a permutation permutes the forward's value, or leaves it, at the point and at a generic one."""
    for at, point in ((value_here, _here), (_value_generic, generic)):
        value = subject.recall(at)
        moved = subject.values(permuted(subject, turn, subject.recall(point)))
        if value is None or not alike(subject, [turn.of(v) for v in value], moved):
            return False
    return True


def row_permutations(subject: Subject) -> list[Permutation]:
    """Find the permutations of rows."""
    known = subject.recall(at_once)
    return known.rows if known else permutations(subject, axis=0)


def class_permutations(subject: Subject) -> list[Permutation]:
    """Find the permutations of classes."""
    known = subject.recall(at_once)
    return known.classes if known else permutations(subject, axis=-1)


def shift_of(array: Array) -> Array:
    """Give a constant for each row: a power of two as large as the row, of either sign in turn."""
    sizes = largest(array, axis=-1)
    signs = np.where(np.arange(sizes.size) % 2, 1.0, -1.0).reshape(sizes.shape)
    return np.asarray((signs * sizes).astype(array.dtype))


def shifts(subject: Subject) -> list[Leaf]:
    """Find the primals that a constant for each row may be added to: the forward's value stays as it is."""
    if known := subject.recall(at_once):
        return known.shifts
    found = []
    near = subject.recall(generic)
    rng = np.random.default_rng(6)
    for leaf in subject.flat.differentiated[-_LEAVES:]:
        if not leaf.array.ndim or leaf.array.shape[-1] < 2 or not leaf.array.size:
            continue
        x, y = leaf.array.astype(np.float64), near[leaf.index]
        # unequal and of one sign: constants that cancel would leave a sum over the whole array as it is
        apart = rng.uniform(0.5, 1.0, (*y.shape[:-1], 1))
        if alike(subject, subject.recall(value_here), subject.values({leaf.index: x + shift_of(x)})) and alike(
            subject, subject.recall(_value_generic), subject.values({**near, leaf.index: y + apart})
        ):
            found.append(leaf)
    return found


def hidden(subject: Subject) -> float:
    """Bound the slopes that the rounding of the forward's value hides, over a step of one."""
    pairs = zip(subject.recall(resolution), subject.cotangents, strict=True)
    return sum(rounding * float(np.sum(np.abs(c.astype(np.float64)))) for rounding, c in pairs)


def noise_of_symmetry(subject: Subject) -> list[Array]:
    """Measure the noise of the answer, and what may be hidden of a slope that breaks a symmetry."""
    return [noise + subject.recall(hidden) / SAFETY for noise in subject.recall(noise_here)]


def smooth(subject: Subject) -> bool:
    """Whether the forward has no kink at the point, where any mix of the slopes on its sides is a gradient.

    A second difference falls to a quarter with half its step, at a kink to half.
    """
    here = subject.recall(value_here)
    rng = np.random.default_rng(4)
    for _ in range(_DIRECTIONS):
        way: Changes = {
            leaf.index: np.asarray(rng.uniform(-1.0, 1.0, leaf.array.shape)) for leaf in subject.flat.differentiated
        }
        wide, narrow = (_second_difference(subject, here, way, step) for step in (_STEP, _STEP / 2))
        if wide is None or narrow is None:
            return False
        for a, b, r in zip(wide, narrow, subject.recall(resolution), strict=True):
            if np.any((np.abs(a) > r) & (np.abs(b) > _QUARTER * np.abs(a))):
                return False
    return True


def _second_difference(subject: Subject, here: Sequence[Array] | None, way: Changes, step: float) -> list[Array] | None:
    ends = []
    for sign in (1.0, -1.0):
        moved = {}
        for leaf in subject.flat.differentiated:
            x = leaf.array.astype(np.float64)
            moved[leaf.index] = x + sign * step * largest(x) * way[leaf.index]
        ends.append(subject.values(moved))
    if here is None or ends[0] is None or ends[1] is None:
        return None
    return [a - 2 * v + b for a, v, b in zip(ends[0], here, ends[1], strict=True)]


def alike(subject: Subject, expected: Sequence[Array] | None, found: Sequence[Array] | None) -> bool:
    """Whether two values of the forward are equal up to its rounding."""
    if expected is None or found is None or [e.shape for e in expected] != [f.shape for f in found]:
        return False
    pairs = list(zip(expected, found, strict=True))
    with np.errstate(all="ignore"):
        least = [SAFETY * rounding_unit(e.dtype) * np.minimum(np.abs(e), np.abs(f)) for e, f in pairs]
        if all(every(np.abs(e - f) <= r) for (e, f), r in zip(pairs, least, strict=True)):
            return True
    return all(np.all(np.abs(e - f) <= r) for (e, f), r in zip(pairs, subject.recall(resolution), strict=True))


def resolution(subject: Subject) -> list[float]:
    """Measure the rounding of each array of the forward's value: its size, and its scatter at inputs moved by ulps."""
    values = [v for at in (value_here, _value_generic, _value_calm) if (v := subject.recall(at)) is not None]
    here = subject.recall(value_here)
    if here is None:
        return [0.0] * len(subject.cotangents)
    rng = np.random.default_rng(3)
    scatter = [0.0] * len(here)
    for _ in range(2):
        nearby = {}
        for leaf in subject.flat.differentiated:
            signs = rng.integers(0, 2, leaf.array.shape, dtype=np.int8) - 0.5
            nearby[leaf.index] = leaf.array.astype(np.float64) * (1.0 + signs * _FEW_ULPS)
        near = subject.values(nearby)
        if near is not None:
            scatter = [max(s, _size(a - b)) for s, a, b in zip(scatter, here, near, strict=True)]
    sizes = [max(_size(v[k]) for v in values) for k in range(len(here))]
    units = [rounding_unit(v.dtype) for v in here]
    return [SAFETY * (s + u * size) for s, u, size in zip(scatter, units, sizes, strict=True)]


def _size(x: Array) -> float:
    return float(np.max(np.abs(x), initial=0.0))


def _here(_subject: Subject) -> Changes:
    return {}


def value_here(subject: Subject) -> list[Array] | None:
    """Give the forward's value at the point, in float64."""
    return subject.values({})


def _value_generic(subject: Subject) -> list[Array] | None:
    return subject.values(subject.recall(generic))


def _value_calm(subject: Subject) -> list[Array] | None:
    return subject.values(subject.recall(calm))
