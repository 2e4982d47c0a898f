"""Put what a benchmark printed into the page of the documentation that shows it.

``python benchmarks/cost.py --markdown | python tools/put_measured.py cost`` replaces what stands between
``<!-- measured cost -->`` and ``<!-- end of cost -->`` in the page that has these marks. Tables that take an hour to
measure are not made anew by every build; this is how they get where they stand, so that nobody types a figure.
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
WIDTH = 120  # of lines that are not those of a table


def put(name: str, printed: str) -> Path:
    """Replace the figures of that name, and give the page that holds them."""
    found = re.compile(rf"(<!-- measured {re.escape(name)} -->\n).*?(<!-- end of {re.escape(name)} -->)", re.DOTALL)
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        if found.search(text):
            page.write_text(found.sub(lambda match: f"{match[1]}{_wrapped(printed)}\n{match[2]}", text), "utf-8")
            return page
    raise SystemExit(f"no page under {DOCS} has the mark <!-- measured {name} -->")


def _wrapped(printed: str) -> str:
    """Break long lines of text, make a list of bounds that were missed, and leave lines of tables alone."""
    lines = re.sub(r"^MISSED +", "- missed: ", printed.strip(), flags=re.MULTILINE).splitlines()
    text = "\n".join(line if line.startswith("|") else textwrap.fill(line, WIDTH) for line in lines)
    return re.sub(r"^([^|\n].*\n)(?=\|)", r"\1\n", text, flags=re.MULTILINE)  # a table begins a paragraph of its own


def main(argv: list[str]) -> int:
    """Read the figures from standard input."""
    if len(argv) != 1:
        raise SystemExit("python benchmarks/NAME.py --markdown | python tools/put_measured.py NAME")
    printed = sys.stdin.read()
    if not printed.strip():
        raise SystemExit("nothing came in: was the benchmark run with --markdown?")
    print(put(argv[0], printed))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
