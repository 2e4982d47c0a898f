"""Rounding of the rule itself: an error that is not the reference's, but is no mistake either.

``exp(z - logsumexp(z))`` is the softmax and loses as many digits as ``z`` has before the point: at an offset of 1e6 the
difference is rounded to 1e-10, whatever the gradient. ``a (1 - a)`` is the slope of a sigmoid and is off by the
rounding of ``1 - a``, however small it is itself. No perturbation of the *inputs* explains either, so the conditioning
of the reference cannot. What does is their size:

- probabilities and the like are numbers up to one, and what they are subtracted from is off by the round-off of one
  (times the cotangent);
- an exponent is off by the round-off of the largest input, and what is made of it by as much, relative to its
  summands (Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, 1.5 and 27.8).

Both only where the program holds an exponential or a logarithm, whose argument has a scale of its own: one. One
rounding of either is taken as it is: where one logit towers over its row, what the others add to it is below its ulp,
and the same error is made at every input close by. Up to 32 roundings of an exponent must also scatter, that is come
out differently, with either sign, at inputs close by. A mistake does not notice such a move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from gradcheck.tree import Array, Flat
from gradcheck.verdict.allowance import NARROW, SAFETY
from gradcheck.verdict.case import Case
from gradcheck.verdict.outcome import Discrepancy, Grade, rowmax

__all__ = ["OWN_ROUNDING", "own_rounding"]

OWN_ROUNDING = "the rule loses digits here: its error is of the size that rounding its own intermediate values has"

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


class Reference(Protocol):
    """A derivative that can be asked for at inputs close by."""

    @property
    def gradient(self) -> tuple[Array, ...]:
        """Give it at the point itself."""

    @property
    def exponential(self) -> bool:
        """Whether an exponential or a logarithm is taken."""

    def at(self, flat: Flat) -> tuple[Array, ...]:
        """Give it elsewhere."""

    def magnitude_at(self, flat: Flat) -> tuple[Array, ...]:
        """Give the size of its summands elsewhere."""


def own_rounding(case: Case, compared: Sequence[Discrepancy], reference: Reference) -> tuple[Discrepancy, ...] | None:
    """Regrade the wrong entries if all of them are off by the rule's own rounding.

    Parameters
    ----------
    case : Case
        The rule and the point.
    compared : sequence of Discrepancy
        The comparison in which entries are wrong.
    reference : Reference
        What it was compared with: autodiff of a reference, or the forward itself in balls.

    Returns
    -------
    tuple of Discrepancy, or None
        None if some error is too large, or does not scatter.
    """
    once, often = _roundings(case, compared, reference)
    for d, most in zip(compared, often, strict=True):
        if not np.all(d.difference[d.wrong] <= (d.widest + most)[d.wrong]):
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
        if not np.all(scatters | (d.difference <= d.widest + once[k])[d.wrong]):
            return None
    return tuple(_regraded(d, most) for d, most in zip(compared, often, strict=True))


def _regraded(d: Discrepancy, band: Array) -> Discrepancy:
    """Call the wrong entries lossy, with the limit that they are held to."""
    limit = np.where(d.wrong, d.widest + band, d.widest)
    return replace(
        d, grade=np.where(d.wrong, Grade.LOSSY, d.grade), limit=limit, allowed=np.where(d.wrong, limit, d.allowed)
    )


def _roundings(case: Case, compared: Sequence[Discrepancy], reference: Reference) -> tuple[list[Array], list[Array]]:
    """Give for each entry what one rounding explains, and what many do that scatter: see the top of this module."""
    pairs = zip(case.flat.differentiated, reference.gradient, strict=True)
    largest = max((_largest(leaf.array, g) for leaf, g in pairs), default=0.0)
    weight = max((float(np.max(np.abs(c), initial=0.0)) for c in case.contraction.cotangents), default=0.0)
    once, often = [], []
    for d, small in zip(compared, _saturated(case.flat, compared, reference), strict=True):
        ulp = 2 * d.precision.unit * reference.exponential
        exponent = ulp * largest * rowmax(d.summands)
        # a single rounding that is not asked to scatter may not explain what is as large as the row itself, which in a
        # narrow type is no more than the limit has in it already
        single = np.minimum(exponent, rowmax(d.summands) / SAFETY) if d.precision.unit <= NARROW else 0.0
        once.append(single + ulp * weight * small)
        often.append(SAFETY * exponent + ulp * weight)
    return once, often


def _saturated(flat: Flat, compared: Sequence[Discrepancy], reference: Reference) -> list[Array]:
    """Tell the rows that may be off by the rounding of 1 without a summand of that size.

    In a narrow type an ulp of 1 is percents of a gradient that a mean has divided, so there it is granted to those rows
    alone whose summands have shrunk: to less than a quarter of what they are at 0, where nothing is saturated.
    """
    if all(d.precision.unit <= NARROW for d in compared):
        return [np.ones(d.summands.shape, dtype=bool) for d in compared]
    leaves = list(flat.leaves)
    for leaf in flat.differentiated:
        leaves[leaf.index] = np.where(np.isfinite(leaf.array), 0, leaf.array).astype(leaf.array.dtype)
    calm = reference.magnitude_at(replace(flat, leaves=tuple(leaves)))
    return [~((rowmax(d.summands) >= rowmax(m) / 4) & (m > 0)) for d, m in zip(compared, calm, strict=True)]


def _largest(array: Array, gradient: Array) -> float:
    """Give the largest magnitude that rounds an exponent.

    A masked logit does not, be it -inf or -1e9: its exponential is 0, and nothing else depends on it. The largest of a
    row does even where its gradient is 0, since all others are taken relative to it.
    """
    counts = np.isfinite(array) & ((gradient != 0) | (array == rowmax(array)))
    return float(np.max(np.abs(array), initial=0.0, where=counts))


def _nearby(flat: Flat, rng: np.random.Generator) -> Flat:
    """Move every differentiated entry a little, within its own precision; what is infinite stays."""
    leaves = list(flat.leaves)
    moved = []
    for leaf in flat.differentiated:
        size = np.abs(leaf.array)
        size = np.where(np.isfinite(size), size, 0)
        with np.errstate(all="ignore"):  # at the largest number, the next is infinite, and nothing there is moved
            step = np.maximum(np.minimum(size * _DISTANCE, _FARTHEST), _ULPS * np.spacing(size))
        step = np.where(np.isfinite(step), step, 0)
        array = (leaf.array + step * rng.uniform(-1.0, 1.0, leaf.array.shape)).astype(leaf.array.dtype)
        array = array if leaf.domain is None else leaf.domain.kept(leaf.array, array)
        leaves[leaf.index] = array
        moved.append(replace(leaf, array=array))
    return Flat(flat.tree, tuple(leaves), tuple(moved))
