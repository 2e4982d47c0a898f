"""The law of layouts where an answer is not even finite in one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradcheck

W = np.arange(1.0, 7.0).reshape(2, 3)


def cubes(*, lost: Any) -> gradcheck.Rule:
    """Answer right in C order, and in any other but for one entry."""

    def gradient(w: Any) -> Any:
        due = 3 * w**2
        if not w.flags.c_contiguous:
            due[0, 1] = due[0, 1] if lost is None else lost
        return due

    return gradcheck.from_loss(lambda w: np.sum(w**3), gradient, name="cubes")


@pytest.mark.parametrize("lost", [np.nan, np.inf])
def test_an_answer_that_is_lost_in_another_layout_breaks_the_law(lost: float) -> None:
    verdict = gradcheck.examine(cubes(lost=lost), W).verdict
    assert verdict.breach is not None
    assert verdict.breach.law == "layouts"
    assert f"w[0, 1] is {lost} where 12 is due" in verdict.reason


def test_it_is_seen_by_points_that_share_out_the_layouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where the failure is kept
    with pytest.raises(gradcheck.GradientMismatch, match="another where w lies in memory"):
        gradcheck.verify(cubes(lost=np.nan), like=(W,), examples=20, seed=0)
    assert gradcheck.verify(cubes(lost=None), like=(W,), examples=20, seed=0)
