"""Where the forward bends, its gradient changes: it is no value kept from a call at another point.

A cache whose key leaves out the numbers, such as the shape of an array, gives the same answer everywhere. Asked at A, B
and A again, it is consistent, and where it was filled it is right.
"""

from __future__ import annotations

import numpy as np

from gradcheck.laws.breach import Breach
from gradcheck.laws.elsewhere import halved, halved_answer, scaled
from gradcheck.laws.noise import SAFETY, tiny_of, unit_of
from gradcheck.laws.running import Results, equal
from gradcheck.laws.subject import Subject
from gradcheck.tree import Array

__all__ = ["applies", "broken"]

# Of a smooth function, the bend over half a line is a quarter of that over the whole; of one with a step or a kink, no
# less than half, or nothing.
_SMOOTH = 0.4


def applies(subject: Subject) -> str | None:
    """Require an answer that is not zero, as that to a saturated point or to no cotangent may rightly be everywhere."""
    if subject.irregular:
        return subject.irregular
    if not subject.flat.holds(subject.recall(halved)):
        return "half the primals are outside their domain"
    nonzero = any(np.count_nonzero(c) for c in subject.answer.cotangents if c is not None)
    return None if nonzero else "the answer is zero here"


def broken(subject: Subject) -> Breach | None:
    """Ask on the line from the point to half its primals, and if nothing changes there, see whether the forward bends.

    It must bend by more than the rounding of the rule's own precision, in which far tails of functions are straight.
    """
    here = subject.answer.cotangents
    if not _same(here, subject.recall(halved_answer)) or not _same(here, subject.ask(scaled(subject, 0.75))):
        return None
    along = [_contracted(subject, s) for s in (1.0, 0.875, 0.75, 0.5)]
    size = max(size for _, size in along)
    end, near, middle, start = (value for value, _ in along)
    whole, half = abs(end - 2 * middle + start), abs(end - 2 * near + middle)
    # a second difference adds up four values
    dtypes = [leaf.array.dtype for leaf in subject.flat.differentiated]
    allowed = 4 * SAFETY * max(unit_of(dtype) * size + tiny_of(dtype) for dtype in dtypes)
    subject.ratios.append(half / allowed)
    if not half > allowed or half > _SMOOTH * whole:
        return None
    return Breach("moving gradient", "half the primals and three quarters of them have bit for bit the gradient of the "
                  "whole, though the forward is no straight line between: is it kept from another call, under a key "
                  "such as the shape that leaves out the numbers?")  # fmt: skip


def _same(one: Results, other: Results | None) -> bool:
    return other is not None and equal(one, other, bits=True)


def _contracted(subject: Subject, factor: float) -> tuple[float, float]:
    """Contract the forward's value with the cotangent; NaN if it has none. Beside it, the size of what rounds there."""
    values = subject.values(scaled(subject, factor))
    if values is None:
        return float("nan"), 0.0
    cotangents: list[Array] = [c.astype(np.float64) for c in subject.cotangents]
    pairs = list(zip(cotangents, values, strict=True))
    summed = sum(float(np.vdot(np.abs(c), np.abs(v))) for c, v in pairs)
    primal = max(float(np.max(np.abs(leaf.array), initial=0.0)) for leaf in subject.flat.differentiated)
    weight = sum(float(np.sum(np.abs(c))) for c in cotangents)
    return sum(float(np.vdot(c, v)) for c, v in pairs), max(summed, primal * weight)
