from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from gradcheck.errors import InvalidArgument
from gradcheck.mnist.optim import BATCH, OPTIMISERS, SGD, Adam, Arrays, Momentum, Optimiser, find_optimiser

# Eighths and quarters: sums and products of them are exact, so equality below is equality.
PARAMS: Arrays = {"W1": np.array([[1.0, -2.0], [0.5, 4.0]]), "b1": np.array([0.25, 0.0])}
GRADS: Arrays = {"W1": np.array([[2.0, -1.0], [0.0, 8.0]]), "b1": np.array([-4.0, 0.5])}
EVERY = pytest.mark.parametrize("optimiser", OPTIMISERS.values(), ids=OPTIMISERS)


def walk(optimiser: Optimiser, rates: list[float], grads: list[Arrays] | None = None) -> tuple[Arrays, Arrays]:
    params, memory = PARAMS, optimiser.start(PARAMS)
    for each, rate in zip(grads or [GRADS] * len(rates), rates, strict=True):
        params, memory = optimiser.step(params, each, memory, rate)
    return params, memory


def test_sgd_goes_down_the_gradient() -> None:
    params, memory = walk(SGD(), [0.25])
    assert {name: w.tolist() for name, w in params.items()} == {"W1": [[0.5, -1.75], [0.5, 2.0]], "b1": [1.25, -0.125]}
    assert memory == {}


def test_momentum_adds_up_gradients_and_not_rates() -> None:
    """After two steps: v = decay g + g, and w - r1 g - r2 v. A velocity that held rates would hold r1, not r2."""
    params, memory = walk(Momentum(decay=0.5), [0.5, 0.25])
    for name in PARAMS:
        np.testing.assert_array_equal(memory[f"v.{name}"], 1.5 * GRADS[name])
        np.testing.assert_array_equal(params[name], PARAMS[name] - 0.5 * GRADS[name] - 0.25 * 1.5 * GRADS[name])


def test_momentum_without_decay_is_sgd() -> None:
    params, _ = walk(Momentum(decay=0.0), [0.5, 0.25])
    expected, _ = walk(SGD(), [0.5, 0.25])
    for name in PARAMS:
        np.testing.assert_array_equal(params[name], expected[name])


def test_the_first_step_of_adam_has_the_size_of_the_rate_and_the_sign_of_the_gradient() -> None:
    params, _ = walk(Adam(), [0.5])
    for name in PARAMS:
        g = GRADS[name]
        # m / sqrt(v) is g / |g| after one step, so epsilon / |g| is the whole distance, and half is the smallest |g|.
        np.testing.assert_allclose(params[name], PARAMS[name] - 0.5 * np.sign(g), rtol=0, atol=1e-8 / 0.5)


def test_two_steps_of_adam_are_algorithm_1_of_the_paper() -> None:
    beta1, beta2, epsilon, rates = 0.75, 0.875, 0.125, [0.5, 0.25]
    second = {name: -g + 1 for name, g in GRADS.items()}
    params, memory = walk(Adam(beta1, beta2, epsilon), rates, [GRADS, second])
    for name, w in PARAMS.items():
        m, v = np.zeros_like(w), np.zeros_like(w)
        for t, (g, rate) in enumerate(zip((GRADS[name], second[name]), rates, strict=True), start=1):
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            w = w - rate * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + epsilon)
        # About ten roundings each, in another order, of numbers that are at most a few.
        np.testing.assert_allclose(params[name], w, rtol=20 * np.finfo(float).eps)
        np.testing.assert_array_equal(memory[f"m.{name}"], m)
        np.testing.assert_array_equal(memory[f"v.{name}"], v)
    assert memory["t"] == 2


@EVERY
def test_nothing_is_written_to_and_dtypes_stay(optimiser: Optimiser) -> None:
    params, grads = ({name: w.astype(np.float32) for name, w in arrays.items()} for arrays in (PARAMS, GRADS))
    memory = optimiser.start(params)
    for array in (*params.values(), *grads.values(), *memory.values()):
        array.flags.writeable = False  # so that a write would raise
    moved, remembered = optimiser.step(params, grads, memory, 0.1)
    assert {w.dtype for w in moved.values()} == {np.dtype(np.float32)}
    assert {name: v.dtype for name, v in remembered.items()} == {name: v.dtype for name, v in memory.items()}
    assert not any(np.shares_memory(moved[name], params[name]) for name in params)


@EVERY
def test_a_step_over_an_earlier_result_is_the_same_step_and_takes_no_new_memory(optimiser: Optimiser) -> None:
    start = optimiser.start(PARAMS)
    first = optimiser.step(PARAMS, GRADS, start, 0.5)
    second = optimiser.step(first[0], GRADS, first[1], 0.25)
    spare = optimiser.step(PARAMS, GRADS, start, 0.125)
    reused = optimiser.step(first[0], GRADS, first[1], 0.25, spare)
    for fresh, written, offered in zip(second, reused, spare, strict=True):
        for name in fresh:
            assert written[name].tobytes() == fresh[name].tobytes()
            assert written[name] is offered[name]


@EVERY
def test_a_gradient_of_zero_moves_nothing(optimiser: Optimiser) -> None:
    zeros = {name: np.zeros_like(w) for name, w in PARAMS.items()}
    params, _ = walk(optimiser, [0.5, 0.5], [zeros, zeros])
    for name in PARAMS:
        np.testing.assert_array_equal(params[name], PARAMS[name])


@EVERY
def test_default_rates_shrink_with_the_batch_and_do_not_grow_beyond(optimiser: Optimiser) -> None:
    ratio = optimiser.default_rate(1) / optimiser.default_rate(BATCH)
    assert ratio == pytest.approx(sqrt(1 / BATCH) if isinstance(optimiser, Adam) else 1 / BATCH)
    assert optimiser.default_rate(100 * BATCH) == optimiser.default_rate(BATCH)


def test_optimisers_are_found_by_name_or_are_found_already() -> None:
    assert find_optimiser("adam") == Adam()
    assert find_optimiser(own := Momentum(decay=0.5)) is own
    with pytest.raises(InvalidArgument, match=r"optimiser='adamw' is unknown: pass one of sgd, momentum, adam"):
        find_optimiser("adamw")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Momentum(decay=1.0), r"decay=1\.0"),
        (lambda: Momentum(decay=float("nan")), r"decay=nan"),
        (lambda: Adam(beta1=-0.1), r"beta1=-0\.1"),
        (lambda: Adam(beta2=1.0), r"beta2=1\.0"),
        (lambda: Adam(epsilon=0.0), r"epsilon=0\.0"),
    ],
)
def test_impossible_constants_are_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(InvalidArgument, match=message):
        make()
