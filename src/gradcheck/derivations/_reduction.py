"""The last step of every loss here: many row losses become one number, or stay apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck.derivations._arrays import Array, as_cotangent
from gradcheck.derivations._namespace import namespace

__all__ = ["reduce_rows"]

REDUCTIONS = ("mean", "sum", "none")


def reduce_rows(
    rows: Array, reduction: str, dtype: np.dtype[Any], divisor: Any = None
) -> tuple[Array, Callable[[npt.ArrayLike], Array]]:
    """Average or add the losses of the rows, or leave them, and tell what share of a cotangent each row gets.

    ``C = (1/n) sum_i r_i`` with n the divisor for "mean" and 1 for "sum". Row i of the logits acts on ``r_i``
    alone, so ``dC/dz_i = (1/n) dr_i/dz_i``: one scalar weighs the whole matrix. Where the rows stay apart, each
    brings a cotangent of its own. The mean over nothing (no rows, none kept, weights that sum to 0) is 0, with
    gradient 0.

    Parameters
    ----------
    rows : array, shape (N,)
        Row losses, float32 or wider; 0 for a row that does not count.
    reduction : {"mean", "sum", "none"}
    dtype : dtype
        Of the loss.
    divisor : number or array of shape (), optional
        What "mean" divides by, at least 0; left out, N.

    Returns
    -------
    loss : array, shape (), or (N,) for "none"
    share : callable
        ``share(ct)``, `ct` shaped like `loss`, is what the gradient of each row's own loss, shape (N, K), is to
        be multiplied by: shape (1,), or (N, 1) for "none".

    Raises
    ------
    ValueError
        If `reduction` is none of the three.
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction={reduction!r} is unknown: pass 'mean', 'sum' or 'none'")
    xp = namespace(rows, divisor)
    n: Any = 1
    if reduction == "mean":
        count = rows.shape[0] if divisor is None else divisor
        n = xp.where(xp.asarray(count) > 0, count, 1).astype(rows.dtype)
    # Divided before it is added: the sum of two losses of 1e308 overflows, their mean does not.
    loss: Array = (rows if reduction == "none" else xp.sum(rows / n)).astype(dtype)
    shape = loss.shape

    def share(ct: npt.ArrayLike) -> Array:
        shared: Array = (as_cotangent(ct, shape, rows.dtype) / n)[..., None]
        return shared

    return loss, share
