"""The corners where gradients of softmax + negative log-likelihood break, one small function each.

A `Regime` knows how an ordinary case becomes one of its own (`make`), and apart from it whether a given case is one
(`holds`). Only the second decides, on the final arrays, what a case counts as.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from gradcheck.strategies.optional import OPTIONAL
from gradcheck.strategies.options import limits
from gradcheck.strategies.regime import Draft, Regime, Summary, Terms, some

# From 16 on every other class weighs less than one ulp of 1 in float32: exp(-16) = 1.1e-7 < 2^-23.
SATURATED = 16.0
# exp(-20) is lost beside 1 in float32 (24 ln 2 = 16.6), exp(-40) in float64 (53 ln 2 = 36.7), exp(-120) is 0
# in float32 (normal to 87.3, subnormal to 103.9), and exp(-600) is still normal in float64 (to 708.4).
# From 17 to 30 the gradient of a sure row is 4e-8 to 1e-13: small, and yet far above its rounding. Three in four are
# there: with one in two, a rule that drops what is small was missed once in 60 runs of 100.
LEADS = 2 * (17.0, 20.0, 23.0, 26.0, 30.0) + (40.0, 120.0, 600.0)
# A difference whose exponential is 0 (float64 keeps subnormal numbers to exp(-745), float32 to exp(-104)), and infinite
# the other way round.
TOWER = {"float16": 110.0, "bfloat16": 110.0, "float32": 110.0, "float64": 750.0}
# The offset leaves 32, 13, 6 and 3 bits behind the point, so that the differences within a row survive it.
OFFSET = {"float16": 16.0, "bfloat16": 16.0, "float32": 1e3, "float64": 1e6}
_SMALLEST = {name: float(limits(name).smallest_normal) for name in OFFSET}
# Normal numbers of the dtype with room to spare (float16's begin at 6.1e-5): XLA flushes what is below.
TINY = {"float16": (1e-3, 1e-4)} | dict.fromkeys(("bfloat16", "float32", "float64"), (1e-8, 1e-15, 1e-30))


def _is_ordinary(s: Summary) -> bool:
    # Ordinary numbers are 0 or from 1/4 to 4 in magnitude; half the least and twice the greatest pass as well.
    return some((s.top > s.second) & (s.peak >= 0.125) & (s.peak <= 8))


def _has_ties(s: Summary) -> bool:
    return some(s.top == s.second)


def _tie(draft: Draft, others: float) -> None:
    rows = np.arange(len(draft.z))
    first, top = draft.z.argmax(axis=1), draft.z.max(axis=1)
    for step in range(1, int(others) + 1):
        draft.z[rows, (first + step) % draft.classes] = top


def _is_all_equal(s: Summary) -> bool:
    return some((s.top == s.second) & (s.top == s.low))


def _equal(draft: Draft, _: float) -> None:
    draft.z[:] = draft.z[:, :1].copy()


def _leads(terms: Terms) -> Sequence[float]:
    edge = (terms.gap,) if LEADS[0] < terms.gap < LEADS[-1] else ()
    return tuple(lead for lead in LEADS if lead <= terms.gap) + edge


def _lead(draft: Draft, lead: float) -> None:
    rows = np.arange(len(draft.z))
    draft.z[rows, draft.y] = -np.inf
    draft.z[rows, draft.y] = draft.z.max(axis=1) + lead


def _is_right(s: Summary) -> bool:
    return some(s.lead >= SATURATED)


def _trail(draft: Draft, lead: float) -> None:
    _lead(draft, -lead)


def _towers(terms: Terms) -> Sequence[float]:
    height = TOWER[terms.dtype]
    return (height, -height) if height <= terms.gap else ()


def _tower(draft: Draft, height: float) -> None:
    # first and last in turn, for what goes through the classes in one direction
    rows = np.arange(len(draft.z))
    at = np.where(rows % 2 == (height > 0), draft.classes - 1, 0)
    draft.z[rows, at] = -np.inf
    draft.z[rows, at] = draft.z.max(axis=1) + abs(height) + 1  # one more than what rounding may take away


def _is_tower(s: Summary) -> bool:
    return some(np.isfinite(s.second) & (s.top - s.second >= TOWER[s.dtype]))


def _is_wrong(s: Summary) -> bool:
    return some(s.lead <= -SATURATED)


def _apart(draft: Draft, distance: float) -> None:
    draft.z += distance * (np.arange(len(draft.z)) % 3 - 1)[:, None]


def _are_apart(s: Summary) -> bool:
    return bool(s.top.max() - s.top.min() >= 100)


def _scale(draft: Draft, scale: float) -> None:
    draft.z += np.copysign(1.0, draft.z)
    draft.z *= scale


def _is_huge(s: Summary) -> bool:
    return some((s.peak >= 1e3) & (s.peak <= 1.1e4))


def _is_tiny(s: Summary) -> bool:
    # `_scale` reaches just over 5 times its scale.
    return some((s.peak > 0) & (s.peak <= 6 * TINY[s.dtype][0]))


def _is_subnormal(s: Summary) -> bool:
    return some((s.peak > 0) & (s.peak < _SMALLEST[s.dtype]))


def _offset(draft: Draft, offset: float) -> None:
    draft.z += offset


def _is_offset(s: Summary) -> bool:
    least = OFFSET[s.dtype] / 2
    return some(((s.low >= least) | (s.top <= -least)) & (s.top - s.low <= SATURATED))


def _ends(draft: Draft, _: float) -> None:
    # Whatever the labels were, the first two rows hold one of each.
    last = draft.classes - 1
    draft.y[:] = np.where(draft.y % 2, last, 0)
    draft.y[1] = last - draft.y[0]


def _are_ends(s: Summary) -> bool:
    first, last = s.labels == 0, s.labels == s.classes - 1
    return bool((first | last).all() and first.any() and last.any())


def _repeat(draft: Draft, _: float) -> None:
    draft.y[:] = draft.y[0]


def _are_repeated(s: Summary) -> bool:
    return bool(np.bincount(s.labels, minlength=1).max() > 1)


def _fixed(*scales: float) -> Callable[[Terms], Sequence[float]]:
    return lambda _: scales


def _tiny(terms: Terms) -> Sequence[float]:
    return TINY[terms.dtype]


def _subnormal(terms: Terms) -> Sequence[float]:
    # 5.1 of the first are still below all normal numbers; 4 and more of the second are a few of the smallest.
    info = limits(terms.dtype)
    return float(info.smallest_normal) / 8, float(info.smallest_subnormal) * 4


def _both_signs(terms: Terms) -> Sequence[float]:
    return OFFSET[terms.dtype], -OFFSET[terms.dtype]


def _unless_ignored(terms: Terms) -> Sequence[float]:
    return () if terms.ignore_index == 0 else (1.0,)


_ANY, _SEVERAL, _THREE = (0, sys.maxsize), (2, sys.maxsize), (3, sys.maxsize)
_TIE, _HUGE, _APART = _fixed(1.0, 2.0, 4.0), _fixed(1e3, 2e3), _fixed(200.0, 500.0)
# Powers of two from 8 up, where blocks and vector registers end, with a tail of one before and after. Nobody draws more
# than 2^20 rows.
POWERS = frozenset(2**exponent + tail for exponent in range(3, 21) for tail in (-1, 0, 1))

# Hypothesis takes the first for the simplest.
_TABLE = (
    Regime("ordinary", "values", "a row within 8 of zero with a single largest logit", _is_ordinary, rows=_ANY),
    Regime("ties", "values", "a row with two or more equal maxima", _has_ties, _tie, _TIE, classes=_SEVERAL),
    Regime("all equal", "values", "a row of equal logits", _is_all_equal, _equal, classes=_SEVERAL),
    Regime(
        "saturated right", "values", "a label 16 or more ahead of all else", _is_right, _lead, _leads, classes=_SEVERAL
    ),
    Regime(
        "saturated wrong", "values", "a label 16 or more behind another", _is_wrong, _trail, _leads, classes=_SEVERAL
    ),
    Regime(
        "towering",
        "values",
        "a class 750 or more above all others; 110 in float32",
        _is_tower,
        _tower,
        _towers,
        classes=_SEVERAL,
    ),
    Regime("huge", "values", "a row of magnitude 1e3 to 1e4", _is_huge, _scale, _HUGE),
    Regime("tiny", "values", "a row of magnitude 1e-8 or below, not 0; 1e-3 in float16", _is_tiny, _scale, _tiny),
    Regime(
        "subnormal", "values", "a row below all normal numbers of its dtype, not 0", _is_subnormal, _scale, _subnormal
    ),
    Regime(
        "offset",
        "values",
        "a row about 1e6; 1e3 in float32, 16 in half precision",
        _is_offset,
        _offset,
        _both_signs,
    ),
    Regime("rows apart", "values", "maxima of two rows 100 or more apart", _are_apart, _apart, _APART, rows=_SEVERAL),
    Regime("no rows", "sizes", "N = 0", rows=(0, 0)),
    Regime("one row", "sizes", "N = 1", rows=(1, 1)),
    Regime("one class", "sizes", "K = 1 and N > 0", classes=(1, 1)),
    Regime("two classes", "sizes", "K = 2 and N > 0", classes=(2, 2)),
    Regime("N = K", "sizes", "N = K > 1", rows=_SEVERAL, classes=_SEVERAL, square=True),
    Regime("rows about a power of two", "sizes", "N = 7, 8, 9, 15, 16, 17, 31, 32, 33 and so on", rows=POWERS),
    Regime(
        "classes about a power of two", "sizes", "K = 7, 8, 9, 15, 16, 17, 31, 32, 33 and so on, N > 0", classes=POWERS
    ),
    Regime(
        "first and last label",
        "labels",
        "the first and the last of 3 or more classes and no other",
        _are_ends,
        _ends,
        _unless_ignored,
        rows=_SEVERAL,
        classes=_THREE,
    ),
    Regime("repeated labels", "labels", "a label of two or more rows", _are_repeated, _repeat, rows=_SEVERAL),
    *OPTIONAL,
)

REGIMES: Mapping[str, Regime] = MappingProxyType({regime.name: regime for regime in _TABLE})
# Regimes of values that ask where the label is: logits alone are in none of them.
ASK_FOR_LABELS = frozenset({"saturated right", "saturated wrong"})
