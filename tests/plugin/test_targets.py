"""Gradients that are checked with no test file: ``--gradcheck-target``, and the ini key of that name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Run = Callable[..., pytest.RunResult]

MINE = """
    import numpy as np
    from gradcheck import strategies as gst

    def half(w): return 0.5 * np.sum(w * w)
    def half_grad(w): return +w
    def cube(w): return np.sum(w**3)
    def cube_grad(w): return 3 * np.abs(w)
    cases = gst.like(np.ones(2))
"""


def _ids(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if "::" in line]


@pytest.fixture
def mine(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(mine=MINE, test_other="def test_other(): pass")
    return pytester


def test_targets_are_items_with_ids(mine: pytest.Pytester, run: Run) -> None:
    pytest.importorskip("xdist")
    result = run("--gradcheck-target=mine.py", "-n", "2", "-W", "error", "--gradcheck-update", "-rA")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "_* cube_grad _*",
            "GradientMismatch: FAIL mine.cube_grad: *",
            "*= gradcheck =*",
            "FAIL mine.cube_grad in mine.py::cube_grad: *",
            "wrote */gradcheck.lock",
            "PASSED mine.py::half_grad",
            "FAILED mine.py::cube_grad*",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    assert '"mine.py::half_grad"' in (mine.path / "gradcheck.lock").read_text(encoding="utf-8")
    again = run("--gradcheck-target=mine.py", "--lf", "--collect-only", "-q")
    assert _ids(again) == ["mine.py::cube_grad"]
    chosen = run("--gradcheck-target=mine.py", "--collect-only", "-q", "-m", "gradcheck", "-k", "half")
    assert _ids(chosen) == ["mine.py::half_grad"], "nothing else is collected"


def test_beside_a_suite(mine: pytest.Pytester, run: Run) -> None:
    table = "tool.pytest" if pytest.version_tuple >= (9,) else "tool.pytest.ini_options"
    (mine.path / "pyproject.toml").write_text(
        f'[{table}]\ngradcheck_target = ["mine.py:half"]\ngradcheck_json = "out.json"\n', encoding="utf-8"
    )
    result = run("--strict-config", "-v", "-W", "error")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["test_other.py::test_other PASSED*", "mine.py::half_grad PASSED*", "wrote */out.json"])
    given = run("--gradcheck-target=mine.py:cube", "test_other.py", "--collect-only", "-q")
    assert _ids(given) == ["test_other.py::test_other", "mine.py::cube_grad", "mine.py::half_grad"]


def test_a_target_that_is_not_there(mine: pytest.Pytester, run: Run) -> None:
    result = run("--gradcheck-target=mine.py:absent")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["* ERROR collecting mine.py *", "mine has no 'absent'; it has half_grad, cube_grad"])
    result.stdout.no_fnmatch_line("*Traceback*")
    assert not (mine.path / ".gradcheck").exists()
