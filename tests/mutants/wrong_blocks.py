"""Right algebra, wrong bookkeeping: blocks of 128 classes or 32 rows with a last one in part, and class shards."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import losses
from .forwards import one_hot, softmax
from .losses import BLOCK, ROWS, SHARDS, SMOOTHING, columns, shards
from .specimen import CORNER, ORDINARY, Array, wrong

# --- tail block: classes ------------------------------------------------------------------------------------


def _error(exponentials: Array, total: Array, y: Array) -> Array:
    """Return exponentials / total - y, over N."""
    return (exponentials / total - one_hot(y, exponentials)) / max(len(y), 1)


def _exponentials(z: Array) -> Array:
    return np.exp(z - z.max(axis=1, keepdims=True))


@wrong(losses.BLOCKS, "tail block", "YukeWang96/TC-GNN_ATC23#4: K // 128 blocks, the rest is skipped", CORNER)
@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def partial_block_skipped(z: Array, y: Array) -> Array:
    exponentials = _exponentials(z)
    blocks = max(z.shape[1] // BLOCK, 1)
    return _error(exponentials, exponentials[:, : blocks * BLOCK].sum(axis=1, keepdims=True), y)


@wrong(
    losses.BLOCKS,
    "tail block",
    "hw-native-sys/simpler#72: the padding of the last block has logits of 0",
    CORNER,
)
def padding_of_the_block_counted(z: Array, y: Array) -> Array:
    padded = np.pad(z, ((0, 0), (0, -z.shape[1] % BLOCK)))
    exponentials = _exponentials(padded)
    a = exponentials / exponentials.sum(axis=1, keepdims=True)
    return (a[:, : z.shape[1]] - one_hot(y, z)) / max(len(y), 1)


@wrong(
    losses.BLOCKS.on(losses.WIDE[:, :BLOCK], np.array([7])),
    "tail block",
    "ROCm/aiter#3404: 128 - K % 128 is a whole block where K is a multiple",
    CORNER,
)
@np.errstate(divide="ignore", invalid="ignore")
def whole_block_taken_for_padding(z: Array, y: Array) -> Array:
    padding = BLOCK - z.shape[1] % BLOCK
    padded = np.pad(_exponentials(z), ((0, 0), (0, -z.shape[1] % BLOCK)))
    padded[:, -padding:] = 0
    return _error(_exponentials(z), padded.sum(axis=1, keepdims=True), y)


@wrong(losses.BLOCKS, "tail block", "tile-ai/tilelang-ascend#1723: a tail that reads more than is its own", CORNER)
def last_block_moved_back_and_counted_twice(z: Array, y: Array) -> Array:
    exponentials = _exponentials(z)
    starts = [min(block.start, max(z.shape[1] - BLOCK, 0)) for block in columns(z.shape[1])]
    total = sum(exponentials[:, start : start + BLOCK].sum(axis=1, keepdims=True) for start in starts)
    return _error(exponentials, np.asarray(total), y)


@wrong(losses.BLOCKS, "tail block", "tenstorrent/tt-metal#53204: the running sum of blocks is lost", CORNER)
@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def only_the_last_block_summed(z: Array, y: Array) -> Array:
    exponentials = _exponentials(z)
    return _error(exponentials, exponentials[:, columns(z.shape[1])[-1]].sum(axis=1, keepdims=True), y)


FALLING = losses.WIDE + np.where(np.arange(BLOCK + 1) < BLOCK, 900.0, 0.0)


@wrong(
    losses.BLOCKS.on(FALLING, np.array([7])),
    "tail block",
    "tile-ai/TileOPs#239: the maximum of this block, not of all so far",
    CORNER,
)
@np.errstate(over="ignore", invalid="ignore")
def maximum_of_the_last_block(z: Array, y: Array) -> Array:
    top, total = np.full((len(z), 1), -np.inf), np.zeros((len(z), 1))
    for block in columns(z.shape[1]):
        here = z[:, block].max(axis=1, keepdims=True)
        total = total * np.exp(top - here) + np.exp(z[:, block] - here).sum(axis=1, keepdims=True)
        top = here
    return _error(np.exp(z - top), total, y)


@wrong(
    losses.BLOCKS.on(losses.WIDE, np.array([BLOCK])),
    "tail block",
    "tenstorrent/tt-metal#57354: padding goes by a constant, not by the block that it was given",
    CORNER,
)
def label_in_the_partial_block_lost(z: Array, y: Array) -> Array:
    gradient = softmax(z) / max(len(y), 1)
    whole = max(z.shape[1] // BLOCK, 1) * BLOCK
    owned = np.flatnonzero(y < whole)
    gradient[owned, y[owned]] -= 1 / max(len(y), 1)
    return gradient


# --- tail block: rows ---------------------------------------------------------------------------------------


def _by_row_blocks(z: Array, y: Array, share: Callable[[int], float]) -> Array:
    """Return a - y times the share of each row, which depends on the size of the row's block."""
    gradient = softmax(z) - one_hot(y, z)
    for start in range(0, len(z), ROWS):
        block = gradient[start : start + ROWS]
        block *= share(len(block))
    return gradient


@wrong(losses.ROW_BLOCKS, "tail block", "NVIDIA-NeMo/Automodel#3804: a mean of block means", CORNER)
def mean_of_block_means(z: Array, y: Array) -> Array:
    blocks = -(-len(z) // ROWS)
    return _by_row_blocks(z, y, lambda size: 1 / size / blocks)


@wrong(losses.ROW_BLOCKS, "tail block", "NVIDIA-NeMo/Automodel#3803: block means added up", ORDINARY)
def block_means_added_up(z: Array, y: Array) -> Array:
    return _by_row_blocks(z, y, lambda size: 1 / size)


@wrong(losses.ROW_BLOCKS, "tail block", "tile-ai/TileOPs#898: rows past the end of the last block", CORNER)
def padding_rows_counted_in_the_mean(z: Array, y: Array) -> Array:
    padded = len(z) + -len(z) % ROWS
    return _by_row_blocks(z, y, lambda _: 1 / padded)


# --- class shards: each holds the logits of some classes, and what they tell one another is N numbers ---------


def _sharded(z: Array, y: Array, owns: Callable[[slice], Array], local: Callable[[slice], Array]) -> Array:
    """Return a - y over N, where a shard subtracts 1 in the rows that it owns, at its local label."""
    gradient = softmax(z)
    for shard in shards(z.shape[1]):
        rows = np.flatnonzero(owns(shard))
        part = gradient[:, shard]
        part[rows, local(shard)[rows]] -= 1
    return gradient / max(len(y), 1)


@wrong(losses.SHARDED, "class shards", "deepseek-ai/DeepSeek-V3#298: is a bound inside or outside?", CORNER)
def label_on_a_bound_owned_twice(z: Array, y: Array) -> Array:
    return _sharded(
        z,
        y,
        lambda shard: (shard.start <= y) & (y <= shard.stop),
        lambda shard: np.minimum(y - shard.start, shard.stop - shard.start - 1),
    )


@wrong(losses.SHARDED, "class shards", "deepseek-ai/DeepSeek-V3#298: both bounds taken as excluded", CORNER)
def label_first_in_a_shard_disowned(z: Array, y: Array) -> Array:
    return _sharded(z, y, lambda shard: (shard.start < y) & (y < shard.stop), lambda shard: y - shard.start)


@wrong(
    losses.SHARDED,
    "class shards",
    "NVIDIA/Megatron-LM#926: labels of other shards become local class 0",
    ORDINARY,
)
def label_subtracted_in_every_shard(z: Array, y: Array) -> Array:
    return _sharded(
        z,
        y,
        lambda _: np.ones(len(y), dtype=bool),
        lambda shard: np.where((shard.start <= y) & (y < shard.stop), y - shard.start, 0),
    )


@wrong(
    losses.SHARDED,
    "class shards",
    "bigscience-workshop/Megatron-DeepSpeed#394: cross-entropy over the shard's own classes",
    ORDINARY,
)
def sums_not_combined(z: Array, y: Array) -> Array:
    a = np.concatenate([softmax(z[:, shard]) for shard in shards(z.shape[1])], axis=1)
    return (a - one_hot(y, z)) / max(len(y), 1)


@wrong(
    losses.SHARDED,
    "class shards",
    "modelscope/ms-swift#9947: shards that do not own the label get no gradient",
    ORDINARY,
)
def only_the_owner_gets_a_gradient(z: Array, y: Array) -> Array:
    gradient = (softmax(z) - one_hot(y, z)) / max(len(y), 1)
    for shard in shards(z.shape[1]):
        gradient[(y < shard.start) | (y >= shard.stop), shard] = 0
    return gradient


@wrong(
    losses.SHARDED,
    "class shards",
    "NVIDIA/Megatron-LM#7452: gathered and then reduced, a loss larger by log(shards)",
    ORDINARY,
)
def sum_counted_by_every_shard(z: Array, y: Array) -> Array:
    return (softmax(z) / SHARDS - one_hot(y, z)) / max(len(y), 1)


@wrong(losses.SHARDED, "class shards", "deepinsight/insightface#1316: why the maximum is reduced", ORDINARY)
def sums_relative_to_unlike_maxima(z: Array, y: Array) -> Array:
    exponentials = np.concatenate([_exponentials(z[:, shard]) for shard in shards(z.shape[1])], axis=1)
    return _error(exponentials, exponentials.sum(axis=1, keepdims=True), y)


RISING = losses.SEVEN + np.array([0.0, 0.0, 900.0, 900.0, 0.0, 0.0, 0.0])


@wrong(
    losses.SHARDED.on(RISING, losses.FIRST_AND_LAST),
    "class shards",
    "Infatoshi/cuda-course#10: a maximum of one's own, not of the row",
    CORNER,
)
@np.errstate(over="ignore", invalid="ignore")
def maximum_of_the_first_shard(z: Array, y: Array) -> Array:
    exponentials = np.exp(z - z[:, shards(z.shape[1])[0]].max(axis=1, keepdims=True))
    return _error(exponentials, exponentials.sum(axis=1, keepdims=True), y)


@wrong(
    losses.SMOOTHED_SHARDED,
    "class shards",
    "NVIDIA/Megatron-LM#7464: label smoothing over the classes of the shard",
    ORDINARY,
)
def smoothing_over_the_shard(z: Array, y: Array) -> Array:
    gradient = softmax(z) - (1 - SMOOTHING) * one_hot(y, z)
    for shard in shards(z.shape[1]):
        gradient[:, shard] -= SMOOTHING / (shard.stop - shard.start)
    return gradient / max(len(y), 1)
