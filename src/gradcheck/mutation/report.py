"""What a power run found out, as data and as text."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gradcheck.mutation.answers import Smallest
from gradcheck.mutation.mutant import Change

__all__ = ["Killed", "PowerReport", "Survivor"]

_WIDTH = 100
_SCHEMA = 1


@dataclass(frozen=True)
class Killed:
    """A mutant that the check kills: by its numbers, a law, because it raised, or because nothing could judge it."""

    change: Change
    by: str

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON takes it."""
        return {**self.change.as_dict(), "by": self.by}


@dataclass(frozen=True)
class Survivor:
    """A mutant that passes the check and is not the rule.

    ``at`` is an input that shows it: the shapes of its arrays, and its regimes. ``by`` is what kills it there:
    "numbers", a law, "raised", "undecided", or "nothing". ``share`` is how many of the inputs tried show a difference.
    """

    change: Change
    at: str
    by: str
    share: float

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON takes it."""
        return {**self.change.as_dict(), "at": self.at, "by": self.by, "share": self.share}


@dataclass(frozen=True)
class PowerReport:
    """What a check would have missed: true exactly if it kills every mutant that can be told from the rule.

    A check that was stopped before all mutants were tried is not true, nor is one that no mutant was made for.

    Parameters
    ----------
    rule : str
        The rule's name.
    examples : int
        How many points the check judges; Hypothesis may have fewer than it was asked for.
    seed : int
        Of the check.
    killed, survivors : tuple
        The mutants that can be told from the rule.
    alike : tuple of Change
        Those that answer as the rule does on ten times the examples and on others like them, but for rounding, and
        for which derivative they take on a kink.
    untried : tuple of Change
        Those that there was no time for.
    smallest : tuple of Smallest
        The smallest error that would have been seen in each array.
    seconds : float
        How long it took, the check itself included.
    stopped : str
        Why it stopped early, empty where it did not.
    notes : tuple of str
        What could not be mutated, and why.
    """

    rule: str
    examples: int
    seed: int
    killed: tuple[Killed, ...] = ()
    survivors: tuple[Survivor, ...] = ()
    alike: tuple[Change, ...] = ()
    untried: tuple[Change, ...] = ()
    smallest: tuple[Smallest, ...] = ()
    seconds: float = 0.0
    stopped: str = ""
    notes: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """The share of killed mutants among those that can be told from the rule; NaN where there is none."""
        told = len(self.killed) + len(self.survivors)
        return len(self.killed) / told if told else float("nan")

    @property
    def tried(self) -> int:
        """How many mutants were tried."""
        return len(self.killed) + len(self.survivors) + len(self.alike)

    def __bool__(self) -> bool:
        return bool(self.killed) and not self.survivors and not self.untried

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    @property
    def line(self) -> str:
        """The report in a line."""
        told = len(self.killed) + len(self.survivors)
        none = "no mutant could be told from the rule" if self.tried or not self.untried else "no mutant was tried"
        kills = f"kills {len(self.killed)} of {told} mutants" if told else none
        if told and self.survivors:
            kills += f" ({100 * self.rate:.0f} %)"
        alike = f", {len(self.alike)} not distinguished" if self.alike else ""
        untried = f", {len(self.untried)} not tried" if self.untried else ""
        return f"{kills}{alike}{untried}"

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON takes it: numbers, strings, lists and dicts."""
        return {
            "schema": _SCHEMA,
            "rule": self.rule,
            "examples": self.examples,
            "seed": self.seed,
            "rate": None if self.rate != self.rate else self.rate,
            "killed": [killed.as_dict() for killed in self.killed],
            "survivors": [survivor.as_dict() for survivor in self.survivors],
            "alike": [change.as_dict() for change in self.alike],
            "untried": [change.as_dict() for change in self.untried],
            "smallest": [{"path": s.path, "array": _number(s.array), "entry": _number(s.entry)} for s in self.smallest],
            "seconds": self.seconds,
            "stopped": self.stopped,
            "notes": list(self.notes),
        }


def _number(value: float) -> float | None:
    """JSON has no infinity."""
    return value if value < float("inf") else None


def _lines(report: PowerReport) -> Iterator[str]:
    yield f"{report.rule}: {report.line}"
    yield f"  {report.examples} examples, seed {report.seed}, {report.seconds:.1f} s"
    if report.stopped:
        total = report.tried + len(report.untried)
        yield f"  {report.stopped}: {report.tried} of {total} mutants tried"
    if report.killed:
        causes = Counter(killed.by for killed in report.killed).most_common()
        yield from _field("killed by", ", ".join(f"{cause} {count}" for cause, count in causes))
    for small in report.smallest:
        yield from _field("would have seen", _seen(small))
    for note in report.notes:
        yield from _field("note", note)
    for survivor in report.survivors:
        yield from _survivor(survivor)
    yield from _alike(report.alike)


def _alike(changes: Sequence[Change]) -> Iterator[str]:
    """List the mutants that may be the same function: edits one by one, mistakes in a line."""
    if not changes:
        return
    yield "\nnot distinguished: these answer as the rule does, but for rounding and on kinks"
    for change in changes:
        if change.diff:
            yield from _wrapped(str(change), "  ", "      ")
            yield textwrap.indent(change.diff, "      ")
    mistakes = [change.says for change in changes if not change.diff]
    if mistakes:
        yield from _wrapped(
            f"mistakes that do not apply, or at a coincidence only: {', '.join(mistakes)}", "  ", "    "
        )


def _survivor(survivor: Survivor) -> Iterator[str]:
    yield ""
    yield from _wrapped(f"survives: {survivor.change}", "", "  ")
    if survivor.change.diff:
        yield textwrap.indent(survivor.change.diff, "  ")
    told = f"killed by {survivor.by} at" if survivor.by != "nothing" else "passes all the same at"
    share = f"{100 * survivor.share:.0f} %" if survivor.share >= 0.01 else "less than 1 %"
    yield from _wrapped(f"{told} {survivor.at} (differs at {share} of the inputs tried)", "  ", "    ")


def _seen(small: Smallest) -> str:
    if small.array == small.entry == float("inf"):
        return f"not even an error of a tenth in {small.path}"
    parts = [
        f"{size:.0e} of {what}" if size < float("inf") else f"not even a tenth of {what}"
        for what, size in (("all its entries", small.array), ("its last entry alone", small.entry))
    ]
    return f"in {small.path}: {', '.join(parts)}"


def _field(label: str, text: str) -> Iterator[str]:
    yield from _wrapped(f"{label}: {text}", "  ", "    ")


def _wrapped(text: str, first: str, others: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=others, break_on_hyphens=False)
