"""The forms that differentiate softmax and the logarithm one after the other, dividing by ``a`` in between."""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple, Never

import numpy as np
import numpy.typing as npt

from gradcheck.derivations._arrays import Array, Pullback, is_concrete
from gradcheck.derivations._labels import read_batch
from gradcheck.derivations._reduction import reduce_rows
from gradcheck.derivations.softmax_nll._exponentials import exponentials_of
from gradcheck.derivations.softmax_nll.options import check_taken

__all__ = ["contracted_jacobian", "full_jacobian"]


def full_jacobian(
    z: npt.ArrayLike, y: npt.ArrayLike, *, reduction: str = "mean", **others: Never
) -> tuple[Array, Pullback]:
    """Differentiate softmax + NLL in two stages, with the softmax Jacobian written out.

    Each row's ``J = diag(a) - a a^T`` is built, shape (N, K, K), and applied to ``g = -y / a``::

        dz_i = sum_k J_ik g_k

    The form to learn from, and to check the others against: O(N K^2) in time and memory.

    Parameters
    ----------
    z : array_like, shape (N, K)
        Logits, floating; N >= 0, K >= 1.
    y : array_like, shape (N,) of integers, or (N, K)
        Class indices, or label weights (finite, at least 0). Not differentiated.
    reduction : {"mean", "sum", "none"}
        Of the N row losses. The mean divides by N, rows of zero weights included; over no rows it is 0.

    Returns
    -------
    loss : array, shape (), or (N,) for ``reduction="none"``; dtype of `z`
        In nats.
    pullback : callable
        ``pullback(ct)``, `ct` shaped like `loss`, returns the cotangent of `z`, shape (N, K), dtype of `z`.

    Raises
    ------
    TypeError
        If another option is given, naming the forms that take it.
    ValueError
        If `z` or `y` is malformed, if a row has no finite maximum, if `reduction` is unknown, or if a
        labelled ``a`` is below the smallest normal number (see the module's domain).

    Examples
    --------
    >>> loss, pullback = full_jacobian(np.log([[1.0, 2.0, 5.0]]), [1])
    >>> print(f"{loss:.6f}")  # -log(2/8)
    1.386294
    >>> pullback(1.0).round(6)
    array([[ 0.125, -0.75 ,  0.625]])
    """
    check_taken("full_jacobian", others)
    xp, z, y, dtype = read_batch(z, y)
    a, g, nll = _two_stages(xp, z, y)
    loss, share = reduce_rows(nll, reduction, dtype)

    def pullback(ct: npt.ArrayLike) -> Array:
        jacobian = a[:, :, None] * (xp.eye(a.shape[1], dtype=a.dtype) - a[:, None, :])
        dz: Array = (jacobian @ g[:, :, None])[:, :, 0] * share(ct)
        return dz.astype(dtype, copy=False)

    return loss, pullback


def contracted_jacobian(
    z: npt.ArrayLike, y: npt.ArrayLike, *, reduction: str = "mean", **others: Never
) -> tuple[Array, Pullback]:
    """Differentiate softmax + NLL in two stages, with the Jacobian contracted before it is built.

    ``J g = diag(a) g - a (a^T g)``, so one inner product a row replaces the K x K matrix::

        dz = a * (g - <g, a>),   g = -y / a

    This is the pullback of softmax for any ``g``, O(N K).

    Parameters, returns and raises are those of `full_jacobian`.

    Examples
    --------
    >>> loss, pullback = contracted_jacobian(np.log([[1.0, 2.0, 5.0]]), [1])
    >>> pullback(1.0).round(6)
    array([[ 0.125, -0.75 ,  0.625]])
    """
    check_taken("contracted_jacobian", others)
    xp, z, y, dtype = read_batch(z, y)
    a, g, nll = _two_stages(xp, z, y)
    loss, share = reduce_rows(nll, reduction, dtype)

    def pullback(ct: npt.ArrayLike) -> Array:
        dz: Array = a * (g - xp.sum(g * a, axis=1, keepdims=True)) * share(ct)
        return dz.astype(dtype, copy=False)

    return loss, pullback


class _TwoStages(NamedTuple):
    a: Array
    """Softmax, shape (N, K)."""
    g: Array
    """``dC/da``, shape (N, K)."""
    nll: Array
    """Row losses, shape (N,)."""


def _two_stages(xp: ModuleType, z: Array, y: Array) -> _TwoStages:
    softmax = exponentials_of(xp, z)
    a = softmax.exponentials / softmax.total
    labelled = y != 0
    if is_concrete(a) and (vanished := labelled & (a < np.finfo(a.dtype).tiny)).any():
        i, k = np.argwhere(vanished)[0]
        raise ValueError(
            f"softmax underflows at the label z[{i}, {k}] = {z[i, k]}, below the row maximum {z[i].max()}: "
            "-y / a is undefined there, so use log_softmax or fused"
        )
    # Where y_k = 0 the summand is 0 whatever a_k is, 0 included: 1 stands in for it.
    safe = xp.where(labelled, a, 1)
    return _TwoStages(a, -y / safe, -xp.sum(y * xp.log(safe), axis=1))
