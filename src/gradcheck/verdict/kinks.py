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
    # in units of the allowance: rounding of the smooth part is below 1 in every entry, whatever the scale of a row
    allowed = _flat([d.allowed for d in compared])
    with np.errstate(all="ignore"):
        offset = _flat([d.analytic - d.reference for d in compared]) / allowed
        spans = np.stack([_flat([s - d.reference for s, d in zip(side, compared, strict=True)]) for side in sides])
        spans = spans / allowed
    if not (np.all(np.isfinite(spans)) and np.all(np.isfinite(offset))):
        return None
    low, high = np.minimum(spans.min(axis=0), 0.0), np.maximum(spans.max(axis=0), 0.0)
    if np.any((offset < low - 1) | (offset > high + 1)):
        return None
    # a matrix of entries below 1 has no singular value above this: what is longer goes from one side to another
    rounding = np.sqrt(spans.size)
    _, lengths, rows = np.linalg.svd(spans, full_matrices=False)
    basis = rows[lengths > rounding]
    if np.any(np.abs(offset - basis.T @ (basis @ offset)) > 1):
        return None
    return tuple(replace(d, grade=np.where(d.wrong, Grade.KINK, d.grade)) for d in compared)


def sides_of(reference: Autodiff, compared: Sequence[Discrepancy]) -> list[tuple[Array, ...]]:
    """Give the derivatives on the other sides, if comparisons are close there, in the order of ``compared``."""
    unit = max(d.precision.unit for d in compared)
    # as many sides as there may be independent choices, so that their span is complete
    runs = 64 + 8 * sum(int(np.sum(d.wrong)) for d in compared)
    return reference.sides(unit, min(runs, _MOST_SIDES))


# Beyond so many independent ties in one example the span may be incomplete, and a right answer be called wrong.
_MOST_SIDES = 512


def _flat(arrays: Sequence[Array]) -> Array:
    return np.concatenate([a.ravel() for a in arrays])
