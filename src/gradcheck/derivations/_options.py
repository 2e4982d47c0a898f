"""What an option may be: the one check of numbers that every rule here takes as keywords."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from operator import index
from typing import Any

import numpy as np

__all__ = ["check_index", "check_number"]

# What a number may be: a test, and its words.
_RANGES: Mapping[str, tuple[Callable[[float], bool], str]] = {
    "epsilon": (
        lambda value: 0 < value < np.inf,
        "a finite number above 0, such as 1e-5, which keeps rows without spread from dividing by 0",
    ),
    "gamma": (lambda value: 0 <= value < np.inf, "a finite number, at least 0, where 0 is softmax + NLL"),
    "label_smoothing": (lambda value: 0 <= value <= 1, "a number from 0 to 1"),
    "temperature": (lambda value: 0 < value < np.inf, "a finite number above 0"),
    "z_loss": (lambda value: 0 <= value < np.inf, "a finite number from 0 up"),
    "softcap": (lambda value: 0 < value < np.inf, "a finite number above 0, or None for no cap"),
}


def check_number(name: str, value: Any, dtype: np.dtype[Any], *, squared: bool = False) -> float:
    """Return the option as a Python number, which takes on the dtype of what it meets.

    With `squared`, its square must be a number of that dtype too, since the rule multiplies by it.

    Raises
    ------
    ValueError
        If it is no number, outside the option's range, or neither 0 nor a normal number of `dtype`, in which
        it would become another.
    """
    legal, words = _RANGES[name]
    if isinstance(value, bool) or not isinstance(value, Real) or not legal(number := _as_float(value)):
        raise ValueError(f"{name}={value!r}: pass {words}")
    info = np.finfo(dtype)
    with np.errstate(over="ignore", under="ignore"):
        used = info.dtype.type(number) ** (2 if squared else 1)
    if number != 0 and not info.tiny <= used <= info.max:
        raise ValueError(
            f"{name}={value!r}{', squared,' if squared else ''} is outside the normal numbers of {dtype}, "
            f"{info.tiny} to {info.max}: pass one inside, or wider arrays"
        )
    return number


def _as_float(value: Real) -> float:
    try:
        return float(value)
    except OverflowError:  # an int, or a fraction of two, may be larger than any float
        return np.inf


def check_index(value: Any) -> int | None:
    """Return `ignore_index` as a Python int, or None where nothing is ignored.

    Raises
    ------
    ValueError
        If it is no integer.
    """
    try:
        if value is None or not isinstance(value, (bool, np.bool)):
            return None if value is None else index(value)
    except TypeError:
        pass
    raise ValueError(f"ignore_index={value!r}: pass an integer, the label of the rows to ignore, or None")
