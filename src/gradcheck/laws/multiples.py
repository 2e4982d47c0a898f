"""Multiples of the cotangent by powers of two, which round nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck.laws.running import Results
from gradcheck.laws.subject import Subject
from gradcheck.tree import Array, every

__all__ = ["multiple", "scales", "times"]

# The sign shows an absolute value, the large one what is clipped, the small one what is added to every cotangent or cut
# off below a threshold.
_SCALES = (-2.0, 2.0**6, 2.0**-10)
_NARROW_SCALES = (-2.0, 2.0**3, 2.0**-4)  # float16 ends at 2^16 and rounds to multiples of 2^-24


def scales(subject: Subject) -> tuple[float, ...]:
    """Give a negative factor, a large and a small one, each 1 where it would overflow or underflow.

    All are 1 where the rule takes no cotangent.
    """
    return subject.recall(_scales)


def _scales(subject: Subject) -> tuple[float, ...]:
    narrow = any(c.dtype.itemsize < 4 for c in subject.cotangents)
    wanted = _NARROW_SCALES if narrow else _SCALES
    if not subject.rule.takes_cotangent:
        return (1.0,) * len(wanted)
    with np.errstate(all="ignore"):
        return tuple(scale if all(_exact(c, scale) for c in subject.cotangents) else 1.0 for scale in wanted)


def _exact(array: Array, scale: float) -> bool:
    factor = array.dtype.type(scale)
    return every((array * factor) / factor == array)


def multiple(subject: Subject, scale: float) -> Any:
    """Give the cotangent times a factor."""
    if scale == 1.0:
        return subject.point.cotangent
    return subject.cotangent_of([np.asarray(c * c.dtype.type(scale)) for c in subject.cotangents])


def times(results: Results, scale: float) -> Results:
    """Give an answer times a factor."""
    with np.errstate(all="ignore"):
        return tuple(None if a is None else np.asarray(a * a.dtype.type(scale)) for a in results)
