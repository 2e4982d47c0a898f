"""Copies of functions in which some names mean something else."""

from __future__ import annotations

import enum
import functools
import math
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from gradcheck.oracles.own_forward.namespace import on_numbers
from gradcheck.oracles.remake import remake

LEVEL = 1.0


def scaled(x: float, *, by: float = 2.0) -> float:
    return by * LEVEL * math.floor(x)


def callee(x: float) -> float:
    return scaled(x) + 1


def recursive(n: int) -> float:
    return math.floor(0.5) if n == 0 else 1 + recursive(n - 1)


def stand_in(value: Any) -> Any:
    return Ceilings if value is math else value


class Ceilings:
    floor = staticmethod(math.ceil)


class Layer:
    def forward(self, x: float) -> float:
        return math.floor(x)

    def __call__(self, x: float) -> float:
        return 10 * math.floor(x)


def test_names_are_replaced_in_a_function_and_in_its_callees() -> None:
    assert remake(callee, stand_in)(1.5) == 5.0
    assert callee(1.5) == 3.0


def test_defaults_partials_methods_closures_and_recursion_are_kept() -> None:
    def enclosed(function: Callable[[float], float]) -> Callable[[float], float]:
        return lambda x: function(x) + LEVEL

    assert remake(scaled, stand_in)(1.5, by=3.0) == 6.0
    assert remake(functools.partial(scaled, by=4.0), stand_in)(1.5) == 8.0
    assert remake(Layer().forward, stand_in)(1.5) == 2.0
    assert remake(Layer(), stand_in)(1.5) == 20.0
    assert remake(enclosed(Layer()), stand_in)(1.5) == 21.0
    assert remake(enclosed(callee), stand_in)(1.5) == 6.0
    assert remake(recursive, stand_in)(3) == 4.0


def test_what_refers_to_nothing_replaced_stays_the_same_object() -> None:
    def plain(x: float) -> float:
        return x * LEVEL

    method = Layer().forward
    for function in (plain, len, np.mean, functools.partial(plain, 1.0), method, Layer(), np.vectorize(len)):
        assert remake(function, lambda value: value) is function


def test_floats_stay_types_in_a_remade_forward() -> None:
    def asks(x: Any) -> tuple[Any, ...]:
        number = float(x)
        return (
            isinstance(number, float),
            np.dtype(np.float64),
            np.zeros(2, dtype=float).tolist(),
            float.fromhex("0x1p1"),
        )

    assert on_numbers(asks)(1) == (True, np.dtype(np.float64), [0.0, 0.0], 2.0)


def test_integers_and_data_arrays_are_converted_as_ever() -> None:
    data = np.arange(3.0)

    def converts(x: Any) -> tuple[Any, ...]:
        return np.asarray(x) is x, np.zeros(2, dtype=int), np.array([1, 2]), np.array(x, dtype=int), np.eye(2)

    same, *others = on_numbers(converts)(data)
    assert same
    assert [o.dtype.kind for o in others] == ["i", "i", "i", "f"]


class Scaler:
    def __init__(self) -> None:
        self.by, self.calls = 2.0, 0

    def __call__(self, x: float) -> float:
        self.calls += 1
        return self.by * math.floor(x)


SCALER = Scaler()


class Registered:
    kinds: ClassVar[list[str]] = []

    def __init_subclass__(cls) -> None:
        Registered.kinds.append(cls.__name__)

    def __call__(self, x: float) -> float:
        return math.floor(x)


class Colour(enum.Enum):
    RED = 1


def test_an_object_that_is_called_keeps_its_attributes_and_its_state() -> None:
    def uses(x: float) -> float:
        return SCALER(x) + SCALER.by + 100 * SCALER.calls + 1000 * isinstance(SCALER, Scaler)

    assert remake(uses, stand_in)(1.5) == 1106.0
    assert SCALER.calls == 0
    assert remake(Registered(), stand_in)(1.5) == 2.0
    assert Registered.kinds == []


def test_a_function_keeps_its_attributes_and_its_names() -> None:
    def counted(x: float, by: Any = math) -> float:
        """Count."""
        counted.calls += 1  # type: ignore[attr-defined]  # that is the point
        return by.floor(x) + 10 * counted.calls  # type: ignore[attr-defined,no-any-return]  # as above

    counted.calls = 1  # type: ignore[attr-defined]  # as above
    made: Any = remake(counted, stand_in)
    assert made(1.5) == 22.0
    assert (made.calls, counted.calls) == (2, 1)  # type: ignore[attr-defined]  # as above
    assert (made.__module__, made.__qualname__, made.__doc__) == (__name__, counted.__qualname__, "Count.")


def test_classes_stay_what_they_are() -> None:
    def uses(x: float) -> float:
        return math.floor(x) * Colour(1).value + (Colour(1) is Colour.RED)

    assert remake(uses, stand_in)(1.5) == 3.0


def test_functions_in_tables_are_remade_and_tables_copied() -> None:
    table: dict[str, Any] = {"floor": callee, "both": [callee, (callee, 1)]}
    seen: deque[float] = deque(maxlen=1)

    def uses(x: float) -> float:
        table["seen"] = x
        seen.append(x)
        return table["floor"](x) + table["both"][0](x) + table["both"][1][0](x)  # type: ignore[no-any-return]  # any

    assert remake(uses, stand_in)(1.5) == 15.0
    assert "seen" not in table
    assert not seen


def test_what_is_linked_without_end_stays_as_it_is() -> None:
    chain: list[Any] = []
    for _ in range(10_000):
        chain = [chain]

    def uses(x: float) -> float:
        return math.floor(x) + len(chain)

    assert remake(uses, stand_in) is uses


def test_what_is_replaced_nowhere_is_copied_if_asked() -> None:
    scaler = Scaler()
    assert remake(scaler, lambda value: value, always=True)(1.5) == 2.0
    assert scaler.calls == 0
