"""Wrong at one size only, N = 1, K = 1 or N = K: where an axis is squeezed away, or guessed from the shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Evidence, Finding
from gradcheck.mistakes.making import injected
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.setting import Gradient, Sample, Setting
from gradcheck.rule import Rule

__all__ = ["MISTAKES"]

# Of either kind: a hypothesis about sizes is worth nothing without several sizes at which it could fail.
_LEAST = 2


@dataclass(frozen=True, eq=False)
class _Size:
    """A size at which a rule may be wrong: which settings have it, and how to draw others that have it or have not."""

    name: str
    has: Callable[[int, int], bool]
    having: tuple[Mapping[str, int], ...]
    lacking: tuple[Mapping[str, int], ...]
    wrong: Callable[[Setting], Gradient | None]
    why: str
    change: str


def _extents(setting: Setting) -> tuple[int, int] | None:
    """Give N and K: of the first matrix that is differentiated, be it logits, inputs or the weights of a layer."""
    matrix = next((leaf.array.shape for leaf in setting.leaves if leaf.array.ndim > 1), None)
    if matrix is None:
        return None
    return int(np.prod(matrix[:-1])), matrix[-1]


def _at(size: _Size, setting: Setting) -> Gradient | None:
    extents = _extents(setting)
    return size.wrong(setting) if extents is not None and size.has(*extents) else None


def _inject(size: _Size, rule: Rule) -> Rule:
    return injected(rule, partial(_at, size))


def _recognise(size: _Size, context: Context) -> Finding | None:
    failing = context.failing
    extents = None if failing is None else _extents(failing)
    if failing is None or extents is None or not size.has(*extents):
        return None
    # where a law is broken, it is at other numbers, or in another layout, that the answer is wrong
    by_numbers = context.breach is None
    samples = [*(context.samples if by_numbers else context.samples[1:]), *_drawn(size, context)]
    here = [s for s in samples if _has(size, s)]
    elsewhere = [s for s in samples if not _has(size, s)]
    # of a gradient that is zero, any multiple is as right
    telling = [s for s in here if s.before > 1.0 or any(np.any(g) for g in s.reference)]
    if (by_numbers and not failing.before > 1.0) or len(telling) < _LEAST or not all(s.before > 1.0 for s in telling):
        return None
    if len(elsewhere) < _LEAST or any(s.before > 1.0 for s in elsewhere):
        return None
    says = f"the gradient is wrong for {size.name} only{_of_weights(failing)}, "
    says += f"and right at {len(elsewhere)} other sizes: {size.why}"
    evidence = [Evidence(s.where, s.before, np.inf) for s in here] + [Evidence(s.where, s.before, 0) for s in elsewhere]
    return Finding(f"wrong only for {size.name}", says, size.change, tuple(evidence), failing.point)


def _of_weights(sample: Sample) -> str:
    """Say of which matrix N and K are rows and columns, where they are not those of the data."""
    roles, matrix = sample.roles, next(leaf for leaf in sample.leaves if leaf.array.ndim > 1)
    return f" (rows and columns of {matrix.path})" if roles.rows != int(np.prod(matrix.array.shape[:-1])) else ""


def _has(size: _Size, sample: Sample) -> bool:
    extents = _extents(sample)
    return extents is not None and size.has(*extents)


def _drawn(size: _Size, context: Context) -> list[Sample]:
    found = [
        context.drawn(variant, first=wanted.get("first"), classes=wanted.get("classes"))
        for variant, wanted in enumerate((*size.having, *size.lacking))
    ]
    return [sample for sample in found if sample is not None]


def _by_columns(setting: Setting) -> Gradient | None:
    """Divide by the length of what a squeeze leaves of one row: its columns."""
    extents = _extents(setting)
    return None if extents is None else tuple(g / max(extents[1], 1) for g in setting.gradient)


def _summed_over_rows(setting: Setting) -> Gradient | None:
    """Give each row the sum of all: of one column less a vector of labels, (N, 1) - (N,), broadcasting makes (N, N)."""
    return tuple(np.broadcast_to(g.sum(axis=0, keepdims=True), g.shape) if g.ndim > 1 else g for g in setting.gradient)


def _along_the_other_axis(setting: Setting) -> Gradient | None:
    """Take the axes of the first square matrix for one another, as if its last came first."""
    slot = next((k for k, leaf in enumerate(setting.leaves) if leaf.array.ndim == 2), None)
    if slot is None:
        return None
    leaf = setting.leaves[slot]
    turned = [c.T if c.shape == leaf.array.shape else c for c in setting.cotangents]
    found = setting.at({leaf.index: leaf.array.T.copy()}, turned)
    return None if found is None else tuple(g.T if k == slot else g for k, g in enumerate(found))


_SIZES = (
    _Size(
        "N = 1",
        lambda n, k: n == 1 and k > 1,
        ({"first": 1}, {"first": 1, "classes": 4}, {"first": 1, "classes": 6}),
        ({"first": 2}, {"first": 3}),
        _by_columns,
        "an axis of length 1 goes missing on the way, as with np.squeeze",
        "take the axis by its number, squeeze(axis=...) or [:, 0], and sum with keepdims=True",
    ),
    _Size(
        "K = 1",
        lambda n, k: k == 1 and n > 1,
        ({"classes": 1}, {"classes": 1, "first": 4}, {"classes": 1, "first": 6}),
        ({"classes": 2}, {"classes": 3}),
        _summed_over_rows,
        "one column is taken for no column, as with np.squeeze, or (N, 1) meets (N,) and becomes (N, N)",
        "keep the axis of columns: reshape(-1, 1) or [:, None] where a vector meets a column",
    ),
    _Size(
        "N = K",
        lambda n, k: n == k and n > 1,
        ({"first": 3, "classes": 3}, {"first": 4, "classes": 4}, {"first": 5, "classes": 5}),
        ({"first": 3, "classes": 4}, {"first": 5, "classes": 2}, {"first": 4, "classes": 5}),
        _along_the_other_axis,
        "an axis is told by its length, which here is that of the other too",
        "tell axes by their place, axis=0 and axis=-1, and broadcast with [:, None] instead of by length",
    ),
)
MISTAKES = tuple(
    Mistake(f"wrong only for {s.name}", partial(_inject, s), partial(_recognise, s), general=True) for s in _SIZES
)
