"""An estimate is a value with an error, and says so when it has none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradcheck.errors import InvalidArgument
from gradcheck.oracles.differences.estimate import Estimate


def test_known_needs_every_error() -> None:
    value = np.array([1.0, 2.0])
    assert Estimate("some oracle", value, np.array([0.0, 1e-9])).known
    assert not Estimate("some oracle", value, np.array([0.0, math.nan])).known
    assert not Estimate("some oracle", value, np.array([0.0, math.inf])).known


def test_unknown_keeps_the_reason() -> None:
    estimate = Estimate.unknown("some oracle", "it was closed", evaluations=3)
    assert not estimate.known
    assert math.isnan(estimate.error)
    assert (estimate.detail, estimate.evaluations, estimate.value.shape) == ("it was closed", 3, ())


def test_shapes_have_to_agree() -> None:
    with pytest.raises(InvalidArgument, match=r"some oracle: the error has shape \(2,\) where the value has \(3,\)"):
        Estimate("some oracle", np.zeros(3), np.zeros(2))


def test_a_negative_error_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"an error of -0\.5 bounds nothing"):
        Estimate("some oracle", np.zeros(2), np.array([1.0, -0.5]))
