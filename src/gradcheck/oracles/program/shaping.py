"""Primitives that move entries and round nothing: shapes, slices, padding, sorting, selection, casts.

All but the casts work on arrays of objects as they do on floats, which ball arithmetic relies on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradcheck.oracles.program.operation import Array, Binder, Operation, Params, Untraceable

__all__ = ["SHAPING", "sort_order", "truncated"]


# Below so many entries a copy costs less than NumPy takes to make a view that repeats them.
_COPIED = 2**10


def _bind_bitcast(params: Params) -> Operation:
    dtype = np.dtype(params["new_dtype"])
    if dtype.kind == "f":
        return lambda x: x.view(dtype).astype(np.float64)
    # floats of every width are float64 here, and are put back into the width that has these bits
    return lambda x: (x.astype(f"f{dtype.itemsize}") if x.dtype.kind == "f" else x).view(dtype)


def _bind_broadcast(params: Params) -> Operation:
    shape, dims = params["shape"], params["broadcast_dimensions"]
    small = math.prod(shape) <= _COPIED

    def broadcast(x: Array, *_: Any) -> Array:
        expanded = [1] * len(shape)
        for axis, dim in enumerate(dims):
            expanded[dim] = x.shape[axis]
        if not small:
            return np.broadcast_to(x.reshape(expanded), shape)
        out = np.empty(shape, x.dtype)
        out[...] = x.reshape(expanded)
        return out

    return broadcast


def _bind_reshape(params: Params) -> Operation:
    sizes, order = params["new_sizes"], params.get("dimensions")
    if order is None:
        return lambda x, *_: np.reshape(x, sizes)
    return lambda x, *_: np.reshape(np.transpose(x, order), sizes)


def _select(which: Array, *cases: Array) -> Array:
    if which.ndim == 0:
        return cases[int(which)]
    if which.dtype == bool:
        return np.where(which, cases[1], cases[0])
    out = cases[0]
    for k, case in enumerate(cases[1:], start=1):
        out = np.where(which == k, case, out)
    return out


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


def sort_order(params: Params, operands: Sequence[Array]) -> Array:
    """Give the places that a stable sort by the first operands takes its entries from."""
    return np.asarray(np.lexsort(operands[: params["num_keys"]][::-1], axis=params["dimension"]))


def _bind_sort(params: Params) -> Operation:
    def sort(*operands: Array) -> Any:
        order = sort_order(params, operands)
        sorted_operands = tuple(np.take_along_axis(x, order, params["dimension"]) for x in operands)
        return sorted_operands if len(operands) > 1 else sorted_operands[0]  # one result stands for itself

    return sort


def _bind_split(params: Params) -> Operation:
    cuts = np.cumsum(params["sizes"])[:-1]

    def split(x: Array) -> Any:
        parts = np.split(x, cuts, axis=params["axis"])
        return parts if len(parts) > 1 else parts[0]

    return split


def truncated(x: Array, dtype: np.dtype[Any]) -> Array:
    """Make integers of floats: those out of range become the last in it, and NaN becomes 0, as in XLA."""
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    inside = (x > low) & (x < high)
    return np.where(
        inside,
        np.where(inside, x, 0).astype(dtype),
        np.where(x >= high, high, np.where(x <= low, low, 0)).astype(dtype),
    )


def _bind_convert(params: Params) -> Operation:
    dtype = np.dtype(params["new_dtype"])
    if dtype.kind == "c":
        raise Untraceable("its program has complex numbers, which the interpreter lacks")
    # a cast between float types is the identity of the mathematical function that is differentiated
    wanted = np.dtype(np.float64) if np.issubdtype(dtype, np.floating) or dtype.kind == "V" else dtype
    if wanted.kind not in "iu":
        return lambda x: x.astype(wanted, copy=False)
    return lambda x: truncated(x, wanted) if x.dtype.kind == "f" else x.astype(wanted, copy=False)


def _bind_iota(params: Params) -> Operation:
    shape, axis, dtype = params["shape"], params["dimension"], params["dtype"]

    def iota(*_: Any) -> Array:
        line = np.arange(shape[axis], dtype=dtype).reshape([-1 if i == axis else 1 for i in range(len(shape))])
        return np.broadcast_to(line, shape)

    return iota


def _as_it_is(_: Params) -> Operation:
    return np.asarray


SHAPING: Mapping[str, Binder] = {
    "bitcast_convert_type": _bind_bitcast,
    "broadcast_in_dim": _bind_broadcast,
    "concatenate": lambda p: lambda *xs: np.concatenate(xs, axis=p["dimension"]),
    "convert_element_type": _bind_convert,
    "copy": _as_it_is,
    "copy_p": _as_it_is,
    "dim_as_value": lambda p: lambda: np.asarray(p["dim"], dtype=np.int64),
    "dynamic_slice": _bind_dynamic_slice,
    "dynamic_update_slice": lambda _: _dynamic_update_slice,
    "iota": _bind_iota,
    "pad": _bind_pad,
    "reshape": _bind_reshape,
    "rev": lambda p: lambda x: np.flip(x, tuple(p["dimensions"])),
    "select_n": lambda _: _select,
    "slice": _bind_slice,
    "sort": _bind_sort,
    "split": _bind_split,
    "squeeze": lambda p: lambda x: np.squeeze(x, tuple(p["dimensions"])),
    "stop_gradient": _as_it_is,
    "transpose": lambda p: lambda x: np.transpose(x, p["permutation"]),
}
