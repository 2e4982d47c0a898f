"""The focal loss: softmax + NLL that turns away from the examples it already gets right.

With ``a = softmax(z)``, label l, and ``q = 1 - a_l``, what all other classes are given::

    C = -q^gamma log a_l

(Lin, Goyal, Girshick, He and Dollár, *Focal Loss for Dense Object Detection*, ICCV 2017, there for sigmoids; the
softmax form is the same function of ``a_l``.) `a_l` is all that C depends on, and ``d a_l = a_l d log a_l``::

    dC / d log a_l = -q^gamma + gamma q^(gamma - 1) a_l log a_l = -f
    f              = q^gamma (1 + gamma a_l h),     h = -log(a_l) / q
    d log a_l / dz_k = [k = l] - a_k
    dC/dz_k        = f (a_k - [k = l])

NLL's gradient times a factor of the row: f = 1 for gamma = 0. Both of its summands count; without the second, as if
``q^gamma`` were a weight computed beforehand, the gradient is that of another loss.

**Numbers.** The two are positive, so nothing cancels, once ``q`` is the sum of the other classes' probabilities and
not ``1 - a_l``. The quotient ``h`` is at least 1 and tends to 1 with ``q`` to 0, so that no ``q^(gamma - 1)`` is
left, which for gamma < 1 is infinite there. ``log a_l`` is ``log(1 - q)`` where ``q < 1/2`` and
``z_l - logsumexp z`` elsewhere; and ``a_l log a_l`` goes to 0 with ``a_l``.
"""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gradcheck.derivations._arrays import Array, Pullback
from gradcheck.derivations._labels import read_batch
from gradcheck.derivations._options import check_number
from gradcheck.derivations._reduction import reduce_rows
from gradcheck.derivations.softmax_nll._exponentials import exponentials_of

__all__ = ["focal_loss"]


def focal_loss(
    z: npt.ArrayLike, y: npt.ArrayLike, *, gamma: float = 2.0, reduction: str = "mean"
) -> tuple[Array, Pullback]:
    """Differentiate the focal loss of softmax outputs.

    Rounding is done in the dtype of `z`, in float32 for anything narrower.

    Parameters
    ----------
    z : array_like, shape (N, K)
        Logits, floating; N >= 0, K >= 1. ``-inf`` masks a class; a label on one costs infinity.
    y : array_like, shape (N,)
        Class indices, integers from 0 to K-1. Not differentiated.
    gamma : float
        How far to turn away: finite and at least 0, where 0 is softmax + NLL. Not differentiated.
    reduction : {"mean", "sum", "none"}
        Of the row losses. The mean over no rows is 0.

    Returns
    -------
    loss : array, shape (), or (N,) for "none"; dtype of `z`
        In nats.
    pullback : callable
        ``pullback(ct)``, `ct` shaped like `loss`, returns the cotangent of `z`, shape (N, K), dtype of `z`.

    Raises
    ------
    ValueError
        If `z` or `y` is malformed, a row of `z` has no finite maximum, `gamma` is negative or no finite
        number, or `reduction` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> loss, pullback = focal_loss(np.log([[1.0, 3.0]]), [1])
    >>> print(f"{loss:.6f}")  # -(1/4)^2 log(3/4)
    0.017980
    >>> pullback(1.0).round(6)
    array([[ 0.042595, -0.042595]])
    """
    if np.ndim(y) != 1:
        raise ValueError(f"y has shape {np.shape(y)}: the focal loss takes class indices, of shape (N,)")
    batch = read_batch(z, y)
    xp, onehot, dtype = batch.xp, batch.y, batch.dtype
    power = check_number("gamma", gamma, batch.z.dtype)
    row = _row(xp, batch.z, onehot)
    modulation = row.q**power
    h = xp.where(row.q > 0, -row.log_a / xp.where(row.q > 0, row.q, 1), 1)
    factor = modulation * (1 + power * row.a * xp.where(row.a > 0, h, 0))
    loss, share = reduce_rows(-modulation * row.log_a, reduction, dtype)

    def pullback(ct: npt.ArrayLike) -> Array:
        dz: Array = factor[:, None] * xp.where(onehot != 0, -row.q[:, None], row.others) * share(ct)
        return dz.astype(dtype, copy=False)

    return loss, pullback


class _Row(NamedTuple):
    """Softmax as seen from the label."""

    others: Array
    """Probabilities of the other classes and 0 at the label, shape (N, K)."""
    q: Array
    """Their sum, shape (N,)."""
    a: Array
    """Probability of the label, shape (N,)."""
    log_a: Array
    """Its logarithm."""


def _row(xp: ModuleType, z: Array, onehot: Array) -> _Row:
    _, _, shifted, exponentials, total = exponentials_of(xp, z)
    others = xp.where(onehot != 0, 0, exponentials / total)
    q = xp.sum(others, axis=1)
    label = xp.sum(xp.where(onehot != 0, shifted, 0), axis=1)
    # The bound keeps log1p from -inf in rows that do not take this branch.
    log_a = xp.where(q < 0.5, xp.log1p(-xp.minimum(q, 0.5)), label - xp.log(total[:, 0]))
    return _Row(others, q, xp.exp(label) / total[:, 0], log_a)
