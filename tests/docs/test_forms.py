"""The pages' tables and messages are what the code says."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from gradcheck.derivations import softmax_nll

Python = Callable[..., "subprocess.CompletedProcess[str]"]
REFRESH = Path(__file__).parents[2] / "tools" / "refresh_docs.py"
PAGE = REFRESH.parents[1] / "docs" / "reference" / "forms.md"


def test_the_pages_say_what_the_code_says(python: Python) -> None:
    run = python(str(REFRESH), "--check")
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_form_and_option_is_in_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for form, options in softmax_nll.OPTIONS.items():
        (line,) = [line for line in page.splitlines() if line.startswith(f"| `{form}` | ")]
        assert line.count("✓") == len(options)


def test_a_page_that_says_something_else_is_seen_and_mended(python: Python, tmp_path: Path) -> None:
    tool, page = tmp_path / "tools" / "refresh_docs.py", tmp_path / "docs" / "forms.md"
    for path in (tool, page):
        path.parent.mkdir()
    tool.write_text(REFRESH.read_text(encoding="utf-8"), encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    page.write_text(text.replace("| `fused` | ✓ ", "| `fused` |  "), encoding="utf-8")
    check = python(str(tool), "--check")
    assert check.returncode == 1
    assert "forms.md says something else than the code" in check.stdout
    assert python(str(tool)).returncode == 0
    assert page.read_text(encoding="utf-8") == text
    assert python(str(tool), "--check").returncode == 0
