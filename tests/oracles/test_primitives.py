"""Every primitive of the interpreter gives what XLA gives, and the sets that steer error analysis tell the truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gradcheck.oracles.program.jaxpr import Leaf, Plan, Signature, plan
from gradcheck.oracles.program.primitives import BINDERS, EXACT, LINEAR
from gradcheck.oracles.program.special import SPECIAL

X = np.array([[0.5, -1.25, 2.0], [3.5, 0.125, -0.75]])
POSITIVE = np.abs(X) + 0.1
UNIT = X / 4
B = X > 0
K = np.array([[2, 0, 1], [1, 2, 0]])
BITS = np.array([[0, 1, -1], [2**31 - 1, -(2**31), 12345]], dtype=np.int32)
BY = np.full(BITS.shape, 3, dtype=np.int32)
J = np.array([1, 0])

# primitive -> (function that uses it, arguments)
TABLE: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "abs": (jnp.abs, (X,)),
    "acos": (lax.acos, (UNIT,)),
    "acosh": (lax.acosh, (POSITIVE + 1,)),
    "add": (lax.add, (X, X)),
    "and": (lambda b: b & (b ^ b), (B,)),
    "argmax": (lambda x: jnp.argmax(x, axis=1), (X,)),
    "argmin": (lambda x: jnp.argmin(x, axis=0), (X,)),
    "asin": (lax.asin, (UNIT,)),
    "asinh": (lax.asinh, (X,)),
    "atan": (lax.atan, (X,)),
    "atan2": (lax.atan2, (X, POSITIVE)),
    "atanh": (lax.atanh, (UNIT,)),
    "bitcast_convert_type": (
        lambda x: (
            lax.bitcast_convert_type(lax.bitcast_convert_type(x, np.uint64) & np.uint64(2**64 - 2**40), np.float64),
            lax.bitcast_convert_type(x.astype(np.float32), np.int32),
        ),
        (X,),
    ),
    "broadcast_in_dim": (lambda x: jnp.broadcast_to(x[:, None, :], (2, 4, 3)), (X,)),
    "cbrt": (lax.cbrt, (X,)),
    "ceil": (lax.ceil, (X,)),
    "clamp": (lambda x: lax.clamp(-0.5, x, 1.0), (X,)),
    "clz": (lambda i: lax.clz(i), (BITS,)),
    "concatenate": (lambda x: jnp.concatenate([x, x[::-1]], axis=1), (X,)),
    "convert_element_type": (lambda i: i.astype(np.float64), (K,)),
    "copy": (jnp.copy, (X,)),
    "cos": (jnp.cos, (X,)),
    "cosh": (jnp.cosh, (X,)),
    "cummax": (lambda x: lax.cummax(x, axis=1), (X,)),
    "cummin": (lambda x: lax.cummin(x, axis=1, reverse=True), (X,)),
    "cumprod": (lambda x: lax.cumprod(x, axis=0), (X,)),
    "cumsum": (lambda x: lax.cumsum(x, axis=1, reverse=True), (X,)),
    "div": (lambda x, i: (x / POSITIVE, lax.div(i - 3, jnp.full_like(i, 2))), (X, K)),
    "dot_general": (
        lambda x, i: (
            x @ x.T,
            x[0] @ x[1],
            jnp.einsum("bij,bkj->bik", x[:, None], x[:, None]),
            lax.dot(i.astype(np.int8), (99 * i.T).astype(np.int8), preferred_element_type=np.int32),
        ),
        (X, K),
    ),
    "dynamic_slice": (lambda x, j: lax.dynamic_slice(x, (j[0], 5), (1, 2)), (X, J)),
    "dynamic_update_slice": (lambda x, j: lax.dynamic_update_slice(x, x[:1, :2], (j[0], 9)), (X, J)),
    "eq": (lambda x: x == 0.5, (X,)),
    "erf": (lax.erf, (X,)),
    "erfc": (lax.erfc, (X,)),
    "exp": (jnp.exp, (X,)),
    "exp2": (jnp.exp2, (X,)),
    "expm1": (jnp.expm1, (X,)),
    "floor": (jnp.floor, (X,)),
    "ge": (lambda x: x >= 0.5, (X,)),
    "gt": (lambda x: x > 0.5, (X,)),
    "integer_pow": (lambda x: (x**3, x**-2), (X,)),
    "iota": (lambda _: lax.broadcasted_iota(np.float64, (2, 3), 1), (X,)),
    "is_finite": (lambda x: jnp.isfinite(x / jnp.where(x > 2, 0, 1)), (X,)),
    "le": (lambda x: x <= 0.5, (X,)),
    "lgamma": (lax.lgamma, (POSITIVE + 3,)),
    "log": (jnp.log, (POSITIVE,)),
    "log1p": (jnp.log1p, (POSITIVE,)),
    "logistic": (jax.nn.sigmoid, (X * 300,)),
    "lt": (lambda x: x < 0.5, (X,)),
    "max": (lambda x: jnp.maximum(x, 0.25), (X,)),
    "min": (lambda x: jnp.minimum(x, 0.25), (X,)),
    "mul": (lambda x: x * x, (X,)),
    "ne": (lambda x: x != 0.5, (X,)),
    "neg": (lambda x: -x, (X,)),
    "nextafter": (lambda x: lax.nextafter(x, x + 1), (X,)),
    "not": (lambda b: ~b, (B,)),
    "or": (lambda b: b | (b ^ b), (B,)),
    "pad": (lambda x: lax.pad(x, 7.0, ((1, -1, 0), (-1, 2, 1))), (X,)),
    "population_count": (lax.population_count, (BITS,)),
    "pow": (lambda x: x**2.5, (POSITIVE,)),
    "reduce_and": (lambda b: jnp.all(b, axis=1), (B,)),
    "reduce_max": (lambda x: x.max(axis=0), (X,)),
    "reduce_min": (lambda x: x.min(), (X,)),
    "reduce_or": (lambda b: jnp.any(b, axis=0), (B,)),
    "reduce_prod": (lambda x: x.prod(axis=1), (X,)),
    "reduce_sum": (lambda x: x.sum(axis=1), (X,)),
    "reduce_xor": (lambda i: lax.reduce(i, np.int32(0), lax.bitwise_xor, (1,)), (BITS,)),
    "rem": (lambda x: lax.rem(x, jnp.full_like(x, 0.75)), (X,)),
    "reshape": (lambda x: x.reshape(3, 2), (X,)),
    "rev": (lambda x: x[::-1, ::-1], (X,)),
    "round": (lambda x: (lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN), lax.round(2 * x)), (X,)),
    "rsqrt": (lax.rsqrt, (POSITIVE,)),
    "select_n": (
        lambda b, x, i: (jnp.where(b, x, x[::-1]), lax.select_n(i, x, x[::-1], x[:, ::-1])),
        (B, X, K.astype(np.int32)),
    ),
    "shift_left": (lax.shift_left, (BITS, BY)),
    "shift_right_arithmetic": (
        lambda i, by: (
            lax.shift_right_arithmetic(i, by),
            lax.shift_right_arithmetic(i.view(np.uint32), by.view(np.uint32)),
        ),
        (BITS, BY),
    ),
    "shift_right_logical": (lax.shift_right_logical, (BITS, BY)),
    "sign": (jnp.sign, (X,)),
    "sin": (jnp.sin, (X,)),
    "sinh": (jnp.sinh, (X,)),
    "slice": (lambda x: x[:, ::2], (X,)),
    "sort": (lambda x, i: lax.sort((x, i), dimension=1, num_keys=1), (X, K)),
    "split": (lambda x: jnp.split(x, [1], axis=1), (X,)),
    "sqrt": (jnp.sqrt, (POSITIVE,)),
    "square": (jnp.square, (X,)),
    "squeeze": (lambda x: jnp.squeeze(x[:, :1], 1), (X,)),
    "stop_gradient": (lambda x: lax.stop_gradient(x) * 1, (X,)),
    "sub": (lambda x: x - 2 * x, (X,)),
    "tan": (jnp.tan, (X,)),
    "tanh": (jnp.tanh, (X,)),
    "transpose": (lambda x: x.T, (X,)),
    "xor": (lambda b: b ^ True, (B,)),
    # gather and scatter, in every mode and shape that indexing makes
    "gather": (
        lambda x, i, j: (
            x[jnp.arange(2), j],
            jnp.take_along_axis(x, i, axis=1),
            x.at[:, j].get(mode="clip"),
            x.at[:, j + 2].get(mode="fill"),
            x.at[jnp.array([-1, 5])].get(mode="fill", fill_value=9.0),
            x.at[jnp.array([0, 5])].get(mode="clip"),
            jnp.take(x, jnp.array([[0, 1], [2, 0]]), axis=1),
            x[j],
        ),
        (X, K, J),
    ),
    "scatter-add": (
        lambda x, j: (
            x.at[jnp.arange(2), j].add(1.5),
            x.at[:, j].add(2.0),
            x.at[jnp.array([0, 0])].add(x),
            x.at[jnp.array([0, 7])].add(x, mode="drop"),
            x.at[jnp.array([0, 7])].add(x, mode="clip"),
        ),
        (X, J),
    ),
    "scatter-max": (lambda x, j: (x.at[j].max(x * 2), x.at[jnp.array([0, 0])].max(x)), (X, J)),
    "scatter-min": (lambda x, j: (x.at[j].min(x * 2), x.at[jnp.array([0, 0])].min(x)), (X, J)),
    "scatter-mul": (lambda x, j: (x.at[j].multiply(x), x.at[jnp.array([0, 0])].multiply(x)), (X, J)),
    "scatter": (lambda x, j: (x.at[jnp.arange(2), j].set(0.5), x.at[:, 1].set(0.0), x.at[1].set(x[0])), (X, J)),
}
# Primitives that no public function of both JAX versions leads to on its own; what they do is tested beside.
ELSEWHERE = {"add_any", "copy_p", "dim_as_value", "log2", "one_minus_square", "polynomial"}


def planned(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Plan:
    tree = jax.tree_util.tree_structure((tuple(0 for _ in arguments), {}))
    # nothing is differentiated: the program is the function itself
    leaves = tuple(Leaf(a.shape, a.dtype.name, False) for a in arguments)
    return plan(function, Signature(tree, leaves))


def evaluated(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[list[Any], list[Any]]:
    with jax.enable_x64(True):
        truth = [np.asarray(v) for v in jax.tree_util.tree_leaves(function(*map(jnp.asarray, arguments)))]
    bound = planned(function, arguments)
    dummies = [np.zeros(t.shape) for t in truth]
    return list(bound.values([*arguments, *dummies])[: bound.n_values]), truth


def used(closed: Any) -> set[str]:
    names = set()
    for equation in closed.eqns:
        names.add(equation.primitive.name)
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                names |= used(inner)
    return names


@pytest.mark.parametrize("name", TABLE)
def test_primitive_agrees_with_xla(name: str) -> None:
    function, arguments = TABLE[name]
    with jax.enable_x64(True):
        traced = jax.make_jaxpr(function)(*map(jnp.asarray, arguments))
    assert name in used(traced.jaxpr) | {n.replace("_", "-") for n in used(traced.jaxpr)}
    mine, truth = evaluated(function, arguments)
    for a, b in zip(mine, truth, strict=True):
        assert a.shape == b.shape
        # special functions of two libraries differ by a few units in the last place
        np.testing.assert_allclose(a.astype(float), b.astype(float), rtol=16 * np.finfo(float).eps, atol=0)


def test_the_table_covers_every_primitive() -> None:
    assert set(TABLE) | ELSEWHERE | set(SPECIAL) == set(BINDERS)


def test_a_wrong_primitive_would_be_seen() -> None:
    mine, truth = evaluated(lambda x: jnp.exp(x), (X,))
    assert not np.allclose(mine[0] * (1 + 1e-12), truth[0], rtol=16 * np.finfo(float).eps, atol=0)


@pytest.mark.parametrize("function", [jnp.tanh, jnp.log2, lax.erf, lax.erfc], ids=["tanh", "log2", "erf", "erfc"])
def test_derivatives_whose_primitives_differ_between_versions(function: Callable[[Any], Any]) -> None:
    def total(x: Any) -> Any:
        return function(x).sum()

    tree = jax.tree_util.tree_structure(((0,), {}))
    _, gradient = plan(total, Signature(tree, (Leaf(POSITIVE.shape, "float64", True),))).values(
        [POSITIVE, np.asarray(1.0)]
    )
    with jax.enable_x64(True):
        truth = jax.grad(total)(jnp.asarray(POSITIVE))
    np.testing.assert_allclose(gradient, truth, rtol=0, atol=4 * np.finfo(float).eps)  # 1 - tanh^2 is made of ones


def test_sizes_and_sums_of_cotangents() -> None:
    def mean_square(x: Any) -> Any:
        return (x * x).sum() / x.shape[0]  # dim_as_value; x is used twice: add_any

    tree = jax.tree_util.tree_structure(((0,), {}))
    bound = plan(mean_square, Signature(tree, (Leaf(X.shape, "float64", True),)))
    value, gradient = bound.values([X, np.asarray(1.0)])
    np.testing.assert_allclose(value, (X * X).sum() / 2, rtol=4 * np.finfo(float).eps)
    np.testing.assert_array_equal(gradient, X)


@pytest.mark.parametrize("name", sorted(EXACT & set(TABLE)))
def test_exact_primitives_round_nothing(name: str) -> None:
    """Each entry an exact primitive returns is 0, a sign, an integer, or an entry it was given, up to sign."""
    function, arguments = TABLE[name]
    mine, _ = evaluated(function, arguments)
    given = {0.0, 1.0, -1.0, 0.25, -0.5} | {k * abs(float(v)) for a in arguments for v in a.ravel() for k in (1, 2)}
    for out in mine:
        for v in np.asarray(out, dtype=float).ravel():
            assert abs(v) in given or v == np.round(v) or np.isnan(v)  # NaN fills what gather leaves out


@pytest.mark.parametrize("name", sorted((LINEAR & set(TABLE)) - {"mul", "dot_general"}))
def test_linear_primitives_bound_their_summands(name: str) -> None:
    """|f(x)| <= f(|x|): what lets a primitive be applied to magnitudes as it is."""
    function, arguments = TABLE[name]
    absolute = tuple(np.abs(a) if a.dtype.kind == "f" else a for a in arguments)
    mine, _ = evaluated(function, arguments)
    sizes, _ = evaluated(function, absolute)
    for a, b in zip(mine, sizes, strict=True):
        ok = np.abs(np.asarray(a, float)) <= np.asarray(b, float) * (1 + 1e-15)
        assert np.all(ok | np.isnan(np.asarray(b, float)))
