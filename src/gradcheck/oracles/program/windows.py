"""Convolution and pooling, written in simpler primitives of JAX.

Every window is gathered, by indices that are known once sizes are, into a row of its own; what is left is a matrix
product, a sum, or a maximum of rows. So each arithmetic that has those has these, with all that is known of them: the
magnitude of a convolution is the convolution of magnitudes, and which entry a pooling took is a comparison to replay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gradcheck.oracles.program.operation import Array, Params

__all__ = ["WINDOWS", "window_rows"]

Traceable = Callable[..., Any]


def _take(x: Any, index: Any) -> Any:
    """Gather along the last axis."""
    from jax import lax

    index = np.asarray(index, dtype=np.int32) if isinstance(index, np.ndarray) else index
    numbers = lax.GatherDimensionNumbers(
        offset_dims=tuple(range(x.ndim - 1)), collapsed_slice_dims=(x.ndim - 1,), start_index_map=(x.ndim - 1,)
    )
    starts = index[..., None]
    return lax.gather(x, starts, numbers, (*x.shape[:-1], 1), mode="promise_in_bounds")


def _extents(shape: Sequence[int], window: Sequence[int], strides: Sequence[int], dilation: Sequence[int]) -> list[int]:
    """Count the windows along each axis."""
    return [
        max(0, (n - (w - 1) * gap - 1) // stride + 1)
        for n, w, stride, gap in zip(shape, window, strides, dilation, strict=True)
    ]


def _places(shape: Sequence[int], window: Sequence[int], strides: Sequence[int], dilation: Sequence[int]) -> Array:
    """Give, per window (a row), the places of its entries in a flattened array."""
    counts = _extents(shape, window, strides, dilation)
    rank, index = len(shape), np.zeros((1,) * (2 * len(shape)), dtype=np.int64)
    for axis in range(rank):
        along = np.arange(counts[axis])[:, None] * strides[axis] + np.arange(window[axis]) * dilation[axis]
        expanded = [1] * (2 * rank)
        expanded[axis], expanded[rank + axis] = along.shape
        index = index + along.reshape(expanded) * math.prod(shape[axis + 1 :])
    return index.reshape(math.prod(counts), math.prod(window))


def _padded(x: Any, value: Any, padding: Sequence[Any], base_dilation: Sequence[int]) -> Any:
    import jax.numpy as jnp
    from jax import lax

    config = [(int(low), int(high), int(gap) - 1) for (low, high), gap in zip(padding, base_dilation, strict=True)]
    return lax.pad(x, jnp.asarray(value, x.dtype), config)


def _convolution(params: Params) -> Traceable:
    spec = params["dimension_numbers"]
    groups = max(params["feature_group_count"], params["batch_group_count"])

    def convolution(lhs: Any, rhs: Any) -> Any:
        from jax import lax

        lhs, rhs = lax.transpose(lhs, spec.lhs_spec), lax.transpose(rhs, spec.rhs_spec)
        padding, gaps = [(0, 0), (0, 0), *params["padding"]], [1, 1, *params["lhs_dilation"]]
        x = _padded(lhs, 0, padding, gaps)
        geometry = (x.shape[2:], rhs.shape[2:], params["window_strides"], params["rhs_dilation"])
        index = _places(*geometry)
        n, channels = x.shape[:2]
        rows = _take(x.reshape(n, channels, math.prod(x.shape[2:])), index)
        n //= params["batch_group_count"]
        channels //= params["feature_group_count"]
        # groups come first in batches, or between batches and channels
        split = (groups, n, channels) if params["batch_group_count"] > 1 else (n, groups, channels)
        rows = rows.reshape(*split, *index.shape)
        kernel = rhs.reshape(groups, rhs.shape[0] // groups, channels, index.shape[1])
        batch = 0 if params["batch_group_count"] > 1 else 1
        if groups == 1:
            product = lax.dot_general(rows[:, 0], kernel[0], (((1, 3), (1, 2)), ((), ())))[None]
        else:
            product = lax.dot_general(rows, kernel, (((2, 4), (2, 3)), ((batch,), (0,))))
        out = lax.transpose(product, (1, 0, 3, 2)).reshape(n, rhs.shape[0], *_extents(*geometry))
        return lax.transpose(out, np.argsort(spec.out_spec))

    return convolution


def _geometry(shape: Sequence[int], params: Params) -> tuple[Any, ...]:
    dilation = params.get("window_dilation") or (1,) * len(shape)
    return shape, params["window_dimensions"], params["window_strides"], dilation


def _rows(x: Any, value: Any, params: Params) -> tuple[Any, Array, tuple[int, ...]]:
    """Give a row per window, the places of its entries in the padded array, and the shape of that."""
    padded = _padded(x, value, params["padding"], params.get("base_dilation") or (1,) * x.ndim)
    index = _places(*_geometry(padded.shape, params))
    return _take(padded.reshape(-1), index), index, padded.shape


def window_rows(x: Any, value: Any, params: Params) -> tuple[Any, list[int]]:
    """Give a row per window, padded with a value, and how many windows there are along each axis."""
    rows, _, padded = _rows(x, value, params)
    return rows, _extents(*_geometry(padded, params))


def _neutral(dtype: Any, least: bool) -> Any:
    if np.issubdtype(dtype, np.integer):
        return np.iinfo(dtype).min if least else np.iinfo(dtype).max
    return -np.inf if least else np.inf


def _reducing(function: str) -> Callable[[Params], Traceable]:
    def bind(params: Params) -> Traceable:
        def reduce(x: Any) -> Any:
            from jax import lax

            neutral = np.asarray(0 if function == "add" else _neutral(x.dtype, least=function == "max"), x.dtype)
            rows, sizes = window_rows(x, neutral, params)
            return lax.reduce(rows, neutral, getattr(lax, function), (1,)).reshape(sizes)

        return reduce

    return bind


def _selected(operand: Any, params: Params) -> tuple[Any, tuple[int, ...]]:
    """Give the place in the padded array that each window takes its extreme entry from; of equal ones the first."""
    from jax import lax

    largest = params["select_prim"].name == "ge"
    rows, index, padded = _rows(operand, _neutral(operand.dtype, least=largest), params)
    chosen = (lax.argmax if largest else lax.argmin)(rows, 1, np.int32)
    first = np.arange(index.shape[0], dtype=np.int32) * np.int32(index.shape[1])
    return _take(np.asarray(index.reshape(-1), np.int32), chosen + first), padded


def _select_and_scatter_add(params: Params) -> Traceable:
    def scatter(source: Any, operand: Any) -> Any:
        from jax import lax

        place, padded = _selected(operand, params)
        numbers = lax.ScatterDimensionNumbers((), (0,), (0,))
        zeros = lax.full((math.prod(padded),), 0, source.dtype)
        out = lax.scatter_add(zeros, place[:, None], source.reshape(-1), numbers, mode="promise_in_bounds")
        return _padded(out.reshape(padded), 0, [(-low, -high) for low, high in params["padding"]], [1] * operand.ndim)

    return scatter


def _select_and_gather_add(params: Params) -> Traceable:
    def gather(tangents: Any, operand: Any) -> Any:
        place, padded = _selected(operand, params)
        spread = _padded(tangents, 0, params["padding"], params["base_dilation"])
        return _take(spread.reshape(-1), place).reshape(_extents(*_geometry(padded, params)))

    return gather


WINDOWS: Mapping[str, Callable[[Params], Traceable]] = {
    "conv_general_dilated": _convolution,
    "reduce_window_max": _reducing("max"),
    "reduce_window_min": _reducing("min"),
    "reduce_window_sum": _reducing("add"),
    "select_and_gather_add": _select_and_gather_add,
    "select_and_scatter_add": _select_and_scatter_add,
}
