"""The composed network against ``jax.vjp`` of the network written at once."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradcheck.derivations import (
    init_params,
    linear,
    mlp,
    mlp_logits,
    sigmoid_cross_entropy,
    softmax_nll,
    tanh,
)

L2 = 0.05
N, CT = 6, 1.5
X = np.random.default_rng(20240505).standard_normal((N, 4))
Y = np.eye(3)[[0, 2, 1, 1, 0, 2]]
SIZES = {"softmax regression": (4, 3), "one hidden layer": (4, 7, 3), "three hidden layers": (4, 7, 6, 5, 3)}
NONLINEAR: dict[str, Any] = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh}


def restated_logits(activation: str) -> Any:
    def logits(params: Any, x: Any) -> Any:
        h = x
        for layer in range(1, len(params) // 2 + 1):
            h = h if layer == 1 else NONLINEAR[activation](h)
            h = jnp.einsum("nh,kh->nk", h, params[f"W{layer}"]) + params[f"b{layer}"]
        return h

    return logits


def restated(activation: str) -> Any:
    def loss(params: Any, x: Any, y: Any) -> Any:
        log_a = jax.nn.log_softmax(restated_logits(activation)(params, x))
        squares = sum(jnp.sum(w**2) for name, w in params.items() if name[0] == "W")
        return -jnp.mean(jnp.sum(y * log_a, axis=1)) + L2 / 2 * squares

    return loss


# One function object for each, so that the compiled reference is found again.
RESTATED = {name: (restated_logits(name), restated(name)) for name in NONLINEAR}


def parameters(sizes: str, dtype: Any = np.float64) -> dict[str, Any]:
    params = init_params(SIZES[sizes], seed=5, dtype=np.float64)
    draw = np.random.default_rng(6).standard_normal
    return {name: (p + 0.1 * draw(p.shape)).astype(dtype) for name, p in params.items()}


def magnitudes(params: Any, ct: Any) -> dict[str, Any]:
    """The pullback of the logits with every number replaced by its absolute value and every slope by 1.

    What each entry of the gradient is a sum of, whatever cancels in it: rounding is relative to this.
    """
    depth = len(params) // 2
    inputs, dz = [np.abs(X)], np.abs(ct)
    for layer in range(1, depth):
        inputs.append(inputs[-1] @ np.abs(params[f"W{layer}"].T) + np.abs(params[f"b{layer}"]))
    sizes = {}
    for layer in range(depth, 0, -1):
        sizes[f"W{layer}"], sizes[f"b{layer}"] = dz.T @ inputs[layer - 1], dz.sum(axis=0)
        dz = dz @ np.abs(params[f"W{layer}"])
    return sizes


def assert_within(gradient: Any, reference: Any, params: Any, sizes: Any) -> None:
    """Compare, allowing each layer as many roundings as the longest sum has terms, forwards and backwards.

    Rounding of the forward reaches the gradient through the slopes and the softmax, both of Lipschitz
    constant at most 1 in the logits, and the logits' own summands here are below 16.
    """
    assert list(gradient) == list(params)
    longest = max(max(p.shape) for p in params.values()) + N
    for name, p in params.items():
        assert (gradient[name].dtype, gradient[name].shape) == (p.dtype, p.shape)
        allowed = 16 * len(params) * longest * float(np.finfo(p.dtype).eps) / 2 * sizes[name]
        assert np.all(np.abs(gradient[name] - reference[name]) <= allowed)


@pytest.mark.parametrize("activation", NONLINEAR)
@pytest.mark.parametrize("sizes", SIZES)
def test_loss_agrees_with_autodiff_of_the_whole(sizes: str, activation: str, reference_vjp: Any) -> None:
    params = parameters(sizes)
    loss, pullback = mlp(params, X, Y, activation=activation, l2=L2)
    value, (gradient,) = reference_vjp(RESTATED[activation][1], (params,), np.float64(CT), X, Y)
    sizes_of = magnitudes(params, 2 * CT / N * np.ones_like(Y))  # |a - y| <= a + y <= 2
    penalised = {name: size + L2 * CT * np.abs(params[name]) for name, size in sizes_of.items()}
    assert loss == pytest.approx(value, rel=1e3 * float(np.finfo(float).eps))  # some 10^3 operations in all
    assert_within(pullback(CT), gradient, params, penalised)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("sizes", SIZES)
def test_logits_agree_with_autodiff(sizes: str, dtype: Any, reference_vjp: Any) -> None:
    params, x = parameters(sizes, dtype), X.astype(dtype)
    ct = np.random.default_rng(7).standard_normal((N, 3)).astype(dtype)
    logits, pullback = mlp_logits(params, x, activation="tanh")
    value, (gradient,) = reference_vjp(RESTATED["tanh"][0], (params,), ct, x)
    assert logits.dtype == dtype
    assert np.all(np.abs(logits - value) <= 1e3 * float(np.finfo(dtype).eps) * np.abs(value).max())
    assert_within(pullback(ct), gradient, params, magnitudes(params, ct))


def test_softmax_regression_is_the_two_rules_in_a_row() -> None:
    params = parameters("softmax regression")
    loss, pullback = mlp(params, X, Y)
    z, linear_pullback = linear(X, params["W1"], params["b1"])
    nll, nll_pullback = softmax_nll.fused(z, Y)
    _, dW, db = linear_pullback(nll_pullback(CT))
    assert loss == nll
    assert np.array_equal(pullback(CT)["W1"], dW)
    assert np.array_equal(pullback(CT)["b1"], db)


@pytest.mark.parametrize("form", ["full_jacobian", "contracted_jacobian", "log_softmax", "fused", "accurate"])
def test_every_form_trains_the_same(form: str) -> None:
    params = parameters("one hidden layer")
    fused = mlp(params, X, Y)[1](1.0)
    other = mlp(params, X, Y, loss=getattr(softmax_nll, form))[1](1.0)
    assert_within(other, fused, params, magnitudes(params, 2 / N * np.ones_like(Y)))


def test_a_loss_and_an_activation_of_ones_own_are_used() -> None:
    params = parameters("one hidden layer")
    assert mlp(params, X, Y, loss=sigmoid_cross_entropy)[0] != mlp(params, X, Y)[0]

    def forgetful(z: Any, y: Any, *, reduction: str) -> Any:
        loss, pullback = softmax_nll.fused(z, y, reduction=reduction)
        return loss, lambda ct: pullback(ct) * y

    wrong, right = (mlp(params, X, Y, loss=loss)[1](1.0) for loss in (forgetful, softmax_nll.fused))
    with pytest.raises(AssertionError):
        assert_within(wrong, right, params, magnitudes(params, 2 / N * np.ones_like(Y)))
    by_name, by_rule = (mlp(params, X, Y, activation=a)[0] for a in ("tanh", tanh))
    assert by_name == by_rule != mlp(params, X, Y)[0]


def test_sum_is_n_times_the_mean_and_the_penalty_is_added_once() -> None:
    params = parameters("one hidden layer")
    mean, total, plain = (
        mlp(params, X, Y, l2=l2, reduction=r)[0] for l2, r in ((L2, "mean"), (L2, "sum"), (0.0, "mean"))
    )
    assert total - mean == pytest.approx((N - 1) * plain, rel=64 * float(np.finfo(float).eps))


def test_no_rows_leave_the_penalty() -> None:
    params = parameters("one hidden layer")
    loss, pullback = mlp(params, X[:0], Y[:0])
    assert loss == 0
    assert all(not g.any() for g in pullback(1.0).values())
    assert np.array_equal(mlp(params, X[:0], Y[:0], l2=L2)[1](1.0)["W1"], L2 * params["W1"])


W, B = np.zeros((3, 4)), np.zeros(3)
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, r"params has the names \[\]: pass W1, b1"),
    "no bias": ({"W1": W}, r"params has the names \['W1'\]"),
    "a gap": (
        {"W1": W, "b1": B, "W3": np.zeros((2, 3)), "b3": np.zeros(2)},
        "both for each layer and nothing",
    ),
    "an odd name": ({"W1": W, "b1": B, "gain": B}, "'gain'"),
    "layers that do not meet": (
        {"W1": W, "b1": B, "W2": W, "b2": B},
        r"(?s)h \(6, 3\), W \(3, 4\) and b \(3,\) do not fit.*in layer 2: W = params\['W2'\]",
    ),
    "integers": ({"W1": W.astype(int), "b1": B}, r"(?s)W has dtype int64.*in layer 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_malformed_parameters_are_named(case: str) -> None:
    params, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        mlp(params, X, Y)


def test_malformed_data_and_options_are_named() -> None:
    params = parameters("softmax regression")
    with pytest.raises(ValueError, match="x has dtype uint8"):
        mlp(params, X.astype(np.uint8), Y)
    with pytest.raises(ValueError, match=r"activation='gelu' is unknown: pass \['relu', 'sigmoid', 'tanh'\] or"):
        mlp_logits(params, X, activation="gelu")
    with pytest.raises(ValueError, match=r"strength=-1\.0 is no penalty"):
        mlp(params, X, Y, l2=-1.0)
    with pytest.raises(ValueError, match=r"y\[0\] = 3 is no class of z"):
        mlp(params, X, [3] * N)
