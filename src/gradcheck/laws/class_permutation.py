"""Where the forward treats all classes alike, so does the gradient: new names permute it, and change nothing else."""

from __future__ import annotations

from gradcheck.laws.breach import Breach
from gradcheck.laws.permuting import unlike
from gradcheck.laws.subject import Subject
from gradcheck.laws.symmetry import class_permutations, not_one_matrix

__all__ = ["applies", "broken"]


def applies(subject: Subject) -> str | None:
    """Require that the forward does not notice new names of classes, in the last axis of all arrays and in labels."""
    if reason := not_one_matrix(subject):
        return reason
    return None if subject.recall(class_permutations) else "the forward does not treat the entries of a row alike"


def broken(subject: Subject) -> Breach | None:
    """Rename the classes, and compare with the gradient in the new order."""
    found = unlike(subject, subject.recall(class_permutations))
    return Breach("class permutation", f"with the classes in another order, which the forward does not notice, {found}"
                  ": is one class treated apart?") if found else None  # fmt: skip
