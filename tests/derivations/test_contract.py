"""What every rule promises, whatever it computes: dtypes, purity, unshared memory, jax.numpy under jit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradcheck import derivations
from gradcheck.derivations import (
    batch_norm,
    binary_cross_entropy,
    distillation,
    embedding,
    focal_loss,
    gelu,
    init_params,
    l2_penalty,
    layer_norm,
    linear,
    linear_of_data,
    mlp,
    mlp_logits,
    relu,
    rms_norm,
    sigmoid,
    sigmoid_cross_entropy,
    silu,
    softmax_nll,
    tanh,
)
from gradcheck.derivations._namespace import namespace

DRAW = np.random.default_rng(20240506).standard_normal
LABELS = np.array([2, 0, 4, 2])
PARAMS = init_params((3, 6, 5), seed=8, dtype=np.float64)


@dataclass(frozen=True)
class Case:
    """A rule at a point; `data` is passed after the primals."""

    rule: Callable[..., Any]
    primals: tuple[Any, ...]
    data: tuple[Any, ...] = ()

    def run(self, primals: Any, data: Any, ct: Any) -> Any:
        out, pullback = self.rule(*primals, *data)
        return out, pullback(ct)


PLAIN = ("full_jacobian", "contracted_jacobian", "log_softmax", "fused", "accurate")
MOST: dict[str, Any] = {
    "ignore_index": 4,
    "label_smoothing": 0.125,
    "temperature": 2.0,
    "z_loss": 0.25,
    "softcap": 3.0,
}
CASES = {
    **{name: Case(getattr(softmax_nll, name), (DRAW((4, 5)),), (LABELS,)) for name in PLAIN},
    "fused, soft labels": Case(softmax_nll.fused, (DRAW((4, 5)),), (np.abs(DRAW((4, 5))),)),
    **{
        f"{name}, options": Case(partial(getattr(softmax_nll, name), **MOST), (DRAW((4, 5)),), (LABELS,))
        for name in ("log_softmax", "fused", "accurate")
    },
    "fused, weights": Case(
        lambda z, y, w: softmax_nll.fused(z, y, weights=w, reduction="none"),
        (DRAW((2, 4, 5)),),
        (np.stack([LABELS, LABELS]), np.arange(5.0)),
    ),
    "streaming": Case(partial(softmax_nll.streaming, block=2), (DRAW((4, 5)),), (LABELS,)),
    "streaming, options": Case(
        partial(softmax_nll.streaming, block=3, ignore_index=4, temperature=2.0, z_loss=0.25, softcap=3.0),
        (DRAW((4, 5)),),
        (LABELS,),
    ),
    "fused_linear": Case(
        partial(softmax_nll.fused_linear, rows_per_chunk=3, block=3, ignore_index=4, z_loss=0.25, softcap=3.0),
        (DRAW((4, 3)), DRAW((5, 3)), DRAW(5)),
        (LABELS,),
    ),
    "sharded": Case(
        lambda z0, z1, y: softmax_nll.sharded((z0, z1), y, ignore_index=4, z_loss=0.25),
        (DRAW((4, 1)), DRAW((4, 4))),
        (LABELS,),
    ),
    "sigmoid_cross_entropy": Case(sigmoid_cross_entropy, (DRAW((4, 5)),), (np.eye(5)[LABELS],)),
    "linear": Case(linear, (DRAW((4, 3)), DRAW((5, 3)), DRAW(5))),
    "linear_of_data": Case(lambda W, b, x: linear_of_data(x, W, b), (DRAW((5, 3)), DRAW(5)), (DRAW((4, 3)),)),
    "relu": Case(relu, (DRAW((4, 5)),)),
    "sigmoid": Case(sigmoid, (DRAW((4, 5)),)),
    "tanh": Case(tanh, (DRAW((4, 5)),)),
    "gelu": Case(gelu, (DRAW((4, 5)),)),
    "gelu, approximate": Case(lambda z: gelu(z, approximate=True), (DRAW((4, 5)),)),
    "silu": Case(silu, (DRAW((4, 5)),)),
    "layer_norm": Case(layer_norm, (DRAW((2, 4, 5)), DRAW(5), DRAW(5))),
    "layer_norm, one row": Case(layer_norm, (DRAW(5), DRAW(5), DRAW(5))),
    "batch_norm": Case(batch_norm, (DRAW((2, 4, 5)), DRAW(5), DRAW(5))),
    "rms_norm": Case(rms_norm, (DRAW((2, 4, 5)), DRAW(5))),
    "embedding": Case(embedding, (DRAW((6, 3)),), (np.array([[5, 0], [5, 2]]),)),
    "binary_cross_entropy": Case(binary_cross_entropy, (DRAW((2, 2, 5)),), (np.abs(DRAW((2, 2, 5))) % 1,)),
    "binary_cross_entropy, none": Case(
        lambda z, y: binary_cross_entropy(z, y, pos_weight=[1.0, 2.0, 3.0], reduction="none"),
        (DRAW((4, 3)),),
        (np.eye(4, 3),),
    ),
    "focal_loss": Case(focal_loss, (DRAW((4, 5)),), (LABELS,)),
    "distillation": Case(lambda z, t: distillation(z, t, temperature=2.0), (DRAW((4, 5)),), (DRAW((4, 5)),)),
    "l2_penalty": Case(lambda p: l2_penalty(p, 0.25), (PARAMS,)),
    "mlp_logits": Case(mlp_logits, (PARAMS,), (DRAW((4, 3)),)),
    "mlp": Case(lambda p, x, y: mlp(p, x, y, l2=0.25), (PARAMS,), (DRAW((4, 3)), LABELS)),
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def in_dtype(tree: Any, dtype: Any) -> Any:
    """Copies of the floating leaves in `dtype`, and of the others as they are."""
    return jax.tree.map(lambda x: np.array(x, dtype if np.issubdtype(x.dtype, np.floating) else x.dtype), tree)


def cotangent(case: Case) -> Any:
    out, _ = case.rule(*case.primals, *case.data)
    return np.random.default_rng(9).standard_normal(out.shape)


def rounding(result: Any) -> float:
    """Bound how far apart two float64 runs of one formula are, in another order and with another exp.

    The longest sum of the table has 18 terms (the weights of the first layer) and the longest chain about ten
    operations, on numbers no larger than the largest result or 4.
    """
    return float(2 * 28 * np.finfo(float).eps / 2 * max(4, np.abs(result).max()))


def same_structure(tree: Any, other: Any) -> bool:
    return bool(jax.tree.all(jax.tree.map(lambda a, b: np.shape(a) == np.shape(b), tree, other)))


def as_tuple(cotangents: Any) -> Any:
    return cotangents if isinstance(cotangents, tuple) else (cotangents,)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@each_case
def test_dtype_shape_and_structure_are_those_of_the_primals(case: Case, dtype: Any) -> None:
    primals, data = in_dtype((case.primals, case.data), dtype)
    # A cotangent of another precision, and one that is no array, must not widen anything.
    for ct in (cotangent(case), cotangent(case).tolist()):
        out, cotangents = case.run(primals, data, ct)
        assert out.dtype == dtype
        assert same_structure(as_tuple(cotangents), primals)
        for d, p in zip(jax.tree.leaves(cotangents), jax.tree.leaves(primals), strict=True):
            assert d.dtype == p.dtype


@each_case
def test_arguments_are_untouched_and_share_no_memory_with_results(case: Case) -> None:
    ct = np.array(cotangent(case))
    given = (*in_dtype((case.primals, case.data), np.float64), ct)
    before = jax.tree.map(np.copy, given)
    for leaf in jax.tree.leaves(given):
        leaf.flags.writeable = False
    out, pullback = case.rule(*given[0], *given[1])
    first, second = pullback(ct), pullback(ct)
    arrays = [np.asarray(x) for x in (*jax.tree.leaves(given), out, *jax.tree.leaves((first, second)))]
    results = arrays[len(jax.tree.leaves(given)) :]
    for i, result in enumerate(results):
        assert not any(np.shares_memory(result, other) for other in arrays[: len(arrays) - len(results) + i])
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(given), jax.tree.leaves(before), strict=True))


@each_case
def test_a_pullback_gives_the_same_answer_every_time(case: Case) -> None:
    ct = cotangent(case)
    out, pullback = case.rule(*case.primals, *case.data)
    first = jax.tree.map(np.copy, pullback(ct))
    pullback(-3 * ct)
    if isinstance(out, np.ndarray):  # nothing that the caller does to the output may reach the pullback
        out[...] = np.nan
    assert jax.tree.all(jax.tree.map(np.array_equal, pullback(ct), first))


@each_case
def test_the_same_code_runs_on_jax_arrays_under_jit(case: Case) -> None:
    ct = cotangent(case)
    expected = case.run(case.primals, case.data, ct)
    with jax.enable_x64(True):
        traced = jax.jit(case.run)(case.primals, case.data, ct)
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(traced))
        traced = jax.tree.map(np.asarray, traced)
    assert same_structure(traced, expected)
    for x, e in zip(jax.tree.leaves(traced), jax.tree.leaves(expected), strict=True):
        assert x.dtype == e.dtype
        assert np.all(np.abs(x - e) <= rounding(e))


@each_case
def test_the_forward_can_be_differentiated_and_then_gives_the_pullback(case: Case) -> None:
    """So that the forward of a rule serves as reference for its pullback."""
    ct = cotangent(case)
    _, cotangents = case.run(case.primals, case.data, ct)
    with jax.enable_x64(True):
        forward = jax.jit(lambda *p: jax.vjp(lambda *p: case.rule(*p, *case.data)[0], *p)[1](ct))
        derived = jax.tree.map(np.asarray, forward(*case.primals))
    for d, e in zip(jax.tree.leaves(derived), jax.tree.leaves(cotangents), strict=True):
        assert np.all(np.abs(d - e) <= rounding(e))


def test_every_public_rule_is_in_the_table() -> None:
    rules = set(derivations.__all__) - {"softmax_nll", "init_params"} | set(softmax_nll.OPTIONS)
    assert rules <= set(CASES)


def test_namespace_prefers_the_other_library_and_refuses_two() -> None:
    class Foreign:
        def __array_namespace__(self) -> Any:
            return sys

    assert namespace() is np
    assert namespace(1.0, [2.0], np.zeros(1)) is np
    assert namespace(np.zeros(1), jnp.zeros(1)) is jnp
    with pytest.raises(ValueError, match=r"more than one library \(jax.numpy, sys\)"):
        namespace(jnp.zeros(1), Foreign())


def test_importing_this_room_imports_no_framework() -> None:
    frameworks = "{'jax', 'hypothesis', 'pytest', 'torch'}"
    code = f"import sys, gradcheck.derivations; print({frameworks} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "set()"
