"""Mutants of what a rule returns: every named mistake, and errors of every size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gradcheck.mistakes import MISTAKES
from gradcheck.mistakes.making import injected
from gradcheck.mistakes.setting import Gradient, Setting
from gradcheck.mutation.mutant import Change, Mutant
from gradcheck.mutation.trial import Check
from gradcheck.rule import Rule
from gradcheck.tree import Array

__all__ = ["Smallest", "mistaken", "smallest"]

# No precision that is judged tells numbers closer than this from each other.
_DECADES = 17


def mistaken(rule: Rule) -> Iterator[Mutant]:
    """Yield the rule with every mistake that has a name."""
    for mistake in MISTAKES:
        yield Mutant(Change(mistake.name), mistake.inject(rule))


@dataclass(frozen=True)
class Smallest:
    """The smallest relative error, a power of ten, that a check would have seen in an array; inf if not even 0.1.

    ``array`` is for all of its entries, ``entry`` for its last one alone.
    """

    path: str
    array: float
    entry: float


def smallest(check: Check, path: str) -> Smallest:
    """Make an array wrong by less and less until the check does not notice."""
    return Smallest(path, _last_seen(check, path, slice(None)), _last_seen(check, path, -1))


def _last_seen(check: Check, path: str, entries: slice | int) -> float:
    seen = float("inf")
    for decade in range(1, _DECADES):
        size = 10.0**-decade
        killed = check.kills(_scaled(check.rule, path, entries, 1 + size))
        if killed is None:
            break
        seen = size
        # the point that shows this is the likeliest to show the next
        check = replace(check, examples=[killed[1], *(e for e in check.examples if e is not killed[1])])
    return seen


def _scaled(rule: Rule, path: str, entries: slice | int, factor: float) -> Rule:
    def wrong(setting: Setting) -> Gradient:
        pairs = zip(setting.paths, setting.gradient, strict=True)
        return tuple(_times(g, entries, factor) if p == path else g for p, g in pairs)

    return injected(rule, wrong)


def _times(array: Array, entries: slice | int, factor: float) -> Array:
    changed = array.copy()
    changed.reshape(-1)[entries] *= factor
    return changed
