"""Where the forward treats all rows alike, so does the gradient: in another order it is the same rows."""

from __future__ import annotations

from gradcheck.laws.breach import Breach
from gradcheck.laws.permuting import unlike
from gradcheck.laws.subject import Subject
from gradcheck.laws.symmetry import not_one_matrix, row_permutations

__all__ = ["applies", "broken"]


def applies(subject: Subject) -> str | None:
    """Require that the forward does not notice another order along the first axis of all arrays."""
    if reason := not_one_matrix(subject):
        return reason
    return None if subject.recall(row_permutations) else "the forward does not treat rows alike"


def broken(subject: Subject) -> Breach | None:
    """Put the rows in another order, and compare with the gradient in that order."""
    found = unlike(subject, subject.recall(row_permutations))
    return Breach("row permutation", f"with the rows in another order, which the forward does not notice, {found}"
                  ": is one row treated apart?") if found else None  # fmt: skip
