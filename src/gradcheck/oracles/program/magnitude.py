"""How large the summands are that each output of a program is made of: its value with all signs made equal.

Sums, products and moves are carried out on magnitudes as they are; a difference becomes a sum. What a nonlinear
function returns is taken for a number of its own, of its own size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gradcheck.oracles.program.operation import Array
from gradcheck.oracles.program.primitives import LINEAR
from gradcheck.oracles.program.shaping import sort_order

if TYPE_CHECKING:
    from gradcheck.oracles.program.plan import Plan, Step

__all__ = ["magnitudes"]

# from a step, the sizes of its operands, and all values, to the sizes of its results
Rule = Callable[["Step", Sequence[Array], Sequence[Array]], Sequence[Array]]


def magnitudes(plan: Plan, values: Sequence[Array]) -> tuple[Array, ...]:
    """Evaluate a plan with absolute values along a trace of it."""
    sizes: dict[int, Array] = {}

    def size(slot: int) -> Array:
        found = sizes.get(slot)
        if found is None:
            value = values[slot]
            found = sizes[slot] = value if value.dtype.kind in "biu" else np.abs(value)
        return found

    with np.errstate(all="ignore"):
        for step, rule in _followed(plan, values):
            parts = rule(step, [size(i) for i in step.reads], values)
            sizes.update(zip(step.writes, map(np.asarray, parts), strict=True))
        return tuple(np.asarray(size(i), dtype=np.float64) for i in plan.outputs)


def _followed(plan: Plan, values: Sequence[Array]) -> list[tuple[Step, Rule]]:
    """List the steps that magnitudes go through, from what the outputs are made of."""
    needed, followed = set(plan.outputs), []
    for step in reversed(plan.steps):
        rule = _RULES.get(step.name)
        if rule is not None and any(i in needed and values[i].dtype.kind not in "biu" for i in step.writes):
            needed.update(step.reads)
            followed.append((step, rule))
    return followed[::-1]


def _as_it_is(step: Step, sizes: Sequence[Array], _: Sequence[Array]) -> Sequence[Array]:
    result = step.operation(*sizes)
    return (result,) if len(step.writes) == 1 else result


def _converted(step: Step, sizes: Sequence[Array], _: Sequence[Array]) -> Sequence[Array]:
    return (np.abs(step.operation(*sizes)),)  # of whole numbers, which have their signs


def _quotient(step: Step, sizes: Sequence[Array], values: Sequence[Array]) -> Sequence[Array]:
    return (sizes[0] / np.abs(values[step.reads[1]]),)


def _picked(step: Step, sizes: Sequence[Array], values: Sequence[Array]) -> Sequence[Array]:
    return (np.where(values[step.writes[0]] == values[step.reads[0]], *sizes),)


def _sorted(step: Step, sizes: Sequence[Array], values: Sequence[Array]) -> Sequence[Array]:
    order = sort_order(step.params, [values[i] for i in step.reads])
    return [np.take_along_axis(x, order, step.params["dimension"]) for x in sizes]


_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(LINEAR, _as_it_is),
    "abs": lambda _, sizes, __: sizes,
    "convert_element_type": _converted,
    "div": _quotient,
    "max": _picked,
    "min": _picked,
    "neg": lambda _, sizes, __: sizes,
    "sort": _sorted,
    "sub": lambda _, sizes, __: (sizes[0] + sizes[1],),
}
