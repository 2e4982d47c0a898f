"""Logits and the labels that go with them: read, checked, and brought to one form.

Labels come as class indices, ``(N,)`` integers, or as one weight for each class, ``(N, K)`` numbers (one-hot
rows, soft labels, rows of zeros for examples to ignore). The losses see the second form only. Shapes and
dtypes are checked always; values where they are concrete NumPy numbers, since under ``jax.jit`` there are
none to see.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gradcheck.derivations._arrays import Array, as_floating, is_concrete, widened
from gradcheck.derivations._namespace import namespace

__all__ = ["Batch", "read_batch"]


class Batch(NamedTuple):
    """What a loss computes with: logits and label weights, both ``(N, K)`` in one dtype."""

    xp: ModuleType
    """The namespace of the arrays."""
    z: Array
    """Logits, float32 or wider."""
    y: Array
    """Label weights, a fresh array: a change to the caller's labels cannot reach a later pullback."""
    dtype: np.dtype[Any]
    """Of the logits as they came, hence of the loss and its gradient."""


def read_batch(z: npt.ArrayLike, y: npt.ArrayLike) -> Batch:
    """Check logits `z`, shape (N, K), and labels `y`, shape (N,) or (N, K), and return them as a batch.

    Raises
    ------
    ValueError
        If `z` is not a floating matrix with at least one column; if `y` does not fit it, is of object, bool,
        complex or text dtype, is ragged, is 1-D and not of integers, names a class outside 0 to K-1, or holds
        a weight that is negative or not finite.

    Examples
    --------
    >>> read_batch(np.zeros((2, 3)), [2, 0]).y
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    logits = as_floating(z, "z")
    if logits.ndim != 2:
        raise ValueError(
            f"z has shape {logits.shape}, and logits are a matrix (N, K), one row for each example: "
            "a single example is z[None, :]"
        )
    if logits.shape[1] == 0:
        raise ValueError(f"z has shape {logits.shape}, K = 0 classes: softmax needs at least one column")
    labels = _as_labels(y)
    xp, wide = namespace(logits, labels), widened(logits)
    if labels.ndim == 1:
        _check_indices(labels, logits.shape)
        weights = (labels[:, None] == xp.arange(logits.shape[1])).astype(wide.dtype)
    else:
        _check_weights(labels, logits.shape)
        weights = labels.astype(wide.dtype)
    return Batch(xp, wide, weights, logits.dtype)


def _as_labels(y: npt.ArrayLike) -> Array:
    xp = namespace(y)
    try:
        labels: Array = xp.asarray(y)
    except ValueError as error:
        raise ValueError(f"y is ragged: pass (N,) class indices or a full (N, K) matrix ({error})") from error
    integers = xp.issubdtype(labels.dtype, xp.integer)
    if labels.ndim not in (1, 2):
        raise ValueError(f"y has shape {labels.shape}: pass (N,) class indices or (N, K) label weights")
    if not (integers or xp.issubdtype(labels.dtype, xp.floating)):
        raise ValueError(
            f"y has dtype {labels.dtype}: labels are integers (class indices) or floats (label weights); "
            "convert them first, as in np.asarray(y, dtype=np.int64)"
        )
    if labels.ndim == 1 and not integers:
        raise ValueError(
            f"y has shape {labels.shape} and dtype {labels.dtype}, and 1-D labels are class indices: "
            "pass integers, as in y.astype(np.int64), or an (N, K) matrix of label weights"
        )
    return labels


def _check_indices(labels: Array, shape: tuple[int, ...]) -> None:
    n, k = shape
    if labels.shape != (n,):
        raise ValueError(f"y holds {labels.shape[0]} labels and z {n} rows: pass one label for each row")
    if not is_concrete(labels):
        return
    outside = np.flatnonzero((labels < 0) | (labels >= k))
    if outside.size:
        i = outside[0]
        raise ValueError(
            f"y[{i}] = {labels[i]} is no class of z, whose K = {k} columns are the classes 0 to {k - 1} "
            f"({outside.size} of {n} labels are outside): a row to ignore is a row of zeros in (N, K) labels"
        )


def _check_weights(labels: Array, shape: tuple[int, ...]) -> None:
    if labels.shape[0] != shape[0]:
        raise ValueError(f"y holds {labels.shape[0]} rows and z {shape[0]}: pass one row of labels for each")
    if labels.shape[1] != shape[1]:
        raise ValueError(
            f"y has shape {labels.shape} and z {shape}: 2-D labels hold one weight for each of the "
            f"K = {shape[1]} classes; class indices are 1-D, as in y.ravel()"
        )
    if not is_concrete(labels):
        return
    unusable = np.argwhere(~((labels >= 0) & (labels < np.inf)))  # the negation catches NaN as well
    if unusable.size:
        i, k = unusable[0]
        raise ValueError(
            f"y[{i}, {k}] = {labels[i, k]} is no label weight: weights are finite and at least 0 "
            f"({len(unusable)} entries of y are not)"
        )
