"""Labels have the sizes asked for, or those of the logits to their left."""

from __future__ import annotations

from typing import Any

import hypothesis.errors
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcheck import strategies as gst


def test_labels_are_indices_within_the_classes(draws: Any) -> None:
    drawn = draws(gst.labels(classes=(1, 4), rows=(0, 6)))
    assert all(y.dtype == np.int64 and y.ndim == 1 for y in drawn)
    assert {len(y) for y in drawn} == set(range(7))
    assert set(np.concatenate(drawn).tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("rows", [3, 50])
def test_labels_reach_every_class(draws: Any, rows: int) -> None:
    drawn = np.concatenate(draws(gst.labels(classes=300, rows=rows), 200))
    assert (drawn.min(), drawn.max()) == (0, 299)
    assert len(np.unique(drawn)) > 100


def test_labels_may_be_one_hot(draws: Any) -> None:
    for y in draws(gst.labels(classes=3, rows=(0, 4), kind="one-hot"), 50):
        assert (y.dtype, y.shape[1]) == (np.float64, 3)
        assert (np.sort(y, axis=1) == [0, 0, 1]).all()


def test_labels_are_any_all_the_same_or_the_ends(draws: Any) -> None:
    kinds = {tuple(sorted(set(y.tolist()))) for y in draws(gst.labels(classes=5, rows=5), 200)}
    assert {(0,), (3,), (0, 4)} <= kinds
    assert any(len(kind) >= 3 for kind in kinds)


@pytest.mark.parametrize("kind", ["index", "one-hot"])
def test_labels_follow_the_logits(draws: Any, kind: Any) -> None:
    strategy = gst.arguments(st.just("mean"), gst.logits(dtype="float32"), st.integers(), gst.labels(kind=kind))
    for _, z, _, y in draws(strategy):
        if kind == "index":
            assert y.shape == z.shape[:1]
            assert ((y >= 0) & (y < z.shape[1])).all()
        else:
            assert (y.dtype, y.shape) == (np.float32, z.shape)


def test_labels_follow_the_nearest_logits(draws: Any) -> None:
    far, near = st.just(np.zeros((3, 9))), st.just(np.zeros((2, 1)))
    for *_, y in draws(gst.arguments(far, near, st.just(np.zeros(7)), gst.labels()), 10):
        assert y.tolist() == [0, 0]


def test_bind_gives_a_strategy(draws: Any) -> None:
    dependent = gst.labels()
    assert isinstance(dependent, gst.Dependent)
    drawn = draws(dependent.bind((np.zeros((4, 2)),)), 20)
    assert {y.shape for y in drawn} == {(4,)}


def test_arguments_may_be_none_or_depend_on_nothing(draws: Any) -> None:
    assert draws(gst.arguments(), 1) == [()]
    assert draws(gst.arguments(st.just(1), st.just("x")), 1) == [(1, "x")]


@pytest.mark.parametrize("kind", ["index", "one-hot"])
def test_labels_where_a_strategy_is_needed_say_what_to_write(kind: Any) -> None:
    def test(y: Any) -> None:
        raise AssertionError(y)

    misused: Any = gst.labels(kind=kind)
    decorate: Any = given
    for run in (decorate(misused)(test), decorate(y=misused)(test), decorate(st.tuples(misused))(test)):
        with pytest.raises(hypothesis.errors.InvalidArgument, match=r"write arguments\(logits\(\), labels\("):
            run()
