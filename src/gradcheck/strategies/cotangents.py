"""Cotangents: each kind shows mistakes that another hides.

All ones hide a cotangent that was left out, one entry alone shows which output it belongs to, unequal entries
show outputs mixed up, and powers of two must scale the answer exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from hypothesis import strategies as st

from gradcheck.errors import InvalidArgument
from gradcheck.strategies.entries import Choice, SideSource, Source
from gradcheck.strategies.nested import leaves, map_leaves
from gradcheck.strategies.options import Array

# A large and a small power of two by dtype, the narrowest first, each with room for what a rule multiplies it by.
# float16 ends at 2^16 and is subnormal below 2^-14; the others reach 2^127 and 2^-126.
_EXPONENTS = {"float16": (8, -8), "bfloat16": (16, -20), "float32": (16, -20), "float64": (16, -20)}
_DTYPES = tuple(_EXPONENTS)


def _nonzero(source: Source, size: int) -> Array:
    """Read short decimals, none of them zero."""
    out = source.numbers((size,), full=False)
    return out + np.copysign(1.0, out)


def _ones(_source: Source, size: int, _narrowest: str) -> Array:
    return np.ones(size)


def _one_hot(source: Source, size: int, _narrowest: str) -> Array:
    out = np.zeros(size)
    if size:
        out[source.pick(Choice.ENTRY, size)] = 1
    return out


def _zeros(_source: Source, size: int, _narrowest: str) -> Array:
    return np.zeros(size)


def _ordinary(source: Source, size: int, _narrowest: str) -> Array:
    out = _nonzero(source, size)
    if size > 1 and np.ptp(np.sign(out)) == 0:
        out[-1] *= -1
    return out


def _negative(source: Source, size: int, _narrowest: str) -> Array:
    return -np.abs(_nonzero(source, size))


def _unequal(source: Source, size: int, _narrowest: str) -> Array:
    # Neighbours differ by 1/4 up to a size of 256 and repeat from there on: numbers short in every dtype.
    return (1 + (source.pick(Choice.SCALE, 8) + np.arange(size)) % 256) / 4


def _powers_of_two(source: Source, size: int, narrowest: str) -> Array:
    exponents = _EXPONENTS[narrowest]
    return np.full(size, 2.0 ** exponents[source.pick(Choice.SCALE, len(exponents))])


_KINDS: dict[str, Callable[[Source, int, str], Array]] = {
    "ones": _ones,
    "one-hot": _one_hot,
    "ordinary": _ordinary,
    "unequal": _unequal,
    "negative": _negative,
    "powers of two": _powers_of_two,
    "zeros": _zeros,
}
COTANGENT_KINDS = tuple(_KINDS)

COTANGENT_REGIMES: Mapping[str, str] = MappingProxyType(
    {
        "unequal cotangent": "a cotangent with two different entries",
        "negative cotangent": "a cotangent with an entry below zero",
    }
)
"""The regimes of cotangents, which `cotangents` visits whatever the output is: name and what it is."""


def cotangent_regimes_of(cotangent: Any) -> frozenset[str]:
    """Name every regime that a cotangent is in.

    Parameters
    ----------
    cotangent : array_like of float, or dict, list or tuple of them
        Of any shape, all its arrays taken together.

    Returns
    -------
    frozenset of str
        Keys of `COTANGENT_REGIMES`.

    Examples
    --------
    >>> from gradcheck import strategies as gst
    >>> gst.cotangent_regimes_of((np.ones(2), -1.0)) == set(gst.COTANGENT_REGIMES)
    True
    >>> gst.cotangent_regimes_of(np.ones(3))
    frozenset()
    """
    parts = [np.asarray(leaf, dtype=np.float64).ravel() for leaf in leaves(cotangent)]
    flat = np.concatenate(parts) if parts else np.zeros(0)
    holds = {"unequal cotangent": flat.size > 1 and np.ptp(flat) > 0, "negative cotangent": (flat < 0).any()}
    return frozenset(name for name, true in holds.items() if true)


def cotangents(like: Any) -> st.SearchStrategy[Any]:
    """Draw a cotangent for an output such as `like`.

    The kinds, `COTANGENT_KINDS`: all ones; one-hot, a single 1 in the whole of `like`; short decimals of both
    signs and without a zero; unequal; negative; a power of two, large or small; zeros. A scalar gets them all
    too, so a rule that leaves out the cotangent of its loss is seen.

    Parameters
    ----------
    like : array_like of float, or dict, list or tuple of them
        What the cotangent must have the shape, dtype and structure of.

    Returns
    -------
    SearchStrategy
        Of NumPy arrays, in the structure of `like`; 0-d arrays for scalars.

    Raises
    ------
    gradcheck.errors.InvalidArgument
        If `like` holds something else than float16, bfloat16, float32 or float64.

    Examples
    --------
    >>> from hypothesis import find
    >>> from gradcheck import strategies as gst
    >>> find(gst.cotangents(np.zeros(3)), lambda c: c[2] < 0)
    array([ 1.,  1., -1.])
    >>> find(gst.cotangents({"W": np.zeros((1, 2)), "b": np.zeros(2)}), lambda c: True)
    {'W': array([[1., 1.]]), 'b': array([1., 1.])}
    """
    return _cotangents(map_leaves(_float_array, like))


def _float_array(leaf: Any) -> Array:
    array = np.asarray(leaf)
    if array.dtype.name not in _DTYPES:
        raise InvalidArgument(
            f"like holds {leaf!r} of dtype {array.dtype}: pass float arrays ({', '.join(_DTYPES)}), "
            "the only ones that have cotangents"
        )
    return array


@st.composite
def _cotangents(draw: st.DrawFn, like: Any) -> Any:
    source = SideSource(draw, part=0)
    arrays = leaves(like)
    narrowest = min((array.dtype.name for array in arrays), key=_DTYPES.index, default=_DTYPES[-1])
    kind = COTANGENT_KINDS[source.pick(Choice.KIND, len(COTANGENT_KINDS))]
    flat = _KINDS[kind](source, sum(array.size for array in arrays), narrowest)
    taken = iter(np.split(flat, np.cumsum([array.size for array in arrays])))
    return map_leaves(lambda leaf: next(taken).reshape(leaf.shape).astype(leaf.dtype), like)
