"""The nouns of an answer: how one array compares, who voted, and what follows."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from gradcheck.laws import Breach
from gradcheck.tree import Array, every

__all__ = ["Discrepancy", "Grade", "Outcome", "Precision", "Verdict", "Vote", "as_float64", "rowmax"]


# Below so many entries a copy costs less than NumPy takes to make a view that repeats them.
_SPREAD = 2**10


class Outcome(enum.Enum):
    """What a check concludes. Only PASS counts as true."""

    PASS = "PASS"  # noqa: S105  not a password
    FAIL = "FAIL"
    UNDECIDED = "UNDECIDED"

    def __bool__(self) -> bool:
        return self is Outcome.PASS


class Grade(enum.IntEnum):
    """How accurate an entry is, best last."""

    UNKNOWN = 0  # the reference or its error is not known there
    WRONG = 1
    KINK = 2  # one of several derivatives, each right on its side of a kink
    LOSSY = 3  # off by the rule's own rounding, which scatters and is as large as its inputs explain
    NORM_WISE = 4  # within what the rounding of the largest entries of its row explains
    ENTRY_WISE = 5  # within what the rounding of its own summands explains


@dataclass(frozen=True)
class Precision:
    """A floating-point dtype: its unit round-off, below what magnitude numbers may vanish, and its largest number."""

    name: str
    unit: float
    tiny: float
    largest: float


@dataclass(frozen=True, eq=False)
class Discrepancy:
    """One differentiated array, compared entry by entry. All arrays have its shape, in float64.

    ``allowed`` is the allowance that each entry kept, or exceeded, the reference's own ``error`` included, and
    ``limit`` the widest, beyond which an entry is wrong, or a function that computes it: where all entries keep a
    tighter allowance, nothing else needs it. ``summands`` is the size of what each entry is the sum of; ``precision``
    is that of the rule's result.
    """

    path: str
    analytic: Array
    reference: Array
    error: Array
    allowed: Array
    limit: Array | Callable[[], Array]
    grade: Array
    precision: Precision
    summands: Array
    complete: bool = True  # False where only a sample of the entries was compared; the others are graded ENTRY_WISE

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the limit itself: what computes it holds a traced program."""
        return {**vars(self), "limit": self.widest}

    @property
    def at_a_glance(self) -> bool:
        """Whether all entries keep an allowance that takes no evidence but the size of their summands."""
        return callable(self.limit)

    @cached_property
    def widest(self) -> Array:
        """The widest allowance of each entry. Costly where it was not needed: several runs of the reference.

        NaN where those can no longer be made: of large arguments no copy is kept, and they were written over since.
        """
        return self.limit() if callable(self.limit) else self.limit

    @cached_property
    def difference(self) -> Array:
        """``|analytic - reference|``; infinite where the analytic entry is not finite and the reference is."""
        with np.errstate(all="ignore"):
            difference = np.abs(self.analytic - self.reference)
        return np.where(~np.isfinite(self.analytic) & np.isfinite(self.reference), np.inf, difference)

    @cached_property
    def wrong(self) -> Array:
        """Entries that are wrong."""
        return np.asarray(self.grade == int(Grade.WRONG))  # NumPy is slow to see what an enum is

    @cached_property
    def unknown(self) -> Array:
        """Entries that nothing could judge."""
        return np.asarray(self.grade == int(Grade.UNKNOWN))

    @cached_property
    def resolved(self) -> Array:
        """Entries whose true value is larger than the allowance they kept, so that agreement says something of them."""
        return np.asarray(np.abs(self.reference) > self.allowed)

    @cached_property
    def nonzero(self) -> Array:
        """Entries whose true value may not be taken for zero: it is known to be larger, or known too badly to tell."""
        larger = np.abs(self.reference) > self.error + self.precision.tiny
        return np.asarray(larger | (self.error > self.allowed - self.error))

    @cached_property
    def vacuous(self) -> bool:
        """Whether no entry is resolved although the truth is not zero: agreement here would mean nothing."""
        return every(~self.resolved) and not every(~self.nonzero)

    @cached_property
    def seen(self) -> float:
        """The smallest relative error of the whole array that would have been called wrong; inf for none.

        As costly as `widest`. NaN where that cannot be known any more: see there.
        """
        if np.all(np.isnan(self.widest)):
            return float("nan")
        with np.errstate(all="ignore"):
            ratio = self.widest / np.abs(self.reference)
        return float(np.min(ratio, initial=np.inf, where=np.isfinite(ratio)))

    @cached_property
    def worst_ulps(self) -> float:
        """The largest difference, in ulps of an entry's summands, or of its row's where only that is accurate."""
        size = np.maximum(np.abs(self.reference), self.summands)
        size = np.where(self.grade == Grade.NORM_WISE, rowmax(size), size)
        scale = np.maximum(2 * self.precision.unit * size, self.precision.tiny)
        # what is lossy is known to be off by more, and said apart; what no reference resolves has no ulps to count
        known = (self.grade > Grade.LOSSY) & (np.abs(self.reference) > self.error)
        return float(np.max(self.difference[known] / scale[known], initial=0.0))

    @cached_property
    def nearness(self) -> float:
        """The largest ratio of a difference to what was allowed, where that is finite; 0 where a glance was enough."""
        if self.at_a_glance:
            return 0.0
        ratio = np.divide(self.difference, self.allowed, out=np.zeros(self.allowed.shape), where=self.allowed > 0)
        return float(np.max(ratio, initial=0.0, where=np.isfinite(ratio)))

    def worst(self, count: int) -> list[tuple[int, ...]]:
        """Index the entries farthest beyond their allowance, worst first."""
        with np.errstate(all="ignore"):
            excess = np.where(self.wrong, self.difference / np.maximum(self.allowed, np.finfo(float).tiny), -1.0)
        order = np.argsort(-excess, axis=None, kind="stable")[: min(count, int(self.wrong.sum()))]
        return [tuple(int(i) for i in np.unravel_index(k, excess.shape)) for k in order]


@dataclass(frozen=True)
class Vote:
    """One oracle's word: whether it agrees with the rule (None if it abstains), and why or how closely."""

    oracle: str
    agrees: bool | None
    detail: str


@dataclass(frozen=True, eq=False)
class Verdict:
    """What is concluded about a rule at one point, with all the evidence.

    ``laws`` says of each law that was come to: "held", "broken", "switched off", "left to other points" where this is
    one of many, or "does not apply: " and why.
    """

    outcome: Outcome
    reason: str
    discrepancies: tuple[Discrepancy, ...] = ()
    votes: tuple[Vote, ...] = ()
    breach: Breach | None = None
    notes: tuple[str, ...] = ()
    laws: Mapping[str, str] = field(default_factory=dict)
    vacuous: bool = False  # undecided only because nothing of some array was large enough to be judged at this point

    @property
    def grade(self) -> str:
        """The grade of the worst entry, those on a kink apart."""
        grades = [int(g.min()) for d in self.discrepancies if (g := d.grade[d.grade != Grade.KINK]).size]
        return Grade(min(grades)).name.lower().replace("_", "-") if grades else "no entries"

    @property
    def seen(self) -> float:
        """The smallest relative error that would have been seen in the least resolved array.

        Costly: an agreement that needed no more than a glance is not enough to know it. A run over many examples does
        well to ask some of them.
        """
        seen = [d.seen for d in self.discrepancies if d.grade.size and np.any(d.nonzero)]
        return max(seen, default=float("inf"))

    @property
    def nearness(self) -> float:
        """How much of its allowance the worst entry uses up, of those in doubt; above 1 it is wrong."""
        return max((d.nearness for d in self.discrepancies), default=0.0)

    @property
    def worst_ulps(self) -> float:
        """The largest difference, in ulps of the summands."""
        return max((d.worst_ulps for d in self.discrepancies), default=0.0)


def rowmax(x: Array, factor: float = 1.0) -> Array:
    """Spread the largest entry of each row (along the last axis), times a factor, over the row."""
    if not x.ndim or not x.size:
        return factor * x
    largest = x.max(axis=-1, keepdims=True)
    if x.size > _SPREAD:
        return np.broadcast_to(factor * largest, x.shape)
    return np.asarray(np.multiply(largest, factor, out=np.empty(x.shape)))


def as_float64(array: Any) -> Array:
    """Widen any floating-point array to float64, exactly."""
    return np.asarray(array, dtype=np.float64)
