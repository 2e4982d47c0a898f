"""Two runs on the same arguments, one after the other, give the same bits."""

from __future__ import annotations

from gradcheck.laws.breach import Breach
from gradcheck.laws.journey import in_order
from gradcheck.laws.running import difference
from gradcheck.laws.subject import Subject

__all__ = ["applies", "broken"]


def applies(_subject: Subject) -> str | None:
    """Apply to every rule."""
    return None


def broken(subject: Subject) -> Breach | None:
    """Run forward and pullback once more."""
    if in_order(subject):
        return None
    if isinstance(subject.second, Breach):
        return subject.second
    if found := difference(subject.flat, subject.answer.cotangents, subject.second.kept):
        return Breach(
            "deterministic", f"{found} when the rule was run again on the same arguments: it draws random numbers, "
                             "or keeps something from one call to the next")  # fmt: skip
    return None
