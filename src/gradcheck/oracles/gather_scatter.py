"""``gather`` and ``scatter`` of ``jax.lax`` in NumPy, in every index mode.

The window semantics are those of XLA's operation reference (sections Gather and Scatter): each row of ``indices``
names where a window starts, and batching dimensions walk operand and indices together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["bind_gather", "bind_scatter", "bind_scatter_add"]

Array = np.ndarray[Any, np.dtype[Any]]
Params = Mapping[str, Any]


def _window_indices(
    shape: tuple[int, ...],
    indices: Array,
    sizes: list[int],
    index_map: tuple[int, ...],
    batching: tuple[tuple[int, int], ...],
) -> tuple[list[Array], Array]:
    """Give one index array per operand axis, shaped batch + window, and where the whole window is inside.

    ``sizes`` holds the window's extent along each operand axis (1 where it is collapsed).
    """
    batch, rank = indices.shape[:-1], len(shape)
    inside = np.ones(batch, dtype=bool)
    axes: list[Array] = []
    for axis in range(rank):
        start = np.zeros(batch, dtype=np.int64)
        if axis in index_map:
            start = indices[..., index_map.index(axis)].astype(np.int64)
            inside &= (start >= 0) & (start <= shape[axis] - sizes[axis])
            start = np.clip(start, 0, max(shape[axis] - sizes[axis], 0))
        for operand_axis, indices_axis in batching:
            if axis == operand_axis:
                line = np.arange(shape[axis])
                start = np.broadcast_to(
                    line.reshape([-1 if i == indices_axis else 1 for i in range(len(batch))]), batch
                )
        offset = np.arange(sizes[axis]).reshape([-1 if i == axis else 1 for i in range(rank)])
        axes.append(start.reshape(batch + (1,) * rank) + offset)
    return axes, inside


def _mode(params: Params) -> str:
    return str(getattr(params["mode"], "name", params["mode"]))


def bind_gather(params: Params) -> Callable[[Array, Array], Array]:
    """Bind ``lax.gather``."""
    dims, sizes = params["dimension_numbers"], [int(s) for s in params["slice_sizes"]]
    batching = tuple(zip(dims.operand_batching_dims, dims.start_indices_batching_dims, strict=True))
    dropped = (*dims.collapsed_slice_dims, *dims.operand_batching_dims)

    def gather(operand: Array, indices: Array) -> Array:
        rank, batch_rank = operand.ndim, indices.ndim - 1
        axes, inside = _window_indices(operand.shape, indices, sizes, tuple(dims.start_index_map), batching)
        if 0 in operand.shape:  # nothing can be read; whatever the mode, there is no inside
            out = np.zeros(np.broadcast_shapes(*(a.shape for a in axes)), dtype=operand.dtype)
        else:
            out = operand[tuple(axes)]
        if _mode(params) == "FILL_OR_DROP":
            fill = params["fill_value"]
            if fill is None:
                fill = np.nan if np.issubdtype(operand.dtype, np.inexact) else np.iinfo(operand.dtype).min
            out = np.where(inside.reshape(inside.shape + (1,) * rank), out, fill)
        kept = [size for axis, size in enumerate(sizes) if axis not in dropped]
        out = out.reshape((*inside.shape, *kept))  # not squeeze: over no rows a dropped axis has size 0
        offset = list(dims.offset_dims)
        return np.moveaxis(out, list(range(batch_rank, out.ndim)), offset) if offset else out

    return gather


def _bind_scatter(
    params: Params, write: Callable[[Array, tuple[Array, ...], Array], None]
) -> Callable[[Array, Array, Array], Array]:
    dims = params["dimension_numbers"]
    batching = tuple(zip(dims.operand_batching_dims, dims.scatter_indices_batching_dims, strict=True))
    dropped = (*dims.inserted_window_dims, *dims.operand_batching_dims)

    def scatter(operand: Array, indices: Array, updates: Array) -> Array:
        rank, batch_rank = operand.ndim, indices.ndim - 1
        window = list(dims.update_window_dims)
        moved = np.moveaxis(updates, window, list(range(batch_rank, updates.ndim))) if window else updates
        full = np.expand_dims(moved, tuple(batch_rank + axis for axis in sorted(dropped)))
        axes, inside = _window_indices(
            operand.shape,
            indices,
            list(full.shape[batch_rank:]),
            tuple(dims.scatter_dims_to_operand_dims),
            batching,
        )
        out = operand.copy()
        keep = np.broadcast_to(inside.reshape(inside.shape + (1,) * rank), full.shape)
        if _mode(params) == "CLIP":
            keep = np.ones_like(keep)
        write(out, tuple(np.broadcast_to(a, full.shape)[keep] for a in axes), full[keep])
        return out

    return scatter


def bind_scatter_add(params: Params) -> Callable[[Array, Array, Array], Array]:
    """Bind ``lax.scatter_add``: repeated indices accumulate."""
    return _bind_scatter(params, np.add.at)


def bind_scatter(params: Params) -> Callable[[Array, Array, Array], Array]:
    """Bind ``lax.scatter`` (assignment)."""

    def assign(out: Array, index: tuple[Array, ...], values: Array) -> None:
        out[index] = values

    return _bind_scatter(params, assign)
