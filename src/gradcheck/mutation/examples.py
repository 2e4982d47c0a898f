"""The inputs of a power run: those that the check judges, and further ones that only tell mutants from the rule."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.checks import failure, forward_value
from gradcheck.errors import GradcheckError
from gradcheck.laws import ask_once, is_signal
from gradcheck.laws.running import Results
from gradcheck.mistakes import Setting, drawing
from gradcheck.mistakes.shapes import readings
from gradcheck.report import Report
from gradcheck.rule import Point, Rule
from gradcheck.tree import Flat, flatten
from gradcheck.verification.run import Run
from gradcheck.verification.sources import settings_of

if TYPE_CHECKING:
    from hypothesis import strategies as st
    from hypothesis.strategies import SearchStrategy

__all__ = ["Example", "answer", "further", "nearby", "quietly", "verified"]

# Points of the check that others are drawn like: where a strategy draws few kinds of points, a handful has all.
_MODELS = 8
# Each is tried with so many other sizes too.
_SIZES = 3


@dataclass(frozen=True, eq=False)
class Example:
    """A point, and what the unmutated rule answers there."""

    rule: Rule
    point: Point
    regimes: tuple[str, ...] = ()

    @cached_property
    def flat(self) -> Flat:
        """The arguments, flat."""
        return flatten(self.rule, self.point)

    @cached_property
    def answered(self) -> Results | None:
        """The rule's answer."""
        return answer(self.rule, self)

    @property
    def nonzero(self) -> list[str]:
        """Name the arrays by which the gradient is not zero, so that a factor changes it."""
        pairs = zip(self.flat.differentiated, self.answered or (), strict=False)
        return [leaf.path for leaf, cotangent in pairs if cotangent is not None and np.any(cotangent)]

    @cached_property
    def tied(self) -> bool:
        """Whether numbers meet that a comparison could be about: to tell a mistake from a kink there takes long."""
        arrays = [leaf.array for leaf in self.flat.differentiated]
        return any(np.unique(a).size < a.size or bool(np.any(a == 0)) for a in arrays)

    @property
    def size(self) -> int:
        """How many numbers there are to read."""
        return sum(np.size(leaf) for leaf in self.flat.leaves)

    def __str__(self) -> str:
        shapes = ", ".join(
            f"{leaf.path} ({', '.join(map(str, leaf.array.shape))})" for leaf in self.flat.differentiated
        )
        return f"{shapes}; {', '.join(self.regimes)}" if self.regimes else shapes


@contextmanager
def quietly() -> Iterator[None]:
    """Keep to oneself what mutants, and rules where they are not meant to be run, say about their arithmetic."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def answer(rule: Rule, example: Example) -> Results | None:
    """Ask a rule at an example; None where it raises or keeps no contract."""
    try:
        return ask_once(rule, example.point, example.flat)
    except Exception as error:
        if is_signal(error):
            return None
        raise


class _Recording(Run):
    """A verification that keeps its points."""

    def __init__(self, rule: Rule, data: Mapping[str, Any], without: Collection[str]) -> None:
        super().__init__(rule, data, without)
        self.examples: list[Example] = []

    def one(self, case: tuple[Any, ...], point: Point) -> Report:
        """Judge a point and keep it."""
        report = super().one(case, point)
        self.examples.append(Example(self.rule, point, _regimes(case)))
        return report


def _regimes(case: Any) -> tuple[str, ...]:
    return tuple(sorted(getattr(case, "regimes", ())))


def verified(
    rule: Rule,
    cases: SearchStrategy[Any],
    data: Mapping[str, Any],
    *,
    examples: int,
    seed: int,
    without: Collection[str],
) -> list[Example]:
    """Draw and judge the points of the check, the same ones as `gradcheck.verify` with this seed.

    Raises
    ------
    GradientMismatch, GradientUndecided
        If the rule does not pass: then there is nothing to mutate.
    """
    from hypothesis import Phase, settings

    run = _Recording(rule, data, without)
    phases = settings(settings_of(None, examples), phases=[Phase.generate, Phase.target], database=None)
    report = run.drive(cases, settings=phases, seed=seed)
    if report is None:
        report = next(iter(run.open()), None)
    if report is not None:
        raise failure(report)
    run.passed()
    return run.examples


def further(
    rule: Rule, cases: SearchStrategy[Any], data: Mapping[str, Any], *, examples: int, seed: int
) -> list[Example]:
    """Draw points without judging them; those where the rule has no answer are left out."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis import strategies as st

    run = Run(rule, data, ())
    found: list[Example] = []

    def body(case: Any, drawn: st.DataObject) -> None:
        with quietly():
            try:
                point = run.point(case, drawn)
            except GradcheckError:  # outside the domain that nobody stated
                return
            example = Example(rule, point, _regimes(case))
            if example.answered is not None:
                found.append(example)

    drawing = settings(
        max_examples=examples,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    seeded(seed)(drawing(given(case=cases, drawn=st.data())(body)))()
    return found


def nearby(
    rule: Rule, models: Sequence[Example], data: Mapping[str, Any], *, examples: int, seed: int
) -> list[Example]:
    """Draw points like some of the check's, whatever its strategy draws: other values, scales and sizes."""
    from hypothesis import strategies as st

    chosen = models[:: max(1, len(models) // _MODELS)]
    resized = (_resized(example, variant) for example in chosen for variant in range(_SIZES))
    like = [_like(rule, args) for args in (*(e.point.args for e in chosen), *resized) if args is not None]
    drawn = [strategy for strategy in like if strategy is not None]
    return further(rule, st.one_of(drawn), data, examples=examples, seed=seed) if drawn else []


def _like(rule: Rule, args: tuple[Any, ...]) -> SearchStrategy[Any] | None:
    from gradcheck import strategies

    try:
        return strategies.like(*args, vary=rule.argnums, domain=rule.domain)
    except GradcheckError:  # nothing varies, or it would have to leave its domain
        return None


def _resized(example: Example, variant: int) -> tuple[Any, ...] | None:
    """Give the arguments of a point other sizes that the forward takes."""
    zeros = tuple(np.zeros(leaf.array.shape) for leaf in example.flat.differentiated)
    setting = Setting(example.rule, example.point, example.flat, zeros, elsewhere=_nowhere)
    for reading in readings(example.flat, setting.roles):
        rng = np.random.default_rng(variant)
        changes = drawing.with_sizes(setting, rng, reading, reading.sizes(variant, {}))
        args = setting.moved(changes).args
        with quietly():
            try:
                forward_value(example.rule, args, example.point.kwargs)
            except GradcheckError:
                continue
        return args
    return None


def _nowhere(_: Point) -> None:
    """Ask nobody: sizes are changed without knowing the gradient."""
