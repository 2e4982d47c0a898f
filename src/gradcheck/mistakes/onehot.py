"""Softmax + NLL without one of its two parts: the gradient by a row of logits is ``softmax - onehot``, scaled."""

from __future__ import annotations

import numpy as np

from gradcheck.mistakes.making import Idea, one_idea, variants
from gradcheck.mistakes.setting import Gradient, Setting
from gradcheck.tree import Array

__all__ = ["MISTAKES", "push_of", "replaced"]


def replaced(setting: Setting, logits: Array) -> Gradient:
    """Give the gradient with another one by the logits."""
    slot = setting.roles.logits
    return tuple(logits if i == slot else g for i, g in enumerate(setting.gradient))


def push_of(setting: Setting) -> Array | None:
    """Give what the labels push up: from the two parts, or else by asking with each row's label moved on by one."""
    roles = setting.roles
    if roles.logits is None:
        return None
    if setting.parts is not None:
        return setting.parts.push
    onehot = roles.onehot(setting.flat)
    if onehot is None or roles.labels is None or roles.classes is None or roles.classes < 2:
        return None
    labels = np.asarray(setting.flat.leaves[roles.labels])
    named = np.any(onehot != 0, axis=-1)
    moved = setting.at({roles.labels: np.where(named, (labels + 1) % roles.classes, labels).astype(labels.dtype)})
    return None if moved is None else (moved[roles.logits] - setting.gradient[roles.logits]) * onehot


def _without_onehot(setting: Setting) -> Gradient | None:
    push = push_of(setting)
    if push is None or setting.roles.logits is None:
        return None
    return replaced(setting, setting.gradient[setting.roles.logits] + push)


def _onehot_alone(setting: Setting) -> Gradient | None:
    push = push_of(setting)
    return None if push is None else replaced(setting, -push)


def _added(setting: Setting) -> Gradient | None:
    push = push_of(setting)
    if push is None or setting.roles.logits is None:
        return None
    return replaced(setting, setting.gradient[setting.roles.logits] + 2 * push)


def _sum_of_one(setting: Setting) -> Gradient | None:
    """Take the label weights of each row to sum to one, as those of an index do.

    Where they sum to 0, what is pulled is what it would be with the same weight for each class.
    """
    roles, parts = setting.roles, setting.parts
    if roles.soft is None or parts is None:
        return None
    weights = np.asarray(setting.flat.leaves[roles.soft])
    total = np.sum(weights, axis=-1, keepdims=True, dtype=np.float64)
    none = total == 0
    there = setting.there({roles.soft: np.where(none, 1, weights).astype(weights.dtype)}) if np.any(none) else setting
    if there is None or there.parts is None:
        return None
    return replaced(setting, there.parts.pull / np.where(none, weights.shape[-1], total) - parts.push)


MISTAKES = (
    variants(
        "missing onehot",
        Idea(
            _without_onehot,
            "the label is not subtracted: this is the softmax alone, where softmax - onehot(label) is due",
            "subtract 1 at the label of each row (the label weights, if labels are soft) before scaling",
        ),
        Idea(
            _added,
            "the label is added: this is softmax + onehot(label), where softmax - onehot(label) is due",
            "subtract the one-hot row of each label instead of adding it",
        ),
    ),
    variants(
        "missing softmax",
        Idea(
            _onehot_alone,
            "only the label's push is there: this is -onehot(label), where softmax - onehot(label) is due, "
            "so the other neurons get nothing",
            "add the softmax of the row: every logit is in the normalisation, so every logit has a gradient",
        ),
    ),
    one_idea(
        "labels assumed to sum to one",
        _sum_of_one,
        "this is softmax - y, as if the label weights y of each row summed to one: here they do not",
        "multiply the softmax by what the row's label weights sum to: sum(y) a - y",
    ),
)
