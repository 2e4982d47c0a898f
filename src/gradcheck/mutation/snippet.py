"""A piece of source: where the nodes of its syntax tree stand in its text, and what the text is after an edit."""

from __future__ import annotations

import ast
import difflib
import re
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

__all__ = ["Edit", "Snippet"]


@dataclass(frozen=True)
class Edit:
    """What a mutant changes: the bytes from ``start`` to ``stop`` become ``text``."""

    start: int
    stop: int
    text: str
    says: str


@dataclass(frozen=True)
class Snippet:
    """The text of one function, as its author indented it or less, and where it stands: a file and its first line.

    Positions count bytes, as those of `ast` do.
    """

    text: str
    file: str = ""
    line: int = 1

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree; a lambda is in parentheses and thus the first expression."""
        return ast.parse(self.text)

    @cached_property
    def function(self) -> ast.FunctionDef | ast.Lambda:
        """The function."""
        (statement,) = self.tree.body
        node = statement.value if isinstance(statement, ast.Expr) else statement
        if not isinstance(node, (ast.FunctionDef, ast.Lambda)):
            raise TypeError(f"a snippet holds one function, this one a {type(node).__name__}")
        return node

    @cached_property
    def bytes(self) -> bytes:
        """The text as `ast` counts it."""
        return self.text.encode()

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *accumulate(len(line) for line in self.bytes.splitlines(keepends=True))]

    def start(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        """Position of the first byte of a node, without parentheses around it."""
        return self._starts[node.lineno - 1] + node.col_offset

    def stop(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        """Position behind the last byte of a node."""
        return self._starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)

    def shown(self, node: ast.expr | ast.stmt) -> str:
        """Read a node."""
        return self.read(self.start(node), self.stop(node))

    def read(self, start: int, stop: int) -> str:
        """Read what stands between two positions."""
        return self.bytes[start:stop].decode()

    def find(self, symbol: str, start: int, stop: int) -> int:
        """Position of a symbol between two operands, where there are only parentheses, space and comments besides."""
        between = re.sub(rb"#[^\n]*", lambda comment: b" " * len(comment[0]), self.bytes[start:stop])
        return start + between.index(symbol.encode())

    def past_space(self, position: int) -> int:
        """Position of the next byte that is not space."""
        return position + len(self.bytes[position:]) - len(self.bytes[position:].lstrip())

    def before_space(self, position: int) -> int:
        """Position behind the last byte that is not space."""
        return len(self.bytes[:position].rstrip())

    def edited(self, edit: Edit) -> str:
        """Give the text after an edit."""
        return f"{self.read(0, edit.start)}{edit.text}{self.read(edit.stop, len(self.bytes))}"

    def diff(self, text: str) -> str:
        """Show a changed text beside this one, with the line numbers of the file."""
        above = [""] * (self.line - 1)
        before, after = ([*above, *lines.splitlines()] for lines in (self.text, text))
        _, _, *hunks = difflib.unified_diff(before, after, lineterm="", n=0)
        return "\n".join(hunks)

    def statement_at(self, position: int) -> int:
        """Give the line, counted from the snippet's own first, of the innermost statement at a position."""
        around = [
            n for n in ast.walk(self.tree) if isinstance(n, ast.stmt) and self.start(n) <= position < self.stop(n)
        ]
        return max(node.lineno for node in around)

    def line_of(self, edit: Edit) -> int:
        """Give the line of the file that an edit begins on."""
        return self.line + self.bytes.count(b"\n", 0, edit.start)
