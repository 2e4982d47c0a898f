"""The affine layer ``z = h W^T + b`` and its pullback.

With ``h`` of shape (N, H), ``W`` of shape (K, H) and ``b`` of shape (K,)::

    z_nj = sum_k W_jk h_nk + b_j

Write ``dz`` for the cotangent of ``z``, shape (N, K). Each primal collects ``dz`` along every path to the
output, so the sums run over whatever index the primal does not carry (Griewank and Walther, *Evaluating
Derivatives*, 2nd ed. 2008, ch. 3; Goodfellow, Bengio and Courville, *Deep Learning*, 2016, 6.5)::

    dh_nk = sum_j dz_nj W_jk      dh = dz W
    dW_jk = sum_n dz_nj h_nk      dW = dz^T h
    db_j  = sum_n dz_nj           db = sum over the rows of dz

**As output layer.** Below softmax + NLL, or sigmoid + cross-entropy, one example has ``dz = a - y``, and
therefore::

    dC/db_j  = a_j - y_j
    dC/dW_jk = (a_j - y_j) h_k

for *every* j: row j of ``W`` is updated whether or not j is the label. Over a batch the mean's 1/N is in
``dz`` already: to divide again is a classic mistake, and to divide in neither place is another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy.typing as npt

from gradcheck.derivations._arrays import Array, as_cotangent, as_floating

__all__ = ["linear", "linear_of_data"]

LinearPullback: TypeAlias = Callable[[npt.ArrayLike], tuple[Array, Array, Array]]
ParameterPullback: TypeAlias = Callable[[npt.ArrayLike], tuple[Array, Array]]


def linear(h: npt.ArrayLike, W: npt.ArrayLike, b: npt.ArrayLike) -> tuple[Array, LinearPullback]:
    """Apply an affine layer to the output of another.

    Parameters
    ----------
    h : array_like, shape (N, H)
    W : array_like, shape (K, H)
    b : array_like, shape (K,)
        All floating. The pullback reads `h` and `W`: do not change them in between.

    Returns
    -------
    z : array, shape (N, K)
        In the dtype that the three promote to.
    pullback : callable
        ``pullback(dz)``, `dz` of shape (N, K), returns ``(dh, dW, db)``, each with its primal's shape and
        dtype.

    Raises
    ------
    ValueError
        If one is not floating or the shapes do not fit; from the pullback, if `dz` is not shaped like `z`.

    Examples
    --------
    >>> import numpy as np
    >>> z, pullback = linear(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]]), np.zeros(2))
    >>> z
    array([[11., 17.]])
    >>> dh, dW, db = pullback(np.array([[1.0, -1.0]]))
    >>> dh
    array([[-2., -2.]])
    >>> dW
    array([[ 1.,  2.],
           [-1., -2.]])
    >>> db
    array([ 1., -1.])
    """
    h, W = as_floating(h, "h"), as_floating(W, "W")
    z, parameter_pullback = linear_of_data(h, W, b)
    shape, dtype = z.shape, z.dtype

    def pullback(ct: npt.ArrayLike) -> tuple[Array, Array, Array]:
        dz = as_cotangent(ct, shape, dtype)
        return ((dz @ W).astype(h.dtype, copy=False), *parameter_pullback(dz))

    return z, pullback


def linear_of_data(h: npt.ArrayLike, W: npt.ArrayLike, b: npt.ArrayLike) -> tuple[Array, ParameterPullback]:
    """Apply an affine layer to data, which needs no cotangent.

    The first layer of a network: ``dz W`` would cost as much as ``dW`` does, and nobody would read it.

    Parameters, returns and raises are those of `linear`, save that the pullback returns ``(dW, db)``.

    Examples
    --------
    >>> import numpy as np
    >>> z, pullback = linear_of_data(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), np.zeros(1))
    >>> dW, db = pullback(np.array([[10.0]]))
    >>> dW
    array([[10., 20.]])
    """
    h, W, b = as_floating(h, "h"), as_floating(W, "W"), as_floating(b, "b")
    if h.ndim != 2 or W.ndim != 2 or b.ndim != 1 or h.shape[1] != W.shape[1] or b.shape[0] != W.shape[0]:
        raise ValueError(
            f"h {h.shape}, W {W.shape} and b {b.shape} do not fit: the layer takes (N, H), (K, H) and (K,)"
        )
    z: Array = h @ W.T + b
    shape, dtype = z.shape, z.dtype

    def pullback(ct: npt.ArrayLike) -> tuple[Array, Array]:
        dz = as_cotangent(ct, shape, dtype)
        return (dz.T @ h).astype(W.dtype, copy=False), dz.sum(axis=0).astype(b.dtype, copy=False)

    return z, pullback
