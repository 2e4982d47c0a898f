"""An error that all entries share: each within its allowance, and together no rounding.

In bfloat16 an entry may be off by a tenth of its row, so that a gradient 7 % too large has no wrong entry. But its
entries all err the same way, and roundings fall to either side. Let ``c`` be the factor of the truth ``v`` that is
nearest to the error, ``c = <analytic - v, v> / <v, v>``. Rounding explains

    |c| <v, v>  <=  (4 u + tiny L / max |v|) <v, v>  +  3 sqrt( sum over rows of (sum of sigma |v|)^2 )
                    +  sum of excess |v|

- four roundings that really are shared: a factor such as ``1/N`` rounded once and multiplied in everywhere, or a
  conversion that truncates, each off by ``u`` at most;
- a shared factor that is itself so small that it loses digits, as the product of a small cotangent and the strength of
  a penalty does in float16: it is no smaller than the largest entry over the largest argument ``L``, and off by half
  of ``tiny``, so that ``tiny L / max |v|`` is allowed for it;
- ``sigma = u (s + M)``, one rounding of each summand and what inputs and intermediate values make of theirs. Within a
  row these may be one and the same (the sum that a softmax divides by), so they add up there; between rows they do not;
- ``excess``, what the radius ``r`` of the enclosure has beyond ``8 sigma``: sums of hundreds of numbers that were added
  up one by one do drift, in narrow types to one side, and the radius knows how many there were.

Softmax gradients of 3 to 800 entries, computed in bfloat16 or float16 throughout, or rounded to it once at the end, are
off by at most 0.06 of that; 64 entries in bfloat16 leave room for 0.034 to 0.042. Only narrow types are asked: in
float32 and float64 what hides within an allowance is no larger than 1e-5 of the gradient. It needs the enclosure, so it
is asked where that was.
"""

from __future__ import annotations

import numpy as np

from gradcheck.verdict.allowance import NARROW
from gradcheck.verdict.evidence import Known
from gradcheck.verdict.outcome import Discrepancy

__all__ = ["systematic"]

_SHARED = 4.0
_DEVIATIONS = 3.0
_EXCESS = 8.0


def systematic(d: Discrepancy, known: Known, slot: int, largest: float) -> str:
    """Say by what factor an array is off as a whole, if by more than rounding explains; empty if not.

    ``largest`` is the size of the largest number among the arguments.
    """
    unit = d.precision.unit
    if unit <= NARROW or d.at_a_glance:
        return ""
    radius = known.radius(slot, d.precision)
    size = np.abs(d.reference)
    norm = float(np.vdot(d.reference, d.reference))
    if radius is None or not norm:
        return ""
    with np.errstate(all="ignore"):
        sigma = unit * (known.spread(slot) + d.summands)
        rows = np.sum(sigma * size, axis=-1)
        excess = np.maximum(radius - _EXCESS * sigma, 0.0) + d.precision.tiny
        shared = _SHARED * unit + d.precision.tiny * largest / np.max(size)
        explained = shared + (_DEVIATIONS * np.sqrt(np.sum(rows**2)) + np.sum(excess * size)) / norm
        factor = float(np.vdot(d.analytic - d.reference, d.reference)) / norm
    # an allowance that is not known explains everything, and infinite factors are not a matter of scale
    if not abs(factor) > explained or not np.isfinite(factor):
        return ""
    return (
        f"{d.path} as a whole is {abs(factor):.2g} of itself too {'large' if factor > 0 else 'small'}: each entry is "
        f"within its rounding, but rounding falls to either side, and explains {explained:.2g}"
    )
