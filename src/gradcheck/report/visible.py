"""Texts of others, fit to be looked at."""

from __future__ import annotations

import unicodedata

__all__ = ["visible"]

# Control, format (among them those that turn the text around them), private and surrogate characters.
_HIDDEN = {"Cc", "Cf", "Co", "Cs"}


def visible(text: str) -> str:
    r"""Write characters that cannot be seen, or that turn the text around them, as escapes.

    Examples
    --------
    >>> visible("w\u202e\x00")
    'w\\u202e\\u0000'
    """
    return "".join(f"\\u{ord(c):04x}" if unicodedata.category(c) in _HIDDEN and c not in "\n\t" else c for c in text)
