"""The answer is not linear in the cotangent: its square, its sign or a clipped one is pulled back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from gradcheck.mistakes.asking import distance
from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Evidence, Finding
from gradcheck.mistakes.making import injected, named
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.setting import Gradient, Setting
from gradcheck.rule import Rule
from gradcheck.tree import Array

__all__ = ["MISTAKE"]

_NAME = "cotangent nonlinear"
_CHANGE = "multiply the local derivative by the cotangent as it comes, once"
_READINGS: tuple[tuple[str, Callable[[Array], Array]], ...] = (
    ("the cotangent is applied twice: its square is pulled back", lambda c: c * c),
    ("the cotangent is applied twice, one time without its sign", lambda c: c * np.abs(c)),
    ("the cotangent loses its sign: its absolute value is pulled back", np.abs),
    ("only the sign of the cotangent is pulled back", np.sign),
    ("the cotangent is clipped to [-1, 1]", lambda c: np.clip(c, -1, 1)),
    ("negative cotangents are dropped: max(cotangent, 0) is pulled back", lambda c: np.maximum(c, 0)),
)
# Doubled, negated, large and small, all exact: what a linear pullback answers is doubled, negated, large and small.
_SCALES = (2.0, -1.0, 64.0, 2.0**-10)


def _of(change: Callable[[Array], Array], setting: Setting) -> Gradient | None:
    if not setting.rule.takes_cotangent:
        return None
    return setting.at({}, [np.asarray(change(c)).astype(c.dtype) for c in setting.cotangents])


def _inject(rule: Rule) -> Rule:
    return injected(rule, partial(_of, _READINGS[0][1]))


def _recognise(context: Context) -> Finding | None:
    if not context.rule.takes_cotangent or (context.breach is not None and context.breach.law != "linear"):
        return None
    for says, change in _READINGS:
        if (found := named(context, _NAME, partial(_of, change), says, _CHANGE)) is not None:
            return found
    return _by_scaling(context)


def _by_scaling(context: Context) -> Finding | None:
    """Where the numbers at the failing point are right, multiples of its cotangent show what becomes of them."""
    origin, here = context.origin, context.evaluate(context.point)
    if context.breach is None or here is None:
        return None
    for scale in _SCALES:
        scaled = [np.asarray(c * c.dtype.type(scale)) for c in origin.cotangents]
        found = context.evaluate(origin.moved({}, scaled))
        if found is None:
            continue
        due = tuple(None if a is None else np.asarray(a * a.dtype.type(scale)) for a in here)
        before = distance(context, due, found) / max(abs(scale), 1.0)
        if before > 1.0:
            says = f"for {scale:g} times the cotangent the answer is not {scale:g} times as large"
            evidence = Evidence(
                f"{scale:g} times the answer, and that to {scale:g} times the cotangent", before, np.inf, by_law=True
            )
            return Finding(_NAME, says, _CHANGE, (evidence,), context.point)
    return None


MISTAKE = Mistake(_NAME, _inject, _recognise)
