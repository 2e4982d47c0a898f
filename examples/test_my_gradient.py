"""Property tests of hand-written gradients, to copy into a suite: ``pytest examples/test_my_gradient.py``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings

import gradcheck
from gradcheck import strategies as gst

Array = npt.NDArray[Any]


# What is under test; in a suite these are imported.


def nll(z: Array, y: Array) -> Any:
    """Softmax and negative log-likelihood, averaged over the rows: logits z (N, K), class indices y (N,)."""
    shifted = z - z.max(axis=1, keepdims=True)
    log_a = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -np.sum(log_a[np.arange(len(y)), y]) / len(y)


def grad_in_one_step(z: Array, y: Array) -> Array:
    """Compute (a - y) / N."""
    a: Array = np.exp(z - z.max(axis=1, keepdims=True))
    a /= a.sum(axis=1, keepdims=True)
    a[np.arange(len(y)), y] -= 1
    return a / len(y)


def grad_in_two_stages(z: Array, y: Array) -> Array:
    """Compute a * (g - <g, a>) / N with g = -y/a: the derivative of the loss, through the Jacobian of softmax."""
    a: Array = np.exp(z - z.max(axis=1, keepdims=True))
    a /= a.sum(axis=1, keepdims=True)
    g = np.zeros_like(a)
    g[np.arange(len(y)), y] = -1 / a[np.arange(len(y)), y]
    grad: Array = a * (g - np.sum(g * a, axis=1, keepdims=True)) / len(y)
    return grad


# What the functions are meant for, and the whole of that: at least one row, since the mean over none is not defined,
# and logits at most 80 apart, since -y/a overflows where softmax underflows.
CASES = gst.softmax_nll(rows=(1, 8), gap=80.0)

# The first check at each new shape traces a program, which no deadline should count.
NO_DEADLINE = settings(deadline=None)


@NO_DEADLINE
@given(CASES)
def test_one_gradient(case: gst.Case) -> None:
    gradcheck.check(gradcheck.from_loss(nll, grad_in_one_step), *case)


RULES = {
    "one step": gradcheck.from_loss(nll, grad_in_one_step),
    "two stages": gradcheck.from_loss(nll, grad_in_two_stages),
}


@settings(NO_DEADLINE, max_examples=50)
@gradcheck.parametrize(RULES, CASES)
def test_each_gradient(rule: gradcheck.Rule, case: gst.Case) -> None:
    gradcheck.check(rule, *case)
