"""A multilayer perceptron and its gradient, composed of the rules beside it and of nothing else.

::

    h_0 = x,   z_l = h_{l-1} W_l^T + b_l,   h_l = activation(z_l),   C = loss(z_L, y) + penalty(W)

Reverse mode runs the same chain backwards, handing each rule's pullback the cotangent that the one above
returned (Goodfellow, Bengio and Courville, *Deep Learning*, 2016, 6.5; Griewank and Walther, *Evaluating
Derivatives*, 2nd ed. 2008, ch. 3). With ``dz_L`` from the loss, for l = L, ..., 1::

    (dh_{l-1}, dW_l, db_l) = linear's pullback of dz_l
    dz_{l-1} = activation's pullback of dh_{l-1}

So there is nothing to derive here: if the parts are right, and each is handed the right cotangent, so is the
whole. A network of one layer is softmax regression.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy.typing as npt

from gradcheck.derivations import softmax_nll
from gradcheck.derivations._arrays import Array, Pullback, as_floating
from gradcheck.derivations.activations import ACTIVATIONS, Activation
from gradcheck.derivations.l2 import DictPullback, l2_penalty
from gradcheck.derivations.linear import linear, linear_of_data

__all__ = ["mlp", "mlp_logits"]

Params: TypeAlias = Mapping[str, npt.ArrayLike]
Loss: TypeAlias = Callable[..., tuple[Array, Pullback]]


def mlp_logits(
    params: Params, x: npt.ArrayLike, *, activation: str | Activation = "relu"
) -> tuple[Array, DictPullback]:
    """Compute the logits of a network, and their pullback to the parameters.

    Parameters
    ----------
    params : mapping of str to array_like
        ``W1`` of shape (H_1, H_0), ``b1`` of shape (H_1,), ``W2``, ``b2``, ... without a gap; see
        `init_params`.
    x : array_like, shape (N, H_0)
        Data, floating. Not differentiated.
    activation : {"relu", "sigmoid", "tanh"} or callable
        Between the layers; a callable is a rule, ``z -> (h, pullback)``.

    Returns
    -------
    logits : array, shape (N, K)
    pullback : callable
        ``pullback(ct)``, `ct` of shape (N, K), returns a dict with the names, order, shapes and dtypes of
        `params`. It reads `params` and `x`, so do not change them in between.

    Raises
    ------
    ValueError
        If names are missing or unknown, shapes do not fit (the layer is named), or the activation is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> params = {"W1": np.array([[1.0], [-1.0]]), "b1": np.zeros(2)}
    >>> params |= {"W2": np.ones((1, 2)), "b2": np.zeros(1)}
    >>> logits, pullback = mlp_logits(params, np.array([[3.0], [-4.0]]))  # |x|, from two rectifiers
    >>> logits
    array([[3.],
           [4.]])
    >>> pullback(np.ones((2, 1)))["W2"]
    array([[3., 4.]])
    """
    depth = _depth(params)
    activate = _activation(activation)
    h = as_floating(x, "x")
    linears: list[Callable[[Any], Any]] = []
    activations: list[Pullback] = []
    for layer in range(1, depth + 1):
        apply: Callable[..., Any] = linear_of_data if layer == 1 else linear
        try:
            h, linear_pullback = apply(h, params[f"W{layer}"], params[f"b{layer}"])
        except ValueError as error:
            error.add_note(f"in layer {layer}: W = params['W{layer}'], b = params['b{layer}']")
            raise
        linears.append(linear_pullback)
        if layer < depth:
            h, activation_pullback = activate(h)
            activations.append(activation_pullback)

    def pullback(ct: npt.ArrayLike) -> dict[str, Array]:
        gradient: dict[str, Array] = {}
        for layer in range(depth, 1, -1):
            ct, gradient[f"W{layer}"], gradient[f"b{layer}"] = linears[layer - 1](ct)
            ct = activations[layer - 2](ct)
        gradient["W1"], gradient["b1"] = linears[0](ct)
        return {name: gradient[name] for name in params}

    return h, pullback


def mlp(
    params: Params,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    activation: str | Activation = "relu",
    loss: Loss = softmax_nll.fused,
    l2: float = 0.0,
    reduction: str = "mean",
) -> tuple[Array, DictPullback]:
    """Compute the training loss of a network, and its pullback to the parameters.

    Parameters
    ----------
    params, x, activation
        As for `mlp_logits`.
    y : array_like, shape (N,) of integers, or (N, K)
        Class indices or label weights, as `loss` takes them. Not differentiated.
    loss : callable
        A rule ``(z, y, *, reduction) -> (loss, pullback)``: one of `softmax_nll`'s, `sigmoid_cross_entropy`,
        or one of your own, which then trains in place of these.
    l2 : float
        Strength of `l2_penalty`; a Python number, also under ``jax.jit``.
    reduction : {"mean", "sum"}
        Of the rows' losses. The penalty is added once, whatever N is.

    Returns
    -------
    loss : array, shape ()
    pullback : callable
        ``pullback(ct)``, `ct` of shape (), returns a dict with the names, order, shapes and dtypes of
        `params`. It reads `params` and `x`, so do not change them in between.

    Raises
    ------
    ValueError
        As `mlp_logits`, `loss` and `l2_penalty` do.

    Examples
    --------
    >>> import numpy as np
    >>> params = {"W1": np.log([[1.0], [2.0], [5.0]]), "b1": np.zeros(3)}  # one layer: softmax regression
    >>> loss, pullback = mlp(params, np.ones((1, 1)), [1])
    >>> pullback(1.0)["b1"].round(6)  # a - y
    array([ 0.125, -0.75 ,  0.625])
    """
    logits, logits_pullback = mlp_logits(params, x, activation=activation)
    nll, nll_pullback = loss(logits, y, reduction=reduction)
    if l2 == 0:
        return nll, lambda ct: logits_pullback(nll_pullback(ct))
    penalty, penalty_pullback = l2_penalty(params, l2)

    def pullback(ct: npt.ArrayLike) -> dict[str, Array]:
        decay = penalty_pullback(ct)
        return {name: g + decay[name] for name, g in logits_pullback(nll_pullback(ct)).items()}

    return nll + penalty, pullback


def _depth(params: Params) -> int:
    depth = len(params) // 2
    expected = {f"{kind}{layer}" for layer in range(1, depth + 1) for kind in "Wb"}
    if not params or set(params) != expected:
        raise ValueError(
            f"params has the names {sorted(params)}: pass W1, b1, W2, b2, ... for layers 1, 2, ..., "
            "both for each layer and nothing else"
        )
    return depth


def _activation(activation: str | Activation) -> Activation:
    if callable(activation):
        return activation
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation={activation!r} is unknown: pass {sorted(ACTIVATIONS)} or a rule")
    return ACTIVATIONS[activation]
