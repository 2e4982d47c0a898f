"""One differentiated array against the reference: at a glance where that is enough, with all evidence where not.

Cost follows doubt. Nearly every entry of nearly every correct rule is within two roundings of the largest summand of
its row, and then nothing has to be known of its conditioning: the allowance could only be wider. Only an array that is
not, or of which such an agreement would mean nothing, is compared with the truth in balls, and has its conditioning
measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice

import numpy as np

from gradcheck.oracles.autodiff import Moved
from gradcheck.tree import Array, every
from gradcheck.verdict.allowance import FEW, FLOAT64, NARROW, at_a_glance, few_roundings
from gradcheck.verdict.evidence import Evidence, Known
from gradcheck.verdict.outcome import Discrepancy, Grade, Precision

__all__ = ["compare", "in_full", "value_agrees"]

_CHEAP = 3  # of the allowances of single entries, those that take no balls


def compare(path: str, analytic: Array, evidence: Evidence, slot: int, precision: Precision) -> Discrepancy:
    """Compare one differentiated array with the reference, entry by entry.

    Parameters
    ----------
    path : str
        What messages call the array.
    analytic : array
        The rule's answer, in float64 (widened exactly).
    evidence : Evidence
        What is known of the reference.
    slot : int
        Which of the differentiated arrays it is.
    precision : Precision
        Of the rule's result.
    """
    found = _glance(path, analytic, evidence, slot, precision)
    return in_full(path, analytic, evidence, slot, precision) if found is None else found


def in_full(path: str, analytic: Array, known: Known, slot: int, precision: Precision) -> Discrepancy:
    """Compare as `compare` does, and leave no evidence out."""
    reference, error = known.best(slot)
    with np.errstate(all="ignore"):
        entry, row = (a + error for a in known.allowances(slot, precision))
        analytic = _unrounded(analytic, reference, row, precision)
        difference = np.where(np.isfinite(analytic), np.abs(analytic - reference), np.inf)
        entrywise = difference <= entry
        grade = np.where(entrywise, Grade.ENTRY_WISE, np.where(difference <= row, Grade.NORM_WISE, Grade.WRONG))
        allowed = np.where(entrywise, entry, row)
    grade = np.where(np.isfinite(reference) & np.isfinite(row), grade, Grade.UNKNOWN)
    # not finite where the truth is finite is wrong, whatever the allowance
    grade = np.where(~np.isfinite(analytic) & np.isfinite(reference), Grade.WRONG, grade)
    return Discrepancy(path, analytic, reference, error, allowed, row, grade, precision, known.magnitude(slot))


def _unrounded(analytic: Array, reference: Array, allowed: Array, precision: Precision) -> Array:
    """Give the truth for an infinity of its sign where the truth is beyond the largest number of the type.

    There infinity is what any answer of that type rounds to, as IEEE 754 has it, and a number is the mistake.
    """
    beyond = np.abs(reference) + allowed >= precision.largest
    return np.where(beyond & np.isinf(analytic) & (np.sign(analytic) == np.sign(reference)), reference, analytic)


def value_agrees(forward: Array, evidence: Evidence, index: int, precision: Precision) -> bool:
    """Whether a reference's value is the forward's, up to the rounding of both."""
    same_shape = forward.shape == evidence.autodiff.value[index].shape
    return same_shape and evidence.agrees(forward, index, precision)


def _glance(path: str, analytic: Array, evidence: Evidence, slot: int, precision: Precision) -> Discrepancy | None:
    """Compare with what takes little to know; None where that is not enough."""
    reference, magnitude = evidence.autodiff.gradient[slot], evidence.magnitude(slot)
    with np.errstate(all="ignore"):
        difference = np.asarray(analytic - reference)
        np.abs(difference, out=difference)
        error = at_a_glance(magnitude, FLOAT64)
        allowed = _kept(difference, evidence, slot, precision)
    if allowed is None:
        return None
    for entry in _one_by_one(evidence, slot, precision):
        entrywise = difference <= entry
        if every(entrywise):
            break
    grade = np.where(entrywise, np.int8(Grade.ENTRY_WISE), np.int8(Grade.NORM_WISE))
    limit = partial(_limit, evidence, slot, precision)
    return Discrepancy(path, analytic, reference, error, allowed, limit, grade, precision, magnitude)


def _kept(difference: Array, evidence: Evidence, slot: int, precision: Precision) -> Array | None:
    """Give a narrow allowance that all entries keep; None if there is none that would mean something."""
    narrow = next((a for a in _narrow(evidence, slot, precision) if _within(difference, a)), None)
    if narrow is None:
        return None
    sizes = np.abs(evidence.autodiff.gradient[slot])
    if not every(~(sizes > narrow)):
        return narrow
    # No entry is wrong, since whatever else is known allows a row no less. Is any resolved? In a saturated row, one
    # that is accurate by itself. In narrow types that takes the enclosure, in which errors are looked for that all
    # entries share.
    if precision.unit <= NARROW and np.any(sizes):
        for entry in islice(_one_by_one(evidence, slot, precision), _CHEAP):
            if _within(difference, entry) and np.any(sizes > entry):
                return entry
    # no entry is larger than what it may be off by: that means something only of zeros that no rounding moves
    zeros = not (np.any(narrow) or np.any(evidence.first_run(slot)) or evidence.underflown)
    return narrow if zeros else None


def _narrow(evidence: Evidence, slot: int, precision: Precision) -> Iterator[Array]:
    """Yield allowances that take little to know, and than which what all evidence explains is wider."""
    magnitude = evidence.magnitude(slot)
    yield at_a_glance(magnitude, precision)
    # no balls will narrow what a sample explains, which is four times as much; in narrow types that leaves room for
    # errors of many percent, and is said
    if evidence.large and precision.unit <= NARROW:
        yield at_a_glance(magnitude, precision, FEW)
    yield at_a_glance(magnitude + evidence.first_run(slot), precision)


def _one_by_one(evidence: Evidence, slot: int, precision: Precision) -> Iterator[Array]:
    """Yield allowances of each entry by itself, each dearer than the one before, and at last the whole of it."""
    yield few_roundings(evidence.magnitude(slot), precision)
    yield few_roundings(evidence.magnitude(slot) + evidence.first_run(slot), precision)
    yield few_roundings(evidence.magnitude(slot) + evidence.spread(slot), precision)
    yield evidence.allowances(slot, precision)[0]


def _within(difference: Array, allowed: Array) -> bool:
    """Whether no entry is off by more; NaN, of whatever it is, is no agreement."""
    return every(difference <= allowed) and every(np.isfinite(allowed))


def _limit(evidence: Evidence, slot: int, precision: Precision) -> Array:
    try:
        return evidence.allowances(slot, precision)[1] + evidence.best(slot)[1]
    except Moved:
        return np.full(evidence.autodiff.gradient[slot].shape, np.nan)
