"""How often a law is broken by a gradient that is right, and how much of its tolerance correct code uses.

The laws alone are asked, with no oracle beside them, at points drawn as `gradcheck.verify` draws them, over every right
gradient of `tests/mutants/right.py`. A law that is asked a hundred times a run must not be wrong once in a thousand
runs, so every false alarm is one too many. The share of the tolerance that correct code uses at worst says how far the
next false alarm is.

Run it as ``python benchmarks/law_false_alarms.py [--examples N] [--seed N] [--processes N] [--json PATH]``; it exits
with 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
from _corpus import specimens
from _machine import conditions
from _power_table import RIGHT
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from gradcheck.checks import as_arguments, forward_value
from gradcheck.laws import LAWS, UNFIT, Breach, Subject, hear
from gradcheck.rule import Point
from gradcheck.strategies import cotangents
from gradcheck.tree import flatten

PACKAGES = ("gradcheck", "numpy", "jax", "hypothesis")

# Zero of 50,000 says, with 95% confidence, fewer than one in 16,000 (the rule of three).
ALARMS = 0
# Half of the tolerance is left at the worst point.
WORST = 0.5


@dataclass
class Row:
    """What was seen of one law."""

    law: str
    asked: int = 0
    applied: int = 0
    alarms: int = 0
    worst: float = 0.0
    accused: dict[str, str] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        """Whether the bounds were kept."""
        return self.alarms <= ALARMS and self.worst <= WORST

    def add(self, other: Row) -> None:
        """Add up what another process has seen."""
        self.asked += other.asked
        self.applied += other.applied
        self.alarms += other.alarms
        self.worst = max(self.worst, other.worst)
        self.accused |= other.accused


def right() -> tuple[Any, ...]:
    """Load the right gradients from the suite beside this folder."""
    return tuple(specimen for specimen in specimens() if specimen.family == RIGHT)


def examine(specimen: int, examples: int, seed: int) -> tuple[str, list[Row]]:
    """Ask every law at so many points of one specimen."""
    chosen = right()[specimen]
    rule, rows = chosen.make(), {name: Row(name) for name in LAWS}

    @hypothesis.seed(seed + specimen)
    @settings(max_examples=examples, phases=[Phase.generate], deadline=None, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @hypothesis.given(case=chosen.cases(), data=st.data())
    def ask(case: tuple[Any, ...], data: st.DataObject) -> None:
        args = as_arguments(rule, case)
        value = forward_value(rule, args, {})
        cotangent = data.draw(cotangents(value)) if rule.takes_cotangent else np.ones_like(value)
        point = Point(args, {}, cotangent)
        subject = Subject(rule, point, flatten(rule, point))
        for name, law in LAWS.items():
            _ask(rows[name], subject, name, law, chosen.name)

    ask()
    return chosen.name, list(rows.values())


def _ask(row: Row, subject: Subject, name: str, law: Any, specimen: str) -> None:
    subject.ratios.clear()
    breach, said = hear({name: law}, subject, ())
    row.asked += 1
    row.applied += not said[name].startswith(UNFIT)
    row.worst = max([row.worst, *(r for r in subject.ratios if np.isfinite(r) and r <= 1)])
    if isinstance(breach, Breach):
        row.alarms += 1
        row.accused[specimen] = f"{breach.text}; at {subject.point.args!r}, cotangent {subject.point.cotangent!r}"


def measure(examples: int, seed: int, processes: int) -> list[Row]:
    """Share the examples out over all specimens, and these over processes."""
    count = len(right())
    each = -(-examples // count)
    total = {name: Row(name) for name in LAWS}
    # a fork of a process that has run JAX may hang
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        started = time.monotonic()
        for number, (name, rows) in enumerate(_in_turn(pool, count, each, seed), start=1):
            for row in rows:
                total[row.law].add(row)
            print(f"\r{number}/{count} {time.monotonic() - started:4.0f} s {name:<40.40}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return list(total.values())


def _in_turn(pool: ProcessPoolExecutor, count: int, each: int, seed: int) -> Iterator[tuple[str, list[Row]]]:
    yield from pool.map(examine, range(count), [each] * count, [seed] * count)


def table(rows: Sequence[Row]) -> str:
    """Lay the rows out."""
    lines = [f"{'law':<20}{'asked':>9}{'applied':>9}{'false alarms':>14}{'worst share of tolerance':>26}"]
    for row in rows:
        end = "" if row.held else "  MISSED"
        lines.append(f"{row.law:<20}{row.asked:>9}{row.applied:>9}{row.alarms:>14}{row.worst:>26.3f}{end}")
        lines.extend(f"    {name}: {text}" for name, text in row.accused.items())
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit code whether the bounds were held."""
    parser = argparse.ArgumentParser(description="Ask the laws of right gradients, and count false alarms.")
    parser.add_argument("--examples", type=int, default=50_000, metavar="N", help="in total (default: 50000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (default: 0)")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="how many (default: 2)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the numbers there too")
    arguments = parser.parse_args(argv)
    if arguments.examples < 1 or arguments.processes < 1:
        parser.error("--examples and --processes must be at least 1")
    rows = measure(arguments.examples, arguments.seed, arguments.processes)
    about = conditions(PACKAGES) | {
        "specimens": str(len(right())),
        "examples": str(sum(row.asked for row in rows) // len(rows)),
        "seed": str(arguments.seed),
    }
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print(table(rows))
    if arguments.json:
        content = {"conditions": about, "laws": [asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0 if all(row.held for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
