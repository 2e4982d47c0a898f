"""Check and examine: what comes back, what is raised, who judged, and when nobody could."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

import gradcheck
from gradcheck import GradientMismatch, GradientUndecided, InvalidArgument, Outcome, Report, Rule
from gradcheck.checks import as_cotangent
from gradcheck.errors import CheckFailed, RuleError
from gradcheck.laws import OPTIONAL

Array: TypeAlias = Any
Pull: TypeAlias = Callable[[Array, Array], Array]

X = np.array([0.5, -1.25, 2.0])


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # failures are kept under the working directory


def kept() -> list[Path]:
    return list(Path(".gradcheck/failures").glob("*"))


def square(x: Array) -> Any:
    return np.sum(x * x)


def twice(x: Array) -> Array:
    return 2 * x


def thrice(x: Array) -> Array:
    return 3 * x


RIGHT = gradcheck.from_loss(square, twice)
WRONG = gradcheck.from_loss(square, thrice)
SINE = gradcheck.from_vjp(np.sin, lambda x, cotangent: cotangent * np.cos(x), name="sine")


def judges(report: Report) -> list[tuple[str, bool | None]]:
    return [(vote.oracle, vote.agrees) for vote in report.verdict.votes]


# --- what comes back ------------------------------------------------------------------------------------------


def test_a_right_gradient_is_a_true_report() -> None:
    for report in (gradcheck.check(RIGHT, X), gradcheck.examine(RIGHT, X)):
        assert bool(report) is True
        assert report.outcome is Outcome.PASS
        assert str(report).startswith("PASS entry-wise, worst ")
    assert kept() == []


def test_a_wrong_gradient_is_a_false_report_and_examine_raises_nothing() -> None:
    report = gradcheck.examine(WRONG, X)
    assert bool(report) is False
    assert report.outcome is Outcome.FAIL
    np.testing.assert_array_equal(report.verdict.discrepancies[0].analytic, 3 * X)
    np.testing.assert_array_equal(report.verdict.discrepancies[0].reference, 2 * X)
    assert report.saved is None
    assert kept() == []


def test_an_undecided_gradient_is_a_false_report() -> None:
    report = gradcheck.examine(RIGHT, np.array([np.inf, 1.0]))
    assert bool(report) is False
    assert report.outcome is Outcome.UNDECIDED


def test_check_raises_what_carries_the_report() -> None:
    with pytest.raises(GradientMismatch) as mismatch:
        gradcheck.check(WRONG, X)
    with pytest.raises(GradientUndecided) as undecided:
        gradcheck.check(RIGHT, np.array([np.inf, 1.0]))
    for caught, outcome in ((mismatch, Outcome.FAIL), (undecided, Outcome.UNDECIDED)):
        assert isinstance(caught.value, CheckFailed)
        assert isinstance(caught.value, AssertionError)
        assert caught.value.report.outcome is outcome
        assert str(caught.value) == str(caught.value.report)


def test_a_broken_law_is_a_failure() -> None:
    rule = gradcheck.from_loss(square, lambda x: x.fill(0), name="r")
    report = gradcheck.examine(rule, X)
    assert report.outcome is Outcome.FAIL
    assert report.verdict.breach is not None
    assert report.verdict.breach.law == "contract"
    with pytest.raises(GradientMismatch, match="the cotangent of x is None; does the function end "):
        gradcheck.check(rule, X)


def test_the_report_holds_the_point() -> None:
    report = gradcheck.examine(SINE, X, cotangent=2 * X, seed=7)
    np.testing.assert_array_equal(report.point.args[0], X)
    np.testing.assert_array_equal(report.point.cotangent, 2 * X)
    assert report.seed == 7
    assert report.origin.name == "sine"


def test_the_run_that_shows_the_value_is_judged_too() -> None:
    runs = 0

    def call(w: Any) -> Any:
        nonlocal runs
        runs += 1
        factor = 2.0 if runs == 1 else 1.0  # from the second run on, all is right
        return np.sum(w), lambda cotangent: factor * cotangent * np.ones_like(w)

    report = gradcheck.examine(Rule(call, np.sum, "only at first"), np.arange(3.0), without=OPTIONAL)
    assert report.outcome is Outcome.FAIL
    assert runs == 1


@pytest.mark.parametrize("shape", [(), (3,), (5, 7), (0, 2)])
def test_a_cotangent_is_drawn_as_by_a_generator_of_its_own(shape: tuple[int, ...]) -> None:
    rule = Rule(lambda z: (z + 0.0, lambda cotangent: cotangent * 1.0), lambda z: z + 0.0, "identity")
    z = np.zeros(shape)
    drawn = as_cotangent(rule, z, None, seed=3)
    (again,) = as_cotangent(rule, (z,), None, seed=3)
    np.testing.assert_array_equal(drawn, again)


def test_arguments_stay_as_they_were() -> None:
    def scribbling(x: Array, cotangent: Array) -> Array:
        x[:] = cotangent[:] = 0
        return x.copy()

    x, cotangent = X.copy(), 2 * X
    assert not gradcheck.examine(gradcheck.from_vjp(np.sin, scribbling), x, cotangent=cotangent)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(cotangent, 2 * X)


@pytest.mark.parametrize("dtype", [">f8", ">f4"])
def test_primals_read_from_a_file_in_another_byte_order(dtype: str) -> None:
    assert gradcheck.examine(RIGHT, X.astype(dtype)).outcome is Outcome.PASS  # NumPy computes in the machine's own
    assert gradcheck.examine(WRONG, X.astype(dtype)).outcome is Outcome.FAIL


def test_frozen_arguments_are_no_hindrance() -> None:
    x = X.copy()
    x.flags.writeable = False
    assert gradcheck.check(RIGHT, x)


# --- failures on disk -----------------------------------------------------------------------------------------


def test_a_failure_is_kept_outside_hypothesis() -> None:
    with pytest.raises(GradientMismatch) as caught:
        gradcheck.check(WRONG, X)
    assert kept() == [caught.value.report.saved]
    assert f"gradcheck replay {caught.value.report.saved}" in str(caught.value)
    failure = gradcheck.load_failure(kept()[0])
    np.testing.assert_array_equal(failure.args[0], X)


def test_an_undecided_point_is_kept_outside_hypothesis() -> None:
    with pytest.raises(GradientUndecided) as caught:
        gradcheck.check(RIGHT, np.array([np.inf, 1.0]))
    assert kept() == [caught.value.report.saved]


def test_a_failure_is_not_kept_inside_hypothesis() -> None:
    """There the plugin keeps the shrunk one, instead of every step of the search."""

    @settings(max_examples=5, database=None, deadline=None)
    @given(st.floats(1, 2))
    def run(x: float) -> None:
        gradcheck.check(WRONG, np.array([x]))

    with pytest.raises(GradientMismatch) as caught:
        run()
    assert caught.value.report.saved is None
    assert kept() == []


# --- cotangents -----------------------------------------------------------------------------------------------


def test_a_cotangent_is_drawn_without_zeros_and_ones() -> None:
    cotangent = gradcheck.examine(SINE, np.linspace(-1, 1, 100)).point.cotangent
    assert cotangent.shape == (100,)
    assert np.all((cotangent != 0) & (cotangent != 1))
    assert cotangent.min() < 0 < cotangent.max()
    assert gradcheck.examine(SINE, X.astype(np.float32)).point.cotangent.dtype == np.float32


def test_the_seed_chooses_the_cotangent() -> None:
    first, again, other = (gradcheck.examine(SINE, X, seed=seed).point.cotangent for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("cotangent", [[2, 0, 1], [2.0, 0.0, 1.0], np.array([2, 0, 1]), jnp.array([2.0, 0.0, 1.0])])
def test_a_cotangent_may_be_any_array_like(cotangent: Any) -> None:
    report = gradcheck.check(SINE, X, cotangent=cotangent)
    np.testing.assert_array_equal(report.point.cotangent, [2.0, 0.0, 1.0])
    assert report.point.cotangent.dtype == X.dtype


def test_a_cotangent_of_zero_shows_less_than_another() -> None:
    blind = gradcheck.from_vjp(np.sin, lambda x, cotangent: cotangent * np.where(x > 1, 0.0, np.cos(x)), name="blind")
    assert gradcheck.check(blind, X, cotangent=[1.0, 1.0, 0.0])
    with pytest.raises(GradientMismatch):
        gradcheck.check(blind, X, cotangent=[0.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("cotangent", "message"),
    [
        (np.ones(2), "cotangent must be shaped like the value of sine, (3,), got (2,)"),
        (1.0, "cotangent must be shaped like the value of sine, (3,), got ()"),
        ({"a": np.ones(3)}, "cotangent must be shaped like the value of sine, (3,), got {'a': (3,)}"),
        ([[1.0], [2.0, 3.0]], "cotangent is a nested list that is ragged and spells no array"),
        (np.ones(3) * 1j, "cotangent must be made of real numbers, got complex128(3,)"),
        (np.array(["a", "b", "c"]), "cotangent must be made of real numbers, got <U1(3,)"),
        (np.array([1.0, np.nan, 2.0]), "cotangent must be finite in float64, got [ 1. nan  2.]"),
    ],
)
def test_a_cotangent_that_fits_not_is_refused(cotangent: Any, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        gradcheck.check(SINE, X, cotangent=cotangent)
    assert message in str(caught.value)


def test_a_cotangent_that_is_finite_only_in_a_wider_dtype_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="cotangent must be finite in float32, got"):
        gradcheck.check(SINE, X.astype(np.float32), cotangent=[1e300, 0.0, 0.0])


def test_a_pair_of_loss_and_gradient_takes_no_cotangent_but_one() -> None:
    assert gradcheck.check(RIGHT, X, cotangent=1.0).point.cotangent == 1
    for cotangent in (2.0, np.ones(3) * 0.5, "one", np.nan):
        with pytest.raises(InvalidArgument, match="is a pair of loss and gradient and takes no cotangent; leave cot"):
            gradcheck.check(RIGHT, X, cotangent=cotangent)


# --- points that cannot be judged, by mistake -----------------------------------------------------------------


@pytest.mark.parametrize("forward", [lambda x: x * x, lambda x: np.sum(x * x, keepdims=True)])
def test_a_loss_that_is_no_scalar_is_refused(forward: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"the loss has shape \(\d,\), but from_loss wants a scalar; reduce it"):
        gradcheck.check(gradcheck.from_loss(forward, twice), X)


def test_a_loss_that_returns_more_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="the loss is a tuple, but from_loss wants a scalar"):
        gradcheck.check(gradcheck.from_loss(lambda x: (square(x), twice(x)), twice), X)


@pytest.mark.parametrize(
    ("value", "shown"), [(3, "int64()"), (np.arange(2), "int64(2,)"), (1j, "complex128()"), ("3", "<U1()")]
)
def test_a_forward_whose_value_is_no_real_number_is_refused(value: Any, shown: str) -> None:
    rule = gradcheck.from_vjp(lambda x: value, lambda x, cotangent: x, name="r")
    with pytest.raises(InvalidArgument) as caught:
        gradcheck.check(rule, X)
    assert str(caught.value) == f"r: the forward returns {shown}; a derivative needs a real floating-point value"


@pytest.mark.parametrize("value", [None, (), {}])
def test_a_forward_that_returns_nothing_is_refused(value: Any) -> None:
    rule = gradcheck.from_vjp(lambda x: value, lambda x, cotangent: x, name="r")
    with pytest.raises(InvalidArgument) as caught:
        gradcheck.check(rule, X)
    assert str(caught.value) == (
        f"r: the forward returns {value!r}, which holds no array; does it end without a return?"
    )


def test_nothing_to_differentiate() -> None:
    with pytest.raises(InvalidArgument) as caught:
        gradcheck.check(SINE, np.array([1, 2]), 0.5)
    assert str(caught.value) == (
        "sine: nothing to differentiate among its positional arguments (int64(2,), float); "
        "pass the primals as floating-point arrays, or say which with argnums="
    )


def test_a_forward_that_raises_says_what_it_was_called_with() -> None:
    rule = gradcheck.from_loss(lambda z, y: np.sum(z[np.arange(len(y)), y]), lambda z, y: z, name="r")
    with pytest.raises(RuleError) as caught:
        gradcheck.check(rule, np.ones((2, 3)), np.array([0, 3]))
    assert str(caught.value) == (
        "r: the forward raised IndexError: index 3 is out of bounds for axis 1 with size 3\n"
        "  called with z float64(2, 3), y int64(2,)"
    )
    assert isinstance(caught.value.__cause__, IndexError)


def test_a_forward_that_raises_in_float64_alone() -> None:
    def narrow(x: Array) -> Any:
        if x.dtype != np.float32:
            raise TypeError("float32 only")
        return np.sum(x * x)

    rule = gradcheck.from_loss(narrow, twice, name="narrow")
    with pytest.raises(RuleError, match="narrow: the forward raised TypeError on the same inputs in float64: float32"):
        gradcheck.check(rule, X.astype(np.float32))


def test_an_assumption_inside_the_rule_steers_hypothesis() -> None:
    from hypothesis import assume

    def forward(x: Array) -> Any:
        assume(x[0] > 0.25)
        return np.sum(np.log(x))

    rule = gradcheck.from_loss(forward, lambda x: 1 / x)
    passed = []

    @settings(max_examples=20, database=None, deadline=None)
    @given(st.sampled_from([-1.0, 0.0, 0.5, 2.0]))
    def run(x: float) -> None:
        passed.append(gradcheck.check(rule, np.array([x])).point.args[0][0])

    run()
    assert set(passed) == {0.5, 2.0}


def test_no_entries_is_a_pass_that_says_so() -> None:
    report = gradcheck.check(RIGHT, np.zeros((0, 3)))
    assert report.verdict.reason == "there are no entries to differentiate by at this point"


# --- nobody can tell ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_forward_that_is_not_finite(bad: float) -> None:
    report = gradcheck.examine(RIGHT, np.array([bad, 1.0]))
    assert report.outcome is Outcome.UNDECIDED
    assert report.verdict.reason == (
        "the forward is not finite at this point, so it has no derivative there: "
        "write it in a form that stays finite, or keep such points out of the strategy"
    )


def test_a_forward_that_no_oracle_can_take() -> None:
    """Python's own arithmetic keeps JAX out, and steps keep differences out."""

    def stairs(x: Array) -> float:
        return math.floor(4 * float(x[0])) / 4

    report = gradcheck.examine(gradcheck.from_loss(stairs, np.ones_like, name="stairs"), np.array([0.5]))
    assert report.outcome is Outcome.UNDECIDED
    assert report.verdict.reason.startswith("no oracle can judge here: finite differences: the forward moves by ")
    assert "autodiff: the forward itself: ConcretizationTypeError" in report.verdict.reason


def test_a_forward_that_is_finite_at_the_point_alone() -> None:
    def pinned(x: Array) -> float:
        return 1.0 if x[0] == 1.0 else math.nan

    report = gradcheck.examine(gradcheck.from_loss(pinned, np.zeros_like, name="pinned"), np.array([1.0]))
    assert report.outcome is Outcome.UNDECIDED
    assert "the forward is not finite on both sides of the point" in report.verdict.reason


def test_a_point_where_rounding_hides_the_gradient() -> None:
    """1 - x^2 is 1e-7 there, which is one ulp of 1 in float32: any answer of that size would agree."""
    rule = gradcheck.from_vjp(lambda x: x - x**3 / 3, lambda x, cotangent: cotangent * (1 - x * x), name="cubic")
    near_one = np.nextafter(np.float32(1), np.float32(0))
    report = gradcheck.examine(rule, np.array([near_one]))
    assert report.outcome is Outcome.UNDECIDED
    assert report.verdict.vacuous
    assert report.verdict.reason == (
        "every entry of x is smaller than what rounding explains here, so agreement would mean nothing"
    )
    assert gradcheck.check(rule, np.array([near_one], dtype=np.float64))
    assert gradcheck.check(rule, np.array([near_one, 0.5]))


# --- without a reference --------------------------------------------------------------------------------------


def loops(z: Array, y: Array) -> Any:
    """Softmax + NLL in Python's own arithmetic, which JAX cannot trace and complex numbers cannot pass."""
    total = 0.0
    for row, label in zip(z, y, strict=True):
        top = max(float(entry) for entry in row)
        total += top + math.log(sum(math.exp(float(entry) - top) for entry in row)) - float(row[label])
    return z.dtype.type(total)


def loops_grad(z: Array, y: Array) -> Array:
    a = np.exp(z - z.max(axis=1, keepdims=True))
    a /= a.sum(axis=1, keepdims=True)
    a[np.arange(len(y)), y] -= 1
    return a


ORDINARY = np.array([[0.5, 1.0, -1.0], [2.0, 0.0, 1.0]])
SATURATED = np.array([[16.0, 0.0, 1.0], [2.0, 0.0, 20.0]])
LABELS = np.array([0, 2])


def slightly_off(z: Array, y: Array) -> Array:
    return (loops_grad(z, y) * 1.001).astype(z.dtype)


def test_finite_differences_judge_and_the_report_says_so() -> None:
    report = gradcheck.check(gradcheck.from_loss(loops, loops_grad), ORDINARY, LABELS)
    assert report.verdict.notes == ("judged by finite differences of the forward itself",)
    assert judges(report)[0] == ("autodiff", None)
    assert ("finite differences", True) in judges(report)
    wrong = gradcheck.examine(gradcheck.from_loss(loops, slightly_off), ORDINARY, LABELS)
    assert wrong.outcome is Outcome.FAIL
    assert wrong.verdict.reason == "entries differ from the differences of the forward by more than their error"


def test_the_complex_step_judges_where_the_forward_is_analytic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flint", None)  # as where the extra is not installed

    def wave(x: Array, table: set[int]) -> Any:  # a set is nothing that JAX takes
        return np.sum(np.sin(x)) * len(table)

    right = gradcheck.from_loss(wave, lambda x, table: np.cos(x) * len(table))
    report = gradcheck.check(right, X, {1, 2})
    assert report.verdict.notes == ("judged by complex step of the forward itself",)
    assert ("complex step", True) in judges(report)
    wrong = gradcheck.from_loss(wave, lambda x, table: np.cos(x) * len(table) * (1 + 1e-9))
    assert gradcheck.examine(wrong, X, {1, 2}).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("z", "grad", "outcome"),
    [
        (ORDINARY, loops_grad, Outcome.PASS),
        (ORDINARY, slightly_off, Outcome.FAIL),
        (SATURATED, loops_grad, Outcome.UNDECIDED),
        (SATURATED, slightly_off, Outcome.FAIL),
    ],
    ids=["right", "wrong", "right but rounded", "wrong beyond rounding"],
)
def test_float32_without_a_reference(z: Array, grad: Any, outcome: Outcome) -> None:
    report = gradcheck.examine(gradcheck.from_loss(loops, grad), z.astype(np.float32), LABELS)
    assert report.outcome is outcome
    if outcome is Outcome.UNDECIDED:
        assert "smaller than what rounding explains here" in report.verdict.reason


def test_differences_do_not_blame_a_right_rule_where_the_forward_is_flat_to_rounding() -> None:
    """In the first row the loss is 1e-13, and computed by subtracting 30: it moves in steps of 3e-15."""
    z = np.array([[30.0, 0.0, 1.0], [2.0, 0.0, 40.0]])
    assert gradcheck.examine(gradcheck.from_loss(loops, loops_grad), z, LABELS).outcome is not Outcome.FAIL


def test_the_complex_step_does_not_blame_a_right_rule_for_its_rounding() -> None:
    """a - 1 loses eight digits of 2e-9, as the summands explain; the complex step loses none."""

    def nll(z: Array, y: Array, table: set[int]) -> Any:
        shifted = z - z.max(axis=1, keepdims=True)
        return np.sum(np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(y)), y])

    rule = gradcheck.from_loss(nll, lambda z, y, table: loops_grad(z, y))
    assert gradcheck.examine(rule, np.array([[20.0, 0.0]]), np.array([0]), {1}).outcome is not Outcome.FAIL


def test_a_forward_that_silences_warnings_is_traced_all_the_same() -> None:
    def forward(x: Array) -> Any:
        with np.errstate(over="ignore"):
            return np.sum(np.exp(x))

    report = gradcheck.check(gradcheck.from_loss(forward, np.exp), X)
    assert judges(report)[0] == ("autodiff", True)


def test_the_reference_that_float32_asked_for_decides() -> None:
    def restated(z: Any, y: Any) -> Any:
        return -jnp.sum(jax.nn.log_softmax(z)[jnp.arange(len(y)), y])

    rule = gradcheck.from_loss(loops, loops_grad, reference=restated)
    report = gradcheck.examine(rule, np.vstack([SATURATED, ORDINARY]).astype(np.float32), np.tile(LABELS, 2))
    assert report.outcome is Outcome.PASS
    assert report.verdict.votes[0].detail == "the reference given"


# --- references that are not the forward's --------------------------------------------------------------------


def test_a_reference_with_another_value_is_not_believed() -> None:
    def another(x: Any) -> Any:
        return jnp.sum(3 * x**2 / 2) + 1

    report = gradcheck.check(gradcheck.from_loss(square, twice, reference=another), X)
    first = report.verdict.votes[0]
    assert (first.oracle, first.agrees) == ("autodiff", None)
    assert first.detail == "the reference given has another value here: 9.71875 where the forward has 5.8125"
    assert report.verdict.notes == ("judged by the forward itself, run in ball arithmetic",)
    wrong = gradcheck.from_loss(square, thrice, reference=another)
    assert gradcheck.examine(wrong, X).outcome is Outcome.FAIL


def half_stopped(x: Any) -> Any:
    return jnp.sum(x * jax.lax.stop_gradient(x))


def test_a_reference_with_another_derivative_is_outvoted_and_named() -> None:
    rule = gradcheck.from_loss(square, twice, reference=half_stopped)
    report = gradcheck.examine(rule, X)
    assert report.outcome is Outcome.PASS
    assert report.verdict.votes[0].agrees is False
    assert "autodiff is the odd one out: differences of the forward contradict its derivative of the reference" in (
        report.verdict.notes
    )


def test_a_rule_that_shares_the_mistake_of_its_reference_is_not_passed() -> None:
    report = gradcheck.examine(gradcheck.from_loss(square, np.array, reference=half_stopped), X)
    assert ("finite differences", False) in judges(report)
    assert report.outcome is not Outcome.PASS


def test_a_wrong_rule_with_a_wrong_reference_fails() -> None:
    report = gradcheck.examine(gradcheck.from_loss(square, thrice, reference=half_stopped), X)
    assert report.outcome is Outcome.FAIL


# --- kinks ----------------------------------------------------------------------------------------------------

ON_A_KINK = "operands of a comparison coincide here, and the rule's answer is a subgradient: a mix of both sides"


def relu(x: Array) -> Array:
    return np.maximum(x, 0.0)


def relu_by_hand(x: Array) -> Array:
    return np.array([max(float(entry), 0.0) for entry in x])


def with_slope_at_zero(slope: float) -> Pull:
    return lambda x, cotangent: cotangent * np.where(x > 0, 1.0, np.where(x < 0, 0.0, slope))


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
def test_any_slope_of_relu_at_zero_passes(slope: float) -> None:
    report = gradcheck.check(gradcheck.from_vjp(relu, with_slope_at_zero(slope)), np.array([-1.0, 0.0, 2.0]))
    # at a half the rule agrees with JAX itself, and there is nothing to explain
    assert report.verdict.notes == (() if slope == 0.5 else (ON_A_KINK,))


@pytest.mark.parametrize("slope", [-0.5, 1.5])
@pytest.mark.parametrize("forward", [relu, relu_by_hand])
def test_no_other_slope_of_relu_at_zero_does(forward: Any, slope: float) -> None:
    rule = gradcheck.from_vjp(forward, with_slope_at_zero(slope))
    assert gradcheck.examine(rule, np.array([-1.0, 0.0, 2.0])).outcome is Outcome.FAIL
    assert gradcheck.check(rule, np.array([-1.0, 0.25, 2.0]))


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
def test_differences_see_the_kink_too(slope: float) -> None:
    assert gradcheck.check(gradcheck.from_vjp(relu_by_hand, with_slope_at_zero(slope)), np.array([-1.0, 0.0, 2.0]))


@pytest.mark.parametrize(
    ("grad", "outcome"),
    [
        (lambda x: np.eye(len(x))[np.argmax(x)], Outcome.PASS),
        (lambda x: (x == x.max()) / np.sum(x == x.max()), Outcome.PASS),
        (lambda x: np.array([0.0, 0.25, 0.75]), Outcome.PASS),
        (lambda x: (x == x.max()) * 1.0, Outcome.FAIL),
        (lambda x: np.array([0.5, 0.5, 0.0]), Outcome.FAIL),
    ],
    ids=["first", "shared", "any mix", "each in full", "one that is not tied"],
)
def test_ties_of_a_maximum(grad: Any, outcome: Outcome) -> None:
    rule = gradcheck.from_loss(np.max, grad, name="max")
    assert gradcheck.examine(rule, np.array([1.0, 2.0, 2.0])).outcome is outcome


# --- several arguments ----------------------------------------------------------------------------------------


def test_a_declined_argument_is_left_unjudged() -> None:
    def product(x: Array, y: Array) -> Array:
        return x * y

    declined = gradcheck.from_vjp(product, lambda x, y, cotangent: (cotangent * y, None))
    report = gradcheck.check(declined, X, 2 * X)
    assert [d.path for d in report.verdict.discrepancies] == ["x"]
    wrong = gradcheck.from_vjp(product, lambda x, y, cotangent: (cotangent * x, None))
    assert gradcheck.examine(wrong, X, 2 * X).outcome is Outcome.FAIL


def test_a_declined_argument_is_left_unjudged_by_differences_too() -> None:
    def product(x: Array, y: Array) -> Array:
        return np.array([float(a) * float(b) for a, b in zip(x, y, strict=True)])

    declined = gradcheck.from_vjp(product, lambda x, y, cotangent: (cotangent * y, None))
    assert gradcheck.check(declined, X, 2 * X)
    wrong = gradcheck.from_vjp(product, lambda x, y, cotangent: (cotangent * x, None))
    assert gradcheck.examine(wrong, X, 2 * X).outcome is Outcome.FAIL


def test_a_random_key_is_data_like_any_other() -> None:
    rule = gradcheck.from_loss(lambda x, key: square(x), lambda x, key: twice(x))
    assert gradcheck.check(rule, X, jax.random.key(0))


# --- the call -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("conductor", [gradcheck.check, gradcheck.examine])
def test_settings_are_keyword_only(conductor: Callable[..., Report]) -> None:
    parameters = inspect.signature(conductor).parameters
    assert parameters["rule"].kind is inspect.Parameter.POSITIONAL_ONLY
    assert parameters["cotangent"].kind is parameters["seed"].kind is inspect.Parameter.KEYWORD_ONLY


def test_the_rule_may_have_an_argument_called_rule() -> None:
    def scaled(x: Array, *, rule: float) -> Any:
        return rule * square(x)

    assert gradcheck.check(gradcheck.from_loss(scaled, lambda x, *, rule: rule * twice(x)), X, rule=2.0)


def test_the_same_rule_gives_the_same_report() -> None:
    one, other = (str(gradcheck.examine(WRONG, X)) for _ in range(2))
    assert one == other


def test_a_rule_by_hand() -> None:
    rule = Rule(lambda x: (x * x, lambda c: 2 * x * c), lambda x: x * x, "by hand", argnums=(0,))
    assert gradcheck.check(rule, X)


def test_a_point_that_shows_nothing_is_rejected_inside_given() -> None:
    """A gradient of zeros cannot be told from the truth at a saturated point, and must not count as an example."""
    rule = gradcheck.from_loss(lambda z: np.log(np.exp(z - z.max()).sum()) + z.max() - z[0], np.zeros_like)
    shown: list[float] = []

    @settings(database=None, max_examples=20)
    @given(st.sampled_from([50.0, 60.0]))
    def only_saturated(top: float) -> None:
        gradcheck.check(rule, np.array([top, 0.0]))
        shown.append(top)

    with pytest.raises(Unsatisfiable):
        only_saturated()
    assert not shown
    with pytest.raises(GradientUndecided):
        gradcheck.check(rule, np.array([50.0, 0.0]))
