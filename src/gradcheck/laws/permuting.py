"""Ask a rule for a permuted point, and compare with the permuted answer."""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck.laws.noise import Noise, apart
from gradcheck.laws.subject import Subject
from gradcheck.laws.symmetry import Permutation, at_once, noise_of_symmetry, permuted, smooth

__all__ = ["unlike"]


def _in_order(permutation: Permutation) -> Noise:
    return lambda subject: [permutation.of(noise) for noise in subject.recall(noise_of_symmetry)]


def unlike(subject: Subject, found: Sequence[Permutation]) -> str:
    """Say where the answer to a permuted point is not the permuted answer."""
    if subject.recall(at_once):
        return ""
    for permutation in found:
        cotangent = subject.cotangent_of([permutation.of(c) for c in subject.cotangents])
        there = subject.ask(permuted(subject, permutation, {}), cotangent)
        if there is None:
            continue
        due = tuple(None if a is None else permutation.of(a) for a in subject.answer.cotangents)
        difference = apart(subject, due, there, _in_order(permutation))
        if difference and subject.recall(smooth):
            return difference
    return ""
