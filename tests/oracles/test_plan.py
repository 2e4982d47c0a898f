"""The arithmetics of a plan: what is perturbed, what is replayed, and how large summands are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradcheck.oracles.program.jaxpr import Leaf, Plan, Signature, plan
from gradcheck.oracles.program.noise import Noise

ONE = np.asarray(1.0)


def planned(function: Callable[..., Any], *arguments: Any) -> Plan:
    tree = jax.tree_util.tree_structure((tuple(0 for _ in arguments), {}))
    return plan(function, Signature(tree, tuple(Leaf(a.shape, a.dtype.name, True) for a in arguments)))


@pytest.mark.parametrize("shape", [(), (3,), (40, 50)])
def test_noise_is_relative_bounded_and_never_the_same(shape: tuple[int, ...]) -> None:
    noise, x = Noise(0, 2.0**-10), np.full(shape, 3.0)
    first, second = noise.nudge(x), noise.nudge(x)
    assert first.shape == shape
    assert np.all(np.abs(first - x) <= 3.0 * 2.0**-10)
    assert np.all(first != second)


def test_noise_of_one_seed_grows_with_its_scale() -> None:
    x = np.ones(5000)
    small, large = (Noise(1, scale).nudge(x) - 1.0 for scale in (2.0**-20, 2.0**-18))
    np.testing.assert_allclose(4 * small, large, rtol=0, atol=2.0**-50)


def test_one_run_is_the_first_of_many() -> None:
    x = np.linspace(-1.0, 1.0, 12).reshape(3, 4)
    bound = planned(lambda v: jax.nn.log_softmax(v)[:, 0].sum(), x)
    trace = bound.trace([x, ONE])
    once, often = (bound.spread([x, ONE], trace, runs=runs, seed=0) for runs in (1, 8))
    assert all(np.all(a <= b) for a, b in zip(once, often, strict=True))
    assert np.any(once[1] < often[1])


def test_the_order_of_a_sort_is_replayed() -> None:
    """Equal keys stay in their order in perturbed runs: what is sorted along with them does not change places."""
    x = np.zeros((2, 6))

    def weighted(v: Any) -> Any:
        order = jnp.argsort(v, axis=1)
        return (jnp.take_along_axis(v, order, 1) * np.arange(6.0)).sum()

    bound = planned(weighted, x)
    trace = bound.trace([x, ONE])
    np.testing.assert_array_equal(bound.results(trace)[1], np.tile(np.arange(6.0), (2, 1)))
    assert np.all(bound.spread([x, ONE], trace, runs=8, seed=0)[1] < 6 * 4)


def test_ties_among_keys_have_other_sides() -> None:
    x = np.array([0.0, 0.0, 1.0])
    bound = planned(lambda v: (jnp.sort(v) * np.array([1.0, 2.0, 3.0])).sum(), x)
    trace = bound.trace([x, ONE])
    found = {tuple(side[1].tolist()) for side in bound.sides([x, ONE], trace, unit=2.0**-50, runs=16, seed=0)}
    assert (2.0, 1.0, 3.0) in found


def test_what_keeps_inputs_in_a_domain_keeps_its_sides() -> None:
    x = np.array([1.0 - 2.0**-53, 0.5])
    bound = planned(lambda p: jnp.where(p >= 1.0, 7.0 * p, -jnp.log(p)).sum(), x)
    inputs, trace = [x, ONE], bound.trace([x, ONE])

    def below_one(moved: list[Any]) -> list[Any]:
        return [np.minimum(moved[0], x[0]), moved[1]]

    assert {side[1][0] for side in bound.sides(inputs, trace, unit=2.0**-50, runs=16, seed=0)} == {7.0}
    assert not bound.sides(inputs, trace, unit=2.0**-50, runs=16, seed=0, keep=below_one)
    assert bound.sides_at(inputs, trace, slot=0, entry=0, unit=2.0**-50)
    assert not bound.sides_at(inputs, trace, slot=0, entry=0, unit=2.0**-50, keep=below_one)


def test_a_test_for_nan_has_no_other_side() -> None:
    """1 - sigmoid(100) is 0 in float64, and below 0 when perturbed: its logarithm is then NaN, but not beside 100."""
    x = np.array([100.0, 1.0])
    bound = planned(lambda z: jnp.where(jnp.isnan(jnp.log(1 - jax.nn.sigmoid(z))), 3 * z, z).sum(), x)
    assert not bound.sides([x, ONE], bound.trace([x, ONE]), unit=2.0**-50, runs=16, seed=0)


@pytest.mark.parametrize(
    ("function", "magnitude"),
    [
        (lambda v: jnp.maximum(v + 1e6 - 1e6, 0.0), [2e6 + 2.0, 0.0]),
        (lambda v: jnp.minimum(v + 1e6 - 1e6, 0.0), [0.0, 2e6 + 3.0]),
        (lambda v: jnp.sort(v + jnp.array([1e6, 0.0]) - jnp.array([1e6, 0.0])), [3.0, 2e6 + 2.0]),
        (lambda v: jnp.cumprod(v - 1.0), [3.0, 12.0]),
    ],
    ids=["max", "min", "sort", "cumprod"],
)
def test_magnitudes_go_where_the_values_go(function: Callable[[Any], Any], magnitude: list[float]) -> None:
    x = np.array([2.0, -3.0])
    bound = planned(function, x)
    found = bound.magnitudes(bound.trace([x, np.ones(2)]))[0]
    np.testing.assert_allclose(found, magnitude, rtol=1e-15)


def test_what_a_gather_remembers_is_not_what_it_was_given() -> None:
    """The places of the last call are kept; an array of indices that changes in place gives new ones."""
    x, index = np.arange(5.0), np.array([0, 1])
    tree = jax.tree_util.tree_structure(((0, 0), {}))
    leaves = (Leaf(x.shape, "float64", True), Leaf(index.shape, "int64", False))
    bound = plan(lambda v, i: v[i], Signature(tree, leaves))
    np.testing.assert_array_equal(bound.values([x, index, np.ones(2)])[0], [0.0, 1.0])
    index[:] = [4, 2]
    value, gradient = bound.values([x, index, np.ones(2)])
    np.testing.assert_array_equal(value, [4.0, 2.0])
    np.testing.assert_array_equal(gradient, [0.0, 0.0, 1.0, 0.0, 1.0])


def test_plans_of_several_sizes_share_what_no_size_is_in() -> None:
    """The same indices into arrays of other sizes lead to other places, in whatever order the plans are run."""
    index = np.array([1, 2, 0])
    tree = jax.tree_util.tree_structure(((0, 0), {}))

    def picked(z: Any, y: Any) -> Any:
        return jnp.take_along_axis(z, y[:, None], axis=1)[:, 0]

    sizes, bound = (4, 7, 4, 9), []
    for k in sizes:
        leaves = (Leaf((3, k), "float64", True), Leaf((3,), "int64", False))
        bound.append(plan(picked, Signature(tree, leaves)))
    for k, one in zip(sizes, bound, strict=True):
        z = np.arange(3.0 * k).reshape(3, k)
        value, gradient = one.values([z, index, np.ones(3)])
        np.testing.assert_array_equal(value, z[range(3), index])
        np.testing.assert_array_equal(gradient, np.eye(k)[index])
    shared = [set(map(id, one.steps)) for one in bound]
    assert shared[0] & shared[1]
