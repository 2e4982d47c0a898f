from __future__ import annotations

from pathlib import Path

import pytest

import gradcheck

from .corpus import RIGHT
from .specimen import Specimen


@pytest.mark.sweep
@pytest.mark.parametrize("examples", [100, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("specimen", RIGHT, ids=lambda specimen: specimen.name)
def test_right_gradient_passes(
    specimen: Specimen, examples: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # failures are kept under the working directory
    gradcheck.verify(specimen.make(), specimen.cases(), examples=examples, seed=0)
