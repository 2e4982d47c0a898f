"""What the checks of one test come to: one report for each rule, however often it was checked."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

from gradcheck.report import Report, Tally, Tallying, joined
from gradcheck.strategies.latest import drawn_as
from gradcheck.verdict import Outcome

__all__ = ["Gathering"]

_BEST_FIRST = (Outcome.PASS, Outcome.UNDECIDED, Outcome.FAIL)


class Gathering:
    """Takes every report of a test, and gives one for each rule: the worst, with a tally of all.

    Parameters
    ----------
    seen : bool
        Whether to measure, for some of the points, how small an error would have been seen, which takes as long again
        as to check them.
    """

    def __init__(self, *, seen: bool = False) -> None:
        self._seen = seen
        self._rules: dict[str, _OfOneRule] = {}

    def add(self, report: Report) -> None:
        """Take one report, of a point or of a whole run."""
        name = report.origin.name
        if name not in self._rules:
            self._rules[name] = _OfOneRule(Tallying(seen=self._seen))
        self._rules[name].add(report)

    def kept(self, report: Report) -> None:
        """Take notice of where a failure that was gathered has been kept since."""
        rule = self._rules.get(report.origin.name)
        if rule is not None and rule.worst is not None and rule.worst.point is report.point:
            rule.worst = report

    def reports(self) -> list[Report]:
        """Give one report for each rule, in the order in which they were first checked."""
        return [rule.report() for rule in self._rules.values()]


class _OfOneRule:
    def __init__(self, tallying: Tallying) -> None:
        self.worst: Report | None = None
        self._tallying = tallying
        self._tallies: list[Tally] = []

    def add(self, report: Report) -> None:
        failed = self.worst is not None and self.worst.outcome is Outcome.FAIL
        if report.tally is not None:
            self._tallies.append(report.tally)
        elif not failed:  # what Hypothesis tries while it shrinks is no evidence of coverage
            self._tallying.add(drawn_as(report.point.args), report)
        # the latest of the worst: the one that Hypothesis ends with is the smallest
        if self.worst is None or _rank(report) >= _rank(self.worst):
            self.worst = report

    def report(self) -> Report:
        assert self.worst is not None  # one is made for the first report
        tallies = [self._tallying.tally()] if self._tallying.examples else []
        return _with_tally(self.worst, reduce(joined, [*tallies, *self._tallies]))


def _rank(report: Report) -> int:
    return _BEST_FIRST.index(report.outcome)


def _with_tally(report: Report, tally: Tally) -> Report:
    """Put a tally to a report, along with the diagnosis if that has been made, which takes many runs of the rule."""
    return replace(report, tally=tally, diagnosed=vars(report).get("diagnosis", report.diagnosed))
