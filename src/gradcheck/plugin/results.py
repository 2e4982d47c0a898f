"""What a session of pytest has found out, on whichever worker, and the files it leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gradcheck.errors import DataError, GradcheckError
from gradcheck.memory import LOCK, Change, Gathering, Lock, Margins, Record, changes, read_lock, write_lock
from gradcheck.plugin.options import Options
from gradcheck.plugin.sections import Key, Sections

__all__ = ["PROPERTY", "Entry", "Results", "id_of_test"]

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
    """What is known so far. Records come with every test; whole reports, where a file wants them, at the end."""

    options: Options
    lock_path: Path
    lock: Lock
    sections: Sections
    entries: dict[Key, Entry] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, options: Options, root: Path) -> Results:
        """Begin, and refuse what could not be written or compared when the work is done."""
        path = root / LOCK
        _require_writable(options, path)
        if options.factor is not None and not path.is_file():
            raise pytest.UsageError(f"{path} is not there to compare with; pytest --gradcheck-update writes it")
        wanted = options.update or options.factor is not None
        try:
            return cls(options, path, read_lock(path) if wanted else Lock(), Sections(options))
        except (DataError, OSError) as error:
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
        self.sections.add(id_of_test(item.nodeid), reports)

    def take(self, report: pytest.TestReport) -> None:
        """Take the records that came with the report of a test."""
        test = id_of_test(report.nodeid)
        for name, value in report.user_properties:
            record = _record(value) if name == PROPERTY else None
            if record is not None:
                self.entries[test, record.rule] = Entry(test, record, report.outcome)

    def finish(self) -> bool:
        """Write what was asked for, each file whatever becomes of the others; tell whether all could be."""
        known = self.entries.keys()
        whole = True
        for lines in (self.sections.write_json(known), self.sections.write_html(known), self._update()):
            try:
                self.written.extend(lines)
            except (OSError, GradcheckError) as error:
                self.written.append(f"not written: {error}")
                whole = False
        return whole

    def _update(self) -> Iterator[str]:
        """Write the margins of every test that passed, if asked to; of one that did not, those kept before stay."""
        if not self.options.update:
            return
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


def _require_writable(options: Options, lock: Path) -> None:
    from gradcheck.errors import InvalidArgument, MissingExtra
    from gradcheck.report.writing import require_folder

    try:
        for path in filter(None, (options.json, options.html, lock if options.update else None)):
            require_folder(path)
        if options.html is not None:
            from gradcheck.report.html import require_html

            require_html()
    except (InvalidArgument, MissingExtra) as error:
        raise pytest.UsageError(str(error)) from None
