"""Which regimes may go together, and the sizes that are left to them.

A case has a regime of sizes, one of values and one of labels. Each narrows N and K; combinations that leave
no size are dropped before anything is drawn, so that no draw is ever rejected.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.errors import InvalidArgument
from gradcheck.strategies.entries import Choice, Source
from gradcheck.strategies.options import (
    CLASSES,
    ROWS,
    Count,
    check_count,
    check_dtype,
    check_gap,
    check_names,
)
from gradcheck.strategies.regime import Kind, Regime
from gradcheck.strategies.regimes import REGIMES

KINDS: tuple[Kind, ...] = ("sizes", "values", "labels")
_CHOICES = {"sizes": Choice.SIZES, "values": Choice.VALUES, "labels": Choice.LABELS}
# Sizes that no regime settles have what most regimes need. Where the options forbid that, anything goes.
_ANY_SIZES = Regime("any sizes", "sizes", "", classes=(2, sys.maxsize))
_ALL_SIZES = Regime("all sizes", "sizes", "", rows=(0, sys.maxsize))
_ANY_LABELS = Regime("any labels", "labels", "", rows=(0, sys.maxsize))
# Three cases in five have sizes of no regime; each of the four regimes has one in ten. More would be a waste
# (no rows teach little), and 100 cases miss one with a chance of 0.9^100 = 3e-5.
_FREE_SIZES = 6


@dataclass(frozen=True)
class Sizes:
    """The numbers of rows N and classes K that are left: ascending, the same for both where `square`."""

    rows: Sequence[int]
    classes: Sequence[int]
    square: bool = False

    @classmethod
    def of(cls, rows: Count, classes: Count) -> Sizes:
        """Read what a user passed as ``rows=`` and ``classes=``."""
        return cls(check_count("rows", rows, ROWS), check_count("classes", classes, CLASSES))

    def __str__(self) -> str:
        return f"N in {self.rows[0]}..{self.rows[-1]}, K in {self.classes[0]}..{self.classes[-1]}"

    def within(self, regime: Regime) -> Sizes | None:
        """Return the sizes that suit `regime` too, or None where there are none."""
        rows, classes = _between(self.rows, regime.rows), _between(self.classes, regime.classes)
        square = self.square or regime.square
        if square:
            rows = classes = _common(rows, classes)
        return Sizes(rows, classes, square) if rows and classes else None

    def read(self, source: Source) -> tuple[int, int]:
        """Read (N, K); the smallest are the simplest."""
        rows = self.rows[source.pick(Choice.ROWS, len(self.rows))]
        classes = self.classes[source.pick(Choice.CLASSES, len(self.classes))]
        return rows, rows if self.square else classes


def _between(sizes: Sequence[int], ends: tuple[int, int]) -> Sequence[int]:
    return sizes[bisect_left(sizes, ends[0]) : bisect_right(sizes, ends[1])]


def _common(one: Sequence[int], other: Sequence[int]) -> Sequence[int]:
    if not one or not other:
        return ()
    return [n for n in _between(one, (other[0], other[-1])) if n in other]


# What may be chosen first, and for each what may follow; at the end, the sizes that are left.
Choices = list[tuple[Regime, "Choices"]] | Sizes


def _choices(left: Sizes, kinds: Sequence[Sequence[Regime]]) -> Choices:
    if not kinds:
        return left
    found: list[tuple[Regime, Choices]] = []
    for regime in kinds[0]:
        narrowed = left.within(regime)
        if narrowed is not None and (rest := _choices(narrowed, kinds[1:])):
            found.append((regime, rest))
    return found


def _names(choices: Choices) -> set[str]:
    if isinstance(choices, Sizes):
        return set()
    return {name for regime, rest in choices for name in {regime.name} | _names(rest)}


@dataclass(frozen=True)
class Plan:
    """What one case is going to be."""

    values: Regime
    labels: Regime
    rows: int
    classes: int


@dataclass(frozen=True)
class Menu:
    """Everything that the options of a strategy allow."""

    choices: Choices
    dtype: np.dtype[Any]
    gap: float

    @classmethod
    def of(
        cls,
        sizes: Sizes,
        *,
        dtype: Any = "float64",
        regimes: Iterable[str] | None = None,
        gap: float | None = None,
        kinds: Sequence[Kind] = KINDS,
    ) -> Menu:
        """Check the options, lay out what they allow of the regimes of some kinds."""
        known, most = check_dtype(dtype), check_gap(gap)
        of_kinds = {name: regime for name, regime in REGIMES.items() if regime.kind in kinds}
        named = check_names("regimes", regimes, of_kinds)
        fitting = {
            name: regime
            for name, regime in of_kinds.items()
            if sizes.within(regime) and regime.scales(known.name, most)
        }
        _require(named, fitting, f"does not apply to {sizes}, gap={gap} and {known.name}")
        choices = _choices(sizes, _kinds(sizes, [fitting[name] for name in named or fitting], named is None))
        _require(
            named,
            _names(choices),
            "cannot be combined with the others, and a case has one of every kind named (sizes, values, labels)",
        )
        return cls(choices, known, most)

    def read(self, source: Source) -> Plan:
        """Read one regime of each kind, then N and K."""
        left, chosen = self.choices, {}
        while not isinstance(left, Sizes):
            regime, left = left[source.pick(_CHOICES[left[0][0].kind], len(left))]
            chosen[regime.kind] = regime
        return Plan(chosen["values"], chosen["labels"], *left.read(source))


def _require(named: Iterable[str] | None, among: Container[str], otherwise: str) -> None:
    for name in named or ():
        if name not in among:
            raise InvalidArgument(f"regimes={named!r}: {name!r} {otherwise}; leave it out or allow what it needs")


def _kinds(sizes: Sizes, regimes: Sequence[Regime], every: bool) -> list[list[Regime]]:
    """Sort the regimes by kind, and add to each kind what is drawn where no regime of it is."""
    by_kind = {kind: [r for r in regimes if r.kind == kind] for kind in KINDS}
    free = _ANY_SIZES if sizes.within(_ANY_SIZES) else _ALL_SIZES
    if every:
        by_kind["sizes"] = [free] * _FREE_SIZES + by_kind["sizes"]
        by_kind["labels"] = [_ANY_LABELS, *by_kind["labels"]]
    return [
        by_kind["sizes"] or [free],
        by_kind["values"] or [REGIMES["ordinary"]],
        by_kind["labels"] or [_ANY_LABELS],
    ]
