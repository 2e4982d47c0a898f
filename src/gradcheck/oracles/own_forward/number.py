"""The numbers that a NumPy forward is run on: each is a ball, and remembers what it was computed from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.oracles.own_forward.rules import BINARY, UNARY
from gradcheck.oracles.own_forward.tape import OF_ANOTHER_RUN, Answer, Tape, Unserved

if TYPE_CHECKING:
    from flint import arb

__all__ = ["Number", "ball_of", "binary", "is_plain", "place_of", "unary"]

_AS_FLOAT = (
    "a number computed from the inputs would become a Python float, which cannot say how it depends on them (write "
    "into an array made like the inputs, np.zeros_like, and call NumPy's functions rather than others')"
)


def is_plain(value: Any) -> bool:
    """Whether a value is a real number of Python's or a real scalar of NumPy's."""
    return isinstance(value, (float, int, np.integer, np.floating, np.bool_))


class Number:
    """A real number of a run: its ball, and its place on the tape (-1 for what depends on no input).

    It does what a NumPy float64 scalar does. Functions go by name to `gradcheck.oracles.own_forward.functions`, which
    both NumPy's loops over objects and its dispatch find.
    """

    __slots__ = ("ball", "index", "tape")
    __hash__ = None  # type: ignore[assignment]  # equality is a question to the tape, so there is none

    def __init__(self, tape: Tape, ball: arb, index: int = -1) -> None:
        self.tape, self.ball, self.index = tape, ball, index

    @property
    def real(self) -> Number:
        """Give the number itself, as for a float."""
        return self

    @property
    def imag(self) -> float:
        """Give 0, as for a float."""
        return 0.0

    def __repr__(self) -> str:
        return f"{float(self.ball):.17g}"

    def __format__(self, spec: str) -> str:
        return format(float(self.ball), spec)

    def __copy__(self) -> Number:
        return self

    def __deepcopy__(self, memo: object) -> Number:
        return self

    def __float__(self) -> float:
        ball = self.ball
        if self.index >= 0:
            raise TypeError(_AS_FLOAT)

        def question() -> float:
            self.tape.require_known(ball)
            if not ball.is_exact() and not ball.is_nan():
                raise TypeError("a number computed from the data would be rounded to a Python float")
            return float(ball)

        return self.tape.decide(question)

    def __int__(self) -> int:
        return -_whole(-self) if self < 0 else _whole(self)

    def __bool__(self) -> bool:
        return self.tape.order(self.ball, self.tape.ball(0.0)) != 0

    def __lt__(self, other: Any) -> Any:
        return self._ordered(other, (-1,))

    def __le__(self, other: Any) -> Any:
        return self._ordered(other, (-1, 0))

    def __gt__(self, other: Any) -> Any:
        return self._ordered(other, (1,))

    def __ge__(self, other: Any) -> Any:
        return self._ordered(other, (1, 0))

    def __eq__(self, other: object) -> Any:
        return self._ordered(other, (0,))

    def __ne__(self, other: object) -> Any:
        return self._ordered(other, (-1, 1, None))

    def _ordered(self, other: Any, answers: tuple[Answer, ...]) -> Any:
        if type(other) is not Number and not is_plain(other):
            return NotImplemented
        return self.tape.order(self.ball, ball_of(self.tape, other)) in answers

    def __neg__(self) -> Number:
        return unary("negative", self)

    def __pos__(self) -> Number:
        return self

    def __abs__(self) -> Any:
        return np.absolute(self)

    def __add__(self, other: Any) -> Any:
        return binary("add", self, other)

    def __radd__(self, other: Any) -> Any:
        return binary("add", other, self)

    def __sub__(self, other: Any) -> Any:
        return binary("subtract", self, other)

    def __rsub__(self, other: Any) -> Any:
        return binary("subtract", other, self)

    def __mul__(self, other: Any) -> Any:
        return binary("multiply", self, other)

    def __rmul__(self, other: Any) -> Any:
        return binary("multiply", other, self)

    def __truediv__(self, other: Any) -> Any:
        return binary("divide", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return binary("divide", other, self)

    def __pow__(self, other: Any) -> Any:
        return binary("power", self, other)

    def __rpow__(self, other: Any) -> Any:
        return binary("power", other, self)

    def __floordiv__(self, other: Any) -> Any:
        return np.floor_divide(self, other)

    def __mod__(self, other: Any) -> Any:
        return np.remainder(self, other)

    # The rest is arrays' business: a number is met by NumPy's functions as an array of one, and has its attributes.
    # (Imported late, for arrays are made of numbers.)

    def __getattr__(self, name: str) -> Any:
        from gradcheck.oracles.own_forward import array as own_array

        return own_array.attribute(self, name)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        from gradcheck.oracles.own_forward import array as own_array

        return own_array.apply(ufunc, method, inputs, options)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from gradcheck.oracles.own_forward import array as own_array

        return own_array.run(function, args, kwargs)


def _whole(number: Number) -> int:
    return int(number.tape.whole(number.ball))


def unary(name: str, x: Number) -> Number:
    """Apply a function of one number from `gradcheck.oracles.own_forward.rules`."""
    value, slope = UNARY[name]
    x.tape.functions.add(name)
    v = value(x.ball)
    edges = ((x.index, slope(x.ball, v)),) if x.index >= 0 else ()
    return Number(x.tape, *x.tape.record(v, (x.ball,), edges))


def binary(name: str, a: Any, b: Any) -> Any:
    """Apply a function of two, at least one of them a `Number`; NotImplemented where the other is no number at all."""
    if type(a) is Number and (type(b) is Number or is_plain(b)):
        tape = a.tape
    elif type(b) is Number and is_plain(a):
        tape = b.tape
    else:
        return NotImplemented
    x, y = ball_of(tape, a), ball_of(tape, b)
    value, by_x, by_y = BINARY[name](x, y)
    return Number(tape, *tape.record(value, (x, y), ((place_of(a), by_x), (place_of(b), by_y))))


def ball_of(tape: Tape, value: Any) -> arb:
    """Give the ball of a number of this tape, or of a plain one."""
    if type(value) is not Number:
        return tape.ball(float(value))
    if value.tape is not tape:
        raise tape.stop(Unserved(OF_ANOTHER_RUN))
    return value.ball


def place_of(value: Any) -> int:
    """Give the place of a number on its tape, and -1 for a plain one."""
    return value.index if type(value) is Number else -1
