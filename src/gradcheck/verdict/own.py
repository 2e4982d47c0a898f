"""Judging without a reference: the derivative of the forward itself, run in ball arithmetic.

What the balls' radius explains is allowed, by the formula that holds where there is a reference. A spread takes eight
more runs here, so it is asked only where the radius has blown up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from gradcheck.oracles.own_forward import OwnDerivative, Unserved, differentiate
from gradcheck.oracles.program.plan import PERTURBATION
from gradcheck.tree import Array
from gradcheck.verdict.allowance import FLOAT64, allowed_difference, by_radius, sampled
from gradcheck.verdict.case import Case
from gradcheck.verdict.compare import in_full
from gradcheck.verdict.conclude import conclude
from gradcheck.verdict.directions import at_a_glance, consistent, directions
from gradcheck.verdict.kinks import ON_A_KINK, across_kinks
from gradcheck.verdict.outcome import Discrepancy, Outcome, Precision, Verdict, Vote, rowmax
from gradcheck.verdict.rounding import OWN_ROUNDING, own_rounding
from gradcheck.verdict.systematic import systematic

__all__ = ["OWN_FORWARD", "by_own_forward", "seconds"]

OWN_FORWARD = "own forward in balls"
_NOTE = "judged by the forward itself, run in ball arithmetic"
_CONTRADICTED = "its derivative and differences of the forward contradict each other"
# Moved twice as far, it moves twice as far, to within this part of the spread; see `gradcheck.verdict.evidence`.
_BENDING = 0.5
_RUNS = 8
# Each side of a kink takes a run of the forward on objects, milliseconds.
_SIDES = 64
_REACH = 4.0


@dataclass(frozen=True, eq=False)
class OwnEvidence:
    """What may be asked about the derivative of a forward run in balls."""

    own: OwnDerivative
    _radii: dict[int, tuple[Array, ...]] = field(default_factory=dict, repr=False)

    def best(self, slot: int) -> tuple[Array, Array]:
        """Give the derivative and its error."""
        return self.own.gradient[slot], self.own.error[slot]

    def magnitude(self, slot: int) -> Array:
        """Give the size of the summands of each entry."""
        return self.own.magnitude[slot]

    def spread(self, slot: int) -> Array:
        """Give the change of each entry per unit of relative perturbation; NaN where it is in no proportion to it."""
        once, twice = self.own.spread[slot], self._twice[slot]
        with np.errstate(invalid="ignore"):
            return np.where(np.abs(twice - once) <= _BENDING * once, once, np.nan)

    @cached_property
    def _twice(self) -> tuple[Array, ...]:
        return self.own.change(2 * PERTURBATION, _RUNS)

    def radius(self, slot: int, precision: Precision) -> Array:
        """Bound what the run may be off by in a precision."""
        bits = -int(math.log2(precision.unit))
        if bits not in self._radii:
            self._radii[bits] = self.own.radius(bits)
        return self._radii[bits][slot]

    def allowances(self, slot: int, precision: Precision) -> tuple[Array, Array]:
        """Give the entry-wise and the norm-wise allowance: by the radius, unless it has blown up."""
        magnitude = self.magnitude(slot)
        with np.errstate(all="ignore"):
            entry = by_radius(magnitude, self.radius(slot, precision), precision)
            row = rowmax(entry)
            tight = row <= np.sqrt(precision.unit) * np.max(magnitude, initial=0.0) + precision.tiny
            if np.all(tight):
                return entry, row
            ways = sampled(magnitude, self.spread(slot), precision)
            return np.where(tight, entry, np.fmin(entry, ways[0])), np.where(tight, row, np.fmin(row, ways[1]))

    @property
    def gradient(self) -> tuple[Array, ...]:
        """The derivative itself, which `sides` are the other sides of."""
        return self.own.gradient

    def sides(self, unit: float, runs: int) -> list[tuple[Array, ...]]:
        """Give the derivatives across those comparisons that a precision with this round-off may decide otherwise."""
        return self.own.sides(_REACH * unit, min(runs, _SIDES))

    def sides_at(self, *_: float) -> list[tuple[Array, ...]]:
        """Give nothing: an entry is not moved by itself here, so that ties of many operands have the drawn sides."""
        return []


def by_own_forward(case: Case, before: Sequence[Vote]) -> Verdict | Vote:
    """Judge a rule by the derivative of its own forward, or abstain and say why."""
    try:
        return _judged(case, before)
    except Unserved as reason:  # of one of the runs that an allowance is made of
        return Vote(OWN_FORWARD, None, str(reason))


def _judged(case: Case, before: Sequence[Vote]) -> Verdict | Vote:
    known = _known(case)
    if isinstance(known, Vote):
        return known
    case = case.along_domains(known.gradient)
    rows = zip(case.flat.differentiated, case.analytic, case.precisions, strict=True)
    compared = tuple(in_full(leaf.path, a, known, slot, p) for slot, (leaf, a, p) in enumerate(rows))
    vectors = directions(case.contraction, case.seed)
    along = [at_a_glance(case.contraction, vector, known.gradient) for vector in vectors]
    # a function that jumps here, or is defined here alone, has no derivative, whatever its code says
    if unknown := next((slope.estimate.detail for slope in along if not slope.estimate.known), ""):
        return Vote(OWN_FORWARD, None, f"differences cannot tell whether there is a derivative: {unknown}")
    if any(consistent(slope, compared) is False for slope in along):
        return Vote(OWN_FORWARD, None, _CONTRADICTED)
    wrong = any(np.any(d.wrong) for d in compared)
    votes = (
        *before,
        Vote(OWN_FORWARD, not wrong, "every entry, with all rounding bounded"),
        *(slope.vote(case.analytic, [d.allowed for d in compared]) for slope in along),
    )
    evidence: dict[str, Any] = {"discrepancies": compared, "votes": votes, "notes": (_NOTE,)}
    if wrong:
        with suppress(Unserved):  # close by, it may not be
            rounded = own_rounding(case, compared, known.own)
            if rounded is not None:
                return conclude(rounded, votes, [_NOTE, OWN_ROUNDING])
        across = across_kinks(compared, known)
        if across is not None:
            return conclude(across, votes, [_NOTE, ON_A_KINK])
        return Verdict(Outcome.FAIL, "entries differ from the derivative of the forward itself by more than rounding "
                       "explains", **evidence)  # fmt: skip
    if reason := next(filter(None, (systematic(d, known, slot, case.largest) for slot, d in enumerate(compared))), ""):
        return Verdict(Outcome.FAIL, reason, **evidence)
    return conclude(compared, votes, [_NOTE])


def seconds(case: Case, compared: Sequence[Discrepancy]) -> bool:
    """Whether the derivative of the forward itself is the reference that was compared with."""
    known = _known(case)
    if isinstance(known, Vote):
        return False
    pairs = zip(compared, known.gradient, known.own.error, strict=True)
    return all(np.all(np.abs(g - d.reference) <= d.error + error) for d, g, error in pairs)


def _known(case: Case) -> OwnEvidence | Vote:
    """Differentiate the forward, and see that what ran is the forward."""
    try:
        own = differentiate(case.rule.forward, case.flat, case.contraction.cotangents)
    except Unserved as reason:
        return Vote(OWN_FORWARD, None, str(reason))
    if not all(np.all(np.isfinite(e)) for e in (*own.gradient, *own.error)):
        return Vote(OWN_FORWARD, None, "its derivative is not finite here, or could not be enclosed")
    size = case.contraction.noise / FLOAT64.unit
    for mine, its in zip(case.contraction.here, own.value, strict=True):
        # said so that NaN is no agreement
        if mine.shape != its.shape or not np.all(np.abs(mine - its) <= allowed_difference(its, 0 * its, FLOAT64, size)):
            return Vote(OWN_FORWARD, None, "run on such numbers, it has another value")
    return OwnEvidence(own)
