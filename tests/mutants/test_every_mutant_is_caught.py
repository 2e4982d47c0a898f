from __future__ import annotations

import pytest

import gradcheck
from gradcheck.errors import GradientMismatch

from .corpus import WRONG
from .specimen import Specimen


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("specimen", WRONG, ids=lambda specimen: f"{specimen.family}/{specimen.name}")
def test_wrong_gradient_is_called_a_mismatch(specimen: Specimen, seed: int) -> None:
    with pytest.raises(GradientMismatch):
        gradcheck.verify(specimen.make(), specimen.cases(), examples=200, seed=seed)
