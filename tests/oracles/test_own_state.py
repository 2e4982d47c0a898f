"""What a forward keeps between calls is its own: a run on exact numbers neither finds nor leaves any there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradcheck.oracles.own_forward import OwnDerivative, differentiate
from gradcheck.rule import Point, Rule
from gradcheck.tree import flatten

pytest.importorskip("flint", exc_type=ImportError)


def derivative(forward: Callable[..., Any], *args: Any) -> OwnDerivative:
    rule = Rule(lambda *_: (None, lambda c: c), forward, "keeping")
    return differentiate(forward, flatten(rule, Point(args, {}, None)), [np.ones(())])


WORK: Any = None
CACHE: dict[str, Any] = {}


def writes(z: Any) -> None:
    global WORK
    WORK = np.exp(z)


def reads() -> Any:
    return (WORK * WORK).sum()  # nothing here is replaced


def by_a_global(z: Any) -> Any:
    writes(z)
    return reads()


def with_a_cache(z: Any) -> Any:
    before = CACHE.get("last", z)
    CACHE["last"] = z * 1.0
    return np.sum(z * z) + 0 * np.sum(before)


class Norm:
    def __init__(self) -> None:
        self.mean = np.zeros(2)

    def __call__(self, x: Any) -> Any:
        self.mean = 0.9 * self.mean + 0.1 * x.mean(axis=0)
        return x - x.mean(axis=0)


class Net:
    def __init__(self) -> None:
        self.layers = [Norm(), Norm()]

    def forward(self, x: Any) -> Any:
        self.out = self.layers[1](self.layers[0](x)) * self.layers[0].mean
        return np.sum(self.out)


def test_a_global_that_one_function_writes_is_read_by_the_next() -> None:
    z = np.array([1.0, 2.0])
    by_a_global(np.zeros(2))
    found = derivative(by_a_global, z)
    np.testing.assert_allclose(found.gradient[0], 2 * np.exp(2 * z), rtol=1e-15)
    assert WORK.tolist() == [1.0, 1.0]


def test_nothing_of_a_run_is_left_in_what_a_forward_keeps() -> None:
    calls = 0
    last: Any = None

    def counting(z: Any) -> Any:
        nonlocal calls, last
        calls, last = calls + 1, np.sin(z)
        return np.sum(last)

    z = np.array([1.0, 2.0])
    for forward, slope in ((with_a_cache, 2 * z), (counting, np.cos(z))):
        found = derivative(forward, z)
        np.testing.assert_allclose(found.gradient[0], slope, rtol=1e-15)
        assert np.isfinite(found.radius(53)[0]).all()
    assert CACHE == {}
    assert (calls, last) == (0, None)


def test_nothing_of_a_run_is_left_in_the_layers_of_a_net() -> None:
    net, x = Net(), np.array([[1.0, 2.0], [3.0, 5.0]])
    assert np.isfinite(derivative(net.forward, x).spread[0]).all()
    assert vars(net).keys() == {"layers"}
    assert [layer.mean.tolist() for layer in net.layers] == [[0.0, 0.0]] * 2


class Table:
    def forward(self, x: Any) -> Any:
        CACHE["hidden"] = np.tanh(x)
        return self.head()

    def head(self) -> Any:
        return (CACHE["hidden"] ** 2).sum()


def test_what_methods_share_outside_of_their_object_they_share_in_a_run() -> None:
    x, table = np.array([0.5, 2.0]), Table()
    try:
        table.forward(x)  # leaves an array that knows nothing of a run
        found = derivative(table.forward, x)
        assert type(CACHE["hidden"]) is np.ndarray
    finally:
        CACHE.clear()
    np.testing.assert_allclose(found.gradient[0], 2 * np.tanh(x) / np.cosh(x) ** 2, rtol=1e-14)
