"""Where the forward bends, its gradient changes: it is no value kept from a call at another point.

A cache whose key leaves out the numbers, such as the shape of an array, gives the same answer everywhere. Asked at A, B
and A again, it is consistent, and where it was filled it is right. Where the forward is a straight line, as that of an
embedding is in its table, its slope may still depend on the data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck.laws.breach import Breach
from gradcheck.laws.elsewhere import halved, halved_answer, scaled
from gradcheck.laws.noise import SAFETY, tiny_of, unit_of
from gradcheck.laws.running import Results, equal
from gradcheck.laws.subject import Changes, Subject
from gradcheck.laws.symmetry import resolution
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

    If it does not, ask for data in another order; and if that changes nothing either, see whether the slope does.
    """
    if not _unchanged(subject, {}):
        return None
    line = _line(subject, {})
    if _seen(subject, line.half, line.allowed) and line.smooth:
        return Breach("moving gradient", "half the primals and three quarters of them have bit for bit the gradient of "
                      "the whole, though the forward is no straight line between: is it kept from another call, under "
                      "a key such as the shape that leaves out the numbers?")  # fmt: skip
    turned = _turned(subject)
    if not turned or not line.straight or not _unchanged(subject, turned):
        return None
    other = _line(subject, turned)
    if not other.straight or not _seen(subject, abs(line.rise - other.rise), line.allowed + other.allowed):
        return None
    return Breach("moving gradient", "with the data in another order, the gradient is bit for bit the same, though the "
                  f"forward rises by {other.rise:.6g} where it rose by {line.rise:.6g}: is it kept from another call, "
                  "under a key such as the shape that leaves out the data?")  # fmt: skip


@dataclass(frozen=True)
class _Line:
    """The forward, contracted with the cotangent, on the line from half the primals (``start``) to all of them.

    ``allowed`` is the least that rounding may do to a second difference, in the rule's own precision: in that, far
    tails of functions are straight. All is NaN where the forward has no value.
    """

    end: float
    near: float
    middle: float
    start: float
    allowed: float

    @property
    def rise(self) -> float:
        """By how much the forward is more at the point."""
        return self.end - self.start

    @property
    def half(self) -> float:
        """The bend over the half of the line that is next to the point."""
        return abs(self.end - 2 * self.near + self.middle)

    @property
    def whole(self) -> float:
        """The bend over the line."""
        return abs(self.end - 2 * self.middle + self.start)

    @property
    def smooth(self) -> bool:
        """Whether it bends all along, and not at one place."""
        return self.half <= _SMOOTH * self.whole

    @property
    def straight(self) -> bool:
        """Whether it does not bend but for rounding."""
        return self.half <= self.allowed and self.whole <= self.allowed


def _line(subject: Subject, data: Changes) -> _Line:
    along = [_contracted(subject, {**data, **scaled(subject, s)}) for s in (1.0, 0.875, 0.75, 0.5)]
    size = max(size for _, size in along)
    # a second difference adds up four values
    dtypes = [leaf.array.dtype for leaf in subject.flat.differentiated]
    allowed = 4 * SAFETY * max(unit_of(dtype) * size + tiny_of(dtype) for dtype in dtypes)
    end, near, middle, start = (value for value, _ in along)
    return _Line(end, near, middle, start, allowed)


def _seen(subject: Subject, change: float, least: float) -> bool:
    """Whether a change of the forward is more than rounding, which is measured where it is more than the least."""
    allowed = least + subject.recall(_lost) if change > least else least
    subject.ratios.append(change / allowed)
    return change > allowed


def _lost(subject: Subject) -> float:
    """Measure what is lost beside the value and its primals, where what a forward or a gradient adds up is larger."""
    weights = [float(np.sum(np.abs(c.astype(np.float64)))) for c in subject.cotangents]
    forward = sum(4 * r * w for r, w in zip(subject.recall(resolution), weights, strict=True))
    gradient = 0.0  # the same to the bit where it changes by less than its ulp, which the rise over the line shows
    for leaf, c in zip(subject.flat.differentiated, subject.answer.cotangents, strict=True):
        if c is not None:
            primal = np.abs(leaf.array.astype(np.float64))
            gradient += unit_of(c.dtype) * float(np.vdot(np.abs(c.astype(np.float64)), primal))
    return forward + SAFETY * gradient


def _turned(subject: Subject) -> Changes:
    """Give all data arrays in another order along their first axis, which leaves labels what they may be."""
    primals = set(subject.indices)
    arrays = [(i, x) for i, x in enumerate(subject.flat.leaves) if isinstance(x, np.ndarray) and i not in primals]
    rolled = {i: np.roll(x, 1, axis=0) for i, x in arrays if x.ndim}
    return {i: x for i, x in rolled.items() if not np.array_equal(x, subject.flat.leaves[i])}


def _unchanged(subject: Subject, data: Changes) -> bool:
    """Whether these data are answered as the point itself is, and so are half and three quarters of the primals."""
    here = subject.answer.cotangents
    if not data:
        halfway = subject.recall(halved_answer)
        return _equal(here, halfway) and _equal(here, subject.ask(scaled(subject, 0.75)))
    return all(_equal(here, subject.ask({**data, **scaled(subject, factor)})) for factor in (1.0, 0.75, 0.5))


def _equal(one: Results, other: Results | None) -> bool:
    return other is not None and equal(one, other, bits=True)


def _contracted(subject: Subject, changes: Changes) -> tuple[float, float]:
    """Contract the forward's value with the cotangent; NaN if it has none. Beside it, the size of what rounds there."""
    values = subject.values(changes)
    if values is None:
        return float("nan"), 0.0
    cotangents: list[Array] = [c.astype(np.float64) for c in subject.cotangents]
    pairs = list(zip(cotangents, values, strict=True))
    summed = sum(float(np.vdot(np.abs(c), np.abs(v))) for c, v in pairs)
    primal = max(float(np.max(np.abs(leaf.array), initial=0.0)) for leaf in subject.flat.differentiated)
    weight = sum(float(np.sum(np.abs(c))) for c in cotangents)
    return sum(float(np.vdot(c, v)) for c, v in pairs), max(summed, primal * weight)
