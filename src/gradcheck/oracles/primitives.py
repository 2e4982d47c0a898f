"""JAX's primitives in NumPy: the arithmetic that evaluates a program of JAX's autodiff outside XLA.

Each entry of `BINDERS` takes the parameters of one equation (shapes already made of plain integers) and returns a
function of NumPy arrays. Semantics follow the reference of ``jax.lax``; gather and scatter are in `gather_scatter`.

Two sets say how an equation counts in error analysis. `EXACT` primitives move, select or negate numbers and round
nothing. `LINEAR` ones may be applied to magnitudes as they are, because each entry they return is a sum of entries
they take (with coefficient one), so the same operation on ``|x|`` bounds the size of the summands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradcheck.oracles.gather_scatter import bind_gather, bind_scatter, bind_scatter_add

__all__ = ["BINDERS", "EXACT", "LINEAR", "Array", "Operation"]

Array = np.ndarray[Any, np.dtype[Any]]
Operation = Callable[..., Any]
Params = Mapping[str, Any]
Binder = Callable[[Params], Operation]


def _plain(function: Operation) -> Binder:
    """Bind a primitive that has no parameters that matter to its value."""
    return lambda _: function


def _elementwise(function: Callable[[float], float]) -> Binder:
    """Bind a special function that only the standard library has (scipy is not a dependency)."""
    ufunc = np.frompyfunc(function, 1, 1)
    return lambda _: lambda x: np.asarray(ufunc(x), dtype=np.float64)


def _logistic(x: Array) -> Array:
    # exp(-x) overflows to inf for x < -709, where 1 / (1 + inf) = 0 is the correctly rounded limit
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def _bind_reduce(function: Operation) -> Binder:
    def bind(params: Params) -> Operation:
        axes = tuple(int(a) for a in params["axes"])
        return lambda x: function(x, axis=axes)

    return bind


def _bind_extremum(function: Operation, neutral: float) -> Binder:
    def bind(params: Params) -> Operation:
        axes = tuple(int(a) for a in params["axes"])

        def reduce(x: Array) -> Any:
            # over no entries lax returns the neutral element where NumPy raises
            initial = {"initial": neutral} if np.issubdtype(x.dtype, np.floating) else {}
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
            return lambda x: np.flip(function(np.flip(x, axis), axis=axis), axis)
        return lambda x: function(x, axis=axis)

    return bind


def _bind_bitcast(params: Params) -> Operation:
    dtype = np.dtype(params["new_dtype"])
    if dtype.kind == "f":
        return lambda x: x.view(dtype).astype(np.float64)
    # floats of every width are float64 here, and are put back into the width that has these bits
    return lambda x: (x.astype(f"f{dtype.itemsize}") if x.dtype.kind == "f" else x).view(dtype)


def _bind_broadcast(params: Params) -> Operation:
    shape, dims = params["shape"], params["broadcast_dimensions"]

    def broadcast(x: Array, *_: Any) -> Array:
        expanded = [1] * len(shape)
        for axis, dim in enumerate(dims):
            expanded[dim] = x.shape[axis]
        return np.broadcast_to(x.reshape(expanded), shape)

    return broadcast


def _bind_dot_general(params: Params) -> Operation:
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = params["dimension_numbers"]
    if not lhs_batch:
        return lambda a, b: np.tensordot(a, b, axes=(lhs_contract, rhs_contract))

    def batched(a: Array, b: Array) -> Array:
        letters = iter("abcdefghijklmnopqrstuvwxyz")
        lhs: list[str] = [next(letters) for _ in range(a.ndim)]
        rhs: list[str] = [next(letters) for _ in range(b.ndim)]
        for i, j in zip((*lhs_contract, *lhs_batch), (*rhs_contract, *rhs_batch), strict=True):
            rhs[j] = lhs[i]
        free_lhs = [lhs[i] for i in range(a.ndim) if i not in (*lhs_contract, *lhs_batch)]
        free_rhs = [rhs[j] for j in range(b.ndim) if j not in (*rhs_contract, *rhs_batch)]
        out = [lhs[i] for i in lhs_batch] + free_lhs + free_rhs
        return np.asarray(np.einsum(f"{''.join(lhs)},{''.join(rhs)}->{''.join(out)}", a, b))

    return batched


def _select(which: Array, *cases: Array) -> Array:
    if which.dtype == bool:
        return np.where(which, cases[1], cases[0])
    return np.asarray(np.choose(which, cases))


def _bind_pad(params: Params) -> Operation:
    config = [tuple(int(v) for v in triple) for triple in params["padding_config"]]

    def pad(x: Array, value: Array) -> Array:
        spread = [max(0, n + (n - 1) * gap) for n, (_, _, gap) in zip(x.shape, config, strict=True)]
        out = np.full([s + max(lo, 0) + max(hi, 0) for s, (lo, hi, _) in zip(spread, config, strict=True)], value)
        out[
            tuple(slice(max(lo, 0), max(lo, 0) + s, gap + 1) for s, (lo, _, gap) in zip(spread, config, strict=True))
        ] = x
        # negative padding crops
        return out[tuple(slice(max(-lo, 0), n - max(-hi, 0)) for n, (lo, hi, _) in zip(out.shape, config, strict=True))]

    return pad


def _bind_slice(params: Params) -> Operation:
    strides = params["strides"] or (1,) * len(params["start_indices"])
    index = tuple(map(slice, params["start_indices"], params["limit_indices"], strides))
    return lambda x: x[index]


def _clamped(starts: tuple[Array, ...], shape: tuple[int, ...], sizes: tuple[int, ...]) -> tuple[slice, ...]:
    """Windows moved inside the operand, as the dynamic slices of ``jax.lax`` are."""
    moved = [min(max(int(s), 0), n - size) for s, n, size in zip(starts, shape, sizes, strict=True)]
    return tuple(slice(m, m + size) for m, size in zip(moved, sizes, strict=True))


def _bind_dynamic_slice(params: Params) -> Operation:
    return lambda x, *starts: x[_clamped(starts[: x.ndim], x.shape, params["slice_sizes"])]


def _dynamic_update_slice(x: Array, update: Array, *starts: Array) -> Array:
    out = x.copy()
    out[_clamped(starts, x.shape, update.shape)] = update
    return out


def _bind_sort(params: Params) -> Operation:
    axis, keys = params["dimension"], params["num_keys"]

    def sort(*operands: Array) -> tuple[Array, ...]:
        order = np.lexsort(operands[:keys][::-1], axis=axis)
        return tuple(np.take_along_axis(x, order, axis) for x in operands)

    return sort


def _bind_split(params: Params) -> Operation:
    cuts = np.cumsum(params["sizes"])[:-1]
    return lambda x: tuple(np.split(x, cuts, axis=params["axis"]))


def _bind_convert(params: Params) -> Operation:
    dtype = np.dtype(params["new_dtype"])
    # a cast between float types is the identity of the mathematical function that is differentiated
    return lambda x: x.astype(np.float64 if np.issubdtype(dtype, np.floating) or dtype.kind == "V" else dtype)


def _bind_iota(params: Params) -> Operation:
    shape, axis, dtype = params["shape"], params["dimension"], params["dtype"]

    def iota(*_: Any) -> Array:
        line = np.arange(shape[axis], dtype=dtype).reshape([-1 if i == axis else 1 for i in range(len(shape))])
        return np.broadcast_to(line, shape)

    return iota


def _div(a: Array, b: Array) -> Any:
    if np.issubdtype(a.dtype, np.integer):
        return np.trunc(np.true_divide(a, b)).astype(a.dtype)  # lax truncates toward zero, NumPy floors
    return np.divide(a, b)


BINDERS: Mapping[str, Binder] = {
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
    "bitcast_convert_type": _bind_bitcast,
    "broadcast_in_dim": _bind_broadcast,
    "cbrt": _plain(np.cbrt),
    "ceil": _plain(np.ceil),
    "clamp": _plain(lambda low, x, high: np.minimum(np.maximum(x, low), high)),
    "concatenate": lambda p: lambda *xs: np.concatenate(xs, axis=p["dimension"]),
    "convert_element_type": _bind_convert,
    "copy": _plain(np.asarray),
    "copy_p": _plain(np.asarray),
    "cos": _plain(np.cos),
    "cosh": _plain(np.cosh),
    "cummax": _bind_cumulative(np.maximum.accumulate),
    "cummin": _bind_cumulative(np.minimum.accumulate),
    "cumprod": _bind_cumulative(np.cumprod),
    "cumsum": _bind_cumulative(np.cumsum),
    "dim_as_value": lambda p: lambda: np.asarray(p["dim"], dtype=np.int64),
    "div": _plain(_div),
    "dot_general": _bind_dot_general,
    "dynamic_slice": _bind_dynamic_slice,
    "dynamic_update_slice": _plain(_dynamic_update_slice),
    "eq": _plain(np.equal),
    "erf": _elementwise(math.erf),
    "erfc": _elementwise(math.erfc),
    "exp": _plain(np.exp),
    "exp2": _plain(np.exp2),
    "expm1": _plain(np.expm1),
    "floor": _plain(np.floor),
    "gather": bind_gather,
    "ge": _plain(np.greater_equal),
    "gt": _plain(np.greater),
    "integer_pow": lambda p: lambda x: np.power(x, p["y"] if p["y"] >= 0 else float(p["y"])),
    "iota": _bind_iota,
    "is_finite": _plain(np.isfinite),
    "le": _plain(np.less_equal),
    "lgamma": _elementwise(math.lgamma),
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
    "not": _plain(np.invert),
    "one_minus_square": _plain(lambda x: (1.0 - x) * (1.0 + x)),
    "or": _plain(np.bitwise_or),
    "pad": _bind_pad,
    "polynomial": _plain(lambda x, *coefficients: np.polynomial.polynomial.polyval(x, coefficients)),
    "pow": _plain(np.power),
    "reduce_and": _bind_reduce(np.logical_and.reduce),
    "reduce_max": _bind_extremum(np.max, -np.inf),
    "reduce_min": _bind_extremum(np.min, np.inf),
    "reduce_or": _bind_reduce(np.logical_or.reduce),
    "reduce_prod": _bind_reduce(np.prod),
    "reduce_sum": _bind_reduce(np.sum),
    "rem": _plain(np.fmod),
    "reshape": lambda p: lambda x, *_: np.reshape(x, p["new_sizes"]),
    "rev": lambda p: lambda x: np.flip(x, tuple(p["dimensions"])),
    "round": _plain(np.round),
    "rsqrt": _plain(lambda x: 1.0 / np.sqrt(x)),
    "scatter": bind_scatter,
    "scatter-add": bind_scatter_add,
    "select_n": _plain(_select),
    "sign": _plain(np.sign),
    "sin": _plain(np.sin),
    "sinh": _plain(np.sinh),
    "slice": _bind_slice,
    "sort": _bind_sort,
    "split": _bind_split,
    "sqrt": _plain(np.sqrt),
    "square": _plain(np.square),
    "squeeze": lambda p: lambda x: np.squeeze(x, tuple(p["dimensions"])),
    "stop_gradient": _plain(np.asarray),
    "sub": _plain(np.subtract),
    "tan": _plain(np.tan),
    "tanh": _plain(np.tanh),
    "transpose": lambda p: lambda x: np.transpose(x, p["permutation"]),
    "xor": _plain(np.bitwise_xor),
}

_MOVES = frozenset(
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
EXACT = _MOVES | frozenset(
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
        "sign",
        "sort",
    ]
)
LINEAR = _MOVES | frozenset(["add", "add_any", "cumsum", "dot_general", "mul", "reduce_sum", "scatter-add"])
