"""How the reports of many examples add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gradcheck.laws import together
from gradcheck.report.report import Report, Tally
from gradcheck.verdict import Grade, Outcome, Verdict

__all__ = ["ANY", "Tallying", "joined"]

ANY = "any input"  # the regime, so to speak, that every example is in
# What a check would have seen takes as many runs of the reference as all else together, and its median needs no more.
_SAMPLED = 8
_GRADES = ("lossy", "norm-wise", "entry-wise")  # worst first


class Tallying:
    """Adds up the examples of one rule as they come; without ``seen``, what they would have seen is left out."""

    def __init__(self, *, seen: bool = True) -> None:
        from gradcheck.strategies.coverage import Coverage

        self._asks_seen = seen
        self.examples = 0
        self._coverage = Coverage()
        self._passes: list[tuple[str, float]] = []
        self._seen: list[float] = []
        self._notes: Counter[str] = Counter()
        self._laws: dict[str, str] = {}
        self._ulps: dict[str, float] = {}
        self._margins: dict[str, float] = {}

    def add(self, case: tuple[Any, ...], report: Report) -> None:
        """Count one example; ``case`` is what was drawn, which may know its regimes."""
        self.examples += 1
        regimes = self._coverage.add(case, report.point.cotangent if report.origin.takes_cotangent else None)
        self._notes.update(report.verdict.notes)
        self._laws = together(self._laws, report.verdict.laws)
        if report.outcome is Outcome.PASS and report.verdict.discrepancies:
            self._passed(report.verdict, regimes)

    def _passed(self, verdict: Verdict, regimes: Iterable[str]) -> None:
        if self._asks_seen and len(self._passes) % _SAMPLED == 0:
            self._seen.append(verdict.seen)
        ulps, margin = verdict.worst_ulps, _margin(verdict)
        self._passes.append((verdict.grade, ulps))
        for name in regimes:
            self._ulps[name] = max(ulps, self._ulps.get(name, 0.0))
            self._margins[name] = max(margin, self._margins.get(name, 0.0))
        self._margins[ANY] = max(margin, self._margins.get(ANY, 0.0))

    def tally(self) -> Tally:
        """Give the sum so far."""
        grades, ulps = zip(*self._passes, strict=True) if self._passes else ((), ())
        resolved = [s for s in self._seen if np.isfinite(s)]
        return Tally(
            self.examples,
            _worst_grade(grades),
            max(ulps, default=0.0),
            float(np.median(resolved)) if resolved else float("inf"),
            self._coverage.counts(),
            dict(self._notes),
            self._laws,
            dict(self._ulps),
            dict(self._margins),
        )


def joined(one: Tally, other: Tally) -> Tally:
    """Add up two runs of the same rule; of what each would have seen, take the larger."""
    return Tally(
        one.examples + other.examples,
        _worst_grade((one.grade, other.grade)),
        max(one.worst_ulps, other.worst_ulps),
        max((seen for seen in (one.seen, other.seen) if np.isfinite(seen)), default=float("inf")),
        _each(one.regimes, other.regimes, sum),
        _each(one.notes, other.notes, sum),
        together(one.laws, other.laws),
        _each(one.regime_ulps, other.regime_ulps, max),
        _each(one.margins, other.margins, max),
    )


def _each(one: Mapping[str, Any], other: Mapping[str, Any], add: Any) -> dict[str, Any]:
    """Add up two mappings key by key, in the order of the keys."""
    return {key: add(each[key] for each in (one, other) if key in each) for key in {**one, **other}}


def _worst_grade(grades: Iterable[str]) -> str:
    given = set(grades)
    return next((grade for grade in _GRADES if grade in given), "no entries")


def _margin(verdict: Verdict) -> float:
    """Give the largest error over the widest allowance, entries that are excused apart; 0 where a glance was enough.

    A ratio to the allowance, not a number of ulps: that of a right rule varies by a factor of two from run to run,
    where the ulps of an entry vary by thousands with how badly conditioned the drawn point happens to be.
    """
    margin = 0.0
    for d in verdict.discrepancies:
        if not d.at_a_glance:
            counts = (d.grade >= Grade.NORM_WISE) & (d.widest > 0) & np.isfinite(d.widest)
            margin = max(margin, float(np.max(d.difference[counts] / d.widest[counts], initial=0.0)))
    return margin
