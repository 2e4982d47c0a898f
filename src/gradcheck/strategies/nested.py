"""Arguments made of several arrays: dicts, lists and tuples of them, nested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """Return `tree` with `function` applied to whatever is no dict, list or tuple, from left to right."""
    if isinstance(tree, dict):
        return {key: map_leaves(function, value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        mapped = [map_leaves(function, value) for value in tree]
        # A named tuple takes its entries one by one.
        return type(tree)(*mapped) if hasattr(tree, "_fields") else type(tree)(mapped)
    return function(tree)


def leaves(tree: Any) -> list[Any]:
    """Return whatever in `tree` is no dict, list or tuple, from left to right.

    Examples
    --------
    >>> leaves({"W": 1.0, "b": (2, [3])})
    [1.0, 2, 3]
    """
    found: list[Any] = []
    map_leaves(found.append, tree)
    return found
