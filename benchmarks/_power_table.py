"""What was measured of every specimen, and the tables that are made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from peers import CAUGHT, NOT_EXPRESSIBLE, Answer

UNDECIDED = "undecided"
BROKEN = "broken"
FALSE_ALARM = "caught by a false alarm"
OBJECTED = (CAUGHT, FALSE_ALARM)
RIGHT = "right"  # the family of right gradients

SHOWS = ("everywhere", "ordinary class of inputs", "corner")
LEGEND = (
    "Where a tool has two numbers, the first is at one ordinary random point, the second at the points that gradcheck "
    "draws."
)


@dataclass(frozen=True)
class Peered:
    """What a peer said at an ordinary point, and over the points that gradcheck draws; CPU seconds for both."""

    ordinary: Answer
    drawn: Answer
    seconds: float


@dataclass(frozen=True)
class Measured:
    """One specimen; ``ours`` has an answer for every seed, ``seconds`` the CPU time of all seeds."""

    name: str
    family: str
    shows: str
    inputs: str
    ours: tuple[Answer, ...]
    peers: dict[str, Peered]
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether a checker must let it pass."""
        return self.family == RIGHT

    @property
    def caught(self) -> bool:
        """Whether gradcheck catches it at every seed; for a right one, whether it accuses it at any."""
        words = [answer.word == CAUGHT for answer in self.ours]
        return any(words) if self.is_right else all(words)

    @property
    def label(self) -> str:
        """Family and name."""
        return f"{self.family}/{self.name}"


Row = list[str]
Counted = tuple[int, list[tuple[int, int]]]  # of gradcheck, and of every peer


def _count(rows: Sequence[Measured], peers: Sequence[str], *words: str) -> list[tuple[int, int]]:
    return [
        (
            sum(row.peers[peer].ordinary.word in words for row in rows),
            sum(row.peers[peer].drawn.word in words for row in rows),
        )
        for peer in peers
    ]


def _caught(rows: Sequence[Measured], peers: Sequence[str]) -> Counted:
    return sum(row.caught for row in rows), _count(rows, peers, *OBJECTED)


def _line(name: str, rows: Sequence[Measured], peers: Sequence[str]) -> Row:
    ours, theirs = _caught(rows, peers)
    return [name, str(len(rows)), str(ours), *map(_both, theirs)]


def _ratio_line(rows: Sequence[Measured], peers: Sequence[str]) -> Row:
    ours, theirs = _caught(rows, peers)
    return ["as a share of gradcheck's", "", "100%", *(f"{a / ours:.0%} / {b / ours:.0%}" for a, b in theirs)]


def _alarm_line(rows: Sequence[Measured], peers: Sequence[str]) -> Row:
    return ["of these, where it accuses the right gradient too", "", "", *map(_both, _count(rows, peers, FALSE_ALARM))]


def _cost_line(rows: Sequence[Measured], peers: Sequence[str]) -> Row:
    ours = sum(row.seconds / len(row.ours) for row in rows)
    theirs = [sum(row.peers[peer].seconds for row in rows) for peer in peers]
    return ["CPU seconds, all gradients at one seed", str(len(rows)), *(f"{taken:.0f}" for taken in (ours, *theirs))]


def _both(counts: tuple[int, int]) -> str:
    return f"{counts[0]} / {counts[1]}"


def _lost_line(name: str, rows: Sequence[Measured], peers: Sequence[str]) -> Row:
    lost = _count(rows, peers, NOT_EXPRESSIBLE)
    undecided = sum(any(answer.word == UNDECIDED for answer in row.ours) for row in rows)
    return [name, str(len(rows)), str(undecided), *map(_both, lost)]


def tables(rows: Sequence[Measured], peers: Sequence[str]) -> list[list[Row]]:
    """Count, by where a fault shows and by family; the first row of each table is its head."""
    wrong, right = [row for row in rows if not row.is_right], [row for row in rows if row.is_right]
    head = ["", "of", "gradcheck", *peers]
    total = _line("**all wrong gradients caught**", wrong, peers)
    shares = [_ratio_line(wrong, peers)] if _caught(wrong, peers)[0] else []
    by_shows = [
        ["caught, where the fault shows", *head[1:]],
        *(_line(shows, [row for row in wrong if row.shows == shows], peers) for shows in SHOWS),
        total,
        *shares,
        _alarm_line(wrong, peers),
        _line("**right gradients accused**", right, peers),
        _lost_line("wrong, undecided or not expressible", wrong, peers),
        _lost_line("right, undecided or not expressible", right, peers),
        _cost_line(rows, peers),
    ]
    families = list(dict.fromkeys(row.family for row in wrong))
    by_family = [
        ["caught, by family", *head[1:]],
        *(_line(family, [row for row in wrong if row.family == family], peers) for family in families),
    ]
    return [by_shows, by_family] if families else [by_shows]


def markdown(rows: Sequence[Measured], peers: Sequence[str]) -> str:
    """Write the tables as Markdown."""
    return _written(rows, peers, _as_markdown)


def text(rows: Sequence[Measured], peers: Sequence[str]) -> str:
    """Write the tables in aligned columns."""
    return _written(rows, peers, _as_text)


def _written(rows: Sequence[Measured], peers: Sequence[str], write: Callable[[list[Row]], str]) -> str:
    return "\n\n".join([LEGEND, *map(write, tables(rows, peers)), *_outdone(rows, peers)])


def _as_markdown(table: list[Row]) -> str:
    rule = ["---", *["---:"] * (len(table[0]) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (table[0], rule, *table[1:]))


def _as_text(table: list[Row]) -> str:
    plain = [[cell.strip("*") for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*plain, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in plain
    )


def _outdone(rows: Sequence[Measured], peers: Sequence[str]) -> list[str]:
    """Name what a peer catches and gradcheck does not."""
    return [
        f"Caught by {peer}, not by gradcheck at every seed: {', '.join(labels)}."
        for peer in peers
        if (labels := [row.label for row in rows if not row.is_right and not row.caught and _catches(row.peers[peer])])
    ]


def _catches(peered: Peered) -> bool:
    return CAUGHT in (peered.ordinary.word, peered.drawn.word)  # a false alarm is no merit


def failures(rows: Sequence[Measured]) -> list[str]:
    """Name every wrong gradient that gradcheck missed and every right one that it accused, with the seeds."""
    found = []
    for row in rows:
        for seed, answer in enumerate(row.ours):
            if answer.word == BROKEN or (answer.word == CAUGHT) == row.is_right:
                found.append(f"{row.label} at seed {seed}: {answer.word} {answer.why}".rstrip())
    return found
