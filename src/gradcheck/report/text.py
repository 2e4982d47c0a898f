"""The report as text: what a tired reader needs first, in at most 100 columns."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

import numpy as np

from gradcheck.laws import LEFT, OFF, OPTIONAL, UNFIT
from gradcheck.mistakes import Finding
from gradcheck.report.code import reproduction
from gradcheck.report.report import Report, Tally
from gradcheck.report.visible import visible
from gradcheck.verdict import Discrepancy, Grade, Outcome, Vote

__all__ = ["one_line", "render"]

_WIDTH = 100
_WORST = 5
_INDENT = 14
_GLUE = "\N{NO-BREAK SPACE}"
_INDEX = re.compile(r"[\[(]\d+(, \d+)*,?[\])]")
_LISTED = 10
_MANY = 1e4  # ulps; beyond, digits before the point say nothing


def one_line(report: Report) -> str:
    """Say in one line what a pass is worth, or why there is none."""
    verdict, tally = report.verdict, report.tally
    if verdict.outcome is not Outcome.PASS:
        return f"{verdict.outcome.value} {report.origin.name}: {_why(report)}"
    grade, ulps, seen = (
        (tally.grade, tally.worst_ulps, tally.seen) if tally else (verdict.grade, verdict.worst_ulps, verdict.seen)
    )
    parts = [f"PASS {grade}"]
    if grade != "no entries":
        parts.append(f"worst {ulps:.1f} ulp" if ulps < _MANY else f"worst {ulps:.0e} ulp")
        parts.append(_would_have_seen(seen))
    if tally:
        parts.append(_coverage(tally))
    return ", ".join(parts)


def _why(report: Report) -> str:
    """Say of what did not pass what one would want to know if it were all one got to know."""
    diagnosis = report.diagnosis
    if diagnosis.findings:
        return diagnosis.findings[0].says
    return f"unlike any known mistake: {diagnosis.unlike}" if diagnosis.unlike else report.verdict.reason


def _would_have_seen(error: float) -> str:
    if np.isnan(error):
        return "what it would have seen is unknown, since the arguments were written over"
    return f"would have seen {error:.0e}" if np.isfinite(error) else "the gradient is zero here"


def render(report: Report, *, laws: bool = True) -> str:
    """Lay a report out. A pass is one line, and a line for each thing noted; anything else says where, what and why.

    Among many passes, which laws did not apply is left out.
    """
    if report.verdict.outcome is Outcome.PASS:
        lines = [one_line(report), *_pass_notes(report), *(_laws(report) if laws else ())]
    else:
        lines = list(_lines(report))
    return visible("\n".join(lines))


def _pass_notes(report: Report) -> Iterator[str]:
    if report.tally is None:
        notes = dict.fromkeys(report.verdict.notes, "")
    else:
        total = report.tally.examples
        notes = {note: f"in {count} of {total} examples: " for note, count in report.tally.notes.items()}
        notes |= dict.fromkeys(_never_visited(report.tally), "")
    for note, where in notes.items():
        yield from _field("note", f"{where}{note}")


def _lines(report: Report) -> Iterator[str]:
    verdict = report.verdict
    yield from _wrapped(one_line(report), _WIDTH, _INDENT)
    yield from _diagnosis(report)
    if verdict.reason != _why(report):
        yield from _field("why", verdict.reason)
    if verdict.breach:
        yield from _field("law", _switch(verdict.breach.law))
    undecided = verdict.outcome is Outcome.UNDECIDED
    shown = [d for d in verdict.discrepancies if undecided or np.any(d.wrong | d.unknown)]
    for discrepancy in shown:
        yield from _census(discrepancy)
        yield from _worst_entries(discrepancy)
    if right := [f"{d.path} {_shape(d)}" for d in verdict.discrepancies if d not in shown]:
        yield from _field("right", ", ".join(right))
    for number, vote in enumerate(_votes(verdict.votes)):
        yield from _field("judged by" if not number else "", vote)
    for note in verdict.notes:
        yield from _field("note", note)
    yield from _laws(report)
    if report.tally:
        yield from _field("after", _coverage(report.tally))
        for note in _never_visited(report.tally):
            yield from _field("", note)
    if report.saved:
        yield from _field("reproduce", f"gradcheck replay {report.saved}")
    yield from _field(
        "" if report.saved else "reproduce", "or paste this test:" if report.saved else "paste this test:"
    )
    yield f"\n{reproduction(report)}"  # not indented, so that it can be pasted as it is


def _diagnosis(report: Report) -> Iterator[str]:
    """Say what to change, and how good the evidence for that is; the first line says what the mistake is."""
    if report.diagnosis.trouble:
        yield from _field("what", f"the diagnosis itself failed: {report.diagnosis.trouble}")
    for number, finding in enumerate(report.findings):
        if number:
            yield from _field("what", finding.says)
        yield from _field("change", finding.change)
        if words := "; ".join(_evidence(finding)):
            yield from _field("evidence", words)


def _evidence(finding: Finding) -> Iterator[str]:
    by_law = [evidence for evidence in finding.evidence if evidence.by_law]
    if by_law:
        apart = by_law[0].before
        how = f"{apart:.2g} allowances apart" if np.isfinite(apart) else "not as they should be"
        yield f"compared {by_law[0].where}: {how}"
    elif finding.evidence:
        inputs = _counted(len(finding.evidence), "input", "inputs")
        before, after = (max(getattr(e, name) for e in finding.evidence) for name in ("before", "after"))
        if after <= 1.0:
            explained = len(finding.evidence)
            yield f"explains {explained} of {inputs}: error {_allowances(before)} before, {_allowances(after)} after"
        else:  # it says where the error is, and not how large
            wrong = sum(e.before > 1.0 for e in finding.evidence)
            yield f"wrong at {wrong} of {inputs}: error up to {_allowances(before)}"
    if finding.rivals and finding.where:
        yield f"told from {_listed(finding.rivals)} at {finding.where}"
    if finding.alike:
        yield f"no input here tells it from {_listed(finding.alike)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _allowances(error: float) -> str:
    return f"{error:.2g} allowances" if np.isfinite(error) else "not finite"


def _laws(report: Report) -> Iterator[str]:
    """Say in a line which laws were not asked. A failure, and a pass at one point, only say what the caller chose."""
    laws = report.tally.laws if report.tally else report.verdict.laws
    parts = {"switched off": [name for name, said in laws.items() if said == OFF]}
    if report.outcome is Outcome.UNDECIDED or (report.tally and report):
        parts["did not apply"] = [name for name, said in laws.items() if said.startswith(UNFIT)]
    if report.tally and report.outcome is not Outcome.FAIL:  # of a few examples: among many, another point asks
        parts["left to points that were not drawn"] = [name for name, said in laws.items() if said == LEFT]
    if any(parts.values()):
        yield from _field("laws", "; ".join(f"{what}: {', '.join(names)}" for what, names in parts.items() if names))


def _switch(law: str) -> str:
    """Name a broken law as one writes it to switch it off, where one can."""
    return f"{law} (without=({law!r},) switches it off)" if law in OPTIONAL else law


def _shape(discrepancy: Discrepancy) -> str:
    return f"({', '.join(map(str, discrepancy.analytic.shape))})"


def _field(label: str, text: str) -> Iterator[str]:
    lines = _wrapped(text, _WIDTH - _INDENT)
    if len(label) > _INDENT - 3:
        yield f"  {label}"
        label = ""
    yield f"  {label:<{_INDENT - 2}}{lines[0]}"
    for line in lines[1:]:
        yield " " * _INDENT + line


def _wrapped(text: str, width: int, indent: int = 0) -> list[str]:
    # what one copies or looks for stays in one piece: a path, an index, a shape
    glued = _INDEX.sub(lambda found: found[0].replace(" ", _GLUE), text)
    lines = textwrap.wrap(glued, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
    return [line.replace(_GLUE, " ") for line in lines] or [""]


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _census(discrepancy: Discrepancy) -> Iterator[str]:
    grade = discrepancy.grade
    counts = [_counted(grade.size, "entry", "entries"), f"{int(np.sum(grade == Grade.WRONG))} wrong"]
    for label, value in (
        ("norm-wise accurate only", Grade.NORM_WISE),
        ("on a kink", Grade.KINK),
        ("that nothing could judge", Grade.UNKNOWN),
    ):
        if np.any(grade == value):
            counts.append(f"{int(np.sum(grade == value))} {label}")
    for label, those in (("not finite", ~np.isfinite(discrepancy.analytic)), ("not resolved", ~discrepancy.resolved)):
        if np.any(those):
            counts.append(f"{int(np.sum(those))} {label}")
    with np.errstate(all="ignore"):
        size = float(np.linalg.norm(discrepancy.reference))
        error = float(np.linalg.norm(discrepancy.analytic - discrepancy.reference))
    counts.append(
        f"norm-wise error {error / size:.1e}" if size else f"norm of the error {error:.1e} where the truth is 0"
    )
    yield from _field(discrepancy.path, f"{_shape(discrepancy)}: {', '.join(counts)}")


def _worst_entries(discrepancy: Discrepancy) -> Iterator[str]:
    worst = discrepancy.worst(_WORST)
    if not worst:
        return
    yield f"    {'entry':<16}{'analytic (yours)':>22}{'reference':>22}{'± its error':>12}{'allowed':>10}{'ratio':>12}"
    for index in worst:
        analytic, reference = discrepancy.analytic[index], discrepancy.reference[index]
        with np.errstate(all="ignore"):
            ratio = np.divide(analytic, reference)
        name = f"{discrepancy.path}[{', '.join(map(str, index))}]" if index else discrepancy.path
        if len(name) > 16:
            yield f"    {name}"
            name = ""
        yield (
            f"    {name:<16}{analytic:>22.14g}{reference:>22.14g}{discrepancy.error[index]:>12.1e}"
            f"{discrepancy.allowed[index]:>10.1e}{ratio:>12.4g}"
        )
    rest = int(discrepancy.wrong.sum()) - len(worst)
    if rest:
        yield f"    and {rest} more"


def _votes(votes: Sequence[Vote]) -> Iterator[str]:
    """Say once what an oracle says several times, as along several directions."""
    words = {True: "for", False: "against", None: "abstains"}
    groups: dict[tuple[str, bool | None], list[str]] = {}
    for vote in votes:
        groups.setdefault((vote.oracle, vote.agrees), []).append(vote.detail)
    for (oracle, agrees), details in groups.items():
        times = f", {len(details)} times" if len(details) > 1 else ""
        yield f"{oracle} ({words[agrees]}{times}): {details[0]}"


def _never_visited(tally: Tally) -> list[str]:
    never = [name for name, count in tally.regimes.items() if not count]
    more = f" and {len(never) - _LISTED} more" if len(never) > _LISTED else ""
    return [f"never visited: {', '.join(never[:_LISTED])}{more}"] if never else []


def _coverage(tally: Tally) -> str:
    visited = f"{sum(map(bool, tally.regimes.values()))}/{len(tally.regimes)} regimes"
    regimes = visited if tally.counts_inputs else "regimes of inputs not counted"
    return f"{_counted(tally.examples, 'example', 'examples')}, {regimes}"
