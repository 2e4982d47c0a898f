"""Rules that no mistake was tuned on: layers and reductions here, losses of rows in `_diagnosis_held_out_losses`.

Whoever writes or changes a mistake leaves these two files unread: they say what is to be expected of rules that nobody
has seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from _diagnosis_held_out_losses import LOSSES
from _diagnosis_subject import Arguments, Subject, ordinary, over_sizes
from hypothesis import strategies as st

import gradcheck
from gradcheck import strategies as gst

# --- a convolution along time: x (N, T, C), W (width, C, channels), b (channels,) -> (N, T - width + 1, channels) -----


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


def _convolution_example(n: int, t: int, c: int, width: int, channels: int) -> Arguments:
    return ordinary(n + 10 * t, (n, t, c), (width, c, channels), (channels,))


# --- each row normalised to mean 0 and variance 1, then a gain and a bias: x (N, D), gain (D,), bias (D,) -------------


def layer_norm(x: Any, gain: Any, bias: Any, *, eps: float) -> tuple[Any, Any]:
    centred = x - x.mean(axis=1, keepdims=True)
    scale = 1 / np.sqrt(np.mean(centred**2, axis=1, keepdims=True) + eps)
    unit = centred * scale
    return gain * unit + bias, (unit, scale, gain)


def layer_norm_backward(dout: Any, cache: Any) -> Any:
    unit, scale, gain = cache
    dunit = dout * gain
    along = np.mean(dunit * unit, axis=1, keepdims=True)
    dx = scale * (dunit - dunit.mean(axis=1, keepdims=True) - along * unit)
    return dx, np.einsum("nd,nd->d", dout, unit), np.einsum("nd->d", dout)


# --- a gate for each column, from a row of parameters: x (N, D), gate (D,) --------------------------------------------


def gated(x: Any, gate: Any) -> Any:
    return x / (1 + np.exp(-gate))


def gated_vjp(x: Any, gate: Any, cotangent: Any) -> Any:
    open_ = 1 / (1 + np.exp(-gate))
    return cotangent * open_, (cotangent * x).sum(axis=0) * open_ / (1 + np.exp(gate))


# --- rows of a table by their numbers, with a bias: table (V, D), bias (D,), index (N,) -> (N, D) ---------------------


def looked_up(table: Any, bias: Any, index: Any) -> tuple[Any, Callable[[Any], Any]]:
    def pullback(cotangent: Any) -> Any:
        dtable = np.zeros_like(table)
        np.add.at(dtable, index, cotangent)
        return dtable, cotangent.sum(axis=0)

    return table[index] + bias, pullback


def _look_up_example(rows: int, width: int, *index: int) -> Arguments:
    return *ordinary(rows + width, (rows, width), (width,)), np.array(index)


# --- how well users like items: users (M, D), items (M, D), who (N,), what (N,) -> (N,) -------------------------------


def liked(users: Any, items: Any, who: Any, what: Any) -> Any:
    return np.sum(users[who] * items[what], axis=1)


def liked_vjp(users: Any, items: Any, who: Any, what: Any, cotangent: Any) -> Any:
    dusers, ditems = np.zeros(users.shape), np.zeros(items.shape)
    for at, (i, j) in enumerate(zip(who, what, strict=True)):
        dusers[i] += cotangent[at] * items[j]
        ditems[j] += cotangent[at] * users[i]
    return dusers, ditems


def _liked_example(users: int, items: int, width: int, n: int) -> Arguments:
    return *ordinary(n, (users, width), (items, width)), np.arange(n) % users, (np.arange(n) ** 2) % items


# --- softmax and its logarithm, of one row, of heads (H, N, K), and of rows -------------------------------------------


def weights_of(scores: Any) -> tuple[Any, Callable[[Any], Any]]:
    e = np.exp(scores - np.max(scores))
    p = e / np.sum(e)
    return p, lambda cotangent: p * (cotangent - np.dot(p, cotangent))


def heads(scores: Any) -> tuple[Any, Any]:
    shifted = scores - np.max(scores, axis=2, keepdims=True)
    a = np.exp(shifted) / np.sum(np.exp(shifted), axis=2, keepdims=True)
    return a, a


def heads_backward(dout: Any, a: Any) -> Any:
    return np.einsum("hnk,hnk->hnk", a, dout) - np.einsum("hnk,hnj,hnj->hnk", a, a, dout)


def log_rows(z: Any) -> Any:
    return z - np.logaddexp.reduce(z, axis=-1)[..., None]


def log_rows_vjp(z: Any, cotangent: Any) -> Any:
    dz = np.empty_like(z)
    for i, row in enumerate(z):
        e = np.exp(row - row.max())
        dz[i] = cotangent[i] - cotangent[i].sum() * e / e.sum()
    return dz


# --- the positive parts of a row, added up from left to right ---------------------------------------------------------


def ramped(x: Any) -> Any:
    return np.cumsum(np.maximum(x, 0), axis=-1)


def ramped_vjp(x: Any, cotangent: Any) -> Any:
    later = np.flip(np.cumsum(np.flip(cotangent, -1), axis=-1), -1)
    return np.where(x > 0, later, 0.0)


# --- absolute values, summed over each row ----------------------------------------------------------------------------


def taxicab(x: Any) -> Any:
    return np.abs(x).sum(axis=-1)


def taxicab_vjp(x: Any, cotangent: Any) -> Any:
    return np.multiply(np.sign(x), np.expand_dims(cotangent, -1))


# --- the larger one of each two neighbours: x (N, 2 T) -> (N, T) ------------------------------------------------------


def pooled(x: Any) -> Any:
    return np.maximum(x[:, 0::2], x[:, 1::2])


def pooled_vjp(x: Any, cotangent: Any) -> Any:
    dx = np.zeros_like(x)
    left, right = x[:, 0::2], x[:, 1::2]
    dx[:, 0::2] = np.where(left >= right, cotangent, 0.0)
    dx[:, 1::2] = np.where(left >= right, 0.0, cotangent)
    return dx


# --- each row averaged as time goes on: x (N, T) ----------------------------------------------------------------------


def averaged(x: Any, *, momentum: float) -> Any:
    steps = [x[:, 0]]
    for t in range(1, x.shape[1]):
        steps.append(momentum * steps[-1] + (1 - momentum) * x[:, t])
    return np.stack(steps, axis=1)


def averaged_vjp(x: Any, cotangent: Any, *, momentum: float) -> Any:
    dx, carried = np.empty_like(x), np.zeros(len(x))
    for t in reversed(range(x.shape[1])):
        carried = cotangent[:, t] + momentum * carried
        dx[:, t] = carried * (1 - momentum) if t else carried
    return dx


# --- how far each entry of a row is from the first, squashed: x (N, D) ------------------------------------------------


def from_first(x: Any) -> Any:
    return np.tanh(x - x[:, :1])


def from_first_vjp(x: Any, cotangent: Any) -> Any:
    dx = cotangent * (1 - from_first(x) ** 2)
    dx[:, 0] = -dx[:, 1:].sum(axis=1)
    return dx


def _numbers() -> st.SearchStrategy[Any]:
    return gst.arguments(gst.logits())


def _shapes(*shapes: tuple[int, ...]) -> Callable[[], st.SearchStrategy[Any]]:
    return over_sizes(list(shapes), lambda *shape: ordinary(len(shape), shape))


LAYERS = (
    Subject(
        "held out: convolution",
        lambda: gradcheck.from_forward_backward(convolved, convolved_backward, argnums=(0, 1, 2), name="convolution"),
        over_sizes([(2, 5, 2, 3, 4), (3, 4, 1, 2, 2), (1, 3, 2, 2, 3), (4, 6, 3, 1, 2)], _convolution_example),
    ),
    Subject(
        "held out: layer norm",
        lambda: gradcheck.from_forward_backward(layer_norm, layer_norm_backward, argnums=(0, 1, 2), name="layer norm"),
        over_sizes([(3, 4), (1, 3), (4, 4), (5, 2)], lambda n, d: ordinary(n, (n, d), (d,), (d,))),
        {"eps": 0.125},
    ),
    Subject(
        "held out: gate",
        lambda: gradcheck.from_vjp(gated, gated_vjp, name="gate"),
        over_sizes([(3, 4), (1, 3), (4, 4), (5, 1)], lambda n, d: ordinary(n, (n, d), (d,))),
    ),
    Subject(
        "held out: look-up",
        lambda: gradcheck.from_pullback(looked_up, name="look-up"),
        over_sizes([(3, 2, 1, 1, 0, 2), (4, 4, 3, 0, 3, 3), (2, 3, 1), (5, 1, 4, 2, 2)], _look_up_example),
    ),
    Subject(
        "held out: liked",
        lambda: gradcheck.from_vjp(liked, liked_vjp, argnums=(0, 1), name="liked"),
        over_sizes([(3, 4, 2, 5), (2, 2, 3, 4), (4, 3, 4, 7), (1, 2, 1, 3)], _liked_example),
    ),
    Subject(
        "held out: weights of one row",
        lambda: gradcheck.from_pullback(weights_of, name="weights of one row"),
        _shapes((4,), (2,), (7,)),
    ),
    Subject(
        "held out: heads",
        lambda: gradcheck.from_forward_backward(heads, heads_backward, name="heads"),
        _shapes((2, 3, 4), (1, 2, 2), (3, 1, 5), (2, 4, 4)),
    ),
    Subject("held out: log rows", lambda: gradcheck.from_vjp(log_rows, log_rows_vjp, name="log rows"), _numbers),
    Subject(
        "held out: ramp", lambda: gradcheck.from_vjp(ramped, ramped_vjp, name="ramp"), _shapes((3, 4), (2, 2), (1, 5))
    ),
    Subject("held out: taxicab", lambda: gradcheck.from_vjp(taxicab, taxicab_vjp, name="taxicab"), _numbers),
    Subject(
        "held out: pairs pooled",
        lambda: gradcheck.from_vjp(pooled, pooled_vjp, name="pairs pooled"),
        _shapes((3, 4), (1, 2), (4, 4), (2, 6)),
    ),
    Subject(
        "held out: running average",
        lambda: gradcheck.from_vjp(averaged, averaged_vjp, name="running average"),
        _shapes((3, 4), (1, 3), (4, 4), (2, 5)),
        {"momentum": 0.75},
    ),
    Subject(
        "held out: from the first",
        lambda: gradcheck.from_vjp(from_first, from_first_vjp, name="from the first"),
        _shapes((3, 4), (1, 3), (4, 4), (5, 2)),
    ),
)

HELD_OUT = (*LAYERS, *LOSSES)
