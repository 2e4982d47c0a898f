"""One table of the ways in which the same numbers may lie in memory.

A gradient must not depend on any of them. One that reads a buffer as if it were C-contiguous, writes into what it was
handed, or asks for strides, does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["LAYOUTS", "Layout"]

Array = np.ndarray[Any, np.dtype[Any]]

# Far beyond the end of any array that has an axis of size one, and a multiple of the item's size, since frameworks
# that count strides in items refuse others.
_ODD = 1009


@dataclass(frozen=True)
class Layout:
    """One way of lying in memory.

    Attributes
    ----------
    name, about : str
        What it is called, and what it is, in one line.
    make : callable
        From an array that the layout applies to, to the same numbers in it: equal entries, shape and dtype, in memory
        of their own.
    applies : callable
        Whether an array has a form of this layout that the plain one, C-contiguous, is not.

    Examples
    --------
    >>> from gradcheck.layouts import LAYOUTS
    >>> a = np.arange(6.0).reshape(2, 3)
    >>> {layout.name: layout.make(a).strides for layout in LAYOUTS if layout.applies(a)}["reversed"]
    (-24, -8)
    """

    name: str
    about: str
    make: Callable[[Array], Array | np.generic[Any]]
    applies: Callable[[Array], bool]


def _copy(array: Array) -> Array:
    return np.array(array, order="C")


def _always(_: Array) -> bool:
    return True


def _has_entries(array: Array) -> bool:
    return array.ndim > 0 and array.size > 0


def _is_long(array: Array) -> bool:
    return array.size > 1


def _has_two_axes(array: Array) -> bool:
    return sum(1 for length in array.shape if length > 1) > 1


def _buffer(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Make a buffer whose every entry stands out where somebody reads it by mistake."""
    return np.full(shape, np.iinfo(dtype).max if dtype.kind in "iu" else np.nan, dtype)


def _within(view: Array, array: Array) -> Array:
    view[...] = array
    return view


def _fortran(array: Array) -> Array:
    return np.array(array, order="F")


def _strided(array: Array) -> Array:
    buffer = _buffer(tuple(2 * length for length in array.shape), array.dtype)
    return _within(buffer[(slice(None, None, 2),) * array.ndim], array)


def _reversed(array: Array) -> Array:
    return np.flip(np.flip(array).copy())


def _transposed(array: Array) -> Array:
    # A spare column keeps it from being Fortran-contiguous, which the transpose of a plain matrix would be.
    *batch, rows, columns = array.shape
    view = _buffer((*batch, columns, rows + 1), array.dtype)[..., :rows]
    return _within(np.swapaxes(view, -1, -2), array)


def _offset(array: Array) -> Array:
    *rows, columns = array.shape
    return _within(_buffer((*rows, columns + 2), array.dtype)[..., 1:-1], array)


def _read_only(array: Array) -> Array:
    out = _copy(array)
    out.flags.writeable = False
    return out


def _constant_axes(array: Array) -> list[int]:
    """Find the axes along which all entries are the same, to the bit: -0.0 is not 0.0 here, and NaN is NaN."""
    return [
        axis
        for axis, length in enumerate(array.shape)
        if length > 1 and np.broadcast_to(array.take([0], axis), array.shape).tobytes() == array.tobytes()
    ]


def _broadcast(array: Array) -> Array:
    axes = _constant_axes(array)
    first = tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(array.ndim))
    return np.broadcast_to(array[first].copy(), array.shape)


def _is_constant(array: Array) -> bool:
    return array.size > 0 and bool(_constant_axes(array))


def _scalar(array: Array) -> Any:
    return array[()]


def _is_scalar(array: Array) -> bool:
    return array.ndim == 0


def _odd_strides(array: Array) -> Array:
    out = _copy(array)
    strides = [
        _ODD * out.itemsize if length == 1 else stride for length, stride in zip(out.shape, out.strides, strict=True)
    ]
    return np.lib.stride_tricks.as_strided(out, strides=strides)


def _has_size_one(array: Array) -> bool:
    return array.size > 0 and 1 in array.shape


LAYOUTS: tuple[Layout, ...] = (
    Layout("C-contiguous", "row by row, in memory of its own; a 0-d array for a number", _copy, _always),
    Layout("Fortran", "column by column", _fortran, _has_two_axes),
    Layout("strided", "every other element, along every axis, of a larger buffer", _strided, _has_entries),
    Layout("reversed", "backwards along every axis: negative strides", _reversed, _is_long),
    Layout("transposed", "the transpose of a part of a larger matrix", _transposed, _has_two_axes),
    Layout("offset", "rows that start one element into those of a larger buffer", _offset, _has_entries),
    Layout("read-only", "not writeable", _read_only, _always),
    Layout("stride-0", "one stored entry for all along an axis, where they are equal", _broadcast, _is_constant),
    Layout("NumPy scalar", "a number instead of the 0-d array of it", _scalar, _is_scalar),
    Layout("odd strides", "meaningless strides along the axes of size one", _odd_strides, _has_size_one),
)
"""All layouts, the plainest first."""
