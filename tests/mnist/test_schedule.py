from __future__ import annotations

from math import cos, pi

import pytest

from gradcheck.mnist.schedule import SCHEDULES, Schedule, constant, cosine, step_decay


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("total", [1, 2, 3, 20, 21, 100, 4690])
def test_every_step_counts_and_none_exceeds_the_rate(schedule: Schedule, total: int) -> None:
    factors = [schedule(step, total) for step in range(total)]
    assert all(0 < factor <= 1 for factor in factors)
    assert max(factors) == 1


def test_constant_is_1_throughout() -> None:
    assert {constant(step, 10) for step in range(10)} == {1.0}


def test_cosine_rises_to_1_in_a_twentieth_of_the_run_and_ends_near_0() -> None:
    assert [cosine(step, 100) for step in range(6)] == [0.2, 0.4, 0.6, 0.8, 1.0, 1.0]
    assert cosine(99, 100) == (1 + cos(pi * 94 / 95)) / 2 < 0.001
    falling = [cosine(step, 100) for step in range(5, 100)]
    assert falling == sorted(falling, reverse=True)


def test_step_decay_drops_at_a_half_and_at_three_quarters() -> None:
    assert [step_decay(step, 100) for step in (0, 49, 50, 74, 75, 99)] == [1.0, 1.0, 0.1, 0.1, 0.01, 0.01]
