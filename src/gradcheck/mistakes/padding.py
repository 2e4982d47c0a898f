"""What pads the last block is counted: logits of zero in the softmax, or rows of padding in the mean."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Finding
from gradcheck.mistakes.making import Wrong, injected, named
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.setting import Gradient, Setting
from gradcheck.mistakes.tail_block import BLOCKS
from gradcheck.rule import Rule
from gradcheck.tree import Array

__all__ = ["MISTAKE"]

_NAME = "padding included"
_MADE = 4


def _columns(block: int, setting: Setting) -> Gradient | None:
    """Give the gradient with columns of zeros up to a multiple of the block, and cut them off again.

    To a softmax, one column of the logarithm of p is what p columns of zeros are: its exponential is their sum.
    """
    roles, leaves = setting.roles, setting.flat.leaves
    if roles.logits is None or roles.classes is None or not -roles.classes % block:
        return None
    shape, index = setting.leaves[roles.logits].array.shape, setting.leaves[roles.logits].index
    column = float(np.log(-roles.classes % block))
    changes = {index: _with_column(leaves[index], column)}
    for i, x in enumerate(leaves):
        if i == roles.soft or (isinstance(x, np.ndarray) and x.shape == shape[-1:] and i != roles.labels):
            changes[i] = _with_column(x, 0.0)
    cotangents = [_with_column(c, 0.0) if c.shape == shape else c for c in setting.cotangents]
    found = setting.at(changes, cotangents)
    if found is None:
        return None
    pairs = zip(found, setting.gradient, strict=True)
    return tuple(g[..., : right.shape[-1]] if g.shape != right.shape else g for g, right in pairs)


def _with_column(array: Array, value: float) -> Array:
    return np.concatenate([array, np.full((*array.shape[:-1], 1), value, array.dtype)], axis=-1)


def _rows(block: int, setting: Setting) -> Gradient | None:
    """Divide by the number of rows with padding, where the mean divides by that without."""
    rows = setting.roles.rows
    if not rows or any(c.ndim for c in setting.cotangents):
        return None
    return tuple(g * (rows / (rows + -rows % block)) for g in setting.gradient)


def _inject(rule: Rule) -> Rule:
    return injected(rule, partial(_columns, _MADE))


def _recognise(context: Context) -> Finding | None:
    for block in BLOCKS:
        columns, rows = partial(_columns, block), partial(_rows, block)
        says = f"columns are padded with zeros to a multiple of {block}, and the padding is summed with the classes: "
        says += "exp(0) = 1 for each"
        change = "pad with -inf, or set the exponentials of the padding to 0"
        if (found := _named(context, columns, {"classes": block + 1}, says, change)) is not None:
            return found
        says = (
            f"the mean divides by the number of rows padded to a multiple of {block}, not by that of the rows there are"
        )
        change = "divide by the number of rows before padding"
        if (found := _named(context, rows, {"rows": block + 1}, says, change)) is not None:
            return found
    return None


def _named(context: Context, wrong: Wrong, size: dict[str, int], says: str, change: str) -> Finding | None:
    """Name it where a size explains itself that other blocks pad otherwise."""
    if named(context, _NAME, wrong, says, change) is None:
        return None
    drawn = [context.drawn(variant, **size) for variant in (2, 3)]
    more = replace(context, samples=(*context.samples, *(s for s in drawn if s is not None)))
    return named(more, _NAME, wrong, says, change)


MISTAKE = Mistake(_NAME, _inject, _recognise)
