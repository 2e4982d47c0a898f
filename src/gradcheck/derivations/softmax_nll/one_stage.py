"""The forms that never divide by ``a``: through the log-probabilities, and fused."""

from __future__ import annotations

import numpy.typing as npt

from gradcheck.derivations._arrays import Array, Pullback
from gradcheck.derivations._labels import read_batch
from gradcheck.derivations._reduction import reduce_rows
from gradcheck.derivations.softmax_nll._exponentials import exponentials_of

__all__ = ["fused", "log_softmax"]


def log_softmax(z: npt.ArrayLike, y: npt.ArrayLike, *, reduction: str = "mean") -> tuple[Array, Pullback]:
    """Differentiate softmax + NLL through the log-probabilities.

    With ``l = log a``, ``C = -sum_k y_k l_k``, so ``g = dC/dl = -y``; and ``d l_k / d z_i = [i = k] - a_i``
    gives the pullback of log-softmax::

        dz_i = sum_k g_k ([i = k] - a_i) = g_i - exp(l_i) sum_k g_k

    Nothing is divided by ``a``, so nothing is lost where it underflows.

    Parameters, returns and raises are those of `full_jacobian`, with no limit on labelled ``a``.

    Examples
    --------
    >>> import numpy as np
    >>> loss, pullback = log_softmax(np.log([[1.0, 2.0, 5.0]]), [1])
    >>> pullback(1.0).round(6)
    array([[ 0.125, -0.75 ,  0.625]])
    """
    xp, z, y, dtype = read_batch(z, y)
    shifted, _, total = exponentials_of(xp, z)
    log_a = shifted - xp.log(total)
    g = -y
    loss, share = reduce_rows(xp.sum(g * xp.where(y != 0, log_a, 0), axis=1), reduction, dtype)

    def pullback(ct: npt.ArrayLike) -> Array:
        dz: Array = (g - xp.exp(log_a) * xp.sum(g, axis=1, keepdims=True)) * share(ct)
        return dz.astype(dtype, copy=False)

    return loss, pullback


def fused(z: npt.ArrayLike, y: npt.ArrayLike, *, reduction: str = "mean") -> tuple[Array, Pullback]:
    """Differentiate softmax + NLL in one step: ``a - y``.

    Written out for weights of any sum (the module's derivation, last but one line)::

        dz = a sum_k y_k - y

    The sum is 1 for one-hot labels and for soft ones that are a distribution, leaving ``a - y``; it is 0 for
    a row of zeros, which then drops out; and for a weighted example it carries the weight.

    Parameters, returns and raises are those of `full_jacobian`, with no limit on labelled ``a``.

    Examples
    --------
    >>> import numpy as np
    >>> loss, pullback = fused(np.log([[1.0, 2.0, 5.0]]), [1])
    >>> pullback(1.0).round(6)
    array([[ 0.125, -0.75 ,  0.625]])
    """
    xp, z, y, dtype = read_batch(z, y)
    shifted, exponentials, total = exponentials_of(xp, z)
    nll = xp.sum(y * xp.where(y != 0, xp.log(total) - shifted, 0), axis=1)
    loss, share = reduce_rows(nll, reduction, dtype)

    def pullback(ct: npt.ArrayLike) -> Array:
        dz: Array = (exponentials / total * xp.sum(y, axis=1, keepdims=True) - y) * share(ct)
        return dz.astype(dtype, copy=False)

    return loss, pullback
