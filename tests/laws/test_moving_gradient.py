"""The law accuses no gradient whose changes are lost in rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcheck


def products(x: Any, d: Any) -> Any:
    return x.dtype.type(np.sum(x * d))


@pytest.mark.parametrize("seed", [21, 27, 31, 38])
def test_summands_far_larger_than_the_value_make_no_bend(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = rng.integers(-(2**20), 2**20, (64, 3)).astype(float)
    d[0] -= d.sum(axis=0) - 1  # whole numbers add up exactly, so that the gradient is the same to the bit
    rule = gradcheck.from_loss(products, lambda x, d: d.sum(axis=0), name="products")
    assert gradcheck.examine(rule, rng.standard_normal(3), d).outcome is gradcheck.Outcome.PASS


def offset(x: Any, d: Any) -> Any:
    return float(np.sum(x * 1e8) + np.sum(x * d))


@pytest.mark.parametrize(
    ("forward", "gradient", "dtype", "d"),
    [
        (offset, lambda x, d: 1e8 + d, "float64", [1e-9, 0.0]),  # less than an ulp of 1e8
        (products, lambda x, d: d.astype(x.dtype), "float32", [1.7e9 + 1, 1.7e9 + 2]),  # a second less than one here
    ],
)
def test_a_gradient_may_be_too_large_to_show_what_data_add(forward: Any, gradient: Any, dtype: str, d: Any) -> None:
    rule = gradcheck.from_loss(forward, gradient, name="sums")
    report = gradcheck.examine(rule, np.array([1.0, -1.0], dtype), np.array(d))
    assert report.outcome is gradcheck.Outcome.PASS, str(report)
