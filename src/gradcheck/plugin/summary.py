"""What the plugin says at the end of a session."""

from __future__ import annotations

from collections.abc import Iterator

from gradcheck.memory import FLOOR, LOCK, Record
from gradcheck.memory.margins import shown
from gradcheck.plugin.results import Entry, Results

__all__ = ["summary"]


def summary(results: Results) -> list[str]:
    """Lay out the section: a table if it was asked for, then whatever failed, then the files that were written."""
    from gradcheck.report.visible import visible

    lines = [*(_table(results) if results.options.summary else ()), *_failures(results)]
    return [*map(visible, lines), *results.written]


def _failures(results: Results) -> Iterator[str]:
    unknown = 0
    for entry in results.entries.values():
        record = entry.record
        if record.outcome != "PASS" and entry.outcome == "failed":
            yield f"{record.outcome} {record.rule} in {entry.test}: {record.why}"
            if record.saved:
                yield f"  gradcheck replay {record.saved}"
        worse = results.worsened(entry.test, record)
        if worse:
            yield f"WORSE {record.rule} in {entry.test}: {'; '.join(map(str, worse[:2]))}"
        unknown += bool(record.kept) and results.lock.get(entry.test, record.rule) is None
    if unknown and results.options.factor is not None:
        yield f"{unknown} not in {LOCK}, so not compared: pytest --gradcheck-update adds what is new"


def _table(results: Results) -> Iterator[str]:
    """List every gradient: how it came out, over how many points, and the regime in which it came closest to wrong."""
    if not results.entries:
        yield "no gradient was checked"
        return
    rows = [("outcome", "points", "grade", "worst ulp", "of allowed", "worst in", "gradient")]
    for entry in sorted(results.entries.values(), key=_closeness):
        record = entry.record
        numbers = _numbers(record) if record.kept else ("", "", "", "")
        rows.append((record.outcome, str(record.examples), *numbers, f"{record.rule} in {entry.test}"))
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]) - 1)]
    for *cells, name in rows:
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)), name])
    yield "(of allowed: the largest error as a share of what rounding explains; above 1 is wrong)"


def _numbers(record: Record) -> tuple[str, str, str, str]:
    regime, margin = max(record.margins.items(), key=lambda pair: pair[1])
    return record.grade, f"{record.worst_ulps:.2g}", shown(margin), regime if margin > FLOOR else ""


def _closeness(entry: Entry) -> tuple[bool, float, float, str]:
    worst = max(entry.record.margins.values(), default=0.0)
    return entry.record.outcome == "PASS", -max(worst, FLOOR), -entry.record.worst_ulps, entry.test
