"""The report in a notebook: a few inert lines that take their colours from the notebook's own theme."""

from __future__ import annotations

import html
from typing import Any

from gradcheck.report.as_json import report_as_dict
from gradcheck.report.report import Report
from gradcheck.report.visible import visible

__all__ = ["in_notebook"]

# The middle of the range: a contrast of about 4 against white and against the dark grey of notebooks, in bold.
_COLOURS = {"PASS": "#2e8b50", "FAIL": "#d9483b", "UNDECIDED": "#a87412"}
_WORST = 3


def in_notebook(report: Report) -> str:
    """Write the verdict, what to change and the worst entries as a fragment of HTML."""
    content = report_as_dict(report)
    outcome = content["outcome"]
    passed = outcome == "PASS"
    said = content["line"].removeprefix("PASS ") if passed else content["reason"]
    verdict = f'<strong style="color: {_COLOURS[outcome]}">{outcome}</strong>'
    lines = [
        f'<div style="border-left: 4px solid {_COLOURS[outcome]}; padding-left: 0.8em">',
        f"<div>{verdict} <strong>{_text(content['name'])}</strong></div>",
        f"<div>{_text(said)}</div>",
    ]
    if content["unlike"]:
        lines.append(f"<div><strong>Unlike any known mistake:</strong> {_text(content['unlike'])}</div>")
    for finding in content["findings"]:
        lines.append(f"<div><strong>Mistake:</strong> {_text(finding['says'])}</div>")
        lines.append(f"<div><strong>Change:</strong> {_text(finding['change'])}</div>")
    if not passed:
        lines += [_table(array) for array in content["arrays"] if array["grades"]["wrong"]]
    if content["replay"]:
        lines.append(f"<div><code>{_text(content['replay'])}</code></div>")
    return "\n".join([*lines, "</div>"])


def _table(array: dict[str, Any]) -> str:
    rows = ["<tr><th>entry</th><th>analytic (yours)</th><th>reference</th><th>error / allowed</th></tr>"]
    for entry in array["entries"][:_WORST]:
        index = ", ".join(map(str, entry["index"]))
        cells = [f"{array['path']}[{index}]" if index else array["path"]]
        cells += [_number(entry[key], digits) for key, digits in
                  (("analytic", 10), ("reference", 10), ("over_allowance", 2))]  # fmt: skip
        rows.append("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in cells) + "</tr>")
    return f'<table style="color: inherit">{"".join(rows)}</table>'


def _number(value: float | str, digits: int) -> str:
    return value if isinstance(value, str) else f"{value:.{digits}g}"


def _text(value: object) -> str:
    return html.escape(visible(str(value)))
