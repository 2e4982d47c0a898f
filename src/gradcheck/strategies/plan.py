"""Which regimes may go together, and the sizes that are left to them.

A case has one regime of each kind, or none of that kind. Each narrows N and K; combinations that leave no size are
dropped before anything is drawn, so that no draw is ever rejected.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gradcheck.errors import InvalidArgument
from gradcheck.strategies.entries import Choice, Source
from gradcheck.strategies.options import (
    CLASSES,
    ROWS,
    Count,
    check_around,
    check_count,
    check_dtype,
    check_gap,
    check_index,
    check_names,
)
from gradcheck.strategies.regime import KINDS, Allowed, Draft, Kind, Option, Regime, Terms
from gradcheck.strategies.regimes import POWERS, REGIMES

_CHOICES = {kind: Choice[kind.upper()] for kind in KINDS}
_SCALES = {kind: Choice[f"{kind.upper()}_SCALE"] for kind in KINDS}


def _equal_weights(draft: Draft, _: float) -> None:
    draft.weights[:] = draft.weights[0]


# What is drawn of a kind where no regime of it is.
_PLAIN = {kind: Regime(f"plain {kind}", kind, "", rows=(0, sys.maxsize)) for kind in KINDS}
_PLAIN["weights"] = replace(_PLAIN["weights"], make=_equal_weights)
# Where sizes are left out: what a block of 32 does with a tail, one of 64 does too.
_SMALL_POWERS = frozenset(power for power in POWERS if power <= 33)
# Of eleven cases four have sizes of no regime; each of the seven regimes has one. More would be a waste (no rows teach
# little), and 100 cases miss one with a chance of (10/11)^100 = 7e-5.
_FREE_SIZES = 4
# Where classes come in blocks, a sum that is carried from block to block breaks where one end towers over a block, and
# of all cases a third have a block more and a tail. With one share more than others, one case in twenty is both.
_TOWERS = 1


@dataclass(frozen=True)
class Sizes:
    """The numbers of rows N and classes K that are left: ascending, the same for both where `square`.

    `free` are the ways to draw them where no regime settles them, `blocked` whether they are about a block.
    """

    rows: Sequence[int]
    classes: Sequence[int]
    square: bool = False
    free: tuple[Regime, ...] = field(default=(), compare=False)
    blocked: bool = field(default=False, compare=False)

    @classmethod
    def of(cls, rows: Count, classes: Count, around: int | None = None) -> Sizes:
        """Read what a user passed as ``rows=``, ``classes=`` and ``around=``."""
        about = check_around(around)
        n, k = (
            check_count(name, count, pool) if count is not None else tuple(sorted({*pool, *(about or _SMALL_POWERS)}))
            for name, count, pool in (("rows", rows, ROWS), ("classes", classes, CLASSES))
        )
        # Sizes that no regime settles have what most regimes need. Where the options forbid that, anything goes.
        few_n: Allowed = (1, sys.maxsize) if rows is not None else frozenset(ROWS) - {0}
        few_k: Allowed = (2, sys.maxsize) if classes is not None else frozenset(CLASSES) - {1}
        wanted = _about(few_n, few_k, frozenset(about)) if about else [(few_n, few_k)]
        ways = (Regime("free sizes", "sizes", "", rows=one, classes=other) for one, other in wanted)
        sizes = cls(n, k)
        free = tuple(way for way in ways if sizes.within(way))
        if about and not free:
            raise InvalidArgument(f"around={around!r}: none of {about} is among {sizes}; leave rows= or classes= out")
        return cls(n, k, free=free or (_PLAIN["sizes"],), blocked=bool(about))

    def __str__(self) -> str:
        return f"N in {self.rows[0]}..{self.rows[-1]}, K in {self.classes[0]}..{self.classes[-1]}"

    def within(self, regime: Regime) -> Sizes | None:
        """Return the sizes that suit `regime` too, or None where there are none."""
        rows, classes = _between(self.rows, regime.rows), _between(self.classes, regime.classes)
        square = self.square or regime.square
        if square:
            rows = classes = _between(rows, frozenset(classes))
        return Sizes(rows, classes, square) if rows and classes else None

    def read(self, source: Source) -> tuple[int, int]:
        """Read (N, K); the smallest are the simplest."""
        rows = self.rows[source.pick(Choice.ROWS, len(self.rows))]
        classes = self.classes[source.pick(Choice.CLASSES, len(self.classes))]
        return rows, rows if self.square else classes


def _about(few_n: Allowed, few_k: Allowed, about: Allowed) -> list[tuple[Allowed, Allowed]]:
    """Bring rows to the end of a block, or classes, or both: rules cut up the one or the other."""
    return [(few_n, about), (about, few_k), (about, about)]


def _between(sizes: Sequence[int], allowed: Allowed) -> Sequence[int]:
    if isinstance(allowed, frozenset):
        return tuple(sorted(size for size in allowed if size in sizes))
    return sizes[bisect_left(sizes, allowed[0]) : bisect_right(sizes, allowed[1])]


# What may be chosen first, and for each what may follow; at the end, the sizes that are left.
Choices = list[tuple[Regime, "Choices"]] | Sizes


def _choices(left: Sizes, kinds: Sequence[Sequence[Regime]], known: dict[Any, Choices]) -> Choices:
    """Lay out what may follow; what was laid out before for the same sizes is used again."""
    if not kinds:
        return left
    key = left, len(kinds)
    if key not in known:
        found: list[tuple[Regime, Choices]] = []
        for regime in kinds[0]:
            narrowed = left.within(regime)
            if narrowed is not None and (rest := _choices(narrowed, kinds[1:], known)):
                found.append((regime, rest))
        known[key] = found
    return known[key]


def _names(laid_out: Iterable[Choices]) -> frozenset[str]:
    entries = (entry for choices in laid_out if not isinstance(choices, Sizes) for entry in choices)
    return frozenset(regime.name for regime, rest in entries if rest)


@dataclass(frozen=True)
class Plan:
    """What one case is going to be: a regime of each kind that there is a choice of, and a scale for it."""

    regimes: dict[Kind, tuple[Regime, float]]
    rows: int
    classes: int

    def make(self, kind: Kind, draft: Draft) -> None:
        """Write the regime of a kind into a draft."""
        if kind in self.regimes:
            regime, scale = self.regimes[kind]
            regime.make(draft, scale)


@dataclass(frozen=True)
class Menu:
    """Everything that the options of a strategy allow; `offered` are the regimes among it."""

    choices: Choices = field(repr=False)  # Hypothesis shows the arguments of strategies
    offered: frozenset[str]
    dtype: np.dtype[Any]
    terms: Terms

    @classmethod
    def of(
        cls,
        sizes: Sizes,
        *,
        dtype: Any = "float64",
        regimes: Iterable[str] | None = None,
        gap: float | None = None,
        ignore_index: int | None = None,
        kinds: Sequence[Kind] = KINDS,
        options: Container[Option | None] = (None,),
    ) -> Menu:
        """Check the options, lay out what they allow of the regimes of some kinds."""
        known = check_dtype(dtype)
        terms = Terms(known.name, check_gap(gap), check_index(ignore_index))
        of_kinds = {name: regime for name, regime in REGIMES.items() if regime.kind in kinds}
        named = check_names("regimes", regimes, of_kinds)
        for name in named or ():
            if (option := of_kinds[name].option) not in options:
                raise InvalidArgument(f"regimes={named!r}: {name!r} needs the option {option}")
        fitting = {
            name: regime
            for name, regime in of_kinds.items()
            if regime.option in options and sizes.within(regime) and regime.scales(terms)
        }
        _require(named, fitting, f"does not apply to {sizes}, gap={gap} and {known.name}")
        known_choices: dict[Any, Choices] = {}
        by_kind = _by_kind(sizes, fitting, named)
        choices = _choices(sizes, [by_kind[kind] for kind in KINDS if kind in kinds], known_choices)
        offered = _names(known_choices.values()) & REGIMES.keys()
        _require(named, offered, f"cannot be combined with the others, and a case has one of every kind ({_KINDS})")
        return cls(choices, offered, known, terms)

    def read(self, source: Source) -> Plan:
        """Read one regime of each kind with its scale, then N and K."""
        left, chosen = self.choices, {}
        while not isinstance(left, Sizes):
            regime, left = left[source.pick(_CHOICES[left[0][0].kind], len(left))]
            scales = regime.scales(self.terms)
            several = len(scales) > 1
            chosen[regime.kind] = regime, scales[source.pick(_SCALES[regime.kind], len(scales)) if several else 0]
        return Plan(chosen, *left.read(source))


_KINDS = ", ".join(KINDS)


def _require(named: Iterable[str] | None, among: Container[str], otherwise: str) -> None:
    for name in named or ():
        if name not in among:
            raise InvalidArgument(f"regimes={named!r}: {name!r} {otherwise}; leave it out or allow what it needs")


def _by_kind(sizes: Sizes, fitting: dict[str, Regime], named: Sequence[str] | None) -> dict[Kind, Sequence[Regime]]:
    """Sort the regimes by kind, and add to each kind what is drawn where no regime of it is.

    Whoever names regimes gets no others of those kinds, nor of kinds that need no option: an option is a wish, too.
    """
    found: dict[Kind, Sequence[Regime]] = {}
    for kind in KINDS:
        every = [regime for regime in fitting.values() if regime.kind == kind]
        wanted = [regime for regime in every if regime.name in (named or ())]
        drawn = [regime for regime in every if regime.option or named is None]
        if kind == "values" and sizes.blocked:
            drawn += [regime for regime in drawn if regime.name == "towering"] * _TOWERS
        found[kind] = wanted or [*_plain(kind, sizes, drawn), *drawn]
    return found


def _plain(kind: Kind, sizes: Sizes, besides: Sequence[Regime]) -> Sequence[Regime]:
    if kind == "sizes":
        return sizes.free * math.ceil(_FREE_SIZES / len(sizes.free))
    if kind == "values":  # where the plain ones are a regime among the others
        return () if besides else (REGIMES["ordinary"],)
    return (_PLAIN[kind],)
