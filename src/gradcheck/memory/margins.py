"""How close a right gradient comes to being wrong, and when that has worsened.

The margin of a rule in a regime is the largest error of an entry there, over the widest allowance of that entry: it is
wrong beyond 1. A ratio and not a number of ulps, because what is kept must not depend on luck. Of 636 pairs of runs of
53 right gradients in two precisions, a hundred other points each, 12 differ in some regime by a factor of 2, all of
distillation losses whose logarithms cancel. In ulps of the summands 381 do, 199 by a factor of 4 and some by ten
thousand, where points are badly conditioned: only the allowance knows of that.

What agrees at a glance has no margin measured, and counts as `FLOOR`, as does any that is less. So does a regime of
which nothing is kept: it was not visited, or was no closer than that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gradcheck.report import ANY

__all__ = ["FLOOR", "Change", "Margins", "changes"]

# The most that an agreement at a glance used up of the widest allowance was 0.113, in 3,531 arrays of right gradients.
FLOOR = 0.125
_GRADES = ("no entries", "lossy", "norm-wise", "entry-wise")  # worst first, but for the first, which says nothing
_GRADE = "grade"


@dataclass(frozen=True)
class Margins:
    """What is remembered of one rule in one test: its grade, and its margin in each regime."""

    grade: str
    regimes: Mapping[str, float] = field(default_factory=dict)

    @property
    def worst(self) -> float:
        """The largest of all."""
        return max(self.regimes.values(), default=0.0)


@dataclass(frozen=True)
class Change:
    """One thing that has worsened: a regime with its margin before and now, or the grade."""

    what: str
    was: str
    now: str

    def __str__(self) -> str:
        if self.what == _GRADE:
            return f"{self.what}: was {self.was}, is {self.now}"
        return f"{self.what}: was {self.was} of what is allowed, is {self.now}"


def changes(before: Margins, now: Margins, factor: float) -> list[Change]:
    """List what has worsened by more than a factor: the grade, then the margin over any input, then the worst first.

    A regime that is not visited any more is not compared.
    """
    found = [Change(_GRADE, before.grade, now.grade)] if _lost(before.grade, now.grade) else []
    moved = [(name, max(before.regimes.get(name, 0.0), FLOOR), max(margin, FLOOR)) for name, margin in _named(now)]
    worse = [(name, was, is_) for name, was, is_ in moved if is_ > factor * was]
    worse.sort(key=lambda move: (move[0] != ANY, move[1] / move[2]))
    return found + [Change(name, shown(was), shown(is_)) for name, was, is_ in worse]


def shown(margin: float) -> str:
    """Write a margin as people read it."""
    return f"{FLOOR} or less" if margin <= FLOOR else f"{margin:.2g}"


def settled(before: Margins | None, now: Margins) -> Margins:
    """Give what to keep of a new run: what is above the floor, rounded, and as it was unless it moved by a factor of 2.

    The margin over all inputs is kept whatever it is, so that one sees that there is one.
    """
    old = before.regimes if before else {}
    return Margins(now.grade, dict(_settled(old, now)))


def _settled(old: Mapping[str, float], now: Margins) -> Iterator[tuple[str, float]]:
    for name, margin in _named(now):
        was, is_ = old.get(name, FLOOR), max(float(f"{margin:.2g}"), FLOOR)
        value = was if is_ / 2 <= was <= is_ * 2 else is_
        if value > FLOOR or name == ANY:
            yield name, value


def _named(margins: Margins) -> list[tuple[str, float]]:
    return sorted(margins.regimes.items())


def _lost(before: str, now: str) -> bool:
    ranks = [_GRADES.index(grade) if grade in _GRADES else 0 for grade in (before, now)]
    return 0 < ranks[1] < ranks[0]
