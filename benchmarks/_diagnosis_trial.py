"""One wrong gradient, put to gradcheck the public way, and whether it is called by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from time import process_time

from _corpus import ONLY_SEARCH
from _diagnosis_behaviour import alike, points_of
from _diagnosis_subject import Subject
from hypothesis import Phase
from hypothesis import settings as Settings

import gradcheck
from gradcheck.mistakes import MISTAKES, Mistake
from gradcheck.rule import Point

# What became of a wrong gradient.
RIGHT, UNKNOWN, WRONG = "named right", "does not know", "named wrong"
NOTHING, MISSED, UNDECIDED, BROKEN = "no difference", "passed", "undecided", "broken"
# Points at which rules are compared to see whether they are one; mistakes of corners show at few of them.
POINTS = 60

NAMED = {mistake.name: mistake for mistake in MISTAKES}


@dataclass(frozen=True)
class Plan:
    """How each wrong gradient is looked for."""

    seed: int
    examples: int
    shrink: bool = True

    @property
    def settings(self) -> Settings:
        """Give Hypothesis's: nothing is remembered from one run to the next."""
        phases = [Phase.generate, Phase.shrink] if self.shrink else [Phase.generate]
        return Settings(ONLY_SEARCH, phases=phases)


@dataclass(frozen=True)
class Trial:
    """A wrong gradient, and what was said of it. ``kind`` is the mistake, or what else is wrong.

    ``first`` is the first-ranked name, empty where none was given; ``same`` says that the gradient with that mistake is
    the very same as this one.
    """

    kind: str
    subject: str
    word: str
    first: str = ""
    same: bool = False
    says: str = ""
    why: str = ""
    seconds: float = 0.0


def inject(mistake: Mistake, subject: Subject, plan: Plan) -> Trial:
    """Put a mistake into a rule, and ask what it is."""
    if not changes(mistake, subject, plan.seed):
        return Trial(mistake.name, subject.name, NOTHING)
    return asked(mistake.name, subject, lambda: mistake.inject(subject.make()), (mistake.name,), plan)


def changes(mistake: Mistake, subject: Subject, seed: int, points: int = POINTS) -> bool:
    """Tell whether a mistake makes any difference to a rule."""
    return not alike(subject.make(), mistake.inject(subject.make()), _points(subject, seed)[:points])


def asked(
    kind: str, subject: Subject, make: Callable[[], gradcheck.Rule], expected: Sequence[str], plan: Plan
) -> Trial:
    """Verify a wrong rule, and compare the name it is given with those that it deserves, which may be none."""
    start = process_time()
    trial = _verified(Trial(kind, subject.name, MISSED), subject, make, plan)
    if trial.word == UNKNOWN and not expected:
        trial = replace(trial, word=RIGHT)
    elif trial.first:
        same = trial.first not in expected and _is(trial.first, subject, make, plan)
        trial = replace(trial, word=RIGHT if same or trial.first in expected else WRONG, same=same)
    return replace(trial, seconds=process_time() - start)


def _verified(trial: Trial, subject: Subject, make: Callable[[], gradcheck.Rule], plan: Plan) -> Trial:
    try:
        gradcheck.verify(
            make(), subject.cases(), examples=plan.examples, seed=plan.seed, settings=plan.settings, **subject.data
        )
    except gradcheck.GradientMismatch as error:
        findings, trouble = error.report.findings, error.report.diagnosis.trouble
        why = str(error.report.verdict.reason)
        if trouble:
            return replace(trial, word=BROKEN, why=trouble)
        if not findings:
            return replace(trial, word=UNKNOWN, why=why)
        return replace(trial, word=WRONG, first=findings[0].name, says=findings[0].says, why=why)
    except gradcheck.GradientUndecided as error:
        return replace(trial, word=UNDECIDED, why=str(error.report.verdict.reason))
    except Exception as error:  # a line of the table, not the end of it
        return replace(trial, word=BROKEN, why=f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
    return trial


def _is(name: str, subject: Subject, make: Callable[[], gradcheck.Rule], plan: Plan) -> bool:
    """Tell whether the rule is the right one with the mistake of this name."""
    if name not in NAMED:
        return False
    return alike(make(), NAMED[name].inject(subject.make()), _points(subject, plan.seed))


@cache
def _points(subject: Subject, seed: int) -> list[Point]:
    return points_of(subject, seed, POINTS)
