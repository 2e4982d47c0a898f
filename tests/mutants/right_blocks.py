"""Right gradients computed in blocks and shards, and right ones in unusual layouts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from . import forwards as f
from . import losses
from .forwards import one_hot, softmax
from .losses import ROWS, SMOOTHING, columns, shards
from .specimen import Array, Function, right, right_anew

Pair = tuple[Function, Function]


@right(losses.BLOCKS, "two passes over blocks of 128 classes, the last one in part")
def blocks_of_classes(z: Array, y: Array) -> Array:
    top = np.max([z[:, block].max(axis=1) for block in columns(z.shape[1])], axis=0)[:, None]
    total = np.zeros((len(z), 1))
    for block in columns(z.shape[1]):
        total += np.exp(z[:, block] - top).sum(axis=1, keepdims=True)
    return (np.exp(z - top) / total - one_hot(y, z)) / max(len(y), 1)


@right(losses.BLOCKS, "online softmax: one pass, rescaled at each block to the maximum so far")
def blocks_online(z: Array, y: Array) -> Array:
    top, total = np.full((len(z), 1), -np.inf), np.zeros((len(z), 1))
    for block in columns(z.shape[1]):
        higher = np.maximum(top, z[:, block].max(axis=1, keepdims=True))
        total = total * np.exp(top - higher) + np.exp(z[:, block] - higher).sum(axis=1, keepdims=True)
        top = higher
    gradient = np.exp(z - top) / total
    gradient[np.arange(len(y)), y] -= 1
    return gradient / max(len(y), 1)


@right(losses.BLOCKS, "padded to whole blocks with -inf")
def blocks_padded_with_minus_infinity(z: Array, y: Array) -> Array:
    padded = np.pad(z, ((0, 0), (0, -z.shape[1] % losses.BLOCK)), constant_values=-np.inf)
    return (softmax(padded)[:, : z.shape[1]] - one_hot(y, z)) / max(len(y), 1)


@right(losses.ROW_BLOCKS, "32 rows at a time, the last ones fewer, every row over N")
def blocks_of_rows(z: Array, y: Array) -> Array:
    gradient = np.empty_like(z)
    for start in range(0, len(z), ROWS):
        rows = slice(start, start + ROWS)
        gradient[rows] = (softmax(z[rows]) - one_hot(y[rows], z[rows])) / len(y)
    return gradient


@right(losses.SHARDED, "class shards that share a maximum and a sum; the owner subtracts the label")
def sharded(z: Array, y: Array) -> Array:
    parts = [z[:, shard] for shard in shards(z.shape[1])]
    top = np.max([part.max(axis=1, keepdims=True) for part in parts], axis=0)
    total = np.sum([np.exp(part - top).sum(axis=1, keepdims=True) for part in parts], axis=0)
    gradients = [np.exp(part - top) / total for part in parts]
    for shard, gradient in zip(shards(z.shape[1]), gradients, strict=True):
        rows = np.flatnonzero((shard.start <= y) & (y < shard.stop))
        gradient[rows, y[rows] - shard.start] -= 1
    return np.concatenate(gradients, axis=1) / max(len(y), 1)


@right(losses.SHARDED, "sums of shards relative to their own maxima, rescaled where they meet")
def sharded_with_sums_rescaled(z: Array, y: Array) -> Array:
    parts = [z[:, shard] for shard in shards(z.shape[1])]
    tops = np.array([part.max(axis=1, keepdims=True) for part in parts])
    sums = np.array([np.exp(part - top).sum(axis=1, keepdims=True) for part, top in zip(parts, tops, strict=True)])
    total = (sums * np.exp(tops - tops.max(axis=0))).sum(axis=0)
    return (np.exp(z - tops.max(axis=0)) / total - one_hot(y, z)) / max(len(y), 1)


@right(losses.SMOOTHED_SHARDED, "smoothing over all classes, a shard at a time")
def sharded_with_smoothing(z: Array, y: Array) -> Array:
    gradient = softmax(z)
    for shard in shards(z.shape[1]):
        hot = y[:, None] == np.arange(shard.start, shard.stop)
        gradient[:, shard] -= (1 - SMOOTHING) * hot + SMOOTHING / z.shape[1]
    return gradient / max(len(y), 1)


@right(f.NLL_MEAN, "in Fortran order from end to end")
def fortran_order(z: Array, y: Array) -> Array:
    columns_first = np.asfortranarray(z)
    exponentials = np.exp(columns_first - columns_first.max(axis=1, keepdims=True))
    return np.asfortranarray((exponentials / exponentials.sum(axis=1, keepdims=True) - one_hot(y, z)) / max(len(y), 1))


@right(f.NLL_MEAN, "a read-only view with negative strides")
def read_only_and_reversed(z: Array, y: Array) -> Array:
    backwards: Array = ((softmax(z) - one_hot(y, z)) / max(len(y), 1))[::-1].copy()
    backwards.flags.writeable = False
    return backwards[::-1]


@right(f.ROW_SUM, "a read-only result of stride 0, of fresh memory")
def broadcast_result(x: Array, cotangent: Array) -> Array:
    return np.broadcast_to(cotangent[:, None].copy(), x.shape)


@right(f.LINEAR, "every other element of a larger array")
def strided_result(h: Array, w: Array, b: Array, cotangent: Array) -> tuple[Array, Array, Array]:
    roomy = np.zeros((*h.shape, 2))
    roomy[..., 0] = cotangent @ w.T
    return roomy[..., 0], h.T @ cotangent, cotangent.sum(axis=0)


@right(f.LINEAR, "sums by cumsum, a running total that starts at the last row")
def bias_by_running_total(h: Array, w: Array, b: Array, cotangent: Array) -> tuple[Array, Array, Array]:
    total = np.cumsum(cotangent[::-1], axis=0)[-1] if len(h) else np.zeros_like(b)
    return cotangent @ w.T, np.einsum("ni,nj->ij", h, cotangent), total


@right(f.LINEAR, "batch sums in pairs, whatever the number of rows")
def bias_summed_in_pairs(h: Array, w: Array, b: Array, cotangent: Array) -> tuple[Array, Array, Array]:
    partial = cotangent.copy()
    while len(partial) > 1:
        half = len(partial) // 2
        partial = np.concatenate([partial[:half] + partial[half : 2 * half], partial[2 * half :]])
    return cotangent @ w.T, h.T @ cotangent, partial.sum(axis=0)


@right_anew(f.NLL_EACH, "a cache of labels, keyed by their values and shape")
def cache_of_one_hot_rows() -> Pair:
    rows: dict[tuple[bytes, tuple[int, ...], str], Array] = {}

    def vjp(z: Array, y: Array, cotangent: Array) -> Array:
        key = (y.tobytes(), z.shape, z.dtype.str)
        return (softmax(z) - rows.setdefault(key, one_hot(y, z))) * cotangent[:, None]

    return f.nll_each, vjp


@right(f.NLL_MEAN, "bounds of blocks from a list, one of them empty")
def blocks_one_of_them_empty(z: Array, y: Array) -> Array:
    bounds = [0, len(z) // 2, len(z) // 2, len(z)]
    parts = [(softmax(z[i:j]) - one_hot(y[i:j], z[i:j])) / max(len(y), 1) for i, j in pairwise(bounds)]
    return np.concatenate(parts)
