"""All laws in the order in which they are asked, and the asking."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Protocol

from gradcheck.errors import InvalidArgument
from gradcheck.laws import (
    class_permutation,
    contract,
    deterministic,
    fresh_results,
    independent_rows,
    layouts,
    linear,
    moving_gradient,
    no_state,
    pullback,
    pure,
    row_permutation,
    row_sums,
    shift,
    sizes,
)
from gradcheck.laws.breach import Breach
from gradcheck.laws.subject import Answer, Subject
from gradcheck.rule import Point, Rule
from gradcheck.tree import Flat

__all__ = [
    "BROKEN",
    "HELD",
    "LAWS",
    "LEFT",
    "NAMES",
    "NUMERIC",
    "OFF",
    "OPTIONAL",
    "PREREQUISITES",
    "PRIMAL",
    "UNFIT",
    "Law",
    "as_names",
    "ask",
    "hear",
    "together",
]


class Law(Protocol):
    """What a rule must do, whatever its function is; each is a module of this shape."""

    def applies(self, subject: Subject, /) -> str | None:
        """Say why the law does not apply; None if it does."""

    def broken(self, subject: Subject, /) -> Breach | None:
        """Say how a law that applies is broken; None if it holds."""


# What any number needs to mean something.
PREREQUISITES: Mapping[str, Law] = MappingProxyType(
    {
        "contract": contract,
        "pure": pure,
        "deterministic": deterministic,
        "pullback": pullback,
        "no state": no_state,
        "fresh results": fresh_results,
    }
)
# What is asked of a rule whose numbers are not known to be wrong.
NUMERIC: Mapping[str, Law] = MappingProxyType(
    {
        "linear": linear,
        "moving gradient": moving_gradient,
        "layouts": layouts,
        "sizes": sizes,
        "row sums": row_sums,
        "shift": shift,
        "class permutation": class_permutation,
        "row permutation": row_permutation,
        "independent rows": independent_rows,
    }
)
LAWS: Mapping[str, Law] = MappingProxyType({**PREREQUISITES, **NUMERIC})

PRIMAL = "primal"  # the value beside the pullback is the forward's; judged beside the numbers, by what they are made of
NAMES = (*PREREQUISITES, PRIMAL, *NUMERIC)
# All but the contract, without which there are no numbers to compare.
OPTIONAL = tuple(name for name in NAMES if name != "contract")

HELD, BROKEN, OFF, UNFIT = "held", "broken", "switched off", "does not apply: "
LEFT = "left to other points"

# Where points follow one another, each asks one half: what a journey elsewhere and back shows, or what other rows,
# classes and numbers of rows do. A mistake in how a rule is called shows at most points, and one in an order at many:
# of a hundred, fifty are as good. Layouts are the exception, since each is met at few points as it is.
TURNS: tuple[frozenset[str], frozenset[str]] = (
    frozenset({"pure", "deterministic", "pullback", "no state", "fresh results", "linear", "moving gradient"}),
    frozenset({"sizes", "row sums", "shift", "class permutation", "row permutation", "independent rows"}),
)


def as_names(without: Collection[str]) -> frozenset[str]:
    """Take names of laws that can be switched off, and nothing else.

    Raises
    ------
    InvalidArgument
        If something else is among them.
    """
    if isinstance(without, str) or not isinstance(without, Collection):
        shown = f"without={without!r} ({type(without).__name__})"
        raise InvalidArgument(
            f"without must be a tuple of names of laws, got {shown}: write without=({OPTIONAL[0]!r},)"
        )
    for name in without:
        if name not in OPTIONAL:
            raise InvalidArgument(
                f"without names {name!r}, which is no law that can be switched off; those are {', '.join(OPTIONAL)}"
            )
    return frozenset(without)


def hear(laws: Mapping[str, Law], subject: Subject, without: Collection[str]) -> tuple[Breach | None, dict[str, str]]:
    """Ask laws in turn until one is broken, and take down what became of each that was asked."""
    said = {}
    for name, law in laws.items():
        if name in without:
            said[name] = OFF
        elif not subject.thorough and name in TURNS[1 - subject.turn]:
            said[name] = LEFT
        elif reason := law.applies(subject):
            said[name] = UNFIT + reason
        elif breach := law.broken(subject):
            return breach, {**said, name: BROKEN}
        else:
            said[name] = HELD
    return None, said


def together(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    """Add up what became of the laws at two points: one that applied at either has applied."""
    news = {name: said for name, said in other.items() if one.get(name) != HELD and (said != LEFT or name not in one)}
    return {**one, **news}


def ask(rule: Rule, point: Point, flat: Flat) -> Answer | Breach:
    """Run a rule at a point and return its answer, or the first law it breaks of those that any number needs.

    Raises
    ------
    RuleError
        If the forward raises: the point then lies outside the rule's domain, or its data are bad.
    """
    subject = Subject(rule, point, flat)
    breach, _ = hear(PREREQUISITES, subject, ())
    return breach or subject.answer
