"""What a session of pytest has found out, on whichever worker, and the files it leaves."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gradcheck.errors import DataError
from gradcheck.memory import LOCK, Change, Gathering, Lock, Margins, Record, changes, read_lock, write_lock
from gradcheck.plugin.options import Options
from gradcheck.report import Report

__all__ = ["PROPERTY", "Entry", "Results", "id_of_test"]

_LOST = "its report did not come through from the worker of pytest-xdist that checked it"
_SHOWN = 5  # of what has worsened: one point may be in ten regimes at once
PROPERTY = "gradcheck"  # the name under which records travel in ``user_properties``, and appear in JUnit's XML


@dataclass(frozen=True)
class Entry:
    """One rule in one test, and pytest's word for what became of that test: "passed", "failed" or "skipped"."""

    test: str
    record: Record
    outcome: str


@dataclass
class Results:
    """What is known so far. Records come with every test; whole reports only where a file is to be written of them."""

    options: Options
    lock_path: Path
    lock: Lock
    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)
    reports: dict[tuple[str, str], Report] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, options: Options, root: Path) -> Results:
        """Begin, and refuse what could not be written or compared when the work is done."""
        path = root / LOCK
        _require_writable(options)
        if options.factor is not None and not path.is_file():
            raise pytest.UsageError(f"{path} is not there to compare with; pytest --gradcheck-update writes it")
        wanted = options.update or options.factor is not None
        try:
            return cls(options, path, read_lock(path) if wanted else Lock())
        except DataError as error:
            raise pytest.UsageError(str(error)) from None

    def worsened(self, test: str, record: Record) -> list[Change]:
        """List what has worsened since the lock was written, if that was asked for."""
        before, now = self.lock.get(test, record.rule), record.kept
        if self.options.factor is None or before is None or now is None:
            return []
        return changes(before, now, self.options.factor)

    def regression(self, node: str, gathering: Gathering) -> str:
        """Say what has worsened in a test, and how to accept it; empty if nothing has."""
        test, lines = id_of_test(node), []
        for report in gathering.reports():
            found = self.worsened(test, Record.of(report))
            if found:
                lines.append(f"{report.origin.name} is still right, but closer to being wrong than {LOCK} says:")
                lines.extend(f"  {change}" for change in found[:_SHOWN])
                lines.extend([f"  and {len(found) - _SHOWN} more regimes"] * (len(found) > _SHOWN))
        if lines:
            lines.append(f"--gradcheck-compare-fail={self.options.factor:g} asks for this to fail. To accept it:")
            lines.append(f"  pytest --gradcheck-update '{test}'")
        return "\n".join(lines)

    def attach(self, item: pytest.Item, report: pytest.TestReport, gathering: Gathering) -> None:
        """Put the records of a test into its properties, and keep its whole reports where they are wanted."""
        reports = gathering.reports()
        records = [(PROPERTY, Record.of(one).as_json()) for one in reports]
        for properties in (item.user_properties, report.user_properties):
            others = [(name, value) for name, value in properties if name != PROPERTY]  # this may be another try
            properties[:] = [*others, *records]
        if self.options.wants_reports:
            test = id_of_test(item.nodeid)
            self.reports |= {(test, one.origin.name): one for one in reports}

    def take(self, report: pytest.TestReport) -> None:
        """Take the records that came with the report of a test."""
        test = id_of_test(report.nodeid)
        for name, value in report.user_properties:
            record = _record(value) if name == PROPERTY else None
            if record is not None:
                self.entries[test, record.rule] = Entry(test, record, report.outcome)

    def packed(self) -> list[tuple[str, str, bytes]]:
        """Pack the reports of a worker for the controller, each by itself: one that holds a function cannot be."""
        return list(_packed(self.reports.items()))

    def unpack(self, packed: Iterable[tuple[str, str, bytes]]) -> None:
        """Take over the reports of a worker."""
        self.reports |= {(test, rule): pickle.loads(one) for test, rule, one in packed}  # noqa: S301  our own worker's

    def finish(self) -> None:
        """Write what was asked for."""
        keys = sorted(self.reports)
        reports = [self.reports[key] for key in keys]
        lost = {" ".join(key): _LOST for key in sorted(self.entries.keys() - self.reports.keys())}
        if self.options.json is not None:
            _write_json(self.options.json, [test for test, _ in keys], reports, lost)
            self.written.append(f"wrote {self.options.json}")
        if self.options.html is not None:
            from gradcheck.report.html import write_html

            write_html(reports, self.options.html, lost)
            self.written.append(f"wrote {self.options.html}")
        if self.options.update:
            self.written.extend(self._update())

    def _update(self) -> Iterator[str]:
        """Write the margins of every test that passed; a test that did not leaves its lines as they were."""
        run: dict[str, dict[str, Margins]] = {}
        for (test, rule), entry in self.entries.items():
            margins = entry.record.kept
            if entry.outcome == "passed" and margins:
                run.setdefault(test, {})[rule] = margins
        others = self.lock.tests() - {test for test, _ in self.entries}
        gone = {test for test in others if not _exists(self.lock_path.parent, test)}
        lock = self.lock.updated(run, gone)
        if lock == self.lock:
            yield f"{LOCK} stays as it is"
        else:
            write_lock(self.lock_path, lock)
            yield f"wrote {self.lock_path}"
        if others - gone:
            yield f"{LOCK} holds margins of tests that were not run here: {', '.join(sorted(others - gone)[:5])}"


def id_of_test(node: str) -> str:
    """Name a test as it is named without pytest-xdist, which adds an ``@group`` to those that are grouped."""
    name, at, group = node.rpartition("@")
    return node if not at or "]" in group or "::" in group else name


def _exists(root: Path, test: str) -> bool:
    """Whether the file of a test is still there; a module that was a target may be anywhere."""
    file = test.partition("::")[0]
    return not file.endswith(".py") or (root / file).exists()


def _record(value: object) -> Record | None:
    try:
        return Record.from_json(str(value))
    except DataError:  # a property of somebody else's, which happens to have this name
        return None


def _packed(reports: Iterable[tuple[tuple[str, str], Report]]) -> Iterator[tuple[str, str, bytes]]:
    for (test, rule), report in reports:
        try:
            yield test, rule, pickle.dumps(report)
        except Exception:  # noqa: S112  pickle fails in many ways; `finish` says which reports did not arrive
            continue


def _write_json(path: Path, tests: list[str], reports: list[Report], lost: dict[str, str]) -> None:
    from gradcheck.report.as_json import suite_as_dict
    from gradcheck.report.writing import write_whole

    content = suite_as_dict(reports, lost)
    for test, report in zip(tests, content["reports"], strict=True):
        report["test"] = test
    write_whole(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def _require_writable(options: Options) -> None:
    from gradcheck.errors import InvalidArgument, MissingExtra
    from gradcheck.report.writing import require_folder

    try:
        for path in filter(None, (options.json, options.html)):
            require_folder(path)
        if options.html is not None:
            from gradcheck.report.html import require_html

            require_html()
    except (InvalidArgument, MissingExtra) as error:
        raise pytest.UsageError(str(error)) from None
