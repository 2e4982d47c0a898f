"""The report as one page of HTML: no script, nothing loaded from elsewhere, and whatever a name holds is text.

The page is made of what the JSON holds (`gradcheck.report.as_json`) and of pictures. Needs the extra ``report``.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.errors import MissingExtra
from gradcheck.laws import UNFIT
from gradcheck.report.as_json import suite_as_dict
from gradcheck.report.pictures import draw_heat_map, draw_v, matrix_view, require_matplotlib
from gradcheck.report.report import Report
from gradcheck.report.v_curve import VCurve, v_curve
from gradcheck.report.writing import write_whole
from gradcheck.verdict import Discrepancy, Outcome

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["render_html", "require_html", "write_html"]

# As many reports get pictures, failures first: half a second and 70 kB for each.
_PICTURED = 12
_MANY = 1e4  # from here a power of ten says more than digits do
_ORDER = (Outcome.FAIL, Outcome.UNDECIDED, Outcome.PASS)


@dataclass(frozen=True)
class _Picture:
    title: str
    text: str
    svg: Any  # markup


@dataclass(frozen=True)
class _Item:
    """One report as the template takes it."""

    anchor: str
    report: dict[str, Any]
    pictures: tuple[_Picture, ...]
    left_out: tuple[str, ...]


def require_html() -> None:
    """Refuse to make a page without what it takes, before the work is done that it is to show.

    Raises
    ------
    MissingExtra
        If jinja2 or matplotlib is not installed.
    """
    try:
        import jinja2  # noqa: F401  only whether it is there
    except ImportError as error:
        raise MissingExtra("a report in HTML", "jinja2", "report") from error
    require_matplotlib()


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
    ordered = sorted(reports, key=lambda report: _ORDER.index(report.outcome))
    content = suite_as_dict(ordered, not_run)
    items = [
        _item(number, report, described)
        for number, (report, described) in enumerate(zip(ordered, content["reports"], strict=True), 1)
    ]
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


def _headline(reports: Sequence[Report], not_run: int) -> str:
    outcomes = [report.outcome for report in reports]
    counts = [
        (outcomes.count(outcome), word) for outcome, word in zip(_ORDER, ("wrong", "undecided", "right"), strict=True)
    ]
    parts = [f"{count} {word}" for count, word in [*counts, (not_run, "not run")] if count]
    total = len(reports) + not_run
    return f"{total} {'gradient' if total == 1 else 'gradients'}: {', '.join(parts) or 'nothing to show'}"


def _item(number: int, report: Report, described: dict[str, Any]) -> _Item:
    anchor = f"report-{number}"
    if number > _PICTURED:
        said = f"Pictures are drawn of the first {_PICTURED} only; a page of this one alone has them."
        return _Item(anchor, described, (), (said,))
    if not any(d.analytic.size for d in report.verdict.discrepancies):  # a law was broken before
        return _Item(anchor, described, (), ())
    curve = v_curve(report)
    large = [d for d in report.verdict.discrepancies if d.analytic.size > 1]
    pictures = [_heat_map(d, f"{anchor}-map-{k}") for k, d in enumerate(large)]
    if isinstance(curve, VCurve):
        wrong = report.outcome is Outcome.FAIL and bool(np.isfinite(curve.apart))
        pictures.append(_v(curve, f"{anchor}-v", wrong=wrong))
    left_out = (f"No picture of finite differences against the step: {curve}.",) if isinstance(curve, str) else ()
    return _Item(anchor, described, tuple(pictures), left_out)


def _heat_map(discrepancy: Discrepancy, key: str) -> _Picture:
    from markupsafe import Markup

    _, rows, columns = matrix_view(discrepancy.difference)
    text = "Red is beyond what rounding explains, blue within."
    if rows > 1 or columns > 1:
        text += f" A cell is the worst of {rows} by {columns} entries."
    if discrepancy.analytic.ndim > 2:
        text += " All axes but the last run down."
    # figures and words of our own, as in the other: the names of others are escaped in there
    svg = Markup(draw_heat_map(discrepancy, key))  # noqa: S704
    return _Picture(f"Error over allowance: {discrepancy.path}", text, svg)


def _v(curve: VCurve, key: str, *, wrong: bool) -> _Picture:
    from markupsafe import Markup

    svg = Markup(draw_v(curve, key, wrong=wrong))  # noqa: S704  as above
    title = f"Finite differences against the step: {curve.along}"
    return _Picture(title, " ".join(_sentences(curve, wrong=wrong)), svg)


def _sentences(curve: VCurve, *, wrong: bool) -> Iterator[str]:
    """Say what is to be seen."""
    error = float(curve.estimate.error)
    if not curve.estimate.known:
        yield f"Finite differences find no slope here: {curve.estimate.detail}."
        return
    if wrong and curve.apart > error and curve.off <= error + curve.doubt:
        yield (
            f"It is not the step: at the best one, differences are {curve.off:.0e} from the reference "
            f"and {curve.apart:.1g} from your gradient."
        )
    else:
        within = "within" if curve.off <= error + curve.doubt else "beyond"
        yield f"At the best step, differences are {curve.off:.0e} from the reference, {within} the {error:.0e} claimed."
    if curve.estimate.kink:
        yield f"There is a {curve.estimate.detail}."
    if np.isfinite(curve.rises) and np.isfinite(curve.falls):
        yield f"Measured slopes {curve.rises:.2f} and {curve.falls:.2f}; truncation has 2, round-off -1."


def _environment() -> Environment:
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("gradcheck.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
    )
    made.filters |= {
        "about": _about,
        "allowances": _allowances,
        "exact": lambda value: value if isinstance(value, str) else f"{value:.10g}",
        "by_answer": _by_answer,
        "census": _census,
        "colour": lambda vote: {True: "PASS", False: "FAIL", None: "muted"}[vote["agrees"]],
        "noted": _noted,
        "sentence": _sentence,
        "ulps": lambda value: value if isinstance(value, str) else f"{value:.1f}" if value < _MANY else f"{value:.0e}",
        "why": lambda report: report["line"].removeprefix("PASS ") if report["outcome"] == "PASS" else report["reason"],
        "word": lambda vote: {True: "for", False: "against", None: "abstains"}[vote["agrees"]],
    }
    return made


def _visible(value: Any) -> Any:
    """Write characters that cannot be seen, or that turn the text around them, as escapes."""
    if type(value) is not str:  # numbers, and markup that was made here
        return value
    hidden = {"Cc", "Cf", "Co", "Cs"}
    return "".join(f"\\u{ord(c):04x}" if unicodedata.category(c) in hidden and c not in "\n\t" else c for c in value)


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
    return str(report["findings"][0]["says"] if report["findings"] else report["reason"])


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


def _by_answer(laws: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Group laws by what is said of them, the reason why one did not apply beside its name."""
    groups: dict[str, list[str]] = {"broken": []}
    for name, said in laws.items():
        unfit = said.startswith(UNFIT)
        shown = f"{name} ({said.removeprefix(UNFIT)})" if unfit else name
        groups.setdefault(UNFIT.rstrip(": ") if unfit else said, []).append(shown)
    return [(said, names) for said, names in groups.items() if names]
