"""Sigmoid + cross-entropies against ``jax.vjp`` of two log-sigmoids, and in contrast with softmax + NLL."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradcheck.derivations import sigmoid_cross_entropy, softmax_nll

NORMAL = np.random.default_rng(20240502).standard_normal((4, 5))
TARGETS = np.array([[1.0, 0, 0, 1, 1], [0.0] * 5, [1.0] * 5, [0.5, 0.25, 1, 0, 0.1]])
CORNERS = {
    "ordinary": (NORMAL, TARGETS),
    "zeros": (0 * NORMAL, TARGETS),
    "saturated": (60 * np.sign(NORMAL), TARGETS),
    "far": (2e3 * np.sign(NORMAL), TARGETS),
    "masked": (np.where(TARGETS == 0, -np.inf, NORMAL), TARGETS),
    "one neuron": (NORMAL[:3, :1], TARGETS[:3, :1]),
    "one row": (NORMAL[:1], TARGETS[:1]),
    "no rows": (NORMAL[:0], TARGETS[:0]),
}


def restated(z: Any, y: Any, n: Any) -> Any:
    on = jnp.where(y != 0, jax.nn.log_sigmoid(z), 0)
    off = jnp.where(y != 1, jax.nn.log_sigmoid(-z), 0)
    return -jnp.sum(y * on + (1 - y) * off) / n


def unit_roundoff(dtype: Any) -> float:
    return float(np.finfo(dtype).eps) / 2


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("corner", CORNERS)
def test_agrees_with_autodiff_of_the_restatement(corner: str, reduction: str, dtype: Any, reference_vjp: Any) -> None:
    z, y = CORNERS[corner][0].astype(dtype), CORNERS[corner][1]
    n = max(len(y), 1) if reduction == "mean" else 1
    ct = 1.5
    loss, pullback = sigmoid_cross_entropy(z, y, reduction=reduction)
    dz = pullback(ct)
    value, (gradient,) = reference_vjp(restated, (z,), np.float64(ct), y, n)
    assert loss.dtype == dz.dtype == dtype
    # Targets are rounded to float32 at least; a neuron is a handful of operations on summands no larger than
    # |z| + 1, and all N K of them are added. A gradient entry is a - y, of summands no larger than 1.
    u, u_inside = unit_roundoff(dtype), unit_roundoff(np.promote_types(dtype, np.float32))
    size = np.sum(1 + np.abs(np.where(np.isinf(z), 0, z)), dtype=np.float64) / n
    assert abs(loss - value) <= 2 * (u_inside * (z.size + 8) + u) * size
    assert np.all(np.abs(dz - gradient) <= (16 * u_inside + u) * ct / n + float(np.finfo(dtype).smallest_subnormal))


def test_the_value_depends_on_every_neuron_and_softmax_on_the_label_alone() -> None:
    logits, others = (
        np.log([[0.2, 0.3, 0.5]]),
        np.log([[0.4, 0.3, 0.3]]),
    )  # softmax gives the label 0.3 in both
    u = 16 * unit_roundoff(float)
    assert softmax_nll.fused(logits, [1])[0] == pytest.approx(softmax_nll.fused(others, [1])[0], rel=u)
    assert abs(sigmoid_cross_entropy(logits, [1])[0] - sigmoid_cross_entropy(others, [1])[0]) > 0.01


def test_one_neuron_is_softmax_of_two_classes() -> None:
    z, y = NORMAL[:, :1], TARGETS[:, :1]
    binary, pullback = sigmoid_cross_entropy(z, y)
    pair, pair_pullback = softmax_nll.fused(np.hstack([z, 0 * z]), np.hstack([y, 1 - y]))
    u = 32 * unit_roundoff(float)
    assert binary == pytest.approx(pair, rel=u)
    assert pullback(1.0) == pytest.approx(pair_pullback(1.0)[:, :1], abs=u)


def test_confident_and_right_keeps_its_small_loss() -> None:
    loss, _ = sigmoid_cross_entropy(np.array([[40.0]]), [[1.0]])
    assert loss == pytest.approx(np.exp(-40.0), rel=8 * unit_roundoff(float), abs=0)


def test_surely_off_and_asked_to_be_on_costs_infinity() -> None:
    loss, pullback = sigmoid_cross_entropy(np.array([[-np.inf, 0.0]]), [[1.0, 0.0]])
    assert loss == np.inf
    assert np.array_equal(pullback(1.0), [[-1.0, 0.5]])
