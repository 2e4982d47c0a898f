"""Sigmoid outputs with binary cross-entropies: the loss in which every neuron is counted on its own.

A row of logits ``z``, shape (K,), gives K separate probabilities ``a_k = 1 / (1 + exp(-z_k))``::

    C = -sum_k [ y_k log a_k + (1 - y_k) log(1 - a_k) ]

``log a = z - s`` and ``log(1 - a) = -s`` with ``s = log(1 + exp(z))``, so each summand is ``s_k - y_k z_k``.
Since ``ds/dz = exp(z) / (1 + exp(z)) = a``::

    dC/dz_k = a_k - y_k

(Bishop, *Pattern Recognition and Machine Learning*, 2006, 4.3.2 and eq. 4.91). No Jacobian couples the
neurons here, and none is needed: the *value* of this loss already depends on every a_k.

**Against softmax + NLL.** Both gradients read ``a - y`` and mean different things. There, the value for
one-hot `y` depends on the labelled output alone, and it is the softmax Jacobian that spreads the gradient
over every logit; the entries of a row sum to zero. Here, the value has K terms, the gradient of each stays
with its own logit, and the row sums to whatever it does. To derive ``a - y`` from this loss and to use it
for the other gives the right formula for the wrong reason, and the wrong formula as soon as the weights do
not sum to one: there ``a`` is multiplied by their sum.
"""

from __future__ import annotations

import numpy.typing as npt

from gradcheck.derivations._arrays import Array, Pullback
from gradcheck.derivations._labels import read_batch
from gradcheck.derivations._reduction import reduce_rows
from gradcheck.derivations.activations import sigmoid

__all__ = ["sigmoid_cross_entropy"]


def sigmoid_cross_entropy(z: npt.ArrayLike, y: npt.ArrayLike, *, reduction: str = "mean") -> tuple[Array, Pullback]:
    """Differentiate the binary cross-entropies of all output neurons, added over a row.

    The softplus is taken as ``s = max(z, 0) + log(1 + exp(-|z|))``, which overflows nowhere and keeps the
    small losses of confident, right neurons. Rounding is done in the dtype of `z`, in float32 for anything
    narrower.

    Parameters
    ----------
    z : array_like, shape (N, K)
        Logits, floating; N >= 0, K >= 1. ``-inf`` is a neuron that is surely off.
    y : array_like, shape (N,) of integers, or (N, K)
        Class indices, read as one-hot rows, or a target for each neuron, in [0, 1] if it is to be a
        probability (finite and at least 0 is what is checked). Not differentiated.
    reduction : {"mean", "sum", "none"}
        Of the N row losses; a row's own K terms are always added. The mean over no rows is 0.

    Returns
    -------
    loss : array, shape (), or (N,) for ``reduction="none"``; dtype of `z`
        In nats.
    pullback : callable
        ``pullback(ct)``, `ct` shaped like `loss`, returns the cotangent of `z`, shape (N, K), dtype of `z`.

    Raises
    ------
    ValueError
        If `z` or `y` is malformed or `reduction` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> loss, pullback = sigmoid_cross_entropy(np.log([[1.0, 3.0]]), [1])
    >>> print(f"{loss:.6f}")  # -log(1/2) - log(3/4)
    0.980829
    >>> pullback(1.0)
    array([[ 0.5 , -0.25]])
    """
    xp, z, y, dtype = read_batch(z, y)
    a, _ = sigmoid(z)
    # A target of 0 drops the product even where the logit is -inf.
    neurons = xp.maximum(z, 0) - y * xp.where(y != 0, z, 0) + xp.log1p(xp.exp(-xp.abs(z)))
    loss, share = reduce_rows(xp.sum(neurons, axis=1), reduction, dtype)

    def pullback(ct: npt.ArrayLike) -> Array:
        dz: Array = (a - y) * share(ct)
        return dz.astype(dtype, copy=False)

    return loss, pullback
