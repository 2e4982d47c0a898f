"""``gather`` and ``scatter`` of ``jax.lax`` in NumPy, in every index mode.

The window semantics are those of XLA's operation reference (sections Gather and Scatter): each row of ``indices``
names where a window starts, and batching dimensions walk operand and indices together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gradcheck.oracles.program.operation import Array, Binder, Params

__all__ = ["GATHER_SCATTER"]

# of a batch of windows (first axes: batch, last: one per axis of the operand), the flat places in the operand, and
# which windows are wholly inside; None where all are
Places = tuple[Array, Array | None]
# Beyond so many places, finding them costs no more than moving what is there, and keeping them costs memory.
_REMEMBERED = 2**14


@dataclass(frozen=True)
class _Windows:
    """How rows of indices name windows: which axis of the operand each column is about, and which are walked along."""

    index_map: tuple[int, ...]
    batching: tuple[tuple[int, int], ...]

    def places(self, shape: tuple[int, ...], indices: Array, sizes: tuple[int, ...]) -> Places:
        """Find the windows; ``sizes`` holds their extent along each operand axis (1 where it is collapsed)."""
        if indices.size * math.prod(sizes) > _REMEMBERED:
            return _found(self, shape, indices, sizes)
        # what is gathered at labels is scattered to them too, and perturbed runs ask for the same places again
        return _recalled(self, shape, sizes, indices.shape, indices.dtype.str, indices.tobytes())


@lru_cache(maxsize=8)
def _recalled(
    windows: _Windows, shape: tuple[int, ...], sizes: tuple[int, ...], rows: tuple[int, ...], dtype: str, indices: bytes
) -> Places:
    return _found(windows, shape, np.frombuffer(indices, dtype).reshape(rows), sizes)


def _found(windows: _Windows, shape: tuple[int, ...], indices: Array, sizes: tuple[int, ...]) -> Places:
    batch, rank = indices.shape[:-1], len(shape)
    steps = [math.prod(shape[axis + 1 :]) for axis in range(rank)]  # in the flat operand
    starts, inside = np.zeros(batch, dtype=np.int64), None
    for column, axis in enumerate(windows.index_map):
        start, last = indices[..., column].astype(np.int64), shape[axis] - sizes[axis]
        if start.min(initial=0) < 0 or start.max(initial=0) > last:
            fits = (start >= 0) & (start <= last)
            inside = fits if inside is None else inside & fits
            start = np.minimum(np.maximum(start, 0), max(last, 0))
        starts += start * steps[axis]
    for axis, walked in windows.batching:
        line = np.arange(shape[axis]) * steps[axis]
        starts += line.reshape([-1 if i == walked else 1 for i in range(len(batch))])
    flat = starts.reshape(batch + (1,) * rank)
    for axis, size in enumerate(sizes):
        if size != 1:
            offset = np.arange(size) * steps[axis]
            flat = flat + offset.reshape([-1 if i == axis else 1 for i in range(rank)])
    return flat, None if inside is None else inside.reshape(batch + (1,) * rank)


def _mode(params: Params) -> str:
    return str(getattr(params["mode"], "name", params["mode"]))


def _bind_gather(params: Params) -> Callable[[Array, Array], Array]:
    dims, sizes = params["dimension_numbers"], tuple(int(s) for s in params["slice_sizes"])
    batching = tuple(zip(dims.operand_batching_dims, dims.start_indices_batching_dims, strict=True))
    dropped = (*dims.collapsed_slice_dims, *dims.operand_batching_dims)
    kept = [size for axis, size in enumerate(sizes) if axis not in dropped]
    offset = list(dims.offset_dims)
    windows = _Windows(tuple(dims.start_index_map), batching)
    filled = _mode(params) == "FILL_OR_DROP"

    def gather(operand: Array, indices: Array) -> Array:
        flat, inside = windows.places(operand.shape, indices, sizes)
        # from an empty operand nothing can be read; whatever the mode, there is no inside
        out = np.take(operand, flat) if operand.size else np.zeros(flat.shape, dtype=operand.dtype)
        if filled and inside is not None:
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
    windows, window = _Windows(tuple(dims.scatter_dims_to_operand_dims), batching), list(dims.update_window_dims)
    clipped = _mode(params) == "CLIP"

    def scatter(operand: Array, indices: Array, updates: Array) -> Array:
        batch_rank = indices.ndim - 1
        moved = np.moveaxis(updates, window, list(range(batch_rank, updates.ndim))) if window else updates
        sizes = list(moved.shape[batch_rank:])
        for axis in dropped:
            sizes.insert(axis, 1)
        full = moved.reshape((*indices.shape[:-1], *sizes))
        flat, inside = windows.places(operand.shape, indices, tuple(sizes))
        out = np.array(operand, order="C")
        if clipped or inside is None:
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
