"""A probability underflows to zero, and is then divided by, or its logarithm taken."""

from __future__ import annotations

import numpy as np

from gradcheck.mistakes.context import Context
from gradcheck.mistakes.extremes import UNDERFLOW, edges
from gradcheck.mistakes.finding import Finding
from gradcheck.mistakes.making import injected
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.setting import Gradient, Setting
from gradcheck.rule import Rule
from gradcheck.tree import Array

__all__ = ["MISTAKE"]

_NAME = "underflow"


def _below(setting: Setting) -> Gradient:
    """Make NaN of the rows in which the exponential of an entry, less the largest, is zero."""
    return tuple(_lost(leaf.array, g) for leaf, g in zip(setting.leaves, setting.gradient, strict=True))


def _lost(array: Array, gradient: Array) -> Array:
    if not array.ndim or not array.size:
        return gradient
    with np.errstate(all="ignore"):
        zero = (np.exp(array - array.max(axis=-1, keepdims=True)) == 0) & np.isfinite(array)
    return np.where(np.any(zero, axis=-1, keepdims=True), np.nan, gradient)


def _inject(rule: Rule) -> Rule:
    return injected(rule, _below)


def _recognise(context: Context) -> Finding | None:
    for edge in edges(context, ("apart", "apart down", "rows apart")):
        if (dtype := edge.near(UNDERFLOW)) is None:
            continue
        x, limit = edge.path, float(np.floor(UNDERFLOW[dtype]))
        if edge.move == "rows apart":
            says = (
                f"all exponentials of a row of {x} underflow to 0 where another row is more than {limit:.0f} above it "
            )
            says += f"({dtype}), and 0 / 0 is left: the maximum is that of the whole array"
            change = f"take the maximum of each row, {x}.max(axis=-1, keepdims=True)"
        else:
            says = f"a probability underflows to 0 where entries of a row of {x} are more than {limit:.0f} apart "
            says += f"({dtype}), and is then divided by, or its logarithm taken"
            change = f"work with logarithms, ({x} - max) - log(sum(exp({x} - max))), and divide by no probability"
        return Finding(_NAME, says, change, edge.evidence, edge.above.point)
    return None


MISTAKE = Mistake(_NAME, _inject, _recognise)
