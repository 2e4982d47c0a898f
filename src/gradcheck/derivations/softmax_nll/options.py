"""What may be asked of softmax + NLL, and which form takes what: a table, and the errors of what is not in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from operator import index
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

__all__ = ["KEYWORDS", "OPTIONS", "Options", "check_index", "check_number", "check_taken"]


class Options(TypedDict, total=False):
    """The keywords of the forms that take them all; what each does is said by `fused`."""

    reduction: str
    weights: npt.ArrayLike | None
    ignore_index: int | None
    label_smoothing: float
    temperature: float
    z_loss: float
    softcap: float | None


KEYWORDS: tuple[str, ...] = (
    "reduction",
    "weights",
    "ignore_index",
    "label_smoothing",
    "temperature",
    "z_loss",
    "softcap",
)
# What no keyword asks for, but the shapes and values of the arguments.
_INPUTS = ("soft labels", "masks", "sequences")

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "full_jacobian": ("reduction", "soft labels", "masks"),
    "contracted_jacobian": ("reduction", "soft labels", "masks"),
    "log_softmax": (*KEYWORDS, *_INPUTS),
    "fused": (*KEYWORDS, *_INPUTS),
    "accurate": (*KEYWORDS, *_INPUTS),
    "streaming": ("reduction", "ignore_index", "temperature", "z_loss", "softcap", "masks"),
    "fused_linear": ("reduction", "ignore_index", "z_loss", "softcap"),
    "sharded": ("reduction", "ignore_index", "z_loss", "masks"),
}
"""Form by form, the keywords it takes, and what else its arguments may be."""


def check_taken(form: str, given: Iterable[str]) -> None:
    """Check that a form takes all the keywords it was given.

    Raises
    ------
    TypeError
        Naming the first that it does not take, and the forms that do.
    """
    for name in given:
        if name in OPTIONS[form]:
            continue
        takers = [other for other, names in OPTIONS.items() if name in names and name in KEYWORDS]
        if takers:
            raise TypeError(f"{form} takes no {name}: {', '.join(takers)} do")
        known = [option for option in OPTIONS[form] if option in KEYWORDS]
        raise TypeError(f"{form} takes no {name!r}: its options are {', '.join(known)}")


# What a number may be: a test, and its words.
_RANGES: Mapping[str, tuple[Callable[[float], bool], str]] = {
    "label_smoothing": (lambda value: 0 <= value <= 1, "a number from 0 to 1"),
    "temperature": (lambda value: 0 < value < np.inf, "a finite number above 0"),
    "z_loss": (lambda value: 0 <= value < np.inf, "a finite number from 0 up"),
    "softcap": (lambda value: 0 < value < np.inf, "a finite number above 0, or None for no cap"),
}


def check_number(name: str, value: Any, dtype: np.dtype[Any]) -> float:
    """Return the option as a Python number, which takes on the dtype of what it meets.

    Raises
    ------
    ValueError
        If it is no number, outside the option's range, or neither 0 nor a normal number of `dtype`, in which
        it would become another.
    """
    legal, words = _RANGES[name]
    if isinstance(value, bool) or not isinstance(value, Real) or not legal(float(value)):
        raise ValueError(f"{name}={value!r}: pass {words}")
    number, info = float(value), np.finfo(dtype)
    if number != 0 and not info.tiny <= number <= info.max:
        raise ValueError(
            f"{name}={value!r} is outside the normal numbers of {dtype}, {info.tiny} to {info.max}: "
            "pass one inside, or wider logits"
        )
    return number


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
