"""Wrong gradients of softmax and negative log-likelihood: reduction, algebra, Jacobian, labels, axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import forwards as f
from . import losses
from .forwards import one_hot, softmax
from .specimen import CORNER, EVERYWHERE, ORDINARY, Array, wrong

# --- reduction ----------------------------------------------------------------------------------------------


@wrong(f.NLL_MEAN, "reduction", "tensorflow/swift-apis#42: the loss takes a mean, its vjp does not", ORDINARY)
def mean_missing(z: Array, y: Array) -> Array:
    return softmax(z) - one_hot(y, z)


@wrong(f.NLL_SUM, "reduction", "paiml/aprender#2182: divides by N though the loss is a sum", ORDINARY)
def sum_divided_by_rows(z: Array, y: Array) -> Array:
    return (softmax(z) - one_hot(y, z)) / max(len(y), 1)


@wrong(f.NLL_MEAN, "reduction", "EleutherAI/bergson#344: divides by the length of one row", ORDINARY)
def mean_over_classes(z: Array, y: Array) -> Array:
    return (softmax(z) - one_hot(y, z)) / z.shape[1]


@wrong(f.NLL_MEAN, "reduction", "apache/mxnet#2215: rows and outputs mixed up as the normaliser", ORDINARY)
def mean_over_all_entries(z: Array, y: Array) -> Array:
    return (softmax(z) - one_hot(y, z)) / max(z.size, 1)


@wrong(
    f.NLL_MEAN,
    "reduction",
    "bethgelab/foolbox#439: gradients come out divided by the batch once more",
    ORDINARY,
)
def mean_taken_twice(z: Array, y: Array) -> Array:
    return (softmax(z) - one_hot(y, z)) / max(len(y), 1) ** 2


@wrong(f.NLL_WEIGHTED, "weights", "pytorch/pytorch#40560: mean over rows where weights are averaged", ORDINARY)
def weights_averaged_over_rows(z: Array, y: Array) -> Array:
    weights = 1.0 + np.arange(z.shape[1])
    return weights[y][:, None] * (softmax(z) - one_hot(y, z)) / len(y)


@wrong(f.NLL_KEPT, "ignore", "flagos-ai/FlagGems#73: ignored rows are counted in the mean", ORDINARY)
def ignored_rows_counted(z: Array, y: Array) -> Array:
    return (softmax(z) - one_hot(y, z)) * (y >= 0)[:, None] / len(y)


@wrong(losses.SEQUENCES, "reduction", "THUDM/slime#987: the scale of a loss per token", ORDINARY)
def mean_over_sequences_not_tokens(z: Array, y: Array) -> Array:
    return (softmax(z) - (y[..., None] == np.arange(z.shape[-1]))) / max(len(y), 1)


@wrong(
    f.NLL_MEAN.on(f.Z[:1], f.Y[:1]),
    "reduction",
    "TRI-ML/KP2D#14: where the batch is 1, squeeze squeezes the axis of the batch",
    CORNER,
)
def one_row_squeezed(z: Array, y: Array) -> Array:
    batch = np.atleast_1d(np.squeeze(z))
    return (softmax(z) - one_hot(y, z)) / max(len(batch), 1)


# --- algebra ------------------------------------------------------------------------------------------------


@wrong(f.NLL_MEAN, "algebra", "deeplearning4j/deeplearning4j#345: labels minus probabilities", EVERYWHERE)
def sign_flipped(z: Array, y: Array) -> Array:
    return (one_hot(y, z) - softmax(z)) / max(len(y), 1)


@wrong(f.NLL_MEAN, "algebra", "vlfeat/matconvnet#292: a softmax backward without any label in it", EVERYWHERE)
def labels_not_subtracted(z: Array, y: Array) -> Array:
    return softmax(z) / max(len(y), 1)


@wrong(f.NLL_MEAN, "algebra", "peterroelants/peterroelants.github.io#24: a minus lost half-way", EVERYWHERE)
def labels_added(z: Array, y: Array) -> Array:
    return (softmax(z) + one_hot(y, z)) / max(len(y), 1)


@wrong(f.LOG_LOSS, "algebra", "davharris/mistnet#29: the minus of C = -sum y log a", EVERYWHERE)
def minus_of_the_log_dropped(a: Array, y: Array) -> Array:
    return one_hot(y, a) / a


@wrong(f.NLL_MEAN, "algebra", "markroxor/fromscratchtoml#65: softmax gradient off by two", EVERYWHERE)
def doubled(z: Array, y: Array) -> Array:
    return 2 * (softmax(z) - one_hot(y, z)) / max(len(y), 1)


@wrong(f.NLL_TEMPERED, "temperature", "apache/mxnet#11466: the extra factor 1/T of softmax(z / T)", EVERYWHERE)
def temperature_forgotten(z: Array, y: Array) -> Array:
    return (softmax(z / f.TEMPERATURE) - one_hot(y, z)) / max(len(y), 1)


@wrong(f.CROSS_ENTROPY_SOFT, "soft labels", "kvark/meganeura#102: labels that do not sum to one", ORDINARY)
def labels_assumed_to_sum_to_one(z: Array, y: Array) -> Array:
    return (softmax(z) - y) / max(len(y), 1)


@wrong(f.LOG_SOFTMAX, "algebra", "mlpack/mlpack#3468: sum of the cotangent taken as one", ORDINARY)
def cotangent_assumed_to_sum_to_one(z: Array, cotangent: Array) -> Array:
    return cotangent - softmax(z)


@wrong(
    f.NLL_MEAN,
    "algebra",
    "nfmcclure/tensorflow_cookbook#86: softmax of what is a softmax already",
    EVERYWHERE,
)
def softmax_taken_twice(z: Array, y: Array) -> Array:
    return (softmax(softmax(z)) - one_hot(y, z)) / max(len(y), 1)


# --- jacobian: what becomes of the other output neurons -----------------------------------------------------


@wrong(f.NLL_MEAN, "jacobian", "deeplearning4j/nd4j#1328: gradient 0 wherever the label is 0", ORDINARY)
def only_the_active_neuron(z: Array, y: Array) -> Array:
    return (softmax(z) - one_hot(y, z)) * one_hot(y, z) / max(len(y), 1)


@wrong(f.NLL_MEAN, "jacobian", "pjreddie/darknet#96: gradient of the output copied to the input", EVERYWHERE)
@np.errstate(divide="ignore", invalid="ignore")
def no_jacobian_at_all(z: Array, y: Array) -> Array:
    return -one_hot(y, z) / softmax(z) / max(len(y), 1)


@wrong(f.SOFTMAX, "jacobian", "deeplearning4j/libnd4j#440: only a (1 - a), the diagonal", ORDINARY)
def jacobian_diagonal_only(z: Array, cotangent: Array) -> Array:
    a = softmax(z)
    return a * (1 - a) * cotangent


@wrong(f.SOFTMAX, "jacobian", "HomericIntelligence/Odyssey#2134: the dot product is missing", ORDINARY)
def jacobian_without_dot_product(z: Array, cotangent: Array) -> Array:
    return softmax(z) * cotangent


@wrong(f.SOFTMAX, "jacobian", "mantasu/cs231n#10: a (1 - a) or a (a - 1)?", ORDINARY)
def cross_term_sign(z: Array, cotangent: Array) -> Array:
    a = softmax(z)
    return a * (cotangent + (a * cotangent).sum(axis=-1, keepdims=True))


@wrong(f.LOG_SOFTMAX, "jacobian", "uxlfoundation/oneDNN#616: softmax's dot product in logsoftmax", ORDINARY)
def log_softmax_with_the_dot_product_of_softmax(z: Array, cotangent: Array) -> Array:
    return cotangent - (cotangent * f.log_softmax(z)).sum(axis=-1, keepdims=True)


@wrong(f.SOFTMAX, "jacobian", "gorgonia/gorgonia#488: only the front part is computed", ORDINARY)
def first_row_for_all_rows(z: Array, cotangent: Array) -> Array:
    a = softmax(z)
    front = a * (cotangent - (a * cotangent).sum(axis=-1, keepdims=True))
    return np.repeat(front[:1], len(z), axis=0)


# --- labels -------------------------------------------------------------------------------------------------


@wrong(f.NLL_MEAN, "labels", "mlverse/torch#681: one-based labels read as zero-based", ORDINARY)
def labels_off_by_one(z: Array, y: Array) -> Array:
    return (softmax(z) - one_hot((y + 1) % z.shape[1], z)) / max(len(y), 1)


@wrong(f.NLL_KEPT, "ignore", "Theano/Theano#3042: a negative label reaches the last class", ORDINARY)
def ignored_label_wraps(z: Array, y: Array) -> Array:
    return (softmax(z) * (y >= 0)[:, None] - one_hot(y, z)) / np.maximum((y >= 0).sum(), 1)


@wrong(f.NLL_MEAN, "labels", "jfzhang95/pytorch-deeplab-xception#20: a label rewritten to class 0", ORDINARY)
def last_class_taken_for_background(z: Array, y: Array) -> Array:
    return (softmax(z) - one_hot(np.where(y == z.shape[1] - 1, 0, y), z)) / max(len(y), 1)


@wrong(f.CROSS_ENTROPY_SOFT, "soft labels", "AlexeyAB/darknet#5207: any label but 0 counts as 1", ORDINARY)
def soft_labels_hardened(z: Array, y: Array) -> Array:
    hard = (y != 0).astype(z.dtype)
    return (softmax(z) * hard.sum(axis=1, keepdims=True) - hard) / max(len(y), 1)


@wrong(f.PICK, "labels", "HIPS/autograd#39: an index that comes twice is counted once", CORNER)
def repeated_index_counted_once(table: Array, index: Array, cotangent: Array) -> Array:
    gradient = np.zeros_like(table)
    gradient[index] += cotangent
    return gradient


# --- axis ---------------------------------------------------------------------------------------------------


SOME_ROWS = f.NLL_MEAN.on(f.Z, f.Y, cases=f.softmax_nll(labels="index", rows=(1, 8)))


@wrong(SOME_ROWS, "axis", "deeplearning4j/deeplearning4j#345: softmax along dimension 0, not 1", ORDINARY)
def softmax_over_the_rows(z: Array, y: Array) -> Array:
    return (softmax(z.T).T - one_hot(y, z)) / max(len(y), 1)


@wrong(SOME_ROWS, "axis", "nntrainer/nntrainer#430: softmax over all axes at once", ORDINARY)
def softmax_over_the_whole_array(z: Array, y: Array) -> Array:
    return (softmax(z.reshape(-1)).reshape(z.shape) - one_hot(y, z)) / max(len(y), 1)


@wrong(f.SOFTMAX, "axis", "RubixML/ML#438: one Jacobian over classes and batch together", ORDINARY)
def dot_product_over_the_batch(z: Array, cotangent: Array) -> Array:
    a = softmax(z)
    return a * (cotangent - (a * cotangent).sum())


@wrong(
    f.NLL_EACH.on(f.Z[:3], f.Y[:3], cases=f.softmax_nll(labels="index", rows=4, classes=4)),
    "axis",
    "linkedin/Liger-Kernel#680: each row's cotangent belongs to that row",
    ORDINARY,
)
def cotangent_along_the_classes(z: Array, y: Array, cotangent: Array) -> Any:
    return (softmax(z) - one_hot(y, z)) * cotangent


@wrong(losses.SEQUENCES, "axis", "pytorch/pytorch#27626: of (B, T, K) logits, softmax over T", ORDINARY)
def softmax_over_the_time(z: Array, y: Array) -> Array:
    exponentials = np.exp(z - z.max(axis=1, keepdims=True, initial=-np.inf))
    a = exponentials / exponentials.sum(axis=1, keepdims=True)
    return (a - (y[..., None] == np.arange(z.shape[-1]))) / max(y.size, 1)


@wrong(
    f.NLL_MEAN.on(f.Z[:, :1], np.zeros(5, dtype=int)),
    "axis",
    "OpenNMT/OpenNMT-py#1094: squeeze is over-eager, here where there is one class",
    CORNER,
)
def one_class_squeezed(z: Array, y: Array) -> Array:
    a = softmax(np.atleast_1d(np.squeeze(z))).reshape(z.shape) if z.size else z
    return (a - one_hot(y, z)) / max(len(y), 1)
