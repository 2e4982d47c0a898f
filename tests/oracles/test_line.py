"""The line through a point, and the lengths that matter on it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradcheck.errors import InvalidArgument
from gradcheck.oracles.differences.line import Line


def test_points_are_new_arrays() -> None:
    primal = np.array([1.0, 2.0])
    line = Line.through(primal, [1.0, -1.0])
    line.at(0.0)[:] = 7.0
    assert line.at(0.0).tolist() == primal.tolist() == [1.0, 2.0]
    assert line.at(0.5j).tolist() == [1 + 0.5j, 2 - 0.5j]


def test_infinite_entries_stay_and_do_not_count() -> None:
    line = Line.through([-math.inf, 8.0], [1.0, 2.0])
    assert line.at(3.0).tolist() == [-math.inf, 14.0]
    assert line.scales == (4.0, 0.5)


def test_entries_that_do_not_move_do_not_count() -> None:
    line = Line.through([1e300, 1e-300, 0.25], [0.0, 0.0, 1.0])
    assert line.scales == (1.0, 0.25)
    assert line.grain == np.spacing(0.25)


def test_a_point_at_zero_has_one_scale() -> None:
    assert Line.through(np.zeros((2, 3)), np.full((2, 3), 4.0)).scales == (0.25,)


def test_lengths_are_measured_in_the_direction() -> None:
    slow, fast = Line.through([3.0, 0.5], [1.0, 1.0]), Line.through([3.0, 0.5], [8.0, 8.0])
    assert fast.scales == tuple(scale / 8 for scale in slow.scales)
    assert fast.grain == slow.grain / 8


@pytest.mark.parametrize(
    ("primal", "direction", "message"),
    [
        ([1.0, 2.0], [1.0], r"direction has shape \(1,\) where primal has \(2,\)"),
        ([1.0, math.nan], [1.0, 1.0], "primal holds NaN"),
        ([1.0, 2.0], [0.0, 0.0], r"direction is \[0. 0.\]; give finite components, not all zero"),
        ([1.0, 2.0], [1.0, math.inf], r"direction is \[ 1. inf\]"),
        ([], [], r"direction is \[\]"),
    ],
)
def test_what_is_no_line_is_refused(primal: list[float], direction: list[float], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Line.through(primal, direction)


def test_no_scale_leaves_the_room() -> None:
    line = Line.through([0.25, 1.0, -math.inf], [1.0, -0.5, 1.0], room=[0.25, math.inf, math.nan])
    assert line.reach == 0.25
    assert line.scales == (0.125,)
    assert Line.through([8.0, 0.25], [1.0, 1.0], room=[4.0, 16.0]).scales == (2.0, 1.0, 0.25)


def test_without_room_there_is_no_end() -> None:
    assert Line.through([1.0], [1.0]).reach == math.inf
    assert Line.through([1.0], [1.0], room=[math.inf]).scales == (1.0,)


def test_the_room_of_what_does_not_move_does_not_count() -> None:
    assert Line.through([1.0, 2.0], [0.0, 1e-300], room=[1e-3, 1e200]).reach == math.inf


def test_scales_are_positive_and_finite_whatever_the_direction() -> None:
    assert Line.through([0.0, 5e-324], [0.125, 2.0]).scales == (0.5,)  # half the smallest number is no length
    assert Line.through([1.0], [5e-324]).scales == (np.finfo(np.float64).max,)
