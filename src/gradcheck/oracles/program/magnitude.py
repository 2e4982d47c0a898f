"""How large the summands are that each output of a program is made of: its value with all signs made equal.

Sums, products and moves are carried out on magnitudes as they are; a difference becomes a sum. What a nonlinear
function returns is taken for a number of its own, of its own size. So is what products and moves alone have made of
such numbers, since the magnitude of a product is the product of the magnitudes, to the bit: only from the first sum on
is there anything to carry out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gradcheck.oracles.program.operation import Array
from gradcheck.oracles.program.primitives import LINEAR, MOVES
from gradcheck.oracles.program.shaping import sort_order

if TYPE_CHECKING:
    from gradcheck.oracles.program.plan import Plan, Step

__all__ = ["Rule", "Sizes", "magnitudes", "rules"]

# from a step, the sizes of its operands, and all values, to the sizes of its results
Rule = Callable[["Step", Sequence[Array], Sequence[Array]], Sequence[Array]]


class Sizes:
    """The sizes of the values of a run, by their slot."""

    def __init__(self, values: Sequence[Array]) -> None:
        self._values = values
        self.known: dict[int, Array] = {}

    def of(self, slot: int) -> Array:
        """Give the size of a value: its own where no rule has given it another; whole numbers stay what they are."""
        found = self.known.get(slot)
        if found is not None:
            return found
        value = self._values[slot]
        return value if value.dtype.kind in "biu" else np.asarray(np.abs(value))  # made sooner than kept for long

    def follow(self, step: Step, rule: Rule) -> None:
        """Carry a step out that has been carried out on the values."""
        values, writes = self._values, step.writes
        for slot in writes:
            if values[slot].dtype.kind not in "biu":
                break
        else:
            return
        parts = rule(step, [self.of(i) for i in step.reads], values)
        for slot, part in zip(writes, parts, strict=True):
            self.known[slot] = np.asarray(part)

    def outputs(self, plan: Plan) -> tuple[Array, ...]:
        """Pick out those of the outputs."""
        return tuple(np.asarray(self.of(i), dtype=np.float64) for i in plan.outputs)


def magnitudes(plan: Plan, values: Sequence[Array]) -> tuple[Array, ...]:
    """Evaluate a plan with absolute values along a trace of it."""
    sizes = Sizes(values)
    with np.errstate(all="ignore"):
        for step, rule in zip(plan.steps, plan.rules, strict=True):
            if rule is not None:
                sizes.follow(step, rule)
        return sizes.outputs(plan)


def rules(steps: Sequence[Step], outputs: Sequence[int]) -> tuple[Rule | None, ...]:
    """Give for each step the rule by which its results have sizes that are not their own; None where none is needed."""
    summed: set[int] = set()  # slots of values that sums have made
    found: list[Rule | None] = []
    for step in steps:
        rule = _RULES.get(step.name)
        relevant = step.reads[:1] if step.name == "div" else step.reads
        if rule is not None and step.name in _KEEPING and summed.isdisjoint(relevant):
            rule = None
        if rule is not None:
            summed.update(step.writes)
        found.append(rule)
    needed = set(outputs)
    for k in range(len(steps) - 1, -1, -1):
        if needed.isdisjoint(steps[k].writes):
            found[k] = None
        elif found[k] is not None:
            needed.update(steps[k].reads)
    return tuple(found)


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
# whose results have the size of their values where their operands have
_KEEPING = MOVES | frozenset(
    ["abs", "convert_element_type", "cumprod", "div", "max", "min", "mul", "neg", "reduce_prod", "scatter-mul", "sort"]
)
