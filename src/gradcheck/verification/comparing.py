"""Compare two rules for the same thing, over the same drawn points."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.checks import report_at
from gradcheck.errors import InvalidArgument
from gradcheck.report import Report, Tally, Tallying
from gradcheck.rule import Point, Rule
from gradcheck.tree import leaves_of
from gradcheck.verdict import Outcome
from gradcheck.verification.run import Run
from gradcheck.verification.sources import require_strategy, settings_of

if TYPE_CHECKING:
    from hypothesis import strategies as st
    from hypothesis.strategies import SearchStrategy

__all__ = ["Comparison", "Side", "compare"]


@dataclass(frozen=True)
class Side:
    """What became of one of the two: how many points had which outcome, and two tallies.

    ``tally`` is of all points, ``common`` of those at which both passed: a margin over other points would accuse the
    new rule of what the old one is wrong at. ``undecided`` counts those that nothing could judge; other undecided ones
    only showed nothing there.
    """

    outcomes: Counter[Outcome]
    tally: Tally
    common: Tally
    undecided: int


@dataclass(frozen=True)
class Comparison:
    """What became of both.

    ``moves`` counts the points by outcome before and after; ``regimes`` the points of each regime at which the
    outcome is another. ``example`` is a report of the new rule at the smallest point where it is wrong, if there is
    one: of those at which the old one was not, or else of all.
    """

    old: Side
    new: Side
    moves: Counter[tuple[Outcome, Outcome]]
    regimes: dict[tuple[Outcome, Outcome], Counter[str]]
    example: Report | None


def compare(
    old: Rule, new: Rule, cases: SearchStrategy[tuple[Any, ...]], *, examples: int = 100, seed: int = 0
) -> Comparison:
    """Judge two rules at the same points, which Hypothesis draws.

    Raises
    ------
    InvalidArgument
        If one takes a cotangent and the other does not, or the cases are none.
    RuleError
        If the forward of either raises at a point.
    """
    import hypothesis
    from hypothesis import Phase
    from hypothesis import strategies as st

    if old.takes_cotangent != new.takes_cotangent:
        one, other = (old, new) if old.takes_cotangent else (new, old)
        raise InvalidArgument(
            f"{one.name} takes a cotangent and {other.name} does not, so they are not the same thing in two versions"
        )
    course, points = _Course(old, new), Run(new, {}, ())

    def body(case: Any, data: st.DataObject) -> None:
        course.add(case, points.point(case, data))

    settings = hypothesis.settings(settings_of(None, examples), phases=[Phase.generate], database=None)
    hypothesis.seed(seed)(settings(hypothesis.given(case=require_strategy(cases), data=st.data())(body)))()
    return course.comparison()


class _Course:
    """A comparison in progress."""

    def __init__(self, old: Rule, new: Rule) -> None:
        self._rules = (old, new)
        self._tallies = (Tallying(seen=False), Tallying(seen=False))
        self._common = (Tallying(seen=False), Tallying(seen=False))
        self._moves: Counter[tuple[Outcome, Outcome]] = Counter()
        self._regimes: dict[tuple[Outcome, Outcome], Counter[str]] = {}
        self._wrong: list[tuple[bool, int, Report]] = []
        self._undecided = [0, 0]

    def add(self, case: tuple[Any, ...], point: Point) -> None:
        """Judge both at one point."""
        old, new = (report_at(rule, point) for rule in self._rules)
        for side, report in enumerate((old, new)):
            self._tallies[side].add(case, report)
            self._undecided[side] += report.outcome is Outcome.UNDECIDED and not report.verdict.vacuous
        move = (old.outcome, new.outcome)
        if move == (Outcome.PASS, Outcome.PASS):
            for tallying, report in zip(self._common, (old, new), strict=True):
                tallying.add(case, report)
        self._moves[move] += 1
        self._regimes.setdefault(move, Counter()).update(getattr(case, "regimes", ()))
        if new.outcome is Outcome.FAIL:
            self._wrong.append((old.outcome is Outcome.FAIL, _size(point), new))

    def comparison(self) -> Comparison:
        """Add up."""
        old, new = map(self._side, (0, 1))
        example = min(self._wrong, key=lambda one: one[:2], default=(False, 0, None))[2]
        return Comparison(old, new, self._moves, self._regimes, example)

    def _side(self, side: int) -> Side:
        tally, common = self._tallies[side].tally(), self._common[side].tally()
        return Side(self._outcomes(side), tally, common, self._undecided[side])

    def _outcomes(self, side: int) -> Counter[Outcome]:
        counts: Counter[Outcome] = Counter()
        for move, count in self._moves.items():
            counts[move[side]] += count
        return counts


def _size(point: Point) -> int:
    return sum(np.size(leaf) for leaf in leaves_of(point.args))
