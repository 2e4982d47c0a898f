"""The last step of every loss here: many row losses become one number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck.derivations._arrays import Array, as_cotangent
from gradcheck.derivations._namespace import namespace

__all__ = ["reduce_rows"]


def reduce_rows(
    rows: Array, reduction: str, dtype: np.dtype[Any]
) -> tuple[Array, Callable[[Array, npt.ArrayLike], Array]]:
    """Average or add the losses of the rows, and tell how a cotangent reaches the rows' own gradients.

    ``C = (1/n) sum_i r_i`` with ``n = N`` for "mean" and ``n = 1`` for "sum". Row i of the logits acts
    on ``r_i`` alone, so ``dC/dz_i = (1/n) dr_i/dz_i``: one scalar weighs the whole matrix. The mean over
    no rows is 0, with a gradient of no rows.

    Parameters
    ----------
    rows : array, shape (N,)
        Row losses, float32 or wider.
    reduction : {"mean", "sum"}
    dtype : dtype
        Of the loss and of the cotangents returned.

    Returns
    -------
    loss : array, shape ()
    weigh : callable
        ``weigh(dr, ct)`` turns the gradients of the rows' own losses, shape (N, K), and the cotangent of
        the loss into the cotangent of the logits, shape (N, K), always a fresh array.

    Raises
    ------
    ValueError
        If `reduction` is neither of the two.
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction={reduction!r} is unknown: pass 'mean' or 'sum'")
    n = max(rows.shape[0], 1) if reduction == "mean" else 1
    # Divided before it is added: the sum of two losses of 1e308 overflows, their mean does not.
    loss: Array = namespace(rows).sum(rows / n).astype(dtype)

    def weigh(dr: Array, ct: npt.ArrayLike) -> Array:
        return (dr * (as_cotangent(ct, (), rows.dtype) / n)).astype(dtype, copy=False)

    return loss, weigh
