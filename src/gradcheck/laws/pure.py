"""Arguments and cotangents are as they were when the rule returns."""

from __future__ import annotations

from gradcheck.laws.breach import Breach
from gradcheck.laws.journey import answers, in_order
from gradcheck.laws.subject import Subject

__all__ = ["applies", "broken"]


def applies(_subject: Subject) -> str | None:
    """Apply to every rule."""
    return None


def broken(subject: Subject) -> Breach | None:
    """Compare what the rule was handed with what it holds now, bit by bit."""
    if in_order(subject):
        return None
    for pulled in answers(subject):
        if isinstance(pulled, Breach):
            return pulled
        if changed := pulled.changed():
            return Breach("pure", f"the rule changed {changed} in place; work on a copy")
    return None
