"""The benchmark of memory: at a small size it holds its bounds, and it can miss them."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = ["--classes", "4096", "--runs", "1"]


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    yield importlib.import_module("memory")
    sys.modules.pop("memory", None)


def test_it_measures_and_holds_its_bounds(
    memory: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert memory.main([*SMALL, "--json", str(tmp_path / "m.json")]) == 0
    printed = capsys.readouterr().out
    assert "MISSED" not in printed
    assert "K 4096" in printed
    rows = json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))["bytes"]
    assert [row["name"] for row in rows[::2]] == ["fused", "streaming", "linear, fused", "fused_linear"] * 2
    assert all((row["bound"] is None) == ("fused" in row["name"] and row["name"] != "fused_linear") for row in rows)
    rest = {(row["name"], row["dtype"], row["passed"]): row["rest"] for row in rows}
    for dtype in ("float32", "float64"):
        for passed in ("forward", "pullback"):
            logits = memory.ROWS * 4096 * np.dtype(dtype).itemsize
            assert rest["fused", dtype, passed] >= logits > rest["streaming", dtype, passed]


def test_a_form_that_holds_more_misses(
    memory: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The plain form, held to the bounds of the one that streams."""

    def subjects(classes: int, dtype: str) -> Iterator[object]:
        plain, streaming, *_ = forms(classes, dtype)
        yield replace(plain, forward=streaming.forward, pullback=streaming.pullback)

    forms = memory.subjects
    monkeypatch.setattr(memory, "subjects", subjects)
    assert memory.main(SMALL) == 1
    assert capsys.readouterr().out.count("MISSED") == 4


@pytest.mark.parametrize("wrong", [["--runs", "0"], ["--classes", "0"]])
def test_sizes_are_checked(memory: ModuleType, wrong: list[str]) -> None:
    with pytest.raises(SystemExit):
        memory.main(wrong)
