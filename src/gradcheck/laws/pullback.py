"""A pullback can be called as often as one likes."""

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
    """Call one pullback twice, and compare bits."""
    if in_order(subject):
        return None
    once, again = subject.twice
    if isinstance(once, Breach):
        return once
    if isinstance(again, Breach):
        return again
    if found := difference(subject.flat, once.kept, again.kept):
        return Breach("pullback", f"{found} when the same pullback was called twice: it must not use up what it needs")
    return None
