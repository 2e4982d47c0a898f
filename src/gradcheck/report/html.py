"""The report as one page of HTML: no script, nothing loaded from elsewhere, and whatever a name holds is text.

The page is laid out of sections, which are plain data (`gradcheck.report.section`). Needs the extra ``report``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.extras import import_extra
from gradcheck.laws import UNFIT
from gradcheck.report.as_json import suite_of
from gradcheck.report.canvas import own_names, require_matplotlib
from gradcheck.report.report import Report
from gradcheck.report.section import PICTURED, UNPICTURED, Picture, Section, section_of, sections_of
from gradcheck.report.visible import visible
from gradcheck.report.writing import write_whole

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["Picture", "Section", "page_of", "render_html", "require_html", "section_of", "sections_of", "write_html"]

_MANY = 1e4  # from here a power of ten says more than digits do


@dataclass(frozen=True)
class _Item:
    """One section as the template takes it; what is markup in it is marked as such."""

    anchor: str
    report: Mapping[str, Any]
    pictures: tuple[tuple[str, str, Any], ...]
    left_out: tuple[str, ...]


def require_html() -> None:
    """Refuse to make a page without what it takes, before the work is done that it is to show.

    Raises
    ------
    MissingExtra
        If jinja2 or matplotlib is not installed.
    """
    _require_jinja2()
    require_matplotlib()


def _require_jinja2() -> None:
    import_extra("jinja2", "a report in HTML", "jinja2", "report")


def write_html(
    reports: Sequence[Report], path: str | os.PathLike[str], not_run: Mapping[str, str] | None = None
) -> Path:
    """Write several reports into one page, whole or not at all.

    Raises
    ------
    MissingExtra
        If jinja2 or matplotlib is not installed.
    InvalidArgument
        If the folder is not there.
    OSError
        If it may not be written to.
    """
    return write_whole(path, render_html(reports, not_run))


def render_html(reports: Sequence[Report], not_run: Mapping[str, str] | None = None) -> str:
    """Lay reports out as one page, failures first.

    Parameters
    ----------
    reports : sequence of Report
        Those that hold their rule get a picture of finite differences against the step.
    not_run : mapping of str to str, optional
        What could not be run, by name, and why.

    Raises
    ------
    MissingExtra
        If jinja2 or matplotlib is not installed.
    """
    require_html()
    return page_of(sections_of(reports), not_run)


def page_of(sections: Iterable[Section], not_run: Mapping[str, str] | None = None) -> str:
    """Lay sections out as one page, failures first; they may have been made in other processes.

    Parameters
    ----------
    sections : iterable of Section
        As `section_of` makes them of a report, or `sections_of` of several; ``Section.as_json`` and
        ``Section.from_json`` take one from process to process. Pictures are shown of the first twelve.
    not_run : mapping of str to str, optional
        What could not be run, by name, and why.

    Raises
    ------
    MissingExtra
        If jinja2 is not installed.
    """
    _require_jinja2()
    ordered = sorted(sections, key=lambda section: section.rank)
    content = suite_of([section.report for section in ordered], not_run)
    items = _items(ordered)
    headline = _headline(ordered, len(content["not_run"]))
    alone = len(items) == 1 and not not_run
    title = f"{items[0].report['outcome']} {items[0].report['name']}" if alone else headline
    page = _environment().get_template("report.html.jinja")
    return page.render(
        title=f"{title} · gradcheck",
        headline=headline,
        alone=alone,
        level=2 if alone else 3,  # of the headings within a report
        items=items,
        not_run=content["not_run"],
        environment=content["environment"],
    )


def _items(sections: Sequence[Section]) -> list[_Item]:
    """Give each section an anchor, and leave the pictures out of those that are too many."""
    from markupsafe import Markup

    items = []
    for number, section in enumerate(sections, 1):
        if number > PICTURED:  # whatever was drawn: a page is the same however many processes made its sections
            section = replace(section, pictures=(), left_out=(UNPICTURED,))
        anchor = f"report-{number}"
        # drawn in `gradcheck.report.pictures`, which escapes the names of others
        pictures = [(p.title, p.text, Markup(own_names(p.svg, anchor))) for p in section.pictures]  # noqa: S704
        items.append(_Item(anchor, section.report, tuple(pictures), section.left_out))
    return items


def _headline(sections: Sequence[Section], not_run: int) -> str:
    ranks = [section.rank for section in sections]
    counts = [(ranks.count(rank), word) for rank, word in enumerate(("wrong", "undecided", "right"))]
    parts = [f"{count} {word}" for count, word in [*counts, (not_run, "not run")] if count]
    total = len(sections) + not_run
    return f"{total} {'gradient' if total == 1 else 'gradients'}: {', '.join(parts) or 'nothing to show'}"


def _environment() -> Environment:
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("gradcheck.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,  # not numbers, and markup made here
        trim_blocks=True,
    )
    made.filters |= {
        "about": _about,
        "allowances": _allowances,
        "exact": lambda value: value if isinstance(value, str) else f"{value:.10g}",
        "by_answer": _by_answer,
        "census": _census,
        "colour": lambda vote: {True: "PASS", False: "FAIL", None: "muted"}[vote["agrees"]],
        "by_oracle": _by_oracle,
        "noted": _noted,
        "sentence": _sentence,
        "ulps": lambda value: value if isinstance(value, str) else f"{value:.1f}" if value < _MANY else f"{value:.0e}",
        "why": lambda report: report["line"].removeprefix("PASS ") if report["outcome"] == "PASS" else report["reason"],
        "word": lambda vote: {True: "for", False: "against", None: "abstains"}[vote["agrees"]],
    }
    return made


def _about(value: float | str) -> str:
    """Write a number in two digits, without a power of ten where it needs none."""
    if isinstance(value, str):
        return value
    return f"{value:.0f}" if 10 <= value < _MANY else f"{value:.2g}"


def _allowances(errors: Iterable[float | str]) -> str:
    """Write the largest of several errors over what is allowed, where it is a number."""
    largest = max(map(float, errors))
    return f"{_about(largest)} allowances" if np.isfinite(largest) else "not finite"


def _sentence(report: dict[str, Any]) -> str:
    if report["outcome"] == "PASS":
        return str(report["line"]).removeprefix("PASS ")
    # as the line of a text, without the verdict and the name, which stand beside it
    return str(report["line"]).removeprefix(f"{report['outcome']} {report['name']}: ")


def _noted(report: dict[str, Any]) -> list[str]:
    """Give the notes of a point, or of a run with the number of examples."""
    if report["tally"] is None:
        return list(report["notes"])
    total = report["tally"]["examples"]
    return [f"in {note['examples']} of {total} examples: {note['note']}" for note in report["tally"]["notes"]]


def _census(array: dict[str, Any]) -> str:
    """Count the entries of an array by what came of them, as the text does."""
    grades, names = array["grades"], {"norm_wise": "norm-wise accurate only", "lossy": "as lossy as its rounding",
                                      "kink": "on a kink", "unknown": "that nothing could judge"}  # fmt: skip
    total = sum(grades.values())
    parts = [f"{total} {'entry' if total == 1 else 'entries'}", f"{grades['wrong']} wrong"]
    parts += [f"{grades[grade]} {name}" for grade, name in names.items() if grades[grade]]
    parts += [f"{array[key]} {key.replace('_', ' ')}" for key in ("not_finite", "not_resolved") if array[key]]
    return ", ".join(parts) + ("" if array["complete"] else ", a sample compared singly")


def _by_oracle(votes: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Put together what an oracle says of several directions."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for vote in votes:
        groups.setdefault(vote["oracle"], []).append(vote)
    return list(groups.items())


def _by_answer(laws: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Group laws by what is said of them, the reason why one did not apply beside its name."""
    groups: dict[str, list[str]] = {"broken": []}
    for name, said in laws.items():
        unfit = said.startswith(UNFIT)
        shown = f"{name} ({said.removeprefix(UNFIT)})" if unfit else name
        groups.setdefault(UNFIT.rstrip(": ") if unfit else said, []).append(shown)
    return [(said, names) for said, names in groups.items() if names]
