"""The forms that never divide by ``a``: through the log-probabilities, and fused."""

from __future__ import annotations

from typing import Unpack

import numpy.typing as npt

from gradcheck.derivations._arrays import Array, Pullback
from gradcheck.derivations.softmax_nll._exponentials import exponentials_of
from gradcheck.derivations.softmax_nll.objective import read_objective
from gradcheck.derivations.softmax_nll.options import Options

__all__ = ["fused", "log_softmax"]


def log_softmax(z: npt.ArrayLike, y: npt.ArrayLike, **options: Unpack[Options]) -> tuple[Array, Pullback]:
    """Differentiate softmax + NLL through the log-probabilities.

    With ``l = log a``, ``C = -sum_k q_k l_k``, so ``g = dC/dl = -q``; and ``d l_k / d s_i = [i = k] - a_i``
    gives the pullback of log-softmax::

        ds_i = sum_k g_k ([i = k] - a_i) = g_i - exp(l_i) sum_k g_k

    A z-loss adds ``2 b lse exp(l_i)``. Nothing is divided by ``a``, so nothing is lost where it underflows.

    Parameters, returns and raises are those of `fused`.

    Examples
    --------
    >>> import numpy as np
    >>> loss, pullback = log_softmax(np.log([[1.0, 2.0, 5.0]]), [1])
    >>> pullback(1.0).round(6)
    array([[ 0.125, -0.75 ,  0.625]])
    """
    goal = read_objective("log_softmax", z, y, options)
    xp, g = goal.xp, -goal.q
    softmax = exponentials_of(xp, goal.z, goal.temperature)
    log_total = xp.log(softmax.total)
    log_a = softmax.shifted - log_total
    penalty, penalty_by_lse = goal.penalty(softmax.peak + log_total)
    nll = xp.sum(g * xp.where(g != 0, log_a, 0), axis=-1, keepdims=True)

    def by_s() -> Array:
        ds: Array = g - xp.exp(log_a) * (xp.sum(g, axis=-1, keepdims=True) - penalty_by_lse)
        return ds

    return goal.conclude(nll + penalty, by_s)


def fused(z: npt.ArrayLike, y: npt.ArrayLike, **options: Unpack[Options]) -> tuple[Array, Pullback]:
    """Differentiate softmax + NLL in one step: ``a - y``.

    Written out for effective label weights q of any sum Q, and with a z-loss of weight b (see
    `gradcheck.derivations.softmax_nll.objective`, which makes s and q of logits, labels and options)::

        ds = (Q + 2 b lse) a - q

    Q is 1 for one-hot labels and for soft ones that are a distribution, leaving ``a - y``; it is 0 for a row
    of zeros, which then drops out; and for a weighted example it carries the weight.

    Parameters
    ----------
    z : array_like, shape (N, K), or (B, T, K) for sequences
        Logits, floating; N, B, T >= 0, K >= 1.
    y : array_like, shape of `z` less its last axis, integers; or the shape of `z`
        Class indices, or label weights (finite, at least 0). Not differentiated.
    reduction : {"mean", "sum", "none"}
        Of the row losses. The mean divides by the number of rows that are not ignored, rows of zero weights
        included; with class weights by ``sum_ik w_k y_ik`` over them, for label weights too, where PyTorch
        divides by N. Where that is 0, so is the loss, and its gradient.
    weights : array_like, shape (K,), optional
        Class weights w, finite and at least 0: ``w_k y_k`` takes the place of ``y_k``. Not differentiated.
    ignore_index : int, optional
        Rows whose label it is have loss 0 and gradient 0, whatever their logits are. It may be a class or
        not. Class indices only.
    label_smoothing : float, in [0, 1], default 0
        The share e of each row's labels that is spread evenly over all K classes. The sum of the row is kept;
        PyTorch's differs for label weights that do not sum to one.
    temperature : float, above 0, default 1
        The logits, capped or not, are divided by it. Not differentiated; the loss is not multiplied by its
        square.
    z_loss : float, at least 0, default 0
        The weight b of ``b lse^2``, added to each row that is not ignored.
    softcap : float, above 0, optional
        The c of ``c tanh(z / c)``, which takes the place of `z`.

    Returns
    -------
    loss : array, shape (), or one number a row for ``reduction="none"``; dtype of `z`
        In nats.
    pullback : callable
        ``pullback(ct)``, `ct` shaped like `loss`, returns the cotangent of `z`, with its shape and dtype.

    Raises
    ------
    TypeError
        If an option is unknown.
    ValueError
        If `z`, `y` or an option is malformed, or a row has no finite maximum; and for what has no agreed
        meaning: label weights with `ignore_index`, `weights` with `z_loss`, and a logit of -inf with
        `softcap` (which would unmask it) or `label_smoothing` (which would make the loss infinite).

    Examples
    --------
    >>> import numpy as np
    >>> z = np.log([[1.0, 2.0, 5.0]])
    >>> loss, pullback = fused(z, [1])
    >>> pullback(1.0).round(6)
    array([[ 0.125, -0.75 ,  0.625]])

    Each row on its own, the second ignored:

    >>> loss, pullback = fused(np.log([[1.0, 3.0], [1.0, 1.0]]), [0, -100], ignore_index=-100, reduction="none")
    >>> loss.round(6)
    array([1.386294, 0.      ])
    >>> pullback([1.0, 1.0])
    array([[-0.75,  0.75],
           [ 0.  ,  0.  ]])
    """
    goal = read_objective("fused", z, y, options)
    xp, q = goal.xp, goal.q
    softmax = exponentials_of(xp, goal.z, goal.temperature)
    log_total = xp.log(softmax.total)
    penalty, penalty_by_lse = goal.penalty(softmax.peak + log_total)
    nll = xp.sum(q * xp.where(q != 0, log_total - softmax.shifted, 0), axis=-1, keepdims=True)

    def by_s() -> Array:
        pull = xp.sum(q, axis=-1, keepdims=True) + penalty_by_lse
        ds: Array = softmax.exponentials / softmax.total * pull - q
        return ds

    return goal.conclude(nll + penalty, by_s)
