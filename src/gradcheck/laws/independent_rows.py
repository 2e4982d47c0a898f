"""Where each row adds its own part to the value, a row of the gradient does not depend on the other rows."""

from __future__ import annotations

import numpy as np

from gradcheck.laws.breach import Breach
from gradcheck.laws.elsewhere import generic, generic_array
from gradcheck.laws.noise import apart, near
from gradcheck.laws.placing import Placed, asked_as_placed, shared
from gradcheck.laws.running import Results
from gradcheck.laws.subject import Changes, Subject
from gradcheck.laws.symmetry import alike, noise_of_symmetry, not_one_matrix, smooth
from gradcheck.tree import Array, Leaf

__all__ = ["applies", "broken", "unmoved"]

_LEAVES = 4


def applies(subject: Subject) -> str | None:
    """Require that changing one row changes the value by the same amount whatever the other rows are."""
    if reason := not_one_matrix(subject):
        return reason
    return (
        None if subject.recall(unmoved) or subject.recall(_separable) else "the forward's value is not made row by row"
    )


def broken(subject: Subject) -> Breach | None:
    """Change all rows but one, and compare the gradient of that one."""
    if subject.recall(unmoved):
        return None
    for leaf in subject.recall(_separable):
        due, there = _among_others(subject, leaf, {})
        if there is None:
            continue
        if (difference := apart(subject, due, there, noise_of_symmetry)) and subject.recall(smooth):
            return Breach("independent rows", f"with other numbers in the other rows of {leaf.path}, which the "
                          f"forward adds up row by row, {difference}: are sums or maxima taken over the whole "
                          "array?")  # fmt: skip
    return None


def unmoved(subject: Subject) -> bool:
    """Whether the gradient of a row stays where it is among other rows: then it does not matter why."""
    (leaf,) = subject.flat.differentiated
    if len(leaf.array) < 2:
        return False
    due, there = _among_others(subject, leaf, shared(subject, 1))
    return there is not None and near(subject, due, there, calm=True)


def _among_others(subject: Subject, leaf: Leaf, placed: Placed) -> tuple[Results, Results | None]:
    """Change all rows of a leaf but one; give what is due then, and what is answered."""
    row = _row(leaf)
    others = _mixed(leaf.array, _changed(leaf), row, own=False).astype(leaf.array.dtype)
    there = asked_as_placed(subject, placed, {leaf.index: others}, subject.cotangents)
    if there is None or isinstance(there, str):
        return (), None
    due = (
        None if b is None or other.index != leaf.index else _only(a, b, row)
        for other, a, b in zip(subject.flat.differentiated, subject.answer.cotangents, there, strict=True)
    )
    return tuple(due), there


def _only(mine: Array | None, there: Array, row: int) -> Array | None:
    """Take one row of the answer and the others of another, with which they are to be compared."""
    return None if mine is None else _mixed(mine, there, row, own=False)


def _row(leaf: Leaf) -> int:
    """Choose the lowest row, which what belongs to the whole array shows most in; of several, the last."""
    tops = leaf.array.reshape(len(leaf.array), -1).max(axis=1)
    return int(len(tops) - 1 - tops[::-1].argmin())


def _mixed(here: Array, there: Array, row: int, *, own: bool) -> Array:
    """Take one row of ``there`` and the others of ``here``, or the other way round."""
    taken = np.zeros((len(here),) + (1,) * (here.ndim - 1), dtype=bool)
    taken[row] = True
    return np.where(taken == own, there, here)


def _changed(leaf: Leaf) -> Array:
    """Give other numbers for a leaf."""
    return generic_array(leaf.array) / 2


def _separable(subject: Subject) -> list[Leaf]:
    """Find the primals whose rows add to the value one by one, at the point and at a generic one."""
    found = []
    close = subject.recall(generic)
    for leaf in subject.flat.differentiated[-_LEAVES:]:
        if not leaf.array.ndim or len(leaf.array) < 2 or not leaf.array.size:
            continue
        other = _changed(leaf)
        if _adds_up(subject, leaf, close, close[leaf.index], other) and _adds_up(
            subject, leaf, {}, leaf.array.astype(np.float64), other
        ):
            found.append(leaf)
    return found


def _adds_up(subject: Subject, leaf: Leaf, point: Changes, here: Array, there: Array) -> bool:
    row = _row(leaf)
    arrays = (here, _mixed(here, there, row, own=True), _mixed(here, there, row, own=False), there)
    plain, one, others, both = (subject.values({**point, leaf.index: x}) for x in arrays)
    if plain is None or one is None or others is None or both is None:
        return False
    steps = [a - b for a, b in zip(one, plain, strict=True)]
    return alike(subject, [o + s for o, s in zip(others, steps, strict=True)], both)
