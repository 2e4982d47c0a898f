"""The corners where gradients of softmax + negative log-likelihood break, one small function each.

A `Regime` knows how an ordinary pair of logits and labels becomes one of its own (`make`), and apart from it
whether a given pair is one (`holds`). Only the second decides, on the final arrays, what a case counts as.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from gradcheck.errors import InvalidArgument
from gradcheck.strategies.options import Array
from gradcheck.strategies.regime import Pair, Regime, Summary

# From 16 on every other class weighs less than one ulp of 1 in float32: exp(-16) = 1.1e-7 < 2^-23.
SATURATED = 16.0
# exp(-20) is lost beside 1 in float32 (24 ln 2 = 16.6), exp(-40) in float64 (53 ln 2 = 36.7), exp(-120) is 0
# in float32 (normal to 87.3, subnormal to 103.9), and exp(-600) is still normal in float64 (to 708.4).
LEADS = (20.0, 40.0, 120.0, 600.0)
# The offset leaves 32, 13 and 6 bits behind the point, so that the differences within a row survive it.
OFFSET = {"float16": 16.0, "float32": 1e3, "float64": 1e6}
# Normal numbers of the dtype with room to spare (float16's begin at 6.1e-5): XLA flushes what is below.
TINY = {"float16": (1e-3, 1e-4), "float32": (1e-8, 1e-15, 1e-30), "float64": (1e-8, 1e-15, 1e-30)}


def _is_ordinary(s: Summary) -> bool:
    # Ordinary numbers are 0 or from 1/4 to 4 in magnitude; half the least and twice the greatest pass as well.
    return bool(((s.top > s.second) & (s.peak >= 0.125) & (s.peak <= 8)).any())


def _has_ties(s: Summary) -> bool:
    return bool((s.top == s.second).any())


def _tie(z: Array, y: Array, others: float) -> Pair:
    rows = np.arange(len(z))
    first, top = z.argmax(axis=1), z.max(axis=1)
    for step in range(1, int(others) + 1):
        z[rows, (first + step) % z.shape[1]] = top
    return z, y


def _is_all_equal(s: Summary) -> bool:
    return bool((s.top == s.low).any())


def _equal(z: Array, y: Array, _: float) -> Pair:
    z[:] = z[:, :1].copy()
    return z, y


def _leads(_dtype: str, gap: float) -> Sequence[float]:
    edge = (gap,) if LEADS[0] < gap < LEADS[-1] else ()
    return tuple(lead for lead in LEADS if lead <= gap) + edge


def _lead(z: Array, y: Array, lead: float) -> Pair:
    rows = np.arange(len(z))
    z[rows, y] = -np.inf
    z[rows, y] = z.max(axis=1) + lead
    return z, y


def _is_right(s: Summary) -> bool:
    return bool((s.lead >= SATURATED).any())


def _trail(z: Array, y: Array, lead: float) -> Pair:
    return _lead(z, y, -lead)


def _is_wrong(s: Summary) -> bool:
    return bool((s.lead <= -SATURATED).any())


def _apart(z: Array, y: Array, distance: float) -> Pair:
    z += distance * (np.arange(len(z)) % 3 - 1)[:, None]
    return z, y


def _are_apart(s: Summary) -> bool:
    return bool(np.ptp(s.top) >= 100)


def _away_from_zero(z: Array) -> Array:
    return z + np.copysign(1.0, z)


def _scale(z: Array, y: Array, scale: float) -> Pair:
    return _away_from_zero(z) * scale, y


def _is_huge(s: Summary) -> bool:
    return bool(((s.peak >= 1e3) & (s.peak <= 1.1e4)).any())


def _is_tiny(s: Summary) -> bool:
    # `_scale` reaches just over 5 times its scale.
    return bool(((s.peak > 0) & (s.peak <= 6 * TINY[s.dtype][0])).any())


def _offset(z: Array, y: Array, offset: float) -> Pair:
    z += offset
    return z, y


def _is_offset(s: Summary) -> bool:
    one_sign = np.sign(s.top) == np.sign(s.low)
    nearest = np.minimum(np.abs(s.top), np.abs(s.low))
    return bool((one_sign & (nearest >= OFFSET[s.dtype] / 2) & (s.top - s.low <= SATURATED)).any())


def _ends(z: Array, y: Array, _: float) -> Pair:
    # Whatever the labels were, the first two rows hold one of each.
    y[:] = np.where(y % 2, z.shape[1] - 1, 0)
    y[1] = z.shape[1] - 1 - y[0]
    return z, y


def _are_ends(s: Summary) -> bool:
    first, last = s.labels == 0, s.labels == s.classes - 1
    return bool((first | last).all() and first.any() and last.any())


def _repeat(z: Array, y: Array, _: float) -> Pair:
    y[:] = y[0]
    return z, y


def _are_repeated(s: Summary) -> bool:
    return bool(np.bincount(s.labels).max() > 1)


def _fixed(*scales: float) -> Callable[[str, float], Sequence[float]]:
    return lambda _dtype, _gap: scales


def _tiny(dtype: str, _gap: float) -> Sequence[float]:
    return TINY[dtype]


def _both_signs(dtype: str, _gap: float) -> Sequence[float]:
    return OFFSET[dtype], -OFFSET[dtype]


_ANY, _SEVERAL, _THREE = (0, sys.maxsize), (2, sys.maxsize), (3, sys.maxsize)
_TIE, _HUGE, _APART = _fixed(1.0, 2.0, 4.0), _fixed(1e3, 2e3), _fixed(200.0, 500.0)

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
    Regime("huge", "values", "a row of magnitude 1e3 to 1e4", _is_huge, _scale, _HUGE),
    Regime("tiny", "values", "a row of magnitude 1e-8 or below, not 0; 1e-3 in float16", _is_tiny, _scale, _tiny),
    Regime(
        "offset", "values", "a row about 1e6; about 1e3 in float32, 16 in float16", _is_offset, _offset, _both_signs
    ),
    Regime("rows apart", "values", "maxima of two rows 100 or more apart", _are_apart, _apart, _APART, rows=_SEVERAL),
    Regime("no rows", "sizes", "N = 0", rows=(0, 0)),
    Regime("one row", "sizes", "N = 1", rows=(1, 1)),
    Regime("one class", "sizes", "K = 1 and N > 0", classes=(1, 1)),
    Regime("N = K", "sizes", "N = K > 1", rows=_SEVERAL, classes=_SEVERAL, square=True),
    Regime(
        "first and last label",
        "labels",
        "the first and the last of 3 or more classes and no other",
        _are_ends,
        _ends,
        rows=_SEVERAL,
        classes=_THREE,
    ),
    Regime("repeated labels", "labels", "a label of two or more rows", _are_repeated, _repeat, rows=_SEVERAL),
)

REGIMES: Mapping[str, Regime] = MappingProxyType({regime.name: regime for regime in _TABLE})


def regimes_of(z: Any, y: Any) -> frozenset[str]:
    """Name every regime that a pair of logits and labels is in.

    Parameters
    ----------
    z : array_like of float
        Logits (N, K).
    y : array_like
        Labels: int (N,) in [0, K), or one-hot (N, K).

    Returns
    -------
    frozenset of str
        Keys of `REGIMES`; empty where none of them describes the pair.

    Raises
    ------
    gradcheck.errors.InvalidArgument
        If `z` and `y` are not logits and labels of these shapes.

    Examples
    --------
    >>> from gradcheck import strategies as gst
    >>> sorted(gst.regimes_of([[0.0, 0.0]], [1]))
    ['all equal', 'one row', 'ties']
    """
    z, y = np.asarray(z), np.asarray(y)
    if z.ndim != 2 or z.dtype.name not in TINY or z.shape[1] == 0:
        raise InvalidArgument(f"z has shape {z.shape} and dtype {z.dtype}: pass float logits (N, K), K > 0")
    labels = y.argmax(axis=1) if y.shape == z.shape else y
    if labels is not y and not (np.sort(y, axis=1) == np.eye(z.shape[1])[-1]).all():
        raise InvalidArgument("y has the shape of z and is not one-hot: pass one 1 and else 0 in every row")
    if labels.shape != z.shape[:1] or labels.dtype.kind not in "iu":
        raise InvalidArgument(
            f"y has shape {y.shape} and dtype {y.dtype}: pass int labels ({len(z)},) or one-hot {z.shape}"
        )
    if labels.size and not 0 <= labels.min() <= labels.max() < z.shape[1]:
        raise InvalidArgument(f"y runs from {labels.min()} to {labels.max()}: pass labels in [0, {z.shape[1]})")
    with np.errstate(invalid="ignore"):  # logits may be -inf, and -inf - -inf is no distance
        summary = Summary.of(z, labels)
        return frozenset(name for name, regime in REGIMES.items() if regime.has(summary))
