"""Results lie in memory that is used again: of earlier results, of each other, or of what came in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradcheck.laws.running import Pulled, overlap
from gradcheck.mistakes.asking import distance, halved, pulled
from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Evidence, Finding
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.wrapping import Asked, wrapped
from gradcheck.rule import Rule
from gradcheck.tree import Array, flatten, leaves_of

__all__ = ["MISTAKE"]


def _inject(rule: Rule) -> Rule:
    return wrapped(rule, _into_buffers())


def _into_buffers() -> Callable[[Asked, Any], Any]:
    import jax

    buffers: dict[tuple[Any, ...], Array] = {}

    def answer(asked: Asked, cotangent: Any) -> Any:
        returned = asked.pullback(cotangent)
        leaves = [np.asarray(leaf) for leaf in leaves_of(returned)]
        for place, leaf in enumerate(leaves):
            buffer = buffers.setdefault((place, leaf.shape, str(leaf.dtype)), np.empty_like(leaf))
            buffer[...] = leaf
            leaves[place] = buffer
        return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(returned), leaves)

    return answer


def _recognise(context: Context) -> Finding | None:
    if context.breach is None or context.breach.law != "fresh results":
        return None
    first = pulled(context)
    second = pulled(context, halved(flatten(context.rule, context.point)))
    if first is None:
        return None
    found = _with_inputs(first) or _among_themselves(first) or (second and _with_later(first, second))
    if not found:
        return None
    says, change = found
    before = distance(context, first.kept, first.results)
    evidence = Evidence("a result, and what it holds after one more call", before or np.inf, 0.0, by_law=True)
    return Finding("shared buffer", says, change, (evidence,), context.point)


def _with_later(first: Pulled, second: Pulled) -> tuple[str, str] | None:
    for leaf, one, other in zip(first.flat.differentiated, first.results, second.results, strict=True):
        if one is not None and other is not None and overlap(one, other):
            says = (
                f"the gradient by {leaf.path} is written into one buffer at every call, so that a later call changes "
            )
            return (
                f"{says}an earlier result",
                "return a new array each time: leave out=... away, or return buffer.copy()",
            )
    return None


def _with_inputs(first: Pulled) -> tuple[str, str] | None:
    if not (path := first.shared_with_inputs()):
        return None
    says = f"the gradient by {path} is no array of its own, but the memory of an argument or of the cotangent"
    return says, f"return a copy of it: np.array(...) around what is returned for {path}"


def _among_themselves(first: Pulled) -> tuple[str, str] | None:
    if not (paths := first.shared_within()):
        return None
    return f"the gradients by {paths} are one array: who adds to one of them changes the other", "return a copy of one"


MISTAKE = Mistake("shared buffer", _inject, _recognise)
