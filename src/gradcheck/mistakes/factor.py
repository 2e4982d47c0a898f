"""A factor too much or too little: the gradient has the right direction and the wrong size."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from gradcheck.mistakes.context import Context
from gradcheck.mistakes.drawing import ignoring
from gradcheck.mistakes.finding import Finding
from gradcheck.mistakes.making import injected, named, one_idea, surer
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.options import Option, options_of
from gradcheck.mistakes.setting import Gradient, Sample, Setting

__all__ = ["MISTAKES", "times"]

# What is injected where any constant would do: not a value that has a reading of its own.
_SOME = 1.7
# Named constants that are no mistake of this file: right, negated, doubled, halved, gone.
_KNOWN = (1.0, -1.0, 2.0, 0.5, 0.0)
# What those are called that logits are divided by, so that the chain rule divides by them too.
_DIVIDES = frozenset({"t", "temp", "temperature", "tau"})


def times(setting: Setting, factor: float) -> Gradient:
    """Multiply the gradient by a factor."""
    return tuple(factor * g for g in setting.gradient)


def _fixed(name: str, factor: float, size: str, change: str) -> Mistake:
    """Make the mistake of a factor that is the same everywhere, where all arrays have it."""

    def recognise(context: Context) -> Finding | None:
        return named(context, name, partial(times, factor=factor), size, change) if all(context.wrong) else None

    return Mistake(name, partial(injected, wrong=partial(times, factor=factor)), recognise)


_TWICE = _fixed(
    "factor 2",
    2.0,
    "every entry is 2 times too large: a factor 1/2 is missing, or one too many is left from a square",
    "multiply what the gradient returns by 1/2, or keep the 1/2 of the forward in its derivative",
)
_HALF = _fixed(
    "factor 1/2",
    0.5,
    "every entry is half as large as it should be: the 2 that a square brings down is missing, or a 1/2 is too many",
    "multiply what the gradient returns by 2: d(x^2) is 2 x dx",
)
_ZERO = surer(
    one_idea(
        "zero gradient",
        partial(times, factor=0.0),
        "every entry is zero: nothing is written into what the gradient returns",
        "return the gradient that was computed, not the zeros it was to be added to",
    ),
    ignoring,  # where ignored rows have a gradient, something is written, into the wrong rows
    "a row ignored",
)


# -- numbers of classes --------------------------------------------------------------------------------------------


def _by_classes(setting: Setting, power: int) -> Gradient | None:
    classes = setting.roles.classes
    return times(setting, float(classes) ** power) if classes and classes > 1 else None


def _classes(context: Context) -> str:
    return f"K = {context.origin.roles.classes}"


_K = one_idea(
    "factor K",
    partial(_by_classes, power=1),
    lambda c: f"every entry is K times too large: it is multiplied by the number of classes ({_classes(c)})",
    "take the factor K out of the gradient, or divide by the number of classes as the forward does",
)
_PER_K = one_idea(
    "factor 1/K",
    partial(_by_classes, power=-1),
    lambda c: f"every entry is K times too small: it is divided by the number of classes ({_classes(c)})",
    "divide by the number of rows only: a mean over all N x K entries is not a mean over rows",
)


# -- the temperature, or whatever other number there is among the data -----------------------------------------------


def _by_number(setting: Setting, power: int, name: str | None = None) -> Gradient | None:
    """Multiply by a power of a number among the data: the one of this name, or the first."""
    numbers = [o for o in _numbers(setting) if name is None or o.name == name]
    return times(setting, float(numbers[0].value) ** power) if numbers else None


def _numbers(setting: Setting) -> list[Option]:
    """List the options that are one positive number: a label to ignore is negative, and 1 has no other powers."""
    return [o for o in options_of(setting) if np.ndim(o.value) == 0 and float(o.value) > 0 and float(o.value) != 1.0]


def _powers(power: int, words: str) -> Mistake:
    name = {1: "factor T", -1: "factor 1/T", 2: "factor T^2"}[power]

    def recognise(context: Context) -> Finding | None:
        found = (_numbered(context, name, power, words, number) for number in _numbers(context.origin))
        return next((f for f in found if f is not None), None) if all(context.wrong) else None

    return Mistake(name, partial(injected, wrong=partial(_by_number, power=power)), recognise)


def _numbered(context: Context, name: str, power: int, words: str, number: Option) -> Finding | None:
    factor = {1: number.name, -1: f"1/{number.name}", 2: f"{number.name}^2"}[power]
    says = f"every entry is {factor} times as large as it should be ({number.name} = {float(number.value):g})"
    says += f": {words}" if power != 1 or number.name.lower() in _DIVIDES else ""
    change = f"multiply what the gradient returns by {_inverse(number.name, power)}"
    return named(context, name, partial(_by_number, power=power, name=number.name), says, change)


def _inverse(name: str, power: int) -> str:
    return {1: f"1/{name}", -1: name, 2: f"1/{name}^2"}[power]


_T = (
    _powers(1, "the division that the chain rule brings is missing"),
    _powers(-1, "it is divided by it once too often"),
    _powers(2, "it is multiplied by its square"),
)


# -- any other constant ----------------------------------------------------------------------------------------------


def _constant(context: Context) -> Finding | None:
    """Fit one factor to all samples, where it has no reading of its own."""
    factors = [f for sample in context.samples for f in _ratios(context, sample)]
    if not factors or not all(context.wrong):
        return None
    factor = _rounded(float(np.median(factors)))
    if factor in _KNOWN or not np.isfinite(factor):
        return None
    size = f"{factor:.6g} times as large as it should be"
    return named(
        context,
        "constant factor",
        partial(times, factor=factor),
        f"every entry is {size}, whatever the sizes and values: a constant is wrong",
        f"multiply what the gradient returns by {1 / factor:.6g}, or look for the constant in it",
    )


def _ratios(context: Context, sample: Sample) -> Iterator[float]:
    """Yield the ratio of an array to the reference, where that is large enough to tell."""
    for wrong, mine, its in zip(context.wrong, sample.analytic, sample.reference, strict=True):
        size = float(np.vdot(its, its))
        if wrong and size > 0 and np.all(np.isfinite(mine)):
            yield float(np.vdot(mine, its)) / size


def _rounded(factor: float) -> float:
    """Take a factor for the short number it is near to, where there is one: fitted, it is off by rounding."""
    short = float(f"{factor:.6g}")
    return short if np.isclose(short, factor, rtol=1e-9, atol=0.0) else factor


MISTAKES = (_ZERO, _TWICE, _HALF, _K, _PER_K, *_T)
CONSTANT = Mistake(
    "constant factor",
    partial(injected, wrong=partial(times, factor=_SOME)),
    _constant,
    contains=("sign", "factor N", "factor 1/N", "weights' sum", "kept rows' count", *(m.name for m in MISTAKES)),
)
