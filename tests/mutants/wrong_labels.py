"""Wrong gradients of what may be done to the labels: ignored rows, class weights, smoothing, soft labels."""

from __future__ import annotations

import numpy as np

from . import losses
from .forwards import Z, one_hot, softmax
from .losses import IGNORED, PADDING, SMOOTHING, smoothed
from .specimen import CORNER, EVERYWHERE, ORDINARY, Array, wrong

# --- ignore -------------------------------------------------------------------------------------------------


def _kept(z: Array, y: Array) -> tuple[Array, Array, Array]:
    """Return which rows are kept, as a column, a - y with class 0 for ignored labels, and the number kept."""
    kept = y != IGNORED
    return kept[:, None], softmax(z) - one_hot(np.where(kept, y, 0), z), np.maximum(kept.sum(), 1)


@wrong(losses.IGNORING, "ignore", "PaddlePaddle/Paddle#28622: ignored rows still get a gradient", ORDINARY)
def ignored_rows_keep_their_gradient(z: Array, y: Array) -> Array:
    _, error, count = _kept(z, y)
    return error / count


@wrong(losses.IGNORING, "ignore", "chainer/chainer#5127: an ignored label clipped to class 0", ORDINARY)
def ignored_label_taken_for_class_zero(z: Array, y: Array) -> Array:
    kept, _, count = _kept(z, y)
    return (softmax(z) * kept - one_hot(np.maximum(y, 0), z)) / count


@wrong(losses.IGNORING, "ignore", "awslabs/sockeye#200: the mask is the wrong way round", ORDINARY)
def ignored_rows_instead_of_the_others(z: Array, y: Array) -> Array:
    kept, error, count = _kept(z, y)
    return error * ~kept / count


@wrong(
    losses.IGNORING.on(Z, np.full(5, IGNORED)),
    "ignore",
    "ROCm/aiter#5165: all rows ignored, and the gradient is divided by 0",
    CORNER,
)
@np.errstate(invalid="ignore", divide="ignore")
def all_rows_ignored_divides_by_zero(z: Array, y: Array) -> Array:
    kept, error, _ = _kept(z, y)
    return error * kept / np.float64(kept.sum())


@wrong(
    losses.PADDED,
    "ignore",
    "pytorch/pytorch#63004: an ignore_index that is a class as well is not ignored",
    ORDINARY,
)
def only_negative_labels_ignored(z: Array, y: Array) -> Array:
    kept = (y >= 0)[:, None]
    return (softmax(z) - one_hot(y, z)) * kept / np.maximum((y != PADDING).sum(), 1)


# --- weights ------------------------------------------------------------------------------------------------


def _total(weights: Array, y: Array) -> Array:
    total = weights[y].sum()
    return np.where(total > 0, total, 1.0)


@wrong(losses.WEIGHING, "weights", "facebookresearch/pytext#1081: weights do not reach the loss", ORDINARY)
def weights_ignored(z: Array, y: Array, weights: Array) -> Array:
    return (softmax(z) - one_hot(y, z)) / max(len(y), 1)


@wrong(losses.WEIGHING, "weights", "mathiaszinnen/focal_loss_torch#13: the weight computed twice", ORDINARY)
def weights_applied_twice(z: Array, y: Array, weights: Array) -> Array:
    return weights[y][:, None] ** 2 * (softmax(z) - one_hot(y, z)) / _total(weights, y)


@wrong(losses.WEIGHING, "weights", "jakeret/tf_unet#8: weights on the logits, before the softmax", ORDINARY)
def weights_on_the_logits(z: Array, y: Array, weights: Array) -> Array:
    return weights[y][:, None] * (softmax(weights * z) - one_hot(y, z)) / _total(weights, y)


@wrong(losses.WEIGHING, "weights", "open-mmlab/mmdetection#5776: only where the label is 1", ORDINARY)
def weights_at_the_label_only(z: Array, y: Array, weights: Array) -> Array:
    return (softmax(z) - weights[y][:, None] * one_hot(y, z)) / _total(weights, y)


@wrong(losses.WEIGHING, "weights", "pytorch/pytorch#25571: which weights does the mean divide by?", ORDINARY)
def weights_averaged_over_the_classes(z: Array, y: Array, weights: Array) -> Array:
    total = weights.sum()
    return weights[y][:, None] * (softmax(z) - one_hot(y, z)) / np.where(total > 0, total, 1.0)


@wrong(
    losses.WEIGHING.on(Z, np.array([1, 1, 1, 1, 1]), np.array([1.5, 0.0, 2.0])),
    "weights",
    "tensorflow/tensorflow#51792: NaN where the weights of all that is present are 0",
    CORNER,
)
@np.errstate(invalid="ignore", divide="ignore")
def weights_of_zero_divided_by_their_sum(z: Array, y: Array, weights: Array) -> Array:
    return weights[y][:, None] * (softmax(z) - one_hot(y, z)) / weights[y].sum()


# --- smoothing ----------------------------------------------------------------------------------------------


@wrong(losses.SMOOTHED, "smoothing", "dice-group/dice-embeddings#437: smoothing silently ignored", ORDINARY)
def smoothing_in_the_loss_only(z: Array, y: Array) -> Array:
    return (softmax(z) - one_hot(y, z)) / max(len(y), 1)


@wrong(losses.SMOOTHED, "smoothing", "mindspore-ai/mindspore#73: K - 1 classes share it, not K", ORDINARY)
def smoothing_over_the_other_classes(z: Array, y: Array) -> Array:
    others = SMOOTHING / max(z.shape[1] - 1, 1)
    at_the_label = 1 - SMOOTHING if z.shape[1] > 1 else 1.0
    return (softmax(z) - np.where(one_hot(y, z) == 1, at_the_label, others)) / max(len(y), 1)


@wrong(losses.SMOOTHED, "smoothing", "TimDettmers/ConvE#55: 1 / K added instead of e / K", EVERYWHERE)
def smoothing_adds_the_whole_uniform(z: Array, y: Array) -> Array:
    return (softmax(z) - (1 - SMOOTHING) * one_hot(y, z) - 1 / z.shape[1]) / max(len(y), 1)


@wrong(losses.SMOOTHED, "smoothing", "ildoonet/pytorch-randaugment#30: 1 - e / K at the label", ORDINARY)
def smoothing_takes_too_little_from_the_label(z: Array, y: Array) -> Array:
    share = SMOOTHING / z.shape[1]
    return (softmax(z) - (1 - share) * one_hot(y, z) - share) / max(len(y), 1)


@wrong(
    losses.SMOOTHED,
    "smoothing",
    "Hsuxu/Loss_ToolBox-PyTorch#4: the label is lowered, no other class is raised",
    EVERYWHERE,
)
def smoothing_of_the_label_column_only(z: Array, y: Array) -> Array:
    return (softmax(z) - (1 - SMOOTHING) * one_hot(y, z)) / max(len(y), 1)


@wrong(
    losses.SMOOTHED_IGNORING,
    "smoothing",
    "pytorch/pytorch#73205: the uniform part takes ignored rows into account",
    ORDINARY,
)
def smoothing_of_ignored_rows(z: Array, y: Array) -> Array:
    kept, error, count = _kept(z, y)
    return ((1 - SMOOTHING) * error * kept + SMOOTHING * (softmax(z) - 1 / z.shape[1])) / count


@wrong(losses.SMOOTHED, "smoothing", "fastai/fastai#1814: smoothing scaled by K / (K - 1) at the label", ORDINARY)
def smoothing_scaled_at_the_label(z: Array, y: Array) -> Array:
    excess = SMOOTHING * (z.shape[1] / max(z.shape[1] - 1, 1) - 1)
    return (softmax(z) * (1 - excess) - smoothed(y, z) + excess * one_hot(y, z)) / max(len(y), 1)


# --- soft labels --------------------------------------------------------------------------------------------


@wrong(losses.SOFT, "soft labels", "kaylode/theseus#26: soft labels where the argmax is expected", ORDINARY)
def soft_labels_by_their_argmax(z: Array, y: Array) -> Array:
    return (softmax(z) - one_hot(y.argmax(axis=1), z)) / max(len(y), 1)


@wrong(losses.SOFT, "soft labels", "PaddlePaddle/Paddle#63678: must soft labels be normalised?", ORDINARY)
def soft_labels_normalised(z: Array, y: Array) -> Array:
    total = y.sum(axis=1, keepdims=True)
    return np.where(total > 0, softmax(z) - y / np.where(total > 0, total, 1), 0.0) / max(len(y), 1)


NO_LABEL = np.array([[0.5, 0.2, 0.1], [0.0, 0.0, 0.0], [0.2, 0.2, 0.4], [0.0, 1.5, 0.0], [0.1, 0.1, 0.1]])


@wrong(
    losses.SOFT.on(Z, NO_LABEL),
    "soft labels",
    "tensorflow/tensorflow#60314: a gradient that is not 0 for labels that are all 0",
    CORNER,
)
def labels_of_zero_get_a_gradient(z: Array, y: Array) -> Array:
    total = y.sum(axis=1, keepdims=True)
    return (softmax(z) * np.where(total == 0, 1.0, total) - y) / max(len(y), 1)


@wrong(losses.SOFT, "soft labels", "yjxiong/caffe#171: p (q - 1) derived where q - p is right", EVERYWHERE)
def soft_labels_as_if_each_were_alone(z: Array, y: Array) -> Array:
    return y * (softmax(z) - 1) / max(len(y), 1)


@wrong(losses.SOFT, "soft labels", "apache/mxnet#5981: the mean is skipped for labels of (N, K)", ORDINARY)
def mean_skipped_for_soft_labels(z: Array, y: Array) -> Array:
    return softmax(z) * y.sum(axis=1, keepdims=True) - y
