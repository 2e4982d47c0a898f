"""Rules that no mistake was tuned on: a convolution along time with a bias, and a contrastive loss of pairs.

Whoever writes or changes a mistake leaves this file unread: it says what is to be expected of rules that nobody has
seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from _diagnosis_subject import Subject, ordinary, over_sizes

import gradcheck

# --- a convolution along time: x (N, T, C), W (width, C, channels), b (channels,) -> (N, T - width + 1, channels) ---


def convolved(x: Any, W: Any, b: Any) -> tuple[Any, Any]:
    steps = x.shape[1] - W.shape[0] + 1
    out = b + sum(x[:, k : k + steps] @ W[k] for k in range(W.shape[0]))
    return out, (x, W)


def convolved_backward(dout: Any, cache: Any) -> Any:
    x, W = cache
    steps = dout.shape[1]
    dx, dW = np.zeros_like(x), np.zeros_like(W)
    for k in range(W.shape[0]):
        dx[:, k : k + steps] += dout @ W[k].T
        dW[k] = np.tensordot(x[:, k : k + steps], dout, axes=((0, 1), (0, 1)))
    return dx, dW, dout.sum(axis=(0, 1))


def _convolution_example(n: int, t: int, c: int, width: int, channels: int) -> Any:
    return ordinary(n + 10 * t, (n, t, c), (width, c, channels), (channels,))


# --- pairs u, v (N, D): each row of u must find its own among all rows of v -----------------------------------------


def _likely(u: Any, v: Any, temperature: float) -> Any:
    s = u @ v.T / temperature
    return (
        s
        - np.log(np.sum(np.exp(s - s.max(axis=1, keepdims=True)), axis=1, keepdims=True))
        - s.max(axis=1, keepdims=True)
    )


def contrast(u: Any, v: Any, *, temperature: float, decay: float = 0.0) -> Any:
    own = np.trace(_likely(u, v, temperature))
    return -own / len(u) + decay / 2 * (np.sum(u * u) + np.sum(v * v))


def contrast_grad(u: Any, v: Any, *, temperature: float, decay: float = 0.0) -> Any:
    ds = (np.exp(_likely(u, v, temperature)) - np.eye(len(u))) / (len(u) * temperature)
    return ds @ v + decay * u, ds.T @ u + decay * v


HELD_OUT = (
    Subject(
        "held out: convolution",
        lambda: gradcheck.from_forward_backward(convolved, convolved_backward, argnums=(0, 1, 2), name="convolution"),
        over_sizes([(2, 5, 2, 3, 4), (3, 4, 1, 2, 2), (1, 3, 2, 2, 3), (4, 6, 3, 1, 2)], _convolution_example),
    ),
    Subject(
        "held out: contrast",
        lambda: gradcheck.from_loss(contrast, contrast_grad, argnums=(0, 1), name="contrast"),
        over_sizes([(3, 2), (2, 4), (4, 4), (5, 3)], lambda n, d: ordinary(n, (n, d), (n, d))),
        {"temperature": 0.5, "decay": 0.05},
    ),
)
