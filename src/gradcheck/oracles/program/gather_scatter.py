"""``gather`` and ``scatter`` of ``jax.lax`` in NumPy, in every index mode.

The window semantics are those of XLA's operation reference (sections Gather and Scatter): each row of ``indices``
names where a window starts, and batching dimensions walk operand and indices together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gradcheck.oracles.program.operation import Array, Binder, Params

__all__ = ["GATHER_SCATTER"]

# of a batch of windows (first axes: batch, last: one per axis of the operand), the flat places in the operand, and
# which windows are wholly inside
Places = tuple[Array, Array]
# Beyond so many places, finding them costs no more than moving what is there, and keeping them costs memory.
_REMEMBERED = 2**14


def _places(
    shape: tuple[int, ...],
    indices: Array,
    sizes: Sequence[int],
    index_map: tuple[int, ...],
    batching: tuple[tuple[int, int], ...],
) -> Places:
    """Find the windows; ``sizes`` holds their extent along each operand axis (1 where it is collapsed)."""
    batch, rank = indices.shape[:-1], len(shape)
    inside = np.ones(batch, dtype=bool)
    flat = np.zeros((1,) * (len(batch) + rank), dtype=np.int64)
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
        flat = flat + (start.reshape(batch + (1,) * rank) + offset) * math.prod(shape[axis + 1 :])
    return flat, inside.reshape(batch + (1,) * rank)


def _remembering(find: Callable[[tuple[int, ...], Array, Sequence[int]], Places]) -> Callable[..., Places]:
    """Keep the places last found: perturbed runs ask for the same ones, and finding them costs more than the moves."""
    last: list[tuple[Any, Array, Places]] = []

    def recall(shape: tuple[int, ...], indices: Array, sizes: Sequence[int]) -> Places:
        if indices.size * math.prod(sizes) > _REMEMBERED:
            return find(shape, indices, sizes)
        key = (shape, *sizes)
        if last and last[0][0] == key and np.array_equal(last[0][1], indices):
            return last[0][2]
        places = find(shape, indices, sizes)
        last[:] = [(key, indices.copy(), places)]
        return places

    return recall


def _mode(params: Params) -> str:
    return str(getattr(params["mode"], "name", params["mode"]))


def _bind_gather(params: Params) -> Callable[[Array, Array], Array]:
    dims, sizes = params["dimension_numbers"], [int(s) for s in params["slice_sizes"]]
    batching = tuple(zip(dims.operand_batching_dims, dims.start_indices_batching_dims, strict=True))
    dropped = (*dims.collapsed_slice_dims, *dims.operand_batching_dims)
    kept = [size for axis, size in enumerate(sizes) if axis not in dropped]
    index_map, offset = tuple(dims.start_index_map), list(dims.offset_dims)
    places = _remembering(lambda shape, indices, sizes: _places(shape, indices, sizes, index_map, batching))
    filled = _mode(params) == "FILL_OR_DROP"

    def gather(operand: Array, indices: Array) -> Array:
        flat, inside = places(operand.shape, indices, sizes)
        # from an empty operand nothing can be read; whatever the mode, there is no inside
        out = np.take(operand, flat) if operand.size else np.zeros(flat.shape, dtype=operand.dtype)
        if filled and not inside.all():
            fill = params["fill_value"]
            if fill is None:
                fill = np.nan if np.issubdtype(operand.dtype, np.inexact) else np.iinfo(operand.dtype).min
            out = np.where(inside, out, fill)
        batch = indices.shape[:-1]
        out = out.reshape((*batch, *kept))  # not squeeze: over no rows a dropped axis has size 0
        return np.moveaxis(out, list(range(len(batch), out.ndim)), offset) if offset else out

    return gather


def _bind_scatter(
    params: Params, write: Callable[[Array, Array, Array], None]
) -> Callable[[Array, Array, Array], Array]:
    dims = params["dimension_numbers"]
    batching = tuple(zip(dims.operand_batching_dims, dims.scatter_indices_batching_dims, strict=True))
    dropped = sorted((*dims.inserted_window_dims, *dims.operand_batching_dims))
    index_map, window = tuple(dims.scatter_dims_to_operand_dims), list(dims.update_window_dims)
    places = _remembering(lambda shape, indices, sizes: _places(shape, indices, sizes, index_map, batching))
    clipped = _mode(params) == "CLIP"

    def scatter(operand: Array, indices: Array, updates: Array) -> Array:
        batch_rank = indices.ndim - 1
        moved = np.moveaxis(updates, window, list(range(batch_rank, updates.ndim))) if window else updates
        full = np.expand_dims(moved, tuple(batch_rank + axis for axis in dropped))
        flat, inside = places(operand.shape, indices, full.shape[batch_rank:])
        out = np.array(operand, order="C")
        if clipped or inside.all():
            write(out.reshape(-1), flat.reshape(-1), full.reshape(-1))
        else:
            keep = np.broadcast_to(inside, full.shape)
            write(out.reshape(-1), flat[keep], full[keep])
        return out

    return scatter


def _accumulate(ufunc: np.ufunc) -> Binder:
    """Bind a scatter whose repeated indices accumulate."""
    return lambda params: _bind_scatter(params, ufunc.at)


def _assign(out: Array, places: Array, values: Array) -> None:
    out[places] = values


GATHER_SCATTER: Mapping[str, Binder] = {
    "gather": _bind_gather,
    "scatter": lambda params: _bind_scatter(params, _assign),
    "scatter-add": _accumulate(np.add),
    "scatter-max": _accumulate(np.maximum),
    "scatter-min": _accumulate(np.minimum),
    "scatter-mul": _accumulate(np.multiply),
}
