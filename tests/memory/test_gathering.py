from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import gradcheck
from gradcheck import strategies as gst
from gradcheck.errors import DataError, GradientMismatch
from gradcheck.memory import Gathering, Record
from gradcheck.observing import observed
from gradcheck.report import ANY
from gradcheck.rule import Rule


def _half(w):  # type: ignore[no-untyped-def]
    return 0.5 * (w * w).sum()


def _rule(name: str, ulps: float = 0.0, sign: float = 1.0) -> Rule:
    return gradcheck.from_loss(_half, lambda w: sign * w * (1 + ulps * np.finfo(w.dtype).eps), name=name)


W = np.array([[1.0, -2.0]])


def test_every_way_of_checking_is_told_and_each_rule_has_one_report() -> None:
    gathering = Gathering()
    first, second = _rule("first"), _rule("second", sign=-1)
    with observed(gathering.add):
        gradcheck.check(first, W)
        assert not gradcheck.examine(second, W)
        with pytest.raises(GradientMismatch):
            gradcheck.check(second, W[:, :1])
        gradcheck.verify(first, like=(W,), examples=3, seed=0)
        with observed(None):
            gradcheck.check(_rule("a mutant, say"), W)
    gradcheck.check(_rule("nobody listens any more"), W)
    one, other = gathering.reports()
    assert (one.origin.name, one.outcome.value) == ("first", "PASS")
    assert one.tally is not None
    assert one.tally.examples == 4
    assert (other.origin.name, other.outcome.value) == ("second", "FAIL")
    assert other.point.args[0].shape == (1, 1), "of equally bad ones the latest, which under Hypothesis is the smallest"
    record = Record.of(other)
    assert record.kept is None
    assert record.why == other.verdict.reason


def test_what_happens_while_hypothesis_shrinks_is_no_evidence() -> None:
    gathering = Gathering()
    bad = gradcheck.from_loss(_half, lambda w: np.abs(w), name="bad")
    shown = []

    @settings(database=None, deadline=None, derandomize=True, phases=[Phase.generate, Phase.shrink])
    @given(gst.arguments(gst.logits(rows=1, classes=2, regimes=["ordinary"])))
    def test(case):  # type: ignore[no-untyped-def]
        shown.append(case)
        gradcheck.check(bad, *case)

    with observed(gathering.add), pytest.raises(GradientMismatch) as raised:
        test()
    (report,) = gathering.reports()
    assert report.point is raised.value.report.point
    assert report.tally is not None
    assert report.tally.examples < len(shown)


def test_regimes_of_a_case_that_came_unpacked_are_known() -> None:
    gathering = Gathering()

    @settings(database=None, deadline=None, derandomize=True, max_examples=5)
    @given(gst.softmax_nll(rows=1, classes=3, regimes=["ties"]))
    def test(case):  # type: ignore[no-untyped-def]
        z, _ = case
        gradcheck.check(_rule("unpacked"), z)
        gradcheck.check(_rule("another array"), z + 1)

    with observed(gathering.add):
        test()
    unpacked, other = gathering.reports()
    assert unpacked.tally is not None
    assert unpacked.tally.regimes["ties"] == unpacked.tally.examples == 5
    assert set(unpacked.tally.margins) >= {ANY, "ties", "one row"}
    assert other.tally is not None
    assert set(other.tally.margins) == {ANY}


def test_a_point_that_shows_nothing_is_not_told() -> None:
    gathering = Gathering()
    rule = gradcheck.from_vjp(lambda x: x - x**3 / 3, lambda x, cotangent: cotangent * (1 - x * x), name="cubic")
    half, near_one = np.float32(0.5), np.nextafter(np.float32(1), np.float32(0))  # 1 - x^2 is an ulp of 1 there
    one = np.ones(1, dtype=np.float32)

    @settings(database=None, deadline=None, derandomize=True, max_examples=10)
    @given(st.sampled_from([half, near_one]))
    def test(x):  # type: ignore[no-untyped-def]
        gradcheck.check(rule, np.array([x]), cotangent=one)

    with observed(gathering.add):
        assert gradcheck.examine(rule, np.array([near_one]), cotangent=one).verdict.vacuous
        test()
    (report,) = gathering.reports()
    assert report.outcome.value == "UNDECIDED"  # what was examined; of what was checked, only the pass was told
    assert report.tally is not None
    assert report.tally.examples == 2


def test_a_margin_is_a_share_of_what_is_allowed() -> None:
    pytest.importorskip("flint")
    near = gradcheck.from_loss(
        _half, lambda w: w * (1 + np.resize([4, -4], w.shape) * np.finfo(float).eps), name="near"
    )
    for rule, margin, grade in ((_rule("right"), 0.0, "entry-wise"), (near, 0.67, "norm-wise")):
        gathering = Gathering()
        with observed(gathering.add):
            gradcheck.check(rule, W)
        (report,) = gathering.reports()
        assert report.tally is not None
        assert report.tally.margins == {ANY: pytest.approx(margin, rel=0.01)}
        kept = Record.of(report).kept
        assert kept is not None
        assert kept.grade == grade


def test_records_go_through_json() -> None:
    record = Record("mine.f", "PASS", 100, "entry-wise", 1.5, {ANY: 0.25})
    assert Record.from_json(record.as_json()) == record
    for text in ("", "3", "null", '{"rule": "mine.f"}', '{"other": 1}'):
        with pytest.raises(DataError, match="not a record of a check"):
            Record.from_json(text)
