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


def test_a_disk_that_fills_up_hides_nothing(pytester: pytest.Pytester, run: Run) -> None:
    pytester.mkdir("folder")
    pytester.makepyfile("import os\n\ndef test_vanishing():\n    os.rmdir('folder')\n    assert False\n")
    result = run("--gradcheck-json=folder/out.json", "--junitxml=junit.xml")
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*= gradcheck =*", "not written: *folder/out.json cannot be written: *"])
    assert (pytester.path / "junit.xml").exists()


def _results(tmp_path: Path, *, json_file: bool = False) -> Results:
    path = tmp_path / "out.json" if json_file else None
    return Results.of(Options(path, None, True, False, None, (), False), tmp_path)


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


def test_a_report_that_cannot_be_sent_is_named(tmp_path: Path) -> None:
    rule = gradcheck.from_loss(lambda w, power: power(w).sum(), lambda w, power: 3 * power(w) / w, name="power")
    w = np.array([1.0, 2.0])
    sendable = gradcheck.examine(gradcheck.from_loss(lambda w: (w * w).sum(), lambda w: 2 * w, name="square"), w)
    worker, controller = _results(tmp_path, json_file=True), _results(tmp_path, json_file=True)
    for report in (gradcheck.examine(rule, w, power=lambda w: w**3), sendable):
        properties = [(PROPERTY, Record.of(report).as_json())]
        hook = SimpleNamespace(nodeid="a.py::test", user_properties=properties, outcome="passed")
        worker.reports["a.py::test", report.origin.name] = report
        controller.take(hook)  # type: ignore[arg-type]
    controller.unpack(worker.packed())
    controller.finish()
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [(one["test"], one["name"]) for one in content["reports"]] == [("a.py::test", "square")]
    ((name, why),) = ((one["name"], one["why"]) for one in content["not_run"])
    assert name == "a.py::test power"
    assert "did not come through" in why


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
