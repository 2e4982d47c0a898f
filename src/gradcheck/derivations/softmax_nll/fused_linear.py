r"""The last linear layer together with softmax + NLL, never holding its logits.

With ``z = h W^T + b`` (`gradcheck.derivations.linear`) and ``C`` the loss of ``z``, the logits are the largest array of
a network with many classes, and nobody needs them: the loss wants two sums a row (`streaming`), the gradients want
``dz`` summed over rows or over classes. So both go tile by tile, rows ``R`` by classes ``S``::

    z_RS = h_R W_S^T + b_S
    dz_RS = (a_RS (1 + 2 zeta lse_R) - [S = l_R]) sech^2(z_RS / c) ct_R

    dh_R = sum_S dz_RS W_S        dW_S = sum_R dz_RS^T h_R        db_S = sum_R dz_RS over its rows

The pullback computes each tile of logits once more, so the whole takes 4 matrix products where the plain way takes 3.
Its outer loop is over the classes: ``dW``, the large one, is finished a block at a time and never added to as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Never, TypeAlias

import numpy as np
import numpy.typing as npt

from gradcheck.derivations._arrays import Array, as_floating, assign
from gradcheck.derivations._namespace import namespace
from gradcheck.derivations._reduction import reduce_rows
from gradcheck.derivations.softmax_nll._blocks import (
    IndexLabels,
    Sums,
    check_size,
    gradient,
    including,
    nothing_seen,
    row_losses,
    spans,
)
from gradcheck.derivations.softmax_nll._cap import Cap
from gradcheck.derivations.softmax_nll._exponentials import check_peak
from gradcheck.derivations.softmax_nll.options import check_number, check_taken

__all__ = ["fused_linear"]

LinearPullback: TypeAlias = Callable[[npt.ArrayLike], tuple[Array, Array, Array]]


@dataclass(frozen=True)
class _Layer:
    """The layer and its loss, a tile of rows by classes at a time."""

    h: Array
    W: Array
    b: Array
    labels: IndexLabels
    cap: Cap
    z_loss: float
    dtype: np.dtype[Any]
    """What it computes in: what `h`, `W` and `b` promote to, float32 or wider."""

    def inputs(self, rows: slice) -> Array:
        """Return some rows of `h`; those to ignore as 0, since ``0 NaN`` would be NaN in ``dW``."""
        return self.labels.rows(rows).cleared(self.h[rows].astype(self.dtype, copy=False))

    def weights(self, cols: slice) -> Array:
        weights: Array = self.W[cols].astype(self.dtype, copy=False)
        return weights

    def logits(self, rows: slice, cols: slice) -> Array:
        """Return a tile of logits; two arrays of its size live at once."""
        logits: Array = self.inputs(rows) @ self.weights(cols).T + self.b[cols].astype(self.dtype, copy=False)
        return logits

    def sums(self, rows: slice, size: int) -> Sums:
        """Run over the classes, `size` at a time."""
        labels, n = self.labels.rows(rows), rows.stop - rows.start
        sums = nothing_seen(namespace(self.h, self.W, self.b, labels.y), n, self.dtype)
        for cols in spans(self.W.shape[0], size):
            sums = including(sums, self.cap.scores(self.logits(rows, cols)), labels, cols.start)
        check_peak(sums.peak, "(h W^T + b)", rows.start)
        return sums

    def cotangent(self, rows: slice, cols: slice, sums: Sums, weight: Array) -> Array:
        """Return a tile of ``dz``, for rows with this `weight`, shape (R, 1)."""
        z = self.logits(rows, cols)
        ds = gradient(self.cap.scores(z), sums, self.labels.rows(rows), cols.start, self.z_loss) * weight
        return self.cap.chained(z, ds)


def fused_linear(
    h: npt.ArrayLike,
    W: npt.ArrayLike,
    b: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    rows_per_chunk: int = 128,
    block: int = 1024,
    reduction: str = "mean",
    ignore_index: int | None = None,
    z_loss: float = 0.0,
    softcap: float | None = None,
    **others: Never,
) -> tuple[Array, LinearPullback]:
    """Differentiate softmax + NLL of ``h W^T + b``, in the memory of a tile of logits.

    Held at once, beyond the arguments and the results, in tiles of ``rows_per_chunk * block`` numbers: the logits and
    the two arrays that softmax takes; in the pullback also the tile before and one of bools, with up to three arrays
    of each of the shapes (block, H) and (rows_per_chunk, H). One more tile for `softcap`. Float16 is widened tile by
    tile, which takes one more array of those two shapes; its ``dh``, a sum over all blocks of classes, is held in
    float32 until it is rounded.

    Parameters
    ----------
    h : array_like, shape (N, H)
    W : array_like, shape (K, H)
    b : array_like, shape (K,)
        All floating; -inf in `b` masks a class. The pullback reads the three again: do not change them in between.
    y : array_like, shape (N,) of integers
        Class indices.
    rows_per_chunk, block : int
        How many rows and how many classes a tile has, at least 1 each. Values differ by rounding only.
    reduction, ignore_index, z_loss, softcap
        As in `fused`.

    Returns
    -------
    loss : array, shape () or (N,)
        In the dtype that `h`, `W` and `b` promote to.
    pullback : callable
        ``pullback(ct)``, `ct` shaped like `loss`, returns ``(dh, dW, db)``, each with its primal's shape and dtype.

    Raises
    ------
    TypeError
        If an option is given that this form does not take.
    ValueError
        As from `linear` and `fused`, and if a size is no positive integer or `y` holds label weights.

    Examples
    --------
    >>> import numpy as np
    >>> h, W, b = np.array([[1.0, 1.0]]), np.log([[1.0, 1.0], [2.0, 1.0], [1.0, 5.0]]), np.zeros(3)
    >>> loss, pullback = fused_linear(h, W, b, [1])
    >>> print(f"{loss:.6f}")  # -log(2/8)
    1.386294
    >>> dh, dW, db = pullback(1.0)
    >>> db.round(6)
    array([ 0.125, -0.75 ,  0.625])
    >>> dW.round(6)
    array([[ 0.125,  0.125],
           [-0.75 , -0.75 ],
           [ 0.625,  0.625]])
    """
    check_taken("fused_linear", others)
    chunk, size = check_size("rows_per_chunk", rows_per_chunk), check_size("block", block)
    h, W, b, dtype = _read_layer(h, W, b)
    xp = namespace(h, W, b)
    wide = xp.promote_types(dtype, xp.float32)
    labels = IndexLabels.read(y, h, W.shape[0], ignore_index)
    layer = _Layer(h, W, b, labels, Cap.read(softcap, wide), check_number("z_loss", z_loss, wide), wide)
    chunks = tuple(spans(h.shape[0], chunk))
    sums = [layer.sums(rows, size) for rows in chunks]
    losses = [row_losses(s, labels.rows(rows), layer.z_loss) for s, rows in zip(sums, chunks, strict=True)]
    losses = xp.concatenate(losses) if losses else xp.zeros(0, wide)
    loss, share = reduce_rows(losses, reduction, dtype, labels.count)

    def pullback(ct: npt.ArrayLike) -> tuple[Array, Array, Array]:
        weight = labels.cleared(namespace(h, W, b, labels.y, ct).broadcast_to(share(ct), (h.shape[0], 1)))
        xp = namespace(h, W, b, weight)
        dh, dW, db = xp.zeros(h.shape, wide), xp.empty(W.shape, W.dtype), xp.empty(b.shape, b.dtype)
        for cols in spans(W.shape[0], size):
            dW_block, db_block = xp.zeros(W[cols].shape, wide), xp.zeros(b[cols].shape, wide)
            for rows, s in zip(chunks, sums, strict=True):
                dz = layer.cotangent(rows, cols, s, weight[rows])
                dh = assign(dh, rows, dh[rows] + dz @ layer.weights(cols))
                dW_block = dW_block + dz.T @ layer.inputs(rows)
                db_block = db_block + dz.sum(axis=0)
            dW, db = assign(dW, cols, dW_block), assign(db, cols, db_block)
        return dh.astype(h.dtype, copy=False), dW, db

    return loss, pullback


def _read_layer(h: npt.ArrayLike, W: npt.ArrayLike, b: npt.ArrayLike) -> tuple[Array, Array, Array, np.dtype[Any]]:
    """Check the layer, and return it with the dtype of its logits."""
    h, W, b = as_floating(h, "h"), as_floating(W, "W"), as_floating(b, "b")
    if h.ndim != 2 or W.ndim != 2 or b.ndim != 1 or h.shape[1] != W.shape[1] or b.shape[0] != W.shape[0]:
        raise ValueError(
            f"h {h.shape}, W {W.shape} and b {b.shape} do not fit: the layer takes (N, H), (K, H) and (K,)"
        )
    if not W.shape[0]:
        raise ValueError(f"W has shape {W.shape}, K = 0 classes: softmax needs at least one row of W")
    xp = namespace(h, W, b)
    return h, W, b, xp.promote_types(xp.promote_types(h.dtype, W.dtype), b.dtype)
