"""Arguments whose regimes are counted, though they are no `Case`: drawn one by one, or made of a case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from hypothesis import strategies as st

from gradcheck.strategies.case import Case, WeightedCase
from gradcheck.strategies.latest import remembered
from gradcheck.strategies.options import Array
from gradcheck.strategies.regimes import ASK_FOR_LABELS
from gradcheck.strategies.visited import regimes_of

__all__ = ["Arguments", "Part", "carried", "counted", "marked", "part_of"]

T = TypeVar("T")


class Arguments(tuple[Any, ...]):
    """The arguments of a rule, as a tuple that knows the regimes it is in.

    Attributes
    ----------
    regimes, offered : frozenset of str
        As those of a `Case`.
    """

    regimes: frozenset[str] = frozenset()
    offered: frozenset[str] = frozenset()

    @classmethod
    def of(cls, args: Sequence[Any], regimes: frozenset[str], offered: frozenset[str]) -> Arguments:
        """Attach regimes to arguments."""
        made = cls(args)
        made.regimes, made.offered = regimes, offered
        return remembered(made)


@dataclass(frozen=True)
class Part:
    """What one argument is to the regimes, and which of them its strategy offers.

    Attributes
    ----------
    name : str
        Logits "z", labels "y", or "weights".
    offered : frozenset of str
    ignore_index : int or None
        Of labels.
    logits : numpy.ndarray or None
        The array that labels or weights were drawn for.
    """

    name: Literal["z", "y", "weights"]
    offered: frozenset[str]
    ignore_index: int | None = None
    logits: Array | None = None


def marked(strategy: st.SearchStrategy[T], part: Part) -> st.SearchStrategy[T]:
    """Note on a strategy what it draws; whatever is mapped or filtered from it is another, and has no note."""
    vars(strategy)["_gradcheck_part"] = part
    return strategy


def part_of(strategy: st.SearchStrategy[Any]) -> Part | None:
    """Return what `marked` noted, or None."""
    part: Part | None = vars(strategy).get("_gradcheck_part")
    return part


def counted(args: tuple[Any, ...], parts: Sequence[Part | None]) -> tuple[Any, ...]:
    """Let arguments know their regimes, if there are logits among them.

    Of several logits, those with labels count, else the first. Where none have labels, regimes that ask for them are
    neither visited nor offered.
    """
    drawn = [(arg, part) for arg, part in zip(args, parts, strict=True) if part is not None]
    logits = [(arg, part) for arg, part in drawn if part.name == "z"]
    if not logits:
        return args
    beside = [{p.name: (arg, p) for arg, p in reversed(drawn) if p.logits is z} for z, _ in logits]
    (z, part), found = next((one for one in zip(logits, beside, strict=True) if "y" in one[1]), (logits[0], {}))
    if not found:
        return Arguments.of(args, regimes_of(z), part.offered - ASK_FOR_LABELS)
    y, labels = found["y"]
    weights = found["weights"][0] if "weights" in found else None
    offered = part.offered.union(*(other.offered for _, other in found.values()))
    return Arguments.of(args, regimes_of(z, y, weights, labels.ignore_index), offered)


def carried(case: Case | WeightedCase | Arguments, args: Sequence[Any]) -> Arguments:
    """Make arguments of a case that stand for the same logits and labels, and so are in the same regimes."""
    return Arguments.of(args, case.regimes, case.offered)
