"""Normalisation layers, in plain NumPy: over the features of a row, or over the rows of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import forwards as f
from .specimen import Array, Forward

EPSILON = 1e-5


def layer_norm(x: Array, gain: Array, bias: Array) -> Any:
    return f.layer_norm(x) * gain + bias


def batch_norm(x: Array, gain: Array, bias: Array) -> Any:
    centred = x - x.sum(axis=0) / max(len(x), 1)
    return centred / np.sqrt((centred**2).sum(axis=0) / max(len(x), 1) + EPSILON) * gain + bias


def rms_norm(x: Array, gain: Array) -> Any:
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + EPSILON) * gain


def pre_norm(x: Array, gain: Array) -> Any:
    return x + rms_norm(x, gain)


def standardised(x: Array, axis: int) -> tuple[Array, Array]:
    """Return x with mean 0 and variance 1 along an axis, and the deviation that it was divided by."""
    deviation = np.sqrt(x.var(axis=axis, keepdims=True) + EPSILON)
    return (x - x.mean(axis=axis, keepdims=True)) / deviation, deviation


def along(x_hat: Array, deviation: Array, error: Array, axis: int) -> Array:
    """Return the cotangent of x, given the one of the standardised x."""
    projection = x_hat * (error * x_hat).mean(axis=axis, keepdims=True)
    return (error - error.mean(axis=axis, keepdims=True) - projection) / deviation


GAIN = np.array([0.7, -1.2, 1.9, 0.4])
BIAS = np.array([0.3, 0.1, -0.8, 1.1])
X4 = np.concatenate([f.X, [[1.3, -0.2, 0.6, 2.4]]])  # square, so that no shape gives a wrong axis away
SQUARE_CASES = f.like(X4, GAIN, BIAS)

LAYER_NORM = Forward(layer_norm, "vjp", (f.X, GAIN, BIAS), f.like(f.X, GAIN, BIAS), (0, 1, 2))
BATCH_NORM = Forward(batch_norm, "vjp", (f.X, GAIN, BIAS), f.like(f.X, GAIN, BIAS), (0, 1, 2))
RMS_NORM = Forward(rms_norm, "vjp", (f.X, GAIN), f.like(f.X, GAIN), (0, 1))
PRE_NORM = Forward(pre_norm, "vjp", (f.X, GAIN), f.like(f.X, GAIN), (0, 1))
