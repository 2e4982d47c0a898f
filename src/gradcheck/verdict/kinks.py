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

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gradcheck.oracles.autodiff import Autodiff
from gradcheck.tree import Array
from gradcheck.verdict.outcome import Discrepancy, Grade

__all__ = ["across_kinks", "sides_of"]

_SIDES = 64  # runs in any case: a tie of two comes out both ways, but for once in 2^63
_TOGETHER = 64  # entries whose choices are still spanned by all sides at once


def across_kinks(compared: Sequence[Discrepancy], sides: Sequence[Sequence[Array]]) -> tuple[Discrepancy, ...] | None:
    """Regrade the wrong entries if the rule's answer is a combination of the derivatives on the sides of a kink.

    Parameters
    ----------
    compared : sequence of Discrepancy
        The comparison with the derivative that JAX chose.
    sides : sequence of sequence of array
        The other derivatives, one array per discrepancy, each of its shape.

    Returns
    -------
    tuple of Discrepancy, or None
        None if the answer is no such combination.
    """
    if not sides:
        return None
    offset = _flat([d.analytic - d.reference for d in compared])
    spans = np.stack([_flat([s - d.reference for s, d in zip(side, compared, strict=True)]) for side in sides])
    if not (np.all(np.isfinite(spans)) and np.all(np.isfinite(offset))):
        return None
    # in units of what an entry may be off by; a relative 2^-40 of the gap is exact enough, and keeps the numbers below
    # within what the decomposition resolves
    gap = np.max(np.abs(spans), axis=0)
    unit = np.maximum(_flat([d.allowed for d in compared]), 2.0**-40 * gap)
    low, high = np.minimum(spans.min(axis=0), 0.0), np.maximum(spans.max(axis=0), 0.0)
    if np.any((offset < low - unit) | (offset > high + unit)):
        return None
    grows = np.abs(spans + _flat([d.reference for d in compared])) > np.abs(_flat([d.reference for d in compared]))
    for group in _groups(gap > 0, grows):
        if not _spanned(offset[group] / unit[group], spans[:, group] / unit[group]):
            return None
    return tuple(replace(d, grade=np.where(d.wrong, Grade.KINK, d.grade)) for d in compared)


def _spanned(offset: Array, spans: Array) -> bool:
    """Whether an offset lies in the space that the spans make, each entry to within one."""
    # a matrix of entries below 1 has no singular value above this: what is longer goes from one side to another
    rounding = np.sqrt(spans.size)
    _, lengths, rows = np.linalg.svd(spans, full_matrices=False)
    basis = rows[lengths > rounding]
    return bool(np.all(np.abs(offset - basis.T @ (basis @ offset)) <= 1))


def _groups(active: Array, grows: Array) -> list[Array]:
    """Sort the entries that differ between sides into groups that are decided together.

    Few entries make one group. Many are taken apart, since the space of hundreds of independent choices would take
    hundreds of sides to span: two entries belong together if they never grow on the same side, as tied operands of a
    maximum do, of which only one wins. Independent ones do so by chance once in (4/3)^64.
    """
    entries = np.flatnonzero(active)
    if len(entries) <= _TOGETHER:
        return [entries] if len(entries) else []
    wins = grows[:, entries].astype(np.float32)
    rivals = (wins.T @ wins) == 0
    groups, left = [], np.ones(len(entries), dtype=bool)
    for first in range(len(entries)):
        if not left[first]:
            continue
        members = np.zeros(len(entries), dtype=bool)
        members[first] = True
        while True:
            wider = members | (np.any(rivals[members], axis=0) & left)
            if np.array_equal(wider, members):
                break
            members = wider
        left &= ~members
        groups.append(entries[members])
    return groups


def sides_of(reference: Autodiff, compared: Sequence[Discrepancy]) -> list[tuple[Array, ...]]:
    """Give the derivatives on the other sides, if comparisons are close there, in the order of ``compared``."""
    unit = max(d.precision.unit for d in compared)
    wrong = sum(int(np.sum(d.wrong)) for d in compared)
    # eight for each choice show every operand of a tie winning; entries taken apart need no more than a tie does
    return reference.sides(unit, _SIDES + 8 * min(wrong, _TOGETHER))


def _flat(arrays: Sequence[Array]) -> Array:
    return np.concatenate([a.ravel() for a in arrays])
