"""One verification in progress."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest import SkipTest

import numpy as np

from gradcheck.checks import as_arguments, as_cotangent, failure, forward_value, report_at
from gradcheck.errors import GradientMismatch, InvalidArgument, RuleError
from gradcheck.report import Report, Tally, Tallying
from gradcheck.rule import Point, Rule
from gradcheck.verdict import Outcome

if TYPE_CHECKING:
    from hypothesis import settings as Settings
    from hypothesis import strategies as st
    from hypothesis.strategies import SearchStrategy

__all__ = ["Run"]

# From here Hypothesis may climb, with half of the examples: 4 of 20 runs of 100 then missed a regime, else none did.
# Right gradients (0.72 at most in 1,950 examples of 78) do not pay for what only a nearly wrong one gains by. Beyond 1
# is what is excused, as a subgradient is.
_NEAR = 0.75
_FLAKY = "the same point passed when it was tried again: the gradient depends on earlier calls"


class Run:
    """One verification in progress: what was seen so far."""

    def __init__(self, rule: Rule, data: Mapping[str, Any], without: Collection[str]) -> None:
        self.rule = rule
        self.data = dict(data)
        self.without = without
        self.tallying = Tallying()
        self.shown: Report | None = None
        self.failed: Report | None = None
        self.undecided: list[Report] = []
        self.vacuous: list[Report] = []
        self.resolved: set[str] = set()

    def one(self, case: tuple[Any, ...], point: Point) -> Report:
        """Judge one example. Only a FAIL raises: an undecided point must not hide a wrong one behind it."""
        # a smaller point must show all that a larger one did, so after a failure nothing is shared out any more
        thorough = self.failed is not None
        report = report_at(self.rule, point, without=self.without, thorough=thorough)
        if self.shown is None or (report and _as_near(report, self.shown)):
            self.shown = report
        if self.failed is None:  # what Hypothesis tries while it shrinks is no evidence of coverage
            self.tallying.add(case, report)
        if report.outcome is Outcome.FAIL:
            self.failed = report
            raise failure(report)
        self.resolved.update(d.path for d in report.verdict.discrepancies if np.any(d.resolved))
        if report.outcome is Outcome.UNDECIDED:
            (self.vacuous if report.verdict.vacuous else self.undecided).append(report)
        return report

    def drive(self, cases: SearchStrategy[Any], *, settings: Settings, seed: int | None) -> Report | None:
        """Run Hypothesis; give the report of the smallest failing example, or None."""
        import hypothesis
        from hypothesis import errors
        from hypothesis import strategies as st

        def body(case: Any, data: st.DataObject) -> None:
            near = self.one(case, self.point(case, data)).verdict.nearness
            if _NEAR <= near <= 1:
                hypothesis.target(near, label="difference / allowed")

        # Hypothesis files what it finds under the source of the test, the same for all rules, and this, which its own
        # pytest plugin tells parametrised tests apart by
        vars(body)["_hypothesis_internal_add_digest"] = self.rule.name.encode()
        test = settings(hypothesis.given(case=cases, data=st.data())(body))
        if seed is not None:
            test = hypothesis.seed(seed)(test)
        try:
            test()
        except SkipTest:  # the settings leave no phase to draw in
            return None
        except (errors.Unsatisfiable, errors.FailedHealthCheck, errors.InvalidArgument) as error:
            raise InvalidArgument(f"{self.rule.name}: Hypothesis cannot draw points to check: {error}") from error
        except (GradientMismatch, errors.Flaky) as error:
            if self.failed is None:
                raise RuleError(
                    f"{self.rule.name}: what raised at a point did not when that was tried again, so the rule or the "
                    f"strategy depends on earlier calls: {error}"
                ) from error
            # it failed once and then not: the rule depends on what was called before
            if isinstance(error, errors.Flaky):
                verdict = replace(self.failed.verdict, notes=(*self.failed.verdict.notes, _FLAKY))
                return replace(self.failed, verdict=verdict)
            return self.failed
        return None

    def open(self) -> list[Report]:
        """Give the undecided reports that the other examples do not make up for.

        A point where every entry of some array is below its rounding (a bias, where each row is saturated) shows
        nothing about that array. That matters only if no other point did.
        """
        return self.undecided + [
            report
            for report in self.vacuous
            if any(d.vacuous and d.path not in self.resolved for d in report.verdict.discrepancies)
        ]

    def passed(self) -> Report:
        """Give the report of a run that left nothing open."""
        if self.shown is None:
            raise InvalidArgument(f"{self.rule.name}: no point was drawn, so nothing was checked; ask for examples")
        if self.shown:
            return self.shown
        # every point was vacuous in some array, though none of the arrays was at every point
        verdict = replace(self.shown.verdict, outcome=Outcome.PASS, reason="every array was resolved at some point")
        return replace(self.shown, verdict=verdict)

    def tally(self) -> Tally:
        """Add up."""
        return self.tallying.tally()

    def point(self, case: tuple[Any, ...], data: st.DataObject) -> Point:
        """Add a cotangent to a case, drawn if the rule takes one."""
        _require_tuple(case)
        args = as_arguments(self.rule, case)
        value = forward_value(self.rule, args, self.data)
        cotangent = None
        if self.rule.takes_cotangent:
            from gradcheck.strategies import cotangents

            cotangent = data.draw(cotangents(value), label="cotangent")
        return Point(args, self.data, as_cotangent(self.rule, value, cotangent, seed=0))


def _as_near(report: Report, other: Report) -> bool:
    """Whether a pass shows as much as what was seen before: of many, the one nearest to wrong is worth a look."""
    return not other or report.verdict.nearness >= other.verdict.nearness


def _require_tuple(case: Any) -> None:
    if not isinstance(case, tuple):
        raise InvalidArgument(
            f"cases must draw tuples of arguments, but drew one {type(case).__name__}; pass args=(strategy,) instead"
        )
