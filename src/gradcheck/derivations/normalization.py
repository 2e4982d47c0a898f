"""Normalisation: layers that take out the mean and the scale of what passes, and their pullbacks.

All three are ``out = gain * n + bias`` for numbers ``n`` that were standardised over some of the axes. Let D
numbers ``x_i`` be standardised together, with mean ``m`` and variance ``v``::

    c_i = x_i - m,   v = (1/D) sum_i c_i^2,   r = 1 / sqrt(v + epsilon),   n_i = r c_i

Write ``g`` for the cotangent of ``n``. A change ``dx`` moves ``c`` by ``dc_i = dx_i - mean(dx)``, and ``r`` by
``dr = -(r^3 / 2) dv`` with ``dv = (2/D) sum_j c_j dc_j``, so ``dn_i = r dc_i + c_i dr`` gives::

    sum_i g_i dn_i = r sum_j (g_j - n_j mean(g n)) dc_j

and, since the sum of ``dc`` is 0, whatever ``dc`` is multiplied by may be centred first. Its mean is that of g, for
the mean of ``n`` is 0::

    dx_j = r (g_j - mean(g) - n_j mean(g n))

(Ioffe and Szegedy, *Batch Normalization*, ICML 2015, section 3, who leave it in six steps; Ba, Kiros and Hinton,
*Layer Normalization*, 2016.) All D inputs act on all D outputs: to leave out either mean is the classic mistake,
and makes the row pass on what the forward took out. The gain and the bias act on every row alike, so their
cotangents are sums over rows: ``dgain = sum ct n`` and ``dbias = sum ct``.

**Numbers.** Variance is the mean of squared differences, never a difference of mean squares, and the inputs are
centred twice: the first difference is exact where the offset dwarfs the spread, and what it leaves is the error of
the rounded mean, which the second takes out. In ``g - mean(g) - n mean(g n)`` the centred ``g`` serves in both
places. Squares must not overflow: inputs stay below about 1e19 in float32 and 1e154 in float64. float16 is widened
to float32 inside.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gradcheck.derivations._arrays import Array, as_cotangent, as_floating
from gradcheck.derivations._namespace import namespace
from gradcheck.derivations._options import check_number

__all__ = ["batch_norm", "layer_norm", "rms_norm"]

AffinePullback: TypeAlias = Callable[[npt.ArrayLike], tuple[Array, Array, Array]]
GainPullback: TypeAlias = Callable[[npt.ArrayLike], tuple[Array, Array]]
Standardised: TypeAlias = tuple[Array, Callable[[Array], Array]]


def layer_norm(
    x: npt.ArrayLike, gain: npt.ArrayLike, bias: npt.ArrayLike, *, epsilon: float = 1e-5
) -> tuple[Array, AffinePullback]:
    """Standardise each row over its features.

    Parameters
    ----------
    x : array_like, shape (..., D)
        D >= 1 features; any axes before them. With one feature the output is the bias, and `dx` is 0.
    gain, bias : array_like, shape (D,)
        All floating. The pullback reads `gain`: do not change it in between.
    epsilon : float
        Added to the variance, in its units: those of `x`, squared. Finite and above 0: a normal number of
        the dtype of the computation. Not differentiated.

    Returns
    -------
    out : array, shape of `x`
        In the dtype that the three promote to.
    pullback : callable
        ``pullback(ct)``, `ct` shaped like `out`, returns ``(dx, dgain, dbias)``, each with its primal's shape and
        dtype.

    Raises
    ------
    ValueError
        If one is not floating, the shapes do not fit, there are no features, or `epsilon` is no such
        number; from the pullback, if `ct` is not shaped like `out`.

    Examples
    --------
    >>> import numpy as np
    >>> out, pullback = layer_norm(np.array([[1.0, 3.0]]), np.ones(2), np.zeros(2), epsilon=3.0)
    >>> out  # the variance is 1, and r = 1 / sqrt(1 + 3)
    array([[-0.5,  0.5]])
    >>> dx, dgain, dbias = pullback(np.array([[0.0, 4.0]]))
    >>> dx
    array([[-0.75,  0.75]])
    >>> dgain, dbias
    (array([0., 2.]), array([0., 4.]))
    """
    return _affine(x, gain, bias, epsilon, over_rows=False)


def batch_norm(
    x: npt.ArrayLike, gain: npt.ArrayLike, bias: npt.ArrayLike, *, epsilon: float = 1e-5
) -> tuple[Array, AffinePullback]:
    """Standardise each channel over the batch, as in training: with statistics that depend on the batch.

    All axes but the last are standardised over, so that images of shape (N, H, W, C) have a mean for each of C
    channels. The statistics are differentiated through; running averages for later use are the caller's affair.
    A batch of one has no spread: the output is the bias, and `dx` is 0. An empty one gives empty results, and
    zeros for gain and bias.

    Parameters
    ----------
    x : array_like, shape (N, ..., C)
    gain, bias : array_like, shape (C,)
    epsilon : float
        As in `layer_norm`.

    Returns and raises are those of `layer_norm`, and `x` needs at least two axes.

    Examples
    --------
    >>> import numpy as np
    >>> out, pullback = batch_norm(np.array([[1.0], [3.0]]), np.ones(1), np.zeros(1), epsilon=3.0)
    >>> out
    array([[-0.5],
           [ 0.5]])
    >>> dx, dgain, dbias = pullback(np.array([[0.0], [4.0]]))
    >>> dx
    array([[-0.75],
           [ 0.75]])
    """
    return _affine(x, gain, bias, epsilon, over_rows=True)


def rms_norm(x: npt.ArrayLike, gain: npt.ArrayLike, *, epsilon: float = 1e-5) -> tuple[Array, GainPullback]:
    """Divide each row by its root mean square.

    No mean is taken out, so what is left of the derivation in this module is ``c = x`` without centring::

        r = 1 / sqrt(mean(x^2) + epsilon),   n = r x,   dx_j = r (g_j - n_j mean(g n))

    (Zhang and Sennrich, *Root Mean Square Layer Normalization*, NeurIPS 2019, who have no epsilon.)

    Parameters
    ----------
    x : array_like, shape (..., D)
    gain : array_like, shape (D,)
    epsilon : float
        As in `layer_norm`, added to the mean square.

    Returns
    -------
    out : array, shape of `x`
        In the dtype that the two promote to.
    pullback : callable
        ``pullback(ct)``, `ct` shaped like `out`, returns ``(dx, dgain)``.

    Raises
    ------
    ValueError
        As in `layer_norm`.

    Examples
    --------
    >>> import numpy as np
    >>> out, pullback = rms_norm(np.array([[1.0, 7.0]]), np.ones(2), epsilon=75.0)
    >>> out  # the mean square is 25, and r = 1 / sqrt(25 + 75)
    array([[0.1, 0.7]])
    >>> dx, dgain = pullback(np.array([[10.0, 0.0]]))
    >>> dx
    array([[ 0.995, -0.035]])
    """
    x, gain = as_floating(x, "x"), as_floating(gain, "gain")
    _check_shapes(x, least=1, gain=gain)
    xp, dtype = namespace(x, gain), _promoted(x, gain)
    wide, wide_gain = _widened(xp, dtype, x, gain)
    n, standardised_pullback = _scaled(xp, wide, (-1,), check_number("epsilon", epsilon, wide.dtype))

    def pullback(ct: npt.ArrayLike) -> tuple[Array, Array]:
        ct = as_cotangent(ct, x.shape, wide.dtype)
        dx = standardised_pullback(ct * wide_gain)
        return dx.astype(x.dtype, copy=False), _sum_of_rows(xp, ct * n).astype(gain.dtype, copy=False)

    return (wide_gain * n).astype(dtype, copy=False), pullback


def _affine(
    x: npt.ArrayLike, gain: npt.ArrayLike, bias: npt.ArrayLike, epsilon: float, *, over_rows: bool
) -> tuple[Array, AffinePullback]:
    x, gain, bias = as_floating(x, "x"), as_floating(gain, "gain"), as_floating(bias, "bias")
    _check_shapes(x, least=2 if over_rows else 1, gain=gain, bias=bias)
    axes = tuple(range(x.ndim - 1)) if over_rows else (-1,)
    xp, dtype = namespace(x, gain, bias), _promoted(x, gain, bias)
    wide, wide_gain, wide_bias = _widened(xp, dtype, x, gain, bias)
    n, standardised_pullback = _standardised(xp, wide, axes, check_number("epsilon", epsilon, wide.dtype))

    def pullback(ct: npt.ArrayLike) -> tuple[Array, Array, Array]:
        ct = as_cotangent(ct, x.shape, wide.dtype)
        dx = standardised_pullback(ct * wide_gain)
        dgain, dbias = _sum_of_rows(xp, ct * n), _sum_of_rows(xp, ct)
        return (
            dx.astype(x.dtype, copy=False),
            dgain.astype(gain.dtype, copy=False),
            dbias.astype(bias.dtype, copy=False),
        )

    return (wide_gain * n + wide_bias).astype(dtype, copy=False), pullback


def _standardised(xp: ModuleType, x: Array, axes: tuple[int, ...], epsilon: float) -> Standardised:
    """Centre and scale `x` over the axes, and give the pullback of that."""
    centred = _centred(xp, _centred(xp, x, axes), axes)
    n, scaled_pullback = _scaled(xp, centred, axes, epsilon)
    return n, lambda g: scaled_pullback(_centred(xp, g, axes))


def _scaled(xp: ModuleType, c: Array, axes: tuple[int, ...], epsilon: float) -> Standardised:
    """Divide `c` by its root mean square over the axes, and give the pullback of that."""
    r = 1 / xp.sqrt(_mean(xp, c * c, axes) + epsilon)
    n = r * c
    return n, lambda g: r * (g - n * _mean(xp, g * n, axes))


def _centred(xp: ModuleType, x: Array, axes: tuple[int, ...]) -> Array:
    centred: Array = x - _mean(xp, x, axes)
    return centred


def _mean(xp: ModuleType, x: Array, axes: tuple[int, ...]) -> Array:
    """Average over the axes, which stay; 0 over nothing, where the library's own is NaN."""
    total: Array = xp.sum(x, axis=axes, keepdims=True)
    return total / max(x.size // max(total.size, 1), 1)


def _sum_of_rows(xp: ModuleType, x: Array) -> Array:
    total: Array = xp.sum(x, axis=tuple(range(x.ndim - 1)))
    return total


def _promoted(*arrays: Array) -> np.dtype[Any]:
    promoted: np.dtype[Any] = namespace(*arrays).result_type(*arrays)
    return promoted


def _widened(xp: ModuleType, dtype: np.dtype[Any], *arrays: Array) -> list[Array]:
    wide = xp.promote_types(dtype, xp.float32)
    return [array.astype(wide, copy=False) for array in arrays]


def _check_shapes(x: Array, *, least: int, **parameters: Array) -> None:
    if x.ndim < least or x.shape[-1] == 0:
        takes = "(..., D) with D >= 1" if least == 1 else "(N, ..., C) with C >= 1"
        raise ValueError(f"x has shape {x.shape}, and the layer takes {takes}")
    for name, parameter in parameters.items():
        if parameter.shape != x.shape[-1:]:
            raise ValueError(
                f"{name} has shape {parameter.shape} and x {x.shape}: it holds one number for each entry of the "
                f"last axis, so its shape is {x.shape[-1:]}"
            )
