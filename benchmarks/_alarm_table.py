"""What was seen of right gradients, added up, and the tables, bounds and drift that are made of it."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

from _tables import laid_out

FLAGGED, UNDECIDED, VACUOUS, PASSED = "flagged", "undecided", "vacuous", "passed"

# Zero of 100,000 says, with 95% confidence, fewer than one in 33,000 (the rule of three).
ALARMS = 0
UNDECIDED_OVERALL, UNDECIDED_ANYWHERE = 1e-3, 1e-2
# Upper ends of the bins of error over allowance; what is beyond the last would be wrong.
EDGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
UNCOUNTED = "regimes not counted"  # of what strategies without regimes draw

Row: TypeAlias = list[str]


@dataclass(frozen=True)
class Seen:
    """What a check said of one example; ``ratio`` is the worst error over what is allowed, None if not measured."""

    word: str
    ratio: float | None = 0.0
    entries: int = 0
    unresolved: int = 0


@dataclass
class Tally:
    """Examples of one rule, one regime or one dtype, added up."""

    examples: int = 0
    flagged: int = 0
    undecided: int = 0
    vacuous: int = 0
    entries: int = 0
    unresolved: int = 0
    worst: float = 0.0
    histogram: list[int] = field(default_factory=lambda: [0] * (len(EDGES) + 1))

    def see(self, seen: Seen) -> None:
        """Count one example."""
        self.examples += 1
        self.flagged += seen.word == FLAGGED
        self.undecided += seen.word == UNDECIDED
        self.vacuous += seen.word == VACUOUS
        self.entries += seen.entries
        self.unresolved += seen.unresolved
        if seen.ratio is not None:
            self.worst = max(self.worst, seen.ratio)
            self.histogram[bisect_left(EDGES, seen.ratio)] += 1

    def add(self, other: Tally) -> None:
        """Add up what was counted elsewhere."""
        for name in ("examples", "flagged", "undecided", "vacuous", "entries", "unresolved"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.worst = max(self.worst, other.worst)
        self.histogram = [a + b for a, b in zip(self.histogram, other.histogram, strict=True)]

    def cells(self) -> Row:
        """Write it as cells of a table."""
        share = f"{self.unresolved / self.entries:.1%}" if self.entries else "none"
        counts = (self.examples, self.flagged, self.undecided, self.vacuous)
        return [*map(str, counts), share, f"{self.worst:.2g}"]


@dataclass(frozen=True)
class Alarm:
    """An example that a right gradient was flagged or left undecided at, with the code that checks it again."""

    rule: str
    word: str
    why: str
    regimes: list[str]
    code: str


@dataclass
class Part:
    """What was seen of some examples of one rule, by regime and together.

    ``outside`` counts points that were drawn though they are outside the domain, ``open`` the vacuous examples by the
    arrays that they showed nothing of, and ``resolved`` the arrays that some example showed something of.
    """

    rule: str
    dtype: str
    together: Tally = field(default_factory=Tally)
    regimes: dict[str, Tally] = field(default_factory=dict)
    offered: set[str] = field(default_factory=set)
    alarms: list[Alarm] = field(default_factory=list)
    open: Counter[tuple[str, ...]] = field(default_factory=Counter)
    resolved: set[str] = field(default_factory=set)
    outside: int = 0
    seconds: float = 0.0

    def add(self, other: Part) -> None:
        """Add up more examples of the same rule."""
        self.together.add(other.together)
        for name, tally in other.regimes.items():
            self.regimes.setdefault(name, Tally()).add(tally)
        self.offered |= other.offered
        self.alarms += other.alarms
        self.open += other.open
        self.resolved |= other.resolved
        self.outside += other.outside
        self.seconds += other.seconds

    @property
    def never_resolved(self) -> int:
        """How many examples showed nothing of an array that no other did: `gradcheck.verify` is undecided then."""
        return sum(count for paths, count in self.open.items() if not self.resolved.issuperset(paths))


def total(tallies: Iterator[Tally]) -> Tally:
    """Add up tallies in a new one."""
    summed = Tally()
    for tally in tallies:
        summed.add(tally)
    return summed


def by_regime(parts: Sequence[Part]) -> dict[str, dict[str, Tally]]:
    """Add up the rules: dtype by dtype, for every regime."""
    found: dict[str, dict[str, Tally]] = {}
    for part in parts:
        for name, tally in part.regimes.items():
            found.setdefault(name, {}).setdefault(part.dtype, Tally()).add(tally)
    return found


def misses(parts: Sequence[Part]) -> list[str]:
    """Name every bound that was not held."""
    regimes = {name: total(iter(dtypes.values())) for name, dtypes in by_regime(parts).items()}
    whole = total(part.together for part in parts)
    never = sum(part.never_resolved for part in parts)
    found = [f"{part.rule}: {part.together.flagged} flagged" for part in parts if part.together.flagged > ALARMS]
    found += _too_many("all rules", whole.undecided + never, whole.examples, UNDECIDED_OVERALL)
    found += [f"{part.rule}: no example" for part in parts if not part.together.examples]
    for part in parts:
        open_ = part.together.undecided + part.never_resolved
        found += _too_many(part.rule, open_, part.together.examples, UNDECIDED_ANYWHERE)
    for name, tally in regimes.items():
        found += _too_many(f"regime {name!r}", tally.undecided, tally.examples, UNDECIDED_ANYWHERE)
    unvisited = set().union(*(part.offered for part in parts)) - regimes.keys()
    return found + [f"regime {name!r} is offered and was never visited" for name in sorted(unvisited)]


def _too_many(what: str, undecided: int, examples: int, bound: float) -> list[str]:
    if undecided <= bound * examples:
        return []
    return [f"{what}: {undecided} of {examples} undecided, more than {bound:.1%}"]


def page(parts: Sequence[Part], *, as_markdown: bool) -> str:
    """Lay out the tables: by dtype, by regime, and how the worst errors of the examples of each regime are spread."""
    write = partial(laid_out, as_markdown=as_markdown)
    head = ["examples", "flagged", "undecided", "vacuous", "unresolved", "worst"]
    dtypes = [["dtype", "rules", *head, "CPU ms"], *_dtype_rows(parts)]
    regimes = {name: total(iter(found.values())) for name, found in sorted(by_regime(parts).items())}
    ends = [*(f"{edge:g}" for edge in EDGES), "more"]
    return "\n\n".join(
        [
            write(dtypes),
            write([["regime", *head], *([name, *tally.cells()] for name, tally in regimes.items())]),
            "Examples whose worst error, over what is allowed, is at most:",
            write([["regime", *ends], *([name, *map(str, tally.histogram)] for name, tally in regimes.items())]),
        ]
    )


def _dtype_rows(parts: Sequence[Part]) -> Iterator[Row]:
    names = list(dict.fromkeys(part.dtype for part in parts))
    for name, chosen in [*((n, [p for p in parts if p.dtype == n]) for n in names), ("all", list(parts))]:
        tally = total(part.together for part in chosen)
        spent = sum(part.seconds for part in chosen) / max(tally.examples, 1)
        yield [name, str(len(chosen)), *tally.cells(), f"{spent * 1e3:.1f}"]


def drift(old: Mapping[str, Any], parts: Sequence[Part]) -> str:
    """Say how the worst error over allowance of each regime and dtype has moved since ``old`` was written."""
    then = {(regime, dtype): row["worst"] for regime, rows in old["regimes"].items() for dtype, row in rows.items()}
    now = {(name, dtype): tally.worst for name, rows in by_regime(parts).items() for dtype, tally in rows.items()}
    moved = {key: now[key] / then[key] for key in now.keys() & then.keys() if then[key] and now[key]}
    lines = [
        [f"{name}, {dtype}", f"{then[name, dtype]:.2g}", f"{now[name, dtype]:.2g}", f"{times:.2f}"]
        for (name, dtype), times in sorted(moved.items(), key=lambda item: -item[1])
    ]
    apart = sorted(f"{name}, {dtype}" for name, dtype in now.keys() ^ then.keys())
    one_sided = [f"In one of the runs only: {'; '.join(apart)}."] if apart else []
    return "\n".join(
        [laid_out([["worst error over allowance", "then", "now", "times"], *lines], as_markdown=False), *one_sided]
    )
