"""Every Python example and every command in the pages is run, and says what the page says.

A page is run from top to bottom in an empty folder, its blocks in one namespace:

- a ``python`` block below a line that ends with a file name, as in "Put this into `mine.py`:", becomes that file, and
  pytest runs it if it is a ``test_*.py``;
- a ``python`` block with ``>>>`` is a doctest, any other is executed;
- in a ``console`` block, ``$ gradcheck ...`` or ``$ pytest ...`` is run and what follows compared with what it prints.

Anything else, such as ``sh`` and ``text`` blocks, is left alone.
"""

from __future__ import annotations

import doctest
import importlib
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]

_BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>\w+)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"`(?P<name>\w+\.py)`[^`\n]*:\n\n\Z")
_COMMAND = re.compile(r"^\$ (?P<command>.*)\n(?P<output>(?:(?!\$ ).*\n)*)", re.MULTILINE)

# Two-digit figures of rounding errors depend on the mathematical library, on the version of JAX whose program is
# evaluated and, with the count of drawn examples, on Hypothesis's; times on the day. A page shows one that was right.
_VARIABLE = re.compile(
    r"\d(?:\.\d+)?e[-+]\d+|\d+\.\d ulp|\(\d+\.\d s\)|\d+ examples|\d+/\d+ regimes|\(never: [^)]*\)|[0-9a-f]{12}\.npz"
)

Python = Callable[..., "subprocess.CompletedProcess[str]"]
Write = Callable[[str, str], Path]


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line of the page it begins on, and the file it is to become."""

    language: str
    text: str
    line: int
    file: str


def blocks(page: str) -> Iterator[Block]:
    for match in _BLOCK.finditer(page):
        named = _FILE.search(page, 0, match.start())
        text = re.sub(f"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        yield Block(match["language"], text, page.count("\n", 0, match.start()) + 1, named["name"] if named else "")


def same(shown: str, printed: str) -> bool:
    """Whether a page shows what was printed: ``...`` stands for anything, and spaces and rounding may differ."""
    checker, flags = doctest.OutputChecker(), doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return checker.check_output(_VARIABLE.sub("#", shown), _VARIABLE.sub("#", printed), flags)


class Checker(doctest.OutputChecker):
    """Compares as `same` does."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:  # noqa: ARG002  doctest's signature
        return same(want, got)


def run_doctest(block: Block, namespace: dict[str, Any]) -> None:
    test = doctest.DocTestParser().get_doctest(block.text, namespace, "page", None, block.line)
    said: list[str] = []
    doctest.DocTestRunner(Checker()).run(test, out=said.append, clear_globs=False)
    namespace.update(test.globs)
    assert not said, "".join(said)


def run_commands(block: Block, python: Python, folder: Path) -> None:
    for match in _COMMAND.finditer(block.text):
        program, *arguments = match["command"].split()
        runs = ("gradcheck", "pytest")
        assert program in runs, f"only {' and '.join(runs)} are run, not {program}: make it a block of another language"
        ran = python("-m", program, *arguments, cwd=folder)
        printed = ran.stdout + ran.stderr
        assert same(match["output"], printed), f"$ {match['command']}\n{printed}"


def run_page(text: str, python: Python, write: Write) -> None:
    namespace: dict[str, Any] = {"__name__": "page"}
    for block in blocks(text):
        if block.language == "console":
            run_commands(block, python, Path.cwd())
        elif block.language != "python":
            continue
        elif block.file:
            write(block.file, block.text)
            importlib.invalidate_caches()
            if block.file.startswith("test_"):
                ran = python("-m", "pytest", "-q", block.file, cwd=Path.cwd())
                assert ran.returncode == 0, ran.stdout
        elif ">>> " in block.text:
            run_doctest(block, namespace)
        else:
            exec(compile(block.text, f"page, line {block.line}", "exec"), namespace)


@pytest.fixture
def run(python: Python, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    monkeypatch.syspath_prepend(tmp_path)
    return lambda text: run_page(text, python, write)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page(page: Path, run: Callable[[str], None]) -> None:
    run(page.read_text(encoding="utf-8"))


def test_a_wrong_output_is_seen(run: Callable[[str], None]) -> None:
    run("```python\n>>> 1 + 1\n2\n```\n")
    with pytest.raises(AssertionError, match=r"Expected:\s+3\s+Got:\s+2"):
        run("```python\n>>> 1 + 1\n3\n```\n")


def test_an_error_is_seen(run: Callable[[str], None]) -> None:
    with pytest.raises(ZeroDivisionError):
        run("```python\n1 / 0\n```\n")


def test_names_live_on_from_block_to_block(run: Callable[[str], None]) -> None:
    run("Text.\n\n```python\nx = 1\n```\n\n```python\n>>> y = x + 1\n```\n\n```python\n>>> y\n2\n```\n")


def test_files_can_be_imported(run: Callable[[str], None]) -> None:
    run("Put this into `ours.py`:\n\n```python\nx = 1\n```\n\n```python\n>>> from ours import x\n>>> x\n1\n```\n")


def test_test_files_are_run_by_pytest(run: Callable[[str], None]) -> None:
    with pytest.raises(AssertionError, match="1 failed"):
        run("Put this into `test_it.py`:\n\n```python\ndef test_it():\n    assert False\n```\n")


def test_commands_are_compared(run: Callable[[str], None]) -> None:
    run("```console\n$ gradcheck --version\ngradcheck ...\n```\n")
    with pytest.raises(AssertionError, match="gradcheck --version"):
        run("```console\n$ gradcheck --version\nsomething else\n```\n")


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("allowed 2.0e-14", "allowed 6.3e-15"),
        ("worst 1.3 ulp, 100 examples (2.4 s)", "worst 0.9 ulp, 98 examples (0.1 s)"),
        ("would have seen 5e-14, 14/15 regimes", "would have seen 1e-13, 15/15 regimes"),
        ("replay 0123456789ab.npz", "replay ba9876543210.npz"),
        ("a   b\n", "a b"),
    ],
)
def test_what_varies_is_not_compared(shown: str, printed: str) -> None:
    assert same(shown, printed)


@pytest.mark.parametrize(("shown", "printed"), [("0.25", "0.26"), ("PASS", "FAIL"), ("z[0, 1]", "z[1, 0]")])
def test_all_else_is_compared(shown: str, printed: str) -> None:
    assert not same(shown, printed)
