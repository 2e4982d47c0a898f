"""What the tests of the plugin share: pytest, run in a fresh interpreter."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pytest.RunResult]:
    """Run pytest in an empty folder, as a user without settings would."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return lambda *arguments: pytester.runpytest_subprocess(*arguments, timeout=120)
