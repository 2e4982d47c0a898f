"""Other points to ask a rule at, made of the point itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from gradcheck.laws.running import Results
from gradcheck.laws.subject import Changes, Subject
from gradcheck.rule import is_float
from gradcheck.tree import Array

__all__ = [
    "calm",
    "calm_answer",
    "generic",
    "generic_array",
    "halved",
    "halved_answer",
    "largest",
    "mixed",
    "one_row",
    "row_counts",
    "scaled",
    "uniform",
    "with_rows",
]


_KNOWN = 4096  # random numbers that are kept, enough for the arrays that are drawn in tests


def scaled(subject: Subject, factor: float) -> Changes:
    """Scale the primals."""
    return {leaf.index: leaf.array * leaf.array.dtype.type(factor) for leaf in subject.flat.differentiated}


def halved(subject: Subject) -> Changes:
    """Halve the primals, which stays inside most domains (positive, bounded, sorted)."""
    return scaled(subject, 0.5)


def halved_answer(subject: Subject) -> Results | None:
    """Ask the rule at half its primals."""
    return subject.ask(subject.recall(halved))


def calm(subject: Subject) -> Changes:
    """Divide each array of primals by a power of two so that it ends at one: here nothing is saturated."""
    with np.errstate(all="ignore"):  # as in `largest`, in the dtype of the array
        return {
            leaf.index: leaf.array / leaf.array.dtype.type(largest(leaf.array)) for leaf in subject.flat.differentiated
        }


def calm_answer(subject: Subject) -> Results | None:
    """Ask the rule where nothing is saturated, and nothing of the cotangent cancels."""
    return subject.ask(subject.recall(calm), mixed(subject, subject.cotangents))


def mixed(subject: Subject, cotangents: Sequence[Array]) -> Any:
    """Give a cotangent alternating signs along each row: to a constant row, the answer of a softmax is zero.

    The factors vary, so that what adds up over rows does not cancel as a whole.
    """
    if not subject.rule.takes_cotangent:
        return None
    return subject.cotangent_of(
        [(c * _alternating(c) * np.where(uniform(5, c.shape) < 0.5, 0.5, 1.0)).astype(c.dtype) for c in cotangents]
    )


def _alternating(array: Array) -> Array:
    return 1.0 - 2.0 * (np.arange(array.shape[-1]) % 2) if array.ndim else np.ones(())


def largest(array: Array, axis: int | None = None) -> Array:
    """Give the power of two that bounds the finite entries of an array or of its rows, and not less than one."""
    sizes = np.abs(array.astype(np.float64))
    sizes = sizes.max(axis=axis, keepdims=axis is not None, initial=1.0, where=np.isfinite(sizes))
    with np.errstate(over="ignore"):  # of the largest numbers, the next power of two is infinite
        return np.asarray(np.exp2(np.ceil(np.log2(sizes))))


def generic(subject: Subject) -> Changes:
    """Bring every row of primals and data to the size of one, and move each entry of primals by up to a quarter.

    A function without any symmetry looks symmetric where the symmetry leaves the point as it is, since all entries are
    equal, and where it hardly depends on what is moved, since that, or what it is multiplied by, is tiny or saturated.
    """
    primals = set(subject.indices)  # data may have to be what they are: zero, not negative
    leaves = enumerate(subject.flat.leaves)
    return {
        i: generic_array(leaf) if i in primals else _of_size_one(leaf)
        for i, leaf in leaves
        if isinstance(leaf, np.ndarray) and is_float(leaf.dtype)
    }


def generic_array(array: Array) -> Array:
    """Bring the rows of an array to the size of one, and move each entry by up to a quarter."""
    x = _of_size_one(array)
    shift = (uniform(0, (2, *x.shape)) - 0.5) / 2
    return np.asarray(np.where(x == 0, shift[0], x * (1 + shift[1])))


def _of_size_one(array: Array) -> Array:
    x = array.astype(np.float64)
    sizes = np.abs(x)
    with np.errstate(all="ignore"):
        rows = sizes.max(axis=-1 if x.ndim else None, keepdims=True, initial=0.0, where=np.isfinite(x))
        return np.asarray(x / np.where(rows > 0, rows, 1.0))


def uniform(seed: int, shape: tuple[int, ...]) -> Array:
    """Give random numbers from 0 to 1, the same ones each time: making a generator takes longer than most rules do."""
    size = math.prod(shape)
    known = _known(seed)
    return (known[:size] if size <= len(known) else np.random.default_rng(seed).random(size)).reshape(shape)


@cache
def _known(seed: int) -> Array:
    return np.random.default_rng(seed).random(_KNOWN)


def row_counts(subject: Subject) -> list[int]:
    """List the lengths that arrays share as their first axis, and that no array has as another axis.

    A single array of one axis has entries, not rows.
    """
    arrays = [leaf for leaf in subject.flat.leaves if isinstance(leaf, np.ndarray) and leaf.ndim]
    values = [v for v in subject.forward.value if v.ndim]
    others = {n for a in (*arrays, *values) for n in a.shape[1:]}
    found = []
    for array in arrays:
        n = array.shape[0]
        together = sum(a.shape[0] == n for a in (*arrays, *values))
        if n > 1 and n not in others and n not in found and (array.ndim > 1 or together > 1):
            found.append(n)
    return found


def one_row(subject: Subject) -> dict[int, Results | None]:
    """Ask the rule for the first row alone, whichever the rows are, by their number."""
    found = {}
    for n in subject.recall(row_counts):
        changes, cotangents = with_rows(subject, n, 1)
        found[n] = subject.ask(changes, subject.cotangent_of(cotangents))
    return found


def with_rows(subject: Subject, n: int, rows: int) -> tuple[Changes, list[Array]]:
    """Keep only the first rows of every array that has ``n``, and of the cotangent."""
    leaves = enumerate(subject.flat.leaves)
    changes = {i: x[:rows].copy() for i, x in leaves if isinstance(x, np.ndarray) and x.ndim and len(x) == n}
    return changes, [c[:rows] if c.ndim and len(c) == n else c for c in subject.cotangents]
