"""The reduction mixed up: mean, sum and none differ by the number of rows, or by what the rows weigh."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from gradcheck.mistakes.context import Context
from gradcheck.mistakes.factor import times
from gradcheck.mistakes.making import Idea, variants
from gradcheck.mistakes.setting import Gradient, Setting
from gradcheck.rule import is_float

__all__ = ["MISTAKES"]


def _rows(setting: Setting) -> float | None:
    rows = setting.roles.rows
    return float(rows) if rows else None


def _kept(setting: Setting) -> float | None:
    """Count the rows whose label is a class, or whose label weights are not all zero."""
    onehot = setting.roles.onehot(setting.flat)
    if onehot is None:
        return None
    count = float(np.sum(np.any(onehot != 0, axis=-1)))
    return count if 0 < count < (setting.roles.rows or 0) else None


def _weighed(setting: Setting) -> float | None:
    """Sum what the rows weigh: by a weight for each class, or for each row."""
    roles = setting.roles
    onehot = roles.onehot(setting.flat)
    if onehot is None:
        return None
    for datum in setting.data:
        if datum.index == roles.soft or not _is_weights(datum.value):
            continue
        if datum.value.shape == (roles.classes,):
            total = float(np.sum(onehot * datum.value))
        elif datum.value.shape == onehot.shape[:-1]:
            total = float(np.sum(np.any(onehot != 0, axis=-1) * datum.value))
        else:
            continue
        return total if total > 0 else None
    return None


def _over_classes(setting: Setting) -> float | None:
    """Sum the weights of the classes, whether or not rows have them."""
    classes = setting.roles.classes
    vectors = (d.value for d in setting.data if _is_weights(d.value) and d.value.shape == (classes,))
    total = float(np.sum(next(vectors, 0.0)))
    return total if total > 0 else None


def _is_weights(value: object) -> bool:
    return isinstance(value, np.ndarray) and is_float(value.dtype) and value.ndim > 0 and bool(np.all(value >= 0))


Count = Callable[[Setting], "float | None"]


def _scaled(setting: Setting, count: Count, power: int = 1, over: Count | None = None) -> Gradient | None:
    """Multiply by a power of a count, or by its ratio to another."""
    n, m = count(setting), over(setting) if over else 1.0
    return None if n is None or m is None else times(setting, (n / m) ** power)


def _n(context: Context) -> str:
    return f"N = {context.origin.roles.rows}"


_ONE_N_MISSING = Idea(
    partial(_scaled, count=_rows),
    lambda c: f"every entry is N times too large: the mean's 1/N is missing ({_n(c)})",
    "divide what the gradient returns by the number of rows, as the mean in the forward does",
)
_ONE_N_TOO_MANY = Idea(
    partial(_scaled, count=_rows, power=-1),
    lambda c: f"every entry is N times too small: it is divided by the number of rows once too often ({_n(c)})",
    "do not divide by the number of rows: the forward adds up, or its mean has been divided by already",
)
_WEIGHTS_MISSING = Idea(
    partial(_scaled, count=_weighed),
    "every entry is too large by the sum of the weights: the weighted mean's divisor is missing",
    "divide what the gradient returns by the sum of the weights of the rows present",
)
_N_FOR_WEIGHTS = Idea(
    partial(_scaled, count=_weighed, over=_rows),
    "the mean is divided by the number of rows, where the forward divides by the sum of their weights",
    "divide by the sum of the weights of the rows present, not by the number of rows",
)
_WEIGHTS_TOO_MANY = Idea(
    partial(_scaled, count=_weighed, power=-1),
    "every entry is too small by the sum of the weights: it is divided by it, and the forward does not",
    "do not divide by the sum of the weights",
)
_WEIGHTS_FOR_N = Idea(
    partial(_scaled, count=_weighed, power=-1, over=_rows),
    "the mean is divided by the sum of the weights, where the forward divides by the number of rows",
    "divide by the number of rows, not by the sum of their weights",
)
_CLASSES_FOR_WEIGHTS = Idea(
    partial(_scaled, count=_weighed, over=_over_classes),
    "the mean is divided by the sum of the weights of all classes, where the forward adds them up over the rows",
    "divide by the sum of the weights of the rows present, weights[y].sum(), not by weights.sum()",
)
_N_FOR_KEPT = Idea(
    partial(_scaled, count=_kept, over=_rows),
    "the mean is divided by the number of all rows, where the forward divides by that of the rows it does not ignore",
    "divide by the number of rows that are not ignored",
)
_KEPT_MISSING = Idea(
    partial(_scaled, count=_kept),
    "every entry is too large by the number of rows that are not ignored: the mean's divisor is missing",
    "divide what the gradient returns by the number of rows that are not ignored",
)
_KEPT_FOR_N = Idea(
    partial(_scaled, count=_kept, power=-1, over=_rows),
    "the mean is divided by the number of rows that are not ignored, where the forward divides by that of all rows",
    "divide by the number of all rows, as the forward does",
)


def _sequences(setting: Setting) -> float | None:
    """Count along the first axis, where rows have more than one."""
    logits = setting.roles.logits
    if logits is None or setting.leaves[logits].array.ndim < 3:
        return None
    return float(len(setting.leaves[logits].array)) or None


def _classes(setting: Setting) -> float | None:
    classes = setting.roles.classes
    return float(classes) if classes else None


_K_FOR_N = Idea(
    partial(_scaled, count=_rows, over=_classes),
    lambda c: f"the mean is divided by K = {c.origin.roles.classes}, where the forward divides by {_n(c)}",
    "divide by the number of rows, len(z), not by that of classes, z.shape[-1]",
)
_SEQUENCES_FOR_N = Idea(
    partial(_scaled, count=_rows, over=_sequences),
    lambda c: f"the mean is divided by the length of the first axis, where the forward divides by all rows ({_n(c)})",
    "divide by the number of all rows: the product of all axes but the last",
)

MISTAKES = (
    variants("factor N", _ONE_N_MISSING),
    variants("factor 1/N", _ONE_N_TOO_MANY),
    variants("another axis for N", _K_FOR_N, _SEQUENCES_FOR_N),
    variants("weights' sum", _N_FOR_WEIGHTS, _CLASSES_FOR_WEIGHTS, _WEIGHTS_MISSING, _WEIGHTS_TOO_MANY, _WEIGHTS_FOR_N),
    variants("kept rows' count", _N_FOR_KEPT, _KEPT_MISSING, _KEPT_FOR_N),
)
