"""Binary cross-entropy with logits: one yes-or-no question for each entry of ``z``.

An entry has ``a = 1 / (1 + exp(-z))`` for the probability of yes, a target ``y`` in [0, 1] and a weight ``w`` on
what is asked to be yes, for sets where that is rare::

    C = -[ w y log a + (1 - y) log(1 - a) ]

With the softplus ``s(z) = log(1 + exp z)``, whose slope is ``a``: ``log a = -s(-z)`` and ``log(1 - a) = -s(z)``, so::

    C     = w y s(-z) + (1 - y) s(z)
    dC/dz = (1 - y) a - w y (1 - a)

(Bishop, *Pattern Recognition and Machine Learning*, 2006, 4.3.2.) For w = 1 that is ``a - y``, which for a target
of 1 is all rounding error once ``a`` rounds to 1. Here ``1 - a`` is a sigmoid of its own, and only a soft target
leaves anything to cancel: the two summands, where they balance.

`sigmoid_cross_entropy` is the sibling for rows of K output neurons: it adds the K terms of a row and averages over
rows, and takes class indices too. Over an (N, K) matrix its "sum" is this one's, and its "mean" is K times as large.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
import numpy.typing as npt

from gradcheck.derivations._arrays import Array, Pullback, as_floating, is_concrete, widened
from gradcheck.derivations._labels import entry
from gradcheck.derivations._namespace import namespace
from gradcheck.derivations._reduction import reduce_rows
from gradcheck.derivations.activations import sigmoid

__all__ = ["binary_cross_entropy"]


def binary_cross_entropy(
    z: npt.ArrayLike, y: npt.ArrayLike, *, pos_weight: npt.ArrayLike | None = None, reduction: str = "mean"
) -> tuple[Array, Pullback]:
    """Differentiate the binary cross-entropy of every entry.

    Rounding is done in the dtype of `z`, in float32 for anything narrower.

    Parameters
    ----------
    z : array_like, any shape
        Logits, floating. An infinite one is sure; what it is sure of costs 0 if right and infinity if wrong.
    y : array_like, shape of `z`
        Targets in [0, 1]: floats, integers or bools. Not differentiated.
    pos_weight : array_like, shape () or (K,) with K the last axis of `z`, optional
        ``w`` above, finite and at least 0; left out, 1. Not differentiated.
    reduction : {"mean", "sum", "none"}
        Over all entries. The mean over no entries is 0.

    Returns
    -------
    loss : array, shape (), or that of `z` for "none"; dtype of `z`
        In nats.
    pullback : callable
        ``pullback(ct)``, `ct` shaped like `loss`, returns the cotangent of `z`, with its shape and dtype.

    Raises
    ------
    ValueError
        If `z` is not floating, `y` has another shape or a value outside [0, 1], `pos_weight` does not fit or has
        a value that is negative or not finite, or `reduction` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> loss, pullback = binary_cross_entropy(np.log([1.0, 3.0]), [0.0, 1.0])
    >>> print(f"{loss:.6f}")  # the mean of -log(1/2) and -log(3/4)
    0.490415
    >>> pullback(1.0)
    array([ 0.25 , -0.125])
    """
    z = as_floating(z, "z")
    xp, wide = namespace(z, y, pos_weight), widened(z)
    yes, no = _weights(xp, wide, _targets(xp, y, z.shape), pos_weight)
    # A weight of 0 drops its product even where the softplus is infinite.
    missed = yes * xp.where(yes != 0, _softplus(xp, -wide), 0)
    terms = missed + no * xp.where(no != 0, _softplus(xp, wide), 0)
    loss, share = reduce_rows(terms, reduction, z.dtype, divisor=z.size)
    slope = no * sigmoid(wide)[0] - yes * sigmoid(-wide)[0]

    def pullback(ct: npt.ArrayLike) -> Array:
        dz: Array = slope * share(ct)[..., 0]
        return dz.astype(z.dtype, copy=False)

    return loss, pullback


def _softplus(xp: ModuleType, z: Array) -> Array:
    """``log(1 + exp z)``, which overflows nowhere and keeps its relative accuracy where it is small."""
    softplus: Array = xp.maximum(z, 0) + xp.log1p(xp.exp(-xp.abs(z)))
    return softplus


def _targets(xp: ModuleType, y: npt.ArrayLike, shape: tuple[int, ...]) -> Array:
    targets: Array = xp.asarray(y)
    if targets.shape != shape:
        raise ValueError(f"y has shape {targets.shape} and z {shape}: pass one target for each logit")
    if targets.dtype.kind not in "fiub":
        raise ValueError(f"y has dtype {targets.dtype}: targets are floats, integers or bools in [0, 1]")
    if is_concrete(targets) and not np.all((targets >= 0) & (targets <= 1)):  # NaN is caught as well
        at = tuple(np.argwhere(~((targets >= 0) & (targets <= 1)))[0])
        raise ValueError(f"{entry('y', at) if at else 'y'} = {targets[at]} is no probability: targets lie in [0, 1]")
    return targets


def _weights(xp: ModuleType, z: Array, y: Array, pos_weight: npt.ArrayLike | None) -> tuple[Array, Array]:
    """Return what weighs "yes" and "no" in each entry, in the dtype of `z`."""
    y = y.astype(z.dtype)
    if pos_weight is None:
        return y, 1 - y
    weight = xp.asarray(pos_weight)
    if weight.shape not in ((), z.shape[-1:]) or weight.dtype.kind not in "fiu":
        raise ValueError(
            f"pos_weight has shape {weight.shape} and dtype {weight.dtype}: pass one number, or one for each of the "
            f"last axis of z, whose shape is {z.shape}"
        )
    with np.errstate(over="ignore"):
        weight = weight.astype(z.dtype)
    if is_concrete(weight) and not np.all((weight >= 0) & (weight < np.inf)):
        raise ValueError(f"pos_weight={pos_weight!r}: weights are finite in {z.dtype} and at least 0")
    return weight * y, 1 - y
