"""Something counted twice, or not as often as it occurs."""

from __future__ import annotations

from functools import partial

import numpy as np

from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Finding
from gradcheck.mistakes.making import Idea, injected, named, variants
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.setting import Gradient, Setting
from gradcheck.tree import Array

__all__ = ["MISTAKES"]

TWICE = "argument counted twice"


def _first_doubled(setting: Setting) -> Gradient | None:
    if len(setting.gradient) < 2:
        return None
    return tuple(2 * g if slot == 0 else g for slot, g in enumerate(setting.gradient))


def _all_doubled(setting: Setting) -> Gradient:
    return tuple(2 * g for g in setting.gradient)


def _argument(context: Context) -> Finding | None:
    """Double those arrays that are wrong, where others are right."""
    if all(context.wrong):
        return None
    return named(
        context,
        TWICE,
        _all_doubled,
        "its gradient is 2 times too large, and those of the others are right: it is counted twice",
        "add up what comes from each use of the argument once: one of the summands is added again",
    )


def _row_doubled(setting: Setting, row: int) -> Gradient | None:
    if not any(g.ndim > 1 and len(g) > 1 for g in setting.gradient):
        return None
    return tuple(_scaled_row(g, row) if g.ndim > 1 and len(g) > 1 else g for g in setting.gradient)


def _scaled_row(gradient: Array, row: int) -> Array:
    changed = gradient.copy()
    changed[row] *= 2
    return changed


def _overwritten(setting: Setting) -> Gradient | None:
    """Let the last of the rows that read the same entry of a table be all that is written there."""
    index = _indices(setting)
    if index is None or not setting.rule.takes_cotangent:
        return None
    last = np.array([not np.any(index[i + 1 :] == index[i]) for i in range(len(index))])
    if last.all():
        return None
    kept = []
    for cotangent in setting.cotangents:
        if not cotangent.ndim or len(cotangent) != len(index):
            return None
        kept.append(np.where(last.reshape((-1,) + (1,) * (cotangent.ndim - 1)), cotangent, 0).astype(cotangent.dtype))
    return setting.at({}, kept)


def _indices(setting: Setting) -> Array | None:
    found = (d.value for d in setting.data if isinstance(d.value, np.ndarray))
    return next((x for x in found if x.dtype.kind in "iu" and x.ndim == 1), None)


MISTAKES = (
    Mistake(TWICE, partial(injected, wrong=_first_doubled), _argument),
    variants(
        "row counted twice",
        Idea(
            partial(_row_doubled, row=0),
            "the first row is 2 times too large, and the others are right: it is counted twice",
            "start the loop over rows, or the running sum, where the first row has not been added yet",
        ),
        Idea(
            partial(_row_doubled, row=-1),
            "the last row is 2 times too large, and the others are right: it is counted twice",
            "end the loop over rows, or the running sum, before the last row is added again",
        ),
    ),
    variants(
        "repeated index not accumulated",
        Idea(
            _overwritten,
            "where an index occurs more than once, only its last occurrence counts",
            "accumulate: np.add.at(g, index, rows) adds repeated indices up, g[index] += rows keeps the last",
        ),
    ),
)
