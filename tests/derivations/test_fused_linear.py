"""The last layer with its loss, tile by tile, against ``jax.vjp`` of the whole and against layer and loss apart."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from gradcheck.catalogue.softmax_nll import nll
from gradcheck.derivations import linear
from gradcheck.derivations.softmax_nll import fused, fused_linear

DRAW = np.random.default_rng(20240612).standard_normal
H, W, B = DRAW((6, 4)), DRAW((7, 4)), DRAW(7)
Y = np.array([2, 0, 6, 2, 5, 3])
TILES = ((1, 1), (2, 3), (4, 4), (6, 7), (5, 1000), (1000, 2))

OPTIONS: dict[str, dict[str, Any]] = {
    "mean": {},
    "sum": {"reduction": "sum"},
    "none": {"reduction": "none"},
    "some ignored": {"ignore_index": 2},
    "z-loss": {"z_loss": 0.5},
    "capped": {"softcap": 1.5},
    "everything": {"reduction": "none", "ignore_index": 2, "z_loss": 0.1, "softcap": 2.0},
}


def whole_of(options: dict[str, Any]) -> Callable[..., Any]:
    return lambda h, W, b, y: nll(h @ W.T + b, y, **options)


REFERENCES = {name: whole_of(options) for name, options in OPTIONS.items()}


def rounding(dtype: Any = np.float64, *, unit: float = 1.0) -> float:
    """Bound the rounding in a sum of at most 7 rows or classes of products of two numbers below 4.

    Each factor comes out of the logits (4 products), and of softmax, whose bound is 8 K u and a handful more.
    """
    largest = max(np.abs(x).max() for x in (H, W, B, np.ones(1)))
    return float(unit * 4 * 7 * (8 * 7 + 32 + 8) * np.finfo(dtype).eps * largest**2 * (4 + np.abs(H @ W.T + B).max()))


def cotangent(loss: Any) -> Any:
    return np.random.default_rng(4).standard_normal(loss.shape)


def assert_close(found: Any, expected: Any, allowed: float) -> None:
    for x, e in zip(found, expected, strict=True):
        assert x.shape == e.shape
        assert np.all(np.abs(x - e) <= allowed)


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("option", OPTIONS)
def test_agrees_with_autodiff_of_the_whole(option: str, tile: tuple[int, int], reference_vjp: Any) -> None:
    rows, block = tile
    loss, pullback = fused_linear(H, W, B, Y, rows_per_chunk=rows, block=block, **OPTIONS[option])
    ct = cotangent(loss)
    value, gradients = reference_vjp(REFERENCES[option], (H, W, B), ct, Y)
    assert_close((loss, *pullback(ct)), (value, *gradients), rounding())


@pytest.mark.parametrize("option", OPTIONS)
def test_agrees_with_the_layer_and_fused(option: str) -> None:
    loss, pullback = fused_linear(H, W, B, Y, rows_per_chunk=4, block=3, **OPTIONS[option])
    z, layer_pullback = linear(H, W, B)
    whole, loss_pullback = fused(z, Y, **OPTIONS[option])
    ct = cotangent(loss)
    assert_close((loss, *pullback(ct)), (whole, *layer_pullback(loss_pullback(ct))), rounding())


CORNERS: dict[str, tuple[Any, Any, Any, Any]] = {
    "one class": (H, W[:1], B[:1], 0 * Y),
    "one row": (H[:1], W, B, Y[:1]),
    "no rows": (H[:0], W, B, Y[:0]),
    "no inputs": (H[:, :0], W[:, :0], B, Y),
    "first block masked": (H, W, np.where(np.arange(7) < 3, -np.inf, B), np.array([3, 4, 5, 6, 4, 3])),
    "last block masked": (H, W, np.where(np.arange(7) == 6, -np.inf, B), np.array([3, 4, 5, 0, 1, 2])),
    "huge offset": (H, W, B + 2.0**20, Y),
    "saturated": (300 * H, W, B, Y),
}


@pytest.mark.parametrize("corner", CORNERS)
def test_corners(corner: str, reference_vjp: Any) -> None:
    h, W, b, y = CORNERS[corner]
    loss, pullback = fused_linear(h, W, b, y, rows_per_chunk=4, block=3)
    value, gradients = reference_vjp(REFERENCES["mean"], (h, W, b), np.float64(-1.75), y)
    scale = {"huge offset": 2.0**20, "saturated": 300.0**2}.get(corner, 1.0)
    assert_close((loss, *pullback(-1.75)), (value, *gradients), rounding(unit=scale))


def test_nothing_to_learn_from_rows_that_are_ignored() -> None:
    y = np.array([2, -1, 6, 2, -1, 3])
    kept = y != -1
    loss, pullback = fused_linear(np.where(kept[:, None], H, np.nan), W, B, y, rows_per_chunk=2, ignore_index=-1)
    alone, alone_pullback = fused_linear(H[kept], W, B, y[kept])
    dh, dW, db = pullback(1.0)
    assert_close((loss, dh[kept], dW, db), (alone, *alone_pullback(1.0)), rounding())
    assert np.all(dh[~kept] == 0)
    loss, pullback = fused_linear(H, W, B, np.full(6, -1), ignore_index=-1)
    assert loss == 0
    assert all(np.all(cotangent == 0) for cotangent in pullback(1.0))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_narrow_layers_are_rounded_once(dtype: Any) -> None:
    h, W_, b = (x.astype(dtype) for x in (H, W, B))
    loss, pullback = fused_linear(h, W_, b, Y, rows_per_chunk=2, block=3)
    h, W_, b = (x.astype(np.float64) for x in (h, W_, b))
    exact, exact_pullback = fused_linear(h, W_, b, Y, rows_per_chunk=2, block=3)
    inside = rounding(np.float32)
    for found, truth in zip((loss, *pullback(1.0)), (exact, *exact_pullback(1.0)), strict=True):
        assert found.dtype == dtype
        assert np.all(np.abs(found - truth) <= np.finfo(dtype).eps / 2 * (np.abs(truth) + inside) + inside)


def test_each_cotangent_has_the_dtype_of_its_primal() -> None:
    h, W_, b = H.astype(np.float32), W, B.astype(np.float16)
    loss, pullback = fused_linear(h, W_, b, Y)
    assert loss.dtype == np.float64
    assert [x.dtype for x in pullback(1.0)] == [np.float32, np.float64, np.float16]


@pytest.mark.parametrize("option", ["mean", "everything"])
def test_runs_under_jit_and_can_be_differentiated(option: str) -> None:
    def form(*args: Any) -> Any:
        return fused_linear(*args, rows_per_chunk=4, block=4, **OPTIONS[option])

    def run(primals: Any, y: Any, ct: Any) -> Any:
        loss, pullback = form(*primals, y)
        return (loss, *pullback(ct)), jax.vjp(lambda *primals: form(*primals, y)[0], *primals)[1](ct)

    loss, pullback = form(H, W, B, Y)
    ct = cotangent(loss)
    with jax.enable_x64(True):
        traced, derived = jax.tree.map(np.asarray, jax.jit(run)((H, W, B), Y, ct))
    assert_close(traced, (loss, *pullback(ct)), rounding())
    assert_close(derived, pullback(ct), rounding())


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no rows in a chunk": (lambda: fused_linear(H, W, B, Y, rows_per_chunk=0), r"rows_per_chunk=0 \(int\) is no size"),
    "no classes in a block": (lambda: fused_linear(H, W, B, Y, block=-1), r"block=-1 \(int\) is no size"),
    "transposed": (lambda: fused_linear(H, W.T, B, Y), r"h \(6, 4\), W \(4, 7\) and b \(7,\) do not fit"),
    "no classes": (lambda: fused_linear(H, W[:0], B[:0], Y), r"W has shape \(0, 4\), K = 0 classes"),
    "integers": (lambda: fused_linear(H, W.astype(int), B, Y), "W has dtype int64"),
    "label weights": (lambda: fused_linear(H, W, B, np.eye(7)[Y]), "takes class indices only"),
    "no class": (lambda: fused_linear(H, W, B, Y + 1), r"y\[2\] = 7 is no class"),
    "too few labels": (lambda: fused_linear(H, W, B, Y[:2]), "y holds 2 labels and z 6 rows"),
    "all masked": (
        lambda: fused_linear(H, W, B - np.inf, Y, rows_per_chunk=2),
        r"row \(h W\^T \+ b\)\[0\] has the maximum -inf",
    ),
    "masks under a cap": (
        lambda: fused_linear(H, W, np.where(Y[0] == np.arange(7), -np.inf, B), Y, softcap=2.0),
        "cap",
    ),
    "z_loss": (lambda: fused_linear(H, W, B, Y, z_loss=-1.0), "z_loss=-1.0"),
    "softcap": (lambda: fused_linear(H, W, B, Y, softcap=0.0), "softcap=0.0"),
    "reduction": (lambda: fused_linear(H, W, B, Y, reduction="average"), "reduction='average' is unknown"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused(case: str) -> None:
    call, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        call()


def test_a_row_without_a_maximum_is_named_by_its_place_in_the_batch() -> None:
    h = np.where(np.arange(6)[:, None] == 4, 1e308, H)
    with np.errstate(over="ignore"), pytest.raises(ValueError, match=r"row \(h W\^T \+ b\)\[4\] has the maximum inf"):
        fused_linear(h, np.abs(W) * 10, B, Y, rows_per_chunk=3)


@pytest.mark.parametrize("option", ["weights", "label_smoothing", "temperature"])
def test_options_of_other_forms_are_refused_by_name(option: str) -> None:
    with pytest.raises(TypeError, match=f"fused_linear takes no {option}: .*fused"):
        fused_linear(H, W, B, Y, **{option: 0.1})  # type: ignore[arg-type]  # on purpose


def peak(call: Callable[[], Any]) -> tuple[int, Any]:
    """Return the most bytes that NumPy held at once during a call, and its result."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        result = call()
        return tracemalloc.get_traced_memory()[1] - before, result
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_memory_is_that_of_a_tile(dtype: Any) -> None:
    """As `benchmarks/memory.py` derives it, at an eighth of its size; the logits alone would be 64 tiles."""
    n, k, width, rows, block = 128, 16384, 32, 32, 1024
    itemsize = np.dtype(dtype).itemsize
    h, W, b = (x.astype(dtype) for x in (DRAW((n, width)), DRAW((k, width)), DRAW(k)))
    y = np.arange(n) * 120

    def run() -> Any:
        return fused_linear(h, W, b, y, rows_per_chunk=rows, block=block)

    run()[1](1.0)  # what is imported or cached at the first call is nobody's work array
    tile, slack = rows * block * itemsize, 16 * n * 8 + 3 * 8 * np.getbufsize() + 2**15
    forward, (_, pullback) = peak(run)
    assert forward <= 3 * tile + slack
    backward, cotangents = peak(lambda: pullback(1.0))
    products = 3 * block * width * itemsize + 3 * rows * width * itemsize + 3 * block * itemsize
    assert backward <= sum(x.nbytes for x in cotangents) + 4 * tile + rows * block + products + slack
