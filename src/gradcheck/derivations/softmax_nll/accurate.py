"""The fused form without its two cancellations: what a sure network leaves is not taken from 1."""

from __future__ import annotations

from types import ModuleType
from typing import Unpack

import numpy.typing as npt

from gradcheck.derivations._arrays import Array, Pullback
from gradcheck.derivations.softmax_nll._exponentials import exponentials_of
from gradcheck.derivations.softmax_nll.objective import read_objective
from gradcheck.derivations.softmax_nll.options import Options

__all__ = ["accurate"]


def accurate(z: npt.ArrayLike, y: npt.ArrayLike, **options: Unpack[Options]) -> tuple[Array, Pullback]:
    """Differentiate softmax + NLL in one step, each entry with the digits that its logits allow.

    `fused` subtracts two numbers near 1 where the label leads: ``a_l - 1`` has an error of one rounding of 1,
    though the entry may be 1e-16, and the loss ``log(sum_k exp(s_k - max s))`` is 0 as soon as the sum rounds
    to 1. Here nothing near 1 is subtracted. With ``e_k = exp(s_k - max s)`` and ``E = sum_k e_k``, put
    ``a = e / E`` into ``ds_i = Q a_i - q_i`` and take it to one fraction::

        ds_i = (sum_k q_k e_i - q_i sum_k e_k) / E = (e_i sum_{k != i} q_k - q_i sum_{k != i} e_k) / E

    since the summands of k = i are equal. For a label on the peak of a one-hot row, what is left is
    ``-sum_{k != l} e_k / E``, which is ``a_l - 1`` computed from the other classes alone. A difference is left where
    labels are soft, and is then that of the problem, not of the formula. The loss likewise, with ``e_p = 1`` at the
    peak p::

        -sum_k q_k log a_k = Q log1p(sum_{k != p} e_k) + sum_k q_k (max s - s_k)

    What stays is the rounding of ``s - max s``: half an ulp of the lead, and ``exp`` makes a relative error of an
    absolute one. A loss or an entry of size ``exp(-lead)`` is off by about ``lead * u`` of itself, u being the unit
    roundoff of the dtype, besides a few u: at a lead of 40 up to 40 u, which in float64 leaves 14 digits.

    The peak is kept apart as by Blanchard, Higham and Higham, "Accurately computing the log-sum-exp and softmax
    functions", IMA Journal of Numerical Analysis, 2021.

    Parameters, returns and raises are those of `fused`.

    Examples
    --------
    A label 40 ahead: the gradient that is left, and what `fused` makes of it.

    >>> import numpy as np
    >>> from gradcheck.derivations.softmax_nll import fused
    >>> z = np.array([[40.0, 0.0]])
    >>> print(*(f"{entry:.6e}" for entry in accurate(z, [0])[1](1.0)[0]))
    -4.248354e-18 4.248354e-18
    >>> print(*(f"{entry:.6e}" for entry in fused(z, [0])[1](1.0)[0]))
    0.000000e+00 4.248354e-18
    """
    goal = read_objective("accurate", z, y, options)
    xp, q = goal.xp, goal.q
    softmax = exponentials_of(xp, goal.z, goal.temperature)
    e = softmax.exponentials
    others = _others(xp, e, softmax.top)
    log_total = xp.log1p(xp.take_along_axis(others, softmax.top, axis=-1))
    penalty, penalty_by_lse = goal.penalty(softmax.peak + log_total)
    Q = xp.sum(q, axis=-1, keepdims=True)
    nll = Q * log_total - xp.sum(q * xp.where(q != 0, softmax.shifted, 0), axis=-1, keepdims=True)

    def by_s() -> Array:
        other_labels = _others(xp, q, xp.argmax(q, axis=-1)[..., None])
        ds: Array = (e * (other_labels + penalty_by_lse) - q * others) / softmax.total
        return ds

    return goal.conclude(nll + penalty, by_s)


def _others(xp: ModuleType, x: Array, largest: Array) -> Array:
    """Sum what each entry of a row is not: ``sum_{k != i} x_k`` for each i, given x >= 0 and the index of its largest.

    Only the largest entry can be more than half of the sum, and lose digits when it is taken from it.
    """
    is_largest = xp.arange(x.shape[-1]) == largest
    rest = xp.sum(xp.where(is_largest, 0, x), axis=-1, keepdims=True)
    others: Array = xp.where(is_largest, rest, xp.sum(x, axis=-1, keepdims=True) - x)
    return others
