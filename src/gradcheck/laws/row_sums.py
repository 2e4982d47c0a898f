"""Where a constant per row leaves the forward as it is, every row of the gradient sums to zero."""

from __future__ import annotations

import numpy as np

from gradcheck.laws.breach import Breach
from gradcheck.laws.noise import SAFETY, least_noise
from gradcheck.laws.subject import Subject
from gradcheck.laws.symmetry import noise_of_symmetry, not_one_matrix, shifts, smooth
from gradcheck.tree import Array, every

__all__ = ["applies", "broken"]


def applies(subject: Subject) -> str | None:
    """Require that the forward does not notice a constant added to each row of some primal."""
    if reason := not_one_matrix(subject):
        return reason
    return None if subject.recall(shifts) else "the forward changes where a constant is added to a row"


def broken(subject: Subject) -> Breach | None:
    """Add up the rows.

    Their roundings are independent, and add up as the root of their number does.
    """
    if _least(subject):
        return None
    noise = subject.recall(noise_of_symmetry)
    leaves = {leaf.index for leaf in subject.recall(shifts)}
    for leaf, result, about in zip(subject.flat.differentiated, subject.answer.cotangents, noise, strict=True):
        if leaf.index not in leaves or result is None:
            continue
        sums, ratio = _sums(result, about)
        worst = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
        subject.ratios.append(float(ratio[worst]))
        if ratio[worst] > 1 and subject.recall(smooth):
            row = f"[{', '.join(str(int(i)) for i in worst)}]" if worst else ""
            return Breach("row sums", f"the cotangent of {leaf.path}{row} sums to {float(sums[worst]):.6g}, and not to "
                          "0 as it must, since the forward does not change where a constant is added to that "
                          "row: is every entry of the row updated?")  # fmt: skip
    return None


def _least(subject: Subject) -> bool:
    """Whether the rows sum to so little that no noise has to be measured."""
    answer = subject.answer.cotangents
    for calm in (False, True):
        pairs = zip(answer, least_noise(subject, answer, calm=calm), strict=True)
        if all(r is None or every(_sums(r, least)[1] <= 1) for r, least in pairs):
            return True
    return False


def _sums(result: Array, noise: Array) -> tuple[Array, Array]:
    """Give the sizes of the sums of the rows, and how much of what is allowed they use up."""
    sums = np.abs(result.astype(np.float64).sum(axis=-1))
    return sums, sums / (SAFETY * np.sqrt(result.shape[-1]) * noise.max(axis=-1))
