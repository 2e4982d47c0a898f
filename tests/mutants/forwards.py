"""The functions whose gradients the specimens get right or wrong.

Plain NumPy, as its users write it, in a form that is sound on the whole domain of its cases: what is wrong
with a specimen is its backward, never its forward. N rows, K classes; logits ``z`` (N, K); labels ``y``, (N,)
or (N, K).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis.strategies import SearchStrategy

from gradcheck import strategies as gst

from .specimen import Array, Cases, Forward

TEMPERATURE = 2.5
SMALL = 1e-6  # the factor with which torch.autograd.gradcheck's absolute tolerance passes a gradient of zero
SLOPE = 0.1
STEEP = -2.0
RIDGE = 0.3
LIMIT = 3.0
CLIP = 1e-7
BLUR = 1e-8


def softmax_nll(**options: Any) -> Cases:
    """Return cases of logits and labels."""
    return lambda: gst.softmax_nll(**options)


def like(*example: Any) -> Cases:
    """Return cases that resemble the example: floats vary, integer data stay."""
    return lambda: gst.like(*example)


def logits(**options: Any) -> Cases:
    """Return cases of logits alone, as a tuple of one argument."""

    def cases() -> SearchStrategy[Any]:
        return gst.arguments(gst.logits(**options))

    return cases


def softmax(z: Array) -> Array:
    exponentials = np.exp(z - z.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def log_softmax(z: Array) -> Array:
    shifted = z - z.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def one_hot(y: Array, z: Array) -> Array:
    rows = np.zeros_like(z)
    rows[np.arange(len(y)), y] = 1
    return rows


def nll_each(z: Array, y: Array) -> Any:
    return -log_softmax(z)[np.arange(len(y)), y]


def nll_sum(z: Array, y: Array) -> Any:
    return nll_each(z, y).sum()


def nll_mean(z: Array, y: Array) -> Any:
    return nll_each(z, y).sum() / max(len(y), 1)


def cross_entropy(z: Array, y: Array) -> Any:
    return -(y * log_softmax(z)).sum() / max(len(y), 1)


def nll_weighted(z: Array, y: Array) -> Any:
    weights = 1.0 + np.arange(z.shape[-1])
    return (weights[y] * nll_each(z, y)).sum() / weights[y].sum()


def nll_kept(z: Array, y: Array) -> Any:
    kept = y >= 0
    return np.where(kept, nll_each(z, y), 0.0).sum() / np.maximum(kept.sum(), 1)


def nll_tempered(z: Array, y: Array) -> Any:
    return nll_mean(z / TEMPERATURE, y)


def nll_clipped(z: Array, y: Array) -> Any:
    return -np.log(np.maximum(softmax(z)[np.arange(len(y)), y], CLIP)).sum() / max(len(y), 1)


def nll_blurred(z: Array, y: Array) -> Any:
    return -np.log(softmax(z)[np.arange(len(y)), y] + BLUR).sum() / max(len(y), 1)


def log_loss(a: Array, y: Array) -> Any:
    return -np.log(a[np.arange(len(y)), y]).sum()


def _likelihoods() -> SearchStrategy[Any]:
    """Draw (a, y) with every a in [0.1, 0.9], where log_loss is defined."""
    return gst.like(Z, Y).map(lambda case: (0.5 + 0.4 * np.tanh(case[0]), case[1]))


def linear(h: Array, w: Array, b: Array) -> Any:
    return h @ w + b


def matmul(h: Array, w: Array) -> Any:
    return h @ w


def mlp(x: Array, w1: Array, w2: Array) -> Any:
    return np.tanh(x @ w1) @ w2


def ridge(w: Array, b: Array, h: Array, t: Array) -> Any:
    return 0.5 * ((h @ w + b - t) ** 2).sum() + RIDGE * (w**2).sum()


def row_sum(x: Array) -> Any:
    return x.sum(axis=-1)


def row_max(x: Array) -> Any:
    return x.max(axis=-1)


def pick(table: Array, index: Array) -> Any:
    return table[index]


def add(x: Array, y: Array) -> Any:
    return x + y


def relu(x: Array) -> Any:
    return np.maximum(x, 0.0)


def leaky_relu(x: Array) -> Any:
    return np.where(x > 0, x, SLOPE * x)


def steep_relu(x: Array) -> Any:
    return np.where(x > 0, x, STEEP * x)


def hard_tanh(x: Array) -> Any:
    return np.minimum(np.maximum(x, -1.0), 1.0)


def soft_relu(x: Array) -> Any:
    return np.log(1.0 + np.exp(np.minimum(np.maximum(x, -LIMIT), LIMIT)))


def sigmoid(x: Array) -> Any:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def sigmoid_by_cases(x: Array) -> Any:
    """Return the sigmoid by its two stable branches; at 0, abs has a kink and the sigmoid has none."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def tanh(x: Array) -> Any:
    return np.tanh(x)


def gelu(x: Array) -> Any:
    return 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


def layer_norm(x: Array) -> Any:
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)


def small_square(x: Array) -> Any:
    return SMALL * x**2


def half_square(x: Array) -> Any:
    return 0.5 * x**2


Z = np.array([[0.3, -1.2, 2.0], [1.1, 0.4, -0.7], [-0.5, 0.9, 0.2], [2.2, -0.3, 0.6], [0.1, -1.9, -0.8]])
Y = np.array([2, 0, 1, 1, 2])
SOFT = np.array([[0.5, 0.2, 0.1], [0.9, 0.3, 0.0], [0.2, 0.2, 0.4], [0.0, 1.5, 0.0], [0.1, 0.1, 0.1]])
H = np.array([[0.7, -0.4, 1.1], [-1.3, 0.2, 0.5], [0.6, 0.9, -0.8], [0.3, -1.6, 0.4], [-0.2, 0.8, 1.7]])
W = np.array([[0.2, -0.9, 0.5], [1.4, 0.3, -0.6], [-0.7, 0.8, 0.1]])
B = np.array([0.4, -0.2, 0.9])
X = np.array([[0.5, -1.5, 0.8, -4.5], [-0.3, 2.0, -0.9, 1.2], [0.4, -0.6, 3.5, -2.2]])

NLL_EACH = Forward(nll_each, "vjp", (Z, Y), softmax_nll(labels="index"))
NLL_SUM = Forward(nll_sum, "loss", (Z, Y), softmax_nll(labels="index"))
NLL_MEAN = Forward(nll_mean, "loss", (Z, Y), softmax_nll(labels="index"))
CROSS_ENTROPY = Forward(cross_entropy, "loss", (Z, one_hot(Y, Z)), softmax_nll(labels="one-hot"))
CROSS_ENTROPY_SOFT = CROSS_ENTROPY.on(Z, SOFT, cases=like(Z, SOFT))
NLL_WEIGHTED = Forward(nll_weighted, "loss", (Z, Y), like(Z, Y))
NLL_KEPT = Forward(nll_kept, "loss", (Z, Y - 1), like(Z, Y - 1))
NLL_TEMPERED = Forward(nll_tempered, "loss", (Z, Y), softmax_nll(labels="index"))
NLL_CLIPPED = Forward(nll_clipped, "loss", (10 * Z, Y), softmax_nll(labels="index"))
NLL_BLURRED = Forward(nll_blurred, "loss", (Z, Y), like(Z, Y))
LOG_LOSS = Forward(log_loss, "loss", (0.5 + 0.4 * np.tanh(Z), Y), _likelihoods)
SOFTMAX = Forward(softmax, "vjp", (Z,), logits())
LOG_SOFTMAX = Forward(log_softmax, "vjp", (Z,), logits())
LINEAR = Forward(linear, "vjp", (H, W, B), like(H, W, B), (0, 1, 2))
MATMUL = Forward(matmul, "vjp", (H, W), like(H, W), (0, 1))
MLP = Forward(mlp, "vjp", (H, W, W[::-1] * 0.5), like(H, W, W[::-1] * 0.5), (0, 1, 2))
RIDGE_LOSS = Forward(ridge, "loss", (W, B, H, 0.5 * H), like(W, B, H, 0.5 * H), (0, 1))
ROW_SUM = Forward(row_sum, "vjp", (X,), like(X))
ROW_MAX = Forward(row_max, "vjp", (X,), logits())
PICK = Forward(pick, "vjp", (H, np.array([3, 0, 2, 0])), like(H, np.array([3, 0, 2, 0])))
ADD = Forward(add, "vjp", (H, 0.5 - H), like(H, 0.5 - H), (0, 1))
RELU = Forward(relu, "vjp", (X,), like(X))
LEAKY_RELU = Forward(leaky_relu, "vjp", (X,), like(X))
STEEP_RELU = Forward(steep_relu, "vjp", (X,), like(X))
HARD_TANH = Forward(hard_tanh, "vjp", (X,), like(X))
SOFT_RELU = Forward(soft_relu, "vjp", (X,), like(X))
SIGMOID = Forward(sigmoid, "vjp", (X,), like(X))
SIGMOID_BY_CASES = Forward(sigmoid_by_cases, "vjp", (X,), like(X))
TANH = Forward(tanh, "vjp", (X,), like(X))
GELU = Forward(gelu, "vjp", (X,), like(X))
LAYER_NORM = Forward(layer_norm, "vjp", (X,), like(X))
SMALL_SQUARE = Forward(small_square, "vjp", (X,), like(X))
HALF_SQUARE = Forward(half_square, "vjp", (X,), like(X))
