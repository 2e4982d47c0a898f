"""Primitives that move and add: on dyadic numbers, whose sums round nothing, the balls are XLA's floats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gradcheck.oracles.balls import Balls
from gradcheck.oracles.balls.moves import MOVES
from gradcheck.oracles.balls.values import exact, radii, to_floats
from gradcheck.oracles.program.jaxpr import Leaf, Plan, Signature, plan

pytest.importorskip("flint")

X = np.array([[0.5, -1.25, 2.0], [3.5, 0.125, -0.75]])
B = X > 0
K = np.array([[2, 0, 1], [1, 2, 0]])
J = np.array([1, 0])

# primitive -> (function that uses it, arguments)
TABLE: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "add": (lambda x: x + x[:1], (X,)),
    "broadcast_in_dim": (lambda x: jnp.broadcast_to(x[:, None, :], (2, 4, 3)), (X,)),
    "concatenate": (lambda x: jnp.concatenate([x, x[::-1]], axis=1), (X,)),
    "copy": (jnp.copy, (X,)),
    "cumprod": (lambda x: (lax.cumprod(x, axis=0), lax.cumprod(x, axis=1, reverse=True)), (X,)),
    "cumsum": (lambda x: (lax.cumsum(x, axis=1), lax.cumsum(x, axis=0, reverse=True)), (X,)),
    "dot_general": (
        lambda x: (x @ x.T, jnp.einsum("bij,bkj->bik", x[:, None], x[:, None]), x[:, :0] @ x[:, :0].T, x[0] @ x[1]),
        (X,),
    ),
    "dynamic_slice": (lambda x, j: lax.dynamic_slice(x, (j[0], 5), (1, 2)), (X, J)),
    "dynamic_update_slice": (lambda x, j: lax.dynamic_update_slice(x, x[:1, :2], (j[0], 9)), (X, J)),
    "gather": (
        lambda x, i, j: (
            x[jnp.arange(2), j],
            jnp.take_along_axis(x, i, axis=1),
            x.at[:, j].get(mode="clip"),
            x.at[:, j + 2].get(mode="fill"),
            x.at[jnp.array([-1, 5])].get(mode="fill", fill_value=9.0),
            jnp.take(x, jnp.array([[0, 1], [2, 0]]), axis=1),
            x[j],
        ),
        (X, K, J),
    ),
    "mul": (lambda x: x * x, (X,)),
    "neg": (lambda x: -x, (X,)),
    "pad": (lambda x: lax.pad(x, 7.0, ((1, -1, 0), (-1, 2, 1))), (X,)),
    "reduce_prod": (lambda x: (x.prod(axis=1), x[:0].prod(axis=0)), (X,)),
    "reduce_sum": (lambda x: (x.sum(axis=1), x.sum(), x[:, :0].sum(axis=1)), (X,)),
    "reshape": (lambda x: x.reshape(3, 2), (X,)),
    "rev": (lambda x: x[::-1, ::-1], (X,)),
    "scatter": (lambda x, j: (x.at[jnp.arange(2), j].set(0.5), x.at[1].set(x[0])), (X, J)),
    "scatter-add": (
        lambda x, j: (x.at[jnp.arange(2), j].add(1.5), x.at[jnp.array([0, 0])].add(x), x.at[j + 1].add(x, mode="drop")),
        (X, J),
    ),
    "scatter-mul": (lambda x, j: (x.at[jnp.array([0, 0])].multiply(x), x.at[:, j].multiply(2.0)), (X, J)),
    "select_n": (
        lambda b, x, i: (jnp.where(b, x, x[::-1]), lax.select_n(i, x, x[::-1], x[:, ::-1])),
        (B, X, K.astype(np.int32)),
    ),
    "slice": (lambda x: x[:, ::2], (X,)),
    "split": (lambda x: jnp.split(x, [1], axis=1), (X,)),
    "squeeze": (lambda x: jnp.squeeze(x[:, :1], 1), (X,)),
    "stop_gradient": (lambda x: lax.stop_gradient(x) * 1, (X,)),
    "sub": (lambda x: x - x[1], (X,)),
    "transpose": (lambda x: x.T, (X,)),
}
# Primitives that no public function of both JAX versions leads to on its own; what they do is tested beside.
ELSEWHERE = {"add_any", "copy_p", "polynomial"}


def planned(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Plan:
    tree = jax.tree_util.tree_structure((tuple(0 for _ in arguments), {}))
    # nothing is differentiated: the program is the function itself
    return plan(function, Signature(tree, tuple(Leaf(a.shape, a.dtype.name, False) for a in arguments)))


def xla(function: Callable[..., Any], arguments: tuple[Any, ...]) -> list[Any]:
    with jax.enable_x64(True):
        return [np.asarray(v) for v in jax.tree_util.tree_leaves(function(*map(jnp.asarray, arguments)))]


def test_every_primitive_is_in_the_table() -> None:
    assert set(TABLE) | ELSEWHERE == set(MOVES)


@pytest.mark.parametrize("name", TABLE)
def test_balls_are_the_numbers_of_xla(name: str) -> None:
    function, arguments = TABLE[name]
    program = planned(function, arguments)
    truth = xla(function, arguments)
    found = Balls(program, [*arguments, *(np.zeros(t.shape) for t in truth)]).truth()
    assert len(truth) == program.n_values
    for value, error, expected in zip(found.value, found.error, truth, strict=False):
        np.testing.assert_array_equal(value, expected)
        assert not error[np.isfinite(expected)].any()


@pytest.mark.parametrize("name", sorted(set(TABLE) - {"broadcast_in_dim", "neg"}))
def test_a_radius_moves_with_its_ball(name: str) -> None:
    function, arguments = TABLE[name]
    program = planned(function, arguments)
    cotangents = [np.zeros(t.shape) for t in xla(function, arguments)]
    wide, narrow = (Balls(program, [*arguments, *cotangents]).radius(bits) for bits in (8, 53))
    for a, b in zip(wide, narrow, strict=True):
        assert np.all((b < a) | (a == 0) | np.isinf(a))
        assert np.all(b <= 2.0**-44 * a, where=np.isfinite(a))  # 2^-45 of it, and what the bounds round up


def test_a_polynomial_is_evaluated_at_its_ball() -> None:
    value = MOVES["polynomial"]({})(exact(X), *(exact(np.asarray(c)) for c in (1.0, 2.0, 0.5)))
    np.testing.assert_array_equal(to_floats(value)[0], 1 + 2 * X + 0.5 * X * X)


def test_sums_of_cotangents_add() -> None:
    for name in {"add_any", "copy_p"} & set(MOVES):
        operands = [exact(X)] * (2 if name == "add_any" else 1)
        result = MOVES[name]({})(*operands)
        np.testing.assert_array_equal(to_floats(result)[0], len(operands) * X)
        assert not radii(result).any()
