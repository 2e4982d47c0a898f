"""Where plugins of pytest and suites of Hypothesis have hurt others before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis.database import DirectoryBasedExampleDatabase, MultiplexedDatabase, ReadOnlyDatabase

import gradcheck
from gradcheck import strategies as gst
from gradcheck.errors import GradientMismatch
from gradcheck.memory import Record
from gradcheck.plugin.options import Options
from gradcheck.plugin.results import PROPERTY, Results, id_of_test

Run = Callable[..., pytest.RunResult]

COUNTING = """
    import numpy as np
    import pytest
    import gradcheck

    def half(w): return 0.5 * (w * w).sum()
    right = gradcheck.from_loss(half, lambda w: +w, name="here.right")
    wrong = gradcheck.from_loss(half, lambda w: -w, name="here.wrong")
    w = np.array([1.0, -2.0, 3.0])

    def test_parts(subtests):
        with subtests.test("right"):
            gradcheck.check(right, w)
        with subtests.test("wrong"):
            gradcheck.check(wrong, w)
        with subtests.test("right again"):
            gradcheck.check(right, 2 * w)
"""


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="subtests came with pytest 9")
def test_subtests_are_parts_of_one_test(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(test_parts=COUNTING)
    result = run("-W", "error", "--junitxml=junit.xml", "--gradcheck-json=out.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    (kept,) = (path.name for path in pytester.path.glob(".gradcheck/failures/*"))
    assert sum(line.startswith("FAIL here.wrong in test_parts.py::test_parts: ") for line in result.outlines) == 1
    assert result.outlines.count(f"  gradcheck replay .gradcheck/failures/{kept}") == 1
    reports = json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))["reports"]
    assert [(one["name"], one["tally"]["examples"]) for one in reports] == [("here.right", 2), ("here.wrong", 1)]


# What comes in the way while the tests run, so that it is not refused at the start.
LATER = """
    import os
    import numpy as np
    import gradcheck

    def test_half():
        gradcheck.check(gradcheck.from_loss(lambda w: 0.5 * (w * w).sum(), lambda w: +w, name="half"), np.ones(2))
        {later}
"""


def test_a_file_that_cannot_be_written_costs_no_other(pytester: pytest.Pytester, run_here: Run) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    pytester.mkdir("folder")
    pytester.makepyfile(LATER.format(later="os.rmdir('folder')"))
    files = ("--gradcheck-json=folder/out.json", "--gradcheck-html=out.html", "--gradcheck-update")
    result = run_here(*files, "--junitxml=junit.xml")
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["*= gradcheck =*", "not written: *folder/out.json cannot be written: *", "wrote */out.html", "wrote */*.lock"],
        consecutive=True,
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    assert all((pytester.path / name).is_file() for name in ("out.html", "gradcheck.lock", "junit.xml"))


def test_a_lock_that_cannot_be_written_is_said(pytester: pytest.Pytester, run_here: Run) -> None:
    pytester.makepyfile(LATER.format(later="os.mkdir('gradcheck.lock')"))
    result = run_here("--gradcheck-update", "--gradcheck-json=out.json")
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    result.stdout.fnmatch_lines(["*= gradcheck =*", "wrote */out.json", "not written: *gradcheck.lock*"])
    assert list(pytester.path.glob("*.tmp")) == []


def test_an_interrupt_leaves_what_is_known(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(LATER.format(later="") + "\n    def test_stopped():\n        raise KeyboardInterrupt\n")
    result = run("--gradcheck-summary", "--gradcheck-json=out.json")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*= gradcheck =*", "PASS *half in *::test_half", "wrote */out.json"])
    (report,) = json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))["reports"]
    assert report["name"] == "half"


AGAIN = """
    from _pytest.runner import runtestprotocol

    def pytest_runtest_protocol(item, nextitem):
        for _ in range(2):  # as plugins do that try a test again
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        return True
"""


def test_a_test_that_is_tried_again_is_told_of_once(pytester: pytest.Pytester, run_here: Run) -> None:
    pytester.makeconftest(AGAIN)
    pytester.makepyfile(LATER.format(later=""))
    result = run_here("--gradcheck-json=out.json", "--junitxml=junit.xml")
    result.assert_outcomes(passed=1)
    (report,) = json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))["reports"]
    assert report["tally"]["examples"] == 1
    assert (pytester.path / "junit.xml").read_text(encoding="utf-8").count('name="gradcheck"') == 1


def test_a_target_draws_what_the_profile_says(pytester: pytest.Pytester, run_here: Run) -> None:
    pytester.makeconftest("import hypothesis\nhypothesis.settings.register_profile('few', max_examples=3)\n")
    pytester.makepyfile(
        mine="""
        import numpy as np
        from gradcheck import strategies as gst

        def half(w): return 0.5 * np.sum(w * w)
        def half_grad(w): return +w
        cases = gst.like(np.ones(2))
        """
    )
    for profile, points in (("few", 3), ("default", 100)):
        result = run_here("--gradcheck-target=mine.py", "--gradcheck-summary", f"--hypothesis-profile={profile}")
        result.stdout.fnmatch_lines([f"PASS     {points} * mine.half_grad in mine.py::half_grad"])


def _results(tmp_path: Path) -> Results:
    return Results.of(Options(None, None, True, False, None, (), False), tmp_path)


def test_names_of_grouped_tests_lose_their_group() -> None:
    assert id_of_test("test_a.py::test_f@group") == "test_a.py::test_f"
    assert id_of_test("test_a.py::test_f[x@y]@group") == "test_a.py::test_f[x@y]"
    for name in ("test_a.py::test_f", "test_a.py::test_f[x@y]", "at@home/test_a.py::test_f"):
        assert id_of_test(name) == name


def test_a_property_of_the_same_name_is_left_alone(tmp_path: Path) -> None:
    record = Record("mine.f", "PASS", 1, "entry-wise", 0.5, {"any input": 0.0})
    results = _results(tmp_path)
    properties = [(PROPERTY, 3), ("other", "x"), (PROPERTY, record.as_json())]
    results.take(SimpleNamespace(nodeid="a.py::test", user_properties=properties, outcome="passed"))  # type: ignore[arg-type]
    assert [entry.record for entry in results.entries.values()] == [record]


def test_noise_that_hypothesis_has_seeded_is_noise() -> None:
    """Hypothesis seeds `random` and `numpy.random` alike for every example, so that noise looks like none."""
    noisy = gradcheck.from_loss(
        lambda w: (w * w).sum(), lambda w: 2 * w * (1 + 1e-3 * np.random.rand()), name="noisy"  # noqa: NPY002  the point
    )  # fmt: skip

    @settings(database=None, deadline=None, max_examples=5)
    @given(gst.arguments(gst.logits(rows=1, classes=2, regimes=["ordinary"])))
    def test(case):  # type: ignore[no-untyped-def]
        gradcheck.check(noisy, *case)

    with pytest.raises(GradientMismatch) as raised:
        test()
    breach = raised.value.report.verdict.breach
    assert breach is not None
    assert breach.law == "deterministic"


def test_a_constant_that_jax_made_in_float32_stays_what_it_is() -> None:
    tenth = jnp.asarray(0.1)
    assert tenth.dtype == np.float32, "as it is where nobody has switched x64 on"
    w = np.array([1.0, -2.0])
    same = gradcheck.from_loss(lambda w: (tenth * w * w).sum(), lambda w: 2 * float(tenth) * w, name="same")
    assert gradcheck.examine(same, w)
    other = gradcheck.from_loss(lambda w: (tenth * w * w).sum(), lambda w: 2 * 0.1 * w, name="other")
    assert gradcheck.examine(other, w).outcome is gradcheck.Outcome.FAIL, "1.5e-8 off"
    assert jnp.asarray(0.1).dtype == np.float32, "and nobody has"


def test_kinks_that_hypothesis_draws_on_purpose_are_no_mistakes() -> None:
    relu = gradcheck.from_vjp(lambda z: np.maximum(z, 0), lambda z, cotangent: cotangent * (z > 0), name="relu")
    report = gradcheck.verify(relu, args=(gst.logits(regimes=["ordinary", "all equal", "ties"]),), examples=30, seed=0)
    assert report


def test_databases_are_shared_by_name_of_the_rule(tmp_path: Path) -> None:
    shared, mine = (DirectoryBasedExampleDatabase(tmp_path / name) for name in ("shared", "mine"))
    wrong = gradcheck.from_loss(lambda w: (w**3).sum(), lambda w: 3 * w * np.abs(w), name="wrong")
    right = gradcheck.from_loss(lambda w: (w**3).sum(), lambda w: 3 * w * w, name="right")
    renamed = gradcheck.from_loss(lambda w: (w**3).sum(), lambda w: 3 * w * np.abs(w), name="renamed")

    def smallest(rule: gradcheck.Rule, database: object, **options: object) -> list[float] | None:
        given = settings(database=database, **options)  # type: ignore[arg-type]
        try:
            gradcheck.verify(rule, like=(np.ones(2),), settings=given)
        except GradientMismatch as error:
            return list(error.report.point.args[0])
        return None

    found = smallest(wrong, shared)
    assert found is not None
    kept = sorted(path.name for path in (tmp_path / "shared").rglob("*"))
    both = MultiplexedDatabase(mine, ReadOnlyDatabase(shared))
    assert smallest(wrong, both, phases=[Phase.reuse]) == found, "without drawing anything"
    assert sorted(path.name for path in (tmp_path / "shared").rglob("*")) == kept, "and without writing there"
    for other in (right, renamed):
        with pytest.raises(gradcheck.InvalidArgument, match="no point was drawn"):
            smallest(other, both, phases=[Phase.reuse])
