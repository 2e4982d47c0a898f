from __future__ import annotations

import pytest

from gradcheck.memory import FLOOR, Margins, changes
from gradcheck.memory.margins import settled

BEFORE = Margins("entry-wise", {"any input": 0.3, "offset": 0.3})


def _said(now: Margins, factor: float = 2.0) -> list[str]:
    return [str(change) for change in changes(BEFORE, now, factor)]


def test_what_has_worsened_is_listed_the_whole_first_and_then_the_worst() -> None:
    now = Margins("entry-wise", {"any input": 0.7, "offset": 0.61, "ties": 0.7, "huge": 0.25})
    assert _said(now) == [
        "any input: was 0.3 of what is allowed, is 0.7",
        "ties: was 0.125 or less of what is allowed, is 0.7",
        "offset: was 0.3 of what is allowed, is 0.61",
    ]
    assert _said(now, factor=2.1) == [
        "any input: was 0.3 of what is allowed, is 0.7",
        "ties: was 0.125 or less of what is allowed, is 0.7",
    ]
    assert _said(now, factor=6) == []


@pytest.mark.parametrize("margin", [0.0, 0.6, 0.3])
def test_as_before_or_better_is_nothing(margin: float) -> None:
    assert _said(Margins("entry-wise", {"any input": margin})) == []


@pytest.mark.parametrize(
    ("was", "now", "lost"),
    [
        ("entry-wise", "norm-wise", True),
        ("entry-wise", "lossy", True),
        ("norm-wise", "lossy", True),
        ("norm-wise", "entry-wise", False),
        ("lossy", "lossy", False),
        ("no entries", "lossy", False),
        ("entry-wise", "no entries", False),
    ],
)
def test_a_grade_can_be_lost(was: str, now: str, lost: bool) -> None:
    found = changes(Margins(was), Margins(now), 7.9)
    assert [str(change) for change in found] == [f"grade: was {was}, is {now}"] * lost


def test_below_the_floor_all_are_alike() -> None:
    assert changes(Margins("entry-wise", {"any input": 1e-9}), Margins("entry-wise", {"any input": FLOOR}), 1.01) == []


def test_what_is_kept_is_short_and_steady() -> None:
    now = Margins("entry-wise", {"ties": 0.4321, "any input": 0.0, "offset": 0.01})
    assert settled(None, now) == Margins("entry-wise", {"any input": FLOOR, "ties": 0.43})
    nearly = Margins("norm-wise", {"any input": 0.2, "offset": 0.55, "ties": 0.9, "huge": 0.2, "tiny": 0.3})
    kept = settled(BEFORE, nearly)
    assert kept == Margins("norm-wise", {"any input": 0.3, "offset": 0.3, "ties": 0.9, "tiny": 0.3})
    assert list(kept.regimes) == sorted(kept.regimes)
    assert settled(kept, nearly) == kept
    assert Margins("lossy").worst == 0
    assert kept.worst == 0.9
