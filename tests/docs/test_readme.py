"""The first screen of the README is what gradcheck really says."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

Python = Callable[..., "subprocess.CompletedProcess[str]"]
REFRESH = Path(__file__).parents[2] / "tools" / "refresh_readme.py"


def test_the_readme_shows_what_is_printed(python: Python) -> None:
    run = python(str(REFRESH), "--check")
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_readme_that_says_something_else_is_seen(python: Python, tmp_path: Path) -> None:
    tool = tmp_path / "tools" / "refresh_readme.py"
    tool.parent.mkdir()
    tool.write_text(REFRESH.read_text(encoding="utf-8"), encoding="utf-8")
    readme = (REFRESH.parents[1] / "README.md").read_text(encoding="utf-8")
    (tmp_path / "README.md").write_text(readme.replace("4 wrong", "3 wrong"), encoding="utf-8")
    run = python(str(tool), "--check")
    assert run.returncode == 1
    assert "3 wrong" in run.stdout
