"""A hundred examples, Hypothesis's default, are enough to visit every regime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from gradcheck import strategies as gst


def _visited(cases: list[gst.Case]) -> set[str]:
    return set().union(*(case.regimes for case in cases))


@pytest.mark.parametrize("seed", range(6))
def test_a_hundred_cases_visit_every_regime(draws: Any, seed: int) -> None:
    assert _visited(draws(gst.softmax_nll(), 100, seed)) == set(gst.REGIMES)


@pytest.mark.parametrize("options", [{"dtype": "float32", "gap": 80}, {"dtype": "float16"}, {"labels": "either"}])
def test_they_do_so_with_other_options(draws: Any, options: dict[str, Any]) -> None:
    assert _visited(draws(gst.softmax_nll(**options), 100, seed=1)) == set(gst.REGIMES)


def test_what_cannot_occur_is_not_drawn(draws: Any) -> None:
    visited = _visited(draws(gst.softmax_nll(rows=5, classes=2, gap=10), 100))
    assert visited == {"ordinary", "ties", "all equal", "huge", "tiny", "offset", "rows apart", "repeated labels"}


def test_labels_bound_to_logits_visit_every_regime_too(draws: Any) -> None:
    pairs = draws(gst.arguments(gst.logits(), gst.labels()), 100)
    assert _visited([gst.Case(*pair) for pair in pairs]) == set(gst.REGIMES)


def test_a_cotangent_beside_them_takes_nothing_away(draws: Any) -> None:
    pairs = draws(st.tuples(gst.softmax_nll(), gst.cotangents(np.float64(1))), 100)
    assert _visited([case for case, _ in pairs]) == set(gst.REGIMES)


def test_cases_are_not_variations_of_one_another(draws: Any) -> None:
    cases = draws(gst.softmax_nll(rows=4, classes=8, regimes=["ordinary"]), 100)
    first_rows = {case.z[0].tobytes() for case in cases}
    # Copied from one another, as Hypothesis likes to, they would be about 20; a few simple ones may recur.
    assert len(first_rows) >= 90


def test_empty_cases_are_few(draws: Any) -> None:
    cases = draws(gst.softmax_nll(), 300)
    assert 10 <= sum(case.z.size == 0 for case in cases) <= 60
