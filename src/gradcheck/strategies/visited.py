"""Which regimes given arrays are in."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck.errors import InvalidArgument
from gradcheck.rule import is_float
from gradcheck.strategies.options import DTYPES, Array, check_index
from gradcheck.strategies.regime import Summary
from gradcheck.strategies.regimes import REGIMES


def regimes_of(z: Any, y: Any = None, weights: Any = None, ignore_index: int | None = None) -> frozenset[str]:
    """Name every regime that logits are in, with their labels if there are any.

    Parameters
    ----------
    z : array_like of float
        Logits (N, K), or (B, T, K) for N = B T rows.
    y : array_like, optional
        Labels: int in [0, K) or `ignore_index`, of the shape of `z` but for the last axis; or float rows of the shape
        of `z`, finite and >= 0, one-hot or not. Left out, no regime that asks for labels is named.
    weights : array_like of float, optional
        Class weights (K,), finite and >= 0.
    ignore_index : int, optional
        The label of rows that are ignored.

    Returns
    -------
    frozenset of str
        Keys of `REGIMES`; empty where none of them describes the case.

    Raises
    ------
    gradcheck.errors.InvalidArgument
        If these are not logits, labels and weights of these shapes.

    Examples
    --------
    >>> from gradcheck import strategies as gst
    >>> sorted(gst.regimes_of([[0.0, 0.0]], [1]))
    ['all equal', 'one row', 'ties', 'two classes']
    >>> sorted(gst.regimes_of([[0.0, 0.5, 1.0]], [-100], ignore_index=-100))
    ['all rows ignored', 'one row', 'ordinary']
    """
    z = np.asarray(z)
    if z.ndim not in (2, 3) or z.dtype.name not in DTYPES or z.shape[-1] == 0:
        raise InvalidArgument(
            f"z has shape {z.shape} and dtype {z.dtype}: pass float logits (N, K) or (B, T, K), K > 0"
        )
    ignored = check_index(ignore_index)
    labels = None if y is None else _checked_labels(z, np.asarray(y), ignored)
    with np.errstate(invalid="ignore"):  # logits may be -inf, and -inf - -inf is no distance
        summary = Summary.of(z.reshape(-1, z.shape[-1]), labels, _checked_weights(z, weights), ignored)
        return frozenset(name for name, regime in REGIMES.items() if regime.has(summary))


def _checked_labels(z: Array, y: Array, ignore_index: int | None) -> Array:
    if y.shape == z.shape:
        if not (is_float(y.dtype) or y.dtype.kind in "iub") or not (np.isfinite(y).all() and (y >= 0).all()):
            raise InvalidArgument(f"y has the shape of z, {y.shape}: pass rows of finite numbers >= 0")
        return y.reshape(-1, z.shape[-1])
    if y.shape != z.shape[:-1] or y.dtype.kind not in "iu":
        raise InvalidArgument(
            f"y has shape {y.shape} and dtype {y.dtype}: pass int labels {z.shape[:-1]} or rows {z.shape}"
        )
    kept = y if ignore_index is None else y[y != ignore_index]
    if kept.size and not 0 <= kept.min() <= kept.max() < z.shape[-1]:
        raise InvalidArgument(
            f"y runs from {kept.min()} to {kept.max()}: pass labels in [0, {z.shape[-1]}), or ignore_index="
        )
    return y.reshape(-1)


def _checked_weights(z: Array, weights: Any) -> Array | None:
    if weights is None:
        return None
    array = np.asarray(weights)
    if array.shape != z.shape[-1:] or not (is_float(array.dtype) or array.dtype.kind in "iu"):
        raise InvalidArgument(
            f"weights has shape {array.shape} and dtype {array.dtype}: pass float weights {z.shape[-1:]}"
        )
    if not (np.isfinite(array).all() and (array >= 0).all()):
        raise InvalidArgument(f"weights={weights!r}: pass finite numbers >= 0")
    return array
