"""``gradcheck.lock``: the margins of every gradient in a suite, in a text that is kept under version control.

JSON, sorted, one margin to a line, so that a change reads well in a review. Keyed by test and then by rule, since one
rule may be checked in several tests over other inputs, and a run of some tests must leave the others' lines alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradcheck.errors import DataError
from gradcheck.memory.margins import Margins, settled
from gradcheck.report.writing import write_whole

__all__ = ["LOCK", "Lock", "read_lock", "write_lock"]

LOCK = "gradcheck.lock"
_VERSION = 1


@dataclass(frozen=True)
class Lock:
    """The margins of a suite, by test and rule."""

    margins: Mapping[tuple[str, str], Margins] = field(default_factory=dict)

    def get(self, test: str, rule: str) -> Margins | None:
        """Give what is remembered of a rule in a test."""
        return self.margins.get((test, rule))

    def updated(self, run: Mapping[str, Mapping[str, Margins]], gone: Iterable[str] = ()) -> Lock:
        """Replace all that is remembered of the tests that were run, and forget those that are gone.

        What moved by no more than chance stays as it is, so that an update changes as few lines as can be.
        """
        forget = {*run, *gone}
        kept = {key: value for key, value in self.margins.items() if key[0] not in forget}
        new = {
            (test, rule): settled(self.get(test, rule), margins)
            for test, rules in run.items()
            for rule, margins in rules.items()
        }
        return Lock(kept | new)

    def tests(self) -> frozenset[str]:
        """Name the tests of which something is remembered."""
        return frozenset(test for test, _ in self.margins)


def read_lock(path: Path) -> Lock:
    """Read a lock file; an empty lock where there is none.

    Raises
    ------
    DataError
        If it is not one, or one of another version; a conflict that was left by a merge, for example.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != _VERSION:
            raise DataError(
                f"{path} has version {content['version']}, and this gradcheck reads {_VERSION}; take the gradcheck "
                "that wrote it, or delete it and run pytest --gradcheck-update"
            )
        return Lock(
            {(test, rule): _margins(entry) for test, rules in content["tests"].items() for rule, entry in rules.items()}
        )
    except FileNotFoundError:
        return Lock()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is not a lock file of gradcheck, or damaged ({type(error).__name__}: {error}); "
            "take an earlier version of it, or delete it and run pytest --gradcheck-update"
        ) from None


def _margins(entry: Mapping[str, Any]) -> Margins:
    regimes = {str(name): float(value) for name, value in entry["margins"].items()}
    if not all(value >= 0 for value in regimes.values()):
        raise ValueError(f"a margin is not a number from 0 up: {regimes}")
    return Margins(str(entry["grade"]), regimes)


def write_lock(path: Path, lock: Lock) -> None:
    """Write a lock file, whole or not at all; the same lock is always the same text."""
    tests: dict[str, dict[str, Any]] = {}
    for (test, rule), margins in lock.margins.items():
        tests.setdefault(test, {})[rule] = {"grade": margins.grade, "margins": dict(margins.regimes)}
    text = json.dumps({"version": _VERSION, "tests": tests}, indent=1, sort_keys=True, ensure_ascii=False)
    # half of a surrogate pair, which a name of a file may hold, comes out as JSON escapes it
    write_whole(path, text.encode("utf-8", "backslashreplace").decode("utf-8") + "\n")
