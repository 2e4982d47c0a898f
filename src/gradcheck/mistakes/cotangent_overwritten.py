"""The cotangent is overwritten, which other branches of the same computation are still to read."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck.laws.running import identical, where
from gradcheck.mistakes.argument_overwritten import LAWS
from gradcheck.mistakes.asking import called, points_of, pulled
from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Evidence, Finding
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.wrapping import Asked, arrays_in, wrapped
from gradcheck.rule import Point, Rule
from gradcheck.tree import flatten, leaves_of

__all__ = ["MISTAKE"]


def _inject(rule: Rule) -> Rule:
    return wrapped(rule, _negated_in_place) if rule.takes_cotangent else rule


def _negated_in_place(asked: Asked, cotangent: Any) -> Any:
    import jax

    returned = jax.tree_util.tree_map(np.array, asked.pullback(cotangent))
    for array in arrays_in(cotangent):
        if array.flags.writeable:
            np.negative(array, out=array)
    return returned


def _recognise(context: Context) -> Finding | None:
    if context.breach is None or context.breach.law not in LAWS:
        return None
    return next(filter(None, (_seen(context, point) for point in points_of(context))), None)


def _seen(context: Context, point: Point) -> Finding | None:
    found = pulled(context, flatten(context.rule, point), point.cotangent)
    if found is None:
        return None
    if not all(identical(found.flat.leaves[index], array) for index, array in found.handed.items()):
        return None  # an argument is, which is worse: it is what the next step starts from
    for before, after in zip(leaves_of(found.cotangent), leaves_of(found.seen), strict=True):
        if not identical(np.asarray(before), after):
            says = f"the gradient overwrites the cotangent it is given{where(np.asarray(before), np.asarray(after))}"
            change = "multiply into a new array, cotangent * x, in place of cotangent *= x or out=cotangent"
            evidence = Evidence(
                f"the cotangent before and after one call, at {called(context, point)}", np.inf, 0.0, by_law=True
            )
            return Finding("cotangent overwritten", says, change, (evidence,), point)
    return None


MISTAKE = Mistake("cotangent overwritten", _inject, _recognise)
