r"""Softmax followed by the negative log-likelihood, differentiated by hand in the four ways people write it.

Notation. A row of logits ``z``, shape (K,), passes through softmax, ``a_k = exp(z_k) / sum_j exp(z_j)``, and
meets label weights ``y``, shape (K,)::

    C = -sum_k y_k log a_k                                     with 0 log 0 = 0

Over a batch, ``z`` has shape (N, K) and the rows' losses are averaged or added. All four functions below
take the same arguments, return the same loss and the same gradient up to rounding, and differ in the route.

**The Jacobian of softmax.** ``log a_k = z_k - log sum_j exp(z_j)``, so ``d log a_k / d z_i = [i = k] -
a_i``, and by ``d a_k = a_k d log a_k``::

    J_ki = d a_k / d z_i = a_k ([i = k] - a_i),   that is   J = diag(a) - a a^T

(Bishop, *Pattern Recognition and Machine Learning*, 2006, eq. 4.106). J is symmetric, and no entry of it is
zero: every logit moves every output, because the outputs share one sum.

**The gradient.** ``g_k = dC/da_k = -y_k / a_k``. Reverse mode multiplies by the transposed Jacobian
(Griewank and Walther, *Evaluating Derivatives*, 2nd ed. 2008, ch. 3)::

    dC/dz_i = sum_k J_ki g_k = a_i g_i - a_i sum_k a_k g_k     the contracted form
            = -y_i + a_i sum_k y_k                             since a_k g_k = -y_k
            = a_i - y_i                                        where the weights y sum to one

(Bishop, eq. 4.109; Goodfellow, Bengio and Courville, *Deep Learning*, 2016, 6.2.2.3).

**The value sees one neuron, the gradient all of them.** For one-hot `y` with label l the sum has a single
term, ``C = -log a_l``, and ``g`` a single entry. To conclude that only neuron l learns is the classic
mistake: ``g_l`` returns through *row l of J*, which is full. The logit of a class i != l enters C through
the denominator of ``a_l``, with ``dC/dz_i = a_i > 0``: the loss falls when a competitor falls. Only the
*sum* of the gradient over a row, ``sum_i (a_i - y_i) = 0``, is fixed, because a common offset of the logits
changes nothing.

**Arithmetic.** The row maximum is subtracted first; ``a`` is the same, the largest exponential is 1, and
neither large logits nor offsets overflow. Rounding is done in the dtype of `z`, in float32 for anything
narrower.

**Domain.** A row needs a finite maximum; logits of -inf are masked classes (``a_k = 0``), and a label on one
has loss +inf. NaN logits give NaN. The two-stage forms divide by ``a_k`` and take its logarithm, which is
undefined once it underflows: where ``y_k != 0``, they need ``a_k >= tiny``, the smallest normal number.
Since ``a_k <= exp(z_k - max z)``, that ends where the row maximum is ``-log(tiny)`` above the label's logit,
about 708 for float64 and 87 for float32, less the logarithm of the sum of the shifted exponentials, which is
between 1 and K. They raise beyond it. Under ``jax.jit``, where values cannot be seen, they give ``inf`` or
NaN there; and since XLA flushes subnormal numbers to zero, the products ``a_i a_k`` of the full Jacobian are
lost to it a little earlier. The other two forms have no such limit.
"""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gradcheck.derivations._arrays import Array, Pullback, is_concrete
from gradcheck.derivations._labels import read_batch
from gradcheck.derivations._reduction import reduce_rows

__all__ = ["contracted_jacobian", "full_jacobian", "fused", "log_softmax"]


def full_jacobian(z: npt.ArrayLike, y: npt.ArrayLike, *, reduction: str = "mean") -> tuple[Array, Pullback]:
    """Differentiate softmax + NLL in two stages, with the softmax Jacobian written out.

    Each row's ``J = diag(a) - a a^T`` is built, shape (N, K, K), and applied to ``g = -y / a``::

        dz_i = sum_k J_ik g_k

    The form to learn from, and to check the others against: O(N K^2) in time and memory.

    Parameters
    ----------
    z : array_like, shape (N, K)
        Logits, floating; N >= 0, K >= 1.
    y : array_like, shape (N,) of integers, or (N, K)
        Class indices, or label weights (finite, at least 0). Not differentiated.
    reduction : {"mean", "sum"}
        Of the N row losses. The mean divides by N, rows of zero weights included; over no rows it is 0.

    Returns
    -------
    loss : array, shape (), dtype of `z`
        In nats.
    pullback : callable
        ``pullback(ct)``, `ct` of shape (), returns the cotangent of `z`, shape (N, K), dtype of `z`.

    Raises
    ------
    ValueError
        If `z` or `y` is malformed, if a row has no finite maximum, if `reduction` is unknown, or if a
        labelled ``a`` is below the smallest normal number (see the module's domain).

    Examples
    --------
    >>> loss, pullback = full_jacobian(np.log([[1.0, 2.0, 5.0]]), [1])
    >>> print(f"{loss:.6f}")  # -log(2/8)
    1.386294
    >>> pullback(1.0).round(6)
    array([[ 0.125, -0.75 ,  0.625]])
    """
    xp, z, y, dtype = read_batch(z, y)
    a, g, nll = _two_stages(xp, z, y)
    loss, weigh = reduce_rows(nll, reduction, dtype)

    def pullback(ct: npt.ArrayLike) -> Array:
        jacobian = a[:, :, None] * (xp.eye(a.shape[1], dtype=a.dtype) - a[:, None, :])
        return weigh((jacobian @ g[:, :, None])[:, :, 0], ct)

    return loss, pullback


def contracted_jacobian(z: npt.ArrayLike, y: npt.ArrayLike, *, reduction: str = "mean") -> tuple[Array, Pullback]:
    """Differentiate softmax + NLL in two stages, with the Jacobian contracted before it is built.

    ``J g = diag(a) g - a (a^T g)``, so one inner product a row replaces the K x K matrix::

        dz = a * (g - <g, a>),   g = -y / a

    This is the pullback of softmax for any ``g``, O(N K).

    Parameters, returns and raises are those of `full_jacobian`.

    Examples
    --------
    >>> loss, pullback = contracted_jacobian(np.log([[1.0, 2.0, 5.0]]), [1])
    >>> pullback(1.0).round(6)
    array([[ 0.125, -0.75 ,  0.625]])
    """
    xp, z, y, dtype = read_batch(z, y)
    a, g, nll = _two_stages(xp, z, y)
    loss, weigh = reduce_rows(nll, reduction, dtype)

    def pullback(ct: npt.ArrayLike) -> Array:
        return weigh(a * (g - xp.sum(g * a, axis=1, keepdims=True)), ct)

    return loss, pullback


def log_softmax(z: npt.ArrayLike, y: npt.ArrayLike, *, reduction: str = "mean") -> tuple[Array, Pullback]:
    """Differentiate softmax + NLL through the log-probabilities.

    With ``l = log a``, ``C = -sum_k y_k l_k``, so ``g = dC/dl = -y``; and ``d l_k / d z_i = [i = k] - a_i``
    gives the pullback of log-softmax::

        dz_i = sum_k g_k ([i = k] - a_i) = g_i - exp(l_i) sum_k g_k

    Nothing is divided by ``a``, so nothing is lost where it underflows.

    Parameters, returns and raises are those of `full_jacobian`, with no limit on labelled ``a``.

    Examples
    --------
    >>> loss, pullback = log_softmax(np.log([[1.0, 2.0, 5.0]]), [1])
    >>> pullback(1.0).round(6)
    array([[ 0.125, -0.75 ,  0.625]])
    """
    xp, z, y, dtype = read_batch(z, y)
    shifted, _, total = _exponentials(xp, z)
    log_a = shifted - xp.log(total)
    g = -y
    loss, weigh = reduce_rows(xp.sum(g * xp.where(y != 0, log_a, 0), axis=1), reduction, dtype)

    def pullback(ct: npt.ArrayLike) -> Array:
        return weigh(g - xp.exp(log_a) * xp.sum(g, axis=1, keepdims=True), ct)

    return loss, pullback


def fused(z: npt.ArrayLike, y: npt.ArrayLike, *, reduction: str = "mean") -> tuple[Array, Pullback]:
    """Differentiate softmax + NLL in one step: ``a - y``.

    Written out for weights of any sum (the module's derivation, last but one line)::

        dz = a sum_k y_k - y

    The sum is 1 for one-hot labels and for soft ones that are a distribution, leaving ``a - y``; it is 0 for
    a row of zeros, which then drops out; and for a weighted example it carries the weight.

    Parameters, returns and raises are those of `full_jacobian`, with no limit on labelled ``a``.

    Examples
    --------
    >>> loss, pullback = fused(np.log([[1.0, 2.0, 5.0]]), [1])
    >>> pullback(1.0).round(6)
    array([[ 0.125, -0.75 ,  0.625]])
    """
    xp, z, y, dtype = read_batch(z, y)
    shifted, exponentials, total = _exponentials(xp, z)
    nll = xp.sum(y * xp.where(y != 0, xp.log(total) - shifted, 0), axis=1)
    loss, weigh = reduce_rows(nll, reduction, dtype)

    def pullback(ct: npt.ArrayLike) -> Array:
        return weigh(exponentials / total * xp.sum(y, axis=1, keepdims=True) - y, ct)

    return loss, pullback


class _Exponentials(NamedTuple):
    shifted: Array
    """``z - max z``, shape (N, K), at most 0."""
    exponentials: Array
    """Of the shifted logits, shape (N, K), at most 1."""
    total: Array
    """Their sums, shape (N, 1), at least 1."""


def _exponentials(xp: ModuleType, z: Array) -> _Exponentials:
    peak = xp.max(z, axis=1, keepdims=True)
    if is_concrete(peak) and np.isinf(peak).any():
        i = np.flatnonzero(np.isinf(peak))[0]
        raise ValueError(
            f"row z[{i}] has the maximum {peak[i, 0]}, so softmax is undefined there: "
            "keep logits below inf and at least one in each row above -inf"
        )
    # Logits further apart than the largest float differ by -inf, whose exponential is rightly 0.
    with np.errstate(over="ignore"):
        shifted = z - peak
    exponentials = xp.exp(shifted)
    return _Exponentials(shifted, exponentials, xp.sum(exponentials, axis=1, keepdims=True))


class _TwoStages(NamedTuple):
    a: Array
    """Softmax, shape (N, K)."""
    g: Array
    """``dC/da``, shape (N, K)."""
    nll: Array
    """Row losses, shape (N,)."""


def _two_stages(xp: ModuleType, z: Array, y: Array) -> _TwoStages:
    _, exponentials, total = _exponentials(xp, z)
    a = exponentials / total
    labelled = y != 0
    if is_concrete(a) and (vanished := labelled & (a < np.finfo(a.dtype).tiny)).any():
        i, k = np.argwhere(vanished)[0]
        raise ValueError(
            f"softmax underflows at the label z[{i}, {k}] = {z[i, k]}, below the row maximum {z[i].max()}: "
            "-y / a is undefined there, so use log_softmax or fused"
        )
    # Where y_k = 0 the summand is 0 whatever a_k is, 0 included: 1 stands in for it.
    safe = xp.where(labelled, a, 1)
    return _TwoStages(a, -y / safe, -xp.sum(y * xp.log(safe), axis=1))
