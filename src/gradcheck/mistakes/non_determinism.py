"""The same call gives another answer each time, in no order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradcheck.laws.running import difference, equal
from gradcheck.mistakes.asking import distance, pulled
from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Evidence, Finding
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.state import LAWS, grows
from gradcheck.mistakes.wrapping import Asked, wrapped
from gradcheck.rule import Rule
from gradcheck.tree import flatten

__all__ = ["MISTAKE"]

# What goes wrong at one call in five is seen among these with a probability of 93 %.
_CALLS = 12
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
    if context.breach is None or context.breach.law not in LAWS:
        return None
    found = [pulled(context) for _ in range(_CALLS)]
    answers = [p.kept for p in found if p is not None]
    if len(answers) < _CALLS:
        return None
    other = next((a for a in answers[1:] if not equal(answers[0], a, bits=True)), None)
    if other is None or grows(answers):
        return None
    seen = difference(flatten(context.rule, context.point), answers[0], other)
    distinct = len({tuple(b"" if a is None else a.tobytes() for a in answer) for answer in answers})
    says = f"the same call on the same arguments gives {distinct} different answers in {_CALLS}: {seen}"
    change = (
        "hand randomness over as an argument (a seed, a mask that the forward keeps), and look for threads that add to "
        "one cell or memory that is read before it is written (np.empty)"
    )
    evidence = Evidence("the same call again", distance(context, answers[0], other), 0.0)
    return Finding("non-determinism", says, change, (evidence,), context.point)


MISTAKE = Mistake("non-determinism", _inject, _recognise)
