"""Losses that no mistake was tuned on: rows of logits, with labels, label weights, and options of many kinds.

Whoever writes or changes a mistake leaves this file unread, as `_diagnosis_held_out`, which lists its rules.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from _diagnosis_subject import Arguments, Subject, ordinary, over_sizes
from hypothesis import strategies as st

import gradcheck
from gradcheck import strategies as gst

IGNORED = -1

# --- the mean that classes weigh: z (N, K), y (N,), weights (K,) ------------------------------------------------------


def class_weighted(z: Any, y: Any, weights: Any) -> Any:
    top = z.max(axis=1)
    surprise = top + np.log(np.exp(z - top[:, None]).sum(axis=1)) - z[np.arange(len(y)), y]
    mass = weights[y].sum()
    return (weights[y] * surprise).sum() / np.where(mass > 0, mass, 1.0)


def class_weighted_grad(z: Any, y: Any, weights: Any) -> Any:
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    share = weights[y] / (weights[y].sum() or 1.0)
    return p * share[:, None]


# --- the mean that rows weigh, those to ignore left out, by a loop: z (N, K), y (N,), weights (N,) --------------------


def row_weighted(z: Any, y: Any, weights: Any) -> Any:
    total, mass = 0.0, 0.0
    for row, label, weight in zip(z, y, weights, strict=True):
        if label != IGNORED:
            total += weight * (np.logaddexp.reduce(row) - row[label])
            mass += weight
    return total / mass if mass else 0.0 * np.sum(z)


def row_weighted_grad(z: Any, y: Any, weights: Any) -> Any:
    dz = np.zeros_like(z)
    mass = sum(weight for label, weight in zip(y, weights, strict=True) if label != IGNORED)
    for i, label in enumerate(y):
        if label == IGNORED or not mass:
            continue
        below = z[i] - max(z[i])
        dz[i] = np.exp(below - np.logaddexp.reduce(below))
        dz[i, label] -= 1
        dz[i] *= weights[i] / mass
    return dz


def _weighed() -> st.SearchStrategy[Any]:
    def beside(args: Any) -> st.SearchStrategy[Any]:
        rows = len(args[0])
        return st.sampled_from([np.ones(rows), 0.25 + np.arange(rows) % 3, np.linspace(2.0, 0.5, rows)])

    labels = gst.labels(ignore_index=IGNORED)
    return gst.arguments(gst.logits(), labels, gst.Dependent("weights of rows", "nothing else", beside))


# --- rows one by one, smoothed, a block of rows at a time, and zero where the label is to be ignored ------------------


def smoothed_rows(z: Any, y: Any, *, label_smoothing: float) -> Any:
    out = [_smoothed_block(z[at : at + 3], y[at : at + 3], label_smoothing) for at in range(0, len(z), 3)]
    return np.concatenate(out) if out else np.zeros(0)


def _smoothed_block(z: Any, y: Any, label_smoothing: float) -> Any:
    shifted = z - z.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    own = np.take_along_axis(log_p, np.maximum(y, 0)[:, None], axis=1)[:, 0]
    rows = (label_smoothing - 1) * own - label_smoothing * log_p.mean(axis=1)
    return np.where(y == IGNORED, 0.0, rows)


def smoothed_rows_vjp(z: Any, y: Any, cotangent: Any, *, label_smoothing: float) -> Any:
    dz = np.empty_like(z)
    for at in range(0, len(z), 3):
        block = slice(at, at + 3)
        p = np.exp(z[block] - z[block].max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p -= label_smoothing / z.shape[1]
        p -= (1 - label_smoothing) * np.eye(z.shape[1])[y[block]]
        dz[block] = p * np.where(y[block] == IGNORED, 0.0, cotangent[block])[:, None]
    return dz


# --- tokens in sequences, z (B, T, K) over a temperature: the mean of those that are not padding ----------------------


def token_mean(z: Any, y: Any, *, temperature: float) -> Any:
    z = np.reshape(z / temperature, (-1, z.shape[-1]))
    y = np.reshape(y, -1)
    kept = y != IGNORED
    top = np.max(z, axis=-1)
    log_sum = np.log(np.einsum("nk->n", np.exp(z - top[:, None]))) + top
    own = np.sum(np.where(y[:, None] == np.arange(z.shape[-1]), z, 0.0), axis=-1)
    return np.sum(np.where(kept, log_sum - own, 0.0)) / max(np.count_nonzero(kept), 1)


def token_mean_grad(z: Any, y: Any, *, temperature: float) -> Any:
    kept = y != IGNORED
    p = np.exp((z - z.max(axis=-1, keepdims=True)) / temperature)
    p = p / np.einsum("btk->bt", p)[..., None]
    dz = kept[..., None] * (p - (y[..., None] == np.arange(z.shape[-1])))
    return dz / (temperature * max(int(np.count_nonzero(kept)), 1))


# --- label weights q (N, K) of any sums, row by row -------------------------------------------------------------------


def soft_rows(z: Any, q: Any) -> Any:
    log_sum = np.logaddexp.reduce(z, axis=1)
    return np.sum(q, axis=1) * log_sum - np.sum(q * z, axis=1)


def soft_rows_vjp(z: Any, q: Any, cotangent: Any) -> Any:
    below = z - z.max(axis=1, keepdims=True)
    a = np.exp(below - np.logaddexp.reduce(below, axis=1, keepdims=True))
    return cotangent[:, None] * (q.sum(axis=1, keepdims=True) * a - q)


# --- counts (N, K) under one softmax a row, their mean over the rows, with the square of the logarithm as a penalty ---


def counted(z: Any, counts: Any, *, z_loss: float) -> Any:
    top = z.max(axis=-1, keepdims=True)
    log_sum = np.log(np.sum(np.exp(z - top), axis=-1, keepdims=True)) + top
    rows = np.sum(counts * (log_sum - z), axis=-1) + z_loss * np.square(log_sum[..., 0])
    return np.sum(rows) / max(len(rows), 1)


def counted_grad(z: Any, counts: Any, *, z_loss: float) -> Any:
    top = z.max(axis=-1, keepdims=True)
    e = np.exp(z - top)
    total = np.sum(e, axis=-1, keepdims=True)
    dlog_sum = counts.sum(axis=-1, keepdims=True) + 2 * z_loss * (np.log(total) + top)
    return (dlog_sum * e / total - counts) / max(len(z), 1)


def _counts_example(n: int, k: int) -> Arguments:
    return *ordinary(n, (n, k)), np.random.default_rng(n).integers(0, 4, (n, k)).astype(float)


# --- label weights at a temperature, summed, in the form forward / backward with a cache ------------------------------


def tempered(z: Any, q: Any, temperature: float) -> Any:
    scaled = z / temperature
    shifted = scaled - scaled.max(axis=1)[:, None]
    e = np.exp(shifted)
    p = e / e.sum(axis=1)[:, None]
    return np.sum(q * (np.log(e.sum(axis=1))[:, None] - shifted)), (p, q, temperature)


def tempered_backward(dout: Any, cache: Any) -> Any:
    p, q, temperature = cache
    return dout / temperature * (q.sum(axis=1)[:, None] * p - q)


# --- no softmax: every class must stay one below the label, weighed by the label's class, z (N, K), y (N,) ------------


def margins(z: Any, y: Any, weights: Any) -> Any:
    rows = np.arange(len(y))
    over = np.maximum(z - z[rows, y][:, None] + 1.0, 0.0)
    own = y[:, None] == np.arange(z.shape[1])
    return np.sum(weights[y][:, None] * np.where(own, 0.0, over)) / np.sum(weights[y])


def margins_grad(z: Any, y: Any, weights: Any) -> Any:
    rows = np.arange(len(y))
    active = (z - z[rows, y][:, None] + 1.0 > 0).astype(float)
    active[rows, y] = 0.0
    active[rows, y] = -active.sum(axis=1)
    return active * (weights[y] / weights[y].sum())[:, None]


def _margins_example(n: int, k: int) -> Arguments:
    return *ordinary(n, (n, k)), (np.arange(n) * 2) % k, 0.5 + np.arange(k) % 3


# --- what each row contributes to the mean that classes weigh: z (N, K), y (N,), weights (K,) -> (N,) -----------------


def shares(z: Any, y: Any, weights: Any) -> Any:
    weight = np.take(weights, y)
    total = np.sum(weight)
    apart = z - np.take_along_axis(z, y[:, None], axis=1)
    top = np.amax(apart, axis=1)
    rows = top + np.log(np.sum(np.exp(apart - top[:, None]), axis=1))
    return weight / np.where(total > 0, total, 1.0) * rows


def shares_vjp(z: Any, y: Any, weights: Any, cotangent: Any) -> Any:
    weight = np.take(weights, y)
    total = np.sum(weight)
    dz = np.exp(z.T - np.amax(z, axis=1))
    dz /= np.sum(dz, axis=0)
    dz -= np.arange(z.shape[1])[:, None] == y
    return (dz * (cotangent * weight / np.where(total > 0, total, 1.0))).T


# --- pairs u, v (N, D): each row of u must find its own among all rows of v -------------------------------------------


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


LOSSES = (
    Subject(
        "held out: contrast",
        lambda: gradcheck.from_loss(contrast, contrast_grad, argnums=(0, 1), name="contrast"),
        over_sizes([(3, 2), (2, 4), (4, 4), (5, 3)], lambda n, d: ordinary(n, (n, d), (n, d))),
        {"temperature": 0.5, "decay": 0.05},
    ),
    Subject(
        "held out: class-weighted",
        lambda: gradcheck.from_loss(class_weighted, class_weighted_grad, name="class-weighted"),
        partial(gst.softmax_nll, weights=True),
    ),
    Subject(
        "held out: row-weighted",
        lambda: gradcheck.from_loss(row_weighted, row_weighted_grad, name="row-weighted"),
        _weighed,
    ),
    Subject(
        "held out: smoothed rows",
        lambda: gradcheck.from_vjp(smoothed_rows, smoothed_rows_vjp, argnums=0, name="smoothed rows"),
        partial(gst.softmax_nll, ignore_index=IGNORED),
        {"label_smoothing": 0.2},
    ),
    Subject(
        "held out: token mean",
        lambda: gradcheck.from_loss(token_mean, token_mean_grad, name="token mean"),
        partial(gst.softmax_nll, sequences=True, ignore_index=IGNORED),
        {"temperature": 1.5},
    ),
    Subject(
        "held out: soft rows",
        lambda: gradcheck.from_vjp(soft_rows, soft_rows_vjp, argnums=0, name="soft rows"),
        partial(gst.softmax_nll, labels="soft"),
    ),
    Subject(
        "held out: counts",
        lambda: gradcheck.from_loss(counted, counted_grad, name="counts"),
        over_sizes([(3, 4), (1, 3), (4, 4), (5, 2), (2, 1)], _counts_example, vary=0),
        {"z_loss": 0.05},
    ),
    Subject(
        "held out: tempered",
        lambda: gradcheck.from_forward_backward(tempered, tempered_backward, argnums=0, name="tempered"),
        partial(gst.softmax_nll, labels="soft"),
        {"temperature": 3.0},
    ),
    Subject(
        "held out: margins",
        lambda: gradcheck.from_loss(margins, margins_grad, name="margins"),
        over_sizes([(3, 4), (1, 3), (4, 4), (5, 2)], _margins_example, vary=0),
    ),
    Subject(
        "held out: shares",
        lambda: gradcheck.from_vjp(shares, shares_vjp, argnums=0, name="shares"),
        partial(gst.softmax_nll, weights=True),
    ),
)
