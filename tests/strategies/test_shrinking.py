"""Failures shrink to cases that can be read: few rows and classes, short decimals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradcheck import strategies as gst


def _show(case: Any) -> tuple[list[list[float]], list[int]]:
    return case.z.tolist(), case.y.tolist()


@pytest.mark.parametrize("seed", range(3))
class TestMinimal:
    def test_the_simplest_case_is_one_row_of_two_zeros(self, minimal: Any, seed: int) -> None:
        assert _show(minimal(gst.softmax_nll(), seed=seed)) == ([[0.0, 0.0]], [0])
        assert _show(minimal(gst.softmax_nll(), lambda case: case.z.shape[1] >= 2, seed)) == ([[0.0, 0.0]], [0])

    def test_a_magnitude_shrinks_to_one_row_of_round_numbers(self, minimal: Any, seed: int) -> None:
        z = minimal(gst.softmax_nll(), lambda case: (np.abs(case.z) > 100).any(), seed).z
        assert len(z) == 1
        assert z.shape[1] <= 2
        assert set(np.abs(z).flat) <= {0.0, 120.0, 600.0, 751.0, 1000.0, 1e6}

    def test_a_mean_over_two_rows_shrinks_to_two_rows(self, minimal: Any, seed: int) -> None:
        z, y = _show(minimal(gst.softmax_nll(), lambda case: len(case.z) > 1 and case.z[1].any(), seed))
        assert (len(z), len(y)) == (2, 2)
        assert max(value for row in z for value in row) in (0.0, 0.5, 1.0)

    def test_many_rows_shrink_to_zeros(self, minimal: Any, seed: int) -> None:
        z, y = _show(minimal(gst.softmax_nll(), lambda case: len(case.z) > 8, seed))
        assert len(y) == len(z) <= 17
        assert all(len(row) <= 2 and not any(row) for row in z)
        assert not any(y)

    def test_a_sum_of_logits_shrinks_to_short_decimals(self, minimal: Any, seed: int) -> None:
        z = minimal(gst.softmax_nll(regimes=["ordinary"]), lambda case: (case.z.sum(axis=1) > 3).any(), seed).z
        assert z.shape[0] <= 3
        assert z.shape[1] == 2
        assert (z * 4 == np.rint(z * 4)).all()

    def test_full_precision_stays_only_where_it_matters(self, minimal: Any, seed: int) -> None:
        z = minimal(gst.softmax_nll(regimes=["ordinary"]), lambda case: (case.z * 64 % 1 != 0).any(), seed).z
        assert z.shape == (1, 2)
        assert np.count_nonzero(z) == 1

    def test_labels_shrink_to_the_first_that_will_do(self, minimal: Any, seed: int) -> None:
        case = minimal(gst.softmax_nll(), lambda case: case.y.any(), seed)
        assert _show(case) == ([[0.0, 0.0]], [1])
        # Alone, they may be the first and the last.
        assert minimal(gst.labels(classes=10, rows=(0, 5)), lambda y: y.any(), seed).tolist() in ([1], [0, 9])

    def test_weights_shrink_to_one_that_differs(self, minimal: Any, seed: int) -> None:
        case = minimal(gst.softmax_nll(weights=True), lambda case: np.ptp(case.weights) > 0, seed)
        assert (*_show(case), case.weights.tolist()) == ([[0.0, 0.0]], [0], [1.0, 2.0])

    def test_masks_shrink_to_one(self, minimal: Any, seed: int) -> None:
        case = minimal(gst.softmax_nll(masks=True), lambda case: np.isneginf(case.z).any(), seed)
        assert _show(case) == ([[0.0, -np.inf]], [0])

    def test_soft_labels_shrink_to_halves(self, minimal: Any, seed: int) -> None:
        case = minimal(gst.softmax_nll(labels="soft"), lambda case: ((case.y > 0).sum(axis=1) > 1).any(), seed)
        assert case.z.tolist() == [[0.0, 0.0]]
        assert case.y.tolist() == [[0.5, 0.5]]

    def test_ignored_rows_shrink_to_one_beside_another(self, minimal: Any, seed: int) -> None:
        mixed = gst.softmax_nll(ignore_index=-100)
        case = minimal(mixed, lambda case: len(set((case.y == -100).tolist())) == 2, seed)
        assert case.z.tolist() == [[0.0, 0.0], [0.0, 0.0]]
        assert sorted(case.y.tolist()) == [-100, 0]

    def test_sequences_shrink_to_two_of_two(self, minimal: Any, seed: int) -> None:
        cases = gst.softmax_nll(sequences=True)
        case = minimal(cases, lambda case: case.z.shape[0] > 1 and case.z.shape[1] > 1, seed)
        assert not case.z.any()
        assert case.z.shape[:2] == (2, 2)

    def test_a_tail_shrinks_to_one_entry_past_a_block(self, minimal: Any, seed: int) -> None:
        cases = gst.softmax_nll(around=16)
        assert minimal(cases, lambda case: case.z.shape[1] > 16, seed).z.tolist() == [[0.0] * 17]
        z = minimal(cases, lambda case: len(case.z) > 16, seed).z
        assert len(z) == 17
        assert not z.any()

    def test_layouts_shrink_to_the_plain_one(self, minimal: Any, seed: int) -> None:
        assert minimal(gst.layouts(np.ones((2, 3))), seed=seed).flags.c_contiguous
        assert minimal(gst.layouts(np.ones((2, 3))), lambda a: not a.flags.writeable, seed).flags.c_contiguous

    def test_arguments_shrink_together(self, minimal: Any, seed: int) -> None:
        z, _ = minimal(gst.arguments(gst.logits(), gst.labels()), lambda args: args[1].any(), seed)
        assert len(z) <= 2
        assert z.shape[1] <= 3
        assert not z.any()
