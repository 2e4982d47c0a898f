"""The streaming form against ``jax.vjp`` of the whole loss, and against the form that holds everything."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest

from gradcheck.catalogue.softmax_nll import nll
from gradcheck.derivations.softmax_nll import fused, streaming

DRAW = np.random.default_rng(20240611).standard_normal
Z, Y = DRAW((6, 7)), np.array([2, 0, 6, 2, 5, 3])
MASKED = np.where(np.eye(7, dtype=bool)[Y] | (DRAW((6, 7)) > -0.5), Z, -np.inf)
BLOCKS = (1, 2, 3, 4, 6, 7, 1000)

OPTIONS: dict[str, dict[str, Any]] = {
    "mean": {},
    "sum": {"reduction": "sum"},
    "none": {"reduction": "none"},
    "some ignored": {"ignore_index": 2},
    "all ignored": {"ignore_index": -100},
    "cold": {"temperature": 0.25},
    "hot": {"temperature": 8.0},
    "z-loss": {"z_loss": 0.5},
    "capped": {"softcap": 1.5},
    "everything": {"reduction": "none", "ignore_index": 2, "temperature": 3.0, "z_loss": 0.1, "softcap": 2.0},
}
REFERENCES = {name: partial(nll, **options) for name, options in OPTIONS.items()}


def labels_for(options: dict[str, Any]) -> Any:
    return np.full_like(Y, -100) if options.get("ignore_index") == -100 else Y


def rounding(z: Any, dtype: Any = np.float64) -> float:
    """Bound the rounding of the loss of a row, and of an entry of its gradient, per unit of cotangent.

    Two evaluations of K exponentials, sums of K terms, and in the one that streams as many rescalings: 8 K u, and a
    handful more for the rest; relative to a loss that is at most the gap of the logits plus log K, to 1 + 2 zeta lse
    in the gradient and to zeta lse^2: below 4 + the largest logit at the zeta used here. A cold temperature multiplies
    by 4. Below the normal numbers, half the spacing.
    """
    finite = np.abs(z[np.isfinite(z)]).max(initial=0)
    k = z.shape[1]
    return float(4 * (8 * k + 32) * np.finfo(dtype).eps * (4 + np.log(k) + 2 * finite))


def cotangent(loss: Any) -> Any:
    return np.random.default_rng(4).standard_normal(loss.shape)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("option", OPTIONS)
def test_agrees_with_autodiff_of_the_whole(option: str, block: int, reference_vjp: Any) -> None:
    options, y = OPTIONS[option], labels_for(OPTIONS[option])
    loss, pullback = streaming(Z, y, block=block, **options)
    ct = cotangent(loss)
    value, (gradient,) = reference_vjp(REFERENCES[option], (Z,), ct, y)
    assert np.all(np.abs(loss - value) <= rounding(Z))
    assert np.all(np.abs(pullback(ct) - gradient) <= rounding(Z))


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("option", OPTIONS)
def test_agrees_with_fused(option: str, block: int) -> None:
    options, y = OPTIONS[option], labels_for(OPTIONS[option])
    (loss, pullback), (whole, whole_pullback) = streaming(Z, y, block=block, **options), fused(Z, y, **options)
    ct = cotangent(loss)
    assert np.all(np.abs(loss - whole) <= rounding(Z))
    assert np.all(np.abs(pullback(ct) - whole_pullback(ct)) <= rounding(Z))


CORNERS: dict[str, tuple[Any, Any]] = {
    "masks": (MASKED, Y),
    "first block masked": (np.where(np.arange(7) < 4, -np.inf, Z), np.array([4, 5, 6, 6, 5, 4])),
    "middle block masked": (np.where((np.arange(7) // 2) == 1, -np.inf, Z), np.array([0, 1, 4, 5, 6, 0])),
    "last block masked": (np.where(np.arange(7) >= 3, -np.inf, Z), np.array([0, 1, 2, 2, 1, 0])),
    "one class": (Z[:, :1], 0 * Y),
    "one row": (Z[:1], Y[:1]),
    "no rows": (Z[:0], Y[:0]),
    "ties": (np.round(Z), Y),
    "rising": (np.arange(42.0).reshape(6, 7) * 50, Y),
    "falling": (-np.arange(42.0).reshape(6, 7) * 50, Y),
}


@pytest.mark.parametrize("block", [1, 2, 3, 8])
@pytest.mark.parametrize("corner", CORNERS)
def test_corners(corner: str, block: int, reference_vjp: Any) -> None:
    z, y = CORNERS[corner]
    loss, pullback = streaming(z, y, block=block)
    value, (gradient,) = reference_vjp(nll, (z,), np.float64(-1.75), y)
    assert abs(loss - value) <= rounding(z)
    assert np.all(np.abs(pullback(-1.75) - gradient) <= rounding(z))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_huge_offset_changes_nothing(dtype: Any) -> None:
    """In float32 at 2^20, logits are multiples of 1/16, and ``peak + log total`` would be too."""
    z = (np.round(Z * 16) / 16).astype(dtype)
    for block in (1, 3):
        (loss, pullback), (moved, moved_pullback) = (streaming(x, Y, block=block) for x in (z, z + dtype(2.0**19)))
        assert loss == moved
        assert np.array_equal(pullback(1.0), moved_pullback(1.0))


def test_gaps_wider_than_the_largest_float() -> None:
    z = np.array([[1e308, -1e308, 0.0], [-1e308, 1e308, 1e308]])
    for block in (1, 2):
        loss, pullback = streaming(z, [0, 1], block=block, reduction="none")
        assert loss == pytest.approx([0, np.log(2)])
        assert pullback(np.ones(2)) == pytest.approx(np.array([[0, 0, 0], [0, -0.5, 0.5]]))


def test_a_label_on_a_masked_class_costs_infinity() -> None:
    loss, pullback = streaming(np.array([[0.0, -np.inf]]), [1], block=1)
    assert loss == np.inf
    assert np.array_equal(pullback(1.0), [[1.0, -1.0]])


@pytest.mark.parametrize("filling", [np.nan, np.inf, -np.inf])
def test_ignored_rows_may_hold_anything(filling: float) -> None:
    y = np.array([2, -1, 6, 2, -1, 3])
    kept = y != -1
    loss, pullback = streaming(np.where(kept[:, None], Z, filling), y, block=3, ignore_index=-1)
    expected, expected_pullback = streaming(Z[kept], y[kept], block=3)
    assert loss == expected
    assert np.array_equal(pullback(1.0)[kept], expected_pullback(1.0))
    assert np.all(pullback(1.0)[~kept] == 0)


def test_nan_logits_give_nan_in_their_row_only() -> None:
    for block in (1, 2):
        loss, pullback = streaming(np.array([[0.0, np.nan, 0.0], [0.0, 0.0, 0.0]]), [0, 0], block=block)
        assert np.isnan(loss)
        assert np.isnan(pullback(1.0)[0]).all()
        assert np.isfinite(pullback(1.0)[1]).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("option", OPTIONS)
def test_narrow_logits_are_rounded_once(option: str, dtype: Any) -> None:
    options, y = OPTIONS[option], labels_for(OPTIONS[option])
    z = Z.astype(dtype)
    (loss, pullback), (wide, wide_pullback) = (streaming(x, y, block=3, **options) for x in (z, z.astype(np.float64)))
    ct = cotangent(loss).astype(dtype)
    dz, truth = pullback(ct), wide_pullback(ct)
    assert loss.dtype == dz.dtype == dtype
    inside = rounding(z, np.float32)
    for narrow, exact in ((loss, wide), (dz, truth)):
        assert np.all(np.abs(narrow - exact) <= np.finfo(dtype).eps / 2 * np.abs(exact) * (1 + inside) + inside)


def test_float16_takes_more_classes_than_it_can_count() -> None:
    loss, pullback = streaming(np.zeros((1, 70_000), np.float16), [0])
    assert loss == np.float16(np.log(70_000))
    assert np.all(pullback(1.0)[0, 1:] == np.float16(1 / 70_000))


def test_labels_may_change_later() -> None:
    y = Y.copy()
    _, pullback = streaming(Z, y, block=3)
    before = pullback(1.0)
    y[:] = 0
    assert np.array_equal(pullback(1.0), before)


@pytest.mark.parametrize("y", [Y.astype(np.uint8), Y.tolist()])
def test_any_integers_are_labels(y: Any) -> None:
    assert streaming(Z, y, block=2, ignore_index=-100)[0] == streaming(Z, Y, block=2)[0]


@pytest.mark.parametrize("option", ["mean", "everything"])
def test_runs_under_jit_and_can_be_differentiated(option: str) -> None:
    options, y = OPTIONS[option], labels_for(OPTIONS[option])
    loss, pullback = streaming(Z, y, block=3, **options)
    ct = cotangent(loss)
    with jax.enable_x64(True):

        def run(z: Any, y: Any, ct: Any) -> Any:
            loss, pullback = streaming(z, y, block=3, **options)
            return loss, pullback(ct), jax.vjp(lambda z: streaming(z, y, block=3, **options)[0], z)[1](ct)[0]

        traced = jax.tree.map(np.asarray, jax.jit(run)(Z, y, ct))
    for found, expected in zip(traced, (loss, pullback(ct), pullback(ct)), strict=True):
        assert np.all(np.abs(found - expected) <= rounding(Z))


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no block": (lambda: streaming(Z, Y, block=0), r"block=0 \(int\) is no size: pass an integer of at least 1"),
    "half a block": (lambda: streaming(Z, Y, block=1.5), r"block=1.5 \(float\) is no size"),  # type: ignore[arg-type]  # on purpose
    "a bool": (lambda: streaming(Z, Y, block=True), r"block=True \(bool\) is no size"),
    "label weights": (lambda: streaming(Z, np.eye(7)[Y]), "takes class indices only.*fused, log_softmax"),
    "float labels": (lambda: streaming(Z, Y * 1.0), "1-D labels are class indices"),
    "no class": (lambda: streaming(Z, Y + 1), r"y\[2\] = 7 is no class of z"),
    "too few labels": (lambda: streaming(Z, Y[:2]), "y holds 2 labels and z 6 rows"),
    "a vector": (lambda: streaming(Z[0], Y), "logits are a matrix"),
    "no columns": (lambda: streaming(Z[:, :0], Y), "K = 0 classes"),
    "ignore_index": (lambda: streaming(Z, Y, ignore_index=0.5), "ignore_index=0.5"),  # type: ignore[arg-type]  # on purpose
    "temperature": (lambda: streaming(Z, Y, temperature=0.0), "temperature=0.0"),
    "z_loss": (lambda: streaming(Z, Y, z_loss=-1.0), "z_loss=-1.0"),
    "softcap": (lambda: streaming(Z, Y, softcap=0.0), "softcap=0.0"),
    "reduction": (lambda: streaming(Z, Y, reduction="average"), "reduction='average' is unknown"),
    "all masked": (lambda: streaming(np.where(Y[:, None] == 5, -np.inf, Z), Y), r"row z\[4\] has the maximum -inf"),
    "infinite": (
        lambda: streaming(np.where(Y[:, None] == 5, np.inf, Z), Y, block=2),
        r"row z\[4\] has the maximum inf",
    ),
    "masks under a cap": (lambda: streaming(MASKED, Y, softcap=2.0), "-inf and softcap=2.0: the cap would make -2.0"),
    "a column of cotangents": (
        lambda: streaming(Z, Y, reduction="none")[1](np.ones((6, 1))),
        r"the cotangent has shape \(6, 1\) and the output \(6,\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused(case: str) -> None:
    call, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("option", ["weights", "label_smoothing"])
def test_options_of_other_forms_are_refused_by_name(option: str) -> None:
    with pytest.raises(TypeError, match=f"streaming takes no {option}: .*fused"):
        streaming(Z, Y, **{option: 0.1})  # type: ignore[arg-type]  # on purpose


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
def test_memory_is_that_of_a_block(dtype: Any) -> None:
    """As `benchmarks/memory.py` derives it, at an eighth of its size; an array as large as the logits is 16 blocks."""
    n, k, block = 64, 16384, 1024
    itemsize = np.dtype(dtype).itemsize
    z, y = DRAW((n, k)).astype(dtype), np.arange(n) * 250
    streaming(z, y, block=block)[1](1.0)  # what is imported or cached at the first call is nobody's work array
    slack = 16 * n * 8 + 3 * 8 * np.getbufsize() + 2**14
    forward, (_, pullback) = peak(lambda: streaming(z, y, block=block))
    assert forward <= 2 * n * block * itemsize + slack
    backward, dz = peak(lambda: pullback(1.0))
    assert backward <= dz.nbytes + n * block * (2 * itemsize + 1) + slack
