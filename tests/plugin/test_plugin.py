"""The plugin, seen from a suite of its own: pytest run by pytest, each run in a fresh interpreter."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from gradcheck import pytest_plugin
from gradcheck.report import load_failure

Run = Callable[..., pytest.RunResult]


FAILING = """
    import pytest
    from hypothesis import given, settings, Phase
    import gradcheck
    from gradcheck import strategies as gst

    def energy(w, scale):
        return 0.5 * (scale * w * w).sum()

    def energy_grad(w, scale):
        return scale * abs(w)

    rule = gradcheck.from_loss(energy, energy_grad)

    @pytest.mark.gradcheck
    @settings(max_examples=20, deadline=None, phases=[Phase.generate, Phase.shrink], derandomize=True, database=None)
    @given(gst.arguments(gst.logits(classes=2, rows=1, regimes=["ordinary"]), gst.logits(classes=2, rows=1)))
    def test_energy(case):
        gradcheck.check(rule, *case)
"""

# A suite whose tests raise what no check has kept, as one under @given does not.
RAISING = """
    import numpy as np
    import gradcheck

    rule = gradcheck.from_loss(lambda w: (w * w).sum(), lambda w: +w, name="square")

    def _raise():
        raise gradcheck.GradientMismatch(gradcheck.examine(rule, np.array([1.0, -2.0])))

    def test_one():
        _raise()

    def test_other():
        pass

    def test_group():
        try:
            _raise()
        except gradcheck.GradientMismatch as error:
            raise ExceptionGroup("two", [error, ValueError("another")])
"""


@pytest.fixture
def raising(everything_is_imported: None, pytester: pytest.Pytester) -> pytest.Pytester:
    """Write the suite that raises."""
    pytester.makepyfile(test_raising=RAISING)
    return pytester


def _kept(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.glob(".gradcheck/failures/*"))


def test_the_shrunk_failure_is_kept_and_shown(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(test_energy=FAILING)
    result = run("--strict-markers", "-W", "error", "--junitxml=junit.xml", "-m", "gradcheck")
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines([r"gradcheck: gradcheck [\d.]+, jax [\d.]+, numpy [\d.]+, python-flint .*$"])
    (kept,) = _kept(pytester.path)
    w = load_failure(pytester.path / kept).args[0]
    assert w.shape == (1, 2)
    assert sorted(abs(w.ravel())) in ([0, 0.5], [0, 1]), "shrunk: one simple negative entry"
    result.stdout.fnmatch_lines(
        [
            "E *GradientMismatch: FAIL test_energy.energy_grad: *",
            f"E *  reproduce   gradcheck replay {kept}",
            "*- gradcheck -*",
            f"kept: {kept}",
            "*= gradcheck =*",
            "FAIL test_energy.energy_grad in test_energy.py::test_energy: *",
            f"  gradcheck replay {kept}",
        ]
    )
    assert "GradientMismatch" in (pytester.path / "junit.xml").read_text(encoding="utf-8")


def test_failures_in_a_group_are_kept_as_well(raising: pytest.Pytester, run_here: Run) -> None:
    result = run_here()
    result.assert_outcomes(failed=2, passed=1)
    (kept,) = _kept(raising.path)
    result.stdout.fnmatch_lines([f"E *  reproduce   gradcheck replay {kept}", f"kept: {kept}"])
    result.stdout.fnmatch_lines([f"*|   reproduce   gradcheck replay {kept}", f"kept: {kept}"])


def test_everything_works_without_it(raising: pytest.Pytester, run: Run) -> None:
    result = run("-p", "no:gradcheck", "-k", "one or other")
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.no_fnmatch_line("gradcheck: *")
    result.stdout.no_fnmatch_line("*= gradcheck =*")
    assert _kept(raising.path) == []


def test_a_folder_that_cannot_be_written_hides_nothing(raising: pytest.Pytester, run_here: Run) -> None:
    (raising.path / ".gradcheck").write_text("in the way", encoding="utf-8")
    result = run_here()
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(
        ["E *GradientMismatch: FAIL square: *", "FAIL square in test_raising.py::test_group: *"]
    )
    result.stdout.no_fnmatch_line("*gradcheck replay*")
    result.stdout.no_fnmatch_line("*FileExistsError*")


PARAMETRIZED = """
    import pytest
    from hypothesis import given, settings
    import gradcheck
    from gradcheck import strategies as gst

    def square(w): return (w * w).sum()
    fused = gradcheck.from_loss(square, lambda w: 2 * w, name="here.fused")
    staged = gradcheck.from_loss(square, lambda w: w + w, name="here.staged")
    cases = gst.arguments(gst.logits(classes=2, rows=1, regimes=["ordinary"]))

    def quick(test):
        return settings(max_examples=3, deadline=None)(test)

    @pytest.mark.gradcheck
    @gradcheck.parametrize([fused, staged], cases)
    @quick
    def test_sequence(rule, case):
        gradcheck.check(rule, *case)

    @quick
    @gradcheck.parametrize({"one-pass": fused, "bad": staged}, cases)
    def test_mapping(rule, case):
        assert rule is fused
"""


def _collected(result: pytest.RunResult) -> list[str]:
    return [line.partition("::")[2].split(" ")[0] for line in result.outlines if line.startswith("test_many.py::")]


def test_parametrized_tests_are_ordinary_ones(pytester: pytest.Pytester, run_here: Run) -> None:
    pytester.makepyfile(test_many=PARAMETRIZED)
    result = run_here("-v", "-m", "gradcheck or not gradcheck")
    result.assert_outcomes(passed=3, failed=1)
    ids = ["test_sequence[fused]", "test_sequence[staged]", "test_mapping[one-pass]", "test_mapping[bad]"]
    assert _collected(result) == ids
    assert _collected(run_here("--collect-only", "-q", "-k", "fused or one-pass")) == [ids[0], ids[2]]
    assert _collected(run_here("--collect-only", "-q", "--lf")) == ids[3:]


IDLE = """
    import sys

    def test_nothing_is_imported():
        brought = {"jax", "numpy", "gradcheck.errors", "gradcheck.report"} & set(sys.modules)
        assert not brought

    def test_a_failure_brings_nothing_either():
        assert False
"""


def test_an_idle_plugin_imports_nothing(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(test_idle=IDLE, test_later=IDLE)  # the second file runs after a failure
    result = run("-p", "no:hypothesispytest", "-p", "no:jaxtyping")
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(["gradcheck: *"])
    result.stdout.no_fnmatch_line("*= gradcheck =*")


def test_options_load_no_jax_where_no_gradient_is_checked(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile("import sys\n\ndef test_idle():\n    assert 'jax' not in sys.modules\n")
    options = ("--gradcheck-summary", "--gradcheck-json=out.json", "--gradcheck-update")
    result = run("-p", "no:hypothesispytest", "-p", "no:jaxtyping", *options)
    result.assert_outcomes(passed=1)
    said = ["*= gradcheck =*", "no gradient was checked", "wrote */out.json", "gradcheck.lock stays as it is"]
    result.stdout.fnmatch_lines(said, consecutive=True)
    assert json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))["reports"] == []
    assert not (pytester.path / "gradcheck.lock").exists()


def test_the_header_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if package == "jax":
            raise PackageNotFoundError(package)
        return "1.2"

    monkeypatch.setattr(pytest_plugin, "version", version)
    assert pytest_plugin.pytest_report_header() == (
        "gradcheck: gradcheck 1.2, jax not installed, numpy 1.2, python-flint 1.2"
    )


def test_the_marker_explains_itself(pytestconfig: pytest.Config) -> None:
    assert any(line.startswith("gradcheck: checks a hand-written gradient") for line in pytestconfig.getini("markers"))


def test_the_first_test_does_not_pay_for_starting_jax(pytester: pytest.Pytester) -> None:
    """A plain @given test keeps Hypothesis's deadline of 200 ms, though importing JAX alone takes longer."""
    pytester.makepyfile(
        """
        import sys
        import numpy as np
        from hypothesis import given, settings
        import gradcheck
        from gradcheck import strategies as gst

        rule = gradcheck.from_loss(lambda z, y: np.sum(z * z), lambda z, y: 2 * z)
        assert "jax" not in sys.modules  # nobody has needed it yet

        def test_started():
            assert "jax" in sys.modules

        @settings(database=None, max_examples=20)
        @given(gst.softmax_nll(rows=(1, 3)))
        def test_gradient(case):
            gradcheck.check(rule, *case)
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=2)
