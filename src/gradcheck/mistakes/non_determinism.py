"""The same call gives another answer each time, in no order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradcheck.laws.running import Results, difference, equal
from gradcheck.mistakes.asking import apart, distance, points_of, pulled
from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Evidence, Finding
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.state import LAWS, grows
from gradcheck.mistakes.wrapping import Asked, wrapped
from gradcheck.rule import Point, Rule
from gradcheck.tree import flatten

__all__ = ["MISTAKE"]

# What goes wrong at one call in five is seen among these with a probability of 93 %.
_CALLS = 12
# Where no law says that calls differ, a few are enough to see it.
_FEW = 3
# Sums in another order differ by some roundings, which make no number wrong.
_LAST_DIGITS = 64.0
# As large as a dropped update of one in a thousand, far beyond the rounding of float32.
_NOISE = 1e-3


def _inject(rule: Rule) -> Rule:
    return wrapped(rule, _noisy())


def _noisy() -> Callable[[Asked, Any], Any]:
    import jax

    rng = np.random.default_rng(0)

    def disturbed(result: Any) -> Any:
        array = np.asarray(result)
        return np.asarray(array * (1 + _NOISE * rng.standard_normal(array.shape))).astype(array.dtype)

    return lambda asked, cotangent: jax.tree_util.tree_map(disturbed, asked.pullback(cotangent))


def _recognise(context: Context) -> Finding | None:
    # numbers come before laws, and where noise is not in the last digits, it makes them wrong as well
    by_law = context.breach is not None and context.breach.law in LAWS
    return next(filter(None, (_seen(context, point, by_law) for point in points_of(context))), None)


def _seen(context: Context, point: Point, by_law: bool) -> Finding | None:
    flat = flatten(context.rule, point)
    answers: list[Results] = []
    for call in range(_CALLS):
        found = pulled(context, flat, point.cotangent)
        if found is None or (call == _FEW and not by_law and all(equal(answers[0], a, bits=True) for a in answers)):
            return None
        answers.append(found.kept)
    other = max(answers[1:], key=lambda answer: apart(answers[0], answer))
    if equal(answers[0], other, bits=True) or grows(answers) or not (by_law or apart(answers[0], other) > _LAST_DIGITS):
        return None
    seen = difference(flat, answers[0], other)
    distinct = len({tuple(b"" if a is None else a.tobytes() for a in answer) for answer in answers})
    says = f"the same call on the same arguments gives {distinct} different answers in {_CALLS}: {seen}"
    change = (
        "hand randomness over as an argument (a seed, a mask that the forward keeps), and look for threads that add to "
        "one cell or memory that is read before it is written (np.empty)"
    )
    evidence = Evidence(f"{_CALLS} answers to the same call", _far(context, point, answers[0], other), 0.0, by_law=True)
    return Finding("non-determinism", says, change, (evidence,), point)


def _far(context: Context, point: Point, one: Results, other: Results) -> float:
    return distance(context, one, other) if point is context.point else apart(one, other)


MISTAKE = Mistake("non-determinism", _inject, _recognise)
