"""What the tests of the plugin share: pytest run by pytest, in a fresh interpreter or in this one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest

import gradcheck
from gradcheck.errors import MissingExtra
from gradcheck.report import html


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pytest.RunResult]:
    """Run pytest in an empty folder, as a user without settings would."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return lambda *arguments: pytester.runpytest_subprocess(*arguments, timeout=300)


@pytest.fixture(scope="session")
def everything_is_imported() -> None:
    """Import what a check may import: pytester forgets what a test has, and jax and matplotlib can be imported once."""
    for module in pkgutil.walk_packages(gradcheck.__path__, "gradcheck."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    rule = gradcheck.from_loss(lambda w: (w * w).sum(), lambda w: 3 * w, name="three")
    report = gradcheck.examine(rule, np.ones(2))
    assert report.findings
    with suppress(MissingExtra):
        html.render_html([report])


@pytest.fixture
def run_here(
    everything_is_imported: None, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., pytest.RunResult]:
    """Do the same in this interpreter: ten times as fast, where it is not the start that matters."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return lambda *arguments: pytester.runpytest_inprocess("-p", "no:xdist", *arguments)
