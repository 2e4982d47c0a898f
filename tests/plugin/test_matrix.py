"""The same suite in each way that pytest is run, and what it leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

Run = Callable[..., pytest.RunResult]

# Half of the squares: a gradient that is right, one of the wrong sign, one whose check raises and is meant to. What is
# made in a function, and names of all kinds, are no harder to hand from a worker to the controller.
SUITE = """
    import unittest
    import numpy as np
    import pytest
    from hypothesis import given, settings
    import gradcheck
    from gradcheck import strategies as gst

    def half(w): return 0.5 * (w * w).sum()
    right = gradcheck.from_loss(half, lambda w: +w, name="here.right")
    wrong = gradcheck.from_loss(half, lambda w: -w, name="here.wrong")
    hostile = gradcheck.from_loss(lambda w, f: f(w).sum(), lambda w, f: 2 * w, name="<b>\\u202e&\\"\\udc80")
    w = np.array([1.0, -2.0, 3.0])

    @pytest.mark.gradcheck
    @settings(max_examples=7, deadline=None, derandomize=True, database=None)
    @given(gst.arguments(gst.logits(classes=3, rows=1, regimes=["ordinary", "ties"])))
    def test_drawn(case):
        gradcheck.check(right, *case)

    def test_wrong():
        gradcheck.check(right, w)
        gradcheck.check(wrong, w)

    def test_meant_to_fail():
        with pytest.raises(gradcheck.GradientMismatch):
            gradcheck.check(wrong, w)

    @pytest.mark.xfail(raises=gradcheck.GradientMismatch, strict=True)
    def test_expected_to_fail():
        gradcheck.check(wrong, w)

    class TestOld(unittest.TestCase):
        def test_method(self):
            assert gradcheck.examine(right, w)

    @pytest.mark.parametrize("f", [lambda w: w**2], ids=["<script>]@x"])
    def test_hostile(f):
        gradcheck.check(hostile, w, f)

    def test_no_gradient():
        pass
"""
# Pictures have fewer points where a forward is slow, so on a busy machine two are not the same.
PATIENT = "from gradcheck.report import v_curve\n\nv_curve._PATIENCE = 1e9\n"
RULES = {
    "test_suite.py::TestOld::test_method": {"here.right": "PASS"},
    "test_suite.py::test_drawn": {"here.right": "PASS"},
    "test_suite.py::test_expected_to_fail": {"here.wrong": "FAIL"},
    "test_suite.py::test_hostile[<script>]@x]": {'<b>\u202e&"\\udc80': "PASS"},
    "test_suite.py::test_meant_to_fail": {"here.wrong": "FAIL"},
    "test_suite.py::test_wrong": {"here.right": "PASS", "here.wrong": "FAIL"},
}


def _by_test(path: Path) -> dict[str, dict[str, Any]]:
    """Read the JSON report: the reports by test and rule."""
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["not_run"] == []
    found: dict[str, dict[str, Any]] = {}
    for report in content["reports"]:
        found.setdefault(report["test"], {})[report["name"]] = report
    return found


def _properties(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Read JUnit's XML: the records by the name of the test."""
    cases = ET.parse(path).getroot().iter("testcase")
    return {
        case.attrib["name"]: [
            json.loads(node.attrib["value"]) for node in case.iter("property") if node.attrib["name"] == "gradcheck"
        ]
        for case in cases
    }


def _checked(pytester: pytest.Pytester, result: pytest.RunResult) -> dict[str, dict[str, Any]]:
    """See that a run of the suite said and wrote what it must, and give its JSON."""
    result.assert_outcomes(passed=5, failed=1, xfailed=1)
    (kept,) = (path.name for path in pytester.path.glob(".gradcheck/failures/*"))
    result.stdout.fnmatch_lines(
        [
            "*= gradcheck =*",
            "outcome  points  grade       worst ulp  of allowed     worst in  gradient",
            "FAIL     1  *  here.wrong in test_suite.py::test_wrong",
            "PASS     7       entry-wise  0          0.125 or less            here.right in test_suite.py::test_drawn",
            "(of allowed: the largest error as a share of what rounding explains; above 1 is wrong)",
            "FAIL here.wrong in test_suite.py::test_wrong: *",
            f"  gradcheck replay .gradcheck/failures/{kept}",
            f"wrote {pytester.path / 'out.json'}",
        ],
        consecutive=False,
    )
    ended = result.outlines[next(i for i, line in enumerate(result.outlines) if line.startswith("outcome ")) :]
    assert sum(line.startswith("FAIL here.wrong in") for line in ended) == 1, "the failures that are meant are not told"
    records = _properties(pytester.path / "junit.xml")
    assert records["test_no_gradient"] == []
    (drawn,) = records["test_drawn"]
    assert (drawn["rule"], drawn["examples"], drawn["outcome"]) == ("here.right", 7, "PASS")
    assert drawn["margins"].keys() >= {"any input", "ordinary", "ties"}, "regimes of cases that came unpacked"
    assert [record["saved"] for record in records["test_wrong"]] == ["", f".gradcheck/failures/{kept}"]
    reports = _by_test(pytester.path / "out.json")
    assert {test: {rule: r["outcome"] for rule, r in rules.items()} for test, rules in reports.items()} == RULES
    return reports


OPTIONS = (
    "--strict-markers", "--strict-config", "-W", "error", "--junitxml=junit.xml", "--gradcheck-json=out.json",
    "--gradcheck-html=out.html", "--gradcheck-summary",
)  # fmt: skip


def test_plain_and_on_workers(pytester: pytest.Pytester, run: Run) -> None:
    pytest.importorskip("xdist")
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    pytester.makepyfile(test_suite=SUITE, conftest=PATIENT)
    files = [pytester.path / name for name in ("out.json", "out.html")]
    alone = _checked(pytester, run(*OPTIONS))
    before = [path.read_text(encoding="utf-8") for path in files]
    spread = _checked(pytester, run(*OPTIONS, "-n", "2"))
    assert list(spread) == list(alone) == sorted(alone), "in an order that does not depend on which worker is quicker"
    assert alone["test_suite.py::test_drawn"]["here.right"]["tally"]["examples"] == 7
    assert [path.read_text(encoding="utf-8") for path in files] == before, "to the letter, pictures too"
    page = before[1]
    assert page.count("Finite differences against the step:") == 7, "in each of the reports"
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "<script>" not in page


def test_chosen_and_again(pytester: pytest.Pytester, run_here: Run) -> None:
    pytester.makepyfile(test_suite=SUITE)
    result = run_here("-k", "wrong or gradient", "--gradcheck-summary")
    result.assert_outcomes(passed=1, failed=1, deselected=5)
    result.stdout.no_fnmatch_line("*test_drawn*")
    again = run_here("--lf", "--gradcheck-json=out.json")
    again.assert_outcomes(failed=1)
    assert _by_test(pytester.path / "out.json").keys() == {"test_suite.py::test_wrong"}


def test_options_that_make_no_sense(pytester: pytest.Pytester, run_here: Run) -> None:
    pytester.makepyfile(test_nothing="def test_nothing(): pass")
    (pytester.path / "gradcheck.lock").write_text("<<<<<<< HEAD\n", encoding="utf-8")
    for option, message in (
        ("--gradcheck-compare-fail=8", "*--gradcheck-compare-fail=8: pass a number between 1 and 8, such as 2*"),
        ("--gradcheck-compare-fail=2", "*gradcheck.lock is not a lock file of gradcheck, or damaged *--gradcheck-upd*"),
        ("--gradcheck-json=absent/out.json", "*absent/out.json cannot be written: the folder *absent does not exist*"),
    ):
        result = run_here(option)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([message])
    (pytester.path / "gradcheck.lock").unlink()
    (pytester.path / "gradcheck.lock").mkdir()
    result = run_here("--gradcheck-update")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*gradcheck.lock is a folder*"])
    (pytester.path / "gradcheck.lock").rmdir()
    result = run_here("--gradcheck-compare-fail=2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*gradcheck.lock is not there to compare with; pytest --gradcheck-update writes it*"])


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that even root cannot write to")
def test_a_folder_that_cannot_be_written_is_refused_at_the_start(pytester: pytest.Pytester, run_here: Run) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    pytester.makepyfile(test_nothing="def test_nothing(): pass")
    for options in (
        ("--gradcheck-json=/proc/out",), ("--gradcheck-html=/proc/out",), ("--gradcheck-update", "--rootdir=/proc"),
    ):  # fmt: skip
        result = run_here("-p", "no:cacheprovider", *options)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["*ERROR: /proc/* cannot be written: the folder /proc*"])
        result.stderr.no_fnmatch_line("*Traceback*")


def test_the_options_are_a_group_of_their_own(run_here: Run) -> None:
    lines = run_here("--help").outlines
    start = lines.index("hand-written gradients:")
    group = lines[start + 1 : lines.index("", start)]
    names = {word for line in group for word in line.split() if word.startswith("--")}
    assert {name.partition("=")[0] for name in names} >= {
        "--gradcheck-json", "--gradcheck-html", "--gradcheck-summary", "--gradcheck-update", "--gradcheck-compare-fail",
        "--gradcheck-target",
    }  # fmt: skip
    assert any(line.strip().startswith("gradcheck_compare_fail (string)") for line in lines), "and have ini keys"
