"""Readings of shapes, and labels drawn for other points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcheck
from gradcheck.mistakes.drawing import relabelled
from gradcheck.mistakes.jumps import off_kinks
from gradcheck.mistakes.roles import roles_of
from gradcheck.mistakes.setting import Setting
from gradcheck.mistakes.shapes import ROWS, Reading, readings
from gradcheck.rule import Point
from gradcheck.tree import Flat, flatten

PARAMS = {"W1": np.ones((3, 2)), "W2": np.ones((5, 3)), "b1": np.ones(3), "b2": np.ones(5)}


def _unused(*_: Any) -> Any:
    raise AssertionError("shapes are read, nothing is run")


def _flat(*args: Any) -> Flat:
    return flatten(gradcheck.from_loss(_unused, _unused, argnums=0, name="shapes"), Point(args, {}, 1.0))


def _shapes(reading: Reading, flat: Flat, **sizes: int) -> list[tuple[int, ...]]:
    chosen = reading.sizes(0, sizes)
    return [reading.shape(index, chosen) for index in range(len(flat.leaves))]


def test_logits_and_labels_share_their_rows() -> None:
    flat = _flat(np.ones((2, 3)), np.zeros(2, int))
    first = next(iter(readings(flat, roles_of(flat))))
    assert _shapes(first, flat, rows=9, classes=4) == [(9, 4), (9,)]


def test_a_network_is_read_with_its_parameters_before_the_data() -> None:
    """W1 (H, D), W2 (K, H), b1 (H), b2 (K), x (N, D), y (N): among the readings is the one a forward can run."""
    flat = _flat(PARAMS, np.ones((6, 2)), np.zeros(6, int))

    def fit(shapes: list[tuple[int, ...]]) -> bool:
        (hidden, inner), (classes, outer), b1, b2, x, y = shapes
        return (hidden, inner, (hidden,), (classes,), x[:1]) == (outer, x[1], b1, b2, y)

    found = [_shapes(reading, flat, **{ROWS: 8}) for reading in readings(flat, roles_of(flat))]
    assert any(fit(shapes) and len(set(sum(shapes, ()))) == 4 for shapes in found)


@pytest.mark.parametrize("seed", range(5))
def test_half_of_the_labels_are_kept_where_all_but_one_are_ignored(seed: int) -> None:
    labels = np.array([1, -1, -1, -1, -1, -1])
    drawn = relabelled(np.random.default_rng(seed), labels, (8,), 3, 4)
    assert np.sum(drawn == -1) == 4
    assert set(drawn[drawn != -1]) <= {0, 1, 2, 3}


def test_labels_that_are_not_ignored_stay_so() -> None:
    drawn = relabelled(np.random.default_rng(0), np.array([1, 0, 2]), (7,), 3, 3)
    assert np.all((drawn >= 0) & (drawn < 3))


def _absolute(x: np.ndarray[Any, Any]) -> Setting:
    def elsewhere(point: Point) -> tuple[np.ndarray[Any, Any], ...]:
        return (np.sign(point.args[0]),)

    flat = _flat(x)
    rule = gradcheck.from_loss(_unused, _unused, argnums=0, name="absolute")
    return Setting(rule, Point((x,), {}, 1.0), flat, (np.sign(x),), elsewhere)


def test_a_point_on_a_kink_is_moved_off_it() -> None:
    moved = off_kinks(_absolute(np.array([0.0, 1.0])), np.random.default_rng(0))
    assert moved is not None
    assert 0 < abs(moved[0][0]) < 1e-3


def test_a_point_off_kinks_stays() -> None:
    assert off_kinks(_absolute(np.array([0.5, 1.0])), np.random.default_rng(0)) is None
