"""Colour for verdicts, where somebody looks at a terminal and has not asked for none."""

from __future__ import annotations

import os
import re
import sys

__all__ = ["coloured"]

# The terminal's own red, green and yellow, which its theme makes readable on its paper; 1 is bold.
_COLOURS = {"PASS": "1;32", "FAIL": "1;31", "UNDECIDED": "1;33"}
_VERDICT = re.compile(rf"(?<!\S)({'|'.join(_COLOURS)})(?=[ :])")


def coloured(text: str) -> str:
    """Colour the first verdict of a text if standard output is a terminal; https://no-color.org is obeyed.

    Examples
    --------
    >>> coloured("FAIL mine.nll_grad")  # into a file or a pipe
    'FAIL mine.nll_grad'
    """
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return _VERDICT.sub(lambda found: f"\x1b[{_COLOURS[found[0]]}m{found[0]}\x1b[0m", text, count=1)
