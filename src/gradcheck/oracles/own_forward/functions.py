"""NumPy's elementwise functions on recorded numbers, by name: those of `own_rules`, and those that ask for an order.

At a tie the derivative is the mean of those on both sides: half of each operand of a maximum, 0 for ``abs(0)``. So
``max(z, 0) + log1p(exp(-abs(z)))``, which is smooth, has its derivative at 0, where the branch that a loop happens to
take would give another. (Where the forward asks itself, ``z > 0``, the branch it takes counts.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np

from gradcheck.oracles.own_forward.number import Number, ball_of, binary, place_of, unary
from gradcheck.oracles.own_forward.rules import ALIASES, BINARY, UNARY
from gradcheck.oracles.own_forward.tape import Tape

__all__ = ["PREDICATES", "found", "scalar"]

Function = Callable[..., Any]

PREDICATES = frozenset({
    "equal", "greater", "greater_equal", "isfinite", "isinf", "isnan", "less", "less_equal", "logical_and",
    "logical_not", "logical_or", "logical_xor", "not_equal", "signbit",
})  # fmt: skip


def _tape(a: Any, b: Any) -> Tape:
    tape: Tape = a.tape if type(a) is Number else b.tape
    return tape


def _order(a: Any, b: Any) -> int | None:
    tape = _tape(a, b)
    return tape.order(ball_of(tape, a), ball_of(tape, b))


def _absolute(x: Number) -> Any:
    order = _order(x, 0.0)
    return x * float(order) if order is not None else x


def _sign(x: Number) -> float:
    order = _order(x, 0.0)
    return np.nan if order is None else float(order)


def _maximum(a: Any, b: Any) -> Any:
    order = _order(a, b)
    return _between(a, b) if not order else a if order > 0 else b


def _minimum(a: Any, b: Any) -> Any:
    order = _order(a, b)
    return _between(a, b) if not order else a if order < 0 else b


def _between(a: Any, b: Any) -> Any:
    """Give two equal numbers as one that changes with both, or what is not a number."""
    return a if a is b else 0.5 * a + 0.5 * b


def _clip(x: Any, low: Any, high: Any) -> Any:
    return scalar("minimum", np.minimum)(scalar("maximum", np.maximum)(x, low), high)


def _floor(x: Number) -> float:
    return float(x.tape.whole(x.ball))


def _ceil(x: Number) -> float:
    return -_floor(-x)


def _trunc(x: Number) -> float:
    return _ceil(x) if x < 0 else _floor(x)


def _rint(x: Number) -> float:
    above = _floor(x + 0.5)
    return above - 1 if x + 0.5 == above and above % 2 else above


def _remainder(a: Any, b: Any) -> Any:
    if _has_no_end(a, b):
        return a if a == 0 or (a < 0) == (b < 0) else b
    return a - b * _floor(a / b)


def _fmod(a: Any, b: Any) -> Any:
    return a if _has_no_end(a, b) else a - b * _trunc(a / b)


def _has_no_end(a: Any, b: Any) -> bool:
    """Whether a finite number is divided by infinity, of which 0 times would be NaN."""
    return bool((b == np.inf or b == -np.inf) and -np.inf < a < np.inf)


def _frexp(x: Number) -> tuple[Any, int]:
    if not _isfinite(x) or x == 0:
        return x, 0
    exponent = x.tape.exponent(x.ball)
    return _ldexp(x, -exponent), exponent


def _ldexp(x: Any, exponent: int) -> Any:
    return x * Number(x.tape, x.tape.ball(2.0) ** exponent)


def _isfinite(x: Number) -> bool:
    return _order(x, np.inf) == -1 and _order(x, -np.inf) == 1


def _isinf(x: Number) -> bool:
    return _order(x, np.inf) == 0 or _order(x, -np.inf) == 0


def _logaddexp(a: Any, b: Any) -> Any:
    order = _order(a, b)
    if order is None:
        return a + b
    larger, smaller = (a, b) if order >= 0 else (b, a)
    if order == 0 and _isinf(a if type(a) is Number else b):
        return larger
    return larger + np.log1p(np.exp(smaller - larger))


def _xlogy(x: Any, y: Any) -> Any:
    return _nought(x) if x == 0 and y <= 0 else x * np.log(y)


def _xlog1py(x: Any, y: Any) -> Any:
    return _nought(x) if x == 0 and y <= -1 else x * np.log1p(y)


def _nought(x: Any) -> Any:
    """Give the 0 that stands for 0 times what is not finite: by ``x`` it has no derivative that anybody knows."""
    if type(x) is not Number:
        return 0.0
    return Number(x.tape, *x.tape.record(x.tape.ball(0.0), (x.ball,), ((x.index, x.tape.ball(np.nan)),)))


def _rel_entr(x: Any, y: Any) -> Any:
    return _nought(x) if x == 0 and y >= 0 else x * np.log(x / y)


def _betaln(a: Any, b: Any) -> Any:
    tape = _tape(a, b)
    x, y, both = (unary("gammaln", Number(tape, ball_of(tape, c), place_of(c))) for c in (a, b, a + b))
    return x + y - both


def _huber(delta: Any, r: Any) -> Any:
    size = np.absolute(r)
    return 0.5 * r * r if size <= delta else delta * (size - 0.5 * delta)


# Names are NumPy's and scipy.special's.
_COMPOSED: Mapping[str, Function] = {
    "absolute": _absolute,
    "betaln": _betaln,
    "ceil": _ceil,
    "clip": _clip,
    "conjugate": lambda x: x,
    "copysign": lambda a, b: np.absolute(a) * (-1.0 if b < 0 else 1.0),
    "deg2rad": lambda x: x * (np.pi / 180.0),
    "entr": lambda x: -_xlogy(x, x),
    "equal": lambda a, b: a == b,
    "floor": _floor,
    "floor_divide": lambda a, b: _floor(a / b),
    "fmax": lambda a, b: _maximum(a, b) if a == a and b == b else b if a != a else a,
    "fmin": lambda a, b: _minimum(a, b) if a == a and b == b else b if a != a else a,
    "divmod": lambda a, b: (_floor(a / b), _remainder(a, b)),
    "fmod": _fmod,
    "frexp": _frexp,
    "greater": lambda a, b: a > b,
    "greater_equal": lambda a, b: a >= b,
    "heaviside": lambda x, half: half if x == 0 else 0.5 + 0.5 * np.sign(x),
    "huber": _huber,
    "imag": lambda _: 0.0,
    "isfinite": _isfinite,
    "isinf": _isinf,
    "isnan": lambda x: _order(x, x) is None,
    "kl_div": lambda x, y: _rel_entr(x, y) - x + y,
    "ldexp": _ldexp,
    "less": lambda a, b: a < b,
    "less_equal": lambda a, b: a <= b,
    "log_expit": lambda x: -_logaddexp(0.0, -x),
    "log_ndtr": lambda x: unary("log", unary("ndtr", x)),
    "logaddexp": _logaddexp,
    "logical_and": lambda a, b: bool(a) and bool(b),
    "logical_not": lambda a: not a,
    "logical_or": lambda a, b: bool(a) or bool(b),
    "logical_xor": lambda a, b: bool(a) != bool(b),
    "logit": lambda p: np.log(p) - np.log1p(-p),
    "maximum": _maximum,
    "minimum": _minimum,
    "modf": lambda x: (x - _trunc(x), _trunc(x)),
    "not_equal": lambda a, b: a != b,
    "positive": lambda x: x,
    "pseudo_huber": lambda delta, r: delta * delta * (np.sqrt(1.0 + (r / delta) ** 2) - 1.0),
    "rad2deg": lambda x: x * (180.0 / np.pi),
    "real": lambda x: x,
    "rel_entr": _rel_entr,
    "remainder": _remainder,
    "rint": _rint,
    "sign": _sign,
    "signbit": lambda x: x < 0,
    "trunc": _trunc,
    "xlog1py": _xlog1py,
    "xlogy": _xlogy,
}


@lru_cache(maxsize=1024)
def found(name: str) -> Function | None:
    """Look up a function of scalars, at least one of which is a `Number`."""
    name = ALIASES.get(name, name)
    if name in UNARY:
        return partial(unary, name)
    if name in BINARY:
        return partial(binary, name)
    return _COMPOSED.get(name)


@lru_cache(maxsize=1024)
def scalar(name: str, plain: Function) -> Function:
    """Give a function of scalars that takes plain numbers as well, for which it is the plain function.

    Raises
    ------
    TypeError
        If there is no function of that name.
    """
    function = found(name)
    if function is None:
        raise TypeError(f"{name!r} is not among the functions whose values and derivatives can be enclosed")

    def either(*values: Any) -> Any:
        if Number in map(type, values):
            result = function(*values)
            if result is NotImplemented:
                raise TypeError(f"{name} of {' and '.join(type(x).__name__ for x in values)} is not defined")
            return result
        result = plain(*values)
        # NumPy's scalars would dispatch, slowly
        return result.item() if isinstance(result, np.generic) else result

    return either
