"""The benchmark of false alarms: right gradients break no law, and what breaks one is named."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from gradcheck.laws import LAWS, Breach, Subject

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPT = BENCHMARKS / "law_false_alarms.py"

Python = Callable[..., "subprocess.CompletedProcess[str]"]


def test_right_gradients_break_no_law(python: Python, tmp_path: Path) -> None:
    """Its bounds are on no time, so they hold on a busy machine."""
    ran = python(str(SCRIPT), "--examples", "1", "--processes", "1", "--json", "out.json", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "MISSED" not in ran.stdout
    conditions, rows = json.loads((tmp_path / "out.json").read_text(encoding="utf-8")).values()
    machine, head, *lines = ran.stdout.splitlines()
    assert machine == ", ".join(f"{name} {value}" for name, value in conditions.items())
    assert {"machine", "python", "gradcheck", "numpy", "jax", "hypothesis"} < set(conditions)
    assert head.split()[:3] == ["law", "asked", "applied"]
    assert [row["law"] for row in rows] == list(LAWS)
    assert all(line.startswith(name) for line, name in zip(lines, LAWS, strict=True))
    # one example of each specimen, and some that every law applies to
    assert {str(row["asked"]) for row in rows} == {conditions["specimens"]}
    assert all(row["applied"] > 0 for row in rows)


@pytest.fixture
def alarms(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The benchmark with one right specimen for a corpus, which it examines in this process."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    module = importlib.import_module("law_false_alarms")
    textbook = next(specimen for specimen in module.right() if specimen.name == "textbook")
    monkeypatch.setattr(module, "right", lambda: (textbook,))
    monkeypatch.setattr(module, "ProcessPoolExecutor", lambda *_, **__: nullcontext(SimpleNamespace(map=map)))
    yield module
    sys.modules.pop("law_false_alarms", None)


def law(broken: Callable[[Subject], Breach | None]) -> SimpleNamespace:
    return SimpleNamespace(applies=lambda _: "", broken=broken)


def uses(share: float) -> Callable[[Subject], None]:
    """Make a law that holds, and has used this share of its tolerance."""
    return lambda subject: subject.ratios.append(share)


def test_a_law_that_accuses_a_right_gradient_is_named_with_the_specimen(
    alarms: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mistaken = {"all zero": law(lambda _: Breach("all zero", "the gradient is not 0")), "any": law(uses(0.5))}
    monkeypatch.setattr(alarms, "LAWS", mistaken)
    assert alarms.main(["--examples", "3"]) == 1
    _, _, accusing, accused, *_, holding = capsys.readouterr().out.splitlines()  # arrays take several lines
    assert accusing.split() == ["all", "zero", "3", "3", "3", "0.000", "MISSED"]
    assert accused.startswith("    textbook: the gradient is not 0; at (array(")
    assert holding.split() == ["any", "3", "3", "0", "0.500"]


def test_a_law_that_leaves_too_little_of_its_tolerance_misses(
    alarms: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(alarms, "LAWS", {"tight": law(uses(0.75))})
    assert alarms.main(["--examples", "1"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].split() == ["tight", "1", "1", "0", "0.750", "MISSED"]


@pytest.mark.parametrize("wrong", [["--examples", "0"], ["--processes", "0"]])
def test_sizes_are_checked(alarms: ModuleType, wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        alarms.main(wrong)
    assert "--examples and --processes must be at least 1" in capsys.readouterr().err
