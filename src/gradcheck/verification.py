"""Verify: one rule over many drawn points, through Hypothesis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest import SkipTest

import numpy as np

from gradcheck.checks import as_arguments, examine, failure, forward_value, natural, require_rule
from gradcheck.errors import GradientMismatch, InvalidArgument, RuleError
from gradcheck.laws import as_names, together
from gradcheck.report import Report, Tally, keep
from gradcheck.rule import Rule
from gradcheck.tree import leaves_of
from gradcheck.verdict import Outcome

if TYPE_CHECKING:
    from hypothesis import settings as Settings
    from hypothesis.strategies import SearchStrategy

__all__ = ["parametrize", "verify"]


def verify(
    rule: Rule,
    cases: SearchStrategy[tuple[Any, ...]] | None = None,
    /,
    *,
    like: tuple[Any, ...] | None = None,
    args: tuple[Any, ...] | None = None,
    examples: int | None = None,
    seed: int | None = None,
    settings: Settings | None = None,
    without: Collection[str] = (),
    **data: Any,
) -> Report:
    """Check a rule over many drawn points, shrink a failure to the smallest point that shows it, and keep it.

    Parameters
    ----------
    rule : Rule
        What to check.
    cases : strategy of tuples, optional
        Draws the positional arguments, as `gradcheck.strategies.softmax_nll` does.
    like : tuple, optional
        Instead of ``cases``: example arguments, whose floating-point arrays vary in value, scale and rows.
    args : tuple of strategies, optional
        Instead of ``cases``: one strategy per positional argument.
    examples : int, optional
        How many points to draw; by default what the settings say (100).
    seed : int, optional
        Makes the draws repeatable. Hypothesis then leaves its database out, whose failures would come first.
    settings : hypothesis.settings, optional
        Anything else; the deadline is always off, since the first check of a new pattern traces a program.
    without : collection of str
        Names of laws that are not asked.
    **data
        Keyword arguments of the rule, passed as they are.

    Returns
    -------
    Report
        Of a pass, with a tally of examples and regimes.

    Raises
    ------
    GradientMismatch
        At the smallest point found, which is kept under ``.gradcheck/failures``.
    GradientUndecided
        If no point failed but one could not be decided.
    InvalidArgument
        If it is called inside ``@given`` (use `check` there), or not exactly one source of points is given.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcheck import from_loss
    >>> rule = from_loss(lambda w: np.sum(w**3), lambda w: 3 * w**2, name="cube")
    >>> verify(rule, like=(np.ones(3),), examples=20, seed=0).tally.examples
    20
    """
    __tracebackhide__ = True
    from hypothesis import currently_in_test_context

    if currently_in_test_context():
        raise InvalidArgument(
            "verify runs Hypothesis itself and cannot be nested in a test under @given; "
            "inside one, use gradcheck.check(rule, *case)"
        )
    require_rule(rule)
    source = _cases(rule, cases, like, args)
    if seed is not None:
        seed = natural("seed", seed)
    run = _Run(rule, data, as_names(without))
    failed = run.drive(source, settings=_settings(settings, examples), seed=seed)
    # a report of a failure is false, so `or` would not do
    report = failed if failed is not None else min(run.open(), key=_size, default=None)
    if report is not None:
        raise failure(keep(replace(report, tally=run.tally())))
    return replace(run.passed(), tally=run.tally())


def parametrize(
    rules: Mapping[str, Rule] | Sequence[Rule], cases: SearchStrategy[tuple[Any, ...]]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a test of ``(rule, case)`` so that it is an ordinary Hypothesis test for each rule.

    The result is what ``@pytest.mark.parametrize`` over ``@given`` gives: ids one can read and select with ``-k``,
    and ``@settings``, marks, ``--lf`` and pytest-xdist work on it as on any other test.

    Parameters
    ----------
    rules : mapping of str to Rule, or sequence of Rule
        The keys are the ids; rules in a sequence go by the last part of their names.
    cases : strategy of tuples
        Draws the arguments of every rule.

    Raises
    ------
    InvalidArgument
        If there are no rules, or something in their place.

    Examples
    --------
    .. code-block:: python

        @gradcheck.parametrize({"fused": fused, "two-stage": two_stage}, gst.softmax_nll())
        def test_gradient(rule, case):
            gradcheck.check(rule, *case)
    """
    import pytest
    from hypothesis import given

    named = _named(rules)
    _require_strategy(cases)

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        params = [pytest.param(rule, id=name) for name, rule in named.items()]
        decorated: Callable[..., None] = pytest.mark.parametrize("rule", params)(given(case=cases)(test))
        return decorated

    return decorate


def _named(rules: Any) -> dict[str, Rule]:
    """Give every rule its id."""
    if isinstance(rules, Mapping):
        pairs = [(str(name), rule) for name, rule in rules.items()]
    elif isinstance(rules, Sequence):
        pairs = [(getattr(rule, "name", "").split(".")[-1], rule) for rule in rules]
    else:
        raise InvalidArgument(f"rules must be a mapping of ids to rules, or a list of them, got {type(rules).__name__}")
    for name, rule in pairs:
        require_rule(rule, f"rules[{name!r}]" if isinstance(rules, Mapping) else "each of the rules")
    if not pairs:
        raise InvalidArgument("rules is empty, so nothing would be tested; pass at least one")
    twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if twice:
        raise InvalidArgument(f"several rules have the id {twice[0]!r}; pass a mapping with an id for each")
    return dict(pairs)


class _Run:
    """One verification in progress: what was seen so far."""

    def __init__(self, rule: Rule, data: Mapping[str, Any], without: Collection[str]) -> None:
        from gradcheck.strategies.coverage import Coverage

        self.rule = rule
        self.data = data
        self.without = without
        self.examples = 0
        self.last: Report | None = None
        self.failed: Report | None = None
        self.undecided: list[Report] = []
        self.vacuous: list[Report] = []
        self.resolved: set[str] = set()
        self.verdicts: list[tuple[str, float, float]] = []
        self.coverage = Coverage()
        self.notes: Counter[str] = Counter()
        self.laws: dict[str, str] = {}

    def one(self, case: tuple[Any, ...], cotangent: Any) -> Report:
        """Judge one example. Only a FAIL raises: an undecided point must not hide a wrong one behind it."""
        report = examine(self.rule, *case, cotangent=cotangent, without=self.without, **self.data)
        if report or self.last is None:
            self.last = report
        if self.failed is None:  # what Hypothesis tries while it shrinks is no evidence of coverage
            self.examples += 1
            self.coverage.add(case, cotangent)
            self.notes.update(report.verdict.notes)
            self.laws = together(self.laws, report.verdict.laws)
        if report.outcome is Outcome.FAIL:
            self.failed = report
            raise failure(report)
        self.resolved.update(d.path for d in report.verdict.discrepancies if np.any(d.resolved))
        if report.outcome is Outcome.UNDECIDED:
            (self.vacuous if report.verdict.vacuous else self.undecided).append(report)
        elif report.verdict.discrepancies:
            self.verdicts.append((report.verdict.grade, report.verdict.worst_ulps, report.verdict.seen))
        return report

    def drive(self, cases: SearchStrategy[Any], *, settings: Settings, seed: int | None) -> Report | None:
        """Run Hypothesis; give the report of the smallest failing example, or None."""
        import hypothesis
        from hypothesis import errors
        from hypothesis import strategies as st

        def body(case: Any, data: st.DataObject) -> None:
            _require_tuple(case)
            near = self.one(case, _drawn_cotangent(self.rule, case, self.data, data)).verdict.nearness
            if near >= _NEAR:
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
        if self.last is None:
            raise InvalidArgument(f"{self.rule.name}: no point was drawn, so nothing was checked; ask for examples")
        if self.last:
            return self.last
        # every point was vacuous in some array, though none of the arrays was at every point
        verdict = replace(self.last.verdict, outcome=Outcome.PASS, reason="every array was resolved at some point")
        return replace(self.last, verdict=verdict)

    def tally(self) -> Tally:
        """Add up."""
        grades, ulps, seen = zip(*self.verdicts, strict=True) if self.verdicts else ((), (), ())
        resolved = [s for s in seen if np.isfinite(s)]
        return Tally(
            self.examples,
            next((grade for grade in ("lossy", "norm-wise", "entry-wise") if grade in grades), "no entries"),
            max(ulps, default=0.0),
            float(np.median(resolved)) if resolved else float("inf"),
            self.coverage.counts(),
            dict(self.notes),
            self.laws,
        )


# From here Hypothesis may climb, with half of the examples: 4 of 20 runs of 100 then missed a regime, else none did.
# Right gradients (0.2 at most in 1,400 examples) do not pay for what only a nearly wrong one gains by.
_NEAR = 0.25
_FLAKY = "the same point passed when it was tried again: the gradient depends on earlier calls"


def _require_tuple(case: Any) -> None:
    if not isinstance(case, tuple):
        raise InvalidArgument(
            f"cases must draw tuples of arguments, but drew one {type(case).__name__}; pass args=(strategy,) instead"
        )


def _drawn_cotangent(rule: Rule, case: tuple[Any, ...], data: Mapping[str, Any], draw: Any) -> Any:
    if not rule.takes_cotangent:
        return None
    from gradcheck.strategies import cotangents

    value = forward_value(rule, as_arguments(rule, case), dict(data))
    return draw.draw(cotangents(value), label="cotangent")


def _settings(given: Any, examples: Any) -> Settings:
    from hypothesis import HealthCheck, Phase
    from hypothesis import settings as make

    if given is not None and not isinstance(given, make):
        raise InvalidArgument(f"settings must be hypothesis.settings(...), got {given!r} ({type(given).__name__})")
    # the first check of every new pattern of shapes traces a program, which no deadline should count
    extra: dict[str, Any] = {} if examples is None else {"max_examples": natural("examples", examples, 1)}
    base = given or make(suppress_health_check=[HealthCheck.too_slow])
    # nor are Hypothesis's own words printed, so the phase that looks for them, with a hundred runs more, is left out
    phases = [phase for phase in base.phases if phase is not Phase.explain]
    return make(base, deadline=None, report_multiple_bugs=False, print_blob=False, phases=phases, **extra)


def _cases(rule: Rule, cases: Any, like: Any, args: Any) -> SearchStrategy[Any]:
    from gradcheck import strategies

    given = [name for name, value in (("cases", cases), ("like=", like), ("args=", args)) if value is not None]
    if len(given) != 1:
        raise InvalidArgument(
            "verify needs exactly one source of points: a strategy of tuples, like=(example arguments), or "
            f"args=(one strategy per argument); got {' and '.join(given) or 'none'}"
        )
    for name, value in (("like", like), ("args", args)):
        if value is not None and not isinstance(value, tuple):
            raise InvalidArgument(
                f"{name} must be a tuple with one entry per argument, got {type(value).__name__}: write {name}=(...,)"
            )
    if like is not None:
        return strategies.like(*as_arguments(rule, like), vary=rule.argnums)
    if args is not None:
        return strategies.arguments(*args)
    return _require_strategy(cases)


def _require_strategy(cases: Any) -> SearchStrategy[Any]:
    from hypothesis.strategies import SearchStrategy

    if not isinstance(cases, SearchStrategy):
        raise InvalidArgument(
            f"cases must be a strategy that draws tuples of arguments, such as gradcheck.strategies.softmax_nll(), "
            f"got {type(cases).__name__}; example arguments go into verify(rule, like=(...))"
        )
    return cases


def _size(report: Report) -> int:
    return sum(np.size(leaf) for leaf in leaves_of((report.point.args, report.point.kwargs)))
