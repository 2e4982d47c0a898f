"""Numbers inside a domain, and near its ends: what `like` draws where a domain is stated."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from gradcheck.domain import Domain
from gradcheck.strategies.options import Array
from gradcheck.strategies.regimes import TINY

__all__ = ["NORMAL", "Kind", "kinds_inside", "rounded_inside"]

# The smallest normal numbers; NumPy's finfo does not know bfloat16.
NORMAL = {"float16": 2.0**-14, "bfloat16": 2.0**-126, "float32": 2.0**-126, "float64": 2.0**-1022}
_FAR = {"float16": (16.0, 1e3), "bfloat16": (1e3, 1e6), "float32": (1e3, 1e6), "float64": (1e3, 1e6)}
_ONE = dict.fromkeys(TINY, (1.0,))
# Powers of two that spread ordinary numbers over 9 and over 16 or 64 octaves; float16 has 30.
_OCTAVES = {"float16": (1.0, 3.0), "bfloat16": (1.0, 8.0), "float32": (1.0, 8.0), "float64": (1.0, 8.0)}
# Factors on ordinary numbers, which then are logits: a row of classes equal, in order, and all but one below 2^-24.
_UNEVEN = dict.fromkeys(TINY, (0.5, 2.0, 8.0))
# Relative to an end other than zero, or to a row of a simplex: nearer, too few floats are left for a difference to step
# on, which wants 2^13 of them for one entry and 2^17 for all (2^-35 in float64).
_NEAREST = 2.0**-34

# From ordinary numbers (about -4 to 4, the simplest zero), the example's, a scale and the domain to numbers inside.
Make = Callable[[Array, Array, float, Domain], Array]
Kind = tuple[Make, Mapping[str, Sequence[float]]]


def kinds_inside(domain: Domain) -> tuple[Kind, ...]:
    """List the kinds of numbers that a domain has, each with its scales by dtype; none for one without ends."""
    if domain.rows:
        return _SIMPLEX
    ends = math.isfinite(domain.low) + math.isfinite(domain.high)
    return ((), _HALF_LINE, _INTERVAL)[ends]


def rounded_inside(values: Array, given: Array, domain: Domain) -> Array:
    """Round numbers to the dtype of the given ones, and bring those back that are on an end then, or beyond it."""
    dtype = given.dtype
    normal = dtype.type(NORMAL[dtype.name])
    with np.errstate(over="ignore"):  # an end beyond the range of a dtype is none
        low, high = (np.asarray(end).astype(dtype) for end in (domain.low, domain.high))
        least = normal if domain.low == 0 else np.nextafter(low, dtype.type(math.inf))
        most = -normal if domain.high == 0 else np.nextafter(high, dtype.type(-math.inf))
        found = np.asarray(np.clip(values.astype(dtype), least, most)).astype(dtype)
    return found if domain.holds(found) else given.copy()  # few numbers of a narrow dtype may be inside


def _from_end(distance: Callable[[Array, Array, float], Array]) -> Make:
    """Measure numbers from the one end that a half line has."""

    def make(base: Array, given: Array, scale: float, domain: Domain) -> Array:
        end, sign = (domain.low, 1.0) if math.isfinite(domain.low) else (domain.high, -1.0)
        away = np.maximum(distance(base, sign * (given - end), scale), _NEAREST * abs(end))
        return np.asarray(end + sign * away)

    return make


def _size(base: Array) -> Array:
    return np.where(base == 0, 1.0, np.abs(base))


_HALF_LINE: tuple[Kind, ...] = (
    (_from_end(lambda base, _given, _scale: _size(base)), _ONE),
    (_from_end(lambda _base, given, scale: given * scale), dict.fromkeys(TINY, (1.0, 0.5, 2.0, 0.125))),
    (_from_end(lambda base, _given, _scale: 1 + np.abs(np.rint(base / 4))), _ONE),  # tied: 1 and 2 only
    (_from_end(lambda base, _given, scale: _size(base) * scale), TINY),
    (_from_end(lambda base, _given, scale: _size(base) * scale), _FAR),
    (_from_end(lambda base, _given, scale: np.exp2(base * scale)), _OCTAVES),
)  # fmt: skip


def _between(part: Callable[[Array, float], Array]) -> Make:
    """Take numbers as parts of an interval, negative ones measured from its upper end."""

    def make(base: Array, _given: Array, scale: float, domain: Domain) -> Array:
        parts, low, high = part(base, scale), domain.low, domain.high
        away = np.abs(parts)  # of each end its share, since the width of an interval may be beyond the largest number
        above = np.maximum((1 - away) * low + away * high, low + _NEAREST * abs(low))
        below = np.minimum((1 - away) * high + away * low, high - _NEAREST * abs(high))
        return np.where(np.signbit(parts), below, above)

    return make


def _mirrored(_base: Array, given: Array, scale: float, domain: Domain) -> Array:
    # by halves, so that no sum is beyond the largest number
    return given if scale > 0 else 2 * (domain.low / 2 + (domain.high / 2 - given / 2))


_INTERVAL: tuple[Kind, ...] = (
    (_between(lambda base, _: 0.5 + base / 9), _ONE),
    (_mirrored, dict.fromkeys(TINY, (1.0, -1.0))),
    (_between(lambda base, _: 0.5 + np.rint(base / 4) / 4), _ONE),  # tied: the quarters
    (_between(lambda base, scale: _size(base) * scale), TINY),
    (_between(lambda base, scale: -_size(base) * scale), TINY),
    (_between(lambda base, scale: np.copysign(_size(base), base) * scale), TINY),  # near both ends
)


def _row(share: Callable[[Array, Array, float], Array]) -> Make:
    """Take numbers as rows of shares."""

    def make(base: Array, given: Array, scale: float, domain: Domain) -> Array:
        # along a simplex one share moves at the expense of all others, so it is not lost beside them
        least = 8 * _NEAREST if domain.tangent else 0.0
        return _mixed(share(base, given, scale), least)

    return make


def _mixed(rows: Array, part: float) -> Array:
    """Mix rows with that of equal shares."""
    return np.asarray((1 - part) * rows + part / rows.shape[-1])


def _softmax(z: Array) -> Array:
    powers = np.exp(z - z.max(axis=-1, keepdims=True, initial=-math.inf))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _towering(base: Array, _given: Array, scale: float) -> Array:
    z = base.copy()
    z[..., 0] -= math.log(scale)
    return _softmax(z)


_SIMPLEX: tuple[Kind, ...] = (
    (_row(lambda base, _given, scale: _softmax(scale * base)), _UNEVEN),
    (_row(lambda _base, given, scale: _mixed(given, scale)), dict.fromkeys(TINY, (0.0, 0.5))),
    (_row(lambda base, _given, _scale: _softmax(0 * base)), _ONE),
    (_row(_towering), TINY),  # one share near 1, all others near 0
)
