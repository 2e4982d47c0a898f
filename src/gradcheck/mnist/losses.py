"""Losses of your own in the training loop.

The loop asks of a loss what the rules in `gradcheck.derivations` are:
``loss(z, y, *, reduction) -> (value, pullback)``. The two functions here make one of what people have: a
gradient by the logits, or a rule without `reduction`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gradcheck.derivations import softmax_nll
from gradcheck.errors import InvalidArgument

__all__ = ["Loss", "from_gradient", "from_rule"]

Array: TypeAlias = npt.NDArray[Any]
Loss: TypeAlias = Callable[..., tuple[Any, Callable[[Any], Array]]]


def from_gradient(
    grad: Callable[[Array, Array], npt.ArrayLike],
    loss: Callable[[Array, Array], Any] | None = None,
    *,
    one_hot: bool = False,
) -> Loss:
    """Train with a gradient by the logits that you derived.

    Parameters
    ----------
    grad : callable
        ``grad(z, y)``, `z` of shape (N, K): the gradient of the *mean* loss of the N rows, shape (N, K).
    loss : callable, optional
        ``loss(z, y)``, that mean loss. Left out, it is that of softmax and negative log-likelihood. It is reported,
        and decides nothing but whether the run has diverged.
    one_hot : bool
        What `y` is: class indices, shape (N,), or one-hot rows, shape (N, K), in the dtype of `z`.

    Raises
    ------
    InvalidArgument
        In training, if `grad` returns another shape or `loss` no scalar.

    Examples
    --------
    Only the neuron of the label learns, the mistake that softmax makes so tempting:

    >>> def label_only(z, y):
    ...     a = np.exp(z - z.max(axis=1, keepdims=True))
    ...     return y * (a / a.sum(axis=1, keepdims=True) - y) / len(z)
    >>> value, pullback = from_gradient(label_only, one_hot=True)(np.zeros((1, 2)), np.array([1]), reduction="mean")
    >>> pullback(1.0)
    array([[ 0. , -0.5]])
    """

    def rule(z: Array, y: Array) -> tuple[Any, Callable[[Any], npt.ArrayLike]]:
        value = softmax_nll.fused(z, y)[0] if loss is None else loss(z, y)
        return value, lambda ct: ct * np.asarray(grad(z, y))

    return from_rule(rule, one_hot=one_hot)


def from_rule(rule: Callable[[Array, Array], tuple[Any, Any]], *, one_hot: bool = False) -> Loss:
    """Train with a rule ``(z, y) -> (mean loss, pullback)``, such as those that `gradcheck.from_loss` makes.

    Parameters and raises are those of `from_gradient`.
    """

    def loss(z: Array, y: Array, *, reduction: str = "mean") -> tuple[Array, Callable[[Any], Array]]:
        if reduction != "mean":
            raise InvalidArgument(f"reduction={reduction!r}: a loss of your own is a mean over the rows")
        labels = np.eye(z.shape[1], dtype=z.dtype)[y] if one_hot else y
        value, rule_pullback = rule(z, labels)
        if np.shape(value) != ():
            raise InvalidArgument(f"the loss has shape {np.shape(value)}: return one number, the rows' mean")

        def pullback(ct: Any) -> Array:
            gradient = np.asarray(rule_pullback(ct))
            if gradient.shape != z.shape:
                raise InvalidArgument(
                    f"the gradient has shape {gradient.shape}, the logits {z.shape}: return one entry for each logit"
                )
            return gradient

        return np.asarray(value), pullback

    return loss
