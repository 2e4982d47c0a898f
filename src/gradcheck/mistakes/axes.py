"""Softmax taken over the wrong axis, or over the whole array."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from gradcheck.mistakes.making import Idea, one_idea, variants
from gradcheck.mistakes.onehot import replaced
from gradcheck.mistakes.parts import softmax
from gradcheck.mistakes.setting import Gradient, Setting
from gradcheck.tree import Array

__all__ = ["MISTAKES", "log_normalised", "normalised", "summed_over"]

# A value is a softmax if it is one to about the digits that float32 keeps in any sum of a row.
_FITS = 1e-4


def normalised(setting: Setting) -> Array | None:
    """Give the only primal, of a rule whose value is its softmax over the last axis."""
    return _whose_value(setting, softmax)


def log_normalised(setting: Setting) -> Array | None:
    """Give the only primal, of a rule whose value is the logarithm of its softmax over the last axis."""
    return _whose_value(setting, lambda x: np.log(softmax(x)))


def _whose_value(setting: Setting, form: object) -> Array | None:
    if len(setting.leaves) != 1 or setting.value is None or len(setting.value) != 1 or not callable(form):
        return None
    x, (value,) = setting.leaves[0].array.astype(np.float64), setting.value
    if not x.ndim or value.shape != x.shape or x.shape[-1] < 2:
        return None
    with np.errstate(all="ignore"):
        expected = form(x)
    return x if np.allclose(value, expected, rtol=_FITS, atol=_FITS) else None


def _over(setting: Setting, axis: int | None, *, sums: bool = True) -> Gradient | None:
    """Take the softmax of the backward pass over another axis, and its sums if asked."""
    if setting.parts is not None and setting.roles.logits is not None:
        z = setting.leaves[setting.roles.logits].array.astype(np.float64)
        if z.ndim < 2:
            return None
        other = softmax(z / setting.parts.temperature, axis)
        return replaced(setting, setting.parts.weight * other - setting.parts.push)
    plain, log = normalised(setting), log_normalised(setting)
    x = plain if plain is not None else log
    if x is None or x.ndim < 2:
        return None
    a = softmax(x, axis if sums else -1)
    cotangent = setting.cotangents[0].astype(np.float64)
    if plain is not None:
        return (a * (cotangent - np.sum(a * cotangent, axis=axis, keepdims=True)),)
    return (cotangent - a * np.sum(cotangent, axis=axis, keepdims=True),)


def summed_over(setting: Setting, axis: int | None) -> Gradient | None:
    """Keep the softmax, and sum over another axis: this is about rules whose value is a softmax only."""
    return None if setting.parts is not None else _over(setting, axis, sums=False)


def _of_another(setting: Setting, other: Callable[[Array], Array]) -> Gradient | None:
    """Use another array in place of the softmax of the logits."""
    if setting.parts is None:
        return None
    return replaced(setting, setting.parts.weight * other(setting.parts.softmax) - setting.parts.push)


def _first_row(a: Array) -> Array:
    return np.broadcast_to(a.reshape(-1, a.shape[-1])[0], a.shape)


def _first_answer(setting: Setting) -> Gradient | None:
    """Give each row what is due in the first row, of a rule whose value is a softmax."""
    if setting.parts is not None or (normalised(setting) is None and log_normalised(setting) is None):
        return None
    return (_first_row(setting.gradient[0]),)


_LAST = "take it over the classes, axis=-1, with keepdims=True"

MISTAKES = (
    variants(
        "softmax over the wrong axis",
        Idea(
            partial(_over, axis=0),
            "softmax is taken over the rows (axis 0), where the forward normalises each row over the classes",
            _LAST,
        ),
        Idea(
            partial(_over, axis=-2),
            "softmax is taken over the last axis but one, where the forward normalises over the classes",
            _LAST,
        ),
    ),
    variants(
        "softmax over the whole array",
        Idea(
            partial(_over, axis=None),
            "softmax is taken over the whole array, where the forward normalises each row over the classes",
            _LAST,
        ),
    ),
    variants(
        "first row's softmax for all",
        Idea(
            partial(_of_another, other=_first_row),
            "each row gets the softmax of the first row",
            "index the softmax by the row, or leave the index out: a[0] is that of the first row alone",
        ),
        Idea(
            _first_answer,
            "each row gets the gradient of the first row",
            "compute a row of the gradient for each row of the argument: [0] or [:1] is the first row alone",
        ),
    ),
    one_idea(
        "softmax taken twice",
        partial(_of_another, other=softmax),
        "the softmax is taken twice: what it is taken of are probabilities already",
        "take the softmax of the logits once, and pass logits, not probabilities, to a loss that takes it itself",
    ),
)
