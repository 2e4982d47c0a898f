"""A missing sum over an axis that the forward broadcast along, as a bias over rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Evidence, Finding
from gradcheck.mistakes.making import Idea, variants
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.setting import Gradient, Setting
from gradcheck.tree import Array

__all__ = ["MISTAKES"]

NAME = "missing sum over a broadcast axis"
_SUM = "sum over the axis that the forward broadcast along: cotangent.sum(axis=0) for a bias"


def _is_broadcast(setting: Setting, slot: int) -> bool:
    """Whether a primal is a vector without an axis of rows, while there are rows to be summed over."""
    rows = setting.roles.rows
    others = len(setting.leaves) > 1 or bool(setting.cotangents[0].ndim > 1)
    return bool(rows) and setting.leaves[slot].array.ndim == 1 and others


def _rows(setting: Setting, keep: Callable[[int], int]) -> Gradient | None:
    """Let one row alone count, in the gradients of what is broadcast."""
    rows = setting.roles.rows
    if not rows or rows < 2:
        return None
    row = keep(rows)
    alone = _by_cotangent(setting, row) if setting.rule.takes_cotangent else None
    if alone is None:
        return None
    pairs = enumerate(zip(alone, setting.gradient, strict=True))
    return tuple(one if _is_broadcast(setting, slot) else g for slot, (one, g) in pairs)


def _by_cotangent(setting: Setting, row: int) -> Gradient | None:
    """Pull back a cotangent that is zero in all rows but one."""
    masked = []
    for cotangent in setting.cotangents:
        if not cotangent.ndim or len(cotangent) <= row:
            return None
        only = np.zeros_like(cotangent)
        only[row] = cotangent[row]
        masked.append(only)
    return setting.at({}, masked)


def _mean(setting: Setting) -> Gradient | None:
    rows = setting.roles.rows
    if not rows or not any(_is_broadcast(setting, slot) for slot in range(len(setting.leaves))):
        return None
    return tuple(g / rows if _is_broadcast(setting, slot) else g for slot, g in enumerate(setting.gradient))


_IDEAS = (
    Idea(partial(_rows, keep=lambda _: 0), "only the first row is there: the sum over rows is missing", _SUM),
    Idea(partial(_rows, keep=lambda n: n - 1), "only the last row is there: the sum over rows is missing", _SUM),
    Idea(_mean, "this is the mean over rows, where the forward's broadcast asks for their sum", _SUM),
)


def _recognised(context: Context) -> Finding | None:
    return _of_shape(context) or _VARIANTS.recognise(context)


def _of_shape(context: Context) -> Finding | None:
    """See whether what has a shape too large is right once it is summed."""
    if context.breach is None or context.breach.law != "contract":
        return None
    truth = context.truth(context.point)
    if truth is None:
        return None
    returned = context.raw(context.point)
    results = returned if isinstance(returned, (tuple, list)) and len(context.origin.leaves) > 1 else (returned,)
    if len(results) != len(truth.gradient):
        return None
    wrong = []
    for leaf, result, right, allowed in zip(context.origin.leaves, results, truth.gradient, truth.allowed, strict=True):
        array = np.asarray(result)
        if array.dtype.kind != "f" or not _fits(array, right, allowed):
            return None
        if array.shape != right.shape:
            wrong.append((leaf.path, array.shape, right.shape))
    if not wrong:
        return None
    path, shape, due = wrong[0]
    says = (
        f"the cotangent of {path} has shape {shape} for {due}: the sum over the axis it is broadcast along is missing"
    )
    return Finding(
        NAME, says, _SUM, (Evidence(f"the shapes {shape} and {due}, at the failing point", np.inf, 0.0, by_law=True),)
    )


def _fits(array: Array, right: Array, allowed: Array) -> bool:
    """Whether an array is right, or would be if its leading axes were summed over."""
    extra = array.ndim - right.ndim
    if extra < 0 or array.shape[extra:] != right.shape:
        return False
    return bool(np.all(np.abs(array.astype(np.float64).sum(axis=tuple(range(extra))) - right) <= allowed))


_VARIANTS = variants(NAME, *_IDEAS)
MISTAKES = (Mistake(NAME, _VARIANTS.inject, _recognised),)
