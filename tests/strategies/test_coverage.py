"""A hundred examples, Hypothesis's default, are enough to visit every regime."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from gradcheck import strategies as gst

PLAIN = {name for name, regime in gst.REGIMES.items() if regime.option is None}

# What applies without an option, and what each option adds.
OPTIONS: list[tuple[dict[str, Any], set[str]]] = [
    ({}, PLAIN),
    ({"dtype": "float32", "gap": 80}, PLAIN - {"towering"}),
    ({"dtype": "float16", "sequences": True}, PLAIN),
    ({"dtype": "bfloat16"}, PLAIN),
    ({"labels": "either"}, PLAIN),
    ({"around": 128}, PLAIN),
    ({"weights": True, "ignore_index": -100, "masks": True},
     {name for name, regime in gst.REGIMES.items() if regime.kind != "soft"}),
    ({"weights": True, "labels": "soft", "masks": True},
     {name for name, regime in gst.REGIMES.items() if regime.kind != "ignored"}),
    ({"ignore_index": 0},
     PLAIN - {"first and last label"} | {"one row ignored", "most rows ignored", "all rows ignored"}),
]  # fmt: skip


def _visited(cases: list[gst.Case]) -> set[str]:
    return set().union(*(case.regimes for case in cases))


@pytest.mark.parametrize("seed", range(6))
def test_a_hundred_cases_visit_every_regime(draws: Any, seed: int) -> None:
    assert _visited(draws(gst.softmax_nll(), 100, seed)) == PLAIN


@pytest.mark.parametrize(("options", "applying"), OPTIONS, ids=[str(options) for options, _ in OPTIONS])
def test_they_visit_what_the_options_add(draws: Any, options: dict[str, Any], applying: set[str]) -> None:
    cases = draws(gst.softmax_nll(**options), 100, seed=1)
    assert _visited(cases) == applying
    assert cases[0].offered == applying


@pytest.mark.sweep
@pytest.mark.parametrize(("options", "applying"), OPTIONS, ids=[str(options) for options, _ in OPTIONS])
def test_a_run_that_misses_one_is_rarer_than_one_in_five_hundred(
    draws: Any, options: dict[str, Any], applying: set[str]
) -> None:
    counts = Counter(name for case in draws(gst.softmax_nll(**options), 1500) for name in case.regimes)
    # Cases are independent of one another, so that a hundred miss a regime with this chance, and any with the sum.
    chance = sum((1 - counts[name] / 1500) ** 100 for name in applying)
    assert chance < 1 / 500


def test_what_cannot_occur_is_not_drawn(draws: Any) -> None:
    cases = draws(gst.softmax_nll(rows=5, classes=2, gap=10), 100)
    assert _visited(cases) == cases[0].offered == {
        "ordinary", "ties", "all equal", "huge", "tiny", "subnormal", "offset", "rows apart", "two classes",
        "repeated labels",
    }  # fmt: skip


def test_labels_bound_to_logits_visit_every_regime_too(draws: Any) -> None:
    pairs = draws(gst.arguments(gst.logits(), gst.labels()), 100)
    assert _visited([gst.Case(*pair) for pair in pairs]) == PLAIN


def test_a_cotangent_beside_them_takes_nothing_away(draws: Any) -> None:
    pairs = draws(st.tuples(gst.softmax_nll(), gst.cotangents(np.float64(1))), 100)
    assert _visited([case for case, _ in pairs]) == PLAIN


def test_cases_are_not_variations_of_one_another(draws: Any) -> None:
    cases = draws(gst.softmax_nll(rows=4, classes=8, regimes=["ordinary"]), 100)
    first_rows = {case.z[0].tobytes() for case in cases}
    # Copied from one another, as Hypothesis likes to, they would be about 20; a few simple ones may recur.
    assert len(first_rows) >= 90


def test_empty_cases_are_few(draws: Any) -> None:
    cases = draws(gst.softmax_nll(), 300)
    assert 10 <= sum(case.z.size == 0 for case in cases) <= 60


def test_a_case_made_by_hand_offers_nothing() -> None:
    assert gst.Case(np.zeros((1, 2)), np.array([1])).offered == frozenset()
    assert gst.WeightedCase(np.zeros((1, 2)), np.array([1]), np.ones(2)).offered == frozenset()
