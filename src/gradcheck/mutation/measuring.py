"""What a check is worth: the rule passes, then wrong ones made of it are put to the same check."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gradcheck.checks import natural, require_rule
from gradcheck.errors import InvalidArgument
from gradcheck.laws import as_names
from gradcheck.mutation.answers import Smallest, mistaken, smallest
from gradcheck.mutation.examples import Example, answer, further, nearby, quietly, verified
from gradcheck.mutation.mutant import Change, Mutant
from gradcheck.mutation.report import Killed, PowerReport, Survivor
from gradcheck.mutation.source import NoSource
from gradcheck.mutation.trial import Check, distance
from gradcheck.mutation.written import Written, written
from gradcheck.rule import Rule
from gradcheck.verification.sources import cases_of

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["power"]

Watch = Callable[[int, int], None]

# The smallest error is found by trying whole checks that pass, which would take all of a short time.
_SHARE = 0.25
# Points that are drawn to tell mutants from the rule, for each that the check judges, and how many at least.
_TIMES, _LEAST = 10, 100
# A named mistake that shows at fewer points than this was made by a coincidence of shapes, as where an index is as long
# as there are classes and is taken for labels: nobody makes it, and it says nothing of the check.
_COINCIDENCE = 0.02
# A loop is given up after this many seconds and times what the rule itself takes: it is far slower only without end.
_SECONDS, _SLOWER = 1.0, 100.0


class _OutOfTime(Exception):
    """The budget is spent."""


def power(
    rule: Rule,
    cases: SearchStrategy[tuple[Any, ...]] | None = None,
    /,
    *,
    like: tuple[Any, ...] | None = None,
    args: tuple[Any, ...] | None = None,
    examples: int = 100,
    seed: int = 0,
    budget: float = 60.0,
    without: Collection[str] = (),
    watch: Watch | None = None,
    **data: Any,
) -> PowerReport:
    """Tell what a check would have missed: put wrong versions of a rule to the check that the rule passes.

    The mutants are the rule with each mistake that has a name, and with each small edit of the source of its
    derivative: another operator, axis or constant, a term, a factor or a statement left out, a sign flipped. What
    survives and can be told from the rule is what `verify` with the same strategy, ``examples`` and ``seed`` misses.

    Parameters
    ----------
    rule, cases, like, args, without, **data
        As in `verify`.
    examples : int
        How many points the check judges.
    seed : int
        Of the check.
    budget : float
        Seconds after which no more mutants are tried. The check of the rule itself is not cut short.
    watch : callable, optional
        ``watch(tried, total)`` is called before each mutant and at the end.

    Returns
    -------
    PowerReport
        True exactly if every mutant that can be told from the rule is killed. On Ctrl-C it holds what is known.

    Raises
    ------
    GradientMismatch, GradientUndecided
        If the rule itself does not pass.
    InvalidArgument
        As in `verify`, and for a budget that is no positive number.

    Notes
    -----
    A mutant that answers as the rule does, but for rounding and on kinks, on ten times the examples and on 100 like
    some of them is *not distinguished*: it may be the same function, and counts for nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcheck import from_loss
    >>> from gradcheck.mutation import power
    >>> def cube(w): return np.sum(w**3)
    >>> def cube_grad(w): return 3 * w * w
    >>> report = power(from_loss(cube, cube_grad), like=(np.ones(3),), examples=10, budget=600)
    >>> [survivor.change for survivor in report.survivors if survivor.change.diff]
    []
    >>> 0.9 < report.rate <= 1
    True
    """
    from hypothesis import currently_in_test_context

    start = time.perf_counter()
    if currently_in_test_context():
        raise InvalidArgument("power runs Hypothesis itself and cannot be nested in a test under @given")
    require_rule(rule)
    examples, seed = natural("examples", examples, 1), natural("seed", seed)
    if isinstance(budget, bool) or not isinstance(budget, (int, float)) or not budget > 0:
        raise InvalidArgument(f"budget must be a positive number of seconds, got budget={budget!r}")
    source = cases_of(rule, cases, like, args)
    own = verified(rule, source, data, examples=examples, seed=seed, without=as_names(without))
    run = _Run(rule, source, data, own, seed, start + budget, as_names(without))
    return run.report(watch or _unwatched, start, budget)


def _unwatched(_tried: int, _total: int) -> None:
    pass


@dataclass(eq=False)
class _Run:
    """A power run in progress."""

    rule: Rule
    cases: SearchStrategy[Any]
    data: dict[str, Any]
    examples: Sequence[Example]
    seed: int
    end: float
    without: frozenset[str]
    killed: list[Killed] = field(default_factory=list)
    survivors: list[Survivor] = field(default_factory=list)
    alike: list[Change] = field(default_factory=list)
    sizes: list[Smallest] = field(default_factory=list)

    def report(self, watch: Watch, start: float, budget: float) -> PowerReport:
        """Try everything, or what there is time for."""
        sources, notes = self._sources()
        mutants = [*mistaken(self.rule), *(m for source in sources for m in source.mutants())]
        tried, stopped = 0, ""
        try:
            watch(0, len(mutants))
            notes += self._measure(start + _SHARE * budget)
            for mutant in mutants:
                self._try(mutant)
                tried += 1
                watch(tried, len(mutants))
        except _OutOfTime:
            stopped = f"stopped after {budget:g} s"
        except KeyboardInterrupt:
            stopped = "interrupted"
        return PowerReport(
            self.rule.name,
            len(self.examples),
            self.seed,
            tuple(self.killed),
            tuple(self.survivors),
            tuple(self.alike),
            tuple(mutant.change for mutant in mutants[tried:]),
            tuple(self.sizes),
            time.perf_counter() - start,
            stopped,
            tuple(notes),
        )

    @cached_property
    def check(self) -> Check:
        """The check that mutants are put to."""
        return Check(self.rule, self.examples, self.without, self._stop)

    @cached_property
    def more(self) -> list[Example]:
        """The points that tell mutants from the rule, those of the check among them."""
        count = max(_LEAST, (_TIMES - 1) * len(self.examples))
        drawn = further(self.rule, self.cases, self.data, examples=count, seed=self.seed + 1)
        around = nearby(self.rule, self.examples, self.data, examples=_LEAST, seed=self.seed)
        return [*self.examples, *drawn, *around]

    def _stop(self) -> None:
        if time.perf_counter() > self.end:
            raise _OutOfTime

    def _sources(self) -> tuple[list[Written], list[str]]:
        """Find the sources whose unchanged text makes a rule that answers as the rule does, to the bit."""
        with quietly():
            begun = time.perf_counter()
            for example in self.examples:
                answer(self.rule, example)
            each = (time.perf_counter() - begun) / len(self.examples)
            sources, notes = written(self.rule, _SECONDS + _SLOWER * each)
            good = [source for source in sources if self._is_faithful(source)]
        notes += [f"{s.name} is not what its source says, so it is not mutated" for s in sources if s not in good]
        ran = [source.of_what_ran() for source in good]
        idle = sum(len(source.edits) for source in good) - sum(len(source.edits) for source in ran)
        if idle:
            notes.append(f"{idle} edits were not tried, of statements that ran at no input, such as other options'")
        if not any(source.edits for source in ran):
            notes.append("nothing of the source could be mutated: only mutants of its answers")
        return ran, notes

    def _is_faithful(self, source: Written) -> bool:
        """Whether what is made again of a source answers as the rule does, wherever it is asked."""
        try:
            made = source.as_it_is()
        except NoSource:
            return False
        return not any(distance(e.answered, answer(made, e)) for e in self.more)

    def _measure(self, end: float) -> list[str]:
        """Find the smallest error that is seen in each array, and name those that there was no time for."""
        paths = list(dict.fromkeys(path for e in self.examples for path in e.nonzero))
        hurried = _Run(self.rule, self.cases, self.data, self.examples, self.seed, end, self.without)
        for number, path in enumerate(paths):
            try:
                self.sizes.append(smallest(hurried.check, path))
            except _OutOfTime:
                return [f"no time to find the smallest error that is seen in {', '.join(paths[number:])}"]
        return []

    def _try(self, mutant: Mutant) -> None:
        found = self.check.kills(mutant.rule)
        if found is not None:
            self.killed.append(Killed(mutant.change, found[0]))
            return
        told = self.check.differs(mutant.rule, self.more)
        if told is None or (not mutant.change.diff and told.share < _COINCIDENCE):
            self.alike.append(mutant.change)
        else:
            self.survivors.append(Survivor(mutant.change, str(told.example), told.by, told.share))
