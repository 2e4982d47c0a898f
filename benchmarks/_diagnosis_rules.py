"""Sixteen unlike right rules that mistakes are put into, written as their users write them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _diagnosis_subject import Subject, ordinary, over_sizes
from hypothesis import strategies as st

import gradcheck
from gradcheck import derivations
from gradcheck import strategies as gst

IGNORED, PADDED = -100, -1
SIZES = [(2, 3, 4), (4, 4, 4), (1, 5, 2), (6, 2, 3), (3, 4, 3)]


def softmax(z: Any) -> Any:
    a = np.exp(z - z.max(axis=-1, keepdims=True))
    return a / a.sum(axis=-1, keepdims=True)


def log_softmax(z: Any) -> Any:
    shifted = z - z.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def one_hot(y: Any, classes: int) -> Any:
    return (np.asarray(y)[..., None] == np.arange(classes)).astype(float)


# --- softmax + NLL, its mean, and its losses row by row ---------------------------------------------------------------


def nll(z: Any, y: Any) -> Any:
    return -np.sum(log_softmax(z)[np.arange(len(y)), y]) / max(len(y), 1)


def nll_grad(z: Any, y: Any) -> Any:
    return (softmax(z) - one_hot(y, z.shape[1])) / max(len(y), 1)


def nll_rows(z: Any, y: Any) -> Any:
    return -log_softmax(z)[np.arange(len(y)), y]


def nll_rows_vjp(z: Any, y: Any, cotangent: Any) -> Any:
    return (softmax(z) - one_hot(y, z.shape[1])) * cotangent[:, None]


# --- a linear layer with a bias, under a mean squared error with L2 --------------------------------------------------


def ridge(x: Any, W: Any, b: Any, target: Any, *, l2: float) -> Any:
    return np.mean(np.sum((x @ W.T + b - target) ** 2, axis=1)) + l2 / 2 * np.sum(W * W)


def ridge_grad(x: Any, W: Any, b: Any, target: Any, *, l2: float) -> Any:
    dout = 2 * (x @ W.T + b - target) / len(x)
    return dout @ W, dout.T @ x + l2 * W, dout.sum(axis=0)


# --- a layer in the form forward / backward, with a cache ------------------------------------------------------------


def dense(x: Any, W: Any, b: Any) -> Any:
    out = np.tanh(x @ W + b)
    return out, (x, W, out)


def dense_backward(dout: Any, cache: Any) -> Any:
    x, W, out = cache
    dpre = dout * (1 - out * out)
    return dpre @ W.T, x.T @ dpre, dpre.sum(axis=0)


# --- functions of NumPy alone: a reduction of each row, and one of each number ---------------------------------------


def soft_norm(x: Any) -> Any:
    return np.sqrt(1.0 + np.sum(x * x, axis=-1))


def soft_norm_vjp(x: Any, cotangent: Any) -> Any:
    return x * (cotangent / soft_norm(x))[..., None]


def leaky(x: Any) -> Any:
    return np.where(x > 0, x, 0.1 * x)


def leaky_vjp(x: Any, cotangent: Any) -> Any:
    return cotangent * np.where(x > 0, 1.0, 0.1)


def largest(x: Any) -> Any:
    return np.max(x, axis=-1)


def largest_vjp(x: Any, cotangent: Any) -> Any:
    """Give all of it to the first of the largest."""
    return one_hot(np.argmax(x, axis=-1), x.shape[-1]) * cotangent[..., None]


def softmax_vjp(z: Any, cotangent: Any) -> Any:
    a = softmax(z)
    return a * (cotangent - (a * cotangent).sum(axis=-1, keepdims=True))


def log_softmax_vjp(z: Any, cotangent: Any) -> Any:
    return cotangent - softmax(z) * cotangent.sum(axis=-1, keepdims=True)


# --- attention: three matrices, and a softmax between two products ---------------------------------------------------


def attention(q: Any, k: Any, v: Any) -> Any:
    return softmax(q @ k.T / np.sqrt(q.shape[1])) @ v


def attention_vjp(q: Any, k: Any, v: Any, cotangent: Any) -> Any:
    a = softmax(q @ k.T / np.sqrt(q.shape[1]))
    ds = softmax_vjp(q @ k.T / np.sqrt(q.shape[1]), cotangent @ v.T) / np.sqrt(q.shape[1])
    return ds @ k, ds.T @ q, a.T @ cotangent


# --- a teacher's soft labels, with T^2 so that gradients do not shrink -----------------------------------------------


def distil(z: Any, teacher: Any, *, temperature: float) -> Any:
    p = softmax(teacher / temperature)
    rows = np.sum(p * (log_softmax(teacher / temperature) - log_softmax(z / temperature)))
    return temperature**2 * rows / max(len(z), 1)


def distil_grad(z: Any, teacher: Any, *, temperature: float) -> Any:
    return temperature * (softmax(z / temperature) - softmax(teacher / temperature)) / max(len(z), 1)


# --- a network of two layers, its parameters in a dict ---------------------------------------------------------------


def network(params: Any, x: Any, y: Any, *, l2: float) -> Any:
    h = np.tanh(x @ params["W1"].T + params["b1"])
    decay = np.sum(params["W1"] ** 2) + np.sum(params["W2"] ** 2)
    return nll(h @ params["W2"].T + params["b2"], y) + l2 / 2 * decay


def network_grad(params: Any, x: Any, y: Any, *, l2: float) -> Any:
    h = np.tanh(x @ params["W1"].T + params["b1"])
    dz = nll_grad(h @ params["W2"].T + params["b2"], y)
    dh = dz @ params["W2"] * (1 - h * h)
    return {
        "W1": dh.T @ x + l2 * params["W1"],
        "W2": dz.T @ h + l2 * params["W2"],
        "b1": dh.sum(axis=0),
        "b2": dz.sum(axis=0),
    }


# --- rules of many options, all given as keywords ---------------------------------------------------------------------


def _of(derivation: Callable[..., Any], name: str, reference: Any) -> Callable[[], gradcheck.Rule]:
    """Make a rule with a reference that JAX can trace, options too: without one, shrinking takes seconds more."""
    return lambda: gradcheck.from_pullback(derivation, name=name, argnums=0, reference=reference)


def _mean_with_options(
    z: Any, y: Any, *, ignore_index: int, label_smoothing: float, weights: Any, temperature: float
) -> Any:
    onehot = (y[:, None] == jnp.arange(z.shape[1])) * 1.0
    kept = jnp.where((y != ignore_index)[:, None], weights * 1.0, 0.0)
    smooth = (1 - label_smoothing) * onehot + label_smoothing / z.shape[1]
    divisor = jnp.sum(kept * onehot)
    return -jnp.sum(kept * smooth * jax.nn.log_softmax(z / temperature)) / jnp.where(divisor > 0, divisor, 1.0)


def _sum_over_tokens(z: Any, y: Any, *, ignore_index: int, z_loss: float, **_: Any) -> Any:
    onehot = y[..., None] == jnp.arange(z.shape[-1])
    rows = z_loss * jax.nn.logsumexp(z, axis=-1) ** 2 - jnp.sum(onehot * jax.nn.log_softmax(z), axis=-1)
    return jnp.sum(jnp.where(y != ignore_index, rows, 0.0))


def _mean_in_blocks(z: Any, y: Any, *, ignore_index: int, **_: Any) -> Any:
    onehot = y[:, None] == jnp.arange(z.shape[1])
    return -jnp.sum(onehot * jax.nn.log_softmax(z)) / jnp.maximum(jnp.sum(y != ignore_index), 1)


def _teachers() -> st.SearchStrategy[Any]:
    def beside(args: Any) -> st.SearchStrategy[Any]:
        n, k = args[0].shape
        return gst.logits(rows=n, classes=k, regimes=("ordinary",))

    return gst.arguments(gst.logits(), gst.Dependent("teacher()", "nothing else", beside))


def _network_example(n: int, h: int, k: int) -> Any:
    return derivations.init_params((h, 3, k), seed=n, dtype="float64"), *ordinary(n, (n, h)), np.arange(n) % k


def _layer_example(n: int, h: int, k: int, *, across: bool) -> Any:
    return ordinary(n, (n, h), (k, h) if across else (h, k), (k,))


def _ridge_example(n: int, h: int, k: int) -> Any:
    return ordinary(n, (n, h), (k, h), (k,), (n, k))


def _attention_example(n: int, d: int, m: int) -> Any:
    return ordinary(n, (n, d), (m, d), (m, 2))


def _vjp(name: str, forward: Any, vjp: Any, argnums: Any = 0) -> Callable[[], gradcheck.Rule]:
    return lambda: gradcheck.from_vjp(forward, vjp, argnums=argnums, name=name)


def _numbers() -> st.SearchStrategy[Any]:
    return gst.arguments(gst.logits())


RULES = (
    Subject("nll mean", lambda: gradcheck.from_loss(nll, nll_grad, name="nll mean"), gst.softmax_nll),
    Subject("nll rows", _vjp("nll rows", nll_rows, nll_rows_vjp), gst.softmax_nll),
    Subject(
        "nll with options",
        _of(derivations.softmax_nll.log_softmax, "nll with options", _mean_with_options),
        partial(gst.softmax_nll, classes=3, ignore_index=IGNORED),
        {
            "ignore_index": IGNORED,
            "label_smoothing": 0.1,
            "weights": np.array([0.5, 1.0, 2.0]),
            "temperature": 2.0,
        },
    ),
    Subject(
        "nll of tokens",
        _of(derivations.softmax_nll.fused, "nll of tokens", _sum_over_tokens),
        partial(gst.softmax_nll, sequences=True, ignore_index=PADDED),
        {"ignore_index": PADDED, "z_loss": 0.01, "reduction": "sum"},
    ),
    Subject(
        "nll in blocks",
        _of(derivations.softmax_nll.streaming, "nll in blocks", _mean_in_blocks),
        partial(gst.softmax_nll, ignore_index=PADDED),
        {"block": 4, "ignore_index": PADDED},
    ),
    Subject(
        "distillation",
        lambda: gradcheck.from_loss(distil, distil_grad, name="distillation"),
        _teachers,
        {"temperature": 4.0},
    ),
    Subject(
        "ridge",
        lambda: gradcheck.from_loss(ridge, ridge_grad, argnums=(0, 1, 2), name="ridge"),
        over_sizes(SIZES, _ridge_example, vary=(0, 1, 2, 3)),
        {"l2": 0.1},
    ),
    Subject(
        "network",
        lambda: gradcheck.from_loss(network, network_grad, name="network"),
        over_sizes(SIZES, _network_example, vary=(0, 1)),
        {"l2": 0.1},
    ),
    Subject(
        "dense tanh layer",
        lambda: gradcheck.from_forward_backward(dense, dense_backward, argnums=(0, 1, 2), name="dense tanh layer"),
        over_sizes(SIZES, partial(_layer_example, across=False)),
    ),
    Subject(
        "linear",
        lambda: gradcheck.from_pullback(derivations.linear, name="linear"),
        over_sizes(SIZES, partial(_layer_example, across=True)),
    ),
    Subject("soft norm of rows", _vjp("soft norm of rows", soft_norm, soft_norm_vjp), _numbers),
    Subject("leaky ReLU", _vjp("leaky ReLU", leaky, leaky_vjp), _numbers),
    Subject("largest of rows", _vjp("largest of rows", largest, largest_vjp), _numbers),
    Subject("softmax", _vjp("softmax", softmax, softmax_vjp), _numbers),
    Subject("log-softmax", _vjp("log-softmax", log_softmax, log_softmax_vjp), _numbers),
    Subject("attention", _vjp("attention", attention, attention_vjp, (0, 1, 2)), over_sizes(SIZES, _attention_example)),
)
