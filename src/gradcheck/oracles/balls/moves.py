"""Primitives that move, add and multiply balls: NumPy's own operations, on arrays of objects.

NumPy calls the elements' ``+`` and ``*`` and, for moves, copies references, so the binders of
`gradcheck.oracles.program.primitives` serve as they are.

What differs is empty sums, which NumPy makes of the integer 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradcheck.oracles.balls.values import Array, exact
from gradcheck.oracles.program.operation import Binder, Params
from gradcheck.oracles.program.primitives import BINDERS

__all__ = ["MOVES"]

_SHARED = (
    "add",
    "add_any",
    "broadcast_in_dim",
    "concatenate",
    "copy",
    "copy_p",
    "cumprod",
    "cumsum",
    "dynamic_slice",
    "dynamic_update_slice",
    "mul",
    "neg",
    "pad",
    "polynomial",
    "reshape",
    "rev",
    "scatter",
    "scatter-add",
    "scatter-mul",
    "select_n",
    "slice",
    "split",
    "squeeze",
    "stop_gradient",
    "sub",
    "transpose",
)
_SUMS = ("dot_general", "reduce_sum", "reduce_prod")


def _summing(binder: Binder) -> Binder:
    def bind(params: Params) -> Callable[..., Any]:
        operation = binder(params)

        def summed(*operands: Array) -> Any:
            result = operation(*operands)
            return result if all(x.size for x in operands) else exact(np.asarray(result))

        return summed

    return bind


def _gather(params: Params) -> Callable[..., Any]:
    from flint import arb

    fill = params["fill_value"]  # the value by default is told by the dtype, which balls do not have
    return BINDERS["gather"]({**params, "fill_value": arb(np.nan if fill is None else float(fill))})


MOVES: Mapping[str, Binder] = {
    **{name: BINDERS[name] for name in _SHARED},
    **{name: _summing(BINDERS[name]) for name in _SUMS},
    "gather": _gather,
}
