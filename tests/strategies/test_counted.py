"""Arguments know their regimes where there are logits among them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from gradcheck import strategies as gst
from gradcheck.strategies.counted import Arguments, carried

PLAIN = {name for name, regime in gst.REGIMES.items() if regime.option is None}
OF_LABELS = {"saturated right", "saturated wrong", "first and last label", "repeated labels"}


def test_logits_with_their_labels_are_in_the_regimes_of_a_case(draws: Any) -> None:
    drawn = draws(gst.arguments(gst.logits(), gst.labels()), 100)
    assert all(args.regimes == gst.regimes_of(*args) for args in drawn)
    assert set().union(*(args.offered for args in drawn)) == PLAIN


def test_logits_alone_are_in_none_that_asks_for_labels(draws: Any) -> None:
    drawn = draws(gst.arguments(gst.logits()), 100)
    assert set().union(*(args.regimes for args in drawn)) == drawn[0].offered == PLAIN - OF_LABELS


def test_weights_and_ignored_rows_count_too(draws: Any) -> None:
    drawn = draws(gst.arguments(gst.logits(), gst.labels(ignore_index=-1), gst.weights()), 200)
    assert all(args.regimes == gst.regimes_of(z, y, w, ignore_index=-1) for args in drawn for z, y, w in [args])
    due = {name for name, regime in gst.REGIMES.items() if regime.kind in ("ignored", "weights")} | PLAIN
    assert set().union(*(args.offered for args in drawn)) == due
    assert set().union(*(args.regimes for args in drawn)) == due


def test_only_named_regimes_are_offered(draws: Any) -> None:
    (args,) = draws(gst.arguments(gst.logits(regimes=["huge"], rows=2, classes=3)), 1)
    assert args.offered == {"huge"}
    assert "huge" in args.regimes


@pytest.mark.parametrize("labelled", [0, 1])
def test_of_several_logits_those_with_labels_count(draws: Any, labelled: int) -> None:
    huge, tiny = (gst.logits(regimes=[name], rows=2, classes=3) for name in ("huge", "tiny"))
    order = (tiny, gst.labels(), huge) if labelled == 0 else (huge, tiny, gst.labels())
    for args in draws(gst.arguments(*order), 10):
        assert "tiny" in args.regimes
        assert "huge" not in args.regimes
    for args in draws(gst.arguments(huge, tiny), 10):
        assert "huge" in args.regimes
        assert "tiny" not in args.regimes


@pytest.mark.parametrize(
    "strategy",
    [
        gst.arguments(st.just(1.0)),
        gst.arguments(gst.logits().map(np.negative)),
        gst.arguments(st.just(np.ones((1, 2))), gst.labels()),
        gst.arguments(gst.labels(classes=2, rows=3)),
    ],
    ids=["a number", "mapped logits", "logits by hand", "labels alone"],
)
def test_without_logits_of_ours_nothing_is_counted(draws: Any, strategy: Any) -> None:
    assert all(type(args) is tuple for args in draws(strategy, 5))


def test_what_is_made_of_a_case_keeps_its_regimes(draws: Any) -> None:
    (case,) = draws(gst.softmax_nll(regimes=["ties"], rows=2, classes=3), 1)
    args = carried(case, ([case.z], case.y))
    assert isinstance(args, Arguments)
    assert (args.regimes, args.offered) == (case.regimes, case.offered)
    assert args == ([case.z], case.y)


def test_regimes_without_labels() -> None:
    assert gst.regimes_of([[0.0, 30.0]]) == {"one row", "two classes"}
    assert gst.regimes_of([[0.0, 30.0]], [0]) == {"one row", "two classes", "saturated wrong"}
