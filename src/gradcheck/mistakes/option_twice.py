"""The backward applies an option twice: what it answers belongs to twice the option, or to its square."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Finding
from gradcheck.mistakes.making import injected, named
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.option_missing import Altered, altered, first_altered
from gradcheck.mistakes.options import options_of, shown
from gradcheck.rule import Rule

__all__ = ["MISTAKE"]

_NAME = "option twice"
# A term that is added twice is twice as large; a factor that is multiplied twice is the square.
_TWICE: Mapping[str, Altered] = {
    "twice that": lambda value: 2 * value if np.ndim(value) else 2 * float(value),
    "its square": lambda value: value**2 if np.ndim(value) else float(value) ** 2,
}


def _inject(rule: Rule) -> Rule:
    return injected(rule, partial(first_altered, _TWICE))


def _recognise(context: Context) -> Finding | None:
    for option in options_of(context.origin):
        for what, alter in _TWICE.items():
            says = f"the backward applies {option.name} twice: it answers as if it were {what}"
            if value := shown(option.value):
                says += f", {shown(alter(option.value))}, where it is {value}"
            change = f"let {option.name} act in one place of the gradient only"
            found = named(context, _NAME, partial(altered, option.name, alter), says, change)
            if found is not None:
                return found
    return None


MISTAKE = Mistake(_NAME, _inject, _recognise)
