"""How far a correct gradient may be from the reference. The only module with tolerances, and none is absolute.

An entry of the gradient is a sum of summands of size ``M``. Computed with unit round-off ``u`` by any sensible
algorithm it moves by a few ``u M``, and by more where it reacts to the roundings on the way: a log-sum-exp at offset
1e6 loses six digits to the rounding of its argument, whoever writes it. Two things say how much. ``s`` is sampled: the
largest change in eight runs with everything perturbed, per unit of that. ``r`` is rigorous: the radius that the
program has in balls at the rule's precision, every input and every rounding half an ulp wide. So

    at a glance  2 u rowmax M,  or  2 u rowmax (M + s)  with the s of a single run;  8 u rowmax M  of large arrays
    enclosed     R + rowmax R            where R = 2 (r + u M + tiny)         entry-wise R
    sampled      S + rowmax S            where S = 32 (u s + u M + tiny)      entry-wise S

with rowmax over the last axis. An array that keeps the first is not asked about further, since what the others allow
is wider. Where it does not, the less of the others holds: ``r`` counts an error once for each way that it takes, so
that it is hundreds of times too large where a large offset cancels, and ``s`` knows nothing of roundings that add up.
In a narrow type (float16, bfloat16) ``R + rowmax R`` may be half of a row; there, with ``sigma = u (s + M) + tiny``,

    enclosed     the less of rowmax R and rowmax (8 sigma + 2 max(r - 8 sigma, 0))

where the excess of ``r`` is that of long sums. The reference's own error is added: that of the enclosure, or without
one ``S`` at the ``u`` of float64. A rule that stays within the entry-wise allowance is accurate for each entry; one
that stays within the other has lost the small entries of a row in the rounding of the large ones, which is how many
correct formulas behave. ``M`` is never taken from the gradient itself: in a saturated row the gradient is far smaller
than what it is the difference of.

Measured with `benchmarks/false_alarms.py` and the right gradients of the tests, entries apart that are excused by a
kink or by their own rounding: the largest error was 0.13 of ``R + rowmax R`` and 0.025 of ``S + rowmax S`` in 2,900
checks of the corpus in float64, 0.34 of ``R + rowmax R`` in float32 (a distillation loss whose logarithms cancel), and
0.25 of what a narrow type is allowed in 9,112.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import numpy as np

from gradcheck.tree import Array
from gradcheck.verdict.outcome import Precision, rowmax

__all__ = [
    "FEW",
    "FLOAT64",
    "NARROW",
    "SAFETY",
    "allowed_difference",
    "at_a_glance",
    "by_radius",
    "enclosed",
    "few_roundings",
    "precision_of",
    "sampled",
]

# The spread is the largest of eight random runs. If n roundings of size u all push one way, an entry moves by n u
# times their weight, where eight runs with uniform perturbations show about 0.8 sqrt(n) of it. The ratio,
# 1.2 sqrt(n), reaches 32 at n of about 700 roundings in a chain, all aligned; real ones are not.
SAFETY = 32.0
# A radius bounds every rounding of the reference's program. A rule makes as many of its own, in another order.
TWICE = 2.0
# So many times sigma explains four times the error of any correct rule that was measured in a narrow type, but for sums
# of hundreds of numbers in a row. A radius up to there need not be more than the same error counted once for each way
# that it takes.
FEW = 8.0
# Between the units round-off of float32 and of float16: in narrower types an allowance is no small part of a gradient.
NARROW = 2.0**-12
FLOAT64 = Precision("float64", 2.0**-53, 2.0**-1022, sys.float_info.max)


@cache
def precision_of(dtype: np.dtype[Any]) -> Precision:
    """Give the precision of a floating-point dtype, those of ml_dtypes included.

    Underflow: float32 and float64 hardware may flush subnormals to zero (XLA does), so anything below the smallest
    normal number may be lost. The narrow types are emulated with gradual underflow: half a subnormal step each time.
    """
    import jax.numpy as jnp

    info = jnp.finfo(dtype)  # type: ignore[no-untyped-call]  # numpy's own does not know bfloat16
    tiny = info.tiny if dtype.itemsize >= 4 else info.smallest_subnormal
    return Precision(dtype.name, float(info.eps) / 2, float(tiny), float(info.max))


def by_radius(magnitude: Array, radius: Array, precision: Precision) -> Array:
    """Give what the radius of an enclosure alone explains of each entry."""
    return TWICE * (radius + precision.unit * magnitude + precision.tiny)


def enclosed(magnitude: Array, spread: Array, radius: Array, precision: Precision) -> tuple[Array, Array]:
    """Give the entry-wise and the norm-wise allowance that the radius of an enclosure explains.

    In a narrow type that alone would be tens of percent, so there what the spread has to say counts as well; where it
    is unknown (NaN), the radius alone is left.
    """
    alone = by_radius(magnitude, radius, precision)
    if precision.unit <= NARROW:
        return alone, alone + rowmax(alone)
    sigma = precision.unit * (spread + magnitude) + precision.tiny
    with np.errstate(invalid="ignore"):  # what has no bound, less something, has none
        drift = TWICE * np.maximum(radius - FEW * sigma, 0.0)
    jointly = FEW * sigma + drift
    return np.fmin(alone, jointly), np.fmin(rowmax(alone), rowmax(jointly))


def sampled(magnitude: Array, spread: Array, precision: Precision) -> tuple[Array, Array]:
    """Give the entry-wise and the norm-wise allowance that a sampled spread explains."""
    unit = precision.unit
    entry = SAFETY * (unit * spread + unit * magnitude + precision.tiny)
    return entry, entry + SAFETY * (unit * rowmax(spread) + unit * rowmax(magnitude))


def at_a_glance(magnitude: Array, precision: Precision, roundings: float = TWICE) -> Array:
    """Give what any rule may be off by, whatever its conditioning: two roundings of the largest summand of its row."""
    return rowmax(magnitude, roundings * precision.unit)


def few_roundings(size: Array, precision: Precision) -> Array:
    """Give what an entry may be off by to be called accurate by itself, at a glance."""
    allowed = np.asarray(precision.unit * size)
    allowed += precision.tiny
    allowed *= FEW
    return allowed


def allowed_difference(reference: Array, error: Array, precision: Precision, size: float) -> Array:
    """Give the allowance where no program of the reference exists, only numbers with their errors.

    The summands of an entry are not known then. In their place stand the largest entry of its row, and ``size``, that
    of the numbers which the forward itself adds up: a gradient by hand is a difference of things no smaller.
    """
    entry = np.abs(reference)
    return error + SAFETY * (precision.unit * (entry + rowmax(entry) + size) + precision.tiny)
