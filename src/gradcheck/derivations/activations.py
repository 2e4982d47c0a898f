"""Activation functions and their pullbacks, entry by entry: ``dC/dz_i = h'(z_i) dC/dh_i``.

The Jacobian of an entry-wise function is diagonal, so the pullback multiplies the cotangent by the slope
(Goodfellow, Bengio and Courville, *Deep Learning*, 2016, 6.3 and 6.5). The slopes of the two saturating
functions are written without ``1 - h``, which is all rounding error once ``h`` rounds to 1.

`gelu` and `silu` let ``z`` through a gate: ``h = z p(z)`` with ``p`` rising from 0 to 1, and ``h' = p + z p'``
by the product rule. Both summands are taken in a form that keeps its relative accuracy in the left tail, where
the second outweighs the first; they cancel only where ``h' = 0``, at z = -0.75 (gelu) or -1.28 (silu). Beyond a
`z` of either sign that is far, ``p`` is 0 or 1 and ``p'`` is 0: it is clipped there, and infinities saturate.

Each takes any shape and keeps the floating dtype. The pullback reads `z`, so do not change it in between.
"""

from __future__ import annotations

from collections.abc import Callable
from math import erfc, pi, sqrt
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt

from gradcheck.derivations._arrays import Array, Pullback, as_cotangent, as_floating, widened
from gradcheck.derivations._namespace import namespace

__all__ = ["ACTIVATIONS", "Activation", "gelu", "relu", "sigmoid", "silu", "tanh"]

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


def gelu(z: npt.ArrayLike, *, approximate: bool = False) -> tuple[Array, Pullback]:
    """Let through as much as a standard normal variable is below: ``h = z Phi(z)``.

    ``Phi(z) = erfc(-z / sqrt 2) / 2`` has the density ``phi(z) = exp(-z^2 / 2) / sqrt(2 pi)`` for slope, so::

        h' = Phi(z) + z phi(z)

    (Hendrycks and Gimpel, *Gaussian Error Linear Units*, 2016.) Their approximation, still the usual one in
    language models, takes another gate, ``(1 + tanh w) / 2``, which is ``sigmoid(2 w)``::

        w = sqrt(2 / pi) (z + 0.044715 z^3),    w' = sqrt(2 / pi) (1 + 3 * 0.044715 z^2)
        h' = sigmoid(2 w) + z sigmoid'(2 w) 2 w'

    The two differ by up to 5e-4, and so each has a derivative of its own: one for the other is a mistake that
    no loose tolerance sees. `erfc` is not in NumPy: here it is the standard library's, called entry by entry
    (about 0.2 microseconds each) in float64, hence longdouble is no more accurate than that; ``jax.numpy`` arrays get
    ``jax.scipy.special.erfc``. The relative error grows as ``z^2 u`` towards the left, as any function of a
    rounded `z` must there: a change of `z` by ``u z`` changes ``phi`` by as much.

    Parameters
    ----------
    z : array_like, any shape
        Floating.
    approximate : bool
        Whether to take the gate with tanh.

    Returns and raises are those of `relu`; also ValueError where `approximate` is no bool and, without it, where `z`
    is of a library other than these two.

    Examples
    --------
    >>> import numpy as np
    >>> h, pullback = gelu(np.array([-10.0, 0.0, 1.0]))
    >>> print(*(f"{value:.6e}" for value in h))
    -7.619853e-23 0.000000e+00 8.413447e-01
    >>> print(*(f"{slope:.6e}" for slope in pullback(np.ones(3))))
    -7.618400e-22 5.000000e-01 1.083315e+00
    >>> gelu(1.0, approximate=True)[0].round(6)
    np.float64(0.841192)
    """
    if not isinstance(approximate, (bool, np.bool)):  # "none", elsewhere the name of the exact one, is true
        raise ValueError(f"approximate={approximate!r}: pass True for the gate with tanh, or False for the exact one")
    return _gated(z, 160.0, _tanh_gate if approximate else _normal_gate)  # exp(-160^2 / 2) is 0, in longdouble too


def silu(z: npt.ArrayLike) -> tuple[Array, Pullback]:
    """Let through as much as the logistic sigmoid: ``h = z sigmoid(z)``, also called swish.

    ``sigmoid' = sigmoid(z) sigmoid(-z)`` gives ``h' = sigmoid(z) + z sigmoid(z) sigmoid(-z)`` (Elfwing, Uchibe
    and Doya, *Sigmoid-Weighted Linear Units*, Neural Networks 107, 2018).

    Parameters, returns and raises are those of `relu`.

    Examples
    --------
    >>> import numpy as np
    >>> h, pullback = silu(np.array([-40.0, 0.0, 1.0]))
    >>> print(*(f"{value:.6e}" for value in h))
    -1.699342e-16 0.000000e+00 7.310586e-01
    >>> print(*(f"{slope:.6e}" for slope in pullback(np.ones(3))))
    -1.656858e-16 5.000000e-01 9.276705e-01
    """
    return _gated(z, 12e3, _logistic_gate)  # exp(-12e3) is 0, in longdouble too


Gate: TypeAlias = Callable[[Array], tuple[Array, Array]]


def _gated(z: npt.ArrayLike, far: float, gate: Gate) -> tuple[Array, Pullback]:
    """Return ``h = z p(z)`` with its pullback, for a gate that returns ``p`` and ``p'`` within `far` of 0."""
    z = as_floating(z, "z")
    xp, wide = namespace(z), widened(z)
    within = xp.clip(wide, -far, far)
    p, slope = gate(within)

    def pullback(ct: npt.ArrayLike) -> Array:
        dz: Array = as_cotangent(ct, z.shape, wide.dtype) * (p + within * slope)
        return dz.astype(z.dtype, copy=False)

    return (xp.maximum(wide, -far) * p).astype(z.dtype, copy=False), pullback


def _normal_gate(z: Array) -> tuple[Array, Array]:
    return _erfc(-z / sqrt(2)) / 2, namespace(z).exp(-z * z / 2) / sqrt(2 * pi)


def _tanh_gate(z: Array) -> tuple[Array, Array]:
    twice_w = 2 * sqrt(2 / pi) * z * (1 + 0.044715 * z * z)
    p, pullback = sigmoid(twice_w)
    return p, pullback(2 * sqrt(2 / pi) * (1 + 3 * 0.044715 * z * z))


def _logistic_gate(z: Array) -> tuple[Array, Array]:
    p, pullback = sigmoid(z)
    return p, pullback(namespace(z).ones_like(z))


def _erfc(x: Array) -> Array:
    library = namespace(x).__name__
    if library == "numpy":
        return np.asarray(np.frompyfunc(erfc, 1, 1)(x)).astype(x.dtype)
    if library == "jax.numpy":
        from jax.scipy import special

        return cast("Array", special.erfc(x))
    raise ValueError(f"z is an array of {library}, for which no erfc is known here: pass approximate=True")


ACTIVATIONS: dict[str, Activation] = {"relu": relu, "sigmoid": sigmoid, "tanh": tanh}
