"""Readings of a mistake other than the one that is injected, and what is near to one and is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcheck

Z = np.array([[0.5, -1.25, 2.0], [1.0, 0.25, -0.75], [-0.5, 1.5, 0.0], [2.0, -1.0, 0.75]])
Y = np.array([2, 0, 1, 0])
SOFT = np.array([[0.5, 0.25, 0.25], [0.0, 0.0, 0.0], [0.0, 1.5, 0.5], [1.0, 0.0, 0.0]])
PER_CLASS = np.array([0.5, 1.0, 2.0])


def softmax(z: Any) -> Any:
    a = np.exp(z - z.max(axis=-1, keepdims=True))
    return a / a.sum(axis=-1, keepdims=True)


def onehot(y: Any, z: Any) -> Any:
    return (y[:, None] == np.arange(z.shape[1])) * 1.0


def rows(z: Any, y: Any) -> Any:
    return np.logaddexp.reduce(z, axis=1) - np.sum(z * onehot(y, z), axis=1)


def mean(z: Any, y: Any) -> Any:
    return np.sum(rows(z, y)) / max(len(y), 1)


def kept(z: Any, y: Any) -> Any:
    return np.sum(rows(z, y) * (y >= 0)) / max(np.sum(y >= 0), 1)


def soft(z: Any, y: Any) -> Any:
    return -np.sum(y * (z - np.logaddexp.reduce(z, axis=1)[:, None])) / max(len(y), 1)


def weighted(z: Any, y: Any, weights: Any) -> Any:
    return np.sum(weights[y] * rows(z, y)) / np.sum(weights[y])


def weighted_sum(z: Any, y: Any, weights: Any) -> Any:
    return np.sum(weights[y] * rows(z, y))


def error(z: Any, y: Any) -> Any:
    return softmax(z) - onehot(y, z)


def doubled_last(z: Any, y: Any) -> Any:
    g = error(z, y) / len(y)
    g[-1] *= 2
    return g


# The forward, a wrong gradient of it, its data, and the name that is due with a part of what is said.
LOSSES: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[Any, ...], str, str]] = {
    "class before": (mean, lambda z, y: error(z, (y - 1) % z.shape[1]) / len(y), (Y,),
                     "label off by one", "before the label"),
    "always class 0": (mean, lambda z, y: error(z, 0 * y) / len(y), (Y,), "always the last column", "class 0"),
    "label added": (mean, lambda z, y: (softmax(z) + onehot(y, z)) / len(y), (Y,), "missing onehot", "is added"),
    "last row twice": (mean, doubled_last, (Y,), "row counted twice", "the last row"),
    "kept count missing": (kept, lambda z, y: error(z, y) * (y >= 0)[:, None], (np.array([2, -1, 1, 0]),),
                           "kept rows' count", "divisor is missing"),
    "weights missing": (weighted, lambda z, y, w: w[y][:, None] * error(z, y), (Y, PER_CLASS),
                        "weights' sum", "divisor is missing"),
    "weights of all classes": (weighted, lambda z, y, w: w[y][:, None] * error(z, y) / w.sum(), (Y, PER_CLASS),
                               "weights' sum", "of all classes"),
    "weights too many": (weighted_sum, lambda z, y, w: w[y][:, None] * error(z, y) / w[y].sum(), (Y, PER_CLASS),
                         "weights' sum", "and the forward does not"),
    "any weight is 1": (soft, lambda z, y: (softmax(z) * np.sum(y != 0, axis=1, keepdims=True) - (y != 0)) / len(y),
                        (SOFT,), "soft labels hardened", "other than 0"),
    "sum of one": (soft, lambda z, y: (softmax(z) - y) / len(y), (SOFT,), "labels assumed to sum to one",
                   "softmax - y"),
    "nothing but ignored rows": (kept, lambda z, y: error(z, y) * (y < 0)[:, None] / max(np.sum(y >= 0), 1), (Y,),
                                 "", ""),
    "each label alone": (soft, lambda z, y: y * (softmax(z) - 1) / len(y), (np.eye(3)[Y],), "", ""),
}  # fmt: skip


@pytest.mark.sweep
@pytest.mark.parametrize("case", LOSSES)
def test_a_reading_of_a_loss(case: str) -> None:
    forward, gradient, data, name, part = LOSSES[case]
    report = gradcheck.examine(gradcheck.from_loss(forward, gradient, name=case), Z, *data)
    assert [finding.name for finding in report.findings] == ([name] if name else [])
    assert report.diagnosis.trouble == ""
    assert all(part in finding.says for finding in report.findings)


def softmax_vjp(z: Any, c: Any) -> Any:
    a = softmax(z)
    return a * (c - np.sum(a * c, axis=-1, keepdims=True))


def in_place(x: Any, c: Any) -> Any:
    c *= x
    return c.copy()


# The same of a pullback; cotangents are those of the last rows.
PULLBACKS: dict[str, tuple[Callable[..., Any], Callable[..., Any], Any, str, str]] = {
    "first row's gradient": (softmax, lambda z, c: np.repeat(softmax_vjp(z, c)[:1], len(z), axis=0), Z,
                             "first row's softmax for all", "gradient of the first row"),
    "the other's sum": (softmax, lambda z, c: softmax(z) * (c - c.sum(axis=-1, keepdims=True)), Z,
                        "wrong cross term", "belongs to a softmax"),
    "over the whole array": (softmax, lambda z, c: softmax(z) * (c - np.sum(softmax(z) * c)), Z,
                             "wrong cross term", "over the whole array"),
    # what is multiplied by 1 shows in read-only memory only
    "overwritten by the same": (lambda x: x * x / 2, in_place, np.ones((2, 3)), "cotangent overwritten", "overwrites"),
}  # fmt: skip


@pytest.mark.sweep
@pytest.mark.parametrize("case", PULLBACKS)
def test_a_reading_of_a_pullback(case: str) -> None:
    forward, vjp, x, name, part = PULLBACKS[case]
    rule = gradcheck.from_vjp(forward, vjp, name=case)
    report = gradcheck.examine(rule, x, cotangent=Z[::-1][: len(x)].copy())
    assert [finding.name for finding in report.findings] == [name]
    assert part in report.findings[0].says
