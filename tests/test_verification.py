"""Verify: many drawn points, the smallest that fails, what is kept of it, and what a pass adds up to."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import Phase, given, is_hypothesis_test, settings
from hypothesis import strategies as st
from hypothesis.database import InMemoryExampleDatabase
from hypothesis.errors import DeadlineExceeded

import gradcheck
from gradcheck import GradientMismatch, GradientUndecided, InvalidArgument, Outcome, Report, Rule
from gradcheck import strategies as gst
from gradcheck.checks import report_at
from gradcheck.errors import RuleError
from gradcheck.verdict import Verdict

Array: TypeAlias = Any

SEARCH = settings(database=None, phases=[Phase.generate])
SHRINK = settings(database=None, phases=[Phase.generate, Phase.shrink])
X = np.array([0.5, -1.25])


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # failures are kept under the working directory


class Recorder:
    """Counts the points at which a gradient was asked for, once each."""

    def __init__(self) -> None:
        self.points: list[tuple[float, ...]] = []

    def __call__(self, x: Array) -> Array:
        point = tuple(x.tolist())
        if point not in self.points:
            self.points.append(point)
        return 2 * x


def square(x: Array) -> Any:
    return np.sum(x * x)


def squares(grad: Callable[..., Any], name: str = "square") -> Rule:
    return gradcheck.from_loss(square, grad, name=name)


RIGHT = squares(lambda x: 2 * x)
WRONG = squares(lambda x: 3 * x)


def vectors(*entries: float) -> st.SearchStrategy[tuple[Any, ...]]:
    """Draw one argument of one entry."""
    return st.sampled_from(entries).map(lambda entry: (np.array([entry]),))


def failing(rule: Rule, *source: Any, **options: Any) -> Report:
    chosen: dict[str, Any] = {"settings": SEARCH, "seed": 0} | options
    with pytest.raises(GradientMismatch) as caught:
        gradcheck.verify(rule, *source, **chosen)
    return caught.value.report


# --- how many, and which --------------------------------------------------------------------------------------


def test_examples_says_how_many() -> None:
    for examples in (1, 7):
        report = gradcheck.verify(RIGHT, vectors(*np.linspace(1, 2, 100)), examples=examples, settings=SEARCH)
        assert report
        assert report.tally is not None
        assert report.tally.examples == examples
    assert str(report).splitlines()[0].endswith(", 7 examples, regimes of inputs not counted")


def test_settings_say_how_many_unless_examples_does() -> None:
    five = settings(SEARCH, max_examples=5)
    cases = vectors(*np.linspace(1, 2, 100))
    for examples, drawn in ((None, 5), (3, 3)):
        tally = gradcheck.verify(RIGHT, cases, settings=five, examples=examples).tally
        assert tally is not None
        assert tally.examples == drawn


def test_a_strategy_with_few_points_is_exhausted() -> None:
    tally = gradcheck.verify(RIGHT, vectors(1.0, 2.0), settings=SEARCH).tally
    assert tally is not None
    assert tally.examples == 2


def test_one_seed_gives_one_sequence_and_another_seed_another() -> None:
    def drawn(seed: int) -> list[tuple[float, ...]]:
        recorder = Recorder()
        gradcheck.verify(squares(recorder), like=(X,), examples=10, seed=seed, settings=SEARCH)
        return recorder.points

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)


def test_phases_are_honoured() -> None:
    wrong_above_ten = squares(lambda x: np.where(x > 10, 3 * x, 2 * x))
    cases = st.integers(0, 10_000).map(lambda n: (np.array([float(n)]),))
    searched = failing(wrong_above_ten, cases, settings=SEARCH)
    shrunk = failing(wrong_above_ten, cases, settings=SHRINK)
    assert searched.point.args[0][0] > shrunk.point.args[0][0] == 11


def test_the_deadline_is_off_whatever_the_settings_say() -> None:
    def slow(x: Array) -> Array:
        time.sleep(0.005)
        return 2 * x

    hasty = settings(SEARCH, deadline=1)  # milliseconds
    assert gradcheck.verify(squares(slow), vectors(1.0, 2.0), settings=hasty)

    @hasty
    @given(vectors(1.0))
    def check(case: tuple[Any, ...]) -> None:
        gradcheck.check(squares(slow), *case)

    with pytest.raises(DeadlineExceeded):
        check()


# --- where points come from -----------------------------------------------------------------------------------


def test_like_varies_an_example() -> None:
    recorder = Recorder()
    gradcheck.verify(squares(recorder), like=(X,), examples=20, seed=0, settings=SEARCH)
    assert len({len(point) for point in recorder.points}) == 1
    assert len(recorder.points) > 10


def test_args_is_one_strategy_for_each_argument() -> None:
    def nll(z: Array, y: Array) -> Any:
        shifted = z - z.max(axis=1, keepdims=True)
        return np.sum(np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(y)), y])

    def grad(z: Array, y: Array) -> Array:
        a = np.exp(z - z.max(axis=1, keepdims=True))
        a /= a.sum(axis=1, keepdims=True)
        a[np.arange(len(y)), y] -= 1
        return a

    rule = gradcheck.from_loss(nll, grad)
    report = gradcheck.verify(rule, args=(gst.logits(classes=3), gst.labels()), examples=10, settings=SEARCH)
    assert report
    wrong = gradcheck.from_loss(nll, lambda z, y: grad(z, y) / 2)
    assert failing(wrong, args=(gst.logits(classes=3), gst.labels()), examples=10).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("source", "got"),
    [
        ({}, "none"),
        ({"like": (X,), "args": (vectors(1.0),)}, "like= and args="),
    ],
)
def test_there_is_one_source_of_points(source: dict[str, Any], got: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        gradcheck.verify(RIGHT, **source)
    assert str(caught.value) == (
        "verify needs exactly one source of points: a strategy of tuples, like=(example arguments), or "
        f"args=(one strategy per argument); got {got}"
    )


def test_a_strategy_and_an_example_are_two_sources() -> None:
    with pytest.raises(InvalidArgument, match="got cases and like="):
        gradcheck.verify(RIGHT, vectors(1.0), like=(X,))


def test_example_arguments_are_no_strategy() -> None:
    with pytest.raises(InvalidArgument, match=r"got tuple; example arguments go into verify\(rule, like=\(\.\.\.\)\)"):
        gradcheck.verify(RIGHT, (X,))  # type: ignore[arg-type]  # the mistake under test


@pytest.mark.parametrize(
    ("cases", "drew"),
    [
        (st.just(X), "ndarray"),
        (st.floats(1, 2), "float"),
        (st.just([X]), "list"),
        (st.none(), "NoneType"),
    ],
)
def test_cases_draw_tuples(cases: Any, drew: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        gradcheck.verify(RIGHT, cases, examples=2, settings=SEARCH)
    assert str(caught.value) == (
        f"cases must draw tuples of arguments, but drew one {drew}; pass args=(strategy,) instead"
    )


def test_keyword_data_are_passed_as_they_are() -> None:
    seen = []

    def scaled(x: Array, *, scale: float, table: dict[str, int]) -> Any:
        seen.append((scale, table))
        return scale * square(x)

    right = gradcheck.from_loss(scaled, lambda x, *, scale, table: 2 * scale * x)
    assert gradcheck.verify(right, vectors(1.0, 2.0), settings=SEARCH, scale=4.0, table={"a": 1})
    assert (4.0, {"a": 1}) in seen
    wrong = gradcheck.from_loss(scaled, lambda x, *, scale, table: 2 * x)
    report = failing(wrong, vectors(1.0), scale=4.0, table={"a": 1})
    assert report.point.kwargs == {"scale": 4.0, "table": {"a": 1}}


# --- cotangents -----------------------------------------------------------------------------------------------


def test_cotangents_are_drawn_for_a_vjp() -> None:
    cotangents = set()

    def pull(x: Array, cotangent: Array) -> Array:
        if x.shape == X.shape:  # laws ask for other sizes, too
            cotangents.add(tuple(cotangent.tolist()))
        return cotangent * np.cos(x)

    assert gradcheck.verify(gradcheck.from_vjp(np.sin, pull), like=(X,), examples=30, seed=0, settings=SEARCH)
    assert len(cotangents) > 10
    assert (1.0, 1.0) in cotangents
    assert (0.0, 0.0) in cotangents
    assert any(a * b < 0 for a, b in cotangents)


def test_a_cotangent_that_is_ignored_is_found() -> None:
    rule = gradcheck.from_vjp(np.sin, lambda x, cotangent: np.cos(x))
    report = failing(rule, like=(X,), examples=30, without=("linear",))
    assert np.any(report.point.cotangent != 1)
    assert gradcheck.examine(rule, X, cotangent=np.ones(2)).verdict.laws["linear"] == "broken"


def test_a_pair_of_loss_and_gradient_gets_none_but_one() -> None:
    assert gradcheck.verify(RIGHT, vectors(1.0), settings=SEARCH).point.cotangent == 1


# --- failures -------------------------------------------------------------------------------------------------


def nll_mean(z: Array, y: Array) -> Any:
    shifted = z - z.max(axis=1, keepdims=True)
    log_a = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -log_a[np.arange(len(y)), y].sum() / max(len(y), 1)


def nll_sum_grad(z: Array, y: Array) -> Array:
    a = np.exp(z - z.max(axis=1, keepdims=True))
    a /= a.sum(axis=1, keepdims=True)
    a[np.arange(len(y)), y] -= 1
    return a


def test_a_forgotten_mean_shrinks_to_two_rows_of_two_zeros() -> None:
    rule = gradcheck.from_loss(nll_mean, nll_sum_grad)
    report = failing(rule, gst.softmax_nll(), settings=SHRINK)
    z, y = report.point.args
    assert z.size <= 4
    assert not z.any()
    assert not y.any()


def test_a_failure_is_kept_and_its_message_says_where() -> None:
    report = failing(WRONG, like=(X,))
    assert report.saved is not None
    assert report.saved.exists()
    text = str(report)
    assert text.startswith("FAIL square: ")
    assert f"gradcheck replay {report.saved}" in text
    failure = gradcheck.load_failure(report.saved)
    np.testing.assert_array_equal(failure.args[0], report.point.args[0])


def test_a_failure_says_after_how_many_examples() -> None:
    report = failing(WRONG, vectors(1.0))
    assert report.tally is not None
    assert report.tally.examples == 1
    assert "after       1 example" in str(report)


def test_shrinking_is_no_evidence_of_coverage() -> None:
    wrong_below = squares(lambda x: np.where(x > 3, 3 * x, 2 * x))
    report = failing(wrong_below, st.integers(4, 1000).map(lambda n: (np.array([float(n)]),)), settings=SHRINK)
    assert report.tally is not None
    assert report.tally.examples == 1


def test_the_same_failure_is_kept_once() -> None:
    first, second = (failing(WRONG, vectors(1.0)) for _ in range(2))
    assert first.saved == second.saved
    assert len(list(Path(".gradcheck/failures").iterdir())) == 1


def test_a_failure_is_preferred_to_an_undecided_point() -> None:
    """The undecided point comes first, is smaller, and would hide the other."""
    rule = squares(lambda x: np.where(x > 1, 3 * x, 2 * x))
    cases = st.integers(0, 5).map(lambda n: (np.array([np.inf if n == 0 else float(n)]),))
    assert failing(rule, cases, settings=SHRINK).point.args[0][0] == 2


def test_an_undecided_point_is_raised_when_nothing_failed() -> None:
    with pytest.raises(GradientUndecided) as caught:
        gradcheck.verify(RIGHT, vectors(1.0, 2.0, np.inf, 3.0), settings=SEARCH, seed=0)
    report = caught.value.report
    assert report.point.args[0][0] == np.inf
    assert report.tally is not None
    assert report.tally.examples == 4
    assert report.saved is not None
    assert "UNDECIDED square: " in str(report)


def test_the_smallest_undecided_point_is_raised() -> None:
    cases = st.integers(1, 5).map(lambda n: (np.full(n, np.inf),))
    with pytest.raises(GradientUndecided) as caught:
        gradcheck.verify(RIGHT, cases, settings=SEARCH)
    assert caught.value.report.point.args[0].shape == (1,)


def test_a_forward_that_raises_is_an_error() -> None:
    def forward(x: Array) -> Any:
        if x[0] > 1:
            raise ZeroDivisionError("beyond one")
        return square(x)

    with pytest.raises(RuleError, match="r: the forward raised ZeroDivisionError: beyond one"):
        gradcheck.verify(gradcheck.from_loss(forward, lambda x: 2 * x, name="r"), vectors(1.0, 2.0), settings=SEARCH)


def test_a_gradient_that_is_wrong_once_is_noted_as_such() -> None:
    answers = iter([3.0, 3.0, 3.0])  # asked thrice at the first point; then, at the same point, right

    def moody(x: Array) -> Array:
        return next(answers, 2.0) * x

    report = failing(squares(moody), vectors(1.0), settings=settings(database=None))
    assert report.verdict.notes[-1] == (
        "the same point passed when it was tried again: the gradient depends on earlier calls"
    )


def test_a_forward_that_raises_once_is_an_error() -> None:
    failures = iter([ZeroDivisionError("once")])

    def moody(x: Array) -> Any:
        for error in failures:
            raise error
        return square(x)

    with pytest.raises(RuleError, match="r: what raised at a point did not when that was tried again, so the rule or"):
        gradcheck.verify(gradcheck.from_loss(moody, lambda x: 2 * x, name="r"), vectors(1.0), settings=SEARCH)


# --- points that show nothing ---------------------------------------------------------------------------------

CUBIC = gradcheck.from_loss(lambda x: np.sum(x - x**3 / 3), lambda x: 1 - x * x, name="cubic")
# 1 - x^2 is an ulp or two of 1 there, in float32
BELOW_ONE, ABOVE_ONE = 1 - 2.0**-24, 1 + 2.0**-23


def narrow(*entries: float) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.sampled_from(entries).map(lambda entry: (np.array([entry], dtype=np.float32),))


def test_points_that_show_nothing_do_not_matter_if_others_do() -> None:
    for seed in range(4):  # whichever point comes last
        report = gradcheck.verify(CUBIC, narrow(BELOW_ONE, 0.5, ABOVE_ONE), settings=SEARCH, seed=seed)
        assert report.outcome is Outcome.PASS
        assert str(report).startswith("PASS ")


def test_points_that_show_nothing_matter_if_all_do() -> None:
    with pytest.raises(GradientUndecided, match="every entry of x is smaller than what rounding explains here"):
        gradcheck.verify(CUBIC, narrow(BELOW_ONE, ABOVE_ONE), settings=SEARCH)


def test_an_array_may_be_shown_at_one_point_and_another_at_another() -> None:
    """Each point hides one of the two, so that none of them passes alone."""

    def loss(x: Array, y: Array) -> Any:
        return np.sum(x - x**3 / 3) + np.sum(y - y**3 / 3)

    def grad(x: Array, y: Array) -> tuple[Array, Array]:
        return 1 - x * x, 1 - y * y

    rule = gradcheck.from_loss(loss, grad, argnums=(0, 1))
    shown, hidden = np.array([0.5], dtype=np.float32), np.array([BELOW_ONE], dtype=np.float32)
    report = gradcheck.verify(rule, st.sampled_from([(shown, hidden), (hidden, shown)]), settings=SEARCH)
    assert report.outcome is Outcome.PASS
    assert report.verdict.reason == "every array was resolved at some point"
    with pytest.raises(GradientUndecided, match="every entry of y"):
        gradcheck.verify(rule, st.just((shown, hidden)), settings=SEARCH)


# --- the tally ------------------------------------------------------------------------------------------------


def test_a_pass_adds_up_what_it_saw() -> None:
    rule = gradcheck.from_loss(nll_mean, lambda z, y: nll_sum_grad(z, y) / max(len(y), 1))
    report = gradcheck.verify(rule, gst.softmax_nll(), examples=40, seed=0, settings=SEARCH)
    tally = report.tally
    assert tally is not None
    assert tally.examples == 40
    assert tally.grade in ("entry-wise", "norm-wise")
    assert 0 < tally.worst_ulps < 32
    assert 0 < tally.seen < 1e-9
    plain = {name for name, regime in gst.REGIMES.items() if regime.option is None}
    assert set(tally.regimes) == plain
    assert sum(tally.regimes.values()) >= 40
    visited = sum(map(bool, tally.regimes.values()))
    assert f", {visited}/{len(plain)} regimes" in str(report)
    assert ("never visited" in str(report)) == (visited < len(plain))


def test_only_the_regimes_that_the_strategy_knows_are_counted() -> None:
    rule = gradcheck.from_loss(nll_mean, lambda z, y: nll_sum_grad(z, y) / max(len(y), 1))
    tally = gradcheck.verify(
        rule, gst.softmax_nll(regimes=["huge"], rows=2, classes=3), examples=5, settings=SEARCH
    ).tally
    assert tally is not None
    assert tally.regimes["huge"] == 5
    assert all(tally.regimes.values())  # none is held against a strategy that cannot visit it


def test_a_regime_that_the_strategy_has_and_nobody_visited_is_said() -> None:
    rule = gradcheck.from_loss(nll_mean, lambda z, y: nll_sum_grad(z, y) / max(len(y), 1))
    cases = gst.softmax_nll(rows=2, classes=3, weights=False, ignore_index=None)
    report = gradcheck.verify(rule, cases, examples=2, seed=0, settings=SEARCH)
    assert report.tally is not None
    never = {name for name, count in report.tally.regimes.items() if not count}
    assert never & {"huge", "tiny", "offset"}
    assert not never & {"no rows", "one class", "masked", "zero weight"}
    assert "never visited: " in str(report)


def test_the_regimes_of_cotangents_count_where_a_rule_takes_one() -> None:
    rule = gradcheck.from_vjp(lambda x: x**3, lambda x, cotangent: 3 * x**2 * cotangent, name="cube")
    tally = gradcheck.verify(rule, like=(np.ones(3),), examples=30, seed=0, settings=SEARCH).tally
    assert tally is not None
    assert set(tally.regimes) == set(gst.COTANGENT_REGIMES)
    assert all(tally.regimes.values())
    scalar = gradcheck.from_vjp(lambda x: float(np.sum(x**3)), lambda x, c: 3 * x**2 * c, name="sum of cubes")
    tally = gradcheck.verify(scalar, like=(np.ones(3),), examples=30, seed=0, settings=SEARCH).tally
    assert tally is not None
    assert set(tally.regimes) == {"negative cotangent"}


@pytest.mark.parametrize(("ulps", "sought"), [(0, False), (4, True)])
def test_hypothesis_is_pointed_at_what_is_nearly_wrong(
    ulps: float, sought: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores: list[float] = []
    monkeypatch.setattr("hypothesis.target", lambda score, **_: scores.append(score))
    off = 1 + ulps * 2.0**-52  # of which a little over four are allowed here
    rule = gradcheck.from_loss(lambda x: np.sum(x**3), lambda x: 3 * x**2 * off, name="cube")
    gradcheck.verify(rule, st.tuples(st.just(np.array([1.0, 2.0]))), settings=SEARCH)
    assert bool(scores) == sought
    assert all(0.75 <= score <= 1 for score in scores)


def test_what_would_have_been_seen_is_asked_of_every_eighth_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def seen(verdict: Verdict) -> float:
        asked.append(verdict)
        return 1e-12

    monkeypatch.setattr(Verdict, "seen", property(seen))
    tally = gradcheck.verify(RIGHT, vectors(*np.linspace(1.0, 3.0, 40)), examples=20, seed=0, settings=SEARCH).tally
    assert tally is not None
    assert tally.seen == 1e-12
    assert len(asked) == -(-tally.examples // 8)


def test_smaller_points_than_one_that_failed_show_all_that_they_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """Points share out the layouts until one fails; what is tried while that shrinks has none beside it."""
    asked = []

    def spy(*args: Any, thorough: bool, **options: Any) -> Report:
        report = report_at(*args, thorough=thorough, **options)
        asked.append((thorough, bool(report)))
        return report

    monkeypatch.setattr("gradcheck.verification.run.report_at", spy)
    with pytest.raises(GradientMismatch):
        gradcheck.verify(WRONG, vectors(1.0, 2.0, 3.0), examples=5, seed=0)
    failed = asked.index((False, False))
    assert all(not thorough for thorough, _ in asked[: failed + 1])
    assert len(asked) > failed + 1
    assert all(thorough for thorough, _ in asked[failed + 1 :])


def test_other_strategies_have_no_regimes() -> None:
    tally = gradcheck.verify(RIGHT, vectors(1.0), settings=SEARCH).tally
    assert tally is not None
    assert tally.regimes == {}


def test_a_gradient_of_zero_everywhere_says_so() -> None:
    rule = gradcheck.from_loss(lambda x: 0 * square(x), np.zeros_like, name="flat")
    report = gradcheck.verify(rule, vectors(1.0, 2.0), settings=SEARCH)
    assert report.tally is not None
    assert math.isinf(report.tally.seen)
    assert "the gradient is zero here" in str(report)


# --- Hypothesis's database ------------------------------------------------------------------------------------


def test_each_rule_keeps_its_own_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same functions under other names: what one of them saved is nothing to another."""
    # pytest --hypothesis-seed leaves the database out
    monkeypatch.setattr("hypothesis.core.global_force_seed", None)
    database = InMemoryExampleDatabase()
    options = settings(database=database, phases=[Phase.reuse, Phase.generate, Phase.shrink], max_examples=50)
    cases = st.integers(0, 10_000).map(lambda n: (np.array([float(n)]),))

    def run(name: str) -> int:
        """Return after how many examples a rule that is wrong at large numbers alone was found out."""
        rule = squares(lambda x: np.where(x > 2000, 3 * x, 2 * x), name)
        with pytest.raises(GradientMismatch) as caught:
            gradcheck.verify(rule, cases, settings=options)
        assert caught.value.report.tally is not None
        return caught.value.report.tally.examples

    def keys() -> set[bytes]:
        return {key for key, saved in database.data.items() if saved and not key.endswith(b".secondary")}

    run("one")
    (key,) = keys()
    assert run("one") == 1  # the saved one comes first
    assert keys() == {key}
    run("other")
    assert len(keys()) == 2


# --- inside other tests ---------------------------------------------------------------------------------------


def test_verify_does_not_run_inside_given() -> None:
    @settings(SEARCH, max_examples=1)
    @given(st.none())
    def run(_: None) -> None:
        gradcheck.verify(RIGHT, vectors(1.0))

    with pytest.raises(InvalidArgument) as caught:
        run()
    assert str(caught.value) == (
        "verify runs Hypothesis itself and cannot be nested in a test under @given; "
        "inside one, use gradcheck.check(rule, *case)"
    )


def test_what_is_drawn_elsewhere_stays_unchanged() -> None:
    x = X.copy()
    gradcheck.verify(RIGHT, like=(x,), examples=5, settings=SEARCH)
    np.testing.assert_array_equal(x, X)


# --- parametrize ----------------------------------------------------------------------------------------------


def test_parametrize_makes_an_ordinary_hypothesis_test() -> None:
    @gradcheck.parametrize({"right": RIGHT}, vectors(1.0))
    def test_gradient(rule: Rule, case: tuple[Any, ...]) -> None:
        gradcheck.check(rule, *case)

    assert is_hypothesis_test(test_gradient)
    assert test_gradient.__name__ == "test_gradient"


def test_rules_in_a_sequence_go_by_the_last_part_of_their_names(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import numpy as np
        from hypothesis import strategies as st
        import gradcheck

        def square(x): return np.sum(x * x)
        def twice(x): return 2 * x
        def thrice(x): return 3 * x

        RULES = [gradcheck.from_loss(square, twice), gradcheck.from_loss(square, thrice)]

        @gradcheck.parametrize(RULES, st.tuples(st.just(np.ones(2))))
        def test_gradient(rule, case):
            gradcheck.check(rule, *case)
    """)
    result = pytester.runpytest("-v", "-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(["*::test_gradient?twice? PASSED*", "*::test_gradient?thrice? FAILED*"])
    result.stdout.fnmatch_lines(["*entries differ from the reference by more than rounding explains*"])
    result.assert_outcomes(passed=1, failed=1)


def test_settings_and_marks_compose_in_any_order(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import numpy as np
        import pytest
        from hypothesis import settings, strategies as st
        import gradcheck

        RULES = {"a": gradcheck.from_loss(lambda x: np.sum(x * x), lambda x: 2 * x, name="a"),
                 "b": gradcheck.from_loss(lambda x: np.sum(x * x), lambda x: 2 * x, name="b")}
        CASES = st.tuples(st.floats(1, 2).map(lambda x: np.array([x])))
        COUNT = {"above": 0, "below": 0}

        @settings(max_examples=3, database=None, deadline=None)
        @pytest.mark.gradcheck
        @gradcheck.parametrize(RULES, CASES)
        def test_above(rule, case):
            COUNT["above"] += 1
            gradcheck.check(rule, *case)

        @gradcheck.parametrize(RULES, CASES)
        @pytest.mark.gradcheck
        @settings(max_examples=3, database=None, deadline=None)
        def test_below(rule, case):
            COUNT["below"] += 1
            gradcheck.check(rule, *case)

        class TestInAClass:
            @gradcheck.parametrize(RULES, CASES)
            @settings(max_examples=3, database=None, deadline=None)
            def test_method(self, rule, case):
                gradcheck.check(rule, *case)

        def test_counts():
            assert COUNT == {"above": 6, "below": 6}
    """)
    result = pytester.runpytest("-q", "-p", "no:cacheprovider", "--strict-markers")
    result.assert_outcomes(passed=7)
    chosen = pytester.runpytest("-q", "-p", "no:cacheprovider", "-m", "gradcheck", "-k", "below and b")
    chosen.assert_outcomes(passed=2, deselected=5)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([], "rules is empty, so nothing would be tested; pass at least one"),
        ({}, "rules is empty, so nothing would be tested; pass at least one"),
        (RIGHT, "rules must be a mapping of ids to rules, or a list of them, got Rule"),
        (3, "rules must be a mapping of ids to rules, or a list of them, got int"),
        ([square], "each of the rules must be a rule, got function; make one: gradcheck.from_loss(loss, grad)"),
        ({"a": square}, "rules['a'] must be a rule, got function; make one: gradcheck.from_loss(loss, grad)"),
        ("ab", "each of the rules must be a rule, got str"),
        ([RIGHT, WRONG], "several rules have the id 'square'; pass a mapping with an id for each"),
    ],
    ids=["empty list", "empty mapping", "rule", "number", "function", "mapping of functions", "text", "same id"],
)
def test_parametrize_wants_rules_with_ids(rules: Any, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        gradcheck.parametrize(rules, vectors(1.0))
    assert str(caught.value).startswith(message)


def test_parametrize_wants_a_strategy() -> None:
    with pytest.raises(InvalidArgument, match="cases must be a strategy that draws tuples of arguments, such as"):
        gradcheck.parametrize([RIGHT], (X,))  # type: ignore[arg-type]  # the mistake under test
