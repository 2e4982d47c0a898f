"""The penalty against ``jax.vjp`` of a sum of squares."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from gradcheck.derivations import l2_penalty

STRENGTH = 0.3


def restated(params: Any) -> Any:
    return STRENGTH / 2 * sum(jnp.sum(jnp.square(w)) for name, w in params.items() if name[0] != "b")


def parameters(dtype: Any) -> dict[str, Any]:
    draw = np.random.default_rng(20240504).standard_normal
    shapes = {"W2": (2, 3), "b2": (2,), "W1": (3, 4), "b1": (3,), "scale": ()}
    return {name: np.asarray(draw(shape)).astype(dtype) for name, shape in shapes.items()}


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_agrees_with_autodiff_of_the_restatement(dtype: Any, reference_vjp: Any) -> None:
    params = parameters(dtype)
    ct = -2.0
    penalty, pullback = l2_penalty(params, STRENGTH)
    value, (gradient,) = reference_vjp(restated, (params,), np.float64(ct))
    u = float(np.finfo(dtype).eps) / 2
    # Positive summands: as many roundings as numbers, plus a few. An entry is two products, and s is rounded.
    assert penalty.dtype == dtype
    assert abs(penalty - value) <= (sum(w.size for w in params.values()) + 4) * u * value
    result = pullback(ct)
    assert list(result) == list(params)
    for name, w in params.items():
        assert (result[name].dtype, result[name].shape) == (w.dtype, w.shape)
        assert np.all(np.abs(result[name] - gradient[name]) <= 4 * u * np.abs(gradient[name]))


def test_biases_are_left_alone() -> None:
    penalty, pullback = l2_penalty({"b1": np.ones(3), "bias": np.ones(2)}, 1.0)
    assert penalty == 0
    assert all(not db.any() for db in pullback(1.0).values())


def test_float16_adds_more_than_it_can_hold() -> None:
    penalty, _ = l2_penalty({"W1": np.full((400, 400), 1.0, np.float16)}, 1e-3)
    assert penalty == np.float16(80)


@pytest.mark.parametrize("strength", [-1e-4, np.nan, np.inf])
def test_a_strength_that_does_not_penalise_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match=f"strength={strength!r} is no penalty: pass a finite number"):
        l2_penalty(parameters(np.float64), strength)


def test_malformed_parameters_are_named() -> None:
    with pytest.raises(ValueError, match="params is empty"):
        l2_penalty({}, 1.0)
    with pytest.raises(ValueError, match=r"params\['W7'\] has dtype int64"):
        l2_penalty({"W7": np.arange(3)}, 1.0)
