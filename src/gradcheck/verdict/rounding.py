"""Rounding of the rule itself: an error that is not the reference's, but is no mistake either.

``exp(z - logsumexp(z))`` is the softmax and loses as many digits as ``z`` has before the point: at an offset of 1e6 the
difference is rounded to 1e-10, whatever the gradient. No perturbation of the *inputs* explains that (the softmax of any
logits sums to one, this does not), so the conditioning of the reference cannot. Two things together tell it from a
mistake:

- its size: relative to the summands it is at most the unit round-off times the largest input, which is how far a
  logarithm or an exponent can be off (Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, 1.5 and 27.8);
- its nature: at inputs close by it comes out differently, with either sign. A mistake does not notice. Only what is
  no larger than the rounding of a single exponent is taken without that: where one logit towers over its row, what
  the others add to it is below its ulp, and the same rounding error is made at every input close by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gradcheck.oracles.autodiff import Autodiff
from gradcheck.tree import Flat
from gradcheck.verdict.allowance import SAFETY
from gradcheck.verdict.case import Case
from gradcheck.verdict.outcome import Discrepancy, Grade, rowmax

__all__ = ["own_rounding"]

# Neighbours are a relative 2^-10 away, at most an eighth, and at least a few ulps. A few ulps alone would not do in
# float64: inputs that move along the grid of their own ulps carry a rounding error with them unchanged, and where one
# logit towers over its row, only a change by percents of the others moves their sum off that grid. More than an eighth
# would turn a softmax inside out, and a mistake proportional to it would scatter like rounding. The reference is asked
# again at each neighbour, so that the distance costs no accuracy.
_NEIGHBOURS = 16
_DISTANCE = 2.0**-10
_FARTHEST = 2.0**-3
_ULPS = 4.0
# Student's t with 15 degrees of freedom exceeds 6 by chance once in 40,000, and a systematic error many times larger
# than the scatter exceeds it always.
_STUDENT = 6.0


def own_rounding(case: Case, compared: Sequence[Discrepancy], reference: Autodiff) -> tuple[Discrepancy, ...] | None:
    """Regrade the wrong entries if all of them are off by the rule's own rounding.

    Parameters
    ----------
    case : Case
        The rule and the point.
    compared : sequence of Discrepancy
        The comparison in which entries are wrong.
    reference : Autodiff
        What it was compared with.

    Returns
    -------
    tuple of Discrepancy, or None
        None if some error is too large, or does not scatter.
    """
    largest = max((float(np.max(np.abs(leaf.array), initial=0.0)) for leaf in case.flat.differentiated), default=0.0)
    single = [2 * d.precision.unit * max(largest, 1.0) * rowmax(d.summands) for d in compared]
    for d, one in zip(compared, single, strict=True):
        if not np.all(d.difference[d.wrong] <= (d.limit + SAFETY * one)[d.wrong]):
            return None
    errors = []
    rng = np.random.default_rng(0)
    for _ in range(_NEIGHBOURS):
        nearby = _nearby(case.flat, rng)
        found = case.answer_near(nearby)
        if found is None:
            return None
        errors.append([a - truth for a, truth in zip(found, reference.at(nearby), strict=True)])
    for k, d in enumerate(compared):
        sample = np.stack([e[k] for e in errors])[:, d.wrong]
        mean, deviation = sample.mean(axis=0), sample.std(axis=0, ddof=1)
        scatters = np.abs(mean) <= _STUDENT * deviation / np.sqrt(_NEIGHBOURS)
        if not np.all(scatters | (d.difference <= d.limit + single[k])[d.wrong]):
            return None
    return tuple(replace(d, grade=np.where(d.wrong, Grade.LOSSY, d.grade)) for d in compared)


def _nearby(flat: Flat, rng: np.random.Generator) -> Flat:
    """Move every differentiated entry a little, within its own precision."""
    leaves = list(flat.leaves)
    moved = []
    for leaf in flat.differentiated:
        size = np.abs(leaf.array)
        step = np.maximum(np.minimum(size * _DISTANCE, _FARTHEST), _ULPS * np.spacing(size))
        array = (leaf.array + step * rng.uniform(-1.0, 1.0, leaf.array.shape)).astype(leaf.array.dtype)
        leaves[leaf.index] = array
        moved.append(replace(leaf, array=array))
    return Flat(flat.tree, tuple(leaves), tuple(moved))
