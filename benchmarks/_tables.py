"""Tables of cells, the first row of which is the head, as text and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def laid_out(table: Sequence[Sequence[str]], *, as_markdown: bool) -> str:
    """Lay a table out; all columns but the first hold numbers."""
    return _markdown(table) if as_markdown else _text(table)


def _markdown(table: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(table[0]) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (table[0], rule, *table[1:]))


def _text(table: Sequence[Sequence[str]]) -> str:
    first, *others = (max(map(len, column)) for column in zip(*table, strict=True))
    return "\n".join(
        "  ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others, strict=True))])
        for row in table
    )
