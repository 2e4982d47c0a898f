"""What files show of each gradient: plain data, made in the process that has its rule, laid out by another.

A worker of pytest-xdist cannot hand a report over: its rule may be made of anything, functions within functions too.
So it writes down what a page shows of it, pictures included, and the controller puts the parts together.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from gradcheck.plugin.options import Options

if TYPE_CHECKING:
    from gradcheck.report import Report
    from gradcheck.report.section import Section

__all__ = ["Key", "Sections"]

Key = tuple[str, str]  # of a test, and of a rule that it checks

_LOST = "the worker of pytest-xdist that checked it did not hand its report over"


class Sections:
    """Reports of this process, and sections that others have made of theirs; nothing where no file is wanted."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._reports: dict[Key, Report] = {}
        self._handed: dict[Key, Section] = {}

    def add(self, test: str, reports: Iterable[Report]) -> None:
        """Keep the reports of a test; those of an earlier try are forgotten."""
        if self._options.wants_reports:
            self._reports |= {(test, one.origin.name): one for one in reports}

    def packed(self) -> str:
        """Write the reports of this process for the controller."""
        return json.dumps([[*key, section.as_json()] for key, section in self._made().items()])

    def unpack(self, text: str) -> None:
        """Take over what another process has packed."""
        from gradcheck.report.section import Section

        self._handed |= {(test, rule): Section.from_json(section) for test, rule, section in json.loads(text)}

    def write_json(self, known: Iterable[Key]) -> Iterator[str]:
        """Write the file of JSON if it is wanted, and say so; of ``known``, those that were lost are named in it."""
        if self._options.json is not None:
            from gradcheck.report.as_json import suite_of
            from gradcheck.report.writing import write_whole

            content = suite_of([section.report for section in self._all().values()], self._lost(known))
            write_whole(self._options.json, json.dumps(content, indent=1, allow_nan=False) + "\n")
            yield f"wrote {self._options.json}"

    def write_html(self, known: Iterable[Key]) -> Iterator[str]:
        """Write the page likewise."""
        if self._options.html is not None:
            from gradcheck.report.html import page_of
            from gradcheck.report.writing import write_whole

            write_whole(self._options.html, page_of(self._all().values(), self._lost(known)))
            yield f"wrote {self._options.html}"

    def _all(self) -> dict[Key, Section]:
        """Give the sections of all processes, in an order that does not depend on which of them is quicker."""
        self._handed |= self._made()
        self._reports.clear()
        return dict(sorted(self._handed.items()))

    def _made(self) -> dict[Key, Section]:
        """Make sections of the reports of this process; pictures take half a second each, so only for a page."""
        from gradcheck.report.section import section_of, sections_of

        keys = sorted(self._reports)
        reports = [self._reports[key] for key in keys]
        pictured = self._options.html is not None
        made = sections_of(reports) if pictured else [section_of(one, pictured=False) for one in reports]
        return {
            (test, rule): replace(section, report={**section.report, "test": test})
            for (test, rule), section in zip(keys, made, strict=True)
        }

    def _lost(self, known: Iterable[Key]) -> dict[str, str]:
        return {" ".join(key): _LOST for key in sorted(set(known) - self._handed.keys())}
