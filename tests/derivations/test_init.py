"""Initial parameters: shapes, variances, seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradcheck.derivations import init_params


def test_shapes_order_and_dtype() -> None:
    params = init_params((7, 5, 3), seed=1, dtype=np.float16)
    assert [(name, p.shape) for name, p in params.items()] == [
        ("W1", (5, 7)),
        ("b1", (5,)),
        ("W2", (3, 5)),
        ("b2", (3,)),
    ]
    assert {p.dtype for p in params.values()} == {np.dtype(np.float16)}
    assert not params["b1"].any()


def test_softmax_regression_has_one_layer() -> None:
    assert set(init_params([4, 2], seed=0)) == {"W1", "b1"}


def test_the_seed_decides_and_the_dtype_only_rounds() -> None:
    wide, again, other = (init_params((7, 5, 3), seed=s, dtype=np.float64) for s in (1, 1, 2))
    narrow = init_params((7, 5, 3), seed=1, dtype=np.float32)
    for name in wide:
        assert np.array_equal(wide[name], again[name])
        assert np.array_equal(wide[name].astype(np.float32), narrow[name])
    assert not np.array_equal(wide["W1"], other["W1"])


@pytest.mark.parametrize(("activation", "hidden"), [("relu", 2 / 400), ("tanh", 2 / 1000), ("sigmoid", 2 / 1000)])
def test_variances(activation: str, hidden: float) -> None:
    params = init_params((400, 600, 200), seed=3, dtype=np.float64, activation=activation)
    for name, variance in (("W1", hidden), ("W2", 2 / 800)):
        w = params[name]
        # The sample variance of n normal numbers has a relative deviation of sqrt(2 / n): six of them.
        assert np.mean(w**2) == pytest.approx(variance, rel=6 * (2 / w.size) ** 0.5)


@pytest.mark.parametrize("sizes", [(), (784,), (784, 0), (784, -1, 10), (784, 10.0)])
def test_malformed_sizes_are_shown(sizes: Any) -> None:
    with pytest.raises(ValueError, match="pass at least two positive integers"):
        init_params(sizes, seed=0)


def test_unknown_options_are_shown() -> None:
    with pytest.raises(ValueError, match="is not floating: pass one that is"):
        init_params((2, 2), seed=0, dtype=np.int32)
    with pytest.raises(ValueError, match=r"activation='Relu' is unknown: pass one of \['relu'"):
        init_params((2, 2), seed=0, activation="Relu")
