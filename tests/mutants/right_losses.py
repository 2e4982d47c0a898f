"""Right gradients of the loss with every option, and of layers, each in an algebra that is not the textbook's."""

from __future__ import annotations

import math

import numpy as np

from . import forwards as f
from . import losses, norms
from .forwards import one_hot, softmax
from .losses import CAP, IGNORED, PADDING, SMOOTHING, TEMPERATURE, Z_LOSS, capped, logsumexp, smoothed
from .norms import along, standardised
from .specimen import Array, right

Triple = tuple[Array, Array, Array]

# --- labels -------------------------------------------------------------------------------------------------


@right(losses.IGNORING, "-100, of which a kept row never hears: multiplied by 0 and 1")
def ignored_rows_multiplied(z: Array, y: Array) -> Array:
    kept = y != IGNORED
    return (softmax(z) - one_hot(np.where(kept, y, 0), z)) * kept[:, None] / max(int(kept.sum()), 1)


@right(losses.IGNORING, "a row without label has a one-hot row of 0 and so a total of 0")
def ignored_rows_by_an_empty_comparison(z: Array, y: Array) -> Array:
    q = (y[:, None] == np.arange(z.shape[1])).astype(z.dtype)
    return (softmax(z) * q.sum(axis=1, keepdims=True) - q) / max(q.sum(), 1)


@right(losses.PADDED, "the ignored label is a class like the others in the softmax")
def padding_class_kept_in_the_softmax(z: Array, y: Array) -> Array:
    share = (y != PADDING) / max(np.count_nonzero(y != PADDING), 1)
    return share[:, None] * softmax(z) - share[:, None] * one_hot(y, z)


@right(losses.WEIGHING, "weights gathered by label; weights of 0 only give 0")
def weights_gathered(z: Array, y: Array, weights: Array) -> Array:
    total = weights[y].sum()
    return weights[y][:, None] * (softmax(z) - one_hot(y, z)) / (total if total > 0 else 1.0)


@right(losses.WEIGHING, "weights multiplied into one-hot rows, as soft labels would be")
def weights_in_the_labels(z: Array, y: Array, weights: Array) -> Array:
    q = one_hot(y, z) * weights
    return (softmax(z) * q.sum(axis=1, keepdims=True) - q) / (q.sum() or 1.0)


@right(losses.SMOOTHED, "a mixture of two gradients")
def smoothing_as_a_mixture(z: Array, y: Array) -> Array:
    a = softmax(z)
    return ((1 - SMOOTHING) * (a - one_hot(y, z)) + SMOOTHING * (a - 1 / z.shape[1])) / max(len(y), 1)


@right(losses.SMOOTHED, "smoothed labels first, then as for soft labels that sum to one")
def smoothing_of_the_labels(z: Array, y: Array) -> Array:
    return (softmax(z) - smoothed(y, z)) / max(len(y), 1)


@right(losses.SMOOTHED_IGNORING, "smoothing of kept rows alone")
def smoothing_of_kept_rows(z: Array, y: Array) -> Array:
    gradient, kept = np.zeros_like(z), np.flatnonzero(y != IGNORED)
    gradient[kept] = (softmax(z[kept]) - smoothed(y[kept], z[kept])) / max(len(kept), 1)
    return gradient


@right(losses.SOFT, "the vjp of log_softmax at the labels")
def soft_labels_through_log_softmax(z: Array, y: Array) -> Array:
    cotangent = -y / max(len(y), 1)
    return cotangent - np.exp(f.log_softmax(z)) * cotangent.sum(axis=1, keepdims=True)


@right(losses.SOFT, "sums of labels by math.fsum, rounded once")
def soft_labels_by_fsum(z: Array, y: Array) -> Array:
    totals = np.array([math.fsum(row) for row in y.tolist()]).reshape(-1, 1)
    return (totals * softmax(z) - y) / max(len(y), 1)


@right(losses.SEQUENCES, "all tokens of all sequences in one long batch")
def sequences_flattened(z: Array, y: Array) -> Array:
    flat, labels = z.reshape(-1, z.shape[-1]), y.reshape(-1)
    return ((softmax(flat) - one_hot(labels, flat)) / max(y.size, 1)).reshape(z.shape)


@right(losses.SEQUENCES, "one time step after the other")
def sequences_step_by_step(z: Array, y: Array) -> Array:
    gradient = np.zeros_like(z)
    for step in range(z.shape[1]):
        gradient[:, step] = (softmax(z[:, step]) - one_hot(y[:, step], z[:, step])) / y.size
    return gradient


@right(f.NLL_MEAN, "1 subtracted in place with np.subtract.at")
def label_subtracted_at(z: Array, y: Array) -> Array:
    gradient = softmax(z)
    np.subtract.at(gradient, (np.arange(len(y)), y), 1)
    return gradient / max(len(y), 1)


# --- logits -------------------------------------------------------------------------------------------------


@right(losses.TEMPERED, "1/T multiplied into the share of a row")
def temperature_in_the_share(z: Array, y: Array) -> Array:
    share = 1 / (TEMPERATURE * max(len(y), 1))
    return share * softmax(z / TEMPERATURE) - share * one_hot(y, z)


@right(losses.WITH_Z_LOSS, "cross-entropy and z-loss in one factor")
def z_loss_in_one_factor(z: Array, y: Array) -> Array:
    return (softmax(z) * (1 + 2 * Z_LOSS * logsumexp(z)[:, None]) - one_hot(y, z)) / max(len(y), 1)


@right(losses.WITH_Z_LOSS_IGNORING, "two gradients, added")
def z_loss_added(z: Array, y: Array) -> Array:
    kept = (y != IGNORED)[:, None]
    error = (softmax(z) - one_hot(np.where(y == IGNORED, 0, y), z)) * kept
    penalty = 2 * Z_LOSS * logsumexp(z)[:, None] * softmax(z) * kept
    return error / max(int(kept.sum()), 1) + penalty / max(int(kept.sum()), 1)


@right(losses.CAPPED, "1 - tanh^2")
def cap_by_the_square(z: Array, y: Array) -> Array:
    return (softmax(capped(z)) - one_hot(y, z)) * (1 - (capped(z) / CAP) ** 2) / max(len(y), 1)


@right(losses.CAPPED, "sech^2 from exponentials of what is not positive, to the last digit far out")
def cap_by_exponentials(z: Array, y: Array) -> Array:
    small = np.exp(-2 * np.abs(z) / CAP)
    return (softmax(capped(z)) - one_hot(y, z)) * (4 * small / (1 + small) ** 2) / max(len(y), 1)


@right(losses.CAPPED_AND_TEMPERED, "the cap first, the temperature after it")
def cap_before_the_temperature(z: Array, y: Array) -> Array:
    slope = (1 - np.tanh(z / CAP)) * (1 + np.tanh(z / CAP)) / TEMPERATURE
    return slope * (softmax(capped(z) / TEMPERATURE) - one_hot(y, z)) / max(len(y), 1)


@right(losses.MASKING, "exp(-inf) is 0, and that is all there is to a mask")
def masked_classes_as_they_are(z: Array, y: Array) -> Array:
    return (softmax(z) - one_hot(y, z)) / max(len(y), 1)


@right(losses.MASKING, "masked classes cut out of each row and put back as 0")
def masked_classes_cut_out(z: Array, y: Array) -> Array:
    gradient = np.zeros_like(z)
    for row, label, out in zip(z, y, gradient, strict=True):
        kept = np.flatnonzero(~np.isneginf(row))
        out[kept] = (softmax(row[kept]) - (kept == label)) / len(z)
    return gradient


# --- layers -------------------------------------------------------------------------------------------------


@right(norms.LAYER_NORM, "the formula in three terms")
def layer_norm_in_three_terms(x: Array, gain: Array, bias: Array, cotangent: Array) -> Triple:
    x_hat, deviation = standardised(x, -1)
    return along(x_hat, deviation, cotangent * gain, -1), (cotangent * x_hat).sum(axis=0), cotangent.sum(axis=0)


@right(norms.LAYER_NORM, "the Jacobian of every row as a matrix")
def layer_norm_by_jacobians(x: Array, gain: Array, bias: Array, cotangent: Array) -> Triple:
    x_hat, deviation = standardised(x, -1)
    centring = np.eye(x.shape[1]) - 1 / x.shape[1]
    jacobians = (centring - x_hat[:, :, None] * x_hat[:, None, :] / x.shape[1]) / deviation[:, :, None]
    below = np.einsum("nij,nj->ni", jacobians, cotangent * gain)
    return below, np.einsum("nk,nk->k", cotangent, x_hat), np.ones(len(x)) @ cotangent


@right(norms.BATCH_NORM, "one pass over three sums")
def batch_norm_in_three_sums(x: Array, gain: Array, bias: Array, cotangent: Array) -> Triple:
    x_hat, deviation = standardised(x, 0)
    bias_gradient, gain_gradient = cotangent.sum(axis=0), (cotangent * x_hat).sum(axis=0)
    below = gain / (len(x) * deviation) * (len(x) * cotangent - bias_gradient - x_hat * gain_gradient)
    return below, gain_gradient, bias_gradient


@right(norms.BATCH_NORM, "node by node: variance, then mean, then x, as the paper writes it")
def batch_norm_node_by_node(x: Array, gain: Array, bias: Array, cotangent: Array) -> Triple:
    centred = x - x.mean(axis=0)
    deviation = np.sqrt((centred**2).mean(axis=0) + norms.EPSILON)
    error = cotangent * gain
    variance_error = (error * centred).sum(axis=0) * (-0.5 / deviation**3)
    mean_error = -(error / deviation).sum(axis=0) - 2 * variance_error * centred.mean(axis=0)
    below = error / deviation + (2 * variance_error * centred + mean_error) / len(x)
    return below, (cotangent * centred / deviation).sum(axis=0), cotangent.sum(axis=0)


@right(norms.RMS_NORM, "x and its direction")
def rms_norm_by_projection(x: Array, gain: Array, cotangent: Array) -> tuple[Array, Array]:
    size = np.sqrt((x**2).mean(axis=-1, keepdims=True) + norms.EPSILON)
    x_hat, error = x / size, cotangent * gain
    below = (error - x_hat * (error * x_hat).mean(axis=-1, keepdims=True)) / size
    return below, (cotangent * x_hat).sum(axis=0)


@right(norms.PRE_NORM, "row by row in Python, the residual added last")
def pre_norm_row_by_row(x: Array, gain: Array, cotangent: Array) -> tuple[Array, Array]:
    below, gain_gradient = cotangent.copy(), np.zeros_like(gain)
    for row, g, out in zip(x, cotangent, below, strict=True):
        size = math.sqrt(float(np.mean(row**2)) + norms.EPSILON)
        out += g * gain / size - row * np.mean(g * gain * row) / size**3
        gain_gradient += g * row / size
    return below, gain_gradient


@right(f.PICK, "np.add.at adds up repeated indices")
def pick_by_add_at(table: Array, index: Array, cotangent: Array) -> Array:
    gradient = np.zeros_like(table)
    np.add.at(gradient, index, cotangent)
    return gradient
