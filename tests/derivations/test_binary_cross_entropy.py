"""Binary cross-entropy against ``jax.vjp`` of two log-sigmoids, its sibling, and mpmath in both tails."""

from __future__ import annotations

import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradcheck.derivations import binary_cross_entropy, sigmoid_cross_entropy

# By name, since mpmath brings no types, and with a precision of its own.
mp: Any = importlib.import_module("mpmath").MPContext()
NORMAL = np.random.default_rng(20261128).standard_normal((4, 5))
TARGETS = np.array([[1.0, 0, 0, 1, 1], [0.0] * 5, [1.0] * 5, [0.5, 0.25, 1, 0, 0.1]])
WEIGHTS: dict[str, Any] = {"unweighted": None, "one weight": 3.0, "a weight for each": np.array([0.0, 0.5, 1, 2, 30])}
CORNERS = {
    "ordinary": (NORMAL, TARGETS),
    "zeros": (0 * NORMAL, TARGETS),
    "saturated": (60 * np.sign(NORMAL), TARGETS),
    "far": (2e3 * np.sign(NORMAL), TARGETS),
    "three axes": (NORMAL.reshape(2, 2, 5), TARGETS.reshape(2, 2, 5)),
    "a vector": (NORMAL[0], TARGETS[3]),
    "no rows": (NORMAL[:0], TARGETS[:0]),
}


def restated(z: Any, y: Any, w: Any) -> Any:
    return -w * y * jax.nn.log_sigmoid(z) - (1 - y) * jax.nn.log_sigmoid(-z)


def unit_roundoff(dtype: Any) -> float:
    return float(np.finfo(dtype).eps) / 2


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("corner", CORNERS)
def test_agrees_with_autodiff(corner: str, weight: str, dtype: Any, reference_vjp: Any) -> None:
    z, y = CORNERS[corner][0].astype(dtype), CORNERS[corner][1]
    ct, w = np.cos(np.arange(z.size)).reshape(z.shape).astype(dtype), WEIGHTS[weight]
    loss, pullback = binary_cross_entropy(z, y, pos_weight=w, reduction="none")
    dz = pullback(ct)
    wide = np.ones(()) if w is None else np.asarray(w)
    value, (gradient,) = reference_vjp(restated, (z,), ct, y, wide)
    assert loss.dtype == dz.dtype == dtype
    # Targets and weights are rounded to float32 at least; both sides are a handful of operations on summands no
    # larger than the weight times |z| + 1, or times 1 in the gradient.
    u, u_inside = unit_roundoff(dtype), unit_roundoff(np.promote_types(dtype, np.float32))
    size = np.broadcast_to(1 + wide, z.shape)
    assert np.all(np.abs(loss - value) <= 16 * u_inside * size * (1 + np.abs(z)) + u * np.abs(value))
    tiny = float(np.finfo(dtype).smallest_subnormal)
    assert np.all(np.abs(dz - gradient) <= 16 * u_inside * size + u * np.abs(gradient) + tiny)


@pytest.mark.parametrize("shape", [(), (20,), (4, 5), (2, 2, 5), (0, 3)])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_reductions_are_over_all_entries(reduction: str, shape: tuple[int, ...]) -> None:
    z, y = (np.resize(x, shape) for x in (NORMAL, TARGETS))
    terms, terms_pullback = binary_cross_entropy(z, y, reduction="none")
    loss, pullback = binary_cross_entropy(z, y, reduction=reduction)
    n = max(z.size, 1) if reduction == "mean" else 1
    assert terms.shape == pullback(1.0).shape == shape
    assert loss.shape == ()
    assert loss == pytest.approx(terms.sum() / n, rel=40 * unit_roundoff(float))
    assert np.array_equal(pullback(3.0), terms_pullback(np.full(shape, 3.0 / n)))


def test_the_sibling_adds_over_a_row_and_averages_over_rows() -> None:
    u = 64 * unit_roundoff(float)
    for reduction, times in (("sum", 1), ("mean", 5)):
        loss, pullback = binary_cross_entropy(NORMAL, TARGETS, reduction=reduction)
        by_rows, by_rows_pullback = sigmoid_cross_entropy(NORMAL, TARGETS, reduction=reduction)
        assert by_rows == pytest.approx(times * loss, rel=u)
        assert by_rows_pullback(1.0) == pytest.approx(times * pullback(1.0), abs=u)


@pytest.mark.parametrize("y", [0.0, 1.0])
@pytest.mark.parametrize("z", [-700.0, -40.0, -1.0, 0.0, 1e-9, 20.0, 40.0, 700.0])
def test_both_tails_keep_their_relative_accuracy(z: float, y: float) -> None:
    loss, pullback = binary_cross_entropy(z, y, pos_weight=2.0)
    with mp.workdps(700):
        e = mp.exp(mp.mpf(z))
        value = 2 * mp.log1p(1 / e) if y else mp.log1p(e)
        gradient = -2 / (1 + e) if y else e / (1 + e)
    u = 16 * unit_roundoff(float)
    assert abs(loss - value) <= u * value
    assert abs(pullback(1.0) - gradient) <= u * abs(gradient)


def test_what_is_sure_costs_nothing_or_everything() -> None:
    z, y = np.array([-np.inf, np.inf, -np.inf, np.inf]), np.array([0.0, 1.0, 1.0, 0.0])
    loss, pullback = binary_cross_entropy(z, y, pos_weight=2.0, reduction="none")
    assert np.array_equal(loss, [0, 0, np.inf, np.inf])
    assert np.array_equal(pullback(np.ones(4)), [0, 0, -2, 1])


def test_targets_may_be_integers_and_bools() -> None:
    expected = binary_cross_entropy(NORMAL, (NORMAL > 0).astype(float))[0]
    assert binary_cross_entropy(NORMAL, NORMAL > 0)[0] == expected
    assert binary_cross_entropy(NORMAL, (NORMAL > 0).astype(np.int8))[0] == expected


def test_positive_weights_weigh_positives_only() -> None:
    weighted = binary_cross_entropy(NORMAL, TARGETS, pos_weight=4.0, reduction="none")[1](np.ones((4, 5)))
    plain = binary_cross_entropy(NORMAL, TARGETS, reduction="none")[1](np.ones((4, 5)))
    assert np.array_equal(weighted[TARGETS == 0], plain[TARGETS == 0])
    assert np.array_equal(weighted[TARGETS == 1], 4 * plain[TARGETS == 1])


def test_under_jit_a_weight_can_be_traced() -> None:
    def gradient(z: Any, y: Any, w: Any) -> Any:
        return binary_cross_entropy(z, y, pos_weight=w)[1](1.0)

    with jax.enable_x64(True):
        traced = np.asarray(jax.jit(gradient)(NORMAL, TARGETS, jnp.arange(5.0)))
    assert traced == pytest.approx(gradient(NORMAL, TARGETS, np.arange(5.0)), abs=64 * unit_roundoff(float))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "y broadcasts": ({"y": np.zeros(3)}, r"y has shape \(3,\) and z \(2, 3\): pass one target for each logit"),
    "y is above 1": ({"y": np.full((2, 3), 1.5)}, r"y\[0, 0\] = 1.5 is no probability"),
    "y is NaN": ({"y": np.full((2, 3), np.nan)}, r"y\[0, 0\] = nan is no probability"),
    "y is negative": ({"z": 0.0, "y": -1.0}, r"y = -1.0 is no probability"),
    "y is text": ({"y": np.full((2, 3), "no")}, r"y has dtype <U2"),
    "z holds integers": ({"z": np.zeros((2, 3), int)}, "z has dtype int64"),
    "weights do not fit": ({"pos_weight": np.ones(2)}, r"pos_weight has shape \(2,\) and dtype float64"),
    "weights are text": ({"pos_weight": "2"}, "pos_weight has shape .* dtype <U1"),
    "a weight is negative": ({"pos_weight": -1.0}, "pos_weight=-1.0: weights are finite in float64 and at least 0"),
    "a weight is infinite": ({"pos_weight": [1, 1, np.inf]}, "weights are finite"),
    "a weight is infinite in the dtype": (
        {"z": np.zeros((2, 3), "f4"), "pos_weight": 1e300},
        "pos_weight=1e.300: weights are finite in float32",
    ),
    "a reduction unheard of": ({"reduction": "max"}, "reduction='max' is unknown"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_says_what_does_not_fit(case: str) -> None:
    change, message = REFUSED[case]
    arguments: dict[str, Any] = {"z": np.zeros((2, 3)), "y": np.zeros((2, 3))} | change
    with pytest.raises(ValueError, match=message):
        binary_cross_entropy(**arguments)


def test_a_cotangent_that_would_broadcast_is_refused() -> None:
    _, pullback = binary_cross_entropy(np.zeros((2, 3)), np.zeros((2, 3)), reduction="none")
    for shape in ((6,), (3,), (2, 1), ()):
        with pytest.raises(ValueError, match=r"the output \(2, 3\): they must agree"):
            pullback(np.ones(shape))
