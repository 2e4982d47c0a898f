"""Wrong gradients of the layers under the softmax: linear, penalty, activations, normalisation."""

from __future__ import annotations

import numpy as np

from . import forwards as f
from .specimen import EVERYWHERE, ORDINARY, Array, wrong

# --- linear: z = h W + b ------------------------------------------------------------------------------------


@wrong(f.LINEAR, "linear", "mlpack/mlpack#3679: bias gradient not summed over the batch", EVERYWHERE, "structure")
def bias_not_summed(h: Array, w: Array, b: Array, cotangent: Array) -> tuple[Array, Array, Array]:
    return cotangent @ w.T, h.T @ cotangent, cotangent.copy()


@wrong(f.LINEAR, "linear", "kvfrans/notes#5: bias gradient averaged, not summed", ORDINARY)
def bias_averaged(h: Array, w: Array, b: Array, cotangent: Array) -> tuple[Array, Array, Array]:
    return cotangent @ w.T, h.T @ cotangent, cotangent.sum(axis=0) / max(len(h), 1)


@wrong(f.MATMUL, "linear", "iamtrask/Grokking-Deep-Learning#23: weight gradient transposed, W square", EVERYWHERE)
def weight_gradient_transposed(h: Array, w: Array, cotangent: Array) -> tuple[Array, Array]:
    return cotangent @ w.T, cotangent.T @ h


@wrong(
    f.MATMUL,
    "linear",
    "nntile/nntile#433: W and its transpose confused, unseen while W is square",
    EVERYWHERE,
)
def weights_not_transposed(h: Array, w: Array, cotangent: Array) -> tuple[Array, Array]:
    return cotangent @ w, h.T @ cotangent


@wrong(
    f.MATMUL.on(f.H[:3], f.W, cases=f.like(f.H[:3], f.W)),
    "linear",
    "tensorflow/swift-apis#332: the two cotangents returned in the other order",
    EVERYWHERE,
)
def cotangents_swapped(h: Array, w: Array, cotangent: Array) -> tuple[Array, Array]:
    return h.T @ cotangent, cotangent @ w.T


@wrong(f.MLP, "linear", "kim-marcel/basic_neural_network#7: hidden error from weights already updated", EVERYWHERE)
def hidden_error_from_updated_weights(x: Array, w1: Array, w2: Array, cotangent: Array) -> tuple[Array, ...]:
    hidden = np.tanh(x @ w1)
    w2_gradient = hidden.T @ cotangent
    below = (cotangent @ (w2 - 0.1 * w2_gradient).T) * (1 - hidden**2)
    return below @ w1.T, x.T @ below, w2_gradient


@wrong(f.MLP, "linear", "dennybritz/nn-from-scratch#3: tanh' taken at the wrong layer's z", EVERYWHERE)
def derivative_at_the_wrong_layer(x: Array, w1: Array, w2: Array, cotangent: Array) -> tuple[Array, ...]:
    hidden = np.tanh(x @ w1)
    below = (cotangent @ w2.T) * (1 - np.tanh(hidden @ w2) ** 2)
    return below @ w1.T, x.T @ below, hidden.T @ cotangent


@wrong(f.MLP, "linear", "unda-ml/unda#1: data of the previous layer used for the current one", EVERYWHERE)
def weight_gradient_from_the_layer_below(x: Array, w1: Array, w2: Array, cotangent: Array) -> tuple[Array, ...]:
    hidden = np.tanh(x @ w1)
    below = (cotangent @ w2.T) * (1 - hidden**2)
    return below @ w1.T, x.T @ below, x.T @ cotangent


# --- penalty: 1/2 |h W + b - t|^2 + RIDGE |W|^2 -------------------------------------------------------------


def _fit(w: Array, b: Array, h: Array, t: Array) -> tuple[Array, Array]:
    residual = h @ w + b - t
    return h.T @ residual, residual.sum(axis=0)


@wrong(f.RIDGE_LOSS, "penalty", "jingtinghuang/CS231n-Spring-2017#3: factor 2 missing", EVERYWHERE)
def penalty_without_factor_two(w: Array, b: Array, h: Array, t: Array) -> tuple[Array, Array]:
    w_gradient, b_gradient = _fit(w, b, h, t)
    return w_gradient + f.RIDGE * w, b_gradient


@wrong(f.RIDGE_LOSS, "penalty", "andersbll/nnet#4: the decay subtracted", EVERYWHERE)
def penalty_subtracted(w: Array, b: Array, h: Array, t: Array) -> tuple[Array, Array]:
    w_gradient, b_gradient = _fit(w, b, h, t)
    return w_gradient - 2 * f.RIDGE * w, b_gradient


@wrong(f.RIDGE_LOSS, "penalty", "thtrieu/qclass_dl#3: the bias decays too", EVERYWHERE)
def penalty_on_the_bias(w: Array, b: Array, h: Array, t: Array) -> tuple[Array, Array]:
    w_gradient, b_gradient = _fit(w, b, h, t)
    return w_gradient + 2 * f.RIDGE * w, b_gradient + 2 * f.RIDGE * b


@wrong(f.RIDGE_LOSS, "penalty", "JingzhaoZhang/why-clipping-accelerates#3: not the penalty of the loss", EVERYWHERE)
def penalty_forgotten(w: Array, b: Array, h: Array, t: Array) -> tuple[Array, Array]:
    return _fit(w, b, h, t)


# --- activation ---------------------------------------------------------------------------------------------


@wrong(f.SIGMOID, "activation", "PacktPublishing/Neural-Network-Projects-with-Python#4: x (1 - x)", EVERYWHERE)
def sigmoid_derivative_of_the_input(x: Array, cotangent: Array) -> Array:
    return cotangent * x * (1 - x)


@wrong(f.SIGMOID, "activation", "Bot-Academy/NeuralNetworkFromScratch#3: sigmoid' left out", EVERYWHERE)
def sigmoid_derivative_missing(x: Array, cotangent: Array) -> Array:
    return cotangent.copy()


@wrong(f.SIGMOID, "activation", "nicodjimenez/lstm#41: a plus proposed for the minus", EVERYWHERE)
def sigmoid_derivative_with_a_plus(x: Array, cotangent: Array) -> Array:
    a = f.sigmoid(x)
    return cotangent * a * (1 + a)


@wrong(f.TANH, "activation", "scutan90/DeepLearning-500-questions#466: a square missing in tanh'", ORDINARY)
def tanh_derivative_without_the_square(x: Array, cotangent: Array) -> Array:
    return cotangent * (1 - np.tanh(x))


@wrong(f.TANH, "activation", "gy910210/neural-network-from-scratch#2: tanh taken for tan", ORDINARY)
def tanh_taken_for_tan(x: Array, cotangent: Array) -> Array:
    return cotangent * (1 + np.tanh(x) ** 2)


@wrong(f.RELU, "activation", "denggaoshan/DeepLearningStudy#1: relu' is not 0 below 0", ORDINARY)
def relu_derivative_is_one(x: Array, cotangent: Array) -> Array:
    return cotangent.copy()


@wrong(f.STEEP_RELU, "activation", "pytorch/pytorch#33639: a negative slope hides the input's sign", ORDINARY)
def mask_from_the_output(x: Array, cotangent: Array) -> Array:
    return np.where(f.steep_relu(x) > 0, cotangent, f.STEEP * cotangent)


@wrong(f.SOFT_RELU, "activation", "PaddlePaddle/Paddle#18678: the limit compared with the output", ORDINARY)
def limit_compared_with_the_output(x: Array, cotangent: Array) -> Array:
    out = f.soft_relu(x)
    return np.where(np.abs(out) < f.LIMIT, cotangent * (1 - np.exp(-out)), 0.0)


@wrong(f.LAYER_NORM, "norm layers", "BVLC/caffe#1891: one path of the derivative is missing", ORDINARY)
def variance_held_constant(x: Array, cotangent: Array) -> Array:
    deviation = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
    return (cotangent - cotangent.mean(axis=-1, keepdims=True)) / deviation


@wrong(
    f.ROW_SUM,
    "contract",
    "ooples/AiDotNet.Tensors#234: not the shape of the argument",
    EVERYWHERE,
    "structure",
)
def cotangent_not_broadcast_back(x: Array, cotangent: Array) -> Array:
    return cotangent[:, None].copy()


@wrong(
    f.ADD.on(f.H, f.B, cases=f.like(f.H, f.B)),
    "contract",
    "deeplearning4j/nd4j#2424: a broadcast argument's gradient not summed",
    EVERYWHERE,
    "structure",
)
def broadcast_argument_not_summed(x: Array, y: Array, cotangent: Array) -> tuple[Array, Array]:
    return cotangent.copy(), cotangent.copy()
