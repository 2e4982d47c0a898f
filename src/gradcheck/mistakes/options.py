"""The options of a rule: numbers and vectors beside the primals, given at the point or by default."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from gradcheck.mistakes.setting import Gradient, Setting
from gradcheck.rule import is_float

__all__ = ["Option", "option_named", "options_of", "shown"]


@dataclass(frozen=True, eq=False)
class Option:
    """One option at a setting; ``at(value)`` gives the right gradient with another value of it, None if there is none.

    Parameters
    ----------
    name : str
        What the rule's author calls it.
    value : number or array
        What it is here: a number, or an array of at most one axis, such as class weights.
    at : callable
        Gives the gradient at another value.
    """

    name: str
    value: Any
    at: Callable[[Any], Gradient | None]


def options_of(setting: Setting) -> Iterator[Option]:
    """Yield the options: data at the point first, then defaults of the forward's or the reference's parameters.

    A default of 0 or 1 is taken for an option that nobody asked for.
    """
    roles = setting.roles
    names = {*setting.rule.parameters[: len(setting.point.args)], *setting.point.kwargs}
    for datum in setting.data:
        if datum.index not in (roles.labels, roles.soft) and _is_option(datum.value):
            yield Option(datum.name, datum.value, partial(_with_leaf, setting, datum.index))
    for name, value in _defaults(setting).items():
        if (
            name not in names
            and _is_option(value)
            and np.any(np.asarray(value) != 0)
            and np.any(np.asarray(value) != 1)
        ):
            yield Option(name, value, partial(_with_keyword, setting, name))


def option_named(setting: Setting, name: str) -> Option | None:
    """Give the option of a name."""
    return next((option for option in options_of(setting) if option.name == name), None)


def shown(value: Any) -> str:
    """Write a number as a message does, in a few digits; an array is not shown."""
    return "" if np.ndim(value) else f"{float(value):.6g}"


def _is_option(value: Any) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return False
    if isinstance(value, (int, float)):
        return True
    dtype = getattr(value, "dtype", None)
    return isinstance(value, (np.ndarray, np.generic)) and value.ndim <= 1 and dtype is not None and is_float(dtype)


def _defaults(setting: Setting) -> dict[str, Any]:
    """Read the defaults of keywords, those bound by `functools.partial` among them."""
    for function in (setting.rule.forward, setting.rule.reference):
        try:
            parameters = {} if function is None else dict(inspect.signature(function).parameters)
        except (TypeError, ValueError):
            continue
        found = {n: p.default for n, p in parameters.items() if p.default not in (p.empty, None)}
        if found:
            return found
    return {}


def _with_leaf(setting: Setting, index: int, value: Any) -> Gradient | None:
    return setting.at({index: value})


def _with_keyword(setting: Setting, name: str, value: Any) -> Gradient | None:
    point = setting.point
    return setting.elsewhere(replace(point, kwargs={**point.kwargs, name: value}))
