"""Programs: one trace for all shapes of a pattern, evaluated in three arithmetics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradcheck.oracles.program.jaxpr import Leaf, Signature, Static, Untraceable, plan

ONE = np.asarray(1.0)


def signature(*arrays: np.ndarray[Any, Any]) -> Signature:
    tree = jax.tree_util.tree_structure((tuple(0 for _ in arrays), {}))
    return Signature(tree, tuple(Leaf(a.shape, a.dtype.name, a.dtype.kind == "f") for a in arrays))


def nll(z: Any, y: Any) -> Any:
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1))


def test_equal_sizes_share_a_symbol_and_zero_and_one_stay() -> None:
    z, y = np.zeros((3, 1)), np.zeros(3, dtype=np.int64)
    generic, sizes = signature(z, y).generic()
    assert [leaf.shape for leaf in generic.leaves if isinstance(leaf, Leaf)] == [("n0", 1), ("n0",)]
    assert sizes == {"n0": 3}


def test_one_trace_serves_every_shape_of_a_pattern() -> None:
    traces = []

    def counted(z: Any, y: Any) -> Any:
        traces.append(z.shape)
        return nll(z, y)

    rng = np.random.default_rng(0)
    for n, k in ((4, 3), (7, 5), (2, 9), (32, 12)):
        z, y = rng.normal(size=(n, k)), rng.integers(0, k, n)
        _, gradient = plan(counted, signature(z, y)).values([z, y, ONE])
        with jax.enable_x64(True):
            truth = jax.grad(nll)(jnp.asarray(z), jnp.asarray(y))
        np.testing.assert_allclose(gradient, truth, rtol=0, atol=8 * np.finfo(float).eps)
    assert len({str(shape) for shape in traces}) == 1


@pytest.mark.parametrize("shape", [(1, 4), (4, 1), (0, 3), (5, 5), (1, 1)])
def test_special_sizes_get_programs_of_their_own(shape: tuple[int, int]) -> None:
    z, y = np.linspace(-1, 1, shape[0] * shape[1]).reshape(shape), np.zeros(shape[0], dtype=np.int64)
    gradient = plan(nll, signature(z, y)).values([z, y, ONE])[1]
    with jax.enable_x64(True):
        truth = jax.grad(nll)(jnp.asarray(z), jnp.asarray(y))
    np.testing.assert_allclose(gradient, truth, rtol=0, atol=8 * np.finfo(float).eps)


def test_a_python_branch_on_a_size_is_traced_per_shape() -> None:
    def mean(x: Any) -> Any:
        return (x * x).sum() / len(x)

    for n in (2, 3):
        x = np.arange(1.0, n + 1)
        np.testing.assert_array_equal(plan(mean, signature(x)).values([x, ONE])[1], 2 * x / n)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: np.sin(x), "TracerArrayConversionError"),
        (lambda x: jnp.linalg.eigvalsh(jnp.outer(x, x)), "primitive 'eigh'"),
        (lambda _: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_untraceable_says_why(function: Callable[[Any], Any], reason: str) -> None:
    x = np.arange(3.0)
    with pytest.raises(Untraceable, match=reason):
        plan(function, signature(x))


def test_dead_equations_are_dropped() -> None:
    def function(x: Any) -> Any:
        _ = jnp.linalg.eigvalsh(jnp.outer(x, x))  # lacked by the interpreter, and of no consequence
        return (2 * x).sum()

    x = np.arange(3.0) + 1
    assert len(plan(function, signature(x)).steps) < 6


def test_static_arguments_are_part_of_the_program() -> None:
    def power(x: Any, exponent: int) -> Any:
        return (x**exponent).sum()

    tree = jax.tree_util.tree_structure(((0, 0), {}))
    x = np.array([2.0, 3.0])
    for exponent in (2, 3):
        bound = plan(power, Signature(tree, (Leaf(x.shape, "float64", True), Static(exponent))))
        np.testing.assert_allclose(bound.values([x, ONE])[1], exponent * x ** (exponent - 1), rtol=1e-15)


def test_forward_mode_is_the_other_half_of_a_dot_product_test() -> None:
    rng = np.random.default_rng(1)
    z, y = rng.normal(size=(4, 3)), rng.integers(0, 3, 4)
    direction = rng.normal(size=(4, 3))
    gradient = plan(nll, signature(z, y)).values([z, y, ONE])[1]
    tangent = plan(nll, signature(z, y), mode="forward").values([z, y, direction])[1]
    np.testing.assert_allclose(np.vdot(gradient, direction), tangent, rtol=1e-13)


def test_magnitude_is_the_size_of_the_summands_not_of_the_sum() -> None:
    def cancelling(x: Any) -> Any:
        return ((x + 1e6) - 1e6).sum() * 0.5

    x = np.array([0.25, -3.0])
    bound = plan(cancelling, signature(x))
    value, gradient = bound.magnitudes(bound.trace([x, ONE]))
    np.testing.assert_allclose(value, 0.5 * np.sum(np.abs(x) + 2e6), rtol=1e-15)
    np.testing.assert_array_equal(gradient, [0.5, 0.5])


def test_spread_is_the_condition_number() -> None:
    """exp at x reacts to a relative error of its argument with x exp(x): the spread comes near, never far above."""
    x = np.array([50.0])
    bound = plan(lambda v: jnp.exp(v).sum(), signature(x))
    spread = bound.spread([x, ONE], bound.trace([x, ONE]), runs=200, seed=0)[1]
    assert 0.9 * 50 * np.exp(50.0) < spread[0] < 1.1 * 52 * np.exp(50.0)


def test_comparisons_are_replayed() -> None:
    """A tie stays a tie in perturbed runs: the gradient of max there is not a matter of chance."""
    x = np.array([1.0, 1.0])
    bound = plan(lambda v: jnp.max(v), signature(x))
    np.testing.assert_array_equal(bound.values([x, ONE])[1], [0.5, 0.5])
    assert np.all(bound.spread([x, ONE], bound.trace([x, ONE]), runs=8, seed=0)[1] < 4)


def test_no_setting_of_jax_is_changed() -> None:
    before = jax.numpy.ones(1).dtype
    z, y = np.zeros((3, 2)), np.zeros(3, dtype=np.int64)
    plan(nll, signature(z, y))
    assert jax.numpy.ones(1).dtype == before == np.float32
