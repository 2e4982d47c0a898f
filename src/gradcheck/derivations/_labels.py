"""Logits and the labels that go with them: read, checked, and brought to one form.

Labels come as class indices, ``(N,)`` integers, or as one weight for each class, ``(N, K)`` numbers (one-hot
rows, soft labels, rows of zeros for examples to ignore). The losses see the second form only. Sequences have one
axis more, ``(B, T, K)`` logits, and nothing else changes: the classes are the last axis. Shapes and dtypes are
checked always; values where they are concrete NumPy numbers, since under ``jax.jit`` there are none to see.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gradcheck.derivations._arrays import Array, as_floating, is_concrete, widened
from gradcheck.derivations._namespace import namespace

__all__ = ["Batch", "Labels", "entry", "read_batch", "read_indices", "read_labels", "read_logits"]


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


class Labels(NamedTuple):
    """Labels as weights, and the rows that count."""

    weights: Array
    """Shape (..., K), in the dtype asked for; a fresh array."""
    kept: Array | None
    """Shape (..., 1), False for the rows to ignore; None where none can be."""


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
    logits = read_logits(z)
    wide = widened(logits)
    labels = read_labels(y, logits.shape, wide.dtype, like=logits)
    return Batch(namespace(logits, labels.weights), wide, labels.weights, logits.dtype)


def read_logits(z: npt.ArrayLike, *, sequences: bool = False) -> Array:
    """Check logits, shape (N, K), or (B, T, K) where `sequences` are taken, and return them as they came.

    Raises
    ------
    ValueError
        If `z` is not floating, of another shape, or without classes.
    """
    logits = as_floating(z, "z")
    if logits.ndim != 2 and not (sequences and logits.ndim == 3):
        raise ValueError(
            f"z has shape {logits.shape}, and logits are a matrix (N, K), one row for each example"
            f"{', or (B, T, K) for sequences' if sequences else ''}: a single example is z[None, :]"
        )
    if logits.shape[-1] == 0:
        raise ValueError(f"z has shape {logits.shape}, K = 0 classes: softmax needs at least one column")
    return logits


def read_labels(
    y: npt.ArrayLike,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    *,
    like: object = None,
    ignore_index: int | None = None,
) -> Labels:
    """Check labels against logits of this `shape`, (..., K), and return them as weights in `dtype`.

    Parameters
    ----------
    y : array_like, shape (...) of integers, or (..., K)
    shape, dtype
        Of the logits, and of the result.
    like : array, optional
        The logits, where the result is to be of their library even if `y` is of NumPy.
    ignore_index : int, optional
        The label of the rows to ignore, which may be no class; index labels only.

    Raises
    ------
    ValueError
        As in `read_batch`, or if weights come with an `ignore_index`.
    """
    labels = _as_labels(y, shape)
    xp = namespace(labels, like)
    if labels.ndim == len(shape):
        _check_weights(labels, shape)
        if ignore_index is not None:
            raise ValueError(
                f"ignore_index={ignore_index} and y of shape {labels.shape}: only class indices can be equal to it, "
                "so drop the option and give the rows to ignore weights of zero"
            )
        return Labels(xp.array(labels, dtype), None)
    kept = _kept(xp, labels, shape, ignore_index)
    hit = labels[..., None] == xp.arange(shape[-1])
    return Labels((hit if kept is None else hit & kept).astype(dtype), kept)


def read_indices(
    y: npt.ArrayLike, shape: tuple[int, ...], *, like: object = None, ignore_index: int | None = None
) -> tuple[Array, Array | None]:
    """Check class indices as `read_labels` does, for a loss that has no room for weights (..., K).

    Returns
    -------
    indices : array, shape (..., 1)
        Integers, a fresh array.
    kept : array, shape (..., 1), or None
        As in `Labels`.

    Raises
    ------
    ValueError
        As in `read_labels`, or if `y` holds weights.
    """
    labels = _as_labels(y, shape)
    if labels.ndim == len(shape):
        raise ValueError(
            f"y has shape {labels.shape}, and this loss takes class indices only, {shape[:-1]}: it never holds as many "
            "numbers as (N, K) label weights are; fused, log_softmax and accurate take those"
        )
    xp = namespace(labels, like)
    kept = _kept(xp, labels, shape, ignore_index)
    return xp.array(labels, int)[..., None], kept


def entry(name: str, where: Iterable[Any]) -> str:
    """Write an entry of an array as code: ``y[0, 2]``."""
    return f"{name}[{', '.join(map(str, where))}]"


def _kept(xp: ModuleType, labels: Array, shape: tuple[int, ...], ignore_index: int | None) -> Array | None:
    if labels.shape != shape[:-1]:
        raise ValueError(_unfit_indices(labels.shape, shape))
    kept = None if ignore_index is None else _differ(xp, labels, ignore_index)[..., None]
    _check_indices(labels, shape[-1], kept)
    return kept


def _differ(xp: ModuleType, labels: Array, ignore_index: int) -> Array:
    limits = xp.iinfo(labels.dtype)
    if not limits.min <= ignore_index <= limits.max:  # -100 is no uint8, and jax.numpy would wrap it around
        everywhere: Array = xp.ones(labels.shape, bool)
        return everywhere
    differ: Array = labels != ignore_index
    return differ


def _as_labels(y: npt.ArrayLike, shape: tuple[int, ...]) -> Array:
    """Return labels for logits of this `shape`, with the right number of axes and dtype."""
    xp, ndim = namespace(y), len(shape)
    try:
        labels: Array = xp.asarray(y)
    except ValueError as error:
        raise ValueError(f"y is ragged: pass (N,) class indices or a full (N, K) matrix ({error})") from error
    integers = xp.issubdtype(labels.dtype, xp.integer)
    if labels.ndim not in (ndim - 1, ndim):
        forms = "(N,) class indices or (N, K) label weights"
        if ndim == 3:
            forms = f"(B, T) class indices or (B, T, K) label weights, since z has shape {shape}"
        raise ValueError(f"y has shape {labels.shape}: pass {forms}")
    if not (integers or xp.issubdtype(labels.dtype, xp.floating)):
        raise ValueError(
            f"y has dtype {labels.dtype}: labels are integers (class indices) or floats (label weights); "
            "convert them first, as in np.asarray(y, dtype=np.int64)"
        )
    if labels.ndim == ndim - 1 and not integers:
        raise ValueError(
            f"y has shape {labels.shape} and dtype {labels.dtype}, and {ndim - 1}-D labels are class indices: "
            f"pass integers, as in y.astype(np.int64), or {'an (N, K) matrix' if ndim == 2 else '(B, T, K)'} "
            "of label weights"
        )
    return labels


def _unfit_indices(labels: tuple[int, ...], logits: tuple[int, ...]) -> str:
    if len(logits) == 3:
        return f"y has shape {labels} and z {logits}: pass one label for each place, {logits[:-1]}"
    return f"y holds {labels[0]} labels and z {logits[0]} rows: pass one label for each row"


def _check_indices(labels: Array, k: int, kept: Array | None) -> None:
    if not is_concrete(labels):
        return
    wrong = (labels < 0) | (labels >= k)
    outside = np.argwhere(wrong if kept is None else wrong & np.asarray(kept)[..., 0])
    if len(outside):
        where = tuple(outside[0])
        raise ValueError(
            f"{entry('y', where)} = {labels[where]} is no class of z, whose K = {k} columns are the classes 0 to "
            f"{k - 1} ({len(outside)} of {labels.size} labels are outside): a row to ignore is a row of zeros in "
            "(N, K) labels, or has a label that ignore_index names"
        )


def _check_weights(labels: Array, shape: tuple[int, ...]) -> None:
    if labels.shape[:-1] != shape[:-1]:
        if len(shape) == 3:
            raise ValueError(f"y has shape {labels.shape} and z {shape}: pass a row of labels for each place")
        raise ValueError(f"y holds {labels.shape[0]} rows and z {shape[0]}: pass one row of labels for each")
    if labels.shape[-1] != shape[-1]:
        n = len(shape)
        raise ValueError(
            f"y has shape {labels.shape} and z {shape}: {n}-D labels hold one weight for each of the "
            f"K = {shape[-1]} classes; class indices are {n - 1}-D, as in {'y.ravel()' if n == 2 else 'y[..., 0]'}"
        )
    if not is_concrete(labels):
        return
    unusable = np.argwhere(~((labels >= 0) & (labels < np.inf)))  # the negation catches NaN as well
    if len(unusable):
        where = tuple(unusable[0])
        raise ValueError(
            f"{entry('y', where)} = {labels[where]} is no label weight: weights are finite and at least 0 "
            f"({len(unusable)} entries of y are not)"
        )
