"""Other points for a rule: the data of a failing one, other values, and other numbers of rows and classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from gradcheck.domain import Domain
from gradcheck.mistakes.setting import Setting
from gradcheck.mistakes.shapes import Reading
from gradcheck.rule import is_float
from gradcheck.tree import Array

__all__ = ["ignoring", "in_other_order", "relabelled", "same_sizes", "softened", "values", "varied", "with_sizes"]

# What libraries take by default for the label of a row to be ignored.
_IGNORED = (-100, -1)

Draw = Callable[[np.random.Generator, Array], Array]


def values(setting: Setting, rng: np.random.Generator, leaves: Mapping[int, Any]) -> Iterator[dict[int, Any]]:
    """Yield the leaves with primals of ordinary size, in ways of which the later ask less of a forward."""
    for draw in (_normal, _positive, _close):
        changes = dict(leaves)
        for leaf in setting.leaves:
            array = leaves.get(leaf.index, leaf.array)
            changes[leaf.index] = _inside(leaf.domain, array, draw(rng, array))
        yield changes


def _normal(rng: np.random.Generator, array: Array) -> Array:
    masked = np.isneginf(array)
    drawn = np.where(masked, -np.inf, rng.standard_normal(array.shape))
    return np.asarray(drawn).astype(array.dtype)


def _positive(rng: np.random.Generator, array: Array) -> Array:
    return np.asarray(rng.uniform(0.25, 2.0, array.shape)).astype(array.dtype)


def _close(rng: np.random.Generator, array: Array) -> Array:
    moved = array.astype(np.float64) * rng.uniform(0.5, 1.0, array.shape)
    return np.asarray(moved).astype(array.dtype)


def _inside(domain: Domain | None, array: Array, drawn: Array) -> Array:
    return drawn if domain is None else domain.kept(array, drawn)


def same_sizes(setting: Setting, rng: np.random.Generator) -> dict[int, Array]:
    """Draw labels and their weights anew, and leave all other data as they are."""
    roles, leaves = setting.roles, setting.flat.leaves
    if roles.labels is not None and roles.classes:
        labels = np.asarray(leaves[roles.labels])
        return {roles.labels: relabelled(rng, labels, labels.shape, roles.classes, roles.classes)}
    if roles.soft is not None:
        return {roles.soft: _weights(rng, np.asarray(leaves[roles.soft]), leaves[roles.soft].shape)}
    return {}


def with_sizes(
    setting: Setting, rng: np.random.Generator, reading: Reading, sizes: Mapping[str, int]
) -> dict[int, Array]:
    """Give every array other lengths: repeated as often as it takes, labels drawn anew."""
    roles = setting.roles
    changes: dict[int, Array] = {}
    for index in reading.names:
        array = np.asarray(setting.flat.leaves[index])
        shape = reading.shape(index, sizes)
        if index == roles.labels:
            changes[index] = relabelled(rng, array, shape, roles.classes or 1, _classes(setting, reading, sizes))
        elif index == roles.soft:
            changes[index] = _weights(rng, array, shape)
        elif shape != array.shape:
            changes[index] = np.resize(array, shape) if array.size else np.ones(shape, array.dtype)
    return changes


def varied(setting: Setting, rng: np.random.Generator, leaves: Mapping[int, Any]) -> dict[int, Any]:
    """Change the numbers among the data as well: a failing point is shrunk, and weights of 1 and inputs of 0 hide much.

    Zeros and ones may be a mask, and stay zeros and ones where there are both kinds; what is not negative stays so.
    """
    roles = setting.roles
    changes = dict(leaves)
    for datum in setting.data:
        value = leaves.get(datum.index, datum.value)
        if datum.index in (roles.labels, roles.soft):
            continue
        if isinstance(value, float):
            # to half of it at most, so that a share stays a share; in short numbers
            changes[datum.index] = value * int(rng.integers(4, 8)) / 8
        elif isinstance(value, np.ndarray) and is_float(value.dtype) and value.size:
            changes[datum.index] = _others(rng, value).astype(value.dtype)
    return changes


def _others(rng: np.random.Generator, array: Array) -> Array:
    if array.ndim == 0:
        return np.asarray(array.astype(np.float64) * rng.integers(4, 8) / 8)
    x = array.astype(np.float64)
    if array.ndim == 1 and np.all(x >= 0):
        return np.asarray(rng.uniform(0.25, 1.5, x.shape))
    if np.all((x == 0) | (x == 1)) and np.any(x):
        return np.asarray(rng.integers(0, 2, x.shape), dtype=np.float64)
    positive = np.all(x >= 0) and np.any(x)
    return np.asarray(rng.uniform(0.25, 1.5, x.shape) if positive else rng.standard_normal(x.shape))


def ignoring(setting: Setting) -> Iterator[dict[int, Array]]:
    """Yield labels of which the first names no class, in ways in which forwards are told to ignore a row."""
    index = setting.roles.labels
    labels = None if index is None else np.asarray(setting.flat.leaves[index])
    if index is not None and labels is not None and labels.size > 1 and labels.dtype.kind == "i":
        for label in _IGNORED:
            moved = labels.copy()
            moved.flat[0] = label
            yield {index: moved}


def softened(setting: Setting) -> dict[int, Array] | None:
    """Spread the label weights of each row over the classes, to the same sum; None where they are whole numbers."""
    index = setting.roles.soft
    weights = None if index is None else np.asarray(setting.flat.leaves[index])
    if index is None or weights is None or not weights.size or not is_float(weights.dtype):
        return None
    share = np.arange(1.0, weights.shape[-1] + 1)
    spread = weights.astype(np.float64).sum(axis=-1, keepdims=True) * share / share.sum()
    return {index: ((weights + spread) / 2).astype(weights.dtype)}


def in_other_order(setting: Setting) -> dict[int, Array] | None:
    """Put the rows of logits and of all that belongs to them into reverse order; None where there are no logits."""
    roles = setting.roles
    if roles.logits is None:
        return None
    leaf = setting.leaves[roles.logits]
    indices = [i for i in (leaf.index, roles.labels, roles.soft) if i is not None]
    return {i: np.asarray(setting.flat.leaves[i])[::-1].copy() for i in indices} if leaf.array.ndim > 1 else None


def relabelled(rng: np.random.Generator, labels: Array, shape: tuple[int, ...], before: int, classes: int) -> Array:
    """Draw labels. Where some named no class, some go on naming none, but half of them at most.

    With one row left that counts, its label, its softmax and its weight in a mean are those of all.
    """
    tiled = np.resize(labels, shape) if labels.size else np.zeros(shape, labels.dtype)
    ignored = (tiled < 0) | (tiled >= before)
    among = np.flatnonzero(ignored)
    most = max(ignored.size // 2, min(ignored.size - 1, 1))
    if len(among) > most:
        ignored.flat[rng.choice(among, len(among) - most, replace=False)] = False
    return np.where(ignored, tiled, rng.integers(0, classes, shape)).astype(labels.dtype)


def _classes(setting: Setting, reading: Reading, sizes: Mapping[str, int]) -> int:
    """Count the classes of a reading, along the last axis of the logits, or of the last primal as `Roles` does."""
    slot = setting.roles.logits
    arrays = [leaf for leaf in setting.leaves if leaf.array.ndim] if slot is None else [setting.leaves[slot]]
    return reading.shape(arrays[-1].index, sizes)[-1] if arrays else 1


def _weights(rng: np.random.Generator, weights: Array, shape: tuple[int, ...]) -> Array:
    """Draw rows of label weights of the kind that there are: one-hot, adding up to one, or neither."""
    rows = weights.reshape(-1, weights.shape[-1]) if weights.size else np.zeros((0, 1))
    if np.all((rows == 0) | (rows == 1)) and np.all(rows.sum(axis=-1) == 1):
        return np.asarray(np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]).astype(weights.dtype)
    drawn = rng.uniform(0.25, 1.0, shape)
    # sums of float32 are off by less than 1e-5, those of weights that add up to something else by more
    if is_float(weights.dtype) and np.allclose(rows.astype(np.float64).sum(axis=-1), 1.0, atol=1e-2):
        drawn = drawn / drawn.sum(axis=-1, keepdims=True)
    return np.asarray(drawn).astype(weights.dtype)
