"""What the options of every strategy may be, and the error for what they may not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from operator import index
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from gradcheck.errors import InvalidArgument

Array = NDArray[Any]
Count = int | tuple[int, int] | None

# Left out, sizes come from a few numbers rather than a range, because every new shape costs an oracle that
# compiles another trace. Small ones first, then powers of two and one past one, where a block has a tail.
ROWS = (0, 1, 2, 3, 4, 8, 17, 32)
CLASSES = (1, 2, 3, 4, 5, 8, 12)

DTYPES = ("float16", "bfloat16", "float32", "float64")


def check_count(name: str, value: Count, pool: Sequence[int]) -> Sequence[int]:
    """Return the sizes `value` allows, ascending: `pool` where it is None, and nothing below its first."""
    if value is None:
        return pool
    wrong = InvalidArgument(
        f"{name}={value!r}: pass an int from {pool[0]} up, a pair (low, high) of them, low <= high, or None"
    )
    pair = value if isinstance(value, tuple) else (value, value)
    if len(pair) != 2:
        raise wrong
    low, high = (_integer(end, wrong) for end in pair)
    if not pool[0] <= low <= high:
        raise wrong
    return range(low, high + 1)


def check_around(around: int | None) -> tuple[int, ...]:
    """Return the sizes about a block of `around`, the block itself first; none where it is None."""
    if around is None:
        return ()
    wrong = InvalidArgument(f"around={around!r}: pass the size of a block, an int from 2 up, or None")
    block = _integer(around, wrong)
    if block < 2:
        raise wrong
    # One block, one that lacks an entry, one entry more, and a second block that lacks one.
    return tuple(sorted({block, block - 1, block + 1, 2 * block - 1}))


def check_index(ignore_index: int | None) -> int | None:
    """Return `ignore_index` as an int, or None."""
    if ignore_index is None:
        return None
    return _integer(ignore_index, InvalidArgument(f"ignore_index={ignore_index!r}: pass an int, or None"))


def check_flag(name: str, value: bool) -> bool:
    """Return `value`, which must be True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise InvalidArgument(f"{name}={value!r}: pass True or False")
    return bool(value)


def _integer(value: Any, wrong: InvalidArgument) -> int:
    if isinstance(value, bool):
        raise wrong
    try:
        return index(value)
    except TypeError:
        raise wrong from None


def check_dtype(dtype: Any) -> np.dtype[Any]:
    """Return `dtype` as a NumPy dtype, one of `DTYPES`; the name bfloat16 is known once ml_dtypes is imported."""
    try:
        found: np.dtype[Any] | None = None if dtype is None else np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found.name not in DTYPES:
        raise InvalidArgument(f"dtype={dtype!r}: pass one of {', '.join(map(repr, DTYPES))}")
    return found


def limits(dtype: Any) -> Any:
    """Give the limits of a floating-point dtype; NumPy's finfo does not know bfloat16."""
    return ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]  # it comes without types


def check_gap(gap: float | None) -> float:
    """Return `gap` as a float, infinity where it is None."""
    if gap is None:
        return math.inf
    if isinstance(gap, bool) or not isinstance(gap, (int, float, np.integer, np.floating)) or not 0 < gap < math.inf:
        raise InvalidArgument(f"gap={gap!r}: pass a finite number above 0, or None for no limit")
    return float(gap)


def check_choice(name: str, value: str, choices: Iterable[str]) -> str:
    """Return `value`, which must be one of `choices`."""
    choices = tuple(choices)
    if not isinstance(value, str) or value not in choices:
        raise InvalidArgument(f"{name}={value!r}: pass one of {', '.join(map(repr, choices))}")
    return value


def check_names(name: str, value: Iterable[str] | None, choices: Iterable[str]) -> tuple[str, ...] | None:
    """Return `value` as a tuple of names that are all among `choices`, or None where it is None."""
    if value is None:
        return None
    choices = tuple(choices)
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InvalidArgument(f"{name}={value!r}: pass a sequence of names such as ({choices[0]!r},), or None")
    names = tuple(value)
    if not names:
        raise InvalidArgument(f"{name}={value!r}: pass at least one of {', '.join(map(repr, choices))}, or None")
    for entry in names:
        if entry not in choices:
            raise InvalidArgument(f"{name}={value!r}: {entry!r} is none of {', '.join(map(repr, choices))}")
    return names
