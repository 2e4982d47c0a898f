"""A rule whose forward answers for one row, or for none, answers there too, in the right shape."""

from __future__ import annotations

import warnings

import numpy as np

from gradcheck.errors import RuleError
from gradcheck.laws.breach import Breach
from gradcheck.laws.elsewhere import row_counts, with_rows
from gradcheck.laws.running import is_signal, moved, run
from gradcheck.laws.subject import Changes, Subject
from gradcheck.laws.symmetry import row_permutations
from gradcheck.tree import Array

__all__ = ["applies", "broken"]

_COUNTED = {0: "no rows", 1: "one row"}
Smaller = tuple[int, Changes, list[Array]]


def applies(subject: Subject) -> str | None:
    """Require arrays that have rows in common, which the forward treats alike, and that it answers for fewer."""
    if subject.irregular:
        return subject.irregular
    if not _row_counts(subject):
        return "no first axis here is one of rows, treated alike and different in length from all other axes"
    return None if subject.recall(_smaller) else "the forward answers for no smaller number of rows"


def broken(subject: Subject) -> Breach | None:
    """Ask at fewer rows, and hold the answer to the contract and to being finite."""
    for rows, changes, cotangents in subject.recall(_smaller):
        if found := _complaint(subject, changes, cotangents):
            return Breach("sizes", f"for {_COUNTED[rows]}, where the forward answers, {found}")
    return None


def _row_counts(subject: Subject) -> list[int]:
    alike = {len(permutation.order) for permutation in subject.recall(row_permutations)}
    return [n for n in subject.recall(row_counts) if n in alike]


def _smaller(subject: Subject) -> list[Smaller]:
    """Find the smaller points at which the forward has a finite value of the shape that is to be expected.

    A forward that warns there, as a mean of nothing does, does not count as one that answers.
    """
    found = []
    for n in _row_counts(subject):
        for rows in _COUNTED:
            changes, cotangents = with_rows(subject, n, rows)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                value = subject.values(changes)
            if value is not None and [v.shape for v in value] == [c.shape for c in cotangents]:
                found.append((rows, changes, cotangents))
    return found


def _complaint(subject: Subject, changes: Changes, cotangents: list[Array]) -> str:
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pulled = run(subject.rule, moved(subject.flat, changes)).pull(subject.cotangent_of(cotangents))
    except RuleError as error:
        return f"the rule raised ({error.__cause__ or error})"
    except Exception as error:
        if is_signal(error):
            return ""
        raise
    if isinstance(pulled, Breach):
        return pulled.text
    pairs = zip(subject.flat.differentiated, pulled.kept, strict=True)
    wild = [leaf.path for leaf, r in pairs if r is not None and not np.all(np.isfinite(r))]
    return f"the cotangent of {wild[0]} is not finite" if wild else ""
