"""An argument is overwritten: whoever calls the rule goes on with other numbers than it handed over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradcheck.laws.running import Pulled, identical, where
from gradcheck.mistakes.asking import called, name_of, points_of, pulled, ran
from gradcheck.mistakes.context import Context
from gradcheck.mistakes.drawing import ignoring
from gradcheck.mistakes.finding import Evidence, Finding
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.wrapping import Asked, arrays_in, wrapped
from gradcheck.rule import Point, Rule
from gradcheck.tree import Flat, flatten

__all__ = ["LAWS", "MISTAKE"]

# What is written over shows in what was handed over, or in a complaint where that is read-only.
LAWS = frozenset({"pure", "layouts"})


def _inject(rule: Rule) -> Rule:
    return wrapped(rule, _over_the_first_argument)


def _over_the_first_argument(asked: Asked, cotangent: Any) -> Any:
    """Leave the gradient where the first differentiated array was, as a backward that works in place does."""
    import jax

    returned = jax.tree_util.tree_map(np.array, asked.pullback(cotangent))
    first = next(iter(arrays_in(asked.args[asked.rule.differentiated(asked.args)[0]])), None)
    answer = next((r for r in arrays_in(returned)), None)
    if first is not None and answer is not None and first.flags.writeable and first.shape == answer.shape:
        first[...] = answer
    return returned


def _recognise(context: Context) -> Finding | None:
    if context.breach is None or context.breach.law not in LAWS:
        return None
    return next(filter(None, (_seen(context, point) for point in _points(context))), None)


def _points(context: Context) -> Iterator[Point]:
    """Give points at which something may be written: labels of rows to be ignored are written over where there are."""
    yield from points_of(context)
    for sample in context.samples[-1:]:
        yield from (sample.moved(changes) for changes in ignoring(sample))


def _seen(context: Context, point: Point) -> Finding | None:
    found = pulled(context, flatten(context.rule, point), point.cotangent)
    if found is None:
        return None
    changed = [index for index, array in found.handed.items() if not identical(found.flat.leaves[index], array)]
    if not changed:
        return None
    index = changed[0]
    name, verb = name_of(context, index), "forward" if _by_forward(context, index) else "gradient"
    says = f"the {verb} overwrites its argument {name}{_now(found, index)}"
    change = (
        f"work on a copy ({name}.copy()), or write {name} = {name} - ... in place of {name} -= ..., which makes one"
    )
    evidence = Evidence(f"{name} before and after one call, at {called(context, point)}", np.inf, 0.0, by_law=True)
    return Finding("argument overwritten", says, change, (evidence,), point)


def _by_forward(context: Context, index: int) -> bool:
    forward = ran(context)
    return forward is not None and not identical(forward.flat.leaves[index], forward.handed[index])


def _now(found: Pulled, index: int) -> str:
    flat: Flat = found.flat
    before, after = flat.leaves[index], np.asarray(found.handed[index])
    for leaf, result in zip(flat.differentiated, found.kept, strict=True):
        if result is not None and np.any(result) and identical(result, after):
            return f", which then holds the gradient by {leaf.path}"
    return where(before, after)


MISTAKE = Mistake("argument overwritten", _inject, _recognise)
