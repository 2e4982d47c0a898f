"""Control flow: loops of known length unrolled, branches all taken and selected from, other loops run as they are.

A plan is one flat list of steps, so that every arithmetic runs it alike. The branch that is not taken may divide by
zero; ``select_n`` drops what comes of it, entry by entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.oracles.program.operation import Array, Operation

if TYPE_CHECKING:
    from gradcheck.oracles.program.binding import Binder
    from gradcheck.oracles.program.plan import Plan

__all__ = ["CONTROL"]

# A series that float64 sums to its end takes thousands of terms at most; a loop with more does not converge.
_MOST_ROUNDS = 100_000


def _scan(binder: Binder, equation: Any, reads: list[int]) -> list[int]:
    params = equation.params
    length = binder.concrete(params["length"])
    n_consts, n_carry = _scan_counts(params)
    consts, carry, stacked = reads[:n_consts], reads[n_consts : n_consts + n_carry], reads[n_consts + n_carry :]
    shapes = [binder.shape(var) for var in equation.invars[n_consts + n_carry :]]
    columns = [_unstack(binder, slot, shape) for slot, shape in zip(stacked, shapes, strict=True)]
    rows: list[list[int]] = [[] for _ in range(length)]
    body = binder.opened(params["jaxpr"])
    for i in reversed(range(length)) if params["reverse"] else range(length):
        results = body([*consts, *carry, *(column[i] for column in columns)])
        carry, rows[i] = results[:n_carry], results[n_carry:]
    outs = equation.outvars[n_carry:]
    return [*carry, *(_stack(binder, [row[k] for row in rows], var) for k, var in enumerate(outs))]


def _scan_counts(params: Mapping[str, Any]) -> tuple[int, int]:
    """Count what a scan takes unchanged and what it carries: jax 0.12 gives trees where 0.10 gives numbers."""
    if "num_carry" in params:
        return params["num_consts"], params["num_carry"]
    consts, carry, _ = params["ft_in"].unpack()
    return len(consts), len(carry)


def _unstack(binder: Binder, slot: int, shape: tuple[int, ...]) -> list[int]:
    rows = []
    for i in range(shape[0]):
        bounds = {"start_indices": (i, *(0 for _ in shape[1:])), "limit_indices": (i + 1, *shape[1:]), "strides": None}
        (row,) = binder.emit("slice", bounds, [slot], 1)
        rows += binder.emit("squeeze", {"dimensions": (0,)}, [row], 1)
    return rows


def _stack(binder: Binder, rows: list[int], var: Any) -> int:
    shape = binder.shape(var)
    if not rows:
        return binder.constant(np.zeros(shape, var.aval.dtype))
    params = {"shape": (1, *shape[1:]), "broadcast_dimensions": tuple(range(1, len(shape)))}
    parts = [binder.emit("broadcast_in_dim", params, [row], 1)[0] for row in rows]
    return binder.emit("concatenate", {"dimension": 0}, parts, 1)[0]


def _cond(binder: Binder, equation: Any, reads: list[int]) -> list[int]:
    index, *operands = reads
    known = binder.known(index)
    if known is not None:
        return binder.opened(equation.params["branches"][int(known)])(operands)
    branches = [binder.opened(branch)(operands) for branch in equation.params["branches"]]
    return [binder.emit("select_n", {}, [index, *results], 1)[0] for results in zip(*branches, strict=True)]


def _linear_solve(binder: Binder, equation: Any, reads: list[int]) -> list[int]:
    """Solve by the solver that was given; what it solves, and the transposed solver, are for derivatives."""
    lengths, solver = equation.params["const_lengths"], equation.params["jaxprs"].solve
    before = lengths.matvec + lengths.vecmat
    values = reads[sum(lengths) :]
    return binder.opened(solver)([*reads[before : before + lengths.solve], *values])


def _platform_index(binder: Binder, equation: Any, _: list[int]) -> list[int]:
    """Choose what JAX would run on a CPU, or the default, which comes last."""
    platforms = equation.params["platforms"]
    of_cpu = [i for i, names in enumerate(platforms) if names is not None and "cpu" in names]
    return [binder.constant(np.int32(of_cpu[0] if of_cpu else len(platforms) - 1))]


def _while(binder: Binder, equation: Any, reads: list[int]) -> list[int]:
    params = equation.params
    test, body = binder.subplan(params["cond_jaxpr"]), binder.subplan(params["body_jaxpr"])
    loop = _loop(test, body, params["cond_nconsts"], params["body_nconsts"])
    writes = binder.emit("while", {}, reads, len(equation.outvars), operation=loop)
    if not binder.opaque:
        for slot, var in zip(writes, equation.outvars, strict=True):
            if var.aval.dtype.kind not in "biu":
                binder.refuse(slot, "its program has a 'while' loop that carries floats for as long as they say")
    return writes


def _loop(test: Plan, body: Plan, n_test: int, n_body: int) -> Operation:
    def loop(*operands: Array) -> Any:
        tested, used, carry = operands[:n_test], operands[n_test : n_test + n_body], operands[n_test + n_body :]
        for _ in range(_MOST_ROUNDS):
            going = test.values((*tested, *carry))[0]
            if not going.any():
                return carry if len(carry) > 1 else carry[0]
            # of a batch of loops, those that have ended keep what they have
            carry = tuple(map(partial(_where, going), body.values((*used, *carry)), carry))
        raise ValueError(f"a while loop has not ended after {_MOST_ROUNDS} rounds")

    return loop


def _where(going: Array, new: Array, old: Array) -> Array:
    return np.where(going.reshape(going.shape + (1,) * (new.ndim - going.ndim)), new, old)


CONTROL: Mapping[str, Callable[[Binder, Any, list[int]], list[int]]] = {
    "cond": _cond,
    "custom_linear_solve": _linear_solve,
    "platform_index": _platform_index,
    "scan": _scan,
    "while": _while,
}
