"""Ask a rule for its gradient at a point, and see that asking leaves no trace.

The rule only ever sees copies, so that one that writes into its arguments is caught and harms nobody. It is asked
three times: twice through one pullback, and once more after it has been run elsewhere in between. What is wrong is
returned as a `Breach`, not raised: a broken contract is a verdict like any other.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from gradcheck.errors import InvalidArgument, RuleError
from gradcheck.laws.breach import Breach
from gradcheck.laws.contract import structured
from gradcheck.rule import Point, Pullback, Rule
from gradcheck.tree import Array, Flat, leaves_of, with_leaves

__all__ = ["Answer", "ask", "ask_once", "is_signal"]

Results = tuple[Array | None, ...]

# Candidate solutions NumPy may try before it takes an overlap for granted. Slices of one buffer need a handful.
_WORK = 1000


@dataclass(frozen=True, eq=False)
class Answer:
    """What a rule answered: its value, and one array per differentiated leaf (None where it declined)."""

    value: tuple[Array, ...]
    cotangents: Results


def ask(rule: Rule, point: Point, flat: Flat) -> Answer | Breach:
    """Run a rule at a point and return its answer, or the first law it breaks.

    Raises
    ------
    RuleError
        If the forward raises: the point then lies outside the rule's domain, or its data are bad.
    """
    first = _forward(rule, flat)
    answered = first.pull(point)
    if isinstance(answered, Breach):
        return answered
    kept = _kept(answered)
    again = first.pull(point)
    if isinstance(again, Breach):
        return again
    if difference := _difference(flat, kept, again):
        return Breach(
            "pullback", f"{difference} when the same pullback was called twice: it must not use up what it needs"
        )
    later = _forward(rule, flat)
    _visit_elsewhere(rule, point, flat)
    last = later.pull(point)
    if isinstance(last, Breach):
        return last
    if difference := _difference(flat, kept, last):
        return Breach("no state", f"{difference} when the rule was run elsewhere in between, or draws random numbers")
    for earlier, newer in combinations((answered, again, last), 2):
        if shared := _sharing(flat, earlier, newer):
            return Breach(
                "fresh results", f"the cotangents of {shared} from two calls share memory: return a new array each time"
            )
    return Answer(first.value, kept)


def ask_once(rule: Rule, point: Point, flat: Flat) -> Results | None:
    """Run a rule whose contract has been seen to hold at another point; None if it has no answer there."""
    try:
        results = _forward(rule, flat).pull(point)
    except RuleError:
        return None
    return None if isinstance(results, Breach) else results


@dataclass(frozen=True, eq=False)
class _Forward:
    """One run of a rule's forward, on copies of its own."""

    rule: Rule
    flat: Flat
    copies: dict[int, Array]
    value: tuple[Array, ...]
    pullback: Pullback

    def pull(self, point: Point) -> Results | Breach:
        """Pull the cotangent back and hold the result to the contract."""
        cotangent = _copied(point.cotangent)
        try:
            returned = self.pullback(cotangent)
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
        if changed := _changed(self.flat, self.copies, point.cotangent, cotangent):
            return Breach("pure", f"the rule changed {changed} in place; work on a copy")
        inputs = [*self.copies.values(), *leaves_of(cotangent)]
        for leaf, result in zip(self.flat.differentiated, results, strict=True):
            if result is not None and any(_overlap(result, x) for x in inputs):
                return Breach("fresh results", f"the cotangent of {leaf.path} shares memory with an argument or with "
                              "the cotangent that came in: return a copy")  # fmt: skip
        if shared := _sharing_within(self.flat, results):
            return Breach("fresh results", f"the cotangents of {shared} share memory: return two arrays")
        return results


def _forward(rule: Rule, flat: Flat) -> _Forward:
    copies = {i: leaf.copy() for i, leaf in enumerate(flat.leaves) if isinstance(leaf, np.ndarray)}
    args, kwargs = with_leaves(flat, copies)
    try:
        out, pullback = rule(*args, **kwargs)
        value = tuple(np.array(leaf) for leaf in leaves_of(out))
    except Exception as error:
        if is_signal(error):
            raise
        raise RuleError(
            f"{rule.name}: the forward raised {type(error).__name__}: {error}\n  called with {_described(flat)}"
        ) from error
    return _Forward(rule, flat, copies, value, pullback)


def _visit_elsewhere(rule: Rule, point: Point, flat: Flat) -> None:
    """Run the rule at another point of the same shapes, for it to trip over what it kept.

    Halving the primals stays inside most domains (positive, bounded, sorted). Where it does not, and the rule
    raises, nothing is lost: the visit was only to disturb.
    """
    halved = {leaf.index: leaf.array / 2 for leaf in flat.differentiated}
    data = {i: leaf.copy() for i, leaf in enumerate(flat.leaves) if isinstance(leaf, np.ndarray) and i not in halved}
    args, kwargs = with_leaves(flat, data | halved)
    with np.errstate(all="ignore"), suppress(Exception):
        rule(*args, **kwargs)[1](_copied(point.cotangent))


def _kept(results: Results) -> Results:
    return tuple(None if r is None else r.copy() for r in results)


def _difference(flat: Flat, one: Results, other: Results) -> str:
    for leaf, a, b in zip(flat.differentiated, one, other, strict=True):
        if a is not None and b is not None and not _identical(a, b):
            return f"the cotangent of {leaf.path} came out differently{_where(a, b)}"
    return ""


def _sharing(flat: Flat, one: Results, other: Results) -> str:
    for leaf, a, b in zip(flat.differentiated, one, other, strict=True):
        if a is not None and b is not None and _overlap(a, b):
            return leaf.path
    return ""


def _sharing_within(flat: Flat, results: Results) -> str:
    given = [(leaf.path, r) for leaf, r in zip(flat.differentiated, results, strict=True) if r is not None]
    return next((f"{p} and {q}" for (p, a), (q, b) in combinations(given, 2) if _overlap(a, b)), "")


def _overlap(a: Array, b: Array) -> bool:
    """Whether two arrays share memory. Their bounds alone would accuse two halves of one new buffer."""
    return np.may_share_memory(a, b, max_work=_WORK)  # type: ignore[arg-type]  # the stub knows two of its numbers


def is_signal(error: Exception) -> bool:
    """Whether an exception steers Hypothesis (``assume``, ``reject``) rather than reporting a fault."""
    return type(error).__module__.split(".")[0] == "hypothesis"


def _copied(tree: Any) -> Any:
    import jax

    return jax.tree_util.tree_map(np.array, tree)


def _changed(flat: Flat, copies: dict[int, Array], cotangent: Any, seen: Any) -> str:
    for leaf in flat.differentiated:
        if not _identical(leaf.array, copies[leaf.index]):
            return f"its argument {leaf.path}{_where(leaf.array, copies[leaf.index])}"
    for i, copy in copies.items():
        if not _identical(flat.leaves[i], copy):
            return "one of its data arguments"
    for before, after in zip(leaves_of(cotangent), leaves_of(seen), strict=True):
        if not _identical(np.asarray(before), after):
            return "the cotangent it was given"
    return ""


def _identical(a: Array, b: Array) -> bool:
    return a.shape == b.shape and np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()


def _where(a: Array, b: Array) -> str:
    """Say where two arrays first differ."""
    differs = np.argwhere(~((a == b) | ((a != a) & (b != b))))
    if not len(differs):
        return ""
    index = tuple(int(i) for i in differs[0])
    return f" at {list(index)} ({a[index]!s} became {b[index]!s})"


def _described(flat: Flat) -> str:
    return ", ".join(f"{leaf.path} {leaf.array.dtype}{leaf.array.shape}" for leaf in flat.differentiated)
