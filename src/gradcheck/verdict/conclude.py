"""What follows when no entry is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradcheck.tree import every
from gradcheck.verdict.outcome import Discrepancy, Outcome, Verdict, Vote

__all__ = ["conclude"]


def conclude(discrepancies: Sequence[Discrepancy], votes: Sequence[Vote], notes: Sequence[str] = ()) -> Verdict:
    """Conclude where no entry is wrong: PASS, unless something could not be judged or nothing was resolved."""
    unknown = [d.path for d in discrepancies if not every(~d.unknown)]
    vacuous = [d.path for d in discrepancies if d.vacuous]
    evidence: dict[str, Any] = {
        "discrepancies": tuple(discrepancies),
        "votes": tuple(votes),
        "notes": tuple(notes),
    }
    if unknown:
        return Verdict(
            Outcome.UNDECIDED,
            f"no oracle knows the error of its reference in entries of {', '.join(unknown)}",
            **evidence,
        )
    if vacuous:
        return Verdict(Outcome.UNDECIDED, f"every entry of {', '.join(vacuous)} is smaller than what rounding explains "
                       "here, so agreement would mean nothing", vacuous=True, **evidence)  # fmt: skip
    return Verdict(Outcome.PASS, "every entry agrees", **evidence)
