"""A right formula that loses digits passes and is called lossy; a mistake of the same size fails."""

from __future__ import annotations

from typing import Any

import numpy as np

import gradcheck
from gradcheck import strategies as gst
from gradcheck.verdict import Outcome

OFFSET = np.array([[3.234375, -9.96875, -8.5], [8.625, 0.78125, -1.0]]) + 1e6
Y = np.array([1, 0])


def nll(z: Any, y: Any) -> Any:
    return -(z - np.logaddexp.reduce(z, axis=1, keepdims=True))[np.arange(len(y)), y].mean()


def grad(z: Any, y: Any) -> Any:
    a = np.exp(z - np.logaddexp.reduce(z, axis=1, keepdims=True))  # the softmax, to within 1e6 units of round-off
    a[np.arange(len(y)), y] -= 1
    return a / len(y)


def test_digits_lost_to_an_offset_are_rounding() -> None:
    report = gradcheck.examine(gradcheck.from_loss(nll, grad), OFFSET, Y)
    assert report
    assert report.verdict.grade == "lossy"
    assert any("loses digits" in note for note in report.verdict.notes)


def test_a_mistake_of_that_size_is_none() -> None:
    """A scale error of 2e-10 hides below what 1e6 units of round-off explain, but it does not scatter."""
    wrong = gradcheck.from_loss(nll, lambda z, y: grad(z, y) * (1 + 2e-9))
    assert gradcheck.examine(wrong, OFFSET, Y).outcome is Outcome.FAIL


def test_lower_precision_inside_is_not_explained() -> None:
    wrong = gradcheck.from_loss(nll, lambda z, y: grad(z.astype(np.float32), y).astype(np.float64))
    assert gradcheck.examine(wrong, OFFSET - 1e6, Y).outcome is Outcome.FAIL


def test_it_passes_over_all_regimes() -> None:
    report = gradcheck.verify(gradcheck.from_loss(nll, grad), gst.softmax_nll(rows=(1, 32)), examples=200, seed=1)
    assert report
