"""Weights, soft labels, ignored rows, masks, blocks and sequences are what they are said to be."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from gradcheck import strategies as gst

EVERY = {"weights": True, "ignore_index": -100, "masks": True}
SOFT = {"weights": True, "labels": "soft", "masks": True}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_weights_are_finite_and_not_negative(draws: Any, dtype: str) -> None:
    cases = draws(gst.softmax_nll(weights=True, dtype=dtype), 150)
    for case in cases:
        assert (case.weights.shape, case.weights.dtype) == (case.z.shape[1:], dtype)
        assert np.isfinite(case.weights).all()
        assert (case.weights >= 0).all()
    assert any(len(set(case.weights.tolist())) > 2 for case in cases)
    assert any(case.weights.all() and np.ptp(case.weights) == 0 for case in cases)


@pytest.mark.parametrize("options", [{"masks": True}, EVERY, SOFT])
def test_masks_leave_every_label_and_never_a_row_empty(draws: Any, options: dict[str, Any]) -> None:
    masked = 0
    for case in draws(gst.softmax_nll(**options), 300):
        z, y = case.z, case.y
        assert not np.isnan(z).any()
        assert not np.isposinf(z).any()
        assert np.isfinite(z).any(axis=1).all()
        if y.ndim == 2:
            assert np.isfinite(z[y > 0]).all()
        else:
            assert np.isfinite(z[y >= 0, y[y >= 0]]).all()
        masked += bool(np.isneginf(z).any())
    assert masked > 60


def test_masks_go_with_every_other_regime_of_values(draws: Any) -> None:
    cases = [case for case in draws(gst.softmax_nll(masks=True), 600) if "masked" in case.regimes]
    values = {name for name, regime in gst.REGIMES.items() if regime.kind == "values"}
    assert values <= set().union(*(case.regimes for case in cases))
    hidden = {int(np.isneginf(row).sum()) for case in cases if case.z.shape[1] == 5 for row in case.z}
    assert hidden == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_soft_labels_are_rows_of_any_sum_up_to_three(draws: Any, dtype: str) -> None:
    cases = draws(gst.softmax_nll(labels="soft", dtype=dtype), 300)
    rows = [row for case in cases for row in case.y.astype(float)]
    assert {(case.y.dtype.name, case.y.shape == case.z.shape) for case in cases} == {(dtype, True)}
    assert all(np.isfinite(row).all() and (row >= 0).all() for row in rows)
    sums = np.array([row.sum() for row in rows])
    assert sums.max() <= 3.01
    assert (sums > 2).any()
    assert ((sums > 0) & (sums < 0.6)).any()
    assert (sums == 0).any()
    assert any(0 < np.count_nonzero(row) < len(row) > 2 for row in rows)
    assert any((case.y.sum(axis=1) == 0).all() and case.z.size for case in cases)


@pytest.mark.parametrize("ignore_index", [-100, -1, 0, 1, 7, 255])
def test_ignored_rows_are_none_one_most_or_all(draws: Any, ignore_index: int) -> None:
    numbers = set()
    for case in draws(gst.softmax_nll(ignore_index=ignore_index, rows=5, classes=4), 100):
        kept = case.y[case.y != ignore_index]
        assert case.y.dtype == np.int64
        assert ((kept >= 0) & (kept < 4)).all()
        numbers.add(5 - len(kept))
    assert numbers == {0, 1, 4, 5}


def test_a_class_that_is_ignored_is_no_label_otherwise(draws: Any) -> None:
    for case in draws(gst.softmax_nll(ignore_index=2, classes=1), 20):
        assert not (case.y == 2).any() or "all rows ignored" in case.regimes or "one row ignored" in case.regimes
    assert all("all rows ignored" in c.regimes for c in draws(gst.softmax_nll(ignore_index=0, classes=1, rows=2), 20))


def test_sizes_about_a_block_are_of_rows_of_classes_and_of_both(draws: Any) -> None:
    about = {127, 128, 129, 255}
    shapes = [case.z.shape for case in draws(gst.softmax_nll(around=128), 300)]
    assert {n for n, _ in shapes} & {*range(100, 300)} == {k for _, k in shapes} & {*range(100, 300)} == about
    assert any(n in about and k < 20 for n, k in shapes)
    assert any(k in about and n < 40 for n, k in shapes)
    assert any(n in about and k in about for n, k in shapes)
    assert {n for n, _ in (c.z.shape for c in draws(gst.softmax_nll(around=10, classes=3), 100))} >= {9, 10, 11, 19}


def test_sequences_part_the_rows(draws: Any) -> None:
    cases = draws(gst.softmax_nll(sequences=True), 200)
    for z, y in cases:
        assert z.ndim == 3
        assert y.shape == z.shape[:2]
    shapes = {case.z.shape[:2] for case in cases}
    assert {(1, 1), (2, 1), (1, 2), (2, 2)} <= shapes
    assert any(b > 1 and t > 1 for b, t in shapes)
    soft = draws(gst.softmax_nll(sequences=True, labels="soft"), 30)
    assert all(case.y.shape == case.z.shape for case in soft)


@pytest.mark.parametrize("options", [EVERY, SOFT, {"ignore_index": 1, "sequences": True}])
def test_cases_are_printed_as_code_and_pickled(draws: Any, options: dict[str, Any]) -> None:
    names = {"np": np, "Case": gst.Case, "WeightedCase": gst.WeightedCase}
    for case in draws(gst.softmax_nll(**options), 60):
        for again in (eval(repr(case), names), pickle.loads(pickle.dumps(case))):
            for left, right in zip(case, again, strict=True):
                assert (left.dtype, left.shape, left.tobytes()) == (right.dtype, right.shape, right.tobytes())
        assert pickle.loads(pickle.dumps(case)).regimes == case.regimes


def test_named_regimes_leave_the_options_as_they_are(draws: Any) -> None:
    cases = draws(gst.softmax_nll(regimes=["huge", "zero weight"], weights=True, masks=True), 60)
    assert all({"huge", "zero weight"} <= case.regimes for case in cases)
    assert 10 < sum("masked" in case.regimes for case in cases) < 60


def test_labels_and_weights_follow_masked_logits(draws: Any) -> None:
    z = np.array([[-np.inf, 0.0, 1.0], [0.0, -np.inf, -np.inf]], dtype=np.float32)
    for kind in ("index", "one-hot", "soft"):
        for _, y, weights in draws(gst.arguments(st.just(z), gst.labels(kind=kind), gst.weights()), 60):
            assert (weights.shape, weights.dtype) == ((3,), np.float32)
            chosen = z[np.arange(2), y] if y.ndim == 1 else z[y > 0]
            assert np.isfinite(chosen).all()


def test_labels_alone_may_be_soft_or_ignored(draws: Any) -> None:
    soft = draws(gst.labels(classes=4, rows=3, kind="soft"), 100)
    assert {y.shape for y in soft} == {(3, 4)}
    assert {"soft labels", "labels not summing to one", "row without label"} <= set().union(
        *(gst.regimes_of(np.zeros((3, 4)), y) for y in soft)
    )
    ignored = draws(gst.labels(classes=4, rows=3, ignore_index=-1), 100)
    assert {int((y == -1).sum()) for y in ignored} == {0, 1, 2, 3}


def test_weights_alone_are_equal_unequal_or_zero(draws: Any) -> None:
    drawn = draws(gst.weights(classes=4), 100)
    assert {w.shape for w in drawn} == {(4,)}
    assert {np.ptp(w) > 0 for w in drawn} == {False, True}
    assert any(not w.any() for w in drawn)
    assert any(w.any() and not w.all() for w in drawn)


def test_calls_come_back_to_the_first(draws: Any) -> None:
    differing = 0
    for first, same, other, again in draws(gst.calls(gst.softmax_nll(weights=True)), 60):
        assert [a.shape for a in same] == [a.shape for a in first]
        assert np.array_equal(same[0] * 2, first[0]) or "subnormal" in first.regimes
        assert np.array_equal(same[1], first[1])
        assert all(np.array_equal(a, b) and a is not b for a, b in zip(first, again, strict=True))
        differing += [a.shape for a in other] != [a.shape for a in first]
    assert differing > 10


def test_layouts_are_those_of_the_table(draws: Any) -> None:
    array = np.arange(6.0).reshape(2, 3)
    drawn = draws(gst.layouts(array), 100)
    assert all(np.array_equal(a, array) for a in drawn)
    assert len({(a.strides, a.flags.writeable) for a in drawn}) == 7
    scalars = draws(gst.layouts(2.5), 30)
    assert {type(a) for a in scalars} == {np.ndarray, np.float64}


def test_cotangents_are_named_by_what_they_hold() -> None:
    assert gst.cotangent_regimes_of(np.array([1.0, 2.0])) == {"unequal cotangent"}
    assert gst.cotangent_regimes_of({"a": np.array([-1.0]), "b": -1.0}) == {"negative cotangent"}
    assert gst.cotangent_regimes_of(()) == frozenset()
