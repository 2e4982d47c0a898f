"""What a test leaves behind of each rule it checked: a line of JSON that travels with pytest's own reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from gradcheck.errors import DataError
from gradcheck.memory.margins import Margins

if TYPE_CHECKING:
    from gradcheck.report import Report

__all__ = ["Record"]


@dataclass(frozen=True)
class Record:
    """One rule in one test.

    ``outcome`` is PASS, FAIL or UNDECIDED; ``why`` and ``saved`` are empty for a pass; ``margins`` are by regime, as
    in `gradcheck.report.Tally`.
    """

    rule: str
    outcome: str
    examples: int
    grade: str
    worst_ulps: float
    margins: Mapping[str, float] = field(default_factory=dict)
    why: str = ""
    saved: str = ""

    @classmethod
    def of(cls, report: Report) -> Record:
        """Take down what a report says."""
        tally, verdict = report.tally, report.verdict
        return cls(
            report.origin.name,
            report.outcome.value,
            tally.examples if tally else 1,
            tally.grade if tally else verdict.grade,
            tally.worst_ulps if tally else verdict.worst_ulps,
            dict(tally.margins) if tally else {},
            "" if report else _why(report),
            "" if report.saved is None else str(report.saved),
        )

    @property
    def kept(self) -> Margins | None:
        """What is worth remembering of it; nothing unless it passed."""
        return Margins(self.grade, self.margins) if self.outcome == "PASS" and self.margins else None

    def as_json(self) -> str:
        """Write it in one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Read what `as_json` wrote.

        Raises
        ------
        DataError
            If it is something else.
        """
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise DataError(f"not a record of a check: {text!r} ({error})") from None


def _why(report: Report) -> str:
    """Say what is wrong, as the diagnosis does if one has been made; many failures are meant, by tests that pass."""
    diagnosis = report.diagnosed
    if diagnosis is None:
        return report.verdict.reason
    return next((finding.says for finding in diagnosis.findings), diagnosis.unlike or report.verdict.reason)
