"""What a broken law is reported as."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Breach"]


@dataclass(frozen=True)
class Breach:
    """A broken law: its name, and what was seen, as a sentence that says what to change."""

    law: str
    text: str
