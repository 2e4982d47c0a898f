"""Activation functions and their pullbacks, entry by entry: ``dC/dz_i = h'(z_i) dC/dh_i``.

The Jacobian of an entry-wise function is diagonal, so the pullback multiplies the cotangent by the slope
(Goodfellow, Bengio and Courville, *Deep Learning*, 2016, 6.3 and 6.5). The slopes of the two saturating
functions are written without ``1 - h``, which is all rounding error once ``h`` rounds to 1.

Each takes any shape and keeps the floating dtype. The pullback reads `z`, so do not change it in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy.typing as npt

from gradcheck.derivations._arrays import Array, Pullback, as_cotangent, as_floating
from gradcheck.derivations._namespace import namespace

__all__ = ["ACTIVATIONS", "Activation", "relu", "sigmoid", "tanh"]

Activation: TypeAlias = Callable[[Array], tuple[Array, Pullback]]


def relu(z: npt.ArrayLike) -> tuple[Array, Pullback]:
    """Rectify: ``h = max(z, 0)``, with slope 1 for z > 0 and 0 for z < 0.

    At z = 0 it has no derivative; every number in [0, 1] is a subgradient, and 0 is the one taken here.

    Parameters
    ----------
    z : array_like, any shape
        Floating.

    Returns
    -------
    h : array, shape and dtype of `z`
    pullback : callable
        ``pullback(ct)``, `ct` shaped like `z`, returns the cotangent of `z`, with its shape and dtype.

    Raises
    ------
    ValueError
        If `z` is not floating; from the pullback, if the cotangent has another shape.

    Examples
    --------
    >>> import numpy as np
    >>> h, pullback = relu(np.array([-1.0, 0.0, 2.0]))
    >>> h
    array([0., 0., 2.])
    >>> pullback(np.array([3.0, 3.0, 3.0]))
    array([0., 0., 3.])
    """
    z = as_floating(z, "z")
    xp = namespace(z)

    def pullback(ct: npt.ArrayLike) -> Array:
        dz: Array = xp.where(z > 0, as_cotangent(ct, z.shape, z.dtype), 0)
        return dz

    return xp.maximum(z, 0), pullback


def sigmoid(z: npt.ArrayLike) -> tuple[Array, Pullback]:
    """Squash into (0, 1): ``h = 1 / (1 + exp(-z))``, with slope ``h (1 - h)``.

    Let ``u = exp(min(z, 0))`` and ``v = exp(min(-z, 0))``. One of them is 1, neither overflows, and
    ``u / v = exp(z)``, hence::

        h = u / (u + v),   1 - h = v / (u + v),   h' = h (1 - h) = u v / (u + v)^2

    with no difference of close numbers, so both tails of the slope are as accurate as its middle.

    Parameters, returns and raises are those of `relu`.

    Examples
    --------
    >>> import numpy as np
    >>> h, pullback = sigmoid(np.array([-1000.0, 0.0, 40.0]))
    >>> h
    array([0. , 0.5, 1. ])
    >>> print(*(f"{slope:.6e}" for slope in pullback(np.ones(3))))
    0.000000e+00 2.500000e-01 4.248354e-18
    """
    z = as_floating(z, "z")
    xp = namespace(z)
    u, v = xp.exp(xp.minimum(z, 0)), xp.exp(xp.minimum(-z, 0))

    def pullback(ct: npt.ArrayLike) -> Array:
        dz: Array = as_cotangent(ct, z.shape, z.dtype) * (u * v / (u + v) ** 2)
        return dz

    return u / (u + v), pullback


def tanh(z: npt.ArrayLike) -> tuple[Array, Pullback]:
    """Squash into (-1, 1): ``h = tanh(z)``, with slope ``1 - h^2``.

    ``1 - tanh^2 = sech^2``, and with ``e = exp(-|z|)``, which never overflows::

        sech(z) = 2 / (exp(z) + exp(-z)) = 2 e / (1 + e^2)

    Parameters, returns and raises are those of `relu`.

    Examples
    --------
    >>> import numpy as np
    >>> h, pullback = tanh(np.array([0.0, 20.0]))
    >>> print(*(f"{slope:.6e}" for slope in pullback(np.ones(2))))
    1.000000e+00 1.699342e-17
    """
    z = as_floating(z, "z")
    xp = namespace(z)

    def pullback(ct: npt.ArrayLike) -> Array:
        e = xp.exp(-xp.abs(z))
        dz: Array = as_cotangent(ct, z.shape, z.dtype) * (2 * e / (1 + e * e)) ** 2
        return dz

    return xp.tanh(z), pullback


ACTIVATIONS: dict[str, Activation] = {"relu": relu, "sigmoid": sigmoid, "tanh": tanh}
