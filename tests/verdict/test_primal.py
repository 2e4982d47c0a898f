"""The value beside a pullback must be the forward's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcheck
from gradcheck.verdict import Outcome

X = np.array([0.5, -1.25])


def cosine(x: Any) -> Any:
    return lambda cotangent: cotangent * np.cos(x)


def in_a_loop(x: Any) -> Any:
    return np.array([np.sin(float(v)) for v in x])  # JAX cannot trace it: judged without a reference


@pytest.mark.parametrize("forward", [np.sin, in_a_loop], ids=["with a reference", "without"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_another_value_fails_and_the_same_passes(forward: Any, dtype: str) -> None:
    x = X.astype(dtype)
    right = gradcheck.from_pullback(lambda x: (np.sin(x), cosine(x)), forward=forward, name="sine")
    assert gradcheck.examine(right, x)
    wrong = gradcheck.from_pullback(lambda x: (np.sin(x) + np.float32(1e-3), cosine(x)), forward=forward, name="sine")
    report = gradcheck.examine(wrong, x)
    assert report.outcome is Outcome.FAIL
    assert report.verdict.breach is not None
    assert report.verdict.breach.law == "primal"


def test_another_shape_fails() -> None:
    rule = gradcheck.from_pullback(lambda x: (np.sin(x), cosine(x)), forward=lambda x: np.sin(x)[None], name="sine")
    report = gradcheck.examine(rule, X)
    assert report.outcome is Outcome.FAIL
    assert "shape" in report.verdict.reason
