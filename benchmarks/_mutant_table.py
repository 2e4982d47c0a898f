"""What the checks of derivations are worth, as tables: a line for each family, and each survivor by itself."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from _tables import laid_out

Rows = Mapping[str, Mapping[str, Any]]  # reports as JSON has them, by the name of the derivation

_HEAD = ("family", "derivations", "mutants killed", "not distinguished", "smallest error seen in all entries", "in one")
_EDITED = "edits of the source alone"


def family(name: str) -> str:
    """Give what a derivation is a variant of: softmax and NLL has several derivations, each with many options."""
    first, *others = name.split("/")
    return f"{first}/{others[0]}" if first == "softmax-nll" else first


def page(rows: Rows, *, as_markdown: bool) -> str:
    """Lay the table out, and say below it what killed the mutants and which survived."""
    table = laid_out(_table(rows), as_markdown=as_markdown)
    return "\n\n".join([table, *_causes(rows), *_survivors(rows, as_markdown=as_markdown)])


def misses(rows: Rows) -> list[str]:
    """Name each derivation of which something survived, was not tried, or could not be measured."""
    found = []
    for name, row in rows.items():
        if row.get("error"):
            found.append(f"{name}: {row['error']}")
        else:
            found += [f"{name}: survives: {_change(survivor)}" for survivor in row["survivors"]]
            found += [f"{name}: {len(row['untried'])} mutants were not tried"] if row["untried"] else []
    return found


def _table(rows: Rows) -> list[list[str]]:
    families: dict[str, list[Mapping[str, Any]]] = {}
    measured = [(name, row) for name, row in rows.items() if not row.get("error")]
    for name, row in measured:
        families.setdefault(family(name), []).append(row)
    every = [row for _, row in measured]
    edits = ["", _counted(every, edits_only=True), str(_alike(every, edits_only=True)), "", ""]
    return [
        list(_HEAD),
        *(_line(name, found) for name, found in families.items()),
        *([_line("all", every), [_EDITED, *edits]] if every else []),
    ]


def _line(name: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    sizes = [_worst(rows, which) for which in ("array", "entry")]
    return [name, str(len(rows)), _counted(rows), str(_alike(rows)), *sizes]


def _counted(rows: Sequence[Mapping[str, Any]], *, edits_only: bool = False) -> str:
    killed = sum(_chosen(row["killed"], edits_only) for row in rows)
    told = killed + sum(_chosen(row["survivors"], edits_only) for row in rows)
    untried = sum(_chosen(row["untried"], edits_only) for row in rows)
    return f"{killed} of {told}" + (f" ({untried} not tried)" if untried else "")


def _alike(rows: Sequence[Mapping[str, Any]], *, edits_only: bool = False) -> int:
    return sum(_chosen(row["alike"], edits_only) for row in rows)


def _chosen(changes: Sequence[Mapping[str, Any]], edits_only: bool) -> int:
    return sum(bool(change["diff"]) for change in changes) if edits_only else len(changes)


def _worst(rows: Sequence[Mapping[str, Any]], which: str) -> str:
    """Give the largest of the smallest errors that are seen, over all arrays; JSON has null for one that never is."""
    sizes = [math.inf if small[which] is None else small[which] for row in rows for small in row["smallest"]]
    return f"{max(sizes):.0e}" if sizes else "not measured"


def _causes(rows: Rows) -> Iterator[str]:
    causes = Counter(killed["by"] for row in rows.values() for killed in row.get("killed", ()))
    if causes:
        yield f"Killed by {', '.join(f'{cause} {count}' for cause, count in causes.most_common())}."


def _survivors(rows: Rows, *, as_markdown: bool) -> Iterator[str]:
    lines = [
        f"{'- ' if as_markdown else '  '}{name}: {_change(s)}; {_told(s)} at {s['at']} "
        f"({100 * s['share']:.1f} % of the inputs tried)"
        for name, row in rows.items()
        for s in row.get("survivors", ())
    ]
    if lines:
        yield "\n".join([f"Surviving:{chr(10) if as_markdown else ''}", *lines])


def _told(survivor: Mapping[str, Any]) -> str:
    return "differs, and passes" if survivor["by"] == "nothing" else f"killed by {survivor['by']}"


def _change(survivor: Mapping[str, Any]) -> str:
    return f"{survivor['says']} ({survivor['where']})" if survivor["where"] else str(survivor["says"])
