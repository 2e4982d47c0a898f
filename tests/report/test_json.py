"""The JSON of a report: what the page about it lists, and nothing that a parser stumbles over."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import gradcheck
from gradcheck.catalogue import entries
from gradcheck.errors import InvalidArgument
from gradcheck.laws import Breach
from gradcheck.mistakes import Evidence, Finding
from gradcheck.report import Diagnosis, Report, Tally
from gradcheck.report.as_json import part_as_dict, report_as_dict, suite_of, write_json
from gradcheck.rule import Point
from gradcheck.verdict import Discrepancy, Outcome

MakeReport = Callable[..., Report]
Compared = Callable[..., Discrepancy]
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "report.md"

FINDING = Finding(
    "sign",
    "every entry has the wrong sign",
    "negate it",
    (Evidence("the failing point", 3e12, 0.1),),
    Point((np.array([0.5, -1.0]),), {"alpha": 2.0}, np.ones(())),
    ("factor",),
    ("roll",),
    "the failing point",
)
TALLY = Tally(
    3, "entry-wise", 1.5, 1e-13, {"ties": 2, "huge": 0}, {"a note": 1}, {"pure": "held"}, {"ties": 1.5}, {"ties": 0.2}
)


@pytest.fixture
def full(make_report: MakeReport, compared: Compared) -> Report:
    """Make a report in which every field holds something."""
    report = make_report(compared([[1.0, 2.0]], [[1.0, -2.0]]), breach=Breach("pure", "it was not"), notes=("n",))
    return replace(report, tally=TALLY, diagnosed=Diagnosis((FINDING,), "", ""), saved=Path("kept.npz"))


def paths(value: Any, prefix: str = "") -> Iterator[str]:
    """Name every field as the page does: ``a.b`` in an object, ``a[]`` for the items of a list."""
    if isinstance(value, dict):
        for key, part in value.items():
            # what stands below these is named by the rule and its author
            inside = () if key in ("laws", "kwargs") else paths(part, f"{prefix}{key}.")
            yield from (f"{prefix}{key}", *inside) if not isinstance(part, list) else inside
    elif isinstance(value, list):
        yield f"{prefix[:-1]}[]"
        for part in value:
            yield from paths(part, f"{prefix[:-1]}[].")


def documented(page: str) -> set[str]:
    rows = re.findall(r"^\| (`[^|]*`) \|", page.split("## The fields")[1], flags=re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_the_page_lists_every_field(full: Report) -> None:
    listed = documented(PAGE.read_text(encoding="utf-8"))
    suite = suite_of([{**part_as_dict(full), "test": "test_mine.py::test_it"}], {"mine": "it raised"})
    written = {p.removeprefix("reports[].") for p in paths(suite)}
    assert written - listed == set()
    assert listed - written == set()
    assert set(paths(report_as_dict(full))) <= listed


def test_a_field_that_is_not_listed_is_seen() -> None:
    assert set(paths({"a": {"b": [{"c": 1}]}, "d": []})) == {"a", "a.b[]", "a.b[].c", "d[]"}
    assert documented("## The fields\n\n| `a`, `a.b[]` | text |\n") == {"a", "a.b[]"}


def test_what_is_read_back_is_what_was_said(full: Report, tmp_path: Path) -> None:
    path = write_json([full], tmp_path / "report.json", {"other": "why"})
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["schema"] == 1
    assert content["not_run"] == [{"name": "other", "why": "why"}]
    report = content["reports"][0]
    assert (report["outcome"], report["saved"], report["law"]["name"]) == ("FAIL", "kept.npz", "pure")
    assert report["replay"] == "gradcheck replay kept.npz"
    assert report["findings"][0]["point"] == {
        "args": ["np.array([0.5, -1.0])"],
        "kwargs": {"alpha": "2.0"},
        "cotangent": "np.array(1.0)",
    }
    entry = report["arrays"][0]["entries"][0]
    assert (entry["index"], entry["analytic"], entry["reference"]) == ([0, 1], 2.0, -2.0)
    assert entry["over_allowance"] == pytest.approx(4e12)
    assert report["arrays"][0]["grades"]["wrong"] == 1
    assert report["tally"]["regimes"][1] == {"name": "huge", "examples": 0, "worst_ulps": None, "margin": None}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("value", "text"), [(np.nan, "NaN"), (np.inf, "Infinity"), (-np.inf, "-Infinity")])
def test_what_is_not_finite_is_a_string(
    make_report: MakeReport, compared: Compared, tmp_path: Path, value: float, text: str
) -> None:
    path = write_json([make_report(compared([value], [1.0]))], tmp_path / "report.json")

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is no JSON")

    report = json.loads(path.read_text(), parse_constant=refuse)["reports"][0]
    entry = report["arrays"][0]["entries"][0]
    assert (entry["analytic"], entry["over_allowance"]) == (text, "Infinity")
    assert np.array_equal(float(text), value, equal_nan=True)


@pytest.mark.parametrize("name", ["bfloat16", "float16", "float32"])
def test_numbers_of_narrow_types_are_the_ones_they_hold(name: str, tmp_path: Path) -> None:
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    x, too_large = np.array([0.3, 1.7, -2.6], dtype), np.array([1, 1, 1.5], dtype)

    def grad(w: Any) -> Any:
        return 3 * w**2 * too_large

    report = gradcheck.examine(gradcheck.from_loss(lambda w: np.sum(w**3), grad, name="cube"), x)
    content = json.loads(write_json([report], tmp_path / "r.json").read_text(encoding="utf-8"))["reports"][0]
    array = content["arrays"][0]
    entry = array["entries"][0]
    assert (content["outcome"], array["precision"], entry["index"]) == ("FAIL", name, [2])
    # every one of them is a float64 too, and nothing is rounded on the way
    assert entry["analytic"] == float(grad(x)[2])
    assert entry["reference"] == pytest.approx(3 * float(x[2]) ** 2, rel=1e-15)
    assert entry["over_allowance"] == pytest.approx(abs(entry["analytic"] - entry["reference"]) / entry["allowed"])
    # and what is to be pasted makes the same bits
    code = re.search(r"np\.array\(\[.*?\], dtype=\S+?\)", content["reproduction"])
    assert code
    assert eval(code[0], {"np": np, "ml_dtypes": ml_dtypes}).tobytes() == x.tobytes()


def test_texts_are_kept_and_can_be_written(make_report: MakeReport, tmp_path: Path) -> None:
    path = write_json([make_report(name="héllo \u2028 \udc80", reason='"</script>\x00')], tmp_path / "report.json")
    report = json.loads(path.read_bytes().decode("ascii"))["reports"][0]
    assert report["name"] == "héllo \u2028 \\udc80"
    assert report["reason"] == '"</script>\x00'


def test_large_arrays_are_not_written_out(full: Report, compared: Compared) -> None:
    large = replace(FINDING, point=Point((np.zeros((20, 30)), [np.ones(100)]), {}, None))
    report = replace(full, diagnosed=Diagnosis((large,)), verdict=replace(
        full.verdict, discrepancies=(compared(np.zeros((50, 50)), np.ones((50, 50))),)
    ))  # fmt: skip
    content = report_as_dict(report)
    assert content["findings"][0]["point"]["args"] == ["float64(20, 30)", "(float64(100,))"]
    assert len(content["arrays"][0]["entries"]) == 5
    assert len(json.dumps(content)) < 10_000


def test_entries_nearest_to_wrong_stand_for_a_pass(make_report: MakeReport, compared: Compared) -> None:
    array = compared([1.0, 2.0 + 5e-13, 3.0], [1.0, 2.0, 3.0])
    content = report_as_dict(make_report(array, outcome=Outcome.PASS))
    assert content["arrays"][0]["entries"][0]["index"] == [1]
    assert content["arrays"][0]["entries"][0]["grade"] == "entry_wise"
    assert content["reproduction"] is None
    assert content["findings"] == []


def test_arrays_without_entries(make_report: MakeReport, compared: Compared) -> None:
    content = report_as_dict(make_report(compared(np.zeros((0, 3)), np.zeros((0, 3))), outcome=Outcome.PASS))
    assert content["arrays"][0]["entries"] == []
    assert content["arrays"][0]["allowed"] is None
    assert content["would_have_seen"] == "Infinity"


def test_a_run_has_the_worst_of_each_regime() -> None:
    entry = next(iter(entries()))
    tally = report_as_dict(gradcheck.verify(entry.rule, entry.cases("float64"), examples=10, seed=0))["tally"]
    assert tally["examples"] == 10
    known = [regime for regime in tally["regimes"] if regime["worst_ulps"] is not None]
    assert known
    assert all(regime["examples"] and 0 <= regime["margin"] < 1 for regime in known)


def test_the_folder_must_be_there(full: Report, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"the folder .*nowhere does not exist; create it first"):
        write_json([full], tmp_path / "nowhere" / "report.json")
    with pytest.raises(InvalidArgument, match="is a folder; give the name of a file in it"):
        write_json([full], tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidArgument, match="is a file, not a folder"):
        write_json([full], tmp_path / "file" / "report.json")


def test_a_failed_write_leaves_what_was_there(full: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_json([full], tmp_path / "report.json")
    before = path.read_bytes()

    def full_disk(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_json([], path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
