"""One mutant against the check: what kills it, and if nothing does, where else it differs from the rule."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from gradcheck.checks import report_at
from gradcheck.domain import rounding_unit
from gradcheck.laws import is_signal
from gradcheck.laws.running import Results
from gradcheck.mutation.examples import Example, answer, quietly
from gradcheck.report import Report
from gradcheck.rule import Rule
from gradcheck.tree import Array
from gradcheck.verdict import Discrepancy, Grade, Outcome, Verdict

__all__ = ["Check", "Difference", "Stop", "distance"]

# A mutant with the rule's own answers at all points can break no law but those that one point shows, asked in full.
_IN_FULL = 4
# Where a mutant that survived differs most, both are judged: at so many points, the farthest first.
_DOUBTFUL = 20
# A difference that is plain to see, for which one may choose the smallest point.
_PLAIN = 1e-3
# Two right answers are seldom farther apart than so many roundings. Points at which a mutant is nearer to the rule may
# show that it is wrong, but it is not at these that anybody would notice.
_ROUNDINGS = 2**10

Stop = Callable[[], None]  # raises where there is no time left


@dataclass(frozen=True, eq=False)
class Difference:
    """Where a mutant that survives is seen: a point, what kills it there, and the share of points where it differs.

    ``by`` is "nothing" where the mutant would pass although it differs. The points that are counted are those where it
    differs by more than rounding.
    """

    example: Example
    by: str
    share: float


@dataclass(frozen=True, eq=False)
class Check:
    """A check: its points, and the laws that are not asked at them. ``stop`` is called between points."""

    rule: Rule
    examples: Sequence[Example]
    without: Collection[str]
    stop: Stop
    _judged: dict[int, Verdict | None] = field(default_factory=dict)

    def kills(self, mutant: Rule) -> tuple[str, Example] | None:
        """Say what kills a mutant, and where: "numbers", a law, "raised" or "undecided"; None where it survives."""
        with quietly():
            far: list[tuple[float, Example]] = []
            for example in self.examples:
                self.stop()
                given = answer(mutant, example)
                if given is None:  # as at many points, and a loop without end takes long at each
                    found = self._trial(mutant, [example], thorough=False)
                    if found is not None and found[0] != "undecided":
                        return found
                far.append((distance(example.answered, given), example))
            far.sort(key=_quickest)
            if not any(distance for distance, _ in far):
                spread = self.examples[:: max(1, len(self.examples) // _IN_FULL)]
                return self._trial(mutant, spread, thorough=True)
            return self._trial(mutant, [example for _, example in far], thorough=False)

    def _trial(self, mutant: Rule, examples: Sequence[Example], *, thorough: bool) -> tuple[str, Example] | None:
        """Judge a mutant at points until one shows it, as a verification does. The order decides the time alone."""
        vacuous: list[tuple[Verdict, Example]] = []
        resolved: set[str] = set()
        undecided: list[Example] = []
        for example in examples:
            self.stop()
            report = self._judge(mutant, example, thorough=thorough)
            if report is None:
                return "raised", example
            verdict = report.verdict
            if verdict.outcome is Outcome.FAIL:
                return _by(verdict), example
            resolved |= {d.path for d in verdict.discrepancies if np.any(d.resolved)}
            if verdict.vacuous:
                vacuous.append((verdict, example))
            elif verdict.outcome is Outcome.UNDECIDED:
                undecided.append(example)
        # an array that no point resolves is as good as not judged
        undecided += [e for v, e in vacuous if any(d.vacuous and d.path not in resolved for d in v.discrepancies)]
        return ("undecided", undecided[0]) if undecided else None

    def _judge(self, rule: Rule, example: Example, *, thorough: bool = True) -> Report | None:
        try:
            return report_at(rule, example.point, without=self.without, thorough=thorough)
        except Exception as error:
            if is_signal(error):  # `assume` in the rule: no point of its domain
                return report_at(self.rule, example.point, without=self.without, thorough=thorough)
            return None

    def _distances(self, mutant: Rule, examples: Sequence[Example]) -> Iterator[tuple[float, Example]]:
        for example in examples:
            self.stop()
            yield distance(example.answered, answer(mutant, example)), example

    def differs(self, mutant: Rule, examples: Sequence[Example]) -> Difference | None:
        """Find a point where a surviving mutant is wrong, or differs from the rule beyond what rounding explains.

        The rule passes there. A small point is preferred where the difference is plain.
        """
        with quietly():
            found = [pair for pair in self._distances(mutant, examples) if pair[0]]
            plain = sorted((e for d, e in found if d >= _PLAIN), key=lambda e: e.size)
            subtle = [e for _, e in sorted((p for p in found if p[0] < _PLAIN), key=lambda pair: -pair[0])]
            for example in [*plain[:_DOUBTFUL], *subtle[:_DOUBTFUL]]:
                self.stop()
                own = self._own(example)
                if own is None:
                    continue
                report = self._judge(mutant, example)
                share = sum(d > _rounding(e) for d, e in found) / len(examples)
                if report is None:
                    return Difference(example, "raised", share)
                # too small to be judged at this point, which kills nothing where other points resolve the array
                if report.outcome is not Outcome.PASS and not report.verdict.vacuous:
                    return Difference(example, _by(report.verdict), share)
                if _beyond(own, report.verdict):
                    return Difference(example, "nothing", share)
        return None

    def _own(self, example: Example) -> Verdict | None:
        """Judge the rule itself at a point, once; None unless it passes."""
        if id(example) not in self._judged:
            report = self._judge(self.rule, example)
            self._judged[id(example)] = report.verdict if report else None
        return self._judged[id(example)]


def _rounding(example: Example) -> float:
    return _ROUNDINGS * max(rounding_unit(leaf.array.dtype) for leaf in example.flat.differentiated)


def _quickest(pair: tuple[float, Example]) -> tuple[bool, bool, float]:
    """Order points by how soon a mutant is seen there: where it is plain, and where no kink could excuse it."""
    apart, example = pair
    return apart < _PLAIN, example.tied, -apart


def _by(verdict: Verdict) -> str:
    if verdict.outcome is Outcome.UNDECIDED:
        return "undecided"
    law = verdict.breach.law if verdict.breach else "numbers"
    return "raised" if law == "answers" else law


def _beyond(own: Verdict, other: Verdict) -> bool:
    """Whether two answers that both pass are farther apart than two right ones can be. On a kink there are several."""
    return any(
        bool(np.any((np.abs(a.analytic - b.analytic) > a.widest + b.widest) & ~_kinked(a) & ~_kinked(b)))
        for a, b in zip(own.discrepancies, other.discrepancies, strict=False)
    )


def _kinked(discrepancy: Discrepancy) -> Array:
    return np.asarray(discrepancy.grade == Grade.KINK)


def distance(one: Results | None, other: Results | None) -> float:
    """Give the largest difference of two answers, relative to the largest entry of its array; inf where only one is."""
    if one is None or other is None:
        return 0.0 if one is other else float("inf")
    return max((_apart(a, b) for a, b in zip(one, other, strict=True)), default=0.0)


def _apart(a: object, b: object) -> float:
    if a is None or b is None:
        return 0.0 if a is b else float("inf")
    x, y = np.asarray(a, float), np.asarray(b, float)
    if np.array_equal(x, y, equal_nan=True):
        return 0.0
    alike = (x == y) | (np.isnan(x) & np.isnan(y))
    with np.errstate(all="ignore"):
        gap = np.where(alike, 0.0, np.nan_to_num(np.abs(x - y), nan=np.inf, posinf=np.inf))
    size = float(np.max(np.abs(x), initial=0.0, where=np.isfinite(x)))
    return float(gap.max()) / size if size else float("inf")
