from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gradcheck.errors import DataError
from gradcheck.memory import Lock, Margins, read_lock, write_lock

CLOSE = Margins("entry-wise", {"any input": 0.125})
NEAR = Margins("norm-wise", {"any input": 0.5, "offset": 0.5})
LOCK = Lock({("b.py::test", "mine.f"): NEAR, ("a.py::test[µ]", "mine.f"): CLOSE, ("b.py::test", "mine.e"): CLOSE})

TEXT = """\
{
 "tests": {
  "a.py::test[µ]": {
   "mine.f": {
    "grade": "entry-wise",
    "margins": {
     "any input": 0.125
    }
   }
  },
  "b.py::test": {
   "mine.e": {
    "grade": "entry-wise",
    "margins": {
     "any input": 0.125
    }
   },
   "mine.f": {
    "grade": "norm-wise",
    "margins": {
     "any input": 0.5,
     "offset": 0.5
    }
   }
  }
 },
 "version": 1
}
"""


def test_it_reads_well_and_back(tmp_path: Path) -> None:
    path = tmp_path / "gradcheck.lock"
    write_lock(path, LOCK)
    assert path.read_text(encoding="utf-8") == TEXT
    assert read_lock(path) == LOCK
    write_lock(path, Lock(dict(reversed(list(LOCK.margins.items())))))
    assert path.read_text(encoding="utf-8") == TEXT, "one lock, one text"
    assert [entry.name for entry in tmp_path.iterdir()] == ["gradcheck.lock"]


def test_names_may_hold_any_characters(tmp_path: Path) -> None:
    names = (('é"\\\n\u202e.py::test[<x>]', "\U0001f600"), ("\udc80.py::test", "\\udc80"))
    lock = Lock({key: Margins("entry-wise", {"any input": 0.5}) for key in names})
    write_lock(tmp_path / "gradcheck.lock", lock)
    assert read_lock(tmp_path / "gradcheck.lock") == lock


def test_none_is_empty(tmp_path: Path) -> None:
    assert read_lock(tmp_path / "gradcheck.lock") == Lock()
    assert Lock().get("a.py::test", "mine.f") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<<<<<<< HEAD\n" + TEXT,
        "[]",
        "{}",
        TEXT.replace("0.125", "NaN"),
        TEXT.replace("0.125", "-1"),
        TEXT.replace("0.125", '"much"'),
        TEXT.replace("grade", "school"),
        TEXT.replace('"margins": {\n     "any input": 0.125\n    }', '"margins": []'),
        '{"version": 1, "tests": []}',
    ],
)
def test_damage_is_seen(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gradcheck.lock"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"gradcheck\.lock is not a lock file of gradcheck, or damaged .*delete it and"):
        read_lock(path)


def test_another_version_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "gradcheck.lock"
    path.write_text(TEXT.replace('"version": 1', '"version": 2'), encoding="utf-8")
    with pytest.raises(DataError, match="has version 2, and this gradcheck reads 1"):
        read_lock(path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "gradcheck.lock"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="damaged"):
        read_lock(path)


def test_an_update_replaces_what_was_run_and_leaves_the_rest() -> None:
    updated = LOCK.updated({"b.py::test": {"mine.f": CLOSE}, "new.py::test": {"mine.f": NEAR}})
    assert updated == Lock(
        {
            ("a.py::test[µ]", "mine.f"): CLOSE,  # was not run
            ("b.py::test", "mine.f"): CLOSE,  # and mine.e is not checked there any more
            ("new.py::test", "mine.f"): NEAR,
        }
    )
    assert LOCK.updated({}) == LOCK
    assert LOCK.updated({}, gone=["b.py::test"]).tests() == {"a.py::test[µ]"}


def test_an_interrupt_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "gradcheck.lock"
    write_lock(path, LOCK)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_lock(path, Lock())
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(TEXT)
    assert [entry.name for entry in tmp_path.iterdir()] == ["gradcheck.lock"]
