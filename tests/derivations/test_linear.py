"""The affine layer against ``jax.vjp`` of an einsum."""

from __future__ import annotations

import itertools
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from gradcheck.derivations import linear, linear_of_data, softmax_nll

SHAPES = {"ordinary": (4, 3, 5), "one row": (1, 3, 5), "no rows": (0, 3, 5), "one by one": (4, 1, 1)}


def restated(h: Any, W: Any, b: Any) -> Any:
    return jnp.einsum("nh,kh->nk", h, W) + jnp.broadcast_to(b, (h.shape[0], b.shape[0]))


def arguments(shape: str, dtype: Any) -> tuple[Any, Any, Any, Any]:
    n, h, k = SHAPES[shape]
    draw = np.random.default_rng(20240503).standard_normal
    return (
        draw((n, h)).astype(dtype),
        draw((k, h)).astype(dtype),
        draw(k).astype(dtype),
        draw((n, k)).astype(dtype),
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_autodiff_of_the_restatement(shape: str, dtype: Any, reference_vjp: Any) -> None:
    h, W, b, ct = arguments(shape, dtype)
    z, pullback = linear(h, W, b)
    results = (z, *pullback(ct))
    value, cotangents = reference_vjp(restated, (h, W, b), ct)
    # Sums of n products round n + 1 times at most, relative to the sum of the products' absolute values.
    ah, aW, ab, act = (np.abs(x).astype(np.float64) for x in (h, W, b, ct))
    sizes = (ah @ aW.T + ab, act @ aW, act.T @ ah, act.sum(axis=0))
    u = 2 * (max(SHAPES[shape]) + 2) * float(np.finfo(dtype).eps) / 2
    for result, reference, size in zip(results, (value, *cotangents), sizes, strict=True):
        assert result.dtype == dtype
        assert result.shape == reference.shape
        assert np.all(np.abs(result - reference) <= u * size)


def test_of_data_leaves_out_the_first_cotangent_only() -> None:
    h, W, b, ct = arguments("ordinary", np.float64)
    (z, pullback), (z_data, data_pullback) = linear(h, W, b), linear_of_data(h, W, b)
    assert np.array_equal(z, z_data)
    for full, partial in zip(pullback(ct)[1:], data_pullback(ct), strict=True):
        assert np.array_equal(full, partial)


def test_each_cotangent_has_the_dtype_of_its_primal() -> None:
    h, W, b, ct = arguments("ordinary", np.float64)
    for dtypes in itertools.permutations((np.float64, np.float32, np.float16)):
        primals = [x.astype(dtype) for x, dtype in zip((h, W, b), dtypes, strict=True)]
        z, pullback = linear(*primals)
        assert z.dtype == np.float64
        assert [d.dtype for d in pullback(ct)] == list(dtypes)


def test_every_row_of_an_output_layer_is_updated() -> None:
    h, W, b, _ = arguments("one row", np.float64)
    z, pullback = linear(h, W, b)
    _, dW, db = pullback(softmax_nll.fused(z, [2])[1](1.0))
    a = np.exp(z) / np.exp(z).sum()
    error = (a - np.eye(5)[[2]])[0]
    u = 32 * float(np.finfo(float).eps)  # a softmax of five and one product
    assert db == pytest.approx(error, abs=u)
    assert dW == pytest.approx(np.outer(error, h[0]), abs=u * np.abs(h).max())
    assert np.all(np.abs(dW) > 0)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "inner widths differ": ({"h": np.zeros((2, 4))}, r"h \(2, 4\), W \(5, 3\) and b \(5,\) do not fit"),
    "W is transposed": (
        {"W": np.zeros((3, 5))},
        r"h \(2, 3\), W \(3, 5\) .* takes \(N, H\), \(K, H\) and \(K,\)",
    ),
    "b broadcasts": ({"b": np.zeros(1)}, r"b \(1,\) do not fit"),
    "h is a vector": ({"h": np.zeros(3)}, r"h \(3,\), W"),
    "W is a vector": ({"W": np.zeros(3)}, r"W \(3,\)"),
    "b is a row": ({"b": np.zeros((1, 5))}, r"b \(1, 5\)"),
    "h holds integers": ({"h": np.zeros((2, 3), int)}, "h has dtype int64"),
    "W holds objects": ({"W": np.zeros((5, 3), object)}, "W has dtype object"),
    "b holds bools": ({"b": np.zeros(5, bool)}, "b has dtype bool"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_says_what_does_not_fit(case: str) -> None:
    change, message = REFUSED[case]
    args: dict[str, Any] = {"h": np.zeros((2, 3)), "W": np.zeros((5, 3)), "b": np.zeros(5)} | change
    for rule in (linear, linear_of_data):
        with pytest.raises(ValueError, match=message):
            rule(**args)


@pytest.mark.parametrize("rule", [linear, linear_of_data])
def test_a_cotangent_that_would_broadcast_is_refused(rule: Any) -> None:
    _, pullback = rule(np.zeros((2, 3)), np.zeros((5, 3)), np.zeros(5))
    for shape in ((5,), (1, 5), (2, 1), ()):
        with pytest.raises(ValueError, match=r"the output \(2, 5\): they must agree"):
            pullback(np.ones(shape))
