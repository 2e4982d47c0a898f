"""Judging with a reference: compare with its derivative, and let differences of the forward vouch for that."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gradcheck.oracles.program import jaxpr
from gradcheck.tree import every
from gradcheck.verdict.allowance import NARROW
from gradcheck.verdict.case import Case
from gradcheck.verdict.compare import compare, in_full
from gradcheck.verdict.conclude import conclude
from gradcheck.verdict.contradiction import confirmed, outvoted
from gradcheck.verdict.directions import Slope, at_a_glance, consistent, direction_of, directions, slopes
from gradcheck.verdict.evidence import LARGE, Evidence
from gradcheck.verdict.kinks import ON_A_KINK, across_kinks
from gradcheck.verdict.outcome import Discrepancy, Outcome, Verdict, Vote
from gradcheck.verdict.rounding import OWN_ROUNDING, own_rounding
from gradcheck.verdict.systematic import systematic

__all__ = ["by_reference"]

_NOT_LINEAR = "twice the rounding does not move the reference twice as far here, so that no sample bounds what it does"
_NOT_RESOLVED = "{} of {} entries of {} are smaller than what they may be off by, and not resolved"
_SAMPLED = "in {} a sampled allowance leaves room for errors of many percent; in ball arithmetic there is less: {}"


def by_reference(case: Case, evidence: Evidence) -> Verdict:
    """Judge a rule by a reference whose value is the forward's."""
    autodiff = evidence.autodiff
    case = case.along_domains(autodiff.gradient)
    compared = _each(compare, case, evidence)
    wrong = _any_wrong(compared)
    along = (
        slopes(case.contraction, directions(case.contraction, case.seed), complex_too=True)
        if wrong
        else _seen(case, evidence)
    )
    words = [consistent(slope, compared) for slope in along]
    if False in words and not wrong:
        compared = _each(in_full, case, evidence)
        words = [consistent(slope, compared) for slope in along]
        wrong = _any_wrong(compared)
    votes = (
        Vote("autodiff", not wrong, autodiff.label),
        *(slope.vote(case.analytic, [d.allowed for d in compared]) for slope in along),
    )
    if wrong:
        return _accused(case, evidence, compared, words, votes)
    if reason := next(filter(None, (systematic(d, evidence, i, case.largest) for i, d in enumerate(compared))), ""):
        return Verdict(Outcome.FAIL, reason, compared, votes)
    if False in words:
        return confirmed(case, autodiff, compared, along, votes)
    return conclude(compared, votes, _doubts(evidence, compared))


def _seen(case: Case, evidence: Evidence) -> list[Slope]:
    """Look along a few directions, or, where many points follow one another, along one that is another at each.

    A reference that is wrong is so in almost every direction, and not where all that it adds up cancels alone.
    """
    gradient = evidence.autodiff.gradient
    if case.thorough:  # drawn one after the other
        return [at_a_glance(case.contraction, v, gradient) for v in directions(case.contraction, case.seed)]
    vector = direction_of(case.contraction, case.seed)
    pairs = zip(map(evidence.magnitude, range(len(case.analytic))), case.contraction.split(vector), strict=True)
    summands = sum(float(np.vdot(m, np.abs(v))) for m, v in pairs)
    return [at_a_glance(case.contraction, vector, gradient, summands)]


def _accused(
    case: Case,
    evidence: Evidence,
    compared: tuple[Discrepancy, ...],
    words: Sequence[bool | None],
    votes: tuple[Vote, ...],
) -> Verdict:
    """Look for what excuses wrong entries: the rule's own rounding, a kink, or a wrong reference."""
    autodiff = evidence.autodiff
    rounded = own_rounding(case, compared, autodiff)
    if rounded is not None:
        return conclude(rounded, votes, [OWN_ROUNDING])
    across = across_kinks(compared, autodiff)
    if across is not None:
        return conclude(across, votes, [ON_A_KINK])
    if False in words and True not in words:
        return outvoted(case, votes)
    votes = (*votes, *_forward_mode(case, evidence, compared))
    why = "entries differ from the reference by more than rounding explains"
    return Verdict(Outcome.FAIL, why, compared, votes)


def _each(way: Callable[..., Discrepancy], case: Case, evidence: Evidence) -> tuple[Discrepancy, ...]:
    """Compare every differentiated array."""
    rows = zip(case.flat.differentiated, case.analytic, case.precisions, strict=True)
    return tuple(way(leaf.path, a, evidence, i, p) for i, (leaf, a, p) in enumerate(rows))


def _any_wrong(compared: Sequence[Discrepancy]) -> bool:
    return not all(every(~d.wrong) for d in compared)


def _doubts(evidence: Evidence, compared: Sequence[Discrepancy]) -> list[str]:
    """Say what evidence was missing, where something depends on it."""
    notes = []
    for slot, d in enumerate(compared):
        if d.reference.size > LARGE and (lost := int(np.sum(~d.resolved & (d.reference != 0)))):
            notes.append(_NOT_RESOLVED.format(lost, d.reference.size, d.path))
        if d.at_a_glance:
            continue
        if not every(~d.unknown) and not np.all(evidence.linear(slot)):
            notes.append(_NOT_LINEAR)
        if d.precision.unit > NARROW and isinstance(evidence.balls, str):
            notes.append(_SAMPLED.format(d.precision.name, evidence.balls))
    return list(dict.fromkeys(notes))


def _forward_mode(case: Case, evidence: Evidence, compared: Sequence[Discrepancy]) -> list[Vote]:
    """Ask JAX's forward mode along a direction: another program than reverse mode's, and no step to choose."""
    (vector,) = directions(case.contraction, case.seed, count=1)
    direction = case.contraction.split(vector)
    try:
        tangent = evidence.autodiff.tangent(direction)
    except jaxpr.Untraceable as reason:
        return [Vote("autodiff, forward mode", None, str(reason))]
    doubt = sum(float(np.vdot(d.allowed, np.abs(v))) for d, v in zip(compared, direction, strict=True))
    with np.errstate(all="ignore"):
        rule = sum(float(np.vdot(a, v)) for a, v in zip(case.analytic, direction, strict=True))
    text = f"{rule:.9g} along a random direction, forward mode {tangent:.9g}"
    return [Vote("autodiff, forward mode", bool(abs(rule - tangent) <= doubt), text)]
