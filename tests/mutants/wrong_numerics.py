"""Right algebra, wrong numbers: overflow, underflow, guards, precision, scale, ties, ragged blocks."""

from __future__ import annotations

import numpy as np

from . import forwards as f
from .forwards import one_hot, softmax
from .specimen import CORNER, EVERYWHERE, ORDINARY, Array, wrong

APART = f.Z + np.array([[0.0], [900.0], [0.0], [-900.0], [0.0]])  # exp(-900) is 0 in float64
FAR = 400 * f.Z  # exp(800) is infinite in float64
SURE = 20 * f.Z  # probabilities down to 1e-28

# --- overflow -----------------------------------------------------------------------------------------------


@wrong(f.NLL_MEAN.on(FAR, f.Y), "overflow", "FluxML/NNlib.jl#68: exp without the shift by the maximum", CORNER)
@np.errstate(over="ignore", invalid="ignore")
def no_shift(z: Array, y: Array) -> Array:
    exponentials = np.exp(z)
    return (exponentials / exponentials.sum(axis=1, keepdims=True) - one_hot(y, z)) / max(len(y), 1)


@wrong(
    f.NLL_MEAN.on((50 * f.Z).astype("f4"), f.Y, cases=f.softmax_nll(labels="index", dtype="float32")),
    "overflow",
    "jhcross/span-parser#2: exp overflows, in float32 from 88 on",
    CORNER,
)
@np.errstate(over="ignore", invalid="ignore")
def no_shift_in_float32(z: Array, y: Array) -> Array:
    exponentials = np.exp(z)
    return (exponentials / exponentials.sum(axis=1, keepdims=True) - one_hot(y, z)) / z.dtype.type(max(len(y), 1))


@wrong(f.SIGMOID.on(300 * f.X), "overflow", "jeshraghian/snntorch#433: exp(-x) / (1 + exp(-x))^2", CORNER)
@np.errstate(over="ignore", invalid="ignore")
def sigmoid_derivative_overflows(x: Array, cotangent: Array) -> Array:
    exponentials = np.exp(-x)
    return cotangent * exponentials / (1 + exponentials) ** 2


@wrong(
    f.NLL_MEAN.on(FAR, f.Y),
    "overflow",
    "shogun-toolbox/shogun#2889: shifted by the minimum instead of the maximum",
    CORNER,
)
@np.errstate(over="ignore", invalid="ignore")
def shifted_by_the_minimum(z: Array, y: Array) -> Array:
    exponentials = np.exp(z - z.min(axis=1, keepdims=True))
    return (exponentials / exponentials.sum(axis=1, keepdims=True) - one_hot(y, z)) / max(len(y), 1)


# --- underflow ----------------------------------------------------------------------------------------------


@wrong(
    f.NLL_MEAN.on(APART, f.Y),
    "underflow",
    "manassharma07/crysx_nn#7: maximum of the array, not of the row",
    CORNER,
)
@np.errstate(invalid="ignore")
def maximum_of_the_whole_array(z: Array, y: Array) -> Array:
    exponentials = np.exp(z - z.max(initial=-np.inf))
    return (exponentials / exponentials.sum(axis=1, keepdims=True) - one_hot(y, z)) / max(len(y), 1)


@wrong(f.LOG_SOFTMAX.on(FAR), "underflow", "clab/dynet#218: exp(t) d / exp(t) is NaN where exp(t) is 0", CORNER)
@np.errstate(invalid="ignore")
def weighted_by_zero_over_zero(z: Array, cotangent: Array) -> Array:
    a = softmax(z)
    return cotangent - a * (a * cotangent / a).sum(axis=-1, keepdims=True)


# --- guards against either: what they do to the gradient -----------------------------------------------------


@wrong(
    f.NLL_BLURRED,
    "underflow",
    "mlpack/mlpack#1070: log(a + eps) in the loss, nothing of it in the gradient",
    ORDINARY,
)
def log_guard_only_in_the_loss(z: Array, y: Array) -> Array:
    return (softmax(z) - one_hot(y, z)) / max(len(y), 1)


@wrong(
    f.NLL_CLIPPED,
    "underflow",
    "ayrna/skordinal#122: the floor under the log is active, the gradient is not 0",
    CORNER,
)
def floor_only_in_the_loss(z: Array, y: Array) -> Array:
    return (softmax(z) - one_hot(y, z)) / max(len(y), 1)


@wrong(
    f.NLL_MEAN.on(SURE, f.Y),
    "underflow",
    "DrBigMau/LSTM-from-Scratch-in-Python#1: output clipped to 1e-7",
    CORNER,
)
def probabilities_clipped(z: Array, y: Array) -> Array:
    return (np.clip(softmax(z), f.CLIP, 1 - f.CLIP) - one_hot(y, z)) / max(len(y), 1)


@wrong(
    f.NLL_MEAN.on(SURE, f.Y),
    "underflow",
    "keras-team/keras#9664: gradient 0 where the prediction is sure",
    CORNER,
)
def small_gradients_dropped(z: Array, y: Array) -> Array:
    gradient = (softmax(z) - one_hot(y, z)) / max(len(y), 1)
    return np.where(np.abs(gradient) < f.CLIP, 0.0, gradient)


@wrong(f.NLL_MEAN, "underflow", "open-edge-platform/geti#1507: division by the sum plus epsilon", EVERYWHERE)
def epsilon_in_the_denominator(z: Array, y: Array) -> Array:
    exponentials = np.exp(z - z.max(axis=1, keepdims=True))
    return (exponentials / (exponentials.sum(axis=1, keepdims=True) + f.BLUR) - one_hot(y, z)) / max(len(y), 1)


@wrong(f.NLL_MEAN.on(SURE, f.Y), "overflow", "AITIAL/OpenWhiz#50: a clamp that training needs changes it", CORNER)
def logits_clamped(z: Array, y: Array) -> Array:
    return (softmax(np.clip(z, -30.0, 30.0)) - one_hot(y, z)) / max(len(y), 1)


# --- precision ----------------------------------------------------------------------------------------------


@wrong(
    f.NLL_MEAN,
    "precision",
    "keras-team/keras-core#922: a loss that casts to float32 whatever it is given",
    EVERYWHERE,
)
def float32_inside(z: Array, y: Array) -> Array:
    low = z.astype(np.float32)
    return ((softmax(low) - one_hot(y, low)) / np.float32(max(len(y), 1))).astype(z.dtype)


@wrong(
    f.NLL_MEAN.on(f.Z.astype("f4"), f.Y, cases=f.softmax_nll(labels="index", dtype="float32")),
    "precision",
    "jax-ml/jax#40128: rounded to the low precision before the reduction",
    EVERYWHERE,
)
def float16_inside(z: Array, y: Array) -> Array:
    exponentials = np.exp(z - z.max(axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
    a = exponentials / exponentials.sum(axis=1, keepdims=True)
    return (a - one_hot(y, z)) / np.float32(max(len(y), 1))


@wrong(
    f.GELU,
    "precision",
    "huggingface/candle#1160: the constants of GELU's derivative, to six digits",
    EVERYWHERE,
)
def constants_to_six_digits(x: Array, cotangent: Array) -> Array:
    t = np.tanh(0.797885 * x + 0.0356774 * x**3)
    return cotangent * (0.5 * (1 + t) + (0.398942 * x + 0.0535161 * x**3) * (1 - t**2))


@wrong(f.LINEAR, "precision", "apple/ml-cross-entropy#14: accumulated in the lower precision", EVERYWHERE)
def weights_accumulated_in_float32(h: Array, w: Array, b: Array, cotangent: Array) -> tuple[Array, Array, Array]:
    low = h.astype(np.float32).T @ cotangent.astype(np.float32)
    return cotangent @ w.T, low.astype(w.dtype), cotangent.sum(axis=0)


# --- scale --------------------------------------------------------------------------------------------------


@wrong(f.SMALL_SQUARE, "scale", "tiny-dnn/tiny-dnn#871: both gradients were 0 and everything passed", EVERYWHERE)
def zero_where_the_scale_is_small(x: Array, cotangent: Array) -> Array:
    return np.zeros_like(x)


@wrong(f.HALF_SQUARE, "scale", "pytorch/pytorch#57166: only few entries differ", EVERYWHERE)
def one_entry_a_twentieth_too_large(x: Array, cotangent: Array) -> Array:
    gradient = x * cotangent
    gradient[-1:, -1:] *= 1.05
    return gradient


@wrong(f.HALF_SQUARE, "scale", "PaddlePaddle/Paddle#4054: a relative error of 0.5 is let through", EVERYWHERE)
def everything_a_third_too_small(x: Array, cotangent: Array) -> Array:
    return 0.67 * x * cotangent


# --- ties ---------------------------------------------------------------------------------------------------

TIED = np.array([[1.0, 1.0, -0.5], [0.2, 0.7, 0.7]])


@wrong(f.ROW_MAX.on(TIED), "ties", "Theano/Theano#4568: every maximum gets the whole cotangent", CORNER)
def every_tied_maximum_in_full(x: Array, cotangent: Array) -> Array:
    return (x == x.max(axis=-1, keepdims=True)) * cotangent[:, None]


@wrong(
    f.ROW_MAX.on(np.array([[1.0, 0.999, -0.5]])),
    "ties",
    "mni-ml/framework#22: maxima found within 1e-2",
    CORNER,
)
def maxima_within_a_tolerance(x: Array, cotangent: Array) -> Array:
    close = x >= x.max(axis=-1, keepdims=True) - 1e-2
    return close / close.sum(axis=-1, keepdims=True) * cotangent[:, None]


@wrong(
    f.ROW_MAX.on(np.array([[0.5, 0.5, 0.5], [0.2, 0.7, -0.7]])),
    "ties",
    "apache/mxnet#18563: wrong where the elements are all the same",
    CORNER,
)
def all_of_a_constant_row_in_full(x: Array, cotangent: Array) -> Array:
    top = x == x.max(axis=-1, keepdims=True)
    share = np.where(top.all(axis=-1, keepdims=True), 1, top.sum(axis=-1, keepdims=True))
    return top / share * cotangent[:, None]


@wrong(
    f.LEAKY_RELU.on(np.array([[0.0, 1.2, -0.4]])),
    "ties",
    "BVLC/caffe#1334: at the kink, neither derivative nor anything between the two",
    CORNER,
)
def both_branches_at_the_kink(x: Array, cotangent: Array) -> Array:
    return cotangent * (1.0 * (x >= 0) + f.SLOPE * (x <= 0))


# --- tail block -------------------------------------------------------------------------------------------------

BLOCK = 4


@wrong(
    f.NLL_MEAN,
    "tail block",
    "tenstorrent/tt-metal#54561: rows after the last full tile are not written",
    ORDINARY,
)
def ragged_tail_not_written(z: Array, y: Array) -> Array:
    gradient = np.zeros_like(z)
    for start in range(0, len(z) // BLOCK * BLOCK, BLOCK):
        rows = slice(start, start + BLOCK)
        gradient[rows] = (softmax(z[rows]) - one_hot(y[rows], z[rows])) / len(y)
    return gradient


@wrong(f.LINEAR, "tail block", "karpathy/llm.c#439: a halving reduction that holds for powers of two only", ORDINARY)
def bias_summed_by_halving(h: Array, w: Array, b: Array, cotangent: Array) -> tuple[Array, Array, Array]:
    partial = cotangent.copy()
    while len(partial) > 1:
        half = len(partial) // 2
        partial = partial[:half] + partial[half : 2 * half]
    return cotangent @ w.T, h.T @ cotangent, partial.sum(axis=0)
