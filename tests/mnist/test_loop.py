from __future__ import annotations

import pickle
from dataclasses import replace
from math import log
from typing import Any

import numpy as np
import pytest

from gradcheck.derivations import mlp, mlp_logits, sigmoid_cross_entropy, softmax_nll
from gradcheck.errors import InvalidArgument, TrainingDiverged
from gradcheck.mnist.config import Config
from gradcheck.mnist.data import Digits
from gradcheck.mnist.loop import Metrics, Training, train
from gradcheck.mnist.losses import Array, from_gradient
from gradcheck.mnist.objective import model_rule, nan_where_overflown
from gradcheck.mnist.optim import SGD

Split = tuple[Digits, Digits]

SMALL = Config(hidden=(16,), batch_size=32, epochs=2)


def same_bits(first: dict[str, Array], second: dict[str, Array]) -> bool:
    return list(first) == list(second) and all(first[name].tobytes() == second[name].tobytes() for name in first)


def first(digits: Digits, n: int) -> Digits:
    return replace(digits, images=digits.images[:n], labels=digits.labels[:n])


@pytest.mark.parametrize("optimiser", ["sgd", "momentum", "adam"])
def test_one_seed_makes_one_run_to_the_bit(digits: Split, optimiser: str) -> None:
    config = replace(SMALL, optimiser=optimiser)
    one, two = train(config, *digits), train(config, *digits)
    assert one.history == two.history
    assert same_bits(one.model.params, two.model.params)
    other = train(replace(config, seed=1), *digits)
    assert not same_bits(one.model.params, other.model.params)


def test_no_global_random_state_is_used_or_changed(digits: Split) -> None:
    before = np.random.get_state()[1].tobytes()  # type: ignore[index]  # noqa: NPY002  the state watched
    one = train(SMALL, *digits)
    assert np.random.get_state()[1].tobytes() == before  # type: ignore[index]  # noqa: NPY002
    np.random.default_rng(5).random(7)
    assert train(SMALL, *digits).history == one.history


def test_weights_and_order_come_from_separate_streams(digits: Split) -> None:
    """So that a change of architecture leaves the order of the digits alone."""
    narrow, wide = Training(SMALL, *digits), Training(replace(SMALL, hidden=(32, 8)), *digits)
    for epoch in range(2):
        np.testing.assert_array_equal(narrow._order(epoch), wide._order(epoch))
        assert sorted(narrow._order(epoch)) == list(range(300))
    assert list(narrow._order(0)) != list(narrow._order(1))


@pytest.mark.parametrize("hidden", [(), (16,), (16, 8)])
def test_the_first_loss_is_the_logarithm_of_the_number_of_classes(digits: Split, hidden: tuple[int, ...]) -> None:
    (metrics,) = train(Config(hidden=hidden, epochs=0), *digits).history
    # A float32 mean of 100 equal numbers.
    assert metrics.test_loss == pytest.approx(log(10), rel=100 * float(np.finfo(np.float32).eps))
    assert (metrics.epoch, metrics.step, metrics.train_loss, metrics.learning_rate) == (0, 0, None, None)


def test_twenty_digits_are_learnt_by_heart(digits: Split) -> None:
    train_digits = first(digits[0], 20)
    result = train(Config(hidden=(32,), learning_rate=0.02, epochs=100), train_digits, train_digits)
    assert result.history[-1].test_accuracy == 1.0
    assert result.history[-1].test_loss < 0.01 < result.history[0].test_loss / 200


def test_it_learns_something_that_holds_for_other_digits(digits: Split) -> None:
    result = train(Config(epochs=5), *digits)
    # Far above the 0.1 of guessing; 300 digits teach no more than about 0.8.
    assert result.history[-1].test_accuracy > 0.7
    assert [metrics.epoch for metrics in result.history] == list(range(6))


def test_one_step_is_the_gradient_of_the_derivations_and_nothing_else(digits: Split) -> None:
    config = Config(
        hidden=(5,),
        optimiser="sgd",
        schedule="constant",
        learning_rate=0.5,
        l2=0.25,
        dtype="float64",
        epochs=1,
        batch_size=300,
    )
    training = Training(config, *digits)
    model, order = training.model, training._order(0)
    x, y = model.inputs(digits[0].images[order]), digits[0].labels[order].astype(int)
    loss, pullback = mlp(model.params, x, y, activation="relu", loss=softmax_nll.fused, l2=0.25)
    expected, _ = SGD().step(model.params, pullback(1.0), {}, 0.5)
    *_, metrics = training.epochs()
    assert same_bits(training.state.params, expected)
    assert metrics.train_loss == pytest.approx(float(loss), rel=4 * np.finfo(float).eps)  # times 300 and back


def test_batches_of_one_update_after_every_digit(digits: Split) -> None:
    config = Config(hidden=(), batch_size=1, epochs=1, limit=50)
    steps: list[int] = []
    training = Training(config, *digits)
    metrics = list(training.epochs(lambda step, _: steps.append(step)))
    assert steps == list(range(1, 51))
    assert metrics[-1].step == 50
    assert metrics[-1].test_loss < metrics[0].test_loss


def test_the_last_batch_is_a_mean_over_its_own_size(digits: Split) -> None:
    """10 digits in batches of 4, 4, 2: each update divides by what the batch holds, the epoch's loss by 10."""
    config = Config(hidden=(), optimiser="sgd", schedule="constant", batch_size=4, epochs=1, limit=10, dtype="float64")
    seen: list[tuple[int, Array, Array]] = []

    def watched(z: Array, y: Array, *, reduction: str) -> Any:
        loss, pullback = softmax_nll.fused(z, y, reduction=reduction)

        def watching(ct: Any) -> Array:
            seen.append((len(y), loss, pullback(ct)))
            return seen[-1][2]

        return loss, watching

    training = Training(config, *digits, loss=watched)
    *_, metrics = training.epochs()
    assert [n for n, _, _ in seen] == [4, 4, 2]
    for n, loss, dz in seen:
        # A row of a - y has the absolute sum 2 (1 - a_label), here over n, and the loss is the mean of -log a_label.
        a_label = 1 - n * np.abs(dz).sum(axis=1) / 2
        assert -np.log(a_label).mean() == pytest.approx(float(loss), rel=1e-12)
    assert metrics.train_loss == pytest.approx(sum(n * float(loss) for n, loss, _ in seen) / 10, rel=1e-14)


def test_nine_digits_train_nine_neurons(digits: Split) -> None:
    result = train(Config(hidden=(), epochs=2, digits=tuple(range(1, 10))), *digits)
    assert result.model.classes == tuple("123456789")
    assert result.model.params["W1"].shape == (9, 784)
    assert result.history[0].test_loss == pytest.approx(log(9), rel=1e-5)
    assert result.history[-1].test_accuracy > 0.5


def test_a_limit_takes_the_first_training_digits_and_all_test_digits(digits: Split) -> None:
    training = Training(Config(limit=7), *digits)
    np.testing.assert_array_equal(training.train.images, digits[0].images[:7])
    assert len(training.test) == 100
    assert len(Training(Config(limit=7000), *digits).train) == 300


def test_the_penalty_keeps_weights_small_and_stays_out_of_the_test_loss(digits: Split) -> None:
    free, held = train(SMALL, *digits), train(replace(SMALL, l2=1.0), *digits)
    assert held.history[-1].weight_norms["W1"] < free.history[-1].weight_norms["W1"]
    assert held.history[0].test_loss == free.history[0].test_loss


def test_metrics_tell_norms_and_rates(digits: Split) -> None:
    result = train(replace(SMALL, schedule="step", learning_rate=0.01), *digits)
    norms = {name: float(np.linalg.norm(w.astype(float))) for name, w in result.model.params.items()}
    assert result.history[-1].weight_norms == pytest.approx(norms)
    assert [metrics.learning_rate for metrics in result.history] == [None, 0.01, 0.0001]


def test_the_training_loss_is_that_of_one_epoch_alone(digits: Split) -> None:
    losses: list[float] = []
    *_, metrics = Training(replace(SMALL, batch_size=100), *digits).epochs(lambda _, loss: losses.append(loss))
    assert metrics.train_loss == pytest.approx(sum(losses[3:]) / 3, rel=1e-14)


def test_pixels_are_scaled_by_the_training_digits_own_mean_and_deviation(digits: Split) -> None:
    model = Training(Config(limit=100), *digits).model
    ink = digits[0].images[:100] / 255
    assert (model.mean, model.standard_deviation) == pytest.approx((ink.mean(), ink.std()), rel=1e-12)
    constant = replace(digits[0], images=np.full_like(digits[0].images, 7))
    with pytest.raises(InvalidArgument, match="every pixel is 7"):
        Training(Config(), constant, digits[1])


def test_splits_of_two_datasets_are_refused(digits: Split) -> None:
    with pytest.raises(InvalidArgument, match="pass two splits of one dataset"):
        Training(Config(), digits[0], digits[1].select([1, 2]))


def test_ctrl_c_leaves_the_last_whole_step_and_a_run_that_goes_on_as_if_nothing_had_been(digits: Split) -> None:
    whole = Training(SMALL, *digits)
    history = list(whole.epochs())

    def interrupt(step: int, _: float) -> None:
        if step == 13:  # the third batch of epoch 2
            raise KeyboardInterrupt

    cut = Training(SMALL, *digits)
    with pytest.raises(KeyboardInterrupt):
        list(cut.epochs(interrupt))
    assert cut.state.step == 13
    resumed = Training(SMALL, *digits, state=cut.state)
    assert list(resumed.epochs()) == history[2:]
    assert same_bits(resumed.model.params, whole.model.params)


def test_ctrl_c_within_a_step_leaves_the_step_before(digits: Split) -> None:
    class Interrupted(SGD):
        def step(self, params: Any, grads: Any, memory: Any, rate: float, into: Any = None) -> Any:
            written = super().step(params, grads, memory, rate, into)
            if len(losses) == 4:
                raise KeyboardInterrupt
            return written

    losses: list[float] = []
    training = Training(replace(SMALL, optimiser=Interrupted()), *digits)
    expected = Training(replace(SMALL, optimiser="sgd"), *digits)
    with pytest.raises(KeyboardInterrupt):
        list(training.epochs(lambda _, loss: losses.append(loss)))
    assert training.state.step == 4
    order = expected._order(0)
    for start in range(0, 128, 32):
        expected._advance(order[start : start + 32])
    assert same_bits(training.state.params, expected.state.params)


def test_two_epochs_and_two_more_are_four(digits: Split) -> None:
    config = replace(SMALL, epochs=4)
    whole = Training(config, *digits)
    history = list(whole.epochs())
    half = Training(config, *digits)
    for metrics in half.epochs():
        if metrics.epoch == 2:
            break
    rest = Training(config, *digits, state=half.state)
    assert list(rest.epochs()) == history[2:]  # the end of epoch 2 is measured again
    assert same_bits(rest.model.params, whole.model.params)


def test_states_and_models_that_were_taken_between_epochs_stay_what_they_were(digits: Split) -> None:
    training = Training(replace(SMALL, epochs=3), *digits)
    taken = []
    for _ in training.epochs():
        arrays = {**training.model.params, **training.state.memory}
        taken.append((arrays, {name: array.copy() for name, array in arrays.items()}))
    assert len(taken) == 4
    assert all(same_bits(arrays, copies) for arrays, copies in taken)


def test_callbacks_hear_of_every_epoch_in_order(digits: Split) -> None:
    heard: list[Metrics] = []
    assert train(SMALL, *digits, on_metrics=heard.append).history == tuple(heard)


# --- divergence


def test_a_run_that_diverges_stops_and_says_where_and_what_to_do(digits: Split) -> None:
    config = replace(SMALL, optimiser="sgd", learning_rate=1e30, schedule="constant")
    training = Training(config, *digits)
    with pytest.raises(
        TrainingDiverged, match=r"in epoch 1 at step 3, where the learning rate is 1e\+30: try a"
    ) as caught:
        list(training.epochs())
    error = caught.value
    assert (error.epoch, error.step, error.learning_rate) == (1, 3, 1e30)
    assert not np.isfinite(error.loss)
    assert training.state.step == 2
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.step) == (str(error), 3)


def test_a_run_may_diverge_to_the_end_if_it_is_wanted(digits: Split) -> None:
    config = replace(SMALL, optimiser="sgd", learning_rate=1e30, schedule="constant", stop_on_divergence=False)
    result = train(config, *digits)
    assert [metrics.epoch for metrics in result.history] == [0, 1, 2]
    assert not np.isfinite(result.history[-1].test_loss)
    assert result.history[-1].test_accuracy == 0.0  # NaN names no digit


@pytest.mark.parametrize("extreme", [np.inf, -np.inf, np.nan])
def test_logits_that_have_overflown_have_the_loss_nan_where_a_rule_might_raise(extreme: float) -> None:
    guarded = nan_where_overflown(softmax_nll.fused)
    z, y = np.array([[0.0, 1.0], [extreme, 0.0]], np.float32), np.array([0, 1])
    loss, pullback = guarded(z, y, reduction="mean")
    assert np.isnan(loss)
    assert np.isnan(pullback(1.0)).all()
    assert pullback(1.0).dtype == np.float32
    np.testing.assert_array_equal(guarded(z[:1], y[:1], reduction="mean")[0], softmax_nll.fused(z[:1], y[:1])[0])


def test_divergence_in_the_last_step_of_an_epoch_is_seen_too(digits: Split) -> None:
    config = Config(hidden=(4,), optimiser="sgd", learning_rate=1e30, schedule="constant", epochs=1, batch_size=100)
    training = Training(config, *digits)
    for _ in range(3):
        training.config = replace(config, stop_on_divergence=False)
        training._advance(np.arange(100))
    training.config = config
    with pytest.raises(TrainingDiverged, match="in epoch 1 at step 3"):
        next(training.epochs())


def test_a_loss_that_is_not_finite_before_the_first_step_is_the_losss_own_fault(digits: Split) -> None:
    never = from_gradient(lambda z, _: z, lambda *_: float("inf"))
    with pytest.raises(TrainingDiverged, match="the loss is inf before the first step: check the loss itself"):
        train(SMALL, *digits, loss=never)


# --- losses of one's own


def test_a_gradient_of_ones_own_trains_in_place_of_ours(digits: Split) -> None:
    def grad(z: Array, y: Array) -> Array:
        return softmax_nll.fused(z, y)[1](1.0)

    ours, own = train(SMALL, *digits), train(SMALL, *digits, loss=from_gradient(grad))
    assert own.history == ours.history
    upside_down = train(SMALL, *digits, loss=from_gradient(lambda z, y: -grad(z, y)))
    assert upside_down.history[-1].test_accuracy < 0.1 < ours.history[-1].test_accuracy


def test_any_rule_of_the_derivations_is_a_loss(digits: Split) -> None:
    result = train(Config(hidden=(), epochs=3), *digits, loss=sigmoid_cross_entropy)
    assert result.history[0].test_loss == pytest.approx(10 * log(2), rel=1e-5)
    assert result.history[-1].test_accuracy > 0.5


# --- the rule to check before


def test_the_rule_to_check_is_the_rule_that_trains(digits: Split) -> None:
    config = Config(hidden=(300, 4), activation="tanh", l2=0.5, digits=(3, 8))
    rule, (params, x, y) = model_rule(config, digits[0], examples=5)
    assert {name: w.shape for name, w in params.items()} == {
        "W1": (8, 784), "b1": (8,), "W2": (4, 8), "b2": (4,), "W3": (2, 4), "b3": (2,)
    }  # fmt: skip
    assert {w.dtype for w in (*params.values(), x)} == {np.dtype(np.float64)}
    assert x.shape == (5, 784)
    assert set(y) <= {0, 1}
    loss, pullback = rule(params, x, y)
    logits, _ = mlp_logits(params, x, activation="tanh")
    squares = sum(float(np.sum(w**2)) for name, w in params.items() if name.startswith("W"))
    assert loss == pytest.approx(float(softmax_nll.fused(logits, y)[0]) + 0.25 * squares, rel=1e-14)
    assert all(g.any() for g in pullback(1.0).values())  # at the run's own start W1 would get nothing


def test_the_rule_to_check_uses_the_loss_that_trains(digits: Split) -> None:
    wrong = from_gradient(lambda z, y: -softmax_nll.fused(z, y)[1](1.0))
    right_rule, point = model_rule(SMALL, digits[0])
    wrong_rule, _ = model_rule(SMALL, digits[0], loss=wrong)
    right_gradient, wrong_gradient = right_rule(*point)[1](1.0), wrong_rule(*point)[1](1.0)
    assert all((wrong_gradient[name] == -right_gradient[name]).all() for name in right_gradient)
