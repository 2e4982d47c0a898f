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

**Numbers.** As written, the loss of a student near its teacher is a sum of larger terms of both signs, and comes out
below 0 as often as above. With ``d_k = log q_k - log p_k``, ``sum_k (q_k - p_k) = 0`` is added to it for nothing::

    C = T^2 sum_k p_k phi(d_k),   phi(d) = exp(d) - 1 - d >= 0

whose terms add up without loss; a class of ``p_k = 0`` costs ``q_k``, which is nothing either where it is masked in
both. And ``q - p = p (exp(d) - 1)``. For two rows that are close, d itself comes from the differences of their logits:
with ``e_k = (z_k - t_k) / T``, less that of the teacher's top class, ``d = e - log(1 + sum_k p_k (exp(e_k) - 1))``.

Rows of the gradient sum to 0, so the entry at the student's top class is taken for minus the sum of the others: where
both are nearly sure of one class, ``q - p`` there is a difference of two numbers close to 1, while the others are
small and keep their digits.
"""

from __future__ import annotations

from itertools import count
from math import factorial
from types import ModuleType

import numpy as np
import numpy.typing as npt

from gradcheck.derivations._arrays import Array, Pullback, as_floating
from gradcheck.derivations._namespace import namespace
from gradcheck.derivations._options import check_number
from gradcheck.derivations._reduction import reduce_rows
from gradcheck.derivations.softmax_nll._exponentials import exponentials_of

__all__ = ["distillation"]


def distillation(
    z: npt.ArrayLike, teacher: npt.ArrayLike, *, temperature: float = 1.0, reduction: str = "mean"
) -> tuple[Array, Pullback]:
    """Differentiate the softened KL divergence of student logits from teacher logits.

    Rounding is done in the wider of the dtypes of `z` and `teacher`, in float32 for anything narrower.

    Parameters
    ----------
    z : array_like, shape (N, K)
        The student's logits, floating; N >= 0, K >= 1. ``-inf`` masks a class: that costs nothing if the
        teacher's is masked too, and infinity if not.
    teacher : array_like, shape (N, K)
        The teacher's logits, floating, ``-inf`` for classes that it rules out. Not differentiated.
    temperature : float
        ``T`` above: finite and above 0, and T^2 a normal number of the dtype of the computation. Not differentiated.
    reduction : {"mean", "sum", "none"}
        Of the row losses. The mean over no rows is 0.

    Returns
    -------
    loss : array, shape (), or (N,) for "none"; dtype of `z`
        In nats, times T^2; never below 0.
    pullback : callable
        ``pullback(ct)``, `ct` shaped like `loss`, returns the cotangent of `z`, shape (N, K), dtype of `z`.

    Raises
    ------
    ValueError
        If `z` or `teacher` is no floating matrix with at least one column, their shapes differ, a row of either has
        no finite maximum, `temperature` is no such number, or `reduction` is unknown.

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
    xp = namespace(z, teacher)
    dtype = xp.promote_types(xp.result_type(z, teacher), xp.float32)
    scale = check_number("temperature", temperature, dtype, squared=True)
    z_wide, t_wide = z.astype(dtype, copy=False), teacher.astype(dtype, copy=False)
    q, log_q = _softmax(xp, z_wide, scale, "z")
    p, log_p = _softmax(xp, t_wide, scale, "teacher")
    far = xp.where(p > 0, log_q - xp.where(p > 0, log_p, 0), 0)  # not -inf less -inf, where both mask a class
    d = _log_ratio(xp, _apart(xp, z_wide, t_wide, scale), p, far)
    loss, share = reduce_rows(xp.sum(_terms(xp, p, q, d, scale), axis=1), reduction, z.dtype)
    top = xp.arange(z.shape[1]) == xp.argmax(q, axis=1)[:, None]

    def pullback(ct: npt.ArrayLike) -> Array:
        difference = xp.where((p > 0) & (abs(d) <= 1), p * xp.expm1(xp.clip(d, -1, 1)), q - p)
        others = xp.where(top, 0, difference)
        dz: Array = scale * xp.where(top, -xp.sum(others, axis=1, keepdims=True), others) * share(ct)
        return dz.astype(z.dtype, copy=False)

    return loss, pullback


def _softmax(xp: ModuleType, logits: Array, temperature: float, name: str) -> tuple[Array, Array]:
    """Return probabilities and their logarithms."""
    _, _, shifted, exponentials, total = exponentials_of(xp, logits, temperature, name)
    return exponentials / total, shifted - xp.log(total)


def _apart(xp: ModuleType, z: Array, teacher: Array, temperature: float) -> Array:
    """Return ``e``: by how much more the student's logits lie above those of the teacher's top class, over T.

    A class that both mask is taken to agree.
    """
    both = (z == -np.inf) & (teacher == -np.inf)
    with np.errstate(over="ignore", invalid="ignore"):  # infinite or NaN is far apart
        difference = xp.where(both, 0, z) - xp.where(both, 0, teacher)
        top = xp.argmax(teacher, axis=1)[:, None]
        e: Array = xp.where(both, 0, (difference - xp.take_along_axis(difference, top, axis=1)) / temperature)
    return e


def _log_ratio(xp: ModuleType, e: Array, p: Array, far: Array) -> Array:
    """Return ``d``: from the differences of logits in rows that are close, and what is given for `far` in others.

    The difference of two logarithms is off by their roundings, which between close rows may be all there is of it.
    And for e within 1 of 0, ``1 + sum p (exp(e) - 1)`` is at least exp(-1), so its logarithm is well-conditioned.
    """
    close = xp.all(abs(e) <= 1, axis=1, keepdims=True)
    e = xp.where(close, e, 0)
    d: Array = xp.where(close, e - xp.log1p(xp.sum(p * xp.expm1(e), axis=1, keepdims=True)), far)
    return d


def _terms(xp: ModuleType, p: Array, q: Array, d: Array, temperature: float) -> Array:
    """Return ``T^2 p phi(d)``, entry by entry, as ``p (T d)^2 / 2`` times a series where d is within 1 of 0.

    Beyond, ``q - p - p d`` loses no more than three bits: the sizes of its parts add up to less than 7 times it. That
    leaves less than nothing only where subnormal numbers have lost their digits.
    """
    small = (p > 0) & (abs(d) <= 1)
    near = xp.where(small, d, 0)
    beyond = xp.maximum(q - p - xp.where((p > 0) & ~small, p * d, 0), 0)
    terms: Array = xp.where(small, p * (temperature * near) ** 2 / 2 * _series(near), temperature**2 * beyond)
    return terms


def _series(d: Array) -> Array:
    """Return ``phi(d) / (d^2 / 2)`` for d within 1 of 0, as ``1 + d/3 (1 + d/4 (1 + ... (1 + d/n)))``.

    The first term left out is at most ``2 / (n+1)!``, all are less than 1.1 times that, and the sum is at least
    ``2 / e``: with ``3 / (n+1)!`` below the unit roundoff, they are lost in rounding.
    """
    u = float(np.finfo(d.dtype).eps) / 2
    n = next(n for n in count(3) if 3 / factorial(n + 1) < u)
    total = d / n + 1
    for k in range(n - 1, 2, -1):
        total = total * d / k + 1
    return total
