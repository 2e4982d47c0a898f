"""Judging without a reference: the own forward in balls, or else complex steps or finite differences of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcheck.oracles.differences import complex_step
from gradcheck.oracles.differences.contraction import Contraction
from gradcheck.oracles.differences.estimate import Estimate
from gradcheck.tree import Array
from gradcheck.verdict.allowance import FLOAT64, SAFETY, allowed_difference
from gradcheck.verdict.case import Case
from gradcheck.verdict.conclude import conclude
from gradcheck.verdict.directions import Slope, coordinate, difference, directions, slopes
from gradcheck.verdict.outcome import Discrepancy, Grade, Outcome, Precision, Verdict, Vote
from gradcheck.verdict.own import by_own_forward

__all__ = ["COMPLEX_STEP", "by_differences", "without_reference"]

COMPLEX_STEP = "complex step"
_KINKS = "every entry that differs sits on a kink, and the rule's value lies between the one-sided derivatives there"
# Each entry costs about a dozen runs of the forward. Beyond this many, a seeded sample stands for the rest, which
# the directions still cover; the report says so.
ENTRIES = 256
_KINKS_ASKED = 16


def without_reference(case: Case, before: Sequence[Vote]) -> Verdict:
    """Judge a rule by its own forward. ``before`` are the votes of autodiff."""
    own = by_own_forward(case, before)
    return own if isinstance(own, Verdict) else by_differences(case, (*before, own))


def by_differences(case: Case, before: Sequence[Vote]) -> Verdict:
    """Judge a rule by numbers computed from its own forward.

    Complex steps are exact to rounding, but only for analytic code, which evaluation alone cannot prove; so they are
    used where finite differences confirm them along random directions. ``before`` are the votes of who could not tell.
    """
    contraction = case.contraction
    along = slopes(contraction, directions(contraction, case.seed), complex_too=True)
    oracle = _trusted(along)
    if oracle is None:
        why = next((s.estimate.detail for s in along), "")
        reasons = "; ".join(f"{v.oracle}: {v.detail}" for v in before)
        text = f"no oracle can judge here: finite differences: {why}; {reasons}"
        return Verdict(Outcome.UNDECIDED, text, votes=tuple(before))
    chosen = _sample(contraction.origin.size)
    vectors = [coordinate(contraction, int(k)) for k in chosen]
    if oracle == COMPLEX_STEP:
        steps = [complex_step.directional(contraction, contraction.origin, v, room=contraction.room) for v in vectors]
        estimates = [s if s.known else difference(contraction, v) for s, v in zip(steps, vectors, strict=True)]
    else:
        estimates = [difference(contraction, v) for v in vectors]
    compared = _compared(contraction, contraction.intrinsic(case.analytic), chosen, estimates, case.precisions)
    cast = [slope.vote(case.analytic, [d.allowed - d.error for d in compared]) for slope in along]
    notes = [f"judged by {oracle} of the forward itself"]
    if len(chosen) < contraction.origin.size:
        notes.append(f"{len(chosen)} of {contraction.origin.size} entries compared singly, the others along directions")
    evidence: dict[str, Any] = {"discrepancies": compared, "votes": (*before, *cast), "notes": tuple(notes)}
    if not any(np.any(d.wrong) for d in compared):
        if any(vote.agrees is False for vote in cast):
            return Verdict(Outcome.FAIL, "the gradient disagrees with differences along a random direction", **evidence)
        if any(d.vacuous for d in compared) and _right_in_float64(case, chosen, estimates) is False:
            # too small to be judged in its own precision, but not beyond it
            return Verdict(
                Outcome.FAIL, "asked in float64, the rule disagrees with differences of the forward", **evidence
            )
        return conclude(**evidence)
    if _explained_by_kinks(contraction, compared):
        return Verdict(Outcome.UNDECIDED, _KINKS, **evidence)
    if _right_in_float64(case, chosen, estimates):
        text = (
            f"in float64 the rule agrees; whether rounding explains its {case.coarsest.name} answer needs a "
            "reference: pass reference=, the forward in jax.numpy"
        )
        return Verdict(Outcome.UNDECIDED, text, **evidence)
    return Verdict(
        Outcome.FAIL, "entries differ from the differences of the forward by more than their error", **evidence
    )


def _trusted(along: Sequence[Slope]) -> str | None:
    differences = [s.estimate for s in along if s.estimate.oracle != COMPLEX_STEP]
    complexes = [s.estimate for s in along if s.estimate.oracle == COMPLEX_STEP]
    if not all(d.known for d in differences):
        return None
    if all(c.known for c in complexes) and all(
        abs(float(c.value - d.value)) <= float(c.error + d.error) for c, d in zip(complexes, differences, strict=True)
    ):
        return COMPLEX_STEP
    return differences[0].oracle


def _sample(size: int) -> Array:
    if size <= ENTRIES:
        return np.arange(size)
    return np.sort(np.random.default_rng(size).choice(size, ENTRIES, replace=False))


def _compared(
    contraction: Contraction,
    analytic: Sequence[Array],
    chosen: Array,
    estimates: Sequence[Estimate],
    precisions: Sequence[Precision],
) -> tuple[Discrepancy, ...]:
    """Lay the estimates out as arrays. Entries that were not chosen take the rule's own value and are marked."""
    value = np.concatenate([a.ravel() for a in analytic])
    error = np.zeros(value.size)
    value[chosen] = [float(e.value) for e in estimates]
    error[chosen] = [float(e.error) for e in estimates]
    found = []
    pairs = zip(
        contraction.leaves,
        analytic,
        contraction.split(value),
        contraction.split(error),
        precisions,
        strict=True,
    )
    for leaf, mine, reference, doubt, precision in pairs:
        with np.errstate(all="ignore"):
            allowed = allowed_difference(reference, doubt, precision, contraction.noise / FLOAT64.unit)
            within = np.abs(mine - reference) <= allowed
        grade = np.where(within, Grade.ENTRY_WISE, Grade.WRONG)
        grade = np.where(np.isnan(allowed), Grade.UNKNOWN, grade)
        resolved = np.isfinite(reference) & (doubt < np.abs(reference))
        grade = np.where(~np.isfinite(mine), np.where(resolved, Grade.WRONG, Grade.UNKNOWN), grade)
        complete = len(chosen) == value.size
        # what the allowance stands for, so that the oracle's error is not counted in ulps of the rule
        summands = allowed / (SAFETY * precision.unit)
        found.append(
            Discrepancy(leaf.path, mine, reference, doubt, allowed, allowed, grade, precision, summands, complete)
        )
    return tuple(found)


def _right_in_float64(case: Case, chosen: Array, estimates: Sequence[Estimate]) -> bool | None:
    """Whether a rule of lower precision, asked in float64, agrees with the estimates; None if it cannot be asked."""
    again = None if case.coarsest.name == FLOAT64.name else case.answer_in_float64()
    if again is None:
        return None
    compared = _compared(case.contraction, case.contraction.intrinsic(again), chosen, estimates, [FLOAT64] * len(again))
    return not any(np.any(d.wrong) for d in compared)


def _explained_by_kinks(contraction: Contraction, discrepancies: Sequence[Discrepancy]) -> bool:
    """Whether each wrong entry sits on a kink with the rule's value between the one-sided derivatives."""
    offsets = np.cumsum([0, *(leaf.array.size for leaf in contraction.leaves)])
    start = {leaf.path: int(o) for leaf, o in zip(contraction.leaves, offsets[:-1], strict=True)}
    for d in discrepancies:
        wrong = np.flatnonzero(d.wrong)
        if len(wrong) > _KINKS_ASKED:
            return False
        for k in wrong:
            direction = coordinate(contraction, start[d.path] + int(k))
            estimate = difference(contraction, direction)
            between = abs(float(d.analytic.flat[k]) - float(estimate.value)) <= float(estimate.error)
            if not (estimate.kink and between):
                return False
    return True
