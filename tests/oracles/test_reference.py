"""Finding something that JAX can trace: restatement, the forward itself, or NumPy code re-made with jax.numpy."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy import exp

from gradcheck.oracles.reference import candidates, with_jax_numpy

X = np.array([[0.5, -1.0], [2.0, 0.25]])


def helper(x: Any) -> Any:
    return np.tanh(x)


def direct(x: Any) -> Any:
    return np.sum(np.sin(x))


def through_a_helper(x: Any) -> Any:
    return np.sum(helper(x) ** 2)


def by_name(x: Any) -> Any:
    return exp(x).sum()


def factorial_like(x: Any, n: int = 3) -> Any:
    return x.sum() if n == 0 else np.sum(x) * n + factorial_like(x, n - 1)


def nested(x: Any) -> Any:
    def inner(v: Any) -> Any:
        return np.cos(v)

    return inner(x).sum() + sum(np.mean(row) for row in x)


def closure(scale: float) -> Any:
    shift = helper

    def forward(x: Any) -> Any:
        return np.sum(scale * shift(x))

    return forward


class Model:
    def forward(self, x: Any) -> Any:
        return np.sum(np.exp(x))


FORWARDS = [direct, through_a_helper, by_name, nested, closure(2.0), partial(direct), Model().forward]


@pytest.mark.parametrize("forward", FORWARDS, ids=lambda f: getattr(f, "__qualname__", "partial"))
def test_a_numpy_forward_is_remade_with_jax_numpy(forward: Any) -> None:
    remade = with_jax_numpy(forward)
    assert remade is not forward
    with jax.enable_x64(True):
        value, gradient = jax.value_and_grad(remade)(jnp.asarray(X))
    np.testing.assert_allclose(value, forward(X), rtol=1e-14)
    assert gradient.dtype == np.float64


def test_what_does_not_use_numpy_stays_as_it_is() -> None:
    def plain(x: Any) -> Any:
        return (x * x).sum()

    assert with_jax_numpy(plain) is plain
    assert [label for label, _ in candidates(plain, None)] == ["the forward itself"]


def test_the_original_is_untouched() -> None:
    with_jax_numpy(through_a_helper)
    assert through_a_helper.__globals__["np"] is np
    assert isinstance(through_a_helper(X), np.floating)


def test_a_reference_given_stands_alone() -> None:
    assert [label for label, _ in candidates(direct, jnp.sum)] == ["the reference given"]


def test_a_custom_rule_is_never_its_own_reference() -> None:
    @jax.custom_vjp
    def cube(x: Any) -> Any:
        return (x**3).sum()

    cube.defvjp(lambda x: (cube(x), x), lambda x, g: (0.0 * g * x,))  # a wrong rule
    ((_, found),) = candidates(cube, None)
    with jax.enable_x64(True):
        np.testing.assert_allclose(jax.grad(found)(jnp.asarray(X)), 3 * X**2)
    assert not np.allclose(jax.grad(cube)(jnp.asarray(X)), 3 * X**2)


def test_a_forward_that_calls_itself() -> None:
    assert np.isclose(with_jax_numpy(factorial_like)(jnp.asarray([1.0, 2.0])), factorial_like(np.array([1.0, 2.0])))


def test_no_tracer_is_left_in_what_a_forward_keeps() -> None:
    class Layer:
        seen: Any = None
        mean: Any = np.zeros(2)

        def forward(self, x: Any) -> Any:
            self.seen, self.mean = x, 0.9 * self.mean + 0.1 * x.mean(axis=0)
            return np.sum(np.exp(x) * self.mean)

        def operators(self, x: Any) -> Any:
            self.seen = x
            return (x * x).sum()

    layer = Layer()
    for forward in (layer.forward, layer.operators):
        for label, found in candidates(forward, None):
            for rows in (2, 1):  # the second trace finds nothing of the first
                if label != "the forward itself" or forward == layer.operators:
                    jax.jit(jax.grad(found))(jnp.asarray(X[:rows]))
        assert vars(layer) == {}
