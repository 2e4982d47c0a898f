"""The backward applies an option twice: what it answers belongs to twice the option, or to its square."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Finding
from gradcheck.mistakes.making import injected
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.option_missing import Altered, first_altered, recognised
from gradcheck.mistakes.options import Option, shown
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


def _told(option: Option, what: str, alter: Altered) -> tuple[str, str]:
    says = f"the backward applies {option.name} twice: it answers as if it were {what}"
    if value := shown(option.value):
        says += f", {shown(alter(option.value))}, where it is {value}"
    return says, f"let {option.name} act in one place of the gradient only"


def _recognise(context: Context) -> Finding | None:
    return recognised(context, _NAME, _TWICE, _told)


MISTAKE = Mistake(_NAME, _inject, _recognise)
