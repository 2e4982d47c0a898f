"""The power of a check: strong ones kill every mutant, weak ones let through just what they cannot see."""

from __future__ import annotations

import itertools
import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from gradcheck import (
    GradientMismatch,
    GradientUndecided,
    InvalidArgument,
    PowerReport,
    from_loss,
    from_pullback,
    from_vjp,
    power,
)
from gradcheck import strategies as gst
from gradcheck.mutation import answers, measuring
from gradcheck.mutation.answers import Smallest
from gradcheck.mutation.mutant import Change
from gradcheck.mutation.report import Killed, Survivor


def softmax(z: Any) -> Any:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def nll(z: Any, y: Any) -> Any:
    shifted = z - z.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(axis=1))
    return np.sum(log_total - shifted[np.arange(len(y)), y]) / max(len(y), 1)


def nll_grad(z: Any, y: Any) -> Any:
    if z.ndim != 2:
        raise ValueError(f"z has {z.ndim} axes")
    a = softmax(z)
    a[np.arange(len(y)), y] -= 1.0
    return a / max(len(z), 1)


NLL = from_loss(nll, nll_grad)


def measured(rule: Any, *cases: Any, **settings: Any) -> PowerReport:
    """Measure with more time than any machine needs."""
    return power(rule, *cases, **{"budget": 1000.0, **settings})


@pytest.fixture
def few_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out most named mistakes, where a test is about something else: each that does not apply takes as long."""
    every = answers.mistaken
    monkeypatch.setattr(measuring, "mistaken", lambda rule: itertools.islice(every(rule), 2))
    monkeypatch.setattr(measuring, "_LEAST", 30)


def cube(w: Any) -> Any:
    return np.sum(w**3)


def cube_grad(w: Any) -> Any:
    return 3 * w * w


CUBE = from_loss(cube, cube_grad, name="cube")


def _edits(changes: Any) -> set[str]:
    """What was changed in the source, less where."""
    return {change.says for change in changes if change.diff}


@pytest.mark.usefixtures("few_mistakes")
def test_a_strong_check_kills_all_that_can_be_told_from_the_rule() -> None:
    report = measured(NLL, gst.softmax_nll(), examples=25)
    assert report, report
    assert report.rate == 1.0
    assert report.untried == ()
    assert report.stopped == ""
    assert {"numbers", "raised"} <= {killed.by for killed in report.killed}
    # of no rows the gradient is empty, whatever it is divided by
    assert _edits(report.alike) == {"0 for 1"}
    (small,) = report.smallest
    assert small.path == "z"
    assert 1e-15 <= small.array <= 1e-12
    assert 1e-15 <= small.entry <= 1e-12


def test_a_weak_check_lets_through_what_it_cannot_see() -> None:
    one_row = st.just((np.array([[0.3, -1.0, 0.5]]), np.array([1])))
    report = measured(NLL, one_row, examples=1)
    assert not report
    survivors = {survivor.change.says: survivor for survivor in report.survivors}
    # one row: the mean over rows, and whatever goes along the wrong axis of what has one row only
    assert {"dropped: / max(len(z), 1)", "* for /", "min for max", "no axis for 1", "keepdims left out"} <= set(
        survivors
    )
    assert {"factor N", "factor 1/N"} <= set(survivors)
    # ordinary numbers: what overflows
    assert {"dropped: - z.max(axis=1, keepdims=True)"} <= set(survivors)
    # and nothing that one ordinary row shows
    assert not {"+ for -", "sign", "mean for sum"} & {s.change.says for s in report.survivors if "nll_grad" in str(s)}
    mean = survivors["dropped: / max(len(z), 1)"]
    assert mean.change.diff.splitlines()[1:] == ["-    return a / max(len(z), 1)", "+    return a"]
    assert mean.by == "numbers"
    assert "z (2, 3)" in mean.at
    assert report.rate < 0.8


@pytest.mark.usefixtures("few_mistakes")
def test_ties_are_seen_only_where_they_are_drawn() -> None:
    def vjp(x: Any, cotangent: Any) -> Any:
        largest = x == x.max()
        return cotangent * largest / largest.sum()

    rule = from_vjp(np.max, vjp, name="max")
    report = measured(rule, st.just((np.array([1.0, 3.0, 2.0]),)), examples=1)
    assert "dropped: / largest.sum()" in _edits(s.change for s in report.survivors)
    with_ties = st.sampled_from([(np.array([1.0, 3.0, 2.0]),), (np.array([2.0, 2.0, 0.0]),)])
    report = measured(rule, with_ties, examples=10)
    assert "dropped: / largest.sum()" in _edits(killed.change for killed in report.killed)


@pytest.mark.usefixtures("few_mistakes")
def test_another_subgradient_is_not_a_survivor() -> None:
    def vjp(x: Any, cotangent: Any) -> Any:
        return cotangent * (x > 0)

    report = measured(from_vjp(lambda x: np.maximum(x, 0), vjp, name="relu"), like=(np.ones(3),), examples=20)
    assert report, report
    assert ">= for >" in _edits(report.alike)


@pytest.mark.usefixtures("few_mistakes")
def test_smallest_errors_are_told_apart_by_array() -> None:
    def loss(a: Any, b: Any) -> Any:
        return np.sum(a**2) + np.sum(b**2)

    def grad(a: Any, b: Any) -> Any:
        return 2 * a, 2 * b

    rule = from_loss(loss, grad, argnums=(0, 1), name="squares")
    report = measured(rule, st.just((np.ones(3, np.float32), np.ones(2))), examples=1)
    sizes = {small.path: small.array for small in report.smallest}
    assert sizes["a"] > 1e-8 > 1e-14 > sizes["b"] / 100


@pytest.mark.usefixtures("few_mistakes")
def test_where_a_gradient_is_zero_no_factor_is_tried() -> None:
    def grad(a: Any, b: Any) -> Any:
        return 2 * a, 0 * b

    rule = from_loss(lambda a, b: np.sum(a**2) + 0 * b.sum(), grad, argnums=(0, 1), name="squares")
    report = measured(rule, st.just((np.ones(3), np.ones(2))), examples=1)
    assert [small.path for small in report.smallest] == ["a"]


@pytest.mark.usefixtures("few_mistakes")
def test_a_rule_without_source_has_mutants_of_its_answers() -> None:
    namespace: dict[str, Any] = {}
    exec("def grad(w):\n    return 3 * w * w\n", namespace)
    report = measured(from_loss(cube, namespace["grad"], name="cube"), like=(np.ones(3),), examples=5)
    assert report
    assert any("only mutants of its answers" in note for note in report.notes)
    assert not _edits(killed.change for killed in report.killed)


@pytest.mark.usefixtures("few_mistakes")
def test_a_source_that_is_not_the_functions_own_is_not_mutated() -> None:
    class Private:
        __factor = 3.0

        def grad(self, w: Any) -> Any:
            return self.__factor * w * w

    report = measured(from_loss(cube, Private().grad, name="cube"), like=(np.ones(3),), examples=5)
    assert any("is not what its source says" in note for note in report.notes)
    assert not _edits(killed.change for killed in report.killed)


@pytest.mark.usefixtures("few_mistakes")
def test_a_mutant_that_changes_nothing_but_the_contract_is_killed_by_its_law() -> None:
    def vjp(x: Any, cotangent: Any) -> Any:
        kept = cotangent.copy()
        kept *= 2.0
        return kept * x

    report = measured(from_vjp(lambda x: x**2, vjp, name="square"), like=(np.ones(3),), examples=10)
    by = {killed.change.says: killed.by for killed in report.killed}
    assert by[".copy dropped"] == "pure"


def test_the_rule_must_pass_first() -> None:
    with pytest.raises(GradientMismatch):
        measured(from_loss(cube, lambda w: 3 * w, name="cube"), like=(np.ones(3),), examples=5)
    endless = from_loss(lambda w: np.float64(np.inf) + 0 * w.sum(), lambda w: 0 * w, name="endless")
    with pytest.raises(GradientUndecided):
        measured(endless, like=(np.ones(3),), examples=5)


@pytest.mark.usefixtures("few_mistakes")
def test_it_stops_when_the_budget_is_spent() -> None:
    report = measured(NLL, gst.softmax_nll(), examples=20, budget=1e-3)
    assert not report
    assert len(report.untried) > 20
    assert "stopped after 0.001 s: 0 of" in str(report)
    assert any("no time to find the smallest error" in note for note in report.notes)


@pytest.mark.usefixtures("few_mistakes")
def test_an_interrupt_gives_what_is_known() -> None:
    def interrupting(tried: int, _total: int) -> None:
        if tried == 3:
            raise KeyboardInterrupt

    report = measured(CUBE, like=(np.ones(3),), examples=5, watch=interrupting)
    assert report.stopped == "interrupted"
    assert report.tried == 3
    assert report.untried
    assert "interrupted: 3 of" in str(report)


@pytest.mark.usefixtures("few_mistakes")
def test_one_can_watch() -> None:
    seen: list[tuple[int, int]] = []
    report = measured(CUBE, like=(np.ones(3),), examples=5, watch=lambda tried, total: seen.append((tried, total)))
    assert seen == [(k, report.tried) for k in range(report.tried + 1)]


@pytest.mark.usefixtures("few_mistakes")
def test_it_is_repeatable() -> None:
    one, other = (measured(CUBE, like=(np.ones(3),), examples=5, seed=3).as_dict() for _ in range(2))
    assert {**one, "seconds": 0} == {**other, "seconds": 0}


@pytest.mark.usefixtures("few_mistakes")
def test_laws_can_be_switched_off() -> None:
    def vjp(x: Any, cotangent: Any) -> Any:
        return np.array(cotangent) * 2 * x

    rule = from_vjp(lambda x: x**2, vjp, name="square")
    strong = measured(rule, like=(np.ones(3),), examples=5)
    weak = measured(rule, like=(np.ones(3),), examples=5, without=["linear", "layouts"])
    assert {"linear", "layouts"}.isdisjoint(killed.by for killed in weak.killed)
    assert strong.rate >= weak.rate


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"budget": 0}, "budget must be a positive number of seconds, got budget=0"),
        ({"budget": "long"}, "budget='long'"),
        ({"examples": 0}, "examples must be an integer from 1 up, got examples=0"),
        ({"seed": -1}, "seed must be an integer from 0 up, got seed=-1"),
        ({"like": None}, "exactly one source of points"),
        ({"without": ["linearity"]}, "linearity"),
    ],
)
def test_bad_input_is_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgument, match="(?s)" + said):
        measured(CUBE, **{"like": (np.ones(3),), **arguments})


def test_what_is_no_rule_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="the first argument must be a rule, got function"):
        measured(cube, like=(np.ones(3),))


def test_it_is_refused_inside_given() -> None:
    from hypothesis import given, settings

    @settings(max_examples=1, database=None)
    @given(st.none())
    def test(_: None) -> None:
        measured(CUBE, like=(np.ones(3),))

    with pytest.raises(InvalidArgument, match="cannot be nested in a test under @given"):
        test()


@pytest.mark.usefixtures("few_mistakes")
def test_no_setting_is_left_changed() -> None:
    import warnings

    before = (np.geterr(), list(warnings.filters))
    measured(CUBE, like=(np.ones(3),), examples=3)
    assert (np.geterr(), list(warnings.filters)) == before


CHANGE = Change("dropped: / n", "mine.py:3, f", "@@ -3 +3 @@\n-    return x / n\n+    return x")


def test_a_report_can_be_sent_and_written_down() -> None:
    report = PowerReport(
        "f", 10, 0, (Killed(CHANGE, "numbers"),), (Survivor(CHANGE, "x (2)", "pure", 0.25),), (CHANGE,)
    )
    assert pickle.loads(pickle.dumps(report)) == report
    read = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert read["rate"] == 0.5
    told = {"says": CHANGE.says, "where": CHANGE.where, "diff": CHANGE.diff}
    assert read["survivors"] == [{**told, "at": "x (2)", "by": "pure", "share": 0.25}]


def test_a_report_of_nothing_is_not_true() -> None:
    report = PowerReport("f", 10, 0, alike=(CHANGE,))
    assert not report
    assert "no mutant could be told from the rule" in str(report)
    assert report.as_dict()["rate"] is None
    assert str(PowerReport("f", 10, 0, untried=(CHANGE,))).startswith("f: no mutant was tried, 1 not tried\n")


def test_a_report_reads_well() -> None:
    report = PowerReport(
        "mine.f",
        10,
        0,
        killed=(Killed(CHANGE, "numbers"), Killed(CHANGE, "numbers"), Killed(Change("sign"), "raised")),
        survivors=(
            Survivor(CHANGE, "x (2, 3)", "numbers", 0.5),
            Survivor(Change("factor N"), "x (2)", "nothing", 0.001),
        ),
        alike=(Change("factor T"), Change("transposed")),
        smallest=(Smallest("x", 1e-14, float("inf")), Smallest("b", float("inf"), float("inf"))),
        seconds=2.0,
    )
    assert str(report) == (
        """\
mine.f: kills 3 of 5 mutants (60 %), 2 not distinguished
  10 examples, seed 0, 2.0 s
  killed by: numbers 2, raised 1
  would have seen: in x: 1e-14 of all its entries, not even a tenth of its last entry alone
  would have seen: not even an error of a tenth in b

survives: mine.py:3, f: dropped: / n
  @@ -3 +3 @@
  -    return x / n
  +    return x
  killed by numbers at x (2, 3) (differs at 50 % of the inputs tried)

survives: factor N
  passes all the same at x (2) (differs at less than 1 % of the inputs tried)

not distinguished: these answer as the rule does, but for rounding and on kinks
  mistakes that do not apply, or at a coincidence only: factor T, transposed"""
    )
    assert all(len(line) <= 100 for line in str(report).splitlines())


@pytest.mark.usefixtures("few_mistakes")
@pytest.mark.parametrize(("name", "examples"), [("tanh", 60), ("linear", 15)])
def test_built_in_derivations_are_well_checked(name: str, examples: int) -> None:
    from gradcheck.catalogue import entries

    (entry,) = [entry for entry in entries() if entry.name == name]
    report = measured(entry.rule, entry.cases("float64"), examples=examples)
    assert report, report
    assert len(_edits(killed.change for killed in report.killed)) >= 10


@pytest.mark.usefixtures("few_mistakes")
def test_a_pullback_that_ignores_its_cotangent_is_told() -> None:
    def square(x: Any) -> Any:
        slope = 2 * x

        def pullback(cotangent: Any) -> Any:
            return cotangent * slope

        return x**2, pullback

    made: Callable[..., Any] = from_pullback
    report = measured(made(square, name="square"), like=(np.ones(3),), examples=10)
    assert report, report
    assert "dropped: cotangent" in _edits(killed.change for killed in report.killed)
