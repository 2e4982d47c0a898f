"""An exponential overflows, and the answer is NaN or infinite where the forward is not."""

from __future__ import annotations

import numpy as np

from gradcheck.mistakes.context import Context
from gradcheck.mistakes.extremes import OVERFLOW, Edge, edges
from gradcheck.mistakes.finding import Finding
from gradcheck.mistakes.making import injected
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.setting import Gradient, Setting
from gradcheck.rule import Rule
from gradcheck.tree import Array

__all__ = ["MISTAKE"]

_NAME = "overflow"
# What is squared on the way, as in exp(-x) / (1 + exp(-x))**2, overflows at half the exponent.
_POWERS = (1.0, 2.0)


def _beyond(setting: Setting) -> Gradient:
    """Make NaN of the rows whose largest entry has no finite exponential."""
    return tuple(_lost(leaf.array, g) for leaf, g in zip(setting.leaves, setting.gradient, strict=True))


def _lost(array: Array, gradient: Array) -> Array:
    with np.errstate(all="ignore"):
        infinite = np.isinf(np.exp(array))
    rows = np.any(infinite, axis=-1, keepdims=True) if array.ndim else infinite
    return np.where(rows, np.nan, gradient)


def _inject(rule: Rule) -> Rule:
    return injected(rule, _beyond)


def _recognise(context: Context) -> Finding | None:
    for edge in edges(context, ("up", "down", "apart", "apart down")):
        for power in _POWERS:
            if (found := edge.near(OVERFLOW, power)) is not None:
                says, change = _said(edge, found, OVERFLOW[found] / power, "exp" if power == 1 else "the square of exp")
                return Finding(_NAME, says, change, edge.evidence, edge.above.point)
    return None


def _said(edge: Edge, dtype: str, limit: float, what: str) -> tuple[str, str]:
    x, limit = edge.path, float(np.floor(limit))
    right = f"the answer is right below and not finite beyond ({dtype})"
    if edge.move == "up":
        says = f"{what} of {x} overflows beyond {limit:.0f}: {right}"
        return says, f"subtract the row's maximum first: np.exp({x} - {x}.max(axis=-1, keepdims=True))"
    if edge.move == "down":
        says = f"{what} of -{x} overflows where {x} is below -{limit:.0f}: {right}"
        return says, f"exponentiate -abs({x}) only, and put the two signs together with np.where"
    says = f"{what} overflows where entries of a row of {x} are more than {limit:.0f} apart: {right}"
    return says, f"shift by the row's maximum, {x}.max(axis=-1, keepdims=True), not by its least or first entry"


MISTAKE = Mistake(_NAME, _inject, _recognise)
