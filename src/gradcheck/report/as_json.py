"""The report as JSON: everything that the text says, and what tools want besides. A documented, versioned layout.

JSON has no NaN and no infinities, and parsers differ in what they make of them, so they are written as the strings
``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, which ``float`` in Python and ``Number`` in JavaScript both read.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.report.code import as_code, reproduction
from gradcheck.report.environment import environment
from gradcheck.report.report import Report, Tally
from gradcheck.report.tallying import ANY
from gradcheck.report.text import one_line
from gradcheck.report.writing import write_whole
from gradcheck.rule import Point
from gradcheck.tree import Array
from gradcheck.verdict import Discrepancy, Grade, Outcome

if TYPE_CHECKING:
    from gradcheck.mistakes import Finding

__all__ = ["SCHEMA", "over_allowance", "part_as_dict", "report_as_dict", "suite_as_dict", "suite_of", "write_json"]

SCHEMA = 1  # counts up when a field is taken away or comes to mean something else, not when one is added
_WORST = 5  # entries of an array: what one looks at before one looks for the pattern
_SHOWN = 64  # entries of an array that are written out as code; of more, the shape says what there is


def report_as_dict(report: Report) -> dict[str, Any]:
    """Give a report as dicts, lists, strings, numbers, booleans and None, for ``json.dumps``.

    Returns
    -------
    dict
        The reference page on reports lists every field. Numbers that are not finite are strings.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcheck import examine, from_loss
    >>> rule = from_loss(lambda w: np.sum(w**3), lambda w: 3 * w, name="cube")
    >>> content = report_as_dict(examine(rule, np.array([2.0])))
    >>> content["outcome"], content["arrays"][0]["entries"][0]["reference"]
    ('FAIL', 12.0)
    """
    return {"schema": SCHEMA, "environment": environment(), **part_as_dict(report)}


def suite_as_dict(reports: Sequence[Report], not_run: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Give several reports in one, with what could not be run and why, by name."""
    return suite_of([part_as_dict(report) for report in reports], not_run)


def part_as_dict(report: Report) -> dict[str, Any]:
    """Give what `suite_as_dict` holds of one report, as it can be sent from another process."""
    content: dict[str, Any] = _plain(_body(report))
    return content


def suite_of(parts: Sequence[Mapping[str, Any]], not_run: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Put together what `suite_as_dict` gives, of the parts that `part_as_dict` made."""
    lost = [{"name": name, "why": why} for name, why in (not_run or {}).items()]
    return {
        "schema": SCHEMA,
        "environment": environment(),
        "reports": [dict(part) for part in parts],
        "not_run": _plain(lost),
    }


def write_json(
    reports: Sequence[Report], path: str | os.PathLike[str], not_run: Mapping[str, str] | None = None
) -> Path:
    """Write several reports into one file, whole or not at all.

    Raises
    ------
    InvalidArgument
        If the folder is not there.
    OSError
        If it may not be written to.
    """
    return write_whole(path, json.dumps(suite_as_dict(reports, not_run), indent=1, allow_nan=False) + "\n")


def _body(report: Report) -> dict[str, Any]:
    verdict, tally, origin = report.verdict, report.tally, report.origin
    return {
        "name": origin.name,
        "outcome": verdict.outcome.value,
        "line": one_line(report),
        "reason": verdict.reason,
        "law": {"name": verdict.breach.law, "text": verdict.breach.text} if verdict.breach else None,
        "findings": [_finding(finding) for finding in report.findings],
        "unlike": report.diagnosis.unlike,
        "trouble": report.diagnosis.trouble,
        "grade": tally.grade if tally else verdict.grade,
        "worst_ulps": tally.worst_ulps if tally else verdict.worst_ulps,
        "would_have_seen": tally.seen if tally else verdict.seen if verdict.outcome is Outcome.PASS else None,
        "arrays": [_array(discrepancy) for discrepancy in verdict.discrepancies],
        "votes": [{"oracle": v.oracle, "agrees": v.agrees, "detail": v.detail} for v in verdict.votes],
        "notes": list(verdict.notes),
        "laws": dict(tally.laws if tally else verdict.laws),
        "tally": _tally(tally) if tally else None,
        "origin": {
            "maker": origin.maker,
            "target": list(origin.target),
            "argnums": None if origin.argnums is None else list(origin.argnums),
            "takes_cotangent": origin.takes_cotangent,
            "domain": origin.domain,
        },
        "seed": report.seed,
        "saved": None if report.saved is None else str(report.saved),
        "replay": None if report.saved is None else f"gradcheck replay {report.saved}",
        "reproduction": None if verdict.outcome is Outcome.PASS else reproduction(report),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "name": finding.name,
        "says": finding.says,
        "change": finding.change,
        "evidence": [{"where": e.where, "before": e.before, "after": e.after} for e in finding.evidence],
        "rivals": list(finding.rivals),
        "alike": list(finding.alike),
        "where": finding.where,
        "point": None if finding.point is None else _point(finding.point),
    }


def _point(point: Point) -> dict[str, Any]:
    return {
        "args": [_shown(arg) for arg in point.args],
        "kwargs": {str(name): _shown(value) for name, value in point.kwargs.items()},
        "cotangent": _shown(point.cotangent),
    }


def _shown(value: Any) -> str:
    """Write a value as code, its large arrays by dtype and shape."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_shown(part)}" for key, part in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "(" + ", ".join(map(_shown, value)) + ")"
    if np.size(value) > _SHOWN:
        array = np.asarray(value)
        return f"{array.dtype}{array.shape}"
    return as_code(value)


def _array(discrepancy: Discrepancy) -> dict[str, Any]:
    allowed, ratio = discrepancy.allowed, over_allowance(discrepancy)
    return {
        "path": discrepancy.path,
        "shape": list(discrepancy.analytic.shape),
        "precision": discrepancy.precision.name,
        "complete": discrepancy.complete,
        "grades": {grade.name.lower(): int(np.sum(discrepancy.grade == grade)) for grade in Grade},
        "not_finite": int(np.sum(~np.isfinite(discrepancy.analytic))),
        "not_resolved": int(np.sum(~discrepancy.resolved)),
        "allowed": {
            "smallest": float(allowed.min()),
            "median": float(np.median(allowed)),
            "largest": float(allowed.max()),
        }
        if allowed.size
        else None,
        "over_allowance": float(ratio.max()) if ratio.size else None,
        "entries": [_entry(discrepancy, ratio, index) for index in _worst(discrepancy, ratio)],
    }


def over_allowance(discrepancy: Discrepancy) -> Array:
    """Give error over allowance, entry by entry: above 1 is wrong, NaN is not known, infinite is not finite."""
    difference, allowed = discrepancy.difference, discrepancy.allowed
    with np.errstate(all="ignore"):
        ratio = difference / allowed
    ratio = np.where((difference == 0) & (allowed == 0), 0.0, ratio)
    return np.asarray(np.where(discrepancy.unknown, np.nan, ratio))


def _worst(discrepancy: Discrepancy, ratio: Array) -> list[tuple[int, ...]]:
    """Index the wrong entries as the text does; where none is wrong, those that are nearest to it, or not known."""
    wrong = discrepancy.worst(_WORST)
    if wrong:
        return wrong
    order = np.argsort(-np.where(np.isnan(ratio), np.inf, ratio), axis=None, kind="stable")[:_WORST]
    return [tuple(int(i) for i in np.unravel_index(k, ratio.shape)) for k in order]


def _entry(discrepancy: Discrepancy, ratio: Array, index: tuple[int, ...]) -> dict[str, Any]:
    return {
        "index": list(index),
        "analytic": float(discrepancy.analytic[index]),
        "reference": float(discrepancy.reference[index]),
        "reference_error": float(discrepancy.error[index]),
        "allowed": float(discrepancy.allowed[index]),
        "over_allowance": float(ratio[index]),
        "grade": Grade(int(discrepancy.grade[index])).name.lower(),
    }


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "examples": tally.examples,
        "counts_inputs": tally.counts_inputs,
        "margin": tally.margins.get(ANY),
        "regimes": [
            {
                "name": name,
                "examples": count,
                "worst_ulps": tally.regime_ulps.get(name),
                "margin": tally.margins.get(name),
            }
            for name, count in tally.regimes.items()
        ],
        "notes": [{"note": note, "examples": count} for note, count in tally.notes.items()],
    }


def _plain(value: Any) -> Any:
    """Take out what parsers of JSON stumble over: numbers that are not finite, and halves of surrogate pairs."""
    if isinstance(value, dict):
        return {_plain(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
