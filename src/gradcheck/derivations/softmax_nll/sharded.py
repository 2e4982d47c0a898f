r"""Softmax + NLL of logits whose classes are spread over shards, as tensor-parallel trainers spread them.

Shard ``p`` of P holds the logits of a range of classes, ``z^p`` of shape (N, K_p), and must not see the others'. Three
numbers a row go around, and nothing else::

    m = max_p max_k z^p_k                        all-reduce, max
    t = sum_p sum_k exp(z^p_k - m)               all-reduce, sum
    v = sum_p [the label l is in p] z^p_l        all-reduce, sum

The row's loss is ``(m - v) + log t + zeta (m + log t)^2``, known to all. The derivative of the maximum need not be
known: m cancels in ``m + log t``. And the gradient is local, since every k of a shard needs only its own exponential::

    dz^p_k = (exp(z^p_k - m) / t (1 + 2 zeta lse) - [k = l]) ct

where ``[k = l]`` is nonzero in the one shard that owns the label: a shard that treats every label as its own, or
counts its classes from 0, is the classic mistake. The scheme is that of Shoeybi et al., "Megatron-LM", 2019,
arXiv:1909.08053, sec. 3, whose third collective carries what `v` does.

All shards live in one process here, so a collective is a function of the list of what the shards contribute; whoever
has processes puts `jax.lax.pmax`, `psum` or `MPI_Allreduce` in the place of the two.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Never, TypeAlias

import numpy.typing as npt

from gradcheck.derivations._arrays import Array, as_floating, widened
from gradcheck.derivations._namespace import namespace
from gradcheck.derivations._reduction import reduce_rows
from gradcheck.derivations.softmax_nll._blocks import (
    IndexLabels,
    Sums,
    gradient,
    relative_to,
    row_losses,
)
from gradcheck.derivations.softmax_nll._exponentials import check_peak
from gradcheck.derivations.softmax_nll.options import check_number, check_taken

__all__ = ["sharded"]

ShardedPullback: TypeAlias = Callable[[npt.ArrayLike], tuple[Array, ...]]


def all_reduce_max(local: Sequence[Array]) -> Array:
    """Stand for the collective that leaves every shard with the largest of the contributions."""
    return functools.reduce(namespace(*local).maximum, local)


def all_reduce_sum(local: Sequence[Array]) -> Array:
    """Stand for the collective that leaves every shard with the sum of the contributions."""
    return functools.reduce(namespace(*local).add, local)


@dataclass(frozen=True)
class _Shard:
    """What one shard knows: its logits, the number of its first class, and the labels of all rows."""

    z: Array
    first: int
    labels: IndexLabels

    def logits(self) -> Array:
        return self.labels.cleared(widened(self.z))

    def peak(self) -> Array:
        z = self.logits()
        peak: Array = namespace(z).max(z, axis=1, keepdims=True)
        return peak

    def total(self, peak: Array) -> Array:
        """Return the sum of its exponentials relative to the peak of all: 0 for a shard that is wholly masked."""
        exponentials = relative_to(self.logits(), peak)
        total: Array = namespace(exponentials).sum(exponentials, axis=1, keepdims=True)
        return total

    def at_label(self) -> Array:
        """Return the label's logit in the rows whose label is its own, else 0."""
        return self.labels.scores(self.logits(), self.first)

    def cotangent(self, sums: Sums, z_loss: float, weight: Array) -> Array:
        dz = gradient(self.logits(), sums, self.labels, self.first, z_loss) * weight
        return dz.astype(self.z.dtype, copy=False)


def sharded(
    zs: Sequence[npt.ArrayLike],
    y: npt.ArrayLike,
    *,
    reduction: str = "mean",
    ignore_index: int | None = None,
    z_loss: float = 0.0,
    **others: Never,
) -> tuple[Array, ShardedPullback]:
    """Differentiate softmax + NLL with the classes in shards.

    A shard holds its logits and their gradient, while it computes two more arrays of their size and one of bools, and
    between forward and pullback a few numbers a row: the exponentials are computed once more.

    Parameters
    ----------
    zs : sequence of array_like, shapes (N, K_p)
        Logits, floating, of one dtype; together the classes 0 to K-1 in this order. Shards may be of any sizes from 1
        on, and wholly masked with -inf. The pullback reads them again: do not change them in between.
    y : array_like, shape (N,) of integers
        Class indices among all K, known to every shard.
    reduction, ignore_index, z_loss
        As in `fused`.

    Returns
    -------
    loss : array, shape () or (N,), dtype of the logits
    pullback : callable
        ``pullback(ct)``, `ct` shaped like `loss`, returns the tuple of the cotangents of `zs`.

    Raises
    ------
    TypeError
        If an option is given that this form does not take.
    ValueError
        As from `fused`, and if `zs` is no sequence of matrices of one height and dtype, or `y` holds label weights.

    Examples
    --------
    >>> import numpy as np
    >>> loss, pullback = sharded((np.log([[1.0, 2.0]]), np.log([[5.0]])), [1])
    >>> print(f"{loss:.6f}")  # -log(2/8)
    1.386294
    >>> [dz.round(6).tolist() for dz in pullback(1.0)]
    [[[0.125, -0.75]], [[0.625]]]
    """
    check_taken("sharded", others)
    matrices = _read_shards(zs)
    dtype, sizes = matrices[0].dtype, [z.shape[1] for z in matrices]
    labels = IndexLabels.read(y, matrices[0], sum(sizes), ignore_index)
    z_loss = check_number("z_loss", z_loss, widened(matrices[0][:, :0]).dtype)
    shards = [_Shard(z, sum(sizes[:p]), labels) for p, z in enumerate(matrices)]

    peak = all_reduce_max([shard.peak() for shard in shards])
    check_peak(peak, "np.hstack(zs)")
    total = all_reduce_sum([shard.total(peak) for shard in shards])
    at_label = all_reduce_sum([shard.at_label() for shard in shards])
    sums = Sums(peak, total, at_label)
    loss, share = reduce_rows(row_losses(sums, labels, z_loss), reduction, dtype, labels.count)

    def pullback(ct: npt.ArrayLike) -> tuple[Array, ...]:
        weight = labels.cleared(share(ct))
        return tuple(shard.cotangent(sums, z_loss, weight) for shard in shards)

    return loss, pullback


def _read_shards(zs: Sequence[npt.ArrayLike]) -> list[Array]:
    if not isinstance(zs, (tuple, list)) or not zs:
        raise ValueError(f"zs is {_described(zs)}: pass a tuple of logits (N, K_p), one matrix for each shard")
    matrices = [as_floating(z, f"zs[{p}]") for p, z in enumerate(zs)]
    for p, z in enumerate(matrices):
        if z.ndim != 2 or z.shape[1] == 0:
            raise ValueError(f"zs[{p}] has shape {z.shape}: a shard is a matrix (N, K_p) with at least one class")
        if (z.shape[0], z.dtype) != (matrices[0].shape[0], matrices[0].dtype):
            raise ValueError(
                f"zs[{p}] is {z.dtype}{z.shape} and zs[0] {matrices[0].dtype}{matrices[0].shape}: shards hold the same "
                "rows in one dtype"
            )
    return matrices


def _described(zs: object) -> str:
    return "empty" if isinstance(zs, (tuple, list)) else f"one {type(zs).__name__}"
