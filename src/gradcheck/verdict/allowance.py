"""How far a correct gradient may be from the reference. The only module with tolerances, and none is absolute.

Provisional in one respect: the conditioning of an entry is *sampled* (`Autodiff.spread`), not enclosed.

An entry of the gradient is a sum of summands of size ``M``. Computed with unit round-off ``u`` by any sensible
algorithm it moves by a few ``u M``, and by ``u s`` where ``s`` says how it reacts to relative errors anywhere on the
way, its inputs included (a log-sum-exp at offset 1e6 loses six digits to the rounding of its argument, whoever
writes it). So

    entry-wise   32 (u s + u M + tiny)                       M, s of the entry itself
    norm-wise    32 (u s + u rowmax s + u M + u rowmax M + tiny)    rowmax over the last axis

and the reference's own error, the same with the ``u`` of float64, is added. A rule that stays within the first is
entry-wise accurate; one that stays within the second has lost the small entries of a row in the rounding of the
large ones, which is how many correct formulas behave. ``M`` is never taken from the gradient itself: in a saturated
row the gradient is far smaller than what it is the difference of.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck.oracles.autodiff import Autodiff
from gradcheck.tree import Array
from gradcheck.verdict.outcome import Discrepancy, Grade, Precision, rowmax

__all__ = ["FLOAT64", "SAFETY", "allowances", "allowed_difference", "compare", "precision_of", "value_agrees"]

# The spread is the largest of eight random runs. If n roundings of size u all push one way, an entry moves by n u
# times their weight, where eight runs with uniform perturbations show about 0.8 sqrt(n) of it. The ratio,
# 1.2 sqrt(n), reaches 32 at n of about 700 roundings in a chain, all aligned; real ones are not.
SAFETY = 32.0
FLOAT64 = Precision("float64", 2.0**-53, 2.0**-1022)


def precision_of(dtype: np.dtype[Any]) -> Precision:
    """Give the precision of a floating-point dtype, those of ml_dtypes included.

    Underflow: float32 and float64 hardware may flush subnormals to zero (XLA does), so anything below the smallest
    normal number may be lost. The narrow types are emulated with gradual underflow: half a subnormal step each time.
    """
    import jax.numpy as jnp

    info = jnp.finfo(dtype)  # type: ignore[no-untyped-call]  # numpy's own does not know bfloat16
    tiny = info.tiny if dtype.itemsize >= 4 else info.smallest_subnormal
    return Precision(dtype.name, float(info.eps) / 2, float(tiny))


def allowances(magnitude: Array, spread: Array, precision: Precision) -> tuple[Array, Array]:
    """Give the entry-wise and the norm-wise allowance, without the reference's own error."""
    unit = precision.unit
    entry = SAFETY * (unit * spread + unit * magnitude + precision.tiny)
    return entry, entry + SAFETY * (unit * rowmax(spread) + unit * rowmax(magnitude))


def compare(path: str, analytic: Array, autodiff: Autodiff, slot: int, precision: Precision) -> Discrepancy:
    """Compare one differentiated array with JAX's, entry by entry.

    Parameters
    ----------
    path : str
        What messages call the array.
    analytic : array
        The rule's answer, in float64 (widened exactly).
    autodiff : Autodiff
        The reference.
    slot : int
        Which of ``autodiff.gradient`` it is.
    precision : Precision
        Of the rule's result.
    """
    reference = autodiff.gradient[slot]
    index = len(autodiff.value) + slot
    magnitude, spread = autodiff.magnitude[index], autodiff.spread[index]
    with np.errstate(all="ignore"):
        error, _ = allowances(magnitude, spread, FLOAT64)
        entry, row = (a + error for a in allowances(magnitude, spread, precision))
        difference = np.where(np.isfinite(analytic), np.abs(analytic - reference), np.inf)
        entrywise = difference <= entry
        grade = np.where(entrywise, Grade.ENTRY_WISE, np.where(difference <= row, Grade.NORM_WISE, Grade.WRONG))
        allowed = np.where(entrywise, entry, row)
    grade = np.where(np.isfinite(reference) & np.isfinite(row), grade, Grade.UNKNOWN)
    # not finite where the truth is finite is wrong, whatever the allowance
    grade = np.where(~np.isfinite(analytic) & np.isfinite(reference), Grade.WRONG, grade)
    return Discrepancy(path, analytic, reference, error, allowed, row, grade, precision, magnitude)


def value_agrees(forward: Array, autodiff: Autodiff, slot: int, precision: Precision) -> bool:
    """Whether a reference's value is the forward's, up to the rounding of both."""
    reference = autodiff.value[slot]
    if forward.shape != reference.shape:
        return False
    _, row = allowances(autodiff.magnitude[slot], autodiff.spread[slot], precision)
    with np.errstate(all="ignore"):
        close = np.abs(forward - reference) <= 2 * row
    same = (forward == reference) | (np.isnan(forward) & np.isnan(reference))
    return bool(np.all(close | same))


def allowed_difference(reference: Array, error: Array, precision: Precision, size: float) -> Array:
    """Give the allowance where no program of the reference exists, only numbers with their errors.

    The summands of an entry are not known then. In their place stand the largest entry of its row, and ``size``, that
    of the numbers which the forward itself adds up: a gradient by hand is a difference of things no smaller.
    """
    entry = np.abs(reference)
    return error + SAFETY * (precision.unit * (entry + rowmax(entry) + size) + precision.tiny)
