"""``gradcheck.lock``: written by ``--gradcheck-update``, held to by ``--gradcheck-compare-fail``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., pytest.RunResult]

# Its entries are off by as many ulps as a file says, in turn up and down; six are all that is allowed.
SUITE = """
    from pathlib import Path
    import numpy as np
    import gradcheck

    ulps = float(Path("ulps").read_text())

    def half(w): return 0.5 * (w * w).sum()
    def half_grad(w): return w * (1 + ulps * np.array([1, -1]) * np.finfo(float).eps)

    def test_half():
        gradcheck.check(gradcheck.from_loss(half, half_grad, name="half_grad"), np.array([1.0, -2.0]))

    def test_another():
        gradcheck.check(gradcheck.from_loss(half, lambda w: +w, name="another"), np.array([1.0, -2.0]))
"""


def _lock(folder: Path) -> dict[str, dict[str, dict[str, object]]]:
    content = json.loads((folder / "gradcheck.lock").read_text(encoding="utf-8"))
    assert content.pop("version") == 1
    tests: dict[str, dict[str, dict[str, object]]] = content["tests"]
    return tests


def test_margins_are_kept_and_held_to(pytester: pytest.Pytester, run: Run) -> None:
    pytest.importorskip("flint")  # without balls the allowance is a sampled one, and wider
    pytest.importorskip("xdist")
    pytester.makepyfile(test_half=SUITE)
    ulps = pytester.path / "ulps"
    ulps.write_text("1", encoding="utf-8")
    result = run("--gradcheck-update", "-n", "2", "-W", "error")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*= gradcheck =*", f"wrote {pytester.path / 'gradcheck.lock'}"])
    close = {"grade": "entry-wise", "margins": {"any input": 0.125}}
    assert _lock(pytester.path) == {
        "test_half.py::test_another": {"another": close},
        "test_half.py::test_half": {"half_grad": close},
    }

    ulps.write_text("4", encoding="utf-8")  # still right
    result = run("--gradcheck-compare-fail=2")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "half_grad is still right, but closer to being wrong than gradcheck.lock says:",
            "  grade: was entry-wise, is norm-wise",
            "  any input: was 0.125 or less of what is allowed, is 0.67",
            "--gradcheck-compare-fail=2 asks for this to fail. To accept it:",
            "  pytest --gradcheck-update 'test_half.py::test_half'",
            "*= gradcheck =*",
            "WORSE half_grad in test_half.py::test_half: grade: was entry-wise, is norm-wise; any input: was *",
        ]
    )

    result = run("--gradcheck-update", "test_half.py::test_half")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*holds margins of tests that were not run here: test_half.py::test_another"])
    assert _lock(pytester.path) == {
        "test_half.py::test_another": {"another": close},
        "test_half.py::test_half": {"half_grad": {"grade": "norm-wise", "margins": {"any input": 0.67}}},
    }


def test_what_is_not_kept_is_not_compared_and_said(pytester: pytest.Pytester, run_here: Run) -> None:
    pytester.makepyfile(test_half=SUITE)
    (pytester.path / "ulps").write_text("7", encoding="utf-8")  # wrong
    kept = {"version": 1, "tests": {"test_gone.py::test_gone": {"gone": {"grade": "lossy", "margins": {}}}}}
    (pytester.path / "gradcheck.lock").write_text(json.dumps(kept), encoding="utf-8")
    result = run_here("--gradcheck-compare-fail=2")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["1 not in gradcheck.lock, so not compared: pytest --gradcheck-update adds what is new"]
    )
    run_here("--gradcheck-update").assert_outcomes(passed=1, failed=1)
    assert _lock(pytester.path).keys() == {"test_half.py::test_another"}, "what is wrong has no margin"
