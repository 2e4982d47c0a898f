"""One cotangent comes back for each differentiated array, of its shape and dtype, and no exception."""

from __future__ import annotations

from gradcheck.laws.breach import Breach
from gradcheck.laws.subject import Subject

__all__ = ["applies", "broken"]


def applies(_subject: Subject) -> str | None:
    """Apply to every rule."""
    return None


def broken(subject: Subject) -> Breach | None:
    """Hold the first answer to the contract; later ones are held to it as they are given."""
    return subject.first if isinstance(subject.first, Breach) else None
