"""Where a constant per row leaves the forward as it is, it leaves the gradient as it is."""

from __future__ import annotations

import numpy as np

from gradcheck.laws.breach import Breach
from gradcheck.laws.elsewhere import uniform
from gradcheck.laws.noise import Noise, apart, noise_at, rowmax, unit_of
from gradcheck.laws.row_sums import applies
from gradcheck.laws.subject import Changes, Subject
from gradcheck.laws.symmetry import at_once, noise_of_symmetry, shift_of, shifts, smooth
from gradcheck.tree import Array, Leaf

__all__ = ["applies", "broken"]


def broken(subject: Subject) -> Breach | None:
    """Compare the answers at two points that differ by a constant per row, to the bit.

    Adding the constant rounds, so the first of the two points is what is left where it is taken off again.
    """
    if subject.recall(at_once):
        return None
    for leaf in subject.recall(shifts):
        constant = shift_of(leaf.array)
        away = leaf.array + constant
        back = away - constant
        same = np.array_equal(np.isfinite(away), np.isfinite(leaf.array))
        if not same or not np.array_equal(back + constant, away):
            continue
        here, there = subject.ask({leaf.index: back}), subject.ask({leaf.index: away})
        if here is None or there is None:
            continue
        difference = apart(subject, here, there, _noise_at(leaf, away))
        if difference and subject.recall(smooth):
            return Breach("shift", f"with a constant added to each row of {leaf.path}, which the forward does not "
                          f"notice, {difference}")  # fmt: skip
    return None


def _noise_at(leaf: Leaf, away: Array) -> Noise:
    """Measure the noise at both points.

    Where a distribution is compared with one given as data, both may be so near to each other, here and wherever else
    the noise is measured, that the gradient is far smaller than the rounding of the probabilities it is the difference
    of. They are apart where the entries of a row are.
    """
    changes: Changes = {leaf.index: away}
    spread = (away * (1 + uniform(7, away.shape) / 4)).astype(away.dtype)

    def noise(subject: Subject) -> list[Array]:
        pairs = zip(subject.recall(noise_of_symmetry), noise_at(subject, changes), strict=True)
        found = [here + there for here, there in pairs]
        for k, answer in enumerate(subject.ask({leaf.index: spread}) or ()):
            if answer is not None and np.all(np.isfinite(answer)):
                found[k] = found[k] + unit_of(answer.dtype) * rowmax(np.abs(answer))
        return found

    return noise
