"""A run of a program that keeps nothing but its outputs and the size of their summands.

A trace holds every value there was: beside a large matrix, copies of it by the half-dozen. Here a value goes after the
last step that reads it, and a sum or product is written over an operand that goes, as is its size. All come out as they
do in a trace, to the bit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.oracles.program.magnitude import Rule, Sizes
from gradcheck.oracles.program.operation import Array

if TYPE_CHECKING:
    from gradcheck.oracles.program.plan import Plan, Step

__all__ = ["Schedule", "lean", "schedule"]

_VALUE: Mapping[str, np.ufunc] = {"add": np.add, "add_any": np.add, "mul": np.multiply, "sub": np.subtract}
_SIZE: Mapping[str, np.ufunc] = {**_VALUE, "sub": np.add}
# these return memory of their own, which no view of an operand is
_UNSHARING = frozenset({*_VALUE, "dot_general", "reduce_sum"})
# Smaller arrays cost more to look at than to make.
_LARGE = 2**10


@dataclass(frozen=True)
class Schedule:
    """What goes when: for each step the slots that it is the last to read, and those of them nothing else looks at."""

    leaving: tuple[frozenset[int], ...]
    spare: tuple[frozenset[int], ...]


def schedule(plan: Plan) -> Schedule:
    """Find out when the values of a plan are read last, and which of them no other value shares memory with."""
    last = {slot: k for k, step in enumerate(plan.steps) for slot in step.reads}
    leaving: list[set[int]] = [set() for _ in plan.steps]
    for slot, k in last.items():
        if slot not in plan.outputs:
            leaving[k].add(slot)
    made = {slot for step in plan.steps if step.name in _UNSHARING for slot in step.writes}
    seen = {slot for step in plan.steps if step.name not in _UNSHARING for slot in step.reads}
    alone = made - seen
    return Schedule(tuple(map(frozenset, leaving)), tuple(frozenset(slots & alone) for slots in leaving))


def lean(plan: Plan, inputs: Sequence[Array]) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Evaluate the outputs of a plan, and the sizes of their summands."""
    values: list[Any] = plan.start(inputs)
    sizes = Sizes(values)
    with np.errstate(all="ignore"):
        goes = plan.schedule
        for step, rule, leaving, spare in zip(plan.steps, plan.rules, goes.leaving, goes.spare, strict=True):
            if spare:
                _written_over(step, rule, values, sizes, spare)
            else:
                step.store(values, step.operation(*[values[i] for i in step.reads]))
                if rule is not None:
                    sizes.follow(step, rule)
            for slot in leaving:
                values[slot] = None
                sizes.known.pop(slot, None)
        return plan.results(values), sizes.outputs(plan)


def _written_over(step: Step, rule: Rule | None, values: list[Any], sizes: Sizes, spare: frozenset[int]) -> None:
    """Take a step, and write what it makes over what it is the last to read where that is large enough."""
    # of these the sizes are still to be made of the values
    asked = {slot for slot in spare if rule is not None and slot not in sizes.known}
    operands = [values[i] for i in step.reads]
    over = _over(_VALUE, step, operands, spare - asked)
    step.store(values, step.operation(*operands) if over is None else over)
    if rule is None:
        return
    for slot in asked:
        if values[slot].dtype.kind == "f":
            sizes.known[slot] = np.abs(values[slot], out=values[slot])
    over = _over(_SIZE, step, [sizes.of(i) for i in step.reads], spare)
    if over is None:
        sizes.follow(step, rule)
    else:
        sizes.known[step.writes[0]] = over


def _over(
    ufuncs: Mapping[str, np.ufunc], step: Step, operands: Sequence[Array], spare: Collection[int]
) -> Array | None:
    """Write the result of a step over an operand that it fits, if there is one to spare."""
    if step.name not in ufuncs or any(x.dtype != np.float64 for x in operands):
        return None
    shape = np.broadcast_shapes(*(x.shape for x in operands))
    for slot, x in zip(step.reads, operands, strict=True):
        # in the order that a new array would have beside any operand, or a sum over it would round otherwise
        if slot in spare and x.size >= _LARGE and x.shape == shape and x.flags.c_contiguous:
            return np.asarray(ufuncs[step.name](*operands, out=x))
    return None
