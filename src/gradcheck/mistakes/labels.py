"""The gradient of another label: off by one, wrapped round, always the last."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from gradcheck.mistakes.making import Idea, variants
from gradcheck.mistakes.onehot import push_of, replaced
from gradcheck.mistakes.setting import Gradient, Setting
from gradcheck.tree import Array

__all__ = ["MISTAKES"]


def _labels(setting: Setting) -> tuple[Array, Array] | None:
    """Give the labels, and which of them name a class."""
    roles = setting.roles
    if roles.labels is None or not roles.classes:
        return None
    labels = np.asarray(setting.flat.leaves[roles.labels])
    return labels, (labels >= 0) & (labels < roles.classes)


def _with(setting: Setting, labels: Array) -> Gradient | None:
    before = np.asarray(setting.flat.leaves[setting.roles.labels or 0])
    if np.array_equal(labels, before):
        return None
    return setting.at({setting.roles.labels or 0: labels.astype(before.dtype)})


def _shifted(setting: Setting, by: int) -> Gradient | None:
    found, classes = _labels(setting), setting.roles.classes
    if found is not None and classes is not None:
        labels, named = found
        return _with(setting, np.where(named, (labels + by) % classes, labels))
    return _rolled(setting, by)


def _always(setting: Setting, column: int) -> Gradient | None:
    found, classes = _labels(setting), setting.roles.classes
    if found is not None and classes is not None:
        labels, named = found
        return _with(setting, np.where(named, column % classes, labels))
    return _column(setting, column)


def _rolled(setting: Setting, by: int) -> Gradient | None:
    """Move rows of label weights on by a class."""
    soft = setting.roles.soft
    if soft is None or (setting.roles.classes or 0) < 2:
        return None
    return setting.at({soft: np.roll(np.asarray(setting.flat.leaves[soft]), by, axis=-1)})


def _column(setting: Setting, column: int) -> Gradient | None:
    """Move all that a row of label weights sums to into one column."""
    soft = setting.roles.soft
    if soft is None or (setting.roles.classes or 0) < 2:
        return None
    weights = np.asarray(setting.flat.leaves[soft])
    moved = np.zeros_like(weights)
    moved[..., column] = weights.sum(axis=-1)
    return setting.at({soft: moved})


def _wrapped(setting: Setting, *, pushed_only: bool) -> Gradient | None:
    """Let a negative label count from the end, as an index does, where the forward ignores its row.

    Either all of a row's gradient is there, or only what the label pushes, where the softmax has been masked.
    """
    found, slot, classes = _labels(setting), setting.roles.logits, setting.roles.classes
    if found is None or slot is None or classes is None:
        return None
    labels, named = found
    wrapped = (labels < 0) & (labels >= -classes)
    if not wrapped.any() or not named.any():
        return None
    there = setting.there({setting.roles.labels or 0: np.where(wrapped, labels + classes, labels).astype(labels.dtype)})
    if there is None or (push := push_of(there)) is None:
        return None
    theirs, mine = there.gradient[slot], setting.gradient[slot]
    # the mean there divides by more rows than it should for those that count; their gradient tells by how much
    size = float(np.sum(np.abs(theirs[named])))
    ratio = float(np.sum(np.abs(mine[named]))) / size if size else 1.0
    return replaced(setting, np.where(wrapped[..., None], ratio * (-push if pushed_only else theirs), mine))


def _hard(setting: Setting, harden: Callable[[Array], Array]) -> Gradient | None:
    """Turn label weights into ones and zeros."""
    soft = setting.roles.soft
    if soft is None:
        return None
    weights = np.asarray(setting.flat.leaves[soft])
    return setting.at({soft: harden(weights).astype(weights.dtype)})


def _argmax(weights: Array) -> Array:
    return np.asarray(np.arange(weights.shape[-1]) == weights.argmax(axis=-1)[..., None])


_ZERO = "zero the rows that are ignored after indexing: a negative index counts from the end and raises nothing"

MISTAKES = (
    variants(
        "label off by one",
        Idea(
            partial(_shifted, by=1),
            "this is the gradient for the class after the label: the label is off by one",
            "use the label as it is, counted from 0, as the index of its column",
        ),
        Idea(
            partial(_shifted, by=-1),
            "this is the gradient for the class before the label, of class 0 the last: the label is off by one",
            "use the label as it is, counted from 0, as the index of its column",
        ),
    ),
    variants(
        "wrapped label",
        Idea(
            partial(_wrapped, pushed_only=False),
            "rows with a negative label get the gradient of a class counted from the end, where the forward ignores "
            "them",
            _ZERO,
        ),
        Idea(
            partial(_wrapped, pushed_only=True),
            "rows with a negative label, which the forward ignores, get a one-hot row of a class counted from the end",
            _ZERO,
        ),
    ),
    variants(
        "always the last column",
        Idea(
            partial(_always, column=-1),
            "this is the gradient as if every label were the last class",
            "index the columns by the labels, as in g[np.arange(N), y] -= 1: [-1] is the last column",
        ),
        Idea(
            partial(_always, column=0),
            "this is the gradient as if every label were class 0",
            "index the columns by the labels, as in g[np.arange(N), y] -= 1",
        ),
    ),
    variants(
        "soft labels hardened",
        Idea(
            partial(_hard, harden=_argmax),
            "this is the gradient as if the largest label weight of each row were 1 and the others 0",
            "subtract the label weights as they are, not the one-hot row of their argmax",
        ),
        Idea(
            partial(_hard, harden=lambda weights: weights != 0),
            "this is the gradient as if each label weight other than 0 were 1",
            "subtract the label weights as they are, not whether they are there",
        ),
    ),
)
