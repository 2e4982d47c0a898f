"""The form whose classes are in shards against ``jax.vjp`` of the whole, and what crosses between shards."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradcheck.catalogue.softmax_nll import nll
from gradcheck.derivations.softmax_nll import fused, sharded

DRAW = np.random.default_rng(20240613).standard_normal
Z, Y = DRAW((6, 7)), np.array([2, 0, 6, 2, 5, 3])
CUTS = {
    "one shard": (0, 7),
    "two": (0, 4, 7),
    "uneven": (0, 1, 2, 6, 7),
    "a class each": tuple(range(8)),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "mean": {},
    "sum": {"reduction": "sum"},
    "none": {"reduction": "none"},
    "some ignored": {"ignore_index": 2},
    "z-loss": {"z_loss": 0.5},
    "everything": {"reduction": "none", "ignore_index": 2, "z_loss": 0.1},
}


def split(z: Any, cuts: Sequence[int]) -> tuple[Any, ...]:
    return tuple(z[:, a:b] for a, b in pairwise(cuts))


def joined_by(options: dict[str, Any]) -> Callable[..., Any]:
    return lambda *args: nll(jnp.concatenate(args[:-1], axis=1), args[-1], **options)


REFERENCES = {name: joined_by(options) for name, options in OPTIONS.items()}


def rounding(z: Any, dtype: Any = np.float64) -> float:
    """Bound the rounding of a row's loss and of an entry of its gradient, as for the streaming form."""
    finite = np.abs(z[np.isfinite(z)]).max(initial=0)
    k = z.shape[1]
    return float(4 * (8 * k + 32) * np.finfo(dtype).eps * (4 + np.log(k) + 2 * finite))


def cotangent(loss: Any) -> Any:
    return np.random.default_rng(4).standard_normal(loss.shape)


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("option", OPTIONS)
def test_agrees_with_autodiff_of_the_whole(option: str, cuts: str, reference_vjp: Any) -> None:
    zs = split(Z, CUTS[cuts])
    loss, pullback = sharded(zs, Y, **OPTIONS[option])
    ct = cotangent(loss)
    value, gradients = reference_vjp(REFERENCES[option], zs, ct, Y)
    assert np.all(np.abs(loss - value) <= rounding(Z))
    for dz, gradient in zip(pullback(ct), gradients, strict=True):
        assert dz.shape == gradient.shape
        assert np.all(np.abs(dz - gradient) <= rounding(Z))


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("option", OPTIONS)
def test_agrees_with_fused(option: str, cuts: str) -> None:
    loss, pullback = sharded(split(Z, CUTS[cuts]), Y, **OPTIONS[option])
    whole, whole_pullback = fused(Z, Y, **OPTIONS[option])
    ct = cotangent(loss)
    assert np.all(np.abs(loss - whole) <= rounding(Z))
    assert np.all(np.abs(np.concatenate(pullback(ct), axis=1) - whole_pullback(ct)) <= rounding(Z))


CORNERS: dict[str, tuple[Any, Any, tuple[int, ...]]] = {
    "a masked shard": (np.where(np.arange(7) < 4, -np.inf, Z), np.array([4, 5, 6, 6, 5, 4]), (0, 4, 7)),
    "all but one masked": (np.where(np.arange(7) == 6, Z, -np.inf), 0 * Y + 6, (0, 2, 6, 7)),
    "one class": (Z[:, :1], 0 * Y, (0, 1)),
    "no rows": (Z[:0], Y[:0], (0, 4, 7)),
    "ties across shards": (np.round(Z), Y, (0, 3, 6, 7)),
    "each shard far above the last": (Z + 500 * (np.arange(7) // 2), Y, (0, 2, 4, 6, 7)),
    "huge offset": (np.round(Z * 16) / 16 + 2.0**40, Y, (0, 4, 7)),
}


@pytest.mark.parametrize("corner", CORNERS)
def test_corners(corner: str, reference_vjp: Any) -> None:
    z, y, cuts = CORNERS[corner]
    zs = split(z, cuts)
    loss, pullback = sharded(zs, y)
    value, gradients = reference_vjp(REFERENCES["mean"], zs, np.float64(-1.75), y)
    allowed = rounding(z - 2.0**40 if corner == "huge offset" else z)
    assert abs(loss - value) <= allowed
    for dz, gradient in zip(pullback(-1.75), gradients, strict=True):
        assert np.all(np.abs(dz - gradient) <= allowed)


def test_only_three_numbers_a_row_cross_between_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules[sharded.__module__]
    crossed: list[tuple[str, tuple[int, ...]]] = []

    def watched(name: str) -> Callable[..., Any]:
        collective = getattr(module, name)

        def run(local: Sequence[Any]) -> Any:
            crossed.extend((name, x.shape) for x in local)
            return collective(local)

        return run

    for name in ("all_reduce_max", "all_reduce_sum"):
        monkeypatch.setattr(module, name, watched(name))
    _, pullback = sharded(split(Z, (0, 4, 7)), Y)
    expected = [("all_reduce_max", (6, 1))] * 2 + [("all_reduce_sum", (6, 1))] * 4
    assert crossed == expected
    pullback(1.0)
    assert crossed == expected


@pytest.mark.parametrize("filling", [np.nan, np.inf, -np.inf])
def test_ignored_rows_may_hold_anything(filling: float) -> None:
    y = np.array([2, -1, 6, 2, -1, 3])
    kept = y != -1
    loss, pullback = sharded(split(np.where(kept[:, None], Z, filling), (0, 4, 7)), y, ignore_index=-1)
    expected, expected_pullback = sharded(split(Z[kept], (0, 4, 7)), y[kept])
    assert loss == expected
    for dz, only in zip(pullback(1.0), expected_pullback(1.0), strict=True):
        assert np.array_equal(dz[kept], only)
        assert np.all(dz[~kept] == 0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_narrow_logits_are_rounded_once(dtype: Any) -> None:
    zs = split(Z.astype(dtype), (0, 4, 7))
    (loss, pullback), (wide, wide_pullback) = (sharded(x, Y) for x in (zs, tuple(z.astype(np.float64) for z in zs)))
    inside = rounding(Z, np.float32)
    for narrow, exact in zip((loss, *pullback(1.0)), (wide, *wide_pullback(1.0)), strict=True):
        assert narrow.dtype == dtype
        assert np.all(np.abs(narrow - exact) <= np.finfo(dtype).eps / 2 * np.abs(exact) * (1 + inside) + inside)


@pytest.mark.parametrize("option", ["mean", "everything"])
def test_runs_under_jit_and_can_be_differentiated(option: str) -> None:
    zs = split(Z, (0, 1, 5, 7))
    loss, pullback = sharded(zs, Y, **OPTIONS[option])
    ct = cotangent(loss)

    def run(zs: Any, y: Any, ct: Any) -> Any:
        loss, pullback = sharded(zs, y, **OPTIONS[option])
        return loss, pullback(ct), jax.vjp(lambda *zs: sharded(zs, y, **OPTIONS[option])[0], *zs)[1](ct)

    with jax.enable_x64(True):
        value, traced, derived = jax.tree.map(np.asarray, jax.jit(run)(zs, Y, ct))
    assert np.all(np.abs(value - loss) <= rounding(Z))
    for dz, once, twice in zip(pullback(ct), traced, derived, strict=True):
        assert np.all(np.abs(once - dz) <= rounding(Z))
        assert np.all(np.abs(twice - dz) <= rounding(Z))


ZS = split(Z, (0, 4, 7))
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no shards": (lambda: sharded((), Y), "zs is empty: pass a tuple of logits"),
    "one matrix": (lambda: sharded(Z, Y), "zs is one ndarray: pass a tuple"),  # type: ignore[arg-type]  # on purpose
    "an empty shard": (lambda: sharded((Z, Z[:, :0]), Y), r"zs\[1\] has shape \(6, 0\).*at least one class"),
    "a vector": (lambda: sharded((Z, Z[0]), Y), r"zs\[1\] has shape \(7,\)"),
    "other rows": (lambda: sharded((Z, Z[:2]), Y), r"zs\[1\] is float64\(2, 7\) and zs\[0\] float64\(6, 7\)"),
    "other dtypes": (lambda: sharded((Z, Z.astype(np.float32)), Y), r"zs\[1\] is float32\(6, 7\) and zs\[0\] float64"),
    "integers": (lambda: sharded((Z, Z.astype(int)), Y), r"zs\[1\] has dtype int64"),
    "label weights": (lambda: sharded(ZS, np.eye(7)[Y]), "takes class indices only"),
    "no class": (lambda: sharded(ZS, Y + 1), r"y\[2\] = 7 is no class of z, whose K = 7"),
    "z_loss": (lambda: sharded(ZS, Y, z_loss=-1.0), "z_loss=-1.0"),
    "all masked": (lambda: sharded([z - np.inf for z in ZS], Y), r"row np.hstack\(zs\)\[0\] has the maximum -inf"),
    "reduction": (lambda: sharded(ZS, Y, reduction="average"), "reduction='average' is unknown"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused(case: str) -> None:
    call, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("option", ["weights", "label_smoothing", "temperature", "softcap"])
def test_options_of_other_forms_are_refused_by_name(option: str) -> None:
    with pytest.raises(TypeError, match=f"sharded takes no {option}: .*fused"):
        sharded(ZS, Y, **{option: 0.1})  # type: ignore[arg-type]  # on purpose
