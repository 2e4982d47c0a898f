"""Reports made by hand, so that how they read is tested apart from how they come about."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pytest

from gradcheck.report import Origin, Report
from gradcheck.rule import Point
from gradcheck.verdict import Discrepancy, Grade, Outcome, Verdict, Vote
from gradcheck.verdict.outcome import Precision

Compared: TypeAlias = Callable[..., Discrepancy]
MakeReport: TypeAlias = Callable[..., Report]

FLOAT64 = Precision("float64", 2.0**-53, 2.0**-1022, sys.float_info.max)
ORIGIN = Origin("hand.nll_grad", "from_loss", ("hand:nll", "hand:nll_grad"), (0,), takes_cotangent=False)


def _compared(analytic: Any, reference: Any, *, path: str = "z", allowed: float = 1e-12) -> Discrepancy:
    """Compare arrays with one allowance for all entries."""
    analytic, reference = np.asarray(analytic, float), np.asarray(reference, float)
    with np.errstate(all="ignore"):
        wrong = ~(np.abs(analytic - reference) <= allowed)
    grade = np.where(wrong, Grade.WRONG, Grade.ENTRY_WISE)
    same = np.full(reference.shape, allowed)
    return Discrepancy(
        path=path,
        analytic=analytic,
        reference=reference,
        error=same / 4,
        allowed=same,
        limit=same,
        grade=grade,
        precision=FLOAT64,
        summands=np.abs(reference),
    )


def _report(*discrepancies: Discrepancy, outcome: Outcome = Outcome.FAIL, **changed: Any) -> Report:
    """Make the report of a failure; keyword arguments change fields of the report, its verdict or its origin."""
    fields = {"reason": "entries differ", "votes": (Vote("autodiff", False, "the forward itself"),)}
    verdict = Verdict(
        outcome, **(fields | _taken(changed, "reason", "votes", "breach", "notes")), discrepancies=discrepancies
    )
    origin = replace(ORIGIN, **_taken(changed, "name", "maker", "target", "argnums", "takes_cotangent"))
    point = Point(
        changed.pop("args", (np.array([[0.5, -1.0]]),)), changed.pop("kwargs", {}), changed.pop("cotangent", 1.0)
    )
    return Report(origin, point, verdict, **changed)


def _taken(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: fields.pop(name) for name in names if name in fields}


@pytest.fixture(scope="session")
def compared() -> Compared:
    return _compared


@pytest.fixture(scope="session")
def make_report() -> MakeReport:
    return _report
