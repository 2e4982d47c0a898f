"""JAX's primitives in NumPy: the arithmetic that evaluates a program of JAX's autodiff outside XLA.

Each entry of `BINDERS` takes the parameters of one equation (shapes already made of plain integers) and returns a
function of NumPy arrays. Semantics follow the reference of ``jax.lax``. Here are elementwise functions, products and
reductions; beside them `shaping`, `gather_scatter` and `special`. Primitives that can be written in these
(convolution, pooling, ``top_k``) are rewritten before they get here, by `lowering`.

Two sets say how an equation counts in error analysis. `EXACT` primitives move, select or negate numbers and round
nothing. `LINEAR` ones may be applied to magnitudes as they are, because each entry they return is a sum of products
of entries they take (with coefficient one), so the same operation on ``|x|`` bounds the size of the summands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from gradcheck.oracles.program.gather_scatter import GATHER_SCATTER
from gradcheck.oracles.program.operation import Array, Binder, Operation, Params
from gradcheck.oracles.program.shaping import SHAPING
from gradcheck.oracles.program.special import SPECIAL

__all__ = ["BINDERS", "EXACT", "LINEAR", "MOVES", "Array", "Operation"]


def _plain(function: Operation) -> Binder:
    """Bind a primitive that has no parameters that matter to its value."""
    return lambda _: function


def _logistic(x: Array) -> Array:
    small = np.exp(-np.abs(x))  # at most 1, and accurate where the result is subnormal
    return np.asarray(np.where(x < 0, small, 1.0) / (1.0 + small))


def _bind_reduce(function: Operation) -> Binder:
    def bind(params: Params) -> Operation:
        axes = tuple(int(a) for a in params["axes"])
        return lambda x: function(x, axis=axes, dtype=x.dtype)  # NumPy would sum narrow integers in wide ones

    return bind


def _bind_extremum(function: Operation, neutral: float) -> Binder:
    def bind(params: Params) -> Operation:
        axes = tuple(int(a) for a in params["axes"])

        def reduce(x: Array) -> Any:
            # over no entries lax returns the neutral element where NumPy raises
            initial = {"initial": neutral} if x.dtype.kind == "f" else {}
            return function(x, axis=axes, **initial)

        return reduce

    return bind


def _bind_arg(function: Operation) -> Binder:
    def bind(params: Params) -> Operation:
        (axis,) = params["axes"]
        return lambda x: function(x, axis=axis).astype(params["index_dtype"])

    return bind


def _bind_cumulative(function: Operation) -> Binder:
    def bind(params: Params) -> Operation:
        axis = params["axis"]
        if params["reverse"]:
            return lambda x: np.flip(function(np.flip(x, axis), axis=axis, dtype=x.dtype), axis)
        return lambda x: function(x, axis=axis, dtype=x.dtype)

    return bind


def _bind_dot_general(params: Params) -> Operation:
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = params["dimension_numbers"]
    wanted = params.get("preferred_element_type")
    whole = wanted if wanted is not None and np.dtype(wanted).kind in "iu" else None

    def dot_general(a: Array, b: Array) -> Array:
        lhs_free = [i for i in range(a.ndim) if i not in lhs_contract and i not in lhs_batch]
        rhs_free = [i for i in range(b.ndim) if i not in rhs_contract and i not in rhs_batch]
        batch, rows, columns = (
            [x.shape[i] for i in axes] for x, axes in ((a, lhs_batch), (a, lhs_free), (b, rhs_free))
        )
        summed = math.prod(a.shape[i] for i in lhs_contract)
        x = a.transpose(*lhs_batch, *lhs_free, *lhs_contract).reshape((*batch, math.prod(rows), summed))
        y = b.transpose(*rhs_batch, *rhs_contract, *rhs_free).reshape((*batch, summed, math.prod(columns)))
        return np.asarray(np.matmul(x, y, dtype=whole)).reshape((*batch, *rows, *columns))

    return dot_general


def _div(a: Array, b: Array) -> Any:
    if a.dtype.kind not in "iu":
        return np.divide(a, b)
    floor = np.floor_divide(a, b)  # lax truncates toward zero
    return floor + ((floor * b != a) & ((a < 0) != (b < 0))).astype(a.dtype)


def _polynomial(x: Array, *coefficients: Array) -> Array:
    total = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + coefficient
    return np.broadcast_to(total, np.broadcast_shapes(x.shape, *(c.shape for c in coefficients)))


def _bind_round(params: Params) -> Operation:
    if int(params["rounding_method"]):  # to nearest, of two the even one
        return np.round
    return lambda x: np.where(np.abs(x - np.trunc(x)) == 0.5, x + np.copysign(0.5, x), np.round(x))


def _as_unsigned(function: Operation) -> Binder:
    """Bind a function of bits: NumPy's are told by the sign of a type what to do."""

    def operation(x: Array, *others: Array) -> Array:
        unsigned = f"u{x.dtype.itemsize}"
        return (
            np.asarray(function(x.view(unsigned), *(y.view(unsigned) for y in others))).astype(unsigned).view(x.dtype)
        )

    return _plain(operation)


def _shift_right_arithmetic(x: Array, by: Array) -> Array:
    signed = f"i{x.dtype.itemsize}"
    return np.asarray(np.right_shift(x.view(signed), by.view(signed)).view(x.dtype))


def _leading_zeros(x: Array) -> Array:
    bits = 8 * x.dtype.itemsize
    return np.asarray(np.frompyfunc(lambda value: bits - int(value).bit_length(), 1, 1)(x))


BINDERS: Mapping[str, Binder] = {
    **GATHER_SCATTER,
    **SHAPING,
    **SPECIAL,
    "abs": _plain(np.abs),
    "acos": _plain(np.arccos),
    "acosh": _plain(np.arccosh),
    "add": _plain(np.add),
    "add_any": _plain(np.add),
    "and": _plain(np.bitwise_and),
    "argmax": _bind_arg(np.argmax),
    "argmin": _bind_arg(np.argmin),
    "asin": _plain(np.arcsin),
    "asinh": _plain(np.arcsinh),
    "atan": _plain(np.arctan),
    "atan2": _plain(np.arctan2),
    "atanh": _plain(np.arctanh),
    "cbrt": _plain(np.cbrt),
    "ceil": _plain(np.ceil),
    "clamp": _plain(lambda low, x, high: np.minimum(np.maximum(x, low), high)),
    "clz": _as_unsigned(_leading_zeros),
    "cos": _plain(np.cos),
    "cosh": _plain(np.cosh),
    "cummax": _bind_cumulative(np.maximum.accumulate),
    "cummin": _bind_cumulative(np.minimum.accumulate),
    "cumprod": _bind_cumulative(np.cumprod),
    "cumsum": _bind_cumulative(np.cumsum),
    "div": _plain(_div),
    "dot_general": _bind_dot_general,
    "eq": _plain(np.equal),
    "exp": _plain(np.exp),
    "exp2": _plain(np.exp2),
    "expm1": _plain(np.expm1),
    "floor": _plain(np.floor),
    "ge": _plain(np.greater_equal),
    "gt": _plain(np.greater),
    "integer_pow": lambda p: lambda x: np.power(x, p["y"] if p["y"] >= 0 else float(p["y"])),
    "is_finite": _plain(np.isfinite),
    "le": _plain(np.less_equal),
    "log": _plain(np.log),
    "log1p": _plain(np.log1p),
    "log2": _plain(np.log2),
    "logistic": _plain(_logistic),
    "lt": _plain(np.less),
    "max": _plain(np.maximum),
    "min": _plain(np.minimum),
    "mul": _plain(np.multiply),
    "ne": _plain(np.not_equal),
    "neg": _plain(np.negative),
    "nextafter": _plain(np.nextafter),
    "not": _plain(np.invert),
    "one_minus_square": _plain(lambda x: (1.0 - x) * (1.0 + x)),
    "or": _plain(np.bitwise_or),
    "polynomial": _plain(_polynomial),
    "population_count": _as_unsigned(np.bitwise_count),
    "pow": _plain(np.power),
    "reduce_and": _bind_reduce(np.bitwise_and.reduce),
    "reduce_max": _bind_extremum(np.maximum.reduce, -np.inf),
    "reduce_min": _bind_extremum(np.minimum.reduce, np.inf),
    "reduce_or": _bind_reduce(np.bitwise_or.reduce),
    "reduce_prod": _bind_reduce(np.multiply.reduce),
    "reduce_sum": _bind_reduce(np.add.reduce),
    "reduce_xor": _bind_reduce(np.bitwise_xor.reduce),
    "rem": _plain(np.fmod),
    "round": _bind_round,
    "rsqrt": _plain(lambda x: 1.0 / np.sqrt(x)),
    "shift_left": _as_unsigned(np.left_shift),
    "shift_right_arithmetic": _plain(_shift_right_arithmetic),
    "shift_right_logical": _as_unsigned(np.right_shift),
    "sign": _plain(np.sign),
    "sin": _plain(np.sin),
    "sinh": _plain(np.sinh),
    "sqrt": _plain(np.sqrt),
    "square": _plain(np.square),
    "sub": _plain(np.subtract),
    "tan": _plain(np.tan),
    "tanh": _plain(np.tanh),
    "xor": _plain(np.bitwise_xor),
}

MOVES = frozenset(
    [
        "broadcast_in_dim",
        "concatenate",
        "convert_element_type",
        "copy",
        "copy_p",
        "dynamic_slice",
        "dynamic_update_slice",
        "gather",
        "pad",
        "reshape",
        "rev",
        "scatter",
        "select_n",
        "slice",
        "split",
        "squeeze",
        "stop_gradient",
        "transpose",
    ]
)
EXACT = MOVES | frozenset(
    [
        "abs",
        "bitcast_convert_type",
        "ceil",
        "clamp",
        "cummax",
        "cummin",
        "dim_as_value",
        "floor",
        "iota",
        "max",
        "min",
        "neg",
        "reduce_max",
        "reduce_min",
        "round",
        "scatter-max",
        "scatter-min",
        "sign",
        "sort",
    ]
)
LINEAR = MOVES | frozenset(
    [
        "add",
        "add_any",
        "cumprod",
        "cumsum",
        "dot_general",
        "mul",
        "reduce_prod",
        "reduce_sum",
        "scatter-add",
        "scatter-mul",
    ]
)
