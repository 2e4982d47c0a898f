from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import Phase, settings

import gradcheck
from gradcheck.errors import GradientMismatch

from .corpus import WRONG
from .specimen import Specimen

# The question is whether a mutant is found, so nothing is shrunk (nine tenths of the time) and nothing remembered.
ONLY_SEARCH = settings(phases=[Phase.generate], database=None)

SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3, 4))]


@pytest.mark.sweep
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("specimen", WRONG, ids=lambda specimen: f"{specimen.family}/{specimen.name}")
def test_wrong_gradient_is_called_a_mismatch(
    specimen: Specimen, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # failures are kept under the working directory
    with pytest.raises(GradientMismatch):
        gradcheck.verify(specimen.make(), specimen.cases(), examples=100, seed=seed, settings=ONLY_SEARCH)
