"""Knowledge distillation: the divergence of a student's softmax from a teacher's, both softened.

With student logits ``z``, teacher logits ``t`` and a temperature T, each row costs::

    p = softmax(t / T),   q = softmax(z / T)
    C = T^2 KL(p || q) = T^2 sum_k p_k (log p_k - log q_k)

(Hinton, Vinyals and Dean, *Distilling the Knowledge in a Neural Network*, 2015, section 2.) The teacher is data. Its
entropy is then a constant, so C has the gradient of the cross-entropy with labels ``p``; ``d log q_k / dz_j =
([j = k] - q_j) / T`` and ``sum_k p_k = 1`` leave::

    dC/dz = T^2 (q - p) / T = T (q - p)

The factor T^2 is there to keep gradients alike at all temperatures: ``q - p`` falls as 1/T, so without it the
gradient would fall as 1/T^2, and to write ``q - p`` after it is the classic mistake. (`softmax_nll` has no such
factor: its temperature is part of the model.)

**Numbers.** Rows of the gradient sum to 0, so the entry at the student's top class is taken for minus the sum of the
others: where both are nearly sure of one class, ``q - p`` there is a difference of two numbers close to 1, while
the others are small and keep their digits. ``0 log 0`` is 0: a class that the teacher rules out with ``-inf`` costs
nothing.
"""

from __future__ import annotations

from math import isfinite
from types import ModuleType

import numpy as np
import numpy.typing as npt

from gradcheck.derivations._arrays import Array, Pullback, as_floating, is_concrete, widened
from gradcheck.derivations._namespace import namespace
from gradcheck.derivations._reduction import reduce_rows
from gradcheck.derivations.softmax_nll._exponentials import exponentials_of

__all__ = ["distillation"]


def distillation(
    z: npt.ArrayLike, teacher: npt.ArrayLike, *, temperature: float = 1.0, reduction: str = "mean"
) -> tuple[Array, Pullback]:
    """Differentiate the softened KL divergence of student logits from teacher logits.

    Rounding is done in the dtype of `z`, in float32 for anything narrower; the teacher's softmax is taken in the
    dtype of `teacher`.

    Parameters
    ----------
    z : array_like, shape (N, K)
        The student's logits, floating; N >= 0, K >= 1. ``-inf`` masks a class: that costs nothing if the
        teacher's is masked too, and infinity if not.
    teacher : array_like, shape (N, K)
        The teacher's logits, floating, ``-inf`` for classes that it rules out. Not differentiated.
    temperature : float
        ``T`` above: finite and above 0. Not differentiated.
    reduction : {"mean", "sum", "none"}
        Of the row losses. The mean over no rows is 0.

    Returns
    -------
    loss : array, shape (), or (N,) for "none"; dtype of `z`
        In nats, times T^2.
    pullback : callable
        ``pullback(ct)``, `ct` shaped like `loss`, returns the cotangent of `z`, shape (N, K), dtype of `z`.

    Raises
    ------
    ValueError
        If `z` or `teacher` is no floating matrix with at least one column, their shapes differ, a row of either has
        no finite maximum, `temperature` is not above 0, or `reduction` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> loss, pullback = distillation(np.log([[1.0, 3.0]]), np.log([[1.0, 1.0]]))
    >>> print(f"{loss:.6f}")  # log 2 less than the mean of -log(1/4) and -log(3/4)
    0.143841
    >>> pullback(1.0)
    array([[-0.25,  0.25]])
    """
    z, teacher = as_floating(z, "z"), as_floating(teacher, "teacher")
    if z.ndim != 2 or z.shape[1] == 0 or teacher.shape != z.shape:
        raise ValueError(f"z {z.shape} and teacher {teacher.shape} do not fit: pass two matrices (N, K), K >= 1")
    if not (isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature={temperature!r}: pass a finite number above 0")
    xp, wide = namespace(z, teacher), widened(z)
    p, log_p = (part.astype(wide.dtype) for part in _softmax(xp, widened(teacher), temperature, "teacher"))
    q, log_q = _softmax(xp, wide, temperature, "z")
    rows = xp.sum(p * (xp.where(p > 0, log_p, 0) - xp.where(p > 0, log_q, 0)), axis=1)
    loss, share = reduce_rows(temperature**2 * rows, reduction, z.dtype)
    top = xp.arange(z.shape[1]) == xp.argmax(q, axis=1)[:, None]

    def pullback(ct: npt.ArrayLike) -> Array:
        others = xp.where(top, 0, q - p)
        difference = xp.where(top, -xp.sum(others, axis=1, keepdims=True), others)
        dz: Array = temperature * difference * share(ct)
        return dz.astype(z.dtype, copy=False)

    return loss, pullback


def _softmax(xp: ModuleType, logits: Array, temperature: float, name: str) -> tuple[Array, Array]:
    """Return probabilities and their logarithms."""
    if is_concrete(logits) and (undefined := np.isinf(logits.max(axis=1))).any():
        i = np.flatnonzero(undefined)[0]
        raise ValueError(
            f"row {name}[{i}] has the maximum {logits[i].max()}, so softmax is undefined there: keep logits below inf "
            "and at least one in each row above -inf"
        )
    _, _, shifted, exponentials, total = exponentials_of(xp, logits, temperature)
    return exponentials / total, shifted - xp.log(total)
