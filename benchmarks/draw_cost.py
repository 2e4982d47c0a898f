"""What it costs to draw an example, beside what plain Hypothesis arrays of the same shapes cost.

The peer draws as many floats and as many labels, from one range, with no regime: `hypothesis.extra.numpy.arrays`, once
as it is by default, where most entries are copies of one, and once with every entry drawn. Each number is a median over
the examples of a run, and over runs that take turns, of the time from one example to the next: drawing, and Hypothesis.

Run it as ``python benchmarks/draw_cost.py [--runs N] [--examples N] [--json PATH]``; it exits with 1 where a bound is
missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
from _machine import conditions
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gradcheck import strategies as gst

ROWS, CLASSES = 32, 12
PACKAGES = ("gradcheck", "numpy", "hypothesis")


@dataclass(frozen=True)
class Subject:
    """A strategy to draw from; ``bound`` is in seconds for an example."""

    name: str
    make: Callable[[], st.SearchStrategy[Any]]
    bound: float | None = None


@dataclass(frozen=True)
class Row:
    """What was measured, in seconds for an example, and how many times that is what the peer takes."""

    name: str
    seconds: float
    ratio: float
    bound: float | None

    @property
    def held(self) -> bool:
        """Whether the bound was kept; true where there is none."""
        return self.bound is None or self.seconds <= self.bound


def peer(**fill: Any) -> st.SearchStrategy[Any]:
    """Make the strategy that one would write without gradcheck."""
    z = arrays(np.float64, (ROWS, CLASSES), elements=st.floats(-10, 10), **fill)
    return st.tuples(z, arrays(np.int64, ROWS, elements=st.integers(0, CLASSES - 1), **fill))


# A check of such an example takes about ten milliseconds. Less than a tenth of that is not worth a thought.
BOUND = 1e-3
SIZES: dict[str, Any] = {"rows": ROWS, "classes": CLASSES}
PEER = "arrays(...), most entries alike"
SUBJECTS = (
    Subject(PEER, peer),
    Subject("arrays(..., fill=nothing())", lambda: peer(fill=st.nothing())),
    Subject("softmax_nll()", lambda: gst.softmax_nll(**SIZES), BOUND),
    Subject(
        "softmax_nll(weights=, masks=, ignore_index=)",
        lambda: gst.softmax_nll(**SIZES, weights=True, masks=True, ignore_index=-100),
    ),
    Subject("softmax_nll(labels='soft')", lambda: gst.softmax_nll(**SIZES, labels="soft")),
    Subject("softmax_nll(rows=255, classes=255)", lambda: gst.softmax_nll(rows=255, classes=255)),
)


def seconds(strategy: st.SearchStrategy[Any], examples: int, seed: int) -> float:
    """Draw examples in a test that does nothing, and return the median time from one to the next."""
    times: list[float] = []

    @hypothesis.seed(seed)
    @settings(
        max_examples=examples,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def trivial(_: Any) -> None:
        times.append(time.perf_counter())

    trivial()
    return float(np.median(np.diff(times)))


def measure(subjects: Sequence[Subject], runs: int, examples: int) -> list[Row]:
    """Measure all subjects in turn, as often as asked, after one turn that only warms up."""
    found: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    for turn in range(runs + 1):
        for subject in subjects if turn % 2 else reversed(subjects):
            one = seconds(subject.make(), examples, turn)
            if turn:
                found[subject.name].append(one)
    peers = found[PEER]
    return [
        Row(
            subject.name,
            statistics.median(found[subject.name]),
            statistics.median(mine / peer for mine, peer in zip(found[subject.name], peers, strict=True)),
            subject.bound,
        )
        for subject in subjects
    ]


def table(rows: Sequence[Row]) -> str:
    """Lay the rows out, in milliseconds."""
    lines = [f"{'an example of':<46}{'ms':>8}{'ratio':>8}{'bound':>8}"]
    for row in rows:
        bound = "" if row.bound is None else f"{row.bound * 1e3:.1f}"
        lines.append(
            f"{row.name:<46}{row.seconds * 1e3:>8.2f}{row.ratio:>8.2f}{bound:>8}{'' if row.held else '  MISSED'}"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit code whether the bound was held."""
    parser = argparse.ArgumentParser(description="Measure what it costs to draw an example.")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="turns; medians are over these (default: 5)")
    parser.add_argument("--examples", type=int, default=200, metavar="N", help="examples in a turn (default: 200)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the numbers there too")
    arguments = parser.parse_args(argv)
    if arguments.runs < 1 or arguments.examples < 2:
        parser.error("--runs must be at least 1, and --examples 2")
    rows = measure(SUBJECTS, arguments.runs, arguments.examples)
    about = conditions(PACKAGES) | {"runs": str(arguments.runs), "examples": str(arguments.examples)}
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print(table(rows))
    if arguments.json:
        content = {"conditions": about, "rows": [asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0 if all(row.held for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
