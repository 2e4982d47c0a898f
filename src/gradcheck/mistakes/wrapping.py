"""Rules whose pullback does something to what it is handed, or keeps it: mistakes that no wrong number stands for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradcheck.rule import Pullback, Rule
from gradcheck.tree import Array, leaves_of

__all__ = ["Asked", "arrays_in", "shapes", "wrapped"]


@dataclass(frozen=True, eq=False)
class Asked:
    """One call of a rule: the arguments as they were handed over, not copies, and the rule's own pullback."""

    rule: Rule
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    pullback: Pullback


def wrapped(rule: Rule, answer: Callable[[Asked, Any], Any]) -> Rule:
    """Make a rule of which ``answer(asked, cotangent)`` is the pullback."""

    def call(*args: Any, **kwargs: Any) -> tuple[Any, Pullback]:
        out, pullback = rule(*args, **kwargs)
        asked = Asked(rule, args, kwargs, pullback)
        return out, lambda cotangent: answer(asked, cotangent)

    return replace(rule, call=call)


def arrays_in(tree: Any) -> list[Array]:
    """List the NumPy arrays of a tree, themselves and not copies."""
    return [leaf for leaf in leaves_of(tree) if isinstance(leaf, np.ndarray)]


def shapes(tree: Any) -> tuple[Any, ...]:
    """Give the shapes and dtypes of a tree of arrays, as a key that tells nothing of the numbers."""
    return tuple((np.shape(leaf), str(getattr(leaf, "dtype", ""))) for leaf in leaves_of(tree))
