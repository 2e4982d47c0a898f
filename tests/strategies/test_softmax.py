"""What `softmax_nll` and `logits` draw is what was asked for."""

from __future__ import annotations

import pickle
from typing import Any

import hypothesis
import ml_dtypes
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis.statistics import collector, describe_statistics

from gradcheck import strategies as gst
from gradcheck.strategies.options import limits

DTYPES = ["float16", "bfloat16", "float32", "float64"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("strategy", [gst.logits, lambda **options: gst.softmax_nll(**options).map(lambda c: c.z)])
def test_logits_are_finite_normal_numbers_of_the_dtype(draws: Any, strategy: Any, dtype: str) -> None:
    normal = [name for name, r in gst.REGIMES.items() if r.kind == "values" and name != "subnormal"]
    for z in draws(strategy(dtype=dtype, regimes=normal), 150):
        assert z.dtype == dtype
        assert z.ndim == 2
        assert np.isfinite(z).all()
        assert not ((z != 0) & (np.abs(z) < limits(dtype).tiny)).any()


@pytest.mark.parametrize(
    ("rows", "classes", "shapes"),
    [
        (3, 4, {(3, 4)}),
        (0, 4, {(0, 4)}),
        (1, 1, {(1, 1)}),
        ((0, 2), 3, {(0, 3), (1, 3), (2, 3)}),
        (2, (1, 3), {(2, 1), (2, 2), (2, 3)}),
    ],
)
def test_sizes_are_those_allowed_and_all_of_them(
    draws: Any, rows: Any, classes: Any, shapes: set[tuple[int, int]]
) -> None:
    assert {z.shape for z in draws(gst.logits(rows=rows, classes=classes))} == shapes


def test_sizes_left_out_are_few_and_within_bounds(draws: Any) -> None:
    shapes = [case.z.shape for case in draws(gst.softmax_nll(), 300)]
    assert {n for n, _ in shapes} <= {0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33}
    assert {k for _, k in shapes} <= {1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 31, 32, 33}
    assert {0, 1, 2, 32} <= {n for n, _ in shapes}
    # 42 of few rows and classes; the other regimes of sizes add what they need.
    assert sum(n in (1, 2, 3, 4, 8, 17, 32) and k in (2, 3, 4, 5, 8, 12) for n, k in shapes) >= 100
    assert len(set(shapes)) <= 140


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gap", [0.1, 20.5, 87, 1e9])
def test_no_logit_is_further_below_the_largest_than_the_gap(draws: Any, dtype: str, gap: float) -> None:
    strategy = gst.softmax_nll(gap=gap, dtype=dtype, rows=(1, 8), classes=(1, 8))
    for case in draws(strategy, 80):
        wide = case.z.astype(np.float64)
        assert (wide.max(axis=1, keepdims=True) - wide <= gap).all()


def test_the_gap_is_reached(draws: Any) -> None:
    cases = draws(gst.softmax_nll(gap=87.0, dtype="float32", rows=2, classes=3), 200)
    assert max(np.ptp(case.z, axis=1).max() for case in cases) == 87


@pytest.mark.parametrize("dtype", DTYPES)
def test_labels_come_as_indices_one_hot_or_either(draws: Any, dtype: str) -> None:
    dimensions = set()
    for case in draws(gst.softmax_nll(labels="either", dtype=dtype)):
        (n, k), y = case.z.shape, case.y
        dimensions.add(y.ndim)
        if y.ndim == 1:
            assert (y.dtype, y.shape) == (np.int64, (n,))
            assert ((y >= 0) & (y < k)).all()
        else:
            assert (y.dtype, y.shape) == (dtype, (n, k))
            assert (np.sort(y, axis=1) == np.eye(k)[-1]).all()
    assert dimensions == {1, 2}
    assert {case.y.ndim for case in draws(gst.softmax_nll(labels="one-hot"), 20)} == {2}
    assert {case.y.ndim for case in draws(gst.softmax_nll(), 20)} == {1}


@pytest.mark.parametrize(("rows", "classes"), [(2, 3), (40, 50)])
def test_numbers_are_short_decimals_or_fully_precise(draws: Any, rows: int, classes: int) -> None:
    drawn = draws(gst.logits(rows=rows, classes=classes, regimes=["ordinary"]), 60)
    short = [bool((z * 64 == np.rint(z * 64)).all()) for z in drawn]
    assert 10 <= sum(short) <= 50
    assert all(np.abs(z).max() <= 4.1 for z in drawn)


def test_large_arrays_are_filled_with_different_numbers(draws: Any) -> None:
    distinct = [len(np.unique(z)) for z in draws(gst.logits(rows=64, classes=10, regimes=["ordinary"]), 20)]
    assert np.median(distinct) > 200


def test_a_case_is_a_tuple_with_names() -> None:
    z, y = case = gst.Case(np.zeros((1, 2)), np.array([1]))
    assert isinstance(case, tuple)
    assert z is case.z
    assert y is case.y


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_case_is_printed_as_code_that_makes_it(draws: Any, dtype: str) -> None:
    for case in draws(gst.softmax_nll(dtype=dtype, labels="either"), 60):
        again = eval(repr(case), {"np": np, "ml_dtypes": ml_dtypes, "Case": gst.Case})
        for left, right in zip(case, again, strict=True):
            assert (left.dtype, left.shape, left.tobytes()) == (right.dtype, right.shape, right.tobytes())


def test_a_case_is_printed_in_short() -> None:
    z = np.array([[0.1, -2.0]], dtype=np.float32)
    expected = "Case(np.array([[0.1, -2.0]], dtype=np.float32), np.array([1], dtype=np.int64))"
    assert repr(gst.Case(z, np.array([1]))) == expected
    empty = gst.Case(np.zeros((0, 3)), np.zeros(0, dtype=np.int64))
    assert repr(empty) == "Case(np.zeros((0, 3), dtype=np.float64), np.zeros((0,), dtype=np.int64))"


def test_a_case_can_be_pickled() -> None:
    again = pickle.loads(pickle.dumps(gst.Case(np.ones((1, 2)), np.array([1]))))
    assert repr(again) == repr(gst.Case(np.ones((1, 2)), np.array([1])))


def test_hypothesis_shows_a_failing_case_as_code() -> None:
    @hypothesis.seed(0)
    @settings(database=None, deadline=None)
    @given(gst.softmax_nll(regimes=["tiny"]))
    def fails(case: gst.Case) -> None:
        assert case.y.size == 0

    with pytest.raises(AssertionError) as caught:
        fails()
    assert "Case(np.array([[1e-08, 1e-08]], dtype=np.float64), np.array([0], dtype=np.int64))" in "".join(
        caught.value.__notes__
    )


def test_regimes_visited_are_counted_by_hypothesis() -> None:
    @settings(max_examples=30, database=None, phases=[Phase.generate], deadline=None)
    @given(gst.softmax_nll(regimes=["huge"], rows=3, classes=4))
    def runs(case: gst.Case) -> None:
        assert len(case.z) == 3

    text: list[str] = []
    listening: Any = collector  # typed as if nobody could listen
    with listening.with_value(lambda found: text.append(describe_statistics(found))):
        runs()
    assert "100.00%, regime: huge" in text[0]


def test_the_same_seed_draws_the_same(draws: Any) -> None:
    once, again = (list(map(repr, draws(gst.softmax_nll(), 30, seed=3))) for _ in range(2))
    assert once == again
    assert once != list(map(repr, draws(gst.softmax_nll(), 30, seed=4)))


def test_a_large_case_is_named_and_not_spelled() -> None:
    """Hypothesis warns of a repr of 200 kB, which under -W error hides the failure that it is of."""
    case = gst.Case(np.zeros((255, 255)), np.zeros(255, dtype=np.int64))
    assert repr(case).startswith("Case(<float64 (255, 255)>, np.array([0, 0")
    assert "<" not in repr(gst.Case(np.zeros((33, 33)), np.zeros(33, dtype=np.int64)))
