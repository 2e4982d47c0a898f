"""The backward does not know an option: a smoothing, a penalty, class weights, a temperature, a cap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Finding
from gradcheck.mistakes.making import injected, named
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.options import Option, option_named, options_of, shown
from gradcheck.mistakes.setting import Gradient, Setting
from gradcheck.rule import Rule

__all__ = ["MISTAKE", "Altered", "altered", "first_altered", "recognised"]

_NAME = "option missing"

Altered = Callable[[Any], Any]
Told = Callable[[Option, str, Altered], tuple[str, str]]

# Where a term vanishes that is added, what is not asked for, and a factor that is 1: in this order, since a cap of 1 is
# no cap that is absent.
_NEUTRAL: Mapping[str, Altered] = {
    "0": lambda value: 0.0 if np.ndim(value) == 0 and value else value,
    "None": lambda value: None if np.any(value) else value,
    "1": lambda value: np.ones_like(value) if np.ndim(value) else 1.0 if value else value,
}


def altered(name: str, alter: Altered, setting: Setting) -> Gradient | None:
    """Give the right gradient with one option at another value; None where there is no such option, or no gradient."""
    option = option_named(setting, name)
    if option is None:
        return None
    found = option.at(alter(option.value))
    return found if found is not None and all(np.all(np.isfinite(g)) for g in found) else None


def first_altered(alterations: Mapping[str, Altered], setting: Setting) -> Gradient | None:
    """Give the gradient with the first option at the first value that there is a gradient for, changed or not.

    Whole numbers, such as the label to ignore or a size of blocks, are no matter of degree.
    """
    for option in options_of(setting):
        for alter in () if isinstance(option.value, int) else alterations.values():
            if not np.array_equal(alter(option.value), option.value):
                found = altered(option.name, alter, setting)
                if found is not None:
                    return found
    return None


def _inject(rule: Rule) -> Rule:
    return injected(rule, partial(first_altered, _NEUTRAL))


def recognised(context: Context, name: str, alterations: Mapping[str, Altered], told: Told) -> Finding | None:
    """Name the first option that explains the failure at one of the values it may be altered to."""
    for option in options_of(context.origin):
        for what, alter in alterations.items():
            says, change = told(option, what, alter)
            found = named(context, name, partial(altered, option.name, alter), says, change)
            if found is not None:
                return found
    return None


def _told(option: Option, neutral: str, _: Altered) -> tuple[str, str]:
    says = f"the backward does not know {option.name}: it answers as if that were {neutral}"
    says += f", where it is {value}" if (value := shown(option.value)) else ""
    return says, f"differentiate what the forward does with {option.name} too, and put it into the gradient"


def _recognise(context: Context) -> Finding | None:
    return recognised(context, _NAME, _NEUTRAL, _told)


MISTAKE = Mistake(_NAME, _inject, _recognise)
