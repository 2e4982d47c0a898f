"""The true gradient of a plain NumPy function, from nothing but its own values to sixty digits.

NumPy calls the elements of an object array for its arithmetic (``a + b`` becomes ``a.__add__(b)``, ``np.exp``
becomes ``.exp()``), so the very forward of a rule runs on the numbers below. A central difference with step
1e-20 of values that carry 60 digits is then right to about 1e-38, and nothing here knows any derivative.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import total_ordering
from typing import Any

import numpy as np

from .specimen import Arguments, Array, Forward

DIGITS = 60
STEP = Decimal("1e-20")


@total_ordering
class Number:
    """A decimal number with the operations that the forwards use."""

    def __init__(self, value: Any) -> None:
        self.value: Decimal = value if isinstance(value, Decimal) else Decimal(float(value))

    def __add__(self, other: Any) -> Number:
        return Number(self.value + _decimal(other))

    def __mul__(self, other: Any) -> Number:
        return Number(self.value * _decimal(other))

    def __truediv__(self, other: Any) -> Number:
        return Number(self.value / _decimal(other))

    def __rtruediv__(self, other: Any) -> Number:
        return Number(_decimal(other) / self.value)

    def __sub__(self, other: Any) -> Number:
        return Number(self.value - _decimal(other))

    def __rsub__(self, other: Any) -> Number:
        return Number(_decimal(other) - self.value)

    def __pow__(self, power: Any) -> Number:
        return Number(self.value ** _decimal(power))

    def __neg__(self) -> Number:
        return Number(-self.value)

    def __abs__(self) -> Number:
        return Number(abs(self.value))

    def __lt__(self, other: Any) -> bool:
        return self.value < _decimal(other)

    def __eq__(self, other: object) -> bool:
        return self.value == _decimal(other)

    __radd__ = __add__
    __rmul__ = __mul__
    __hash__ = None  # type: ignore[assignment]  # the way to say that a class with __eq__ is not hashable

    def exp(self) -> Number:
        return Number(self.value.exp())

    def log(self) -> Number:
        return Number(self.value.ln())

    def sqrt(self) -> Number:
        return Number(self.value.sqrt())

    def tanh(self) -> Number:
        small = (-2 * abs(self.value)).exp()
        return Number(((1 - small) / (1 + small)).copy_sign(self.value))


def _decimal(value: Any) -> Decimal:
    return value.value if isinstance(value, Number) else Decimal(float(value))


class Numbers(np.ndarray[Any, Any]):
    """An array of numbers in which a float, as the bound in ``np.maximum(x, 0.0)``, becomes a number too."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: Any, *inputs: Any, **options: Any) -> Any:
        if "out" in options:
            options["out"] = tuple(np.asarray(out) for out in options["out"])
        result = getattr(ufunc, method)(*(np.asarray(_numbers(array)) for array in inputs), **options)
        return result.view(Numbers) if isinstance(result, np.ndarray) and result.dtype == object else result


def _numbers(array: Any) -> Numbers:
    array = np.asarray(array)
    numbers = np.empty(array.shape, dtype=object)
    for index in np.ndindex(array.shape):
        value = array[index]
        numbers[index] = value if isinstance(value, Number) else Number(value)
    return numbers.view(Numbers)


def directional_difference(forward: Forward, args: Arguments, cotangent: Any, at: int, along: Array) -> Number:
    """Return the central difference of ``<cotangent, forward>`` in argument ``at`` along a direction."""
    values = [_value(forward, args, cotangent, at, sign * along) for sign in (1, -1)]
    return (values[0] - values[1]) / (2 * STEP)


def one_sided_difference(forward: Forward, args: Arguments, cotangent: Any, at: int, along: Array) -> float:
    """Return the forward difference, which is the one-sided derivative where there is a kink."""
    with localcontext() as context:
        context.prec = DIGITS
        moved = _value(forward, args, cotangent, at, along) - _value(forward, args, cotangent, at, 0 * along)
        return float((moved / STEP).value)


def _value(forward: Forward, args: Arguments, cotangent: Any, at: int, along: Array) -> Number:
    moved = [_numbers(arg) if position in forward.argnums else arg for position, arg in enumerate(args)]
    moved[at] = moved[at] + _numbers(along) * Number(STEP)
    return Number(np.sum(_numbers(cotangent) * forward.fun(*moved)).value)


def true_gradient(forward: Forward, args: Arguments, cotangent: Any) -> tuple[Array, ...]:
    """Return the gradient of ``<cotangent, forward(*args)>`` in each differentiated argument, as float64."""
    gradients = []
    with localcontext() as context:
        context.prec = DIGITS
        for at in forward.argnums:
            gradient = np.empty(np.shape(args[at]))
            for index in np.ndindex(gradient.shape):
                along = np.zeros(gradient.shape)
                along[index] = 1
                gradient[index] = float(directional_difference(forward, args, cotangent, at, along).value)
            gradients.append(gradient)
    return tuple(gradients)
