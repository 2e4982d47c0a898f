"""A cache whose key leaves out the numbers: the answer belongs to an earlier point of the same shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Evidence, Finding
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.setting import Sample
from gradcheck.mistakes.wrapping import Asked, shapes, wrapped
from gradcheck.rule import Rule

__all__ = ["MISTAKE"]

_NAME = "stale cache"
# Laws that say something else: what is broken there is not what the answer depends on.
_OTHERS = frozenset({"contract", "structure", "answers", "pure", "fresh results", "linear", "layouts"})
_CHANGE = (
    "key the cache by the numbers themselves (array.tobytes()), or keep what is saved with the pullback, not beyond"
)
# Sizes that no other sample has; several, since a shape is new only once.
_FRESH = (11, 13, 17, 19, 23)
# Two variants of samples with the same lengths of whatever other axes there are.
_VARIANTS = (2, 5)


def _inject(rule: Rule) -> Rule:
    return wrapped(rule, _cached())


def _cached() -> Callable[[Asked, Any], Any]:
    import jax

    known: dict[tuple[Any, ...], Any] = {}

    def answer(asked: Asked, cotangent: Any) -> Any:
        given = jax.tree_util.tree_map(
            lambda a: a.copy() if isinstance(a, np.ndarray) else a, (asked.args, asked.kwargs)
        )
        args, kwargs = known.setdefault(shapes((asked.args, asked.kwargs)), given)
        return asked.rule(*args, **kwargs)[1](cotangent)

    return answer


def _recognise(context: Context) -> Finding | None:
    if context.breach is not None and context.breach.law in _OTHERS:
        return None
    moves = _truth_alone_moves(context)
    if moves is None:
        return None
    says = "the gradient does not change with the numbers: it is that of an earlier call with arrays of the same shapes"
    evidence = _of_the_first(context)
    if evidence is None and (context.breach is None or not moves):
        return None  # nothing here tells it from a gradient that is constant, by mistake or rightly
    if evidence is None:
        evidence = (
            Evidence("the answers at two points of the same shapes, equal to the bit", np.inf, 0.0, by_law=True),
        )
    return Finding(_NAME, says, _CHANGE, evidence, context.point)


def _truth_alone_moves(context: Context) -> bool | None:
    """Whether the truth differs between points of the same shapes; None unless the answer is the same to the bit."""
    here = context.samples[0] if context.samples else None
    again = None if here is None else context.sample(here.point, here.where)
    if here is None or again is None:
        return None
    moves = False
    for there in context.samples[1:]:
        other = context.sample(there.moved({}, here.cotangents), "") if _shapes(there) == _shapes(here) else None
        if other is None:
            continue
        if not all(np.array_equal(a, b) for a, b in zip(other.analytic, again.analytic, strict=True)):
            return None
        rows = zip(other.reference, again.reference, other.allowed, strict=True)
        moves = moves or any(np.any(np.abs(a - b) > allowed) for a, b, allowed in rows)
    return moves


def _of_the_first(context: Context) -> tuple[Evidence, ...] | None:
    """Draw two points of shapes that are new: the first is answered right, the second as the first was."""
    for size in _FRESH:
        for wanted in ({"rows": size}, {"classes": size}):
            first = context.drawn(_VARIANTS[0], **wanted)
            if first is None or first.before > 1.0:
                continue
            second = context.drawn(_VARIANTS[1], **wanted)
            if second is None or _shapes(first) != _shapes(second):
                continue
            after = second.remains(first.at({}, second.cotangents))
            if after <= 1.0 < second.before:
                right = Evidence(f"{first.where}, the first of these shapes", first.before, first.before)
                return right, Evidence(f"{second.where}, as if at the first", second.before, after)
    return None


def _shapes(sample: Sample) -> tuple[Any, ...]:
    return tuple(np.shape(leaf) for leaf in (*sample.flat.leaves, *sample.cotangents))


MISTAKE = Mistake(_NAME, _inject, _recognise)
