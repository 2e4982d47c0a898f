"""The focal loss against ``jax.vjp`` of its formula, its limits, and against mpmath where digits are claimed."""

from __future__ import annotations

import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradcheck.derivations import focal_loss, softmax_nll

# By name, since mpmath brings no types, and with a precision of its own.
mp: Any = importlib.import_module("mpmath").MPContext()
DRAW = np.random.default_rng(20261126).standard_normal
LABELS = np.array([2, 0, 4, 2])
SHAPES = {"ordinary": (4, 5), "one row": (1, 5), "two classes": (4, 2), "no rows": (0, 5)}


def restated(z: Any, y: Any, gamma: Any) -> Any:
    log_a = jnp.sum(jnp.where(y[:, None] == jnp.arange(z.shape[1]), jax.nn.log_softmax(z, axis=1), 0), axis=1)
    return -((1 - jnp.exp(log_a)) ** gamma) * log_a


def unit_roundoff(dtype: Any) -> float:
    return float(np.finfo(dtype).eps) / 2


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_autodiff(shape: str, gamma: float, dtype: Any, reference_vjp: Any) -> None:
    n, k = SHAPES[shape]
    z, y, ct = DRAW((n, k)).astype(dtype), LABELS[:n] % k, DRAW(n).astype(dtype)
    loss, pullback = focal_loss(z, y, gamma=gamma, reduction="none")
    dz = pullback(ct)
    value, (gradient,) = reference_vjp(restated, (z,), ct, y, np.float64(gamma))
    assert loss.dtype == dz.dtype == dtype
    # Ordinary logits: q is no smaller than a tenth, so the restatement's 1 - a costs ten roundings, gamma times;
    # the factor is at most 1 + gamma.
    u, u_inside = unit_roundoff(dtype), unit_roundoff(np.promote_types(dtype, np.float32))
    bound = 16 * (1 + gamma) ** 2 * u_inside
    assert np.all(np.abs(loss - value) <= bound * 4 + u * np.abs(value))
    assert np.all(np.abs(dz - gradient) <= (bound + u * np.abs(gradient)) * np.maximum(np.abs(ct), 1)[:, None])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_reductions_share_the_cotangent(reduction: str) -> None:
    z = DRAW((4, 5))
    rows, rows_pullback = focal_loss(z, LABELS, reduction="none")
    loss, pullback = focal_loss(z, LABELS, reduction=reduction)
    n = 4 if reduction == "mean" else 1
    assert loss == pytest.approx(rows.sum() / n, rel=8 * unit_roundoff(float))
    assert np.array_equal(pullback(3.0), rows_pullback(np.full(4, 3.0 / n)))


@pytest.mark.parametrize("z", [DRAW((4, 5)), 60 * np.sign(DRAW((4, 5))), 2e3 * DRAW((4, 5)), np.zeros((4, 5))])
def test_gamma_zero_is_softmax_nll(z: Any) -> None:
    loss, pullback = focal_loss(z, LABELS, gamma=0.0)
    nll, nll_pullback = softmax_nll.fused(z, LABELS)
    u = 16 * unit_roundoff(float)
    assert loss == pytest.approx(nll, rel=u)
    assert pullback(1.0) == pytest.approx(nll_pullback(1.0), abs=u)


def exact(z: Any, label: int, gamma: float) -> tuple[Any, list[Any]]:
    with mp.workdps(1200):  # e^-1000 is told from 0 beside 1
        e = [mp.exp(mp.mpf(float(v))) for v in z]
        total = sum(e)
        q = sum(v for k, v in enumerate(e) if k != label) / total
        a, log_a = e[label] / total, mp.log(e[label] / total)
        g = mp.mpf(gamma)
        f = q**g - g * q ** (g - 1) * a * log_a
        return -(q**g) * log_a, [-f * q if k == label else f * v / total for k, v in enumerate(e)]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("lead", [0.5, 20.0, 40.0, 200.0, -20.0, -40.0, -200.0, -700.0])
def test_both_tails_keep_their_relative_accuracy(lead: float, gamma: float) -> None:
    z = np.array([0.25, lead, -1.5])
    loss, pullback = focal_loss(z[None], [1], gamma=gamma)
    value, gradient = exact(z, 1, gamma)
    # An exponential of a shifted logit, rounded, is off by u times the shift, and q is raised to gamma + 1.
    u = (2 + gamma) * (abs(lead) + 16) * unit_roundoff(float)
    assert abs(loss - value) <= u * value
    for entry, truth in zip(pullback(1.0)[0], gradient, strict=True):
        assert abs(entry - truth) <= u * abs(truth)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_a_certain_label_has_neither_loss_nor_gradient(gamma: float) -> None:
    for z in (np.array([[2e3, 0.0]]), np.array([[0.0, -np.inf]]), np.array([[1e6]])):
        loss, pullback = focal_loss(z, [0], gamma=gamma)
        assert loss == 0
        assert not pullback(1.0).any()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_a_hopeless_label_is_softmax_nll(gamma: float) -> None:
    loss, pullback = focal_loss(np.array([[-2e3, 0.0]]), [0], gamma=gamma)
    assert loss == 2e3
    assert np.array_equal(pullback(1.0), [[-1.0, 1.0]])
    loss, pullback = focal_loss(np.array([[-np.inf, 0.0]]), [0], gamma=gamma)
    assert loss == np.inf
    assert np.array_equal(pullback(1.0), [[-1.0, 1.0]])


def test_the_factor_is_no_constant() -> None:
    """The wrong gradient this loss is known for: ``q^gamma`` taken for a weight computed beforehand."""
    z = np.log([[1.0, 3.0]])
    dz = focal_loss(z, [1])[1](1.0)
    weighted = softmax_nll.fused(z, [1])[1](1.0) / 16
    assert np.all(dz / weighted > 2.7)  # 1 + 2 (3/4) log(4/3) / (1/4)


def test_the_mean_over_no_rows_is_zero() -> None:
    loss, pullback = focal_loss(np.zeros((0, 3)), np.zeros(0, int))
    assert loss == 0
    assert pullback(1.0).shape == (0, 3)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "one-hot labels": ({"y": np.eye(3)[:2]}, r"y has shape \(2, 3\): the focal loss takes class indices"),
    "a class too many": ({"y": [0, 3]}, r"y\[1\] = 3 is no class of z"),
    "a negative gamma": ({"gamma": -1.0}, "gamma=-1.0: pass a finite number, at least 0"),
    "an infinite gamma": ({"gamma": np.inf}, "gamma=inf: pass a finite number"),
    "a gamma in text": ({"gamma": "2"}, "gamma='2': pass a finite number, at least 0"),
    "a gamma that is true": ({"gamma": True}, "gamma=True: pass a finite number, at least 0"),
    "a gamma lost in float32": (
        {"z": np.zeros((2, 3), "f4"), "gamma": 1e-60},
        "gamma=1e-60 is outside the normal numbers of float32",
    ),
    "a reduction unheard of": ({"reduction": "max"}, "reduction='max' is unknown"),
    "a row of -inf": ({"z": np.full((2, 3), -np.inf)}, r"row z\[0\] has the maximum -inf"),
    "integers": ({"z": np.zeros((2, 3), int)}, "z has dtype int64"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_says_what_does_not_fit(case: str) -> None:
    change, message = REFUSED[case]
    arguments: dict[str, Any] = {"z": np.zeros((2, 3)), "y": [0, 1]} | change
    with pytest.raises(ValueError, match=message):
        focal_loss(**arguments)
