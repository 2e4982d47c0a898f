"""Primitives that are rewritten in simpler ones before anything evaluates them.

Each entry of `LOWERED` takes the parameters of one equation and returns a function that JAX can trace; its equations
take the place of the one. What can be written so needs no arithmetic of its own: NumPy, magnitudes, perturbation and
balls have it as soon as they have the simpler ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gradcheck.oracles.program.linear_algebra import LINEAR_ALGEBRA
from gradcheck.oracles.program.operation import Params
from gradcheck.oracles.program.windows import WINDOWS, window_rows

__all__ = ["LOWERED"]

Traceable = Callable[..., Any]


def _identity(_: Params) -> Traceable:
    return lambda *xs: xs


def _zeros(params: Params) -> Traceable:
    from jax import lax

    return lambda *_: lax.full(params.get("shape", ()), 0, params["dtype"])


def _tile(params: Params) -> Traceable:
    def tile(x: Any) -> Any:
        from jax import lax

        doubled = [size for pair in zip(params["reps"], x.shape, strict=True) for size in pair]
        spread = lax.broadcast_in_dim(x, doubled, range(1, 2 * x.ndim, 2))
        return spread.reshape([r * n for r, n in zip(params["reps"], x.shape, strict=True)])

    return tile


def _stack(params: Params) -> Traceable:
    from jax import lax

    axis = params["axis"]
    return lambda *xs: lax.concatenate([lax.expand_dims(x, (axis,)) for x in xs], axis)


def _unstack(params: Params) -> Traceable:
    from jax import lax

    axis = params["axis"]
    return lambda x: [lax.index_in_dim(x, i, axis, keepdims=False) for i in range(x.shape[axis])]


def _cumlogsumexp(params: Params) -> Traceable:
    import jax

    def scan(x: Any) -> Any:
        return jax.lax.associative_scan(jax.numpy.logaddexp, x, reverse=params["reverse"], axis=params["axis"])

    return scan


def _top_k(params: Params) -> Traceable:
    from jax import lax

    k = params["k"]

    def top(x: Any) -> Any:
        axis = params.get("axis", x.ndim - 1) % x.ndim
        # the order of a stable sort, downwards: the complement of an integer has no overflow
        key = -x if np.issubdtype(x.dtype, np.floating) else ~x
        place = lax.broadcasted_iota(np.int32, x.shape, axis)
        key, place = lax.sort((key, place), dimension=axis, num_keys=1)
        key, place = (lax.slice_in_dim(y, 0, k, axis=axis) for y in (key, place))
        return (-key if np.issubdtype(x.dtype, np.floating) else ~key), place

    return top


def _total_order(*, strict: bool) -> Callable[[Params], Traceable]:
    """Compare with NaN above all."""

    def bind(_: Params) -> Traceable:
        def compare(a: Any, b: Any) -> Any:
            below = a < b if strict else a <= b
            if not np.issubdtype(a.dtype, np.floating):
                return below
            return below | ((b != b) & (a == a)) if strict else below | (b != b)

        return compare

    return bind


def _scatter_sub(params: Params) -> Traceable:
    from jax import lax

    def subtract(x: Any, indices: Any, updates: Any) -> Any:
        return lax.scatter_add(x, indices, -updates, params["dimension_numbers"], mode=params["mode"])

    return subtract


def _folded(params: Params, starts: Sequence[Any], columns: Sequence[Any]) -> list[Any]:
    """Apply the function of a reduction again and again, along the last axis of matrices."""
    import jax
    from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

    inner = params["jaxpr"]
    closed = inner if hasattr(inner, "consts") else ClosedJaxpr(inner, params.get("consts", ()))
    step = jax.vmap(jaxpr_as_fun(closed))
    total = [jax.lax.broadcast(start, columns[0].shape[:1]) for start in starts]
    for k in range(columns[0].shape[1]):
        total = step(*total, *(jax.lax.index_in_dim(x, k, 1, keepdims=False) for x in columns))
    return total


def _fold(params: Params) -> Traceable:
    def reduce(*operands: Any) -> Any:
        from jax import lax

        xs, starts = operands[: len(operands) // 2], operands[len(operands) // 2 :]
        axes = params["dimensions"]
        kept = [axis for axis in range(xs[0].ndim) if axis not in axes]
        sizes = [xs[0].shape[axis] for axis in kept]
        count = math.prod(xs[0].shape[axis] for axis in axes)
        rows = [lax.transpose(x, (*kept, *axes)).reshape(math.prod(sizes), count) for x in xs]
        return [total.reshape(sizes) for total in _folded(params, starts, rows)]

    return reduce


def _fold_windows(params: Params) -> Traceable:
    def reduce(*operands: Any) -> Any:
        xs, starts = operands[: len(operands) // 2], operands[len(operands) // 2 :]
        rows, sizes = zip(*(window_rows(x, start, params) for x, start in zip(xs, starts, strict=True)), strict=True)
        return [total.reshape(sizes[0]) for total in _folded(params, starts, rows)]

    return reduce


def _high_level(params: Params) -> Traceable:
    """Expand a primitive that JAX defines by simpler ones itself."""
    return params["_prim"].expand  # type: ignore[no-any-return]  # JAX's parameters have no types


LOWERED: Mapping[str, Callable[[Params], Traceable]] = {
    **LINEAR_ALGEBRA,
    **WINDOWS,
    "call_hi_primitive": _high_level,
    "cumlogsumexp": _cumlogsumexp,
    "empty": _zeros,
    "empty2": _zeros,
    "le_to": _total_order(strict=False),
    "lt_to": _total_order(strict=True),
    "optimization_barrier": _identity,
    "reduce": _fold,
    "reduce_window": _fold_windows,
    "reduce_precision": _identity,  # as every cast between float types is
    "scatter-sub": _scatter_sub,
    "stack": _stack,
    "tile": _tile,
    "top_k": _top_k,
    "unstack": _unstack,
}
