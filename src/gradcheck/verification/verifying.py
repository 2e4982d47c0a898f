"""Check a rule over many points."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.checks import failure, natural, require_rule
from gradcheck.errors import InvalidArgument
from gradcheck.laws import as_names
from gradcheck.observing import told
from gradcheck.report import Report, keep
from gradcheck.rule import Rule
from gradcheck.tree import leaves_of
from gradcheck.verification.run import Run
from gradcheck.verification.sources import cases_of, settings_of

if TYPE_CHECKING:
    from hypothesis import settings as Settings
    from hypothesis.strategies import SearchStrategy

__all__ = ["verify"]


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
    KeyboardInterrupt
        On Ctrl-C; a failure that was found before is kept, and a note says where.

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
    source = cases_of(rule, cases, like, args)
    if seed is not None:
        seed = natural("seed", seed)
    run = Run(rule, data, as_names(without))
    try:
        failed = run.drive(source, settings=settings_of(settings, examples), seed=seed)
    except KeyboardInterrupt as interrupt:
        if run.failed is not None:  # shrinking may take longer than one is ready to wait
            interrupt.add_note(_found(keep(run.failed)))
        raise
    # a report of a failure is false, so `or` would not do
    report = failed if failed is not None else min(run.open(), key=_size, default=None)
    if report is not None:
        raise failure(told(keep(replace(report, tally=run.tally()))))
    return told(replace(run.passed(), tally=run.tally()))


def _found(failed: Report) -> str:
    where = "" if failed.saved is None else f"\n  gradcheck replay {failed.saved}"
    return f"{failed.origin.name} is wrong; this was found so far, at a point that is not the smallest{where}"


def _size(report: Report) -> int:
    return sum(np.size(leaf) for leaf in leaves_of((report.point.args, report.point.kwargs)))
