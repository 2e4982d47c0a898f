"""What workers hand to the controller, which lays it out as if all had been checked in one process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradcheck
from gradcheck.plugin.options import Options
from gradcheck.plugin.sections import Sections
from gradcheck.report import Report, html, section, v_curve

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

W = np.array([1.0, -2.0])


@pytest.fixture(scope="module")
def reports() -> list[Report]:
    """Check a right gradient, two that are wrong by entries, and one that breaks a law, which has no pictures."""

    def loss(w: Any) -> Any:
        return (w * w).sum()

    gradients = {
        "right": lambda w: 2 * w,
        "wrong": lambda w: -2 * w,
        "half": lambda w: +w,
        "flat": lambda w: np.zeros(3),
    }
    rules = [gradcheck.from_loss(loss, gradient, name=name) for name, gradient in gradients.items()]
    return [gradcheck.examine(rule, W) for rule in rules]


def _sections(folder: Path, name: str) -> Sections:
    return Sections(Options(folder / f"{name}.json", folder / f"{name}.html", False, False, None, (), False))


def _written(folder: Path, name: str, sections: Sections) -> list[str]:
    known = [(f"test_{k}.py::test", name) for k, name in enumerate(("right", "wrong", "half", "flat"))]
    lines = [*sections.write_json(known), *sections.write_html(known)]
    paths = [folder / f"{name}.json", folder / f"{name}.html"]
    assert lines == [f"wrote {path}" for path in paths]
    return [path.read_text(encoding="utf-8") for path in paths]


def _workers(folder: Path, reports: Sequence[Report]) -> Iterator[Sections]:
    """Have the reports in turn checked by one worker and by another."""
    for first in (0, 1):
        worker = _sections(folder, "worker")
        for k in range(first, len(reports), 2):
            worker.add(f"test_{k}.py::test", [reports[k]])
        yield worker


@pytest.mark.parametrize("pictured", [1, 2, 12])
def test_it_does_not_matter_who_checked(
    reports: list[Report], pictured: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (html, section):
        monkeypatch.setattr(module, "PICTURED", pictured)
    monkeypatch.setattr(v_curve, "_PATIENCE", 1e9)  # a picture has fewer points where a forward is slow
    alone, controller = _sections(tmp_path, "alone"), _sections(tmp_path, "controller")
    for k, report in enumerate(reports):
        alone.add(f"test_{k}.py::test", [report])
    for worker in _workers(tmp_path, reports):
        controller.unpack(worker.packed())
    written = _written(tmp_path, "alone", alone)
    assert _written(tmp_path, "controller", controller) == written
    assert written[1].count("<svg") == {1: 2, 2: 4, 12: 6}[pictured], "of failures first; a broken law has none"
    content = json.loads(written[0])
    assert [one["name"] for one in content["reports"]] == ["right", "wrong", "half", "flat"]
    assert content["not_run"] == []


def test_what_a_dead_worker_knew_is_named(reports: list[Report], tmp_path: Path) -> None:
    controller = _sections(tmp_path, "controller")
    first, _ = _workers(tmp_path, reports)
    controller.unpack(first.packed())
    content = json.loads(_written(tmp_path, "controller", controller)[0])
    assert [one["test"] for one in content["reports"]] == ["test_0.py::test", "test_2.py::test"]
    assert [one["name"] for one in content["not_run"]] == ["test_1.py::test wrong", "test_3.py::test flat"]
    assert {one["why"] for one in content["not_run"]} == {
        "the worker of pytest-xdist that checked it did not hand its report over"
    }


def test_nothing_is_kept_where_no_file_is_wanted(reports: list[Report]) -> None:
    sections = Sections(Options(None, None, True, False, None, (), False))
    sections.add("test_0.py::test", reports)
    assert sections.packed() == "[]"
    assert list(sections.write_json([])) == list(sections.write_html([])) == []


def test_of_two_tries_the_last_counts(reports: list[Report], tmp_path: Path) -> None:
    sections = _sections(tmp_path, "again")
    wrong = reports[1]
    right = gradcheck.examine(gradcheck.from_loss(lambda w: (w * w).sum(), lambda w: 2 * w, name="wrong"), W)
    sections.add("test_1.py::test", [wrong])
    sections.add("test_1.py::test", [right])
    (line,) = sections.write_json([])
    (report,) = json.loads(Path(line.removeprefix("wrote ")).read_text(encoding="utf-8"))["reports"]
    assert report["outcome"] == "PASS"
