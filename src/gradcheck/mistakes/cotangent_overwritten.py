"""The cotangent is overwritten, which other branches of the same computation are still to read."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck.laws.running import identical, where
from gradcheck.mistakes.asking import pulled
from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Evidence, Finding
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.wrapping import Asked, arrays_in, wrapped
from gradcheck.rule import Rule
from gradcheck.tree import leaves_of

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
    if context.breach is None or context.breach.law != "pure":
        return None
    found = pulled(context)
    if found is None:
        return None
    if not all(identical(found.flat.leaves[index], array) for index, array in found.handed.items()):
        return None  # an argument is, which is worse: it is what the next step starts from
    for before, after in zip(leaves_of(found.cotangent), leaves_of(found.seen), strict=True):
        if not identical(np.asarray(before), after):
            says = f"the gradient overwrites the cotangent it is given{where(np.asarray(before), np.asarray(after))}"
            change = "multiply into a new array, cotangent * x, in place of cotangent *= x or out=cotangent"
            evidence = Evidence("the failing point, after one call", np.inf, 0.0)
            return Finding("cotangent overwritten", says, change, (evidence,), context.point)
    return None


MISTAKE = Mistake("cotangent overwritten", _inject, _recognise)
