"""What a report says of a pass, a failure and what nobody can decide, as it is printed."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import gradcheck

X = np.array([[0.5, -1.25, 2.0], [1.0, 0.25, -0.75]])


def _squares(x: Any) -> Any:
    return np.sum(x**2)


def _staircase(x: Any) -> Any:
    """Say what no oracle can: the value is noise at every step, however small."""
    return float(np.sum(np.sin(1e16 * np.asarray(x))))


RULES = {
    "PASS": gradcheck.from_loss(_squares, lambda x: 2 * x, name="squares"),
    "FAIL": gradcheck.from_loss(_squares, lambda x: 1.0 * x, name="squares"),
    "FAIL by a law": gradcheck.from_loss(_squares, lambda x: x[0], name="squares"),
    "UNDECIDED": gradcheck.from_loss(_staircase, lambda x: 0 * x, name="staircase"),
}


@pytest.mark.parametrize("name", RULES)
def test_what_is_printed(snapshot: object, name: str) -> None:
    report = gradcheck.examine(RULES[name], X)
    assert report.outcome.value == name.split()[0]
    # figures differ by platform in their last digits, and so does where a line is broken
    told = re.sub(r"\s+", " ", re.sub(r"-?\d+\.?\d*e[+-]\d+|-?\d\.\d+", "(a number)", str(report)))
    assert told.partition("; autodiff")[0] == snapshot  # beyond that, it is JAX's own words
