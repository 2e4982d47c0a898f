"""Arguments like those of an example call: for any rule, where nothing more is known about its domain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
from hypothesis import strategies as st

from gradcheck.errors import InvalidArgument
from gradcheck.strategies.entries import Choice, Source
from gradcheck.strategies.nested import leaves, map_leaves
from gradcheck.strategies.options import DTYPES, Array
from gradcheck.strategies.regimes import TINY

# The square of 5 times this, summed over 10 entries, is finite: 64,000 of 65,504 in float16. The wider dtypes
# could take more; a rule that nobody described might not, and 1e3 already breaks an unshifted exponential.
HUGE = {"float16": (16.0,), "float32": (1e3,), "float64": (1e3,)}

# From ordinary numbers, the values of the example (both float64 and of one shape) and a scale to the values drawn.
Make = Callable[[Array, Array, float], Array]


def _ordinary(base: Array, _given: Array, _scale: float) -> Array:
    return base


def _given(_base: Array, given: Array, scale: float) -> Array:
    return given * scale


def _ties(base: Array, _given: Array, _scale: float) -> Array:
    return np.rint(base / 4)  # -1, 0 and 1 only


def _scaled(base: Array, _given: Array, scale: float) -> Array:
    return (base + np.copysign(1.0, base)) * scale


def _zeros(base: Array, _given: Array, _scale: float) -> Array:
    return np.zeros_like(base)


_ONE = dict.fromkeys(DTYPES, (1.0,))
# Each with its scales, by dtype. None scales the example up, which could overflow.
_VALUES: tuple[tuple[Make, Mapping[str, Sequence[float]]], ...] = (
    (_ordinary, _ONE),
    (_given, dict.fromkeys(DTYPES, (1.0, -1.0, 0.5, -0.125))),
    (_ties, _ONE),
    (_scaled, TINY),
    (_scaled, HUGE),
    (_zeros, _ONE),
)


def like(*args: Any, vary: int | tuple[int, ...] | None = None) -> st.SearchStrategy[tuple[Any, ...]]:
    """Draw arguments like the given ones.

    A float array that varies takes values that are ordinary (about -4 to 4), as given, as given with another
    sign or scale, tied, tiny, huge, or all zero. Where several arrays have first axes of one length, no array
    has another and no other axis is as long, that axis holds rows: from 1 to twice as many are drawn, with
    repetition, the same ones of every array, so that labels keep valid values. All else stays as given.

    Arrays are C-contiguous, however the example lies in memory: a rule is handed copies, and the law of layouts tries
    them all.

    One example does not tell the domain of a rule: where that has no zeros or no negative numbers, write a
    strategy instead.

    Parameters
    ----------
    *args
        The example: arrays, numbers and other data; dicts, lists and tuples of them.
    vary : int or tuple of int, optional
        Positions of the arguments whose floats vary; left out, all that hold any. One-hot labels kept as
        floats would vary too: name the others here.

    Returns
    -------
    SearchStrategy of tuple
        As long as `args`. Arrays are NumPy arrays and share no memory with the example.

    Raises
    ------
    gradcheck.errors.InvalidArgument
        If `vary` names no argument, or one without floats.

    Examples
    --------
    >>> from hypothesis import find
    >>> from gradcheck import strategies as gst
    >>> z, y = np.array([[0.5, 2.0, 1.0], [3.0, 0.0, 1.0]]), np.array([2, 0])
    >>> find(gst.like(z, y), lambda args: len(args[1]) == 3)
    (array([[0., 0., 0.],
           [0., 0., 0.],
           [0., 0., 0.]]), array([2, 2, 2]))
    """
    example = map_leaves(_copied, args)
    varying, rows = _positions(example, vary), _common_rows(example)
    return _varied(example, varying, rows)


def _copied(leaf: Any) -> Any:
    is_array = hasattr(leaf, "__array__") and not isinstance(leaf, np.generic)
    return np.array(leaf) if is_array else leaf


def _dtype(leaf: Any) -> str | None:
    """Name the float dtype of a leaf, None where it has none that varies."""
    if isinstance(leaf, (float, np.ndarray, np.generic)):
        name = np.asarray(leaf).dtype.name
        return name if name in DTYPES else None
    return None


def _positions(args: tuple[Any, ...], vary: int | tuple[int, ...] | None) -> frozenset[int]:
    floats = frozenset(i for i, arg in enumerate(args) if any(map(_dtype, leaves(arg))))
    if vary is None:
        if not floats:
            raise InvalidArgument("no argument holds floats, so nothing would vary: pass float arrays")
        return floats
    positions = vary if isinstance(vary, tuple) else (vary,)
    if not positions or any(type(p) is not int or p not in floats for p in positions):
        raise InvalidArgument(
            f"vary={vary!r}: pass positions of arguments that hold floats, which are {sorted(floats)}"
        )
    return frozenset(positions)


def _common_rows(args: tuple[Any, ...]) -> int | None:
    """Return the number of rows of all arrays, or None where it must not change."""
    shapes = [leaf.shape for leaf in leaves(args) if isinstance(leaf, np.ndarray) and leaf.ndim]
    rows = {shape[0] for shape in shapes}
    others = {length for shape in shapes for length in shape[1:]}
    if len(shapes) < 2 or len(rows) != 1 or rows & others or 0 in rows:
        return None
    (length,) = rows
    # A list of as many numbers may well be the rows of something, and lists are not resampled.
    return None if _has_sequence(args, length) else length


def _has_sequence(tree: Any, length: int) -> bool:
    if isinstance(tree, dict):
        return any(_has_sequence(value, length) for value in tree.values())
    if not isinstance(tree, (list, tuple)):
        return False
    plain = not any(isinstance(value, (dict, list, tuple, np.ndarray)) for value in tree)
    return (plain and len(tree) == length) or any(_has_sequence(value, length) for value in tree)


@st.composite
def _varied(draw: st.DrawFn, args: tuple[Any, ...], vary: frozenset[int], rows: int | None) -> tuple[Any, ...]:
    source = Source(draw, arrays=len(leaves(args)))
    taken = None if rows is None else source.indices(1 + source.pick(Choice.ROWS, 2 * rows), rows)
    nth = count()

    def resampled(leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray):
            return leaf
        return leaf[taken] if taken is not None and leaf.ndim else leaf.copy()

    def varied(leaf: Any) -> Any:
        given, dtype = resampled(leaf), _dtype(leaf)
        return given if dtype is None else _as_in(leaf, _values(source, next(nth), given, dtype), dtype)

    return tuple(map_leaves(varied if i in vary else resampled, arg) for i, arg in enumerate(args))


def _values(source: Source, nth: int, given: Any, dtype: str) -> Array:
    wide = np.asarray(given, dtype=np.float64)
    make, scales = _VALUES[source.pick(Choice.VALUES, len(_VALUES), nth)]
    scale = scales[dtype][source.pick(Choice.SCALE, len(scales[dtype]), nth)]
    return make(source.numbers(wide.shape, nth=nth), wide, scale)


def _as_in(leaf: Any, values: Array, dtype: str) -> Any:
    """Round the values to the dtype, and give them back as what the leaf is."""
    rounded = np.array(values, dtype=dtype)
    rounded[np.abs(rounded) < np.finfo(dtype).tiny] = 0
    if isinstance(leaf, np.ndarray):
        return rounded
    return float(rounded) if isinstance(leaf, float) and not isinstance(leaf, np.generic) else rounded[()]
