"""Kinks: where several derivatives are right, and which answers are a combination of them.

Where operands of a comparison coincide (a ReLU at 0, a maximum attained twice), or come so close that the rule's
precision cannot tell them apart, the function has one derivative on each side, and any convex combination is a
subgradient that a rule may return (Clarke, *Optimization and Nonsmooth Analysis*, 1983, 2.5). The derivatives come
from `Autodiff.sides`. Their convex hull is enclosed from outside by what is cheap to test: the affine space through
them, which keeps what all sides agree on (a tie broken twice, with both operands passed in full, is outside), and
the interval of each entry. For ties of a maximum, any number of them in any number of rows, the two together *are*
the hull.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from gradcheck.tree import Array
from gradcheck.verdict.outcome import Discrepancy, Grade

__all__ = ["ON_A_KINK", "Sided", "across_kinks"]

ON_A_KINK = "operands of a comparison coincide here, and the rule's answer is a subgradient: a mix of both sides"

_SIDES = 64  # runs in any case: a tie of two comes out both ways, but for once in 2^63
_WRONG = 64  # entries that more sides are drawn for
_ASKED = 2048  # entries whose own sides are asked for; those beyond are held to the sides that were drawn


class Sided(Protocol):
    """A derivative that knows those on the other sides of a kink."""

    @property
    def gradient(self) -> tuple[Array, ...]:
        """The derivative itself, an array for each that is differentiated by."""

    def sides(self, unit: float, runs: int) -> list[tuple[Array, ...]]:
        """Give the derivatives across those comparisons that a precision with this round-off may decide otherwise."""

    def sides_at(self, slot: int, entry: int, unit: float, /) -> list[tuple[Array, ...]]:
        """Give the derivatives across the comparisons that one entry of one array decides alone."""


def across_kinks(compared: Sequence[Discrepancy], reference: Sided) -> tuple[Discrepancy, ...] | None:
    """Regrade the wrong entries if the rule's answer is a combination of the derivatives on the sides of a kink.

    Parameters
    ----------
    compared : sequence of Discrepancy
        The comparison with the derivative that JAX chose.
    reference : Sided
        What knows the other derivatives.

    Returns
    -------
    tuple of Discrepancy, or None
        None if the answer is no such combination, or there is no kink.
    """
    sides = _sides(reference, compared)
    if not sides:
        return None
    # from what its sides are sides of, not from the truth in balls, which differs from it in the last digits
    offset = _flat([d.analytic - g for d, g in zip(compared, reference.gradient, strict=True)])
    spans = _spans(sides, reference)
    if not (np.all(np.isfinite(spans)) and np.all(np.isfinite(offset))):
        return None
    # in units of what an entry may be off by; a relative 2^-40 of the gap is exact enough, and keeps the numbers below
    # within what the decomposition resolves
    gap = np.max(np.abs(spans), axis=0)
    unit = np.maximum(_flat([d.allowed for d in compared]), 2.0**-40 * gap)
    if np.any((np.abs(offset) > unit) & (gap == 0)):
        return None
    # a group whose entries are all right needs no excuse
    for members, alone in _groups(np.flatnonzero((gap > 0) & (np.abs(offset) > unit)), reference, compared):
        own = offset[members] / unit[members]
        among = np.concatenate([side[:, members] for side in (spans, alone)]) / unit[members]
        # those that no side of their own was asked for are as many as drawn sides cannot span
        if not _between(own, among) or (len(alone) and not _spanned(own, among)):
            return None
    return tuple(replace(d, grade=np.where(d.wrong, Grade.KINK, d.grade)) for d in compared)


def _between(offset: Array, spans: Array) -> bool:
    """Whether each entry of an offset lies between the least and the greatest of the sides, to within one."""
    low, high = np.minimum(spans.min(axis=0), 0.0), np.maximum(spans.max(axis=0), 0.0)
    return bool(np.all((offset >= low - 1) & (offset <= high + 1)))


def _spanned(offset: Array, spans: Array) -> bool:
    """Whether an offset lies in the space that the spans make, each entry to within one."""
    # a matrix of entries below 1 has no singular value above this: what is longer goes from one side to another
    rounding = np.sqrt(spans.size)
    _, lengths, rows = np.linalg.svd(spans, full_matrices=False)
    basis = rows[lengths > rounding]
    return bool(np.all(np.abs(offset - basis.T @ (basis @ offset)) <= 1))


def _groups(wrong: Array, reference: Sided, compared: Sequence[Discrepancy]) -> Iterator[tuple[Array, Array]]:
    """Yield the groups of entries decided together that wrong ones belong to, each with further sides that span it.

    The space of hundreds of independent choices would take hundreds of sides to span, so they are taken apart. Each
    entry is moved alone, and what it turns belongs to its group: the operands that it is tied with, and theirs. Moved
    alone it also wins alone, where in float64 the few ulps of a random move leave some of many operands tied.
    """
    ends = np.cumsum([d.reference.size for d in compared])
    done: set[int] = set()
    # a run of the program for each, so fewer of them where it is large: as many as make 2^24 numbers
    most = min(_ASKED, 2**24 // int(ends[-1]))
    for first in wrong.tolist():
        if first in done:
            continue
        if len(done) >= most:
            yield np.setdiff1d(wrong, list(done)), np.empty((0, ends[-1]))
            return
        waiting, members, alone = [first], {first}, [np.empty((0, ends[-1]))]
        while waiting and len(done) < most:
            entry = waiting.pop()
            done.add(entry)
            slot = int(np.searchsorted(ends, entry, side="right"))
            found = reference.sides_at(slot, entry - int(ends[slot - 1] if slot else 0), _unit(compared))
            if found:
                alone.append(_spans(found, reference))
                turned = set(np.flatnonzero(np.any(alone[-1] != 0, axis=0)).tolist()) - members
                waiting += turned
                members |= turned
        yield np.array(sorted(members)), np.concatenate(alone)


def _sides(reference: Sided, compared: Sequence[Discrepancy]) -> list[tuple[Array, ...]]:
    """Give the derivatives on the other sides, if comparisons are close there, in the order of ``compared``."""
    wrong = sum(int(np.sum(d.wrong)) for d in compared)
    # eight for each choice show every operand of a tie winning
    return reference.sides(_unit(compared), _SIDES + 8 * min(wrong, _WRONG))


def _unit(compared: Sequence[Discrepancy]) -> float:
    return max(d.precision.unit for d in compared)


def _spans(sides: Sequence[Sequence[Array]], reference: Sided) -> Array:
    """Give what separates each side from the derivative that JAX chose, a row for each."""
    return np.stack([_flat([s - g for s, g in zip(side, reference.gradient, strict=True)]) for side in sides])


def _flat(arrays: Sequence[Array]) -> Array:
    return np.concatenate([a.ravel() for a in arrays])
