"""A rule whose forward answers for one row, or for none, answers there too, in the right shape."""

from __future__ import annotations

import warnings

import numpy as np

from gradcheck.errors import RuleError
from gradcheck.laws.breach import Breach
from gradcheck.laws.elsewhere import largest, one_row, row_counts, with_rows
from gradcheck.laws.running import is_signal, moved, run
from gradcheck.laws.subject import Changes, Subject
from gradcheck.laws.symmetry import row_permutations
from gradcheck.tree import Array

__all__ = ["applies", "broken"]

_COUNTED = {0: "no rows", 1: "one row"}


def applies(subject: Subject) -> str | None:
    """Require arrays that have rows in common, which the forward treats alike, and that it answers for fewer."""
    if subject.irregular:
        return subject.irregular
    if not _row_counts(subject):
        return "no first axis here is one of rows, treated alike and different in length from all other axes"
    return None if subject.recall(_fewer) else "the forward answers for no smaller number of rows"


def broken(subject: Subject) -> Breach | None:
    """Ask at fewer rows, and hold the answer to the contract and to being finite.

    Where the point is one of many, it asks for one row or for none, as its numbers have it.
    """
    for rows, complaint in subject.recall(_fewer):
        if complaint:
            return Breach("sizes", f"for {_COUNTED[rows]}, where the forward answers, {complaint}")
    return None


def _row_counts(subject: Subject) -> list[int]:
    alike = {len(permutation.order) for permutation in subject.recall(row_permutations)}
    return [n for n in subject.recall(row_counts) if n in alike]


def _fewer(subject: Subject) -> list[tuple[int, str]]:
    """Give the smaller numbers of rows that there is an answer for, and what is wrong with it.

    Where the rule has none, it may be that the forward has none either.
    """
    found = []
    for n in _row_counts(subject):
        for rows in _COUNTED if subject.thorough else (subject.fingerprint % 2,):
            changes, cotangents = with_rows(subject, n, rows)
            complaint = "" if rows == 1 and _fine_alone(subject, n) else _complaint(subject, changes, cotangents)
            if complaint and subject.rule.takes_cotangent:  # that of fewer rows may be too large for the type
                complaint = _complaint(subject, changes, _small(subject, cotangents))
            if not complaint or _answers(subject, changes, cotangents):
                found.append((rows, complaint))
    return found


def _fine_alone(subject: Subject, n: int) -> bool:
    alone = subject.recall(one_row)[n]
    return alone is not None and all(r is None or bool(np.isfinite(r).all()) for r in alone)


def _small(subject: Subject, cotangents: list[Array]) -> list[Array]:
    """Divide cotangents until their products with primals are no larger than one."""
    primals = [leaf.array for leaf in subject.flat.differentiated]
    size = max(map(largest, primals)) * max(map(largest, cotangents))
    return [(c.astype(np.float64) / size).astype(c.dtype) for c in cotangents]


def _answers(subject: Subject, changes: Changes, cotangents: list[Array]) -> bool:
    """Whether the forward has a finite value of the shape that is to be expected, without a warning.

    One that warns, as a mean of nothing does, does not count as one that answers.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = subject.values(changes)
    return value is not None and [v.shape for v in value] == [c.shape for c in cotangents]


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
