"""The files that a command leaves its reports in, whatever came of the gradients."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gradcheck.report import Report

__all__ = ["Reporting"]


@dataclass
class Reporting:
    """Reports as they come, and what could not be run, for a file of JSON, a page of HTML, both or neither."""

    json: Path | None
    html: Path | None
    reports: list[Report] = field(default_factory=list)
    not_run: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, json: str | None, html: str | None) -> Reporting:
        """Refuse at once what could not be written at the end.

        Raises
        ------
        InvalidArgument
            If a folder is not there, or may not be written to.
        MissingExtra
            If a page is wanted and what makes it is not installed.
        """
        from gradcheck.report.html import require_html
        from gradcheck.report.writing import require_folder

        if html is not None:
            require_html()
        paths = [None if path is None else require_folder(path) for path in (json, html)]
        return cls(paths[0], paths[1])

    def write(self) -> None:
        """Write the files that are wanted, and say so."""
        from gradcheck.report.as_json import write_json
        from gradcheck.report.html import write_html

        if self.json is not None:
            print(f"wrote {write_json(self.reports, self.json, self.not_run)}")
        if self.html is not None:
            print(f"wrote {write_html(self.reports, self.html, self.not_run)}")
