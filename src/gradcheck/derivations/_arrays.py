"""What every rule here does to what it is given: floating primals in, cotangents shaped like the output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gradcheck.derivations._namespace import namespace

__all__ = ["Array", "Pullback", "as_cotangent", "as_floating", "assign", "is_concrete", "widened"]

Array: TypeAlias = npt.NDArray[Any]
Pullback: TypeAlias = Callable[[npt.ArrayLike], Array]


def as_floating(x: npt.ArrayLike, name: str) -> Array:
    """Return `x` as an array, without a copy where it is one, and insist on real floating-point numbers.

    Raises
    ------
    ValueError
        If `x` is ragged or its dtype is not a real floating one; the message calls it `name`.
    """
    xp = namespace(x)
    try:
        array: Array = xp.asarray(x)
    except ValueError as error:
        raise ValueError(f"{name} is ragged: its rows must all have the same length ({error})") from error
    if not xp.issubdtype(array.dtype, xp.floating):
        raise ValueError(
            f"{name} has dtype {array.dtype}, and only real floating-point numbers have a gradient here: "
            f"convert it first, as in np.asarray({name}, dtype=np.float64)"
        )
    return array


def as_cotangent(ct: npt.ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return the cotangent of an output of this `shape`, in `dtype`. It may share memory with `ct`.

    The shape must agree exactly: a cotangent that broadcasts is a mistake that would show nowhere else.

    Raises
    ------
    ValueError
        If the shape differs, or the numbers are not real.
    """
    xp = namespace(ct)
    array: Array = xp.asarray(ct)
    if array.shape != shape:
        raise ValueError(f"the cotangent has shape {array.shape} and the output {shape}: they must agree")
    if not (xp.issubdtype(array.dtype, xp.floating) or xp.issubdtype(array.dtype, xp.integer)):
        raise ValueError(f"the cotangent has dtype {array.dtype}: pass real numbers, as the output holds")
    return array.astype(dtype, copy=False)


def assign(out: Array, index: Any, value: Array) -> Array:
    """Return `out` with `value`, rounded to its dtype, at `index`: the same array in NumPy, a new one in JAX."""
    if is_concrete(out):
        out[index] = value
        return out
    functional: Any = out
    updated: Array = functional.at[index].set(value.astype(out.dtype))
    return updated


def is_concrete(x: object) -> bool:
    """Tell whether `x` holds NumPy numbers that can be looked at, as a tracer does not."""
    return isinstance(x, np.ndarray)


def widened(x: Array) -> Array:
    """Return `x` in float32 where it is narrower, itself otherwise.

    Long sums need it: float16 ends at 65504, so it holds neither the sum over 70,000 classes nor 1/N to
    more than a few bits. The results are rounded back once, at the end.
    """
    xp = namespace(x)
    return x.astype(xp.promote_types(x.dtype, xp.float32), copy=False)
