from __future__ import annotations

import sys

import pytest

from gradcheck.commands.colour import coloured


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\n\nFAIL mine.f: PASS is no word here", "\n\n\x1b[1;31mFAIL\x1b[0m mine.f: PASS is no word here"),
        ("PASS entry-wise, worst 1 ulp", "\x1b[1;32mPASS\x1b[0m entry-wise, worst 1 ulp"),
        ("mine.f      PASS entry-wise", "mine.f      \x1b[1;32mPASS\x1b[0m entry-wise"),
        ("UNDECIDED f: why", "\x1b[1;33mUNDECIDED\x1b[0m f: why"),
        ("FAILED, PASSING and BYPASS are others", "FAILED, PASSING and BYPASS are others"),
    ],
)
def test_the_first_verdict_is_coloured_on_a_terminal(text: str, shown: str) -> None:
    assert coloured(text) == shown


@pytest.mark.usefixtures("terminal")
def test_nothing_is_coloured_for_whoever_does_not_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert coloured("FAIL f") == "FAIL f"


def test_nothing_is_coloured_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    assert coloured("FAIL f") == "FAIL f"
