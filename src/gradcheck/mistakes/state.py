"""State between calls: a result that grows, a pullback that is used up, one that reads the latest forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gradcheck.laws.running import Pulled, Results, copies, difference, equal, moved
from gradcheck.mistakes.asking import distance, halved, points_of, pulled, ran
from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Evidence, Finding
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.wrapping import Asked, shapes, wrapped
from gradcheck.rule import Rule
from gradcheck.tree import flatten
from gradcheck.verdict.allowance import precision_of

__all__ = ["LAWS", "MISTAKE", "grows"]

LAWS = frozenset({"deterministic", "pullback", "no state", "fresh results"})
_NAME = "state between calls"
# Three sums are compared, each a few additions away from the other.
_ROUNDINGS = 16
_CALLS = 6

Reading = tuple[str, str, Evidence]


def _inject(rule: Rule) -> Rule:
    return wrapped(rule, _added_up())


def _added_up() -> Callable[[Asked, Any], Any]:
    import jax

    totals: dict[tuple[Any, ...], Any] = {}

    def answer(asked: Asked, cotangent: Any) -> Any:
        returned = jax.tree_util.tree_map(np.array, asked.pullback(cotangent))
        key = shapes(asked.args)
        if key in totals:
            returned = jax.tree_util.tree_map(np.add, totals[key], returned)
        totals[key] = returned
        return jax.tree_util.tree_map(np.array, returned)

    return answer


def _recognise(context: Context) -> Finding | None:
    if context.breach is not None and context.breach.law not in LAWS:
        return None
    # numbers come before laws, and a sum that grows is wrong in them as well
    for reading in (_growing, _used_up, _latest, _placed) if context.breach else (_growing,):
        if reading is not _growing and not _steady(context):
            return None  # what differs from call to call without an order is no state that one could tell
        if (found := reading(context)) is not None:
            says, change, evidence = found
            return Finding(_NAME, says, change, (evidence,), context.point)
    return None


def _steady(context: Context) -> bool:
    """Whether the same call, each time anew, gives the same answer."""
    answers = [pulled(context) for _ in range(_CALLS)]
    first = answers[0]
    return first is not None and all(a is not None and equal(first.kept, a.kept, bits=True) for a in answers)


def grows(answers: list[Results]) -> bool:
    """Whether answers to the same question, in turn, are multiples of one that was added again each time."""
    for arrays in zip(*answers, strict=True):
        if any(a is None for a in arrays):
            continue
        first, second, third = (np.asarray(a, dtype=np.float64) for a in arrays[:3])
        unit = precision_of(np.asarray(arrays[0]).dtype).unit
        size = float(np.max(np.abs([first, second, third]), initial=0.0))
        if not np.all(np.abs((third - second) - (second - first)) <= _ROUNDINGS * unit * size):
            return False
    return not equal(answers[0], answers[1], bits=False)


def _thrice(context: Context) -> Iterator[list[Results]]:
    for point in points_of(context):
        found = [pulled(context, flatten(context.rule, point), point.cotangent) for _ in range(3)]
        yield [p.kept for p in found if p is not None]


def _growing(context: Context) -> Reading | None:
    answers = next((a for a in _thrice(context) if len(a) == 3 and grows(a)), None)
    if answers is None:
        return None
    says = "each call adds its gradient to that of the calls before: asked twice at one point, it has grown by it"
    change = "start from zeros in each call, and let the caller add up"
    return (
        says,
        change,
        Evidence("two answers to the same call", distance(context, answers[0], answers[1]), 0.0, by_law=True),
    )


def _used_up(context: Context) -> Reading | None:
    forward = ran(context)
    if forward is None:
        return None
    once, again = (forward.pull(context.point.cotangent) for _ in range(2))
    if not (isinstance(once, Pulled) and isinstance(again, Pulled)) or equal(once.kept, again.kept, bits=True):
        return None
    fresh = [pulled(context) for _ in range(2)]
    if not all(p is not None and equal(p.kept, once.kept, bits=True) for p in fresh):
        return None
    seen = difference(once.flat, once.kept, again.kept)
    says = f"the pullback changes what the forward saved for it: {seen} at the second call"
    change = "let the pullback only read what was saved: no out=, no *=, no pop() on it"
    return (
        says,
        change,
        Evidence("two calls of the same pullback", distance(context, once.kept, again.kept), 0.0, by_law=True),
    )


def _latest(context: Context) -> Reading | None:
    """Run the forward here, then elsewhere, and pull back here."""
    flat = flatten(context.rule, context.point)
    alone, there = pulled(context), pulled(context, halved(flat))
    forward = ran(context)
    if alone is None or there is None or forward is None:
        return None
    ran(context, halved(flat))
    late = forward.pull(context.point.cotangent)
    if not isinstance(late, Pulled) or equal(late.kept, alone.kept, bits=True):
        return None
    before, after = distance(context, alone.kept, late.kept), distance(context, there.kept, late.kept)
    if not after <= 1.0 < before:
        return None
    says = "the pullback answers with the values of the latest forward, not of its own: run at two points and pulled "
    says += "back at the first, it gives the gradient at the second"
    change = "keep what the pullback needs in its closure or in a cache that is handed to it, not in self or a global"
    return says, change, Evidence("a pullback before and after a forward elsewhere", before, after, by_law=True)


def _placed(context: Context) -> Reading | None:
    """Write other numbers into arrays that the rule has seen."""
    flat = flatten(context.rule, context.point)
    handed, elsewhere = copies(flat), halved(flat)
    there = pulled(context, elsewhere)
    forward = ran(context, flat, handed)
    if there is None or forward is None:
        return None
    here = forward.pull(context.point.cotangent)
    for leaf in elsewhere.differentiated:
        handed[leaf.index][...] = leaf.array
    again = ran(context, moved(flat, {leaf.index: leaf.array for leaf in elsewhere.differentiated}), handed)
    late = None if again is None else again.pull(context.point.cotangent)
    if not (isinstance(here, Pulled) and isinstance(late, Pulled)):
        return None
    before, after = distance(context, there.kept, late.kept), distance(context, here.kept, late.kept)
    if not after <= 1.0 < before:
        return None
    says = "the rule knows an array by its place in memory: with new numbers in the same array it answers as before"
    return (
        says,
        "key the cache by the numbers, or keep none",
        Evidence("answers to new numbers in the same arrays and in new ones", before, after, by_law=True),
    )


MISTAKE = Mistake(_NAME, _inject, _recognise)
