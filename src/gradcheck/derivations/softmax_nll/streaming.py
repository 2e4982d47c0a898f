r"""Softmax + NLL over blocks of classes, never holding a row's exponentials.

The plain forms keep arrays as large as the logits: the exponentials, a one-hot matrix, a product or two. For
vocabularies of 10^5 classes those are what memory ends at. Here the classes pass by in blocks ``S_1, S_2, ...``
and two numbers a row are kept, the largest score so far ``m`` and the sum ``t`` relative to it::

    m' = max(m, max_{k in S} s_k)
    t' = t exp(m - m') + sum_{k in S} exp(s_k - m')

By induction ``t = sum exp(s_k - m)`` over all classes seen: the first term turns the old sum, relative to m, into one
relative to m' (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018, arXiv:1805.02867). Where
everything seen so far is masked, m is -inf, t is 0, and both stay so.

After the last block ``lse = m + log t``. The pullback has no exponentials to use, and computes them once more, a block
at a time, into the gradient's own memory::

    a_k = exp(s_k - m) / t,     dz_k = (a_k (1 + 2 zeta lse) - [k = l]) ds_k/dz_k ct

It costs one more exponential an entry, and the memory of a block.
"""

from __future__ import annotations

from typing import Never

import numpy.typing as npt

from gradcheck.derivations._arrays import Array, Pullback, assign, widened
from gradcheck.derivations._labels import read_logits
from gradcheck.derivations._namespace import namespace
from gradcheck.derivations._reduction import reduce_rows
from gradcheck.derivations.softmax_nll._blocks import (
    IndexLabels,
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

__all__ = ["streaming"]


def streaming(
    z: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    block: int = 1024,
    reduction: str = "mean",
    ignore_index: int | None = None,
    temperature: float = 1.0,
    z_loss: float = 0.0,
    softcap: float | None = None,
    **others: Never,
) -> tuple[Array, Pullback]:
    """Differentiate softmax + NLL over blocks of classes, in the memory of a block.

    Held at once, beyond `z` and the result, in blocks of ``N * block`` numbers of float32 or wider: the shifted logits
    and their exponentials, in the pullback a block of bools besides, and a few numbers a row. One more block for
    logits in float16, which are widened block by block, or for `ignore_index`; one more for `softcap`.

    Parameters
    ----------
    z : array_like, shape (N, K)
        Logits, floating; N >= 0, K >= 1; -inf for masked classes. The pullback reads them again: do not change them
        in between.
    y : array_like, shape (N,) of integers
        Class indices; label weights would be as large as `z`.
    block : int
        How many classes are looked at together, at least 1. Smaller holds less, larger is faster until a block
        leaves the processor's cache. Values differ by rounding only.
    reduction, ignore_index, temperature, z_loss, softcap
        As in `fused`.

    Returns
    -------
    loss : array, shape () or (N,), dtype of `z`
    pullback : callable
        ``pullback(ct)``, `ct` shaped like `loss`, returns the cotangent of `z`, shape (N, K), dtype of `z`.

    Raises
    ------
    TypeError
        If an option is given that this form does not take.
    ValueError
        As from `fused`, and if `block` is no positive integer or `y` holds label weights.

    Examples
    --------
    >>> import numpy as np
    >>> loss, pullback = streaming(np.log([[1.0, 2.0, 5.0]]), [1], block=2)
    >>> print(f"{loss:.6f}")  # -log(2/8)
    1.386294
    >>> pullback(1.0).round(6)
    array([[ 0.125, -0.75 ,  0.625]])
    """
    check_taken("streaming", others)
    size, logits = check_size("block", block), read_logits(z)
    (n, k), dtype = logits.shape, logits.dtype
    wide = widened(logits[:, :0]).dtype
    labels = IndexLabels.read(y, logits, k, ignore_index)
    temperature, z_loss = check_number("temperature", temperature, wide), check_number("z_loss", z_loss, wide)
    cap = Cap.read(softcap, wide)

    def columns(cols: slice) -> Array:
        return labels.cleared(widened(logits[:, cols]))

    sums = nothing_seen(namespace(logits, labels.y), n, wide, temperature)
    for cols in spans(k, size):
        sums = including(sums, cap.scores(columns(cols)), labels, cols.start)
    check_peak(sums.peak, "z")
    loss, share = reduce_rows(row_losses(sums, labels, z_loss), reduction, dtype, labels.count)

    def block_of(cols: slice, weight: Array) -> Array:
        x = columns(cols)
        ds = gradient(cap.scores(x), sums, labels, cols.start, z_loss)
        if temperature != 1:  # before the weight: 1/T by the weight may be infinite, and so NaN where the gradient is 0
            ds = ds / temperature
        return cap.chained(x, ds * weight)

    def pullback(ct: npt.ArrayLike) -> Array:
        weight = labels.cleared(share(ct))
        dz: Array = namespace(logits, labels.y, weight).empty((n, k), dtype)
        for cols in spans(k, size):
            dz = assign(dz, (slice(None), cols), block_of(cols, weight))
        return dz

    return loss, pullback
