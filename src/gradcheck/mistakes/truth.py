"""The right gradient at any point, with what a rule may be off by there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np

from gradcheck.mistakes.setting import Gradient
from gradcheck.oracles import own_forward
from gradcheck.oracles.autodiff import differentiate
from gradcheck.oracles.differences.contraction import Contraction
from gradcheck.oracles.program import jaxpr
from gradcheck.oracles.reference import candidates
from gradcheck.rule import Point, Rule
from gradcheck.tree import Flat, leaves_of
from gradcheck.verdict.allowance import FLOAT64, allowed_difference, sampled
from gradcheck.verdict.compare import value_agrees
from gradcheck.verdict.directions import coordinate, difference
from gradcheck.verdict.evidence import Evidence
from gradcheck.verdict.outcome import Precision, as_float64

__all__ = ["Truth", "truth_at"]

# Each entry takes a dozen runs of the forward: a tenth of a second for this many of an ordinary loss.
_ENTRIES = 64
# The largest of eight sums of roundings is on average 2.3 times as large as one (for normal numbers, E max |x| of eight
# is 1.9, E |x| is 0.8); rounded up.
_EIGHT = 3.0


@dataclass(frozen=True, eq=False)
class Truth:
    """The right gradient, and how far a rule may be from it: an array of float64 per differentiated array."""

    gradient: Gradient
    _allowed: Callable[[], Gradient] = field(repr=False)

    @cached_property
    def allowed(self) -> Gradient:
        """The allowance, which takes longer to know than the gradient: perturbed runs."""
        return self._allowed()


def truth_at(rule: Rule, point: Point, flat: Flat, precisions: Sequence[Precision]) -> Truth | None:
    """Ask the oracles in the judge's order; None where the forward has no finite value, or nothing can tell."""
    contraction = Contraction(rule.forward, flat, [as_float64(c) for c in leaves_of(point.cotangent)])
    with np.errstate(all="ignore"):
        try:
            value = contraction.here
        except Exception:  # outside the domain, in whatever way the forward says so
            return None
        if not all(np.all(np.isfinite(v)) for v in value):
            return None
        for oracle in _oracles(rule, flat, contraction, precisions):
            if oracle is not None and all(np.all(np.isfinite(g)) for g in oracle.gradient):
                return oracle
    return None


def _oracles(
    rule: Rule, flat: Flat, contraction: Contraction, precisions: Sequence[Precision]
) -> Iterator[Truth | None]:
    for label, function in candidates(rule.forward, rule.reference):
        yield _by_autodiff(label, function, flat, contraction, precisions)
    yield _by_own_forward(rule, flat, contraction, precisions)
    yield _by_differences(contraction, precisions)


def _by_autodiff(
    label: str, function: Any, flat: Flat, contraction: Contraction, precisions: Sequence[Precision]
) -> Truth | None:
    try:
        found = differentiate(label, function, flat, contraction.cotangents)
    except jaxpr.Untraceable:
        return None
    evidence = Evidence(found)
    coarsest = max(precisions, key=lambda p: p.unit)
    if not all(value_agrees(v, evidence, i, coarsest) for i, v in enumerate(contraction.here)):
        return None
    return Truth(found.gradient, partial(_allowed, evidence, precisions))


def _allowed(known: Evidence, precisions: Sequence[Precision]) -> Gradient:
    """Give the sampled allowance, the widest of those that the judge knows, from one run in place of eight."""
    return tuple(sampled(known.magnitude(i), _EIGHT * known.first_run(i), p)[1] for i, p in enumerate(precisions))


def _by_own_forward(rule: Rule, flat: Flat, contraction: Contraction, precisions: Sequence[Precision]) -> Truth | None:
    try:
        own = own_forward.differentiate(rule.forward, flat, contraction.cotangents)
    except own_forward.Unserved:
        return None
    size = contraction.noise / FLOAT64.unit
    for mine, its in zip(contraction.here, own.value, strict=True):
        # said so that NaN is no agreement
        if mine.shape != its.shape or not np.all(np.abs(mine - its) <= allowed_difference(its, 0 * its, FLOAT64, size)):
            return None
    return Truth(own.gradient, partial(_allowed_of_own, own, precisions))


def _allowed_of_own(own: own_forward.OwnDerivative, precisions: Sequence[Precision]) -> Gradient:
    try:
        spread = own.spread
    except own_forward.Unserved:  # of one of the runs; what is left is the size of the summands
        spread = own.magnitude
    rows = zip(own.magnitude, spread, own.error, precisions, strict=True)
    return tuple(sampled(m, s, p)[1] + e for m, s, e, p in rows)


def _by_differences(contraction: Contraction, precisions: Sequence[Precision]) -> Truth | None:
    if contraction.origin.size > _ENTRIES:
        return None
    found = [difference(contraction, coordinate(contraction, k)) for k in range(contraction.origin.size)]
    value = contraction.split(np.array([float(f.value) for f in found]))
    error = contraction.split(np.array([float(f.error) for f in found]))
    size = contraction.noise / FLOAT64.unit
    rows = zip(value, error, precisions, strict=True)
    allowed = tuple(allowed_difference(v, e, p, size) for v, e, p in rows)
    return Truth(tuple(value), lambda: allowed)
