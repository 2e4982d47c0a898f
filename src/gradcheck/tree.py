"""Trees of arrays: the arguments of a rule, flat and with names that a message can use."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.domain import Domain
from gradcheck.rule import Point, Rule, is_float

__all__ = ["Flat", "Leaf", "every", "flatten", "in_float64", "leaves_of", "with_leaves"]

Array = np.ndarray[Any, np.dtype[Any]]

# Python's own objects about a check take about 100 kB, that is three copies of so many float64 numbers.
_HEAVY = 2**12


@dataclass(frozen=True, eq=False)
class Leaf:
    """One differentiated array among the arguments: what messages call it, where it is, the array, and its domain."""

    path: str
    position: int
    index: int
    array: Array
    domain: Domain | None = None


@dataclass(frozen=True, eq=False)
class Flat:
    """A point with its arguments flattened: ``leaves`` in tree order, and which of them are differentiated."""

    tree: Hashable
    leaves: tuple[Any, ...]
    differentiated: tuple[Leaf, ...]

    @property
    def heavy(self) -> bool:
        """Whether copies of the primals are what memory goes to, and not all that is done for one number at a time."""
        return sum(leaf.array.size for leaf in self.differentiated) > _HEAVY

    def holds(self, changes: Mapping[int, Array]) -> bool:
        """Whether primals stay where a forward is defined when some arrays are exchanged, given by their index."""
        for leaf in self.differentiated:
            if leaf.domain is not None and leaf.index in changes:
                moved = changes[leaf.index]
                if not leaf.domain.defined(moved, moved.dtype):
                    return False
        return True


def flatten(rule: Rule, point: Point) -> Flat:
    """Flatten the arguments of a point; array-likes become NumPy arrays, everything else stays as it is."""
    import jax

    wrt = set(rule.differentiated(point.args))
    if not point.kwargs and all(type(arg) is np.ndarray for arg in point.args):  # the common case, and no tree
        tree = jax.tree_util.tree_structure((point.args, point.kwargs))
        there = [i for i in range(len(point.args)) if i in wrt]
        return Flat(tree, point.args, tuple(_leaf(rule, i, point.args[i]) for i in there))
    paths, tree = jax.tree_util.tree_flatten_with_path((point.args, point.kwargs))
    leaves, found = [], []
    for index, (path, value) in enumerate(paths):
        array = _as_numpy(value)
        if path[0].idx == 0 and path[1].idx in wrt:
            name = rule.label(path[1].idx) + jax.tree_util.keystr(path[2:])
            found.append(Leaf(name, path[1].idx, index, array, rule.domain_at(path[1].idx, _keys(path[2:]))))
        leaves.append(array)
    return Flat(tree, tuple(leaves), tuple(found))


def _leaf(rule: Rule, position: int, array: Array) -> Leaf:
    """Describe an argument that is one array, and as many arrays before it as arguments."""
    return Leaf(rule.label(position), position, position, array, rule.domain_at(position))


def _keys(path: Sequence[Any]) -> list[Any]:
    """Give the keys of dicts, the positions in lists and the names of fields along a path of JAX."""
    return [next(getattr(key, kind) for kind in ("key", "idx", "name") if hasattr(key, kind)) for key in path]


def _as_numpy(value: Any) -> Any:
    try:
        return np.asarray(value) if hasattr(value, "dtype") else value
    except TypeError:  # what only looks like an array, as a random key of JAX does, goes to the rule as it is
        return value


def with_leaves(flat: Flat, replaced: dict[int, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Rebuild ``(args, kwargs)`` with some leaves replaced."""
    import jax

    filled = [replaced.get(i, leaf) for i, leaf in enumerate(flat.leaves)]
    args, kwargs = jax.tree_util.tree_unflatten(flat.tree, filled)
    return args, kwargs


def leaves_of(value: Any) -> list[Any]:
    """Leaves of a tree in order. None is no leaf."""
    if isinstance(value, (np.ndarray, np.generic)):  # the common case: no tree, and quickly seen
        return [value]
    import jax

    return list(jax.tree_util.tree_leaves(value))


def every(mask: Any) -> bool:
    """Whether a mask is true everywhere: for small ones NumPy's own takes ten times as long as looking for a zero."""
    return b"\0" not in mask.tobytes() if mask.size <= _HEAVY else bool(mask.all())


def in_float64(leaves: Sequence[Any]) -> list[Any]:
    """Floating-point leaves in float64, which represents every narrower type exactly; others as they are.

    Those that are in float64 are not copied: whoever hands them on to a function hands on copies.
    """
    return [
        leaf.astype(np.float64, copy=False) if isinstance(leaf, np.ndarray) and is_float(leaf.dtype) else leaf
        for leaf in leaves
    ]
