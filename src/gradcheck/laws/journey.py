"""One journey that several laws look at: here, here again, elsewhere in the same arrays and in others, and back.

Each of these laws could ask for itself, and where the journey shows anything out of order each does, one thing at a
time, so that what is wrong gets its name. Where all is in order, six answers have served them all: that of a second run
(deterministic), one on arrays that were written over (no state), one to fewer rows and one to other numbers, and one
more of the first pullback, now that the rule has been elsewhere (pullback, no state). Their cotangents are multiples of
the one at the point by powers of two, which scale an answer to the bit (linear).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from gradcheck.laws.breach import Breach
from gradcheck.laws.elsewhere import halved, halved_answer, one_row
from gradcheck.laws.multiples import multiple, scales, times
from gradcheck.laws.running import Forward, Pulled, Results, copies, equal, moved, run
from gradcheck.laws.subject import Subject

__all__ = ["answers", "in_order", "rest", "scaled_in_order"]


@dataclass(frozen=True, eq=False)
class Journey:
    """What was answered at the point itself, in turn, and whether the multiples of the cotangent were any."""

    answers: tuple[Pulled, ...]
    scaled: bool


def in_order(subject: Subject) -> bool:
    """Whether nothing on the journey was out of order."""
    return isinstance(subject.recall(_journey), Journey)


def scaled_in_order(subject: Subject) -> bool:
    """Whether the journey has shown multiples of the cotangent to be answered by multiples of the answer."""
    journey = subject.recall(_journey)
    return isinstance(journey, Journey) and journey.scaled


def rest(subject: Subject) -> None:
    """Let go of the runs behind the answer, each of which holds copies of all arrays, where these are large."""
    if not subject.flat.heavy:
        return
    subject.let_go()
    journey = subject.known(_journey)
    if isinstance(journey, Journey):
        subject.remember(_journey, replace(journey, answers=()))


def answers(subject: Subject) -> Iterator[Pulled | Breach]:
    """Give answers at the point itself: those of the journey, or asked for one by one."""
    journey = subject.recall(_journey)
    if isinstance(journey, Journey):
        yield from journey.answers
        return
    if isinstance(journey, Breach):
        yield journey
    yield subject.first
    yield subject.second
    yield from subject.twice


def _journey(subject: Subject) -> Journey | Breach | None:
    """Set out, and come back with None where anything is not as it was, in whatever way."""
    first = subject.first
    if isinstance(first, Breach):
        return first
    if first.changed():
        return None
    try:
        with np.errstate(all="ignore"):  # of the multiples; at the point itself, the rule has been heard
            return _travelled(subject, first)
    except Exception:  # whatever it is, a law that asks for itself comes upon it again
        return None


def _travelled(subject: Subject, first: Pulled) -> Journey | Breach | None:
    back, far, near = scales(subject)
    handed = copies(subject.flat)
    second = _pulled(subject, run(subject.rule, subject.flat, handed), far)
    if isinstance(second, Breach):
        return second
    if second.changed() or not equal(times(first.kept, far), second.kept, bits=True):
        return None
    overwritten = _overwritten(subject, handed, near)
    subject.recall(one_row)
    elsewhere = subject.recall(halved_answer)
    if elsewhere is not None and (overwritten is None or not equal(times(elsewhere, near), overwritten, bits=True)):
        return None
    again = _pulled(subject, subject.forward, back)
    if isinstance(again, Breach):
        return again
    # a sign of zero may depend on that of the cotangent
    if again.changed() or not equal(times(first.kept, back), again.kept, bits=False):
        return None
    return Journey((first, second, again), scaled=1.0 not in (back, far, near) and elsewhere is not None)


def _overwritten(subject: Subject, handed: dict[int, np.ndarray], scale: float) -> Results | None:
    """Halve the primals in the arrays that the rule has just seen, as an optimiser does, and ask it there."""
    changes = subject.recall(halved)
    if not subject.flat.holds(changes):
        return None
    for index, array in changes.items():
        handed[index][...] = array
    try:
        pulled = run(subject.rule, moved(subject.flat, changes), handed).pull(multiple(subject, scale))
    except Exception:  # half the primals may lie outside the domain
        return None
    return None if isinstance(pulled, Breach) else pulled.kept


def _pulled(subject: Subject, forward: Forward, scale: float) -> Pulled | Breach:
    """Pull back a multiple of the cotangent. That it is answered at all counts only if the cotangent itself is not."""
    pulled = forward.pull(multiple(subject, scale))
    if scale == 1.0 or not isinstance(pulled, Breach):
        return pulled
    plain = forward.pull(subject.point.cotangent)
    return pulled if isinstance(plain, Breach) else plain
