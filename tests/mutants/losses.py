"""Softmax and negative log-likelihood with each of its options, and the cases on which each is defined.

Plain NumPy as in ``forwards``; every option has one value, a constant here, since a specimen is one gradient of
one function. N rows, K classes; logits ``z`` (N, K) or (B, T, K); labels ``y``, (N,), (N, K) or (B, T); class
weights (K,).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from . import forwards as f
from .forwards import Y, Z, log_softmax, nll_each, nll_mean, one_hot, softmax_nll
from .specimen import Array, Forward

IGNORED = -100
PADDING = 0  # an ignored label that is a class as well, as where class 0 is the padding token
SMOOTHING = 0.2
Z_LOSS = 0.05
CAP = 2.0
TEMPERATURE = f.TEMPERATURE
BLOCK = 128  # classes a block, as kernels take them
ROWS = 32  # rows a block
SHARDS = 3


def _picked(z: Array, y: Array, kept: Array) -> Any:
    """Return the loss of every row, with 0 where a label is not to be kept."""
    each = -log_softmax(z)[np.arange(len(y)), np.where(kept, y, 0)]
    return np.where(kept, each, 0.0)


def nll_ignoring(z: Array, y: Array) -> Any:
    kept = y != IGNORED
    return _picked(z, y, kept).sum() / np.maximum(kept.sum(), 1)


def nll_padded(z: Array, y: Array) -> Any:
    kept = y != PADDING
    return _picked(z, y, kept).sum() / np.maximum(kept.sum(), 1)


def nll_weighing(z: Array, y: Array, weights: Array) -> Any:
    total = weights[y].sum()
    return (weights[y] * nll_each(z, y)).sum() / np.where(total > 0, total, 1.0)


def smoothed(y: Array, z: Array) -> Array:
    return (1.0 - SMOOTHING) * one_hot(y, z) + SMOOTHING / z.shape[-1]


def nll_smoothed(z: Array, y: Array) -> Any:
    uniform = -log_softmax(z).sum(axis=-1) / z.shape[-1]
    return ((1.0 - SMOOTHING) * nll_each(z, y) + SMOOTHING * uniform).sum() / max(len(y), 1)


def nll_smoothed_ignoring(z: Array, y: Array) -> Any:
    kept = y != IGNORED
    uniform = np.where(kept, -log_softmax(z).sum(axis=-1) / z.shape[-1], 0.0)
    return ((1.0 - SMOOTHING) * _picked(z, y, kept) + SMOOTHING * uniform).sum() / np.maximum(kept.sum(), 1)


def logsumexp(z: Array) -> Any:
    top = z.max(axis=-1, keepdims=True)
    return (top + np.log(np.exp(z - top).sum(axis=-1, keepdims=True)))[..., 0]


def nll_with_z_loss(z: Array, y: Array) -> Any:
    return (nll_each(z, y) + Z_LOSS * logsumexp(z) ** 2).sum() / max(len(y), 1)


def nll_with_z_loss_ignoring(z: Array, y: Array) -> Any:
    kept = y != IGNORED
    penalty = np.where(kept, Z_LOSS * logsumexp(z) ** 2, 0.0)
    return (_picked(z, y, kept) + penalty).sum() / np.maximum(kept.sum(), 1)


def capped(z: Array) -> Array:
    return CAP * np.tanh(z / CAP)


def nll_capped(z: Array, y: Array) -> Any:
    return nll_mean(capped(z), y)


def nll_capped_and_tempered(z: Array, y: Array) -> Any:
    return nll_mean(capped(z) / TEMPERATURE, y)


def nll_sequences(z: Array, y: Array) -> Any:
    picked = np.take_along_axis(log_softmax(z), y[..., None], axis=-1)
    return -picked.sum() / max(y.size, 1)


def columns(classes: int) -> list[slice]:
    """Return the classes that each block of 128 covers, the last one in part."""
    return [slice(start, min(start + BLOCK, classes)) for start in range(0, classes, BLOCK)]


def shards(classes: int) -> list[slice]:
    """Return the classes that each shard owns; they are unequal where the shards do not divide the classes."""
    bounds = [classes * shard // SHARDS for shard in range(SHARDS + 1)]
    return [slice(start, stop) for start, stop in pairwise(bounds)]


SPARSE = np.array([2, IGNORED, 1, IGNORED, 2])
MASKED = Z.copy()
MASKED[[0, 1, 3, 3], [0, 2, 0, 2]] = -np.inf  # never a label, and only the label is left in row 3
WEIGHTS = np.array([0.5, 2.0, 3.5])
WIDE = 3.0 * np.sin(1.0 + np.arange(BLOCK + 1.0))[None]
TALL = 2.0 * np.cos(np.arange(2.0 * (ROWS + 1))).reshape(-1, 2)
SEVEN = 2.0 * np.sin(1.0 + np.arange(28.0)).reshape(4, 7)  # in shards of 2, 2 and 3 classes
FIRST_AND_LAST = np.array([0, 2, 4, 6])  # labels on the bounds of those shards
STACKED = 2.0 * np.sin(np.arange(24.0)).reshape(2, 4, 3)

IGNORING = Forward(nll_ignoring, "loss", (Z, SPARSE), softmax_nll(labels="index", ignore_index=IGNORED))
PADDED = Forward(nll_padded, "loss", (Z, Y), softmax_nll(labels="index", ignore_index=PADDING))
WEIGHING = Forward(nll_weighing, "loss", (Z, Y, WEIGHTS), softmax_nll(labels="index", weights=True))
SOFT = f.CROSS_ENTROPY.on(Z, f.SOFT, cases=softmax_nll(labels="soft"))
SMOOTHED = Forward(nll_smoothed, "loss", (Z, Y), softmax_nll(labels="index"))
SMOOTHED_IGNORING = Forward(nll_smoothed_ignoring, "loss", (Z, SPARSE), IGNORING.cases)
TEMPERED = f.NLL_TEMPERED
WITH_Z_LOSS = Forward(nll_with_z_loss, "loss", (Z, Y), softmax_nll(labels="index"))
WITH_Z_LOSS_IGNORING = Forward(nll_with_z_loss_ignoring, "loss", (Z, SPARSE), IGNORING.cases)
CAPPED = Forward(nll_capped, "loss", (Z, Y), softmax_nll(labels="index"))
CAPPED_AND_TEMPERED = Forward(nll_capped_and_tempered, "loss", (Z, Y), softmax_nll(labels="index"))
MASKING = f.NLL_MEAN.on(MASKED, Y, cases=softmax_nll(labels="index", masks=True))
STACKED_LABELS = np.array([[2, 0, 1, 1], [0, 2, 2, 1]])
SEQUENCES = Forward(nll_sequences, "loss", (STACKED, STACKED_LABELS), softmax_nll(labels="index", sequences=True))
BLOCKS = f.NLL_MEAN.on(WIDE, np.array([7]), cases=softmax_nll(labels="index", around=BLOCK))
ROW_BLOCKS = f.NLL_MEAN.on(
    TALL, np.arange(ROWS + 1) % 2, cases=softmax_nll(labels="index", rows=(ROWS - 2, 2 * ROWS + 2), classes=(1, 4))
)
SHARDED = f.NLL_MEAN.on(SEVEN, FIRST_AND_LAST, cases=softmax_nll(labels="index", classes=(SHARDS, 12)))
SMOOTHED_SHARDED = SMOOTHED.on(SEVEN, FIRST_AND_LAST, cases=SHARDED.cases)
