"""What tests of every room may use."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

pytest_plugins = ["pytester"]

Python: TypeAlias = Callable[..., "subprocess.CompletedProcess[str]"]
Write: TypeAlias = Callable[[str, str], Path]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Run a sweep with coverage suspended: it goes over the same lines thousands of times, which doubles its time."""
    measuring = sys.modules.get("coverage")
    coverage = measuring.Coverage.current() if measuring and item.get_closest_marker("sweep") else None
    if coverage is None:
        return (yield)
    coverage.stop()
    try:
        return (yield)
    finally:
        coverage.start()


@pytest.fixture(scope="session")
def python() -> Python:
    """Run a fresh interpreter with the given arguments and return what it did."""

    def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments], cwd=cwd, capture_output=True, encoding="utf-8", timeout=120, check=False
        )

    return run


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write source files in an empty working folder; modules imported from it are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    # bytecode is matched with its source by size and whole seconds: a file rewritten at once could be run as it was
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def one(name: str, source: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return path

    yield one
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
