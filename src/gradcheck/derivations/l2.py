"""The L2 penalty on weights, also called weight decay.

``P = (s / 2) sum over weights w^2``, and so ``dP/dw = s w``: the factor 1/2 is there to cancel the 2
(Goodfellow, Bengio and Courville, *Deep Learning*, 2016, 7.1, which also gives the reason to leave biases
out: each governs one unit only and needs little data, while shrinking it underfits).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import TypeAlias

import numpy.typing as npt

from gradcheck.derivations._arrays import Array, as_cotangent, as_floating, widened
from gradcheck.derivations._namespace import namespace

__all__ = ["DictPullback", "l2_penalty"]

DictPullback: TypeAlias = Callable[[npt.ArrayLike], dict[str, Array]]


def l2_penalty(params: Mapping[str, npt.ArrayLike], strength: float) -> tuple[Array, DictPullback]:
    """Penalise the squares of all parameters but the biases.

    Parameters
    ----------
    params : mapping of str to array_like, any shapes
        Floating. Names that start with "b" are biases: they add nothing and get a cotangent of zeros.
    strength : float
        ``s`` above: finite, at least 0, and not differentiated.

    Returns
    -------
    penalty : array, shape ()
        In the dtype that all the parameters promote to.
    pullback : callable
        ``pullback(ct)``, `ct` of shape (), returns a dict with the names, shapes and dtypes of `params`.

    Raises
    ------
    ValueError
        If there are no parameters, one is not floating, or `strength` is negative or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> penalty, pullback = l2_penalty({"W1": np.array([[3.0, 4.0]]), "b1": np.array([7.0])}, 0.5)
    >>> print(penalty)  # 0.5 / 2 * (9 + 16)
    6.25
    >>> pullback(1.0)
    {'W1': array([[1.5, 2. ]]), 'b1': array([0.])}
    """
    if not params:
        raise ValueError("params is empty: pass at least one array by name, as in {'W1': W1, 'b1': b1}")
    if not (isfinite(strength) and strength >= 0):
        raise ValueError(f"strength={strength!r} is no penalty: pass a finite number, at least 0")
    arrays = {name: as_floating(value, f"params[{name!r}]") for name, value in params.items()}
    xp = namespace(*arrays.values())
    dtype = xp.result_type(*arrays.values())
    wide = [widened(w) for name, w in arrays.items() if not _is_bias(name)]
    squares = [xp.vdot(w, w) for w in wide]
    penalty: Array = xp.asarray(strength / 2 * sum(squares)).astype(dtype)

    def pullback(ct: npt.ArrayLike) -> dict[str, Array]:
        weight = strength * as_cotangent(ct, (), dtype)
        return {
            name: xp.zeros_like(w) if _is_bias(name) else (weight * w).astype(w.dtype, copy=False)
            for name, w in arrays.items()
        }

    return penalty, pullback


def _is_bias(name: str) -> bool:
    return name.startswith("b")
