"""Gradients that an earlier verdict got wrong, each with what misled it."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradcheck
from gradcheck import strategies as gst
from gradcheck.verdict import Outcome

F32 = np.float32


def bowl_and_ramp(x: Any) -> Any:
    return np.sum(x**2) + np.maximum(x[-1], 0).sum()


def bowl_and_ramp_grad(x: Any, factor: float = 1.0) -> Any:
    gradient = (2 * x).astype(x.dtype)
    gradient[-1] += (x[-1] > 0).astype(x.dtype)
    gradient[1] *= x.dtype.type(factor)
    return gradient


# --- wrong gradients that passed ------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.0, 1.01])
def test_a_mask_is_no_size_of_anything(factor: float) -> None:
    """An infinite logit made the rounding of an exponent infinite, and with it what any entry may be off by."""

    def nll(z: Any) -> Any:
        shifted = z - z.max(axis=1, keepdims=True)
        return np.log(np.exp(shifted).sum(axis=1)).sum() - shifted[:, 0].sum()

    def grad(z: Any, factor: float = factor) -> Any:
        a = np.exp(z - z.max(axis=1, keepdims=True))
        gradient = a / a.sum(axis=1, keepdims=True) - np.eye(z.shape[1])[0]
        return gradient * np.where(np.isinf(z).any(axis=1, keepdims=True), factor, 1.0)

    z = np.array([[0.5, -np.inf, 1.0], [0.2, 0.3, -0.4]])
    assert gradcheck.examine(gradcheck.from_loss(nll, grad), z).outcome is Outcome.FAIL
    assert gradcheck.examine(gradcheck.from_loss(nll, lambda z: grad(z, 1.0)), z)


def test_a_kink_elsewhere_excuses_no_contradiction() -> None:
    """A ReLU close to 0 was taken for the reason why differences contradict a reference that stops a gradient."""

    def reference(x: Any) -> Any:
        return jnp.sum(x * jax.lax.stop_gradient(x)) + jnp.maximum(x[0], 0)

    rule = gradcheck.from_loss(
        lambda x: np.sum(x**2) + np.maximum(x[0], 0), lambda x: x + np.array([x[0] > 0, 0, 0]), reference=reference
    )
    assert gradcheck.examine(rule, np.array([0.01, 2.0, 3.0])).outcome is not Outcome.PASS


@pytest.mark.parametrize("size", [200.0, 1e4, 1e5])
def test_large_inputs_excuse_no_scale_error(size: float) -> None:
    """The rounding of an exponent was granted to a linear function, which has none."""
    factor = F32(1 + 20 / size)
    rule = gradcheck.from_loss(lambda x, w: np.sum(x * w), lambda x, w: (factor * w, factor * x), argnums=(0, 1))
    point = (np.array([size, 3e4, 2.0], F32), np.array([0.3, -0.7, 1.1], F32))
    assert gradcheck.examine(rule, *point).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("large", "dtype", "factor"), [(1e3, F32, 1.02), (100.0, F32, 1.002), (1e6, np.float64, 1.0003)]
)
def test_a_kink_in_one_row_excuses_nothing_in_another(large: float, dtype: Any, factor: float) -> None:
    """Inputs were stirred by the largest of their array, so that a small smooth entry seemed to have many slopes."""
    x = np.array([[large], [10 / large], [0.0]], dtype)
    assert gradcheck.examine(gradcheck.from_loss(bowl_and_ramp, bowl_and_ramp_grad), x)
    wrong = gradcheck.from_loss(bowl_and_ramp, lambda x: bowl_and_ramp_grad(x, factor))
    assert gradcheck.examine(wrong, x).outcome is Outcome.FAIL


def test_a_slope_nobody_knows_is_not_taken_for_zero() -> None:
    """x / |x| at 0: the error of the difference is larger than any answer, which is no agreement."""
    rule = gradcheck.from_loss(lambda x: np.sqrt(np.sum(x * x)), lambda x: np.full_like(x, 50.0))
    assert gradcheck.examine(rule, np.zeros(4)).outcome is not Outcome.PASS


# --- right gradients that failed ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [5, 600, 3000])
def test_any_number_of_kinks(size: int) -> None:
    relu = gradcheck.from_vjp(lambda x: np.maximum(x, 0), lambda x, cotangent: cotangent * (x > 0))
    assert gradcheck.examine(relu, np.zeros(size))
    wrong = gradcheck.from_vjp(lambda x: np.maximum(x, 0), lambda x, cotangent: 1.5 * cotangent * (x >= 0))
    assert gradcheck.examine(wrong, np.zeros(size)).outcome is Outcome.FAIL


def test_many_tied_maxima_are_still_no_sum() -> None:
    x = np.zeros((200, 4))
    first = gradcheck.from_vjp(
        lambda x: x.max(axis=1), lambda x, cotangent: np.eye(4)[x.argmax(axis=1)] * cotangent[:, None]
    )
    assert gradcheck.examine(first, x)
    every = gradcheck.from_vjp(
        lambda x: x.max(axis=1), lambda x, cotangent: (x == x.max(axis=1, keepdims=True)) * cotangent[:, None]
    )
    assert gradcheck.examine(every, x).outcome is Outcome.FAIL


def test_kinks_where_the_reference_is_zero() -> None:
    """Allowances of 1e-307 made numbers that the decomposition could not resolve."""
    half_open = gradcheck.from_vjp(lambda x: np.where(x > 0, x, 0 * x), lambda x, cotangent: cotangent * (x >= 0))
    assert gradcheck.examine(half_open, np.zeros(3))
    clipped = gradcheck.from_loss(
        lambda x: np.sum(np.clip(x, -1, 1) ** 2), lambda x: 2 * np.clip(x, -1, 1) * (np.abs(x) < 1)
    )
    assert gradcheck.examine(clipped, np.array([0.0, 0.0, 0.0, 1.0, 0.0]))


def test_a_jax_forward_is_differenced_in_float64() -> None:
    """With 64-bit types off, JAX truncated the forward of the differences to float32 without a word."""

    def loss(z: Any, y: Any) -> Any:
        return -jnp.mean(jax.nn.log_softmax(z)[jnp.arange(len(y)), y])

    def grad(z: Any, y: Any) -> Any:
        a = np.exp(z - z.max(axis=1, keepdims=True))
        a /= a.sum(axis=1, keepdims=True)
        a[np.arange(len(y)), y] -= 1
        return a / z.dtype.type(len(y))

    z = np.array([[0.0, 20.0, 1.0, 2.0, 3.0]], F32)
    assert gradcheck.examine(gradcheck.from_loss(loss, grad), z, np.array([1]))


@pytest.mark.parametrize("seed", range(4))
def test_differences_at_many_kinks_do_not_contradict(seed: int) -> None:
    def relu(x: Any) -> Any:
        return np.array([max(float(v), 0.0) for v in x])  # nothing that JAX can trace

    rule = gradcheck.from_vjp(relu, lambda x, cotangent: cotangent * (x > 0))
    assert gradcheck.examine(rule, np.zeros(5), seed=seed).outcome is not Outcome.FAIL


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_slope_of_a_sigmoid_as_everybody_writes_it(dtype: str) -> None:
    """a (1 - a) is off by the rounding of 1 - a, which is as large as the value, not as the slope."""

    def sigmoid(x: Any) -> Any:
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(-x))

    rule = gradcheck.from_vjp(sigmoid, lambda x, cotangent: cotangent * sigmoid(x) * (1 - sigmoid(x)))
    assert gradcheck.examine(rule, np.array([20.0, 10.0, -3.0], dtype))
    assert gradcheck.verify(rule, args=(gst.logits(dtype=dtype, gap=60.0),), examples=100, seed=0)


def test_a_value_that_overflows_is_no_other_function() -> None:
    def nll(z: Any) -> Any:
        a = np.exp(z - z.max())
        with np.errstate(divide="ignore"):
            return -np.log(a[0] / a.sum())

    def grad(z: Any) -> Any:
        a = np.exp(z - z.max())
        return a / a.sum() - np.array([1, 0], z.dtype)

    report = gradcheck.examine(gradcheck.from_loss(nll, grad), np.array([-120.0, 0.0], F32))
    assert report.outcome is Outcome.UNDECIDED
    assert "not finite in float32" in report.verdict.reason


def test_a_forward_that_cannot_be_a_key() -> None:
    @dataclasses.dataclass
    class Scaled:
        scale: float

        def __call__(self, x: Any) -> Any:
            return self.scale * np.sum(x**2)

    model = Scaled(3.0)
    assert gradcheck.examine(gradcheck.from_loss(model, lambda x: 2 * model.scale * x), np.array([1.0, 2.0]))


# --- found by a hostile reading of the second version -----------------------------------------------------------


def test_a_difference_as_wide_as_the_slope_confirms_nothing() -> None:
    """Rule and reference take the statistics for constants; of a flat forward, closer differences are all rounding."""

    def forward(x: Any, b: Any, c: Any) -> Any:
        h = x + b
        return np.sum(c * (h - h.mean(0)) / np.sqrt(h.var(0) + 1e-5))

    def reference(x: Any, b: Any, c: Any) -> Any:
        h = x + b
        mean, variance = (jax.lax.stop_gradient(s) for s in (h.mean(0), h.var(0)))
        return jnp.sum(c * (h - mean) / jnp.sqrt(variance + 1e-5))

    def grad(x: Any, b: Any, c: Any) -> Any:
        h = x + b
        return (c / np.sqrt(h.var(0) + 1e-5)).sum(0)

    rng = np.random.default_rng(0)
    rule = gradcheck.from_loss(forward, grad, argnums=1, reference=reference)
    point = rng.normal(size=(6, 3)), rng.normal(size=3), rng.normal(size=(6, 3))
    assert gradcheck.examine(rule, *point).outcome is not Outcome.PASS


def softmax(z: Any) -> Any:
    a = np.exp(z - z.max(axis=1, keepdims=True))
    return a / a.sum(axis=1, keepdims=True)


def mean_nll(z: Any, y: Any) -> Any:
    shifted = z - z.max(axis=1, keepdims=True)
    return (np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(y)), y]).mean()


def mean_nll_grad(z: Any, y: Any) -> Any:
    return ((softmax(z) - np.eye(z.shape[1])[y]) / len(y)).astype(z.dtype)


@pytest.mark.parametrize(("dtype", "mask"), [("float32", -1e9), ("float32", -1e30), ("float64", -1e30)])
def test_a_large_finite_mask_is_no_size_either(dtype: str, mask: float) -> None:
    def first_row_only(z: Any, y: Any) -> Any:
        a = softmax(z)
        a[0, y[0]] -= 1
        return (a / len(y)).astype(z.dtype)

    z = np.random.default_rng(0).normal(size=(5, 6)).astype(dtype)
    z[:, 5] = mask
    y = np.arange(5)
    assert gradcheck.examine(gradcheck.from_loss(mean_nll, first_row_only), z, y).outcome is Outcome.FAIL
    assert gradcheck.examine(gradcheck.from_loss(mean_nll, mean_nll_grad), z, y)


@pytest.mark.parametrize("large", [-1e9, -1e17])
def test_a_zero_is_not_moved_as_far_as_its_largest_neighbour(large: float) -> None:
    x = np.array([[0, 5, 1, large], [0, 1, 0.5, large]])
    rule = gradcheck.from_loss(
        lambda x: np.sum(np.maximum(x.max(axis=1), -1.0)), lambda x: np.eye(4)[np.zeros(len(x), dtype=int)]
    )
    assert gradcheck.examine(rule, x).outcome is Outcome.FAIL


@pytest.mark.parametrize("shape", [(4, 3), (2, 5)])
def test_constants_that_cancel_are_no_symmetry(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    rule = gradcheck.from_loss(np.mean, lambda z: np.full(z.shape, 1 / max(z.size, 1)))
    assert all(gradcheck.examine(rule, rng.normal(size=shape)) for _ in range(20))


def test_a_float32_rule_whose_loss_is_float64() -> None:
    """One-hot rows from `np.eye` make the value float64; it is computed from float32 all the same."""

    def loss(z: Any, y: Any) -> Any:
        top = z.max(axis=1, keepdims=True)
        log_a = z - top - np.log(np.exp(z - top).sum(axis=1, keepdims=True))
        return -np.sum(np.eye(z.shape[1])[y] * log_a) / len(y)

    z = np.random.default_rng(0).normal(size=(4, 5)).astype(F32)
    assert gradcheck.examine(gradcheck.from_loss(loss, mean_nll_grad), z, np.array([0, 4, 2, 2]))


@pytest.mark.parametrize("power", [2.0, -2.0, 3.0])
def test_whole_powers_of_negative_numbers(power: float) -> None:
    rule = gradcheck.from_loss(lambda x: np.sum(x**power), lambda x: power * x ** (power - 1))
    assert gradcheck.examine(rule, np.array([-1.0, 2.0, -0.75]))


@pytest.mark.parametrize("data", [np.array(["a", "b"]), np.array([None, 1]), np.array(["2026-01-01"], "M8[D]")])
def test_data_that_jax_has_no_type_for(data: Any) -> None:
    rule = gradcheck.from_loss(lambda x, _: np.sum(x**2), lambda x, _: 2 * x)
    assert gradcheck.examine(rule, np.array([1.0, -2.0]), data)
    wrong = gradcheck.from_loss(lambda x, _: np.sum(x**2), lambda x, _: 3 * x)
    assert gradcheck.examine(wrong, np.array([1.0, -2.0]), data).outcome is Outcome.FAIL


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_largest_numbers_warn_of_nothing(dtype: str) -> None:
    """Warnings are errors in many suites, this one included; a mask is often the least number that there is."""
    z = np.array([[0.5, -0.25, 1.0], [1.0, 0.0, 0.5]], dtype=dtype)
    z[0, 1] = np.finfo(dtype).min
    assert gradcheck.examine(gradcheck.from_loss(mean_nll, mean_nll_grad), z, np.array([0, 2]))


@pytest.mark.parametrize(("found", "passes"), [(np.inf, True), (-np.inf, False), (65504.0, False), (np.nan, False)])
def test_what_is_beyond_the_type_rounds_to_infinity(found: float, passes: bool) -> None:
    """A slope of 120,000, where float16 ends at 65,504."""

    def vjp(w: Any, ct: Any) -> Any:
        due = 2.0 * w.astype(np.float32) * np.float32(ct)
        return np.where(due > 65504.0, found, due).astype(w.dtype)

    point = np.array([0.5, 100.0, -1.25], dtype=np.float16)
    with np.errstate(over="ignore"):
        report = gradcheck.examine(gradcheck.from_vjp(lambda w: np.sum(w * w), vjp), point, cotangent=np.float16(600))
    assert (report.outcome.value == "PASS") is passes


@pytest.mark.parametrize("apart", [False, True])
def test_one_row_may_have_a_gradient_beyond_the_type(apart: bool) -> None:
    """The mean over four rows of 2 z is four times as large for one; a division by N - 1 is no matter of the type."""

    def vjp(z: Any, ct: Any) -> Any:
        n = len(z) - 1 + 1e-6 if apart and len(z) == 1 else len(z)
        return (2.0 * z.astype(np.float32) * np.float32(ct) / n).astype(z.dtype)

    rule = gradcheck.from_vjp(lambda z: np.sum(z * z) / len(z), vjp)
    z = np.array([[0.5, 100.0], [3.0, -1.25], [1.5, 2.0], [-2.0, 0.25]], dtype=np.float16)
    with np.errstate(over="ignore"):
        verdict = gradcheck.examine(rule, z, cotangent=np.float16(600)).verdict
    assert verdict.laws["sizes"] == ("broken" if apart else "held")


@pytest.mark.parametrize(("off", "passes"), [(1.0, True), (1.3, False)])
def test_a_shared_factor_may_be_too_small_for_its_digits(off: float, passes: bool) -> None:
    """The strength of a penalty times a small cotangent is 4e-6, where float16 counts in steps of 6e-8."""

    def vjp(w: Any, ct: Any) -> Any:
        return (ct * np.float16(off * 1e-3)) * w

    rule = gradcheck.from_vjp(lambda w: 5e-4 * np.sum(w * w), vjp)
    w = np.array([[24.02, -63.97, 52.16], [79.9, 80.1, -35.94], [-47.8, 52.1, 31.88]], dtype=np.float16)
    report = gradcheck.examine(rule, w, cotangent=np.float16(0.003906))
    assert (report.outcome.value == "PASS") is passes


@pytest.mark.parametrize(("off", "outcome"), [(0.0, "PASS"), (1e-25, "FAIL")])
def test_what_vanishes_in_the_forward_is_as_large_as_the_cotangent_makes_it(off: float, outcome: str) -> None:
    """A third of a subnormal number is rounded to another one, and then multiplied by 1e11."""

    def vjp(g: Any, ct: Any, x: Any) -> Any:
        return ct * (x / np.float32(3) * np.float32(1e5)) + np.float32(off)

    rule = gradcheck.from_vjp(lambda g, x: np.sum(g * (x / 3 * 1e5)), lambda g, x, ct: vjp(g, ct, x), argnums=0)
    g, x = np.ones((2, 2), dtype=np.float32), np.array([[1e-44, -7e-45], [1.0, 2.0]], dtype=np.float32)
    assert gradcheck.examine(rule, g, x, cotangent=np.float32(1e6)).outcome.value == outcome
