"""In float16 and bfloat16 a rule that rounds passes, and one that is off by a few percent does not."""

from __future__ import annotations

import sys
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import gradcheck
from gradcheck.verdict import Outcome

pytest.importorskip("flint", exc_type=ImportError)

NARROW = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
# what a scale error over 64 entries, and an error of one entry relative to the largest of its row, must be caught at
SCALE = {"float16": 1e-2, "bfloat16": 5e-2}
ENTRY = {"float16": 5e-2, "bfloat16": 2e-1}


def nll(z: Any, y: Any) -> Any:
    shifted = z - z.max(axis=1, keepdims=True)
    return (np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(y)), y]).mean()


def grad(z: Any, y: Any) -> Any:
    a = np.exp(z - z.max(axis=1, keepdims=True))
    a = a / a.sum(axis=1, keepdims=True)
    a[np.arange(len(y)), y] -= z.dtype.type(1)
    return a / z.dtype.type(len(y))


def point(dtype: str, seed: int = 0, shape: tuple[int, int] = (8, 8)) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape).astype(NARROW[dtype]), rng.integers(0, shape[1], shape[0])


def times(factor: float) -> Any:
    return lambda z, y: (grad(z, y).astype(float) * factor).astype(z.dtype)


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("shape", [(1, 3), (8, 8), (2, 32), (3, 255)])
def test_its_own_rounding_passes(dtype: str, shape: tuple[int, int]) -> None:
    for seed in range(3):
        assert gradcheck.examine(gradcheck.from_loss(nll, grad), *point(dtype, seed, shape))


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_scale_error_shows_in_all_entries_together(dtype: str, sign: int) -> None:
    wrong = gradcheck.from_loss(nll, times(1 + sign * SCALE[dtype]))
    report = gradcheck.examine(wrong, *point(dtype))
    assert report.outcome is Outcome.FAIL
    assert "as a whole" in report.verdict.reason
    assert ("large" if sign > 0 else "small") in report.verdict.reason


@pytest.mark.parametrize("dtype", NARROW)
def test_a_single_entry(dtype: str) -> None:
    z, y = point(dtype)
    row = int(np.abs(grad(z, y).astype(float)).max(axis=1).argmax())

    def off(z: Any, y: Any) -> Any:
        wrong = grad(z, y).astype(float)
        wrong[row, (y[row] + 1) % 8] += ENTRY[dtype] * np.abs(wrong[row]).max()
        return wrong.astype(z.dtype)

    assert gradcheck.examine(gradcheck.from_loss(nll, off), z, y).outcome is Outcome.FAIL


@pytest.mark.parametrize("dtype", NARROW)
def test_a_sigmoid_that_loses_its_tail(dtype: str) -> None:
    """a (1 - a) is 0 where a rounds to 1, and its slope is not: as large as an ulp of 1, and right to write."""

    def sigmoid(x: Any) -> Any:
        return x.dtype.type(1) / (x.dtype.type(1) + np.exp(-x))

    rule = gradcheck.from_vjp(sigmoid, lambda x, cotangent: cotangent * sigmoid(x) * (x.dtype.type(1) - sigmoid(x)))
    assert gradcheck.examine(rule, np.array([8.0, 5.0, 0.5, -3.0], NARROW[dtype]))


def test_a_pass_says_what_evidence_it_lacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flint", None)
    report = gradcheck.examine(gradcheck.from_loss(nll, times(1.03)), *point("bfloat16"))
    assert report
    assert any("pip install 'gradcheck[exact]'" in note for note in report.verdict.notes)
    assert not gradcheck.examine(gradcheck.from_loss(nll, grad), *point("bfloat16")).verdict.notes
