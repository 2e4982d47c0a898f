"""What every page of the catalogue is made of: a derivation as a rule, and what draws its arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gradcheck.adapters import from_pullback
from gradcheck.rule import Rule

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["Cases", "Entry", "entry"]

Cases = Callable[[str], "SearchStrategy[Any]"]


@dataclass(frozen=True)
class Entry:
    """One built-in derivation: its short name, its rule, and what draws its arguments in a given dtype."""

    name: str
    rule: Rule
    cases: Cases


def entry(
    name: str,
    derivation: Callable[..., Any],
    reference: Callable[..., Any],
    cases: Cases,
    argnums: int | tuple[int, ...] | None = None,
) -> Entry:
    """Pair a derivation with the restatement of its forward and with what draws its arguments."""
    rule = from_pullback(derivation, reference=reference, argnums=argnums, name=f"gradcheck.derivations/{name}")
    return Entry(name, rule, cases)
