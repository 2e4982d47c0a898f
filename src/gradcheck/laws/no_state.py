"""A rule run at A, at B, and at A again answers at A what it did: it keeps nothing from one call to the next."""

from __future__ import annotations

import numpy as np

from gradcheck.laws.breach import Breach
from gradcheck.laws.elsewhere import halved, halved_answer, one_row
from gradcheck.laws.journey import in_order
from gradcheck.laws.running import Pulled, copied, copies, difference, moved, run
from gradcheck.laws.subject import Subject

__all__ = ["applies", "broken", "late"]


def applies(_subject: Subject) -> str | None:
    """Apply to every rule."""
    return None


def broken(subject: Subject) -> Breach | None:
    """Look for values that are kept from another call, or for an array that lies where an earlier one did."""
    if in_order(subject):
        return None
    last = subject.recall(late)
    if isinstance(last, Breach):
        return last
    if found := difference(subject.flat, subject.answer.cotangents, last.kept):
        return Breach("no state", f"{found} when the rule was run elsewhere in between: keep what the pullback needs "
                      "with the pullback")  # fmt: skip
    if found := _in_place(subject):
        return Breach("no state", f"{found} when new numbers were written into the same arrays: something is kept "
                      "that knows an array by its place in memory")  # fmt: skip
    return None


def late(subject: Subject) -> Pulled | Breach:
    """Run the forward, then the rule at fewer rows and at half the primals, and only then pull back."""
    if isinstance(subject.first, Breach):
        return subject.first
    forward = run(subject.rule, subject.flat)
    one_row(subject)
    halved_answer(subject)
    return forward.pull(subject.point.cotangent)


def _in_place(subject: Subject) -> str:
    """Halve the primals in the arrays that the rule has seen, as an optimiser does, and run it on them again."""
    expected = subject.recall(halved_answer)
    if expected is None:
        return ""
    handed = copies(subject.flat)
    changes = subject.recall(halved)
    run(subject.rule, subject.flat, handed).pull(subject.point.cotangent)
    for index, array in changes.items():
        handed[index][...] = array
    try:
        with np.errstate(all="ignore"):
            pulled = run(subject.rule, moved(subject.flat, changes), handed).pull(copied(subject.point.cotangent))
    except Exception:  # it answered there, though on other arrays
        return "the rule raised"
    return "" if isinstance(pulled, Breach) else difference(subject.flat, expected, pulled.kept)
