"""The pytest plugin: a header line, the ``gradcheck`` marker, and failures kept where `check` ran under ``@given``.

pytest imports every plugin on every run, so this module imports the standard library and pytest alone, and anything
else only once a gradient has failed.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

__all__: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, for suites that run with ``--strict-markers``."""
    config.addinivalue_line("markers", "gradcheck: checks a hand-written gradient (select with -m gradcheck)")


def pytest_report_header() -> str:
    """Name the versions that a bug report needs."""
    return "gradcheck: " + ", ".join(f"{name} {_version(name)}" for name in ("gradcheck", "jax", "numpy"))


_WARM = pytest.StashKey[bool]()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start JAX before the first test that might use it, off the clock of Hypothesis's deadline of 200 ms.

    Only in a session in which somebody has made a rule; others never load it.
    """
    if "gradcheck.rule" in sys.modules and not item.config.stash.get(_WARM, False):
        item.config.stash[_WARM] = True
        from gradcheck.checks import warm_up

        warm_up()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the failures a test ends with, which under ``@given`` are the shrunk ones, and say where they are."""
    kept = list(_keep(call.excinfo.value)) if call.excinfo is not None else []
    report = yield  # pytest writes the exceptions out here, and they say how to replay what was kept
    if kept:
        report.sections.append(("gradcheck", "\n".join(f"kept: {path}" for path in kept)))
    return report


def _keep(error: BaseException) -> Iterator[Path]:
    """Keep the reports of failed checks in an exception, or in a group of them as Hypothesis raises."""
    errors: Any = sys.modules.get("gradcheck.errors")
    if errors is None:  # then no gradient was checked
        return
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _keep(part)
    elif isinstance(error, errors.CheckFailed):
        from gradcheck.report import keep

        failed: Any = error
        if failed.report.saved is None:
            failed.report = keep(failed.report)
        if failed.report.saved is not None:
            yield failed.report.saved
