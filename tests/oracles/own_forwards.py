"""Thirty losses and layers in NumPy, written as people write them, and the same functions for JAX.

No two do it alike on purpose: labels become one-hot by assignment or index a row, work is done in place, with ``out=``,
by loops, by boolean masks. The last three use what exact numbers cannot go through.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special  # type: ignore[import-untyped]  # it comes without types
from numpy import logaddexp
from scipy.special import gammaln, log_softmax, softmax

RNG = np.random.default_rng(20)
Z, Y = 2.0 * RNG.normal(size=(4, 5)), np.array([1, 4, 0, 1])
X, W, B = RNG.normal(size=(4, 3)), RNG.normal(size=(3, 5)), RNG.normal(size=5)
T = RNG.normal(size=(4, 5))
PROBABILITIES = scipy.special.softmax(RNG.normal(size=(4, 5)), axis=1)
BITS = (RNG.random((4, 5)) < 0.4).astype(float)


@dataclass(frozen=True)
class Case:
    """A forward, the same for JAX (None where it is not served), and what both are called with."""

    forward: Callable[..., Any]
    twin: Callable[..., Any] | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    argnums: tuple[int, ...] = (0,)
    stops_at: str = ""


# Losses on logits and integer labels.


def one_hot_by_assignment(z: Any, y: Any) -> Any:
    n = len(y)
    one_hot = np.zeros(z.shape)
    one_hot[np.arange(n), y] = 1
    z = z - z.max(axis=1, keepdims=True)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return -np.sum(one_hot * np.log(p)) / n


def with_out(z: Any, y: Any) -> Any:
    shifted = np.empty_like(z)
    np.subtract(z, z.max(axis=1)[:, None], out=shifted)
    picked = shifted[np.arange(len(y)), y].copy()
    np.exp(shifted, out=shifted)
    total = shifted.sum(axis=1)
    np.log(total, out=total)
    return np.mean(total - picked)


def in_place_on_its_input(z: Any, y: Any) -> Any:
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=1, keepdims=True)
    return -np.log(z[np.arange(len(y)), y]).mean()


def ignored_rows(z: Any, y: Any, *, ignore_index: int = -100) -> Any:
    losses = np.zeros(len(y))
    count = 0
    for i in range(len(y)):
        if y[i] == ignore_index:
            continue
        top = max(z[i])
        losses[i] = np.log(np.sum(np.exp(z[i] - top))) + top - z[i, y[i]]
        count += 1
    return losses.sum() / max(count, 1)


def label_smoothing(z: Any, y: Any, smoothing: float = 0.1) -> Any:
    n, k = z.shape
    target = np.full((n, k), smoothing / k)
    target[np.arange(n), y] += 1 - smoothing
    logp = z - scipy.special.logsumexp(z, axis=1, keepdims=True)
    return -(target * logp).sum(axis=1)


def focal(z: Any, y: Any, gamma: float = 2.0) -> Any:
    p = softmax(z, axis=1)
    pt = np.take_along_axis(p, y[:, None], axis=1).squeeze(1)
    return np.mean(-((1 - pt) ** gamma) * np.log(np.clip(pt, 1e-12, 1.0)))


def hinge_by_loops(z: Any, y: Any) -> Any:
    loss = 0.0
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            if j == y[i]:
                continue
            margin = z[i, j] - z[i, y[i]] + 1
            if margin > 0:
                loss += margin
    return float(loss / z.shape[0])


def hinge_vectorised(z: Any, y: Any) -> Any:
    rows = np.arange(len(z))
    margins = np.maximum(0, z - z[rows, y][:, np.newaxis] + 1)
    margins[rows, y] = 0
    return np.sum(margins) / len(z)


def runner_up_margin(z: Any, y: Any) -> Any:
    rows = np.arange(z.shape[0])
    others = z.copy()
    others[rows, y] = -np.inf
    best = np.argmax(others, axis=1)
    return np.maximum(0.0, 1.0 + z[rows, best] - z[rows, y]).mean()


def with_math(z: Any, y: Any) -> Any:
    total = 0.0
    for row, label in zip(z, y, strict=True):
        largest = max(float(x) for x in row)
        total += math.log(sum(math.exp(x - largest) for x in row)) - (row[label] - largest)
    return total


# Losses on predictions and targets.


def stable_bce(z: Any, t: Any) -> Any:
    z = np.asarray(z, dtype=np.float64)
    return np.mean(np.where(z >= 0, z * (1 - t) + np.log1p(np.exp(-np.abs(z))), -z * t + np.log1p(np.exp(-np.abs(z)))))


def masked_sigmoid(z: Any, t: Any) -> Any:
    p = np.zeros_like(z)
    pos = z >= 0
    p[pos] = 1 / (1 + np.exp(-z[pos]))
    p[~pos] = np.exp(z[~pos]) / (1 + np.exp(z[~pos]))
    eps = np.finfo(z.dtype).eps
    p = np.clip(p, eps, 1 - eps)
    return -np.sum(t * np.log(p) + (1 - t) * np.log(1 - p))


def kullback_leibler(z: Any, t: Any) -> Any:
    logq = log_softmax(z, axis=-1)
    return np.sum(np.where(t > 0, t * (np.log(t) - logq), 0.0))


def distillation(z: Any, teacher: Any, temperature: float = 3.0) -> Any:
    def soften(a: Any) -> Any:
        e = np.exp((a - np.max(a, axis=1, keepdims=True)) / temperature)
        return e / np.sum(e, axis=1, keepdims=True)

    return -(soften(teacher) * np.log(soften(z))).sum() * temperature**2 / len(z)


def huber(p: Any, t: Any, delta: float = 1.0) -> Any:
    error = p - t
    small = np.abs(error) <= delta
    return np.where(small, 0.5 * error**2, delta * (np.abs(error) - 0.5 * delta)).mean()


def pinball(p: Any, t: Any, quantile: float = 0.9) -> Any:
    d = t - p
    return np.mean(np.maximum(quantile * d, (quantile - 1) * d))


def squared_error(x: Any, w: Any, t: Any) -> Any:
    residual = np.einsum("ij,jk->ik", x, w) - t
    return 0.5 * np.einsum("ij,ij->", residual, residual) / residual.size


def poisson(rate: Any, k: Any) -> Any:
    rate = np.exp(rate)
    return np.sum(rate - k * np.log(rate) + gammaln(k + 1))


def gaussian(mean: Any, log_variance: Any, t: Any) -> Any:
    inverse = np.exp(-log_variance)
    return 0.5 * (np.log(2 * np.pi) + log_variance + (t - mean) ** 2 * inverse).sum(axis=1)


def dice(z: Any, t: Any, smooth: float = 1.0) -> Any:
    p = scipy.special.expit(z).ravel()
    t = t.ravel()
    overlap = (p * t).sum()
    return 1 - (2.0 * overlap + smooth) / (p.sum() + t.sum() + smooth)


def cosine(a: Any, b: Any) -> Any:
    a = a / np.linalg.norm(a, axis=1, keepdims=True)
    b = b / np.linalg.norm(b, axis=1, keepdims=True)
    return 1.0 - np.sum(a * b, axis=1)


def triplet(anchor: Any, positive: Any, negative: Any, margin: float = 0.5) -> Any:
    loss: Any = 0.0
    for a, p, n in zip(anchor, positive, negative, strict=True):
        loss += max(np.linalg.norm(a - p) - np.linalg.norm(a - n) + margin, 0.0)
    return loss / len(anchor)


# Layers.


def linear_relu(x: Any, w: Any, b: Any) -> Any:
    out = x @ w + b
    out[out < 0] = 0
    return out


def tanh_mlp(params: Any, x: Any) -> Any:
    h = np.tanh(x.dot(params["W1"]) + params["b1"])
    return {"scores": h.dot(params["W2"]), "penalty": 1e-3 * sum(np.sum(p**2) for p in params.values())}


def layer_norm(x: Any, gamma: Any, beta: Any) -> Any:
    mu = x.mean(axis=-1, keepdims=True)
    var = np.var(x, axis=-1, keepdims=True)
    return gamma * (x - mu) / np.sqrt(var + 1e-5) + beta


def batch_norm(x: Any, gamma: Any, beta: Any) -> Any:
    centred = x - np.mean(x, axis=0)
    std = np.std(x, axis=0)
    std += 1e-8
    return (centred / std) * gamma + beta


def rms_norm_of_attention(q: Any, k: Any, v: Any) -> Any:
    scores = np.matmul(q, k.T) / np.sqrt(q.shape[-1])
    scores[np.triu_indices(len(q), 1)] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    out = weights @ v
    return out / np.sqrt(np.mean(np.square(out), axis=-1, keepdims=True) + 1e-6)


def convolution(x: Any, w: Any, b: Any) -> Any:
    (_, height, width), (filters, _, kh, kw) = x.shape, w.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    out = np.zeros((filters, height, width))
    for f in range(filters):
        for i in range(height):
            for j in range(width):
                out[f, i, j] = np.sum(padded[:, i : i + kh, j : j + kw] * w[f]) + b[f]
    return np.maximum(out, 0)


def alignment(z: Any, y: Any) -> Any:
    """The negative log-likelihood of a sequence with blanks between labels, summed over all alignments."""
    logp = z - logaddexp.reduce(z, axis=1)[:, None]
    extended = [0]
    for label in y:
        extended += [int(label), 0]
    alpha = np.full(len(extended), -np.inf)
    alpha[0], alpha[1] = logp[0, 0], logp[0, extended[1]]
    for t in range(1, len(z)):
        before = alpha.copy()
        for s in range(len(extended)):
            a = before[s]
            if s > 0:
                a = np.logaddexp(a, before[s - 1])
            if s > 1 and extended[s] != 0 and extended[s] != extended[s - 2]:
                a = np.logaddexp(a, before[s - 2])
            alpha[s] = a + logp[t, extended[s]]
    return -np.logaddexp(alpha[-1], alpha[-2])


def bag_of_embeddings(table: Any, words: Any, bags: Any) -> Any:
    total = np.zeros((bags.max() + 1, table.shape[1]))
    np.add.at(total, bags, table[words])
    return total / np.bincount(bags)[:, None]


# What exact numbers cannot go through.


def full_covariance(a: Any, x: Any) -> Any:
    cov = a @ a.T + np.eye(len(a))
    return 0.5 * x @ np.linalg.solve(cov, x) + 0.5 * np.linalg.slogdet(cov)[1]


def spectrum(x: Any) -> Any:
    power = np.abs(np.fft.rfft(x, axis=1)) ** 2
    return np.mean(power)


def calibrated(z: Any, knots: Any, heights: Any) -> Any:
    bent = np.interp(z, knots, heights)
    return bent.sum()


# The same for JAX.


def _nll(z: Any, y: Any) -> Any:
    return -jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1)[:, 0]


def _ignored(z: Any, y: Any, *, ignore_index: int = -100) -> Any:
    kept = y != ignore_index
    return jnp.sum(jnp.where(kept, _nll(z, jnp.where(kept, y, 0)), 0)) / jnp.sum(kept)


def _smoothed(z: Any, y: Any, smoothing: float = 0.1) -> Any:
    return (1 - smoothing) * _nll(z, y) - smoothing * jnp.mean(jax.nn.log_softmax(z), axis=1)


def _focal(z: Any, y: Any, gamma: float = 2.0) -> Any:
    nll = _nll(z, y)
    return jnp.mean((1 - jnp.exp(-nll)) ** gamma * nll)


def _hinge(z: Any, y: Any) -> Any:
    margins = jnp.maximum(0, z - z[jnp.arange(len(z)), y][:, None] + 1)
    return (jnp.sum(margins) - len(z)) / len(z)


def _runner_up(z: Any, y: Any) -> Any:
    mine = jnp.arange(z.shape[1])[None, :] == y[:, None]
    return jnp.mean(jnp.maximum(0, 1 + jnp.max(jnp.where(mine, -jnp.inf, z), 1) - z[jnp.arange(len(z)), y]))


def _bce(z: Any, t: Any) -> Any:
    return jnp.mean(jax.nn.softplus(z) - z * t)


def _kl(z: Any, t: Any) -> Any:
    return jnp.sum(jax.scipy.special.rel_entr(t, jax.nn.softmax(z)))


def _distillation(z: Any, teacher: Any, temperature: float = 3.0) -> Any:
    soft = jax.nn.softmax(teacher / temperature)
    return -jnp.sum(soft * jax.nn.log_softmax(z / temperature)) * temperature**2 / len(z)


def _huber(p: Any, t: Any, delta: float = 1.0) -> Any:
    size = jnp.abs(p - t)
    return jnp.mean(jnp.where(size <= delta, size**2 / 2, delta * size - delta**2 / 2))


def _pinball(p: Any, t: Any, quantile: float = 0.9) -> Any:
    return jnp.mean(jnp.where(t > p, quantile * (t - p), (1 - quantile) * (p - t)))


def _squared(x: Any, w: Any, t: Any) -> Any:
    return jnp.mean((x @ w - t) ** 2) / 2


def _poisson(rate: Any, k: Any) -> Any:
    return -jnp.sum(jax.scipy.stats.poisson.logpmf(k, jnp.exp(rate)))


def _gaussian(mean: Any, log_variance: Any, t: Any) -> Any:
    return -jax.scipy.stats.norm.logpdf(t, mean, jnp.exp(log_variance / 2)).sum(axis=1)


def _dice(z: Any, t: Any, smooth: float = 1.0) -> Any:
    p = jax.nn.sigmoid(z)
    return 1 - (2 * jnp.vdot(p, t) + smooth) / (jnp.sum(p) + jnp.sum(t) + smooth)


def _cosine(a: Any, b: Any) -> Any:
    return 1 - jax.vmap(lambda x, y: jnp.dot(x, y) / jnp.sqrt(jnp.dot(x, x) * jnp.dot(y, y)))(a, b)


def _triplet(anchor: Any, positive: Any, negative: Any, margin: float = 0.5) -> Any:
    near = jnp.sqrt(jnp.sum((anchor - positive) ** 2, axis=1))
    far = jnp.sqrt(jnp.sum((anchor - negative) ** 2, axis=1))
    return jnp.mean(jax.nn.relu(near - far + margin))


def _mlp(params: Any, x: Any) -> Any:
    squares = sum(jnp.vdot(p, p) for p in params.values())
    return {"scores": jnp.tanh(x @ params["W1"] + params["b1"]) @ params["W2"], "penalty": 1e-3 * squares}


def _layer_norm(x: Any, gamma: Any, beta: Any) -> Any:
    centred = x - jnp.mean(x, -1, keepdims=True)
    return gamma * centred * jax.lax.rsqrt(jnp.mean(centred**2, -1, keepdims=True) + 1e-5) + beta


def _batch_norm(x: Any, gamma: Any, beta: Any) -> Any:
    return gamma * (x - jnp.mean(x, 0)) / (jnp.sqrt(jnp.var(x, 0)) + 1e-8) + beta


def _attention(q: Any, k: Any, v: Any) -> Any:
    visible = jnp.tri(len(q), dtype=bool)
    out = jax.nn.softmax(q @ k.T / jnp.sqrt(q.shape[-1]), where=visible) @ v
    return out * jax.lax.rsqrt(jnp.mean(out**2, axis=-1, keepdims=True) + 1e-6)


def _convolution(x: Any, w: Any, b: Any) -> Any:
    out = jax.lax.conv(x[None], w, window_strides=(1, 1), padding="SAME")[0]
    return jax.nn.relu(out + b[:, None, None])


def _alignment(z: Any, y: Any) -> Any:
    """Sum over every path of length T by hand: each frame's label, repeats merged and blanks dropped."""
    frames, classes = z.shape
    logp = jax.nn.log_softmax(z)
    matching = []
    for path in np.ndindex(*(classes,) * frames):
        merged = [c for t, c in enumerate(path) if c and (t == 0 or c != path[t - 1])]
        if merged == list(y):
            matching.append(path)
    paths = jnp.array(matching)
    return -jax.scipy.special.logsumexp(logp[jnp.arange(frames), paths].sum(axis=1))


def _bags(table: Any, words: Any, bags: Any) -> Any:
    within = (jnp.arange(2)[:, None] == bags).astype(float)
    return within @ table[words] / jnp.sum(within, axis=1, keepdims=True)


PARAMS = {"W1": W[:, :4], "b1": B[:4], "W2": RNG.normal(size=(4, 2))}
CONV = RNG.normal(size=(2, 4, 3)), RNG.normal(size=(2, 2, 3, 3)), RNG.normal(size=2)
QKV = tuple(RNG.normal(size=(3, 4, 2)))

CASES = (
    Case(one_hot_by_assignment, lambda z, y: jnp.mean(_nll(z, y)), (Z, Y)),
    Case(with_out, lambda z, y: jnp.mean(_nll(z, y)), (Z, Y)),
    Case(in_place_on_its_input, lambda z, y: jnp.mean(_nll(z, y)), (Z, Y)),
    Case(ignored_rows, _ignored, (Z, np.array([1, 4, -7, 1])), {"ignore_index": -7}),
    Case(label_smoothing, _smoothed, (Z, Y)),
    Case(focal, _focal, (Z, Y)),
    Case(hinge_by_loops, _hinge, (Z, Y)),
    Case(hinge_vectorised, _hinge, (Z, Y)),
    Case(runner_up_margin, _runner_up, (Z, Y)),
    Case(with_math, lambda z, y: jnp.sum(_nll(z, y)), (Z, Y)),
    Case(stable_bce, _bce, (Z, BITS)),
    Case(masked_sigmoid, lambda z, t: z.size * _bce(z, t), (Z, BITS)),
    Case(kullback_leibler, _kl, (Z, PROBABILITIES)),
    Case(distillation, _distillation, (Z, T)),
    Case(huber, _huber, (Z, T)),
    Case(pinball, _pinball, (Z, T), {"quantile": 0.8}),
    Case(squared_error, _squared, (X, W, T), argnums=(0, 1)),
    Case(poisson, _poisson, (Z, np.arange(20.0).reshape(4, 5))),
    Case(gaussian, _gaussian, (Z, 0.3 * Z, T), argnums=(0, 1)),
    Case(dice, _dice, (Z, BITS)),
    Case(cosine, _cosine, (Z, T), argnums=(0, 1)),
    Case(triplet, _triplet, (X, -0.2 * X, 0.5 * X + 0.3), argnums=(0, 1, 2)),
    Case(linear_relu, lambda x, w, b: jax.nn.relu(x @ w + b), (X, W, B), argnums=(0, 1, 2)),
    Case(tanh_mlp, _mlp, (PARAMS, X)),
    Case(layer_norm, _layer_norm, (Z, B, T[0]), argnums=(0, 1, 2)),
    Case(batch_norm, _batch_norm, (Z, B, T[0]), argnums=(0, 1, 2)),
    Case(rms_norm_of_attention, _attention, QKV, argnums=(0, 1, 2)),
    Case(convolution, _convolution, CONV, argnums=(0, 1, 2)),
    Case(alignment, _alignment, (Z, np.array([2, 1]))),
    Case(bag_of_embeddings, _bags, (T, np.array([0, 3, 1, 3, 3]), np.array([0, 0, 1, 1, 1]))),
    Case(full_covariance, None, (W, B[:3]), stops_at="np.linalg.solve(cov, x)"),
    Case(spectrum, None, (Z,), stops_at="power = np.abs(np.fft.rfft(x, axis=1)) ** 2"),
    Case(calibrated, None, (Z, B, T[0]), stops_at="bent = np.interp(z, knots, heights)"),
)
