"""Convolutions, pooling, loops and branches: value and derivative are those of XLA, and every arithmetic runs them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.scipy.linalg import lu_factor, lu_solve, solve_triangular
from jax.scipy.stats import multivariate_normal

from gradcheck.oracles.program.jaxpr import Leaf, Plan, Signature, Untraceable, plan
from gradcheck.oracles.program.lean import lean
from gradcheck.oracles.program.lowering import LOWERED

RNG = np.random.default_rng(7)
IMAGE, KERNEL = RNG.normal(size=(2, 7, 6, 4)), RNG.normal(size=(3, 2, 4, 6))
A = RNG.normal(size=(4, 5))
W = RNG.normal(size=(5, 5)) / 2
BARRIER: Any = lax.optimization_barrier  # JAX gives it no types
LAYOUT = ("NHWC", "HWIO", "NHWC")
POOL: dict[str, Any] = {"window_dimensions": (1, 2, 3, 1), "window_strides": (1, 2, 2, 1), "padding": "SAME"}
# what two libraries may differ by: some roundings of the largest summand
TOLERANCE = 64 * np.finfo(float).eps

Function = Callable[..., Any]


def convolution(**params: Any) -> Function:
    def function(x: Any, k: Any) -> Any:
        return lax.conv_general_dilated(x, k, dimension_numbers=LAYOUT, **params)

    return function


def rounds(cell: Function, **params: Any) -> Function:
    return lambda w, x: lax.scan(lambda h, u: cell(w, h, u), jnp.ones(5), x, **params)


def rnn(w: Any, h: Any, u: Any) -> Any:
    return jnp.tanh(w @ h + u), h * u


CONVOLUTIONS: dict[str, tuple[Function, tuple[Any, ...]]] = {
    "same, strided": (convolution(window_strides=(2, 1), padding="SAME"), (IMAGE, KERNEL)),
    "dilated": (
        convolution(window_strides=(1, 2), padding=((1, 2), (0, 3)), lhs_dilation=(2, 1), rhs_dilation=(1, 2)),
        (IMAGE, KERNEL),
    ),
    "cropped": (
        convolution(window_strides=(1, 1), padding=((-1, 2), (0, -1)), lhs_dilation=(2, 1)),
        (IMAGE, KERNEL),
    ),
    "groups of features": (
        convolution(window_strides=(1, 1), padding="SAME", feature_group_count=2),
        (IMAGE, KERNEL[:, :, :2]),
    ),
    "depthwise": (
        convolution(window_strides=(1, 1), padding="SAME", feature_group_count=4),
        (IMAGE, RNG.normal(size=(3, 2, 1, 8))),
    ),
    "groups of a batch": (
        convolution(window_strides=(1, 1), padding="SAME", batch_group_count=2),
        (IMAGE, KERNEL),
    ),
    "one axis": (lambda x, k: lax.conv(x, k, (2,), "SAME"), (RNG.normal(size=(2, 3, 9)), RNG.normal(size=(4, 3, 3)))),
    "transposed": (
        lambda x, k: lax.conv_transpose(x, k, (2, 2), "SAME", dimension_numbers=LAYOUT),
        (IMAGE, KERNEL),
    ),
}
POOLINGS: dict[str, tuple[Function, tuple[Any, ...]]] = {
    "maximum": (lambda x: lax.reduce_window(x, -jnp.inf, lax.max, **POOL), (IMAGE,)),
    "minimum": (lambda x: lax.reduce_window(x, jnp.inf, lax.min, **POOL), (IMAGE,)),
    "sum": (lambda x: lax.reduce_window(x, 0.0, lax.add, **POOL), (IMAGE,)),
    "overlapping": (
        lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 1, 1, 1), "VALID"),
        (IMAGE,),
    ),
    "dilated": (
        lambda x: lax.reduce_window(
            x,
            0.0,
            lax.add,
            (1, 2, 2, 1),
            (1, 1, 1, 1),
            "SAME",
            base_dilation=(1, 2, 1, 1),
            window_dilation=(1, 1, 2, 1),
        ),
        (IMAGE,),
    ),
    "of whole numbers": (
        lambda x: x.sum() * lax.reduce_window((10 * x).astype(np.int32), np.int32(-(2**31)), lax.max, **POOL),
        (IMAGE,),
    ),
    "forward mode": (
        lambda x: jax.jvp(lambda y: lax.reduce_window(y, -jnp.inf, lax.max, **POOL), (x,), (x * x,))[1],
        (IMAGE,),
    ),
    "tied": (lambda x: lax.reduce_window(x, -jnp.inf, lax.max, **POOL), (np.round(IMAGE),)),
}
REWRITTEN: dict[str, tuple[Function, tuple[Any, ...]]] = {
    "cumlogsumexp": (lambda x: lax.cumlogsumexp(x, axis=1, reverse=True), (A,)),
    "cumlogsumexp, masked": (lambda x: lax.cumlogsumexp(x, axis=0), (np.where(A > 1, -np.inf, A),)),
    "top_k": (lambda x: lax.top_k(x, 2)[0], (A,)),
    "top_k of whole numbers": (lambda x: x.sum() * lax.top_k((9 * x).astype(np.int32), 2)[1], (A,)),
    "tile": (lambda x: jnp.tile(x, (2, 3)), (A,)),
    "stack": (lambda x: jnp.stack([x, 2 * x], 1), (A,)),
    "unstack": (lambda x: jnp.unstack(x, axis=1)[2], (A,)),
    "reduce": (lambda x: lax.reduce(x, -jnp.inf, jnp.logaddexp, (1,)), (A,)),
    "searchsorted": (lambda x: x[jnp.searchsorted(jnp.sort(x[0]), x[1]) % 4], (A,)),
    "interp": (lambda x: jnp.interp(x, jnp.sort(x[0]), x[1]), (A,)),
    "reduce_precision": (lambda x: lax.reduce_precision(x, 11, 52) * 2, (A,)),
    "optimization_barrier": (lambda x: BARRIER((x, 2 * x))[1] * x, (A,)),
    "scatter-sub": (lambda x: x.at[np.array([0, 2])].subtract(x[1:3] ** 2), (A,)),
    "scatter-max": (lambda x: x.at[np.array([0, 2])].max(x[1:3] ** 2), (A,)),
    "scatter-mul": (lambda x: x.at[np.array([0, 2])].multiply(x[1:3] ** 2, unique_indices=True), (A,)),
    "segment_sum": (lambda x: jax.ops.segment_sum(x, np.array([0, 1, 1, 5]), 3), (A,)),
    "sort of one array": (lambda x: jnp.sort(x, axis=0) * np.arange(4)[:, None], (A,)),
    "sort by two keys": (lambda x: lax.sort((jnp.round(x), x, 2 * x), num_keys=2), (A,)),
    "argsort": (lambda x: jnp.take_along_axis(x * x, jnp.argsort(x, axis=1), 1), (A,)),
    "median": (lambda x: jnp.median(x, axis=0), (A,)),
    "reshape of a permutation": (lambda x: lax.reshape(x, (10, 2), dimensions=(1, 0)) ** 2, (A,)),
    "narrow whole numbers": (
        lambda x: x * jnp.cumsum((99 * x).astype(np.int8), axis=1).sum(axis=0, dtype=np.int8),
        (A,),
    ),
}
SQUARE = RNG.normal(size=(4, 4))
COVARIANCE = SQUARE @ SQUARE.T + 4 * np.eye(4)
FACTORISED: dict[str, tuple[Function, tuple[Any, ...]]] = {
    "cholesky": (jnp.linalg.cholesky, (COVARIANCE,)),
    "triangular, from the left": (partial(solve_triangular, lower=True), (np.tril(COVARIANCE), A)),
    "triangular, transposed": (
        partial(solve_triangular, lower=True, trans=1, unit_diagonal=True),
        (np.tril(SQUARE), A[:, 0]),
    ),
    "triangular, from the right": (
        partial(lax.linalg.triangular_solve, left_side=False, lower=False),
        (np.triu(COVARIANCE), A.T),
    ),
    "solve": (jnp.linalg.solve, (SQUARE, A)),
    "solve a batch": (jnp.linalg.solve, (np.stack([SQUARE, COVARIANCE]), RNG.normal(size=(2, 4, 1)))),
    "log of a determinant": (lambda a: jnp.linalg.slogdet(a)[1], (SQUARE,)),
    "normal log-density": (multivariate_normal.logpdf, (A.T, A[:, 0], COVARIANCE)),
    "solve by a factorisation": (lambda a, b: lu_solve(lu_factor(a), b), (SQUARE, A)),
    "lu of a wide matrix": (lambda a: lax.linalg.lu(a)[0], (A,)),
}
CONTROLLED: dict[str, tuple[Function, tuple[Any, ...]]] = {
    "scan": (rounds(rnn), (W, A)),
    "scan, reversed": (rounds(rnn, reverse=True), (W, A)),
    "scan of nothing": (rounds(rnn), (W, A[:0])),
    "scan over no arrays": (
        lambda w: lax.scan(lambda h, _: (jnp.tanh(w @ h), h[0]), jnp.ones(5), None, length=3),
        (W,),
    ),
    "scan in a scan": (
        lambda w, x: rounds(lambda v, h, u: rounds(rnn)(v * h, u))(w, x.reshape(2, 2, 5)),
        (W, A),
    ),
    "as many rounds as rows": (lambda x: lax.fori_loop(0, x.shape[0], lambda i, c: c * x[i, 0], 1.0), (A,)),
    "map": (lambda x: lax.map(jax.nn.softmax, x), (A,)),
    "associative_scan": (lambda x: lax.associative_scan(jnp.multiply, x), (A,)),
    "cond": (lambda x: lax.cond(x[0, 0] > 0, jnp.sin, jnp.exp, x), (A,)),
    "cond, the other way": (lambda x: lax.cond(x[0, 0] < 0, jnp.sin, jnp.exp, x), (A,)),
    "cond beside a pole": (lambda x: lax.cond(x[0, 0] > 1e3, lambda y: jnp.log(y - y) / (y - y), jnp.sin, x), (A,)),
    "switch": (
        lambda x: lax.switch(jnp.argmax(x[0]), [jnp.sin, jnp.cos, jnp.square, jnp.exp, jnp.tanh], x),
        (A,),
    ),
    "as on the platform": (jnp.diag, (SQUARE,)),
    "while of whole numbers": (
        lambda x: x * lax.while_loop(lambda i: i < jnp.argmax(x[0]) + 2, lambda i: 2 * i + 1, 0),
        (A,),
    ),
}
PROGRAMS = {
    f"{kind}: {name}": program
    for kind, table in {
        "convolution": CONVOLUTIONS,
        "pooling": POOLINGS,
        "rewritten": REWRITTEN,
        "factorised": FACTORISED,
        "control": CONTROLLED,
    }.items()
    for name, program in table.items()
}


def planned(function: Function, arguments: tuple[Any, ...]) -> Plan:
    tree = jax.tree_util.tree_structure((tuple(0 for _ in arguments), {}))
    return plan(function, Signature(tree, tuple(Leaf(a.shape, a.dtype.name, True) for a in arguments)))


def both(function: Function, arguments: tuple[Any, ...]) -> tuple[Plan, list[Any], list[Any]]:
    """Give a plan, its inputs with random cotangents, and XLA's values and gradients there."""
    rng = np.random.default_rng(3)

    def leaves(*primals: Any) -> Any:
        return jax.tree_util.tree_leaves(function(*primals))

    def program(primals: Any, cotangents: Any) -> Any:
        values, pullback = jax.vjp(leaves, *primals)
        return [*values, *pullback(cotangents)]

    with jax.enable_x64(True):
        primals = [jnp.asarray(a) for a in arguments]
        cotangents = [rng.normal(size=v.shape) for v in jax.eval_shape(leaves, *primals)]
        truth = jax.jit(program)(primals, [jnp.asarray(c) for c in cotangents])
    return planned(function, arguments), [*arguments, *cotangents], truth


@cache
def both_of(name: str) -> tuple[Plan, list[Any], list[Any]]:
    return both(*PROGRAMS[name])


@pytest.mark.parametrize("name", PROGRAMS)
def test_value_and_gradient_are_those_of_xla(name: str) -> None:
    bound, inputs, truth = both_of(name)
    for mine, theirs in zip(bound.values(inputs), map(np.asarray, truth), strict=True):
        assert mine.shape == theirs.shape
        size = np.max(np.abs(theirs), initial=0.0, where=np.isfinite(theirs))
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=TOLERANCE * size)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_lean_run_gives_the_same_to_the_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradcheck.oracles.program.lean._LARGE", 1)  # so that small arrays are written over too
    bound, inputs, _ = both_of(name)
    trace = bound.trace(inputs)
    outputs, sizes = lean(bound, inputs)
    for mine, due in zip((*outputs, *sizes), (*bound.results(trace), *bound.magnitudes(trace)), strict=True):
        np.testing.assert_array_equal(mine, due)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_arithmetic_runs_it(name: str) -> None:
    """Magnitudes bound the values, and perturbed runs come out near: what was replayed did not flip."""
    bound, inputs, _ = both_of(name)
    trace = bound.trace(inputs)
    spread = bound.spread(inputs, trace, runs=2, seed=0)
    for value, size, change in zip(bound.results(trace), bound.magnitudes(trace), spread, strict=True):
        finite = np.isfinite(value)
        assert np.all(np.abs(value[finite]) <= size[finite] * (1 + TOLERANCE))
        assert np.all(change[finite] <= 1e4 * np.max(size[finite], initial=1.0))


def test_the_table_covers_what_is_rewritten() -> None:
    reached: set[str] = set()
    for function, arguments in PROGRAMS.values():
        with jax.enable_x64(True):
            reached |= names(jax.make_jaxpr(function)(*map(jnp.asarray, arguments)).jaxpr)
            reached |= names(jax.make_jaxpr(partial(pulled_back, function))(*map(jnp.asarray, arguments)).jaxpr)
    # of another version, or of no gradient
    elsewhere = {"call_hi_primitive", "empty", "empty2", "le_to", "lt_to", "reduce_window", "stack", "unstack"}
    assert set(LOWERED) - elsewhere <= reached


def pulled_back(function: Function, *primals: Any) -> Any:
    value, pullback = jax.vjp(function, *primals)
    return pullback(value)


def names(jaxpr: Any) -> set[str]:
    found = {equation.primitive.name for equation in jaxpr.eqns}
    for equation in jaxpr.eqns:
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                found |= names(inner)
    return found


def test_a_window_reduced_by_any_function() -> None:
    def function(x: Any) -> Any:
        return lax.reduce_window(lax.stop_gradient(x), 0.0, lambda a, b: a + jnp.abs(b), **POOL) * x.sum()

    bound, inputs, truth = both(function, (IMAGE,))
    np.testing.assert_allclose(bound.values(inputs)[0], truth[0], rtol=TOLERANCE)


def test_the_magnitude_of_a_convolution_is_the_convolution_of_magnitudes() -> None:
    function, _ = CONVOLUTIONS["same, strided"]
    bound, inputs, _ = both(function, (IMAGE, KERNEL))
    positive, absolute, _ = both(function, (np.abs(IMAGE), np.abs(KERNEL)))
    np.testing.assert_allclose(bound.magnitudes(bound.trace(inputs))[0], positive.values(absolute)[0], rtol=TOLERANCE)


def test_a_branch_that_is_not_taken_leaks_nothing() -> None:
    function, arguments = CONTROLLED["cond beside a pole"]
    bound, inputs, _ = both(function, arguments)
    trace = bound.trace(inputs)
    for found in (bound.values(inputs), bound.magnitudes(trace), bound.spread(inputs, trace, runs=2, seed=0)):
        assert all(np.all(np.isfinite(x)) for x in found)


def test_the_same_trace_serves_other_lengths() -> None:
    function, _ = CONTROLLED["scan"]
    for length in (2, 3, 7):
        bound, inputs, truth = both(function, (W, RNG.normal(size=(length, 5))))
        np.testing.assert_allclose(
            bound.values(inputs)[-1], truth[-1], rtol=0, atol=TOLERANCE * np.abs(truth[-1]).max()
        )


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: x * lax.while_loop(lambda c: c < x[0, 0], lambda c: c + 0.5, -9.0), "'while' loop"),
        (lambda x: lax.fori_loop(0, 2**15, lambda _, v: v * x.sum(), 1.0), "unroll to more than 32768"),
        (lambda x: jnp.abs(jnp.fft.fft(x)), "complex numbers"),
        (lambda x: jnp.linalg.svd(x, compute_uv=False), "primitive 'svd'"),
        (lambda x: jnp.linalg.cholesky(jnp.eye(200) * x[0, 0]), r"primitive 'cholesky', .* shape \(200, 200\)"),
    ],
    ids=["while", "long loop", "complex", "svd", "large matrix"],
)
def test_what_is_lacking_is_refused_by_name(function: Function, reason: str) -> None:
    with pytest.raises(Untraceable, match=reason):
        planned(function, (A,))
