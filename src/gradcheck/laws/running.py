"""Run a rule on copies of its arguments, and keep what it was handed beside what came back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from gradcheck.errors import InvalidArgument, RuleError
from gradcheck.laws.breach import Breach
from gradcheck.laws.structure import structured
from gradcheck.rule import Point, Pullback, Rule
from gradcheck.tree import Array, Flat, Leaf, leaves_of, with_leaves

__all__ = [
    "Forward",
    "Pulled",
    "Results",
    "ask_once",
    "copied",
    "copies",
    "difference",
    "equal",
    "identical",
    "is_signal",
    "moved",
    "overlap",
    "run",
]

Results = tuple[Array | None, ...]

# Candidate solutions NumPy may try before it takes an overlap for granted. Slices of one buffer need a handful.
_WORK = 1000
# Up to so many bytes, arrays are compared fastest as strings.
_COPIED = 2**14


@dataclass(frozen=True, eq=False)
class Pulled:
    """One answer: ``results`` as they came, ``kept`` as they were then; and all that the rule could have changed.

    ``handed`` are the arrays it was given by leaf, ``seen`` the cotangent it was given; ``flat`` and ``cotangent``
    say what these held.
    """

    flat: Flat
    handed: Mapping[int, Any]
    cotangent: Any
    seen: Any
    results: Results
    kept: Results

    def shared_with_inputs(self) -> str:
        """Name a result that shares memory with what came in."""
        inputs = [x for x in (*self.handed.values(), *leaves_of(self.seen)) if isinstance(x, np.ndarray)]
        pairs = zip(self.flat.differentiated, self.results, strict=True)
        return next((leaf.path for leaf, r in pairs if r is not None and any(overlap(r, x) for x in inputs)), "")

    def shared_within(self) -> str:
        """Name two results that share memory with each other."""
        pairs = zip(self.flat.differentiated, self.results, strict=True)
        given = [(leaf.path, r) for leaf, r in pairs if r is not None]
        return next((f"{p} and {q}" for (p, a), (q, b) in combinations(given, 2) if overlap(a, b)), "")

    def changed(self) -> str:
        """Name what the rule changed in place."""
        for leaf in self.flat.differentiated:
            if not identical(leaf.array, self.handed[leaf.index]):
                return f"its argument {leaf.path}{where(leaf.array, self.handed[leaf.index])}"
        if not all(identical(self.flat.leaves[i], array) for i, array in self.handed.items()):
            return "one of its data arguments"
        pairs = zip(leaves_of(self.cotangent), leaves_of(self.seen), strict=True)
        return "" if all(identical(np.asarray(a), b) for a, b in pairs) else "the cotangent it was given"


@dataclass(frozen=True, eq=False)
class Forward:
    """One run of a rule's forward."""

    rule: Rule
    flat: Flat
    handed: Mapping[int, Any]
    out: Any  # as it came
    value: tuple[Array, ...]
    pullback: Pullback

    def pull(self, cotangent: Any, seen: Any = None) -> Pulled | Breach:
        """Pull a cotangent back, handed over as ``seen`` or as a copy, and hold what comes back to the contract."""
        seen = copied(cotangent) if seen is None else seen
        try:
            returned = self.pullback(seen)
        except Exception as error:
            if is_signal(error):
                raise
            if isinstance(error, InvalidArgument):
                raise RuleError(str(error)) from error
            shown = f"{type(error).__name__}: {error}"
            return Breach("answers", f"the gradient raised {shown} (called with {_described(self.flat)})")
        results = structured(self.rule, self.flat, returned)
        if isinstance(results, Breach):
            return results
        kept = tuple(None if r is None else r.copy() for r in results)
        return Pulled(self.flat, self.handed, cotangent, seen, results, kept)


def run(rule: Rule, flat: Flat, handed: Mapping[int, Any] | None = None) -> Forward:
    """Run a rule's forward on copies, or on the arrays it is to be handed.

    Raises
    ------
    RuleError
        If the forward raises: the point then lies outside the rule's domain, or its data are bad.
    """
    if handed is None:
        handed = copies(flat)
    args, kwargs = with_leaves(flat, dict(handed))
    try:
        out, pullback = rule(*args, **kwargs)
        value = tuple(np.array(leaf) for leaf in leaves_of(out))
    except Exception as error:
        if is_signal(error):
            raise
        raise RuleError(
            f"{rule.name}: the forward raised {type(error).__name__}: {error}\n  called with {_described(flat)}"
        ) from error
    return Forward(rule, flat, handed, out, value, pullback)


def ask_once(rule: Rule, point: Point, flat: Flat) -> Results | None:
    """Run a rule whose contract has been seen to hold at another point; None if it has no answer there."""
    try:
        pulled = run(rule, flat).pull(point.cotangent)
    except RuleError:
        return None
    return None if isinstance(pulled, Breach) else pulled.results


def moved(flat: Flat, changes: Mapping[int, Array]) -> Flat:
    """Give a point with some of its arrays exchanged."""
    if not changes:
        return flat
    leaves = tuple(changes.get(i, leaf) for i, leaf in enumerate(flat.leaves))
    differentiated = tuple(Leaf(x.path, x.position, x.index, leaves[x.index], x.domain) for x in flat.differentiated)
    return Flat(flat.tree, leaves, differentiated)


def is_signal(error: Exception) -> bool:
    """Whether an exception steers Hypothesis (``assume``, ``reject``) rather than reporting a fault."""
    return type(error).__module__.split(".")[0] == "hypothesis"


def copies(flat: Flat) -> dict[int, Array]:
    """Copy the arrays among the leaves of a point, by their index."""
    return {i: leaf.copy() for i, leaf in enumerate(flat.leaves) if isinstance(leaf, np.ndarray)}


def copied(tree: Any) -> Any:
    """Copy every array of a tree."""
    if isinstance(tree, np.ndarray):  # the common case: no tree, and quickly seen
        return tree.copy()
    import jax

    return jax.tree_util.tree_map(np.array, tree)


def overlap(a: Array, b: Array) -> bool:
    """Whether two arrays share memory. Their bounds alone would accuse two halves of one new buffer."""
    if a.flags.owndata and b.flags.owndata:
        return a is b
    return np.may_share_memory(a, b, max_work=_WORK)  # type: ignore[arg-type]  # the stub knows two of its numbers


def identical(a: Array, b: Any) -> bool:
    """Whether two arrays hold the same bits."""
    b = np.asarray(b)
    if a.nbytes > _COPIED and a.dtype == b.dtype and a.itemsize in (2, 4, 8) and not a.dtype.hasobject:
        whole = f"u{a.itemsize}"
        return np.array_equal(a.view(whole), b.view(whole))
    return bool(a.shape == b.shape and a.tobytes() == b.tobytes())


def equal(one: Results, other: Results, *, bits: bool) -> bool:
    """Whether two answers are the same, to the bit or as numbers, where both are given."""
    same = identical if bits else np.array_equal
    return all(a is None or b is None or same(a, b) for a, b in zip(one, other, strict=True))


def difference(flat: Flat, one: Results, other: Results) -> str:
    """Say where two answers first differ in a bit."""
    for leaf, a, b in zip(flat.differentiated, one, other, strict=True):
        if a is not None and b is not None and not identical(a, b):
            return f"the cotangent of {leaf.path} came out differently{where(a, b)}"
    return ""


def where(a: Array, b: Array) -> str:
    """Say where two arrays first differ."""
    differs = np.argwhere(~((a == b) | ((a != a) & (b != b))))
    if not len(differs):
        return ""
    index = tuple(int(i) for i in differs[0])
    return f" at {list(index)} ({a[index]!s} became {b[index]!s})"


def _described(flat: Flat) -> str:
    return ", ".join(f"{leaf.path} {leaf.array.dtype}{leaf.array.shape}" for leaf in flat.differentiated)
