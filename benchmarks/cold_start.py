"""What gradcheck costs before it has done anything: its import, its idle pytest plugin, and a first verdict.

Every number is the median over runs in fresh interpreters. Rows that are compared with another take turns with it, and
the median is that of the differences within a turn, so that a machine that slows down slows both. Bounds are held to
CPU time, which is what one waits for on an idle machine, and which other programs on a busy one leave as it is.

Run it as ``python benchmarks/cold_start.py [--runs N] [--json PATH]``; it exits with 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from _machine import conditions

PACKAGES = ("gradcheck", "numpy", "jax", "hypothesis", "pytest")


@dataclass(frozen=True)
class Subject:
    """Something to run in a fresh interpreter; ``over`` names the subject whose time is taken off."""

    name: str
    code: str
    over: str | None = None
    bound: float | None = None  # CPU seconds


@dataclass(frozen=True)
class Row:
    """What was measured, in seconds."""

    name: str
    over: str | None
    cpu: float
    wall: float
    bound: float | None

    @property
    def held(self) -> bool:
        """Whether the bound was kept; true where there is none."""
        return self.bound is None or self.cpu <= self.bound


def _pytest(*options: str) -> str:
    """Run pytest on the empty test with no plugin but those given, since others would only add noise."""
    arguments = ["-p", "no:cacheprovider", *options, "test_empty.py"]  # not -q, which would leave out the header
    return (
        "import contextlib, io, os\n"
        "os.environ['PYTEST_DISABLE_PLUGIN_AUTOLOAD'] = '1'\n"
        "import pytest\n"
        f"with contextlib.redirect_stdout(io.StringIO()): code = pytest.main({arguments})\n"
        "assert code == 0"
    )


VERDICT = """
import numpy as np
import gradcheck

def loss(z, y):
    z = z - z.max(axis=1, keepdims=True)
    return -(z - np.log(np.exp(z).sum(axis=1, keepdims=True)))[np.arange(len(y)), y].mean()

def grad(z, y):
    a = np.exp(z - z.max(axis=1, keepdims=True))
    a /= a.sum(axis=1, keepdims=True)
    a[np.arange(len(y)), y] -= 1
    return a / len(y)

z = np.random.default_rng(0).normal(size=(8, 10))
assert gradcheck.check(gradcheck.from_loss(loss, grad), z, np.arange(8))
"""

# The import is felt by everything that has gradcheck among its imports: a quarter of what NumPy takes. The plugin is
# paid by every pytest run of everybody who has installed gradcheck, and 15 ms is the least that a person notices when
# it is repeated. Three seconds is where the wait for a first answer breaks a thought; most of it is jax's own import.
SUBJECTS = (
    Subject("empty interpreter", "pass"),
    Subject("import gradcheck", "import gradcheck", over="empty interpreter", bound=0.060),
    Subject("import numpy", "import numpy", over="empty interpreter"),
    Subject("import hypothesis", "import hypothesis", over="empty interpreter"),
    Subject("import jax", "import jax", over="empty interpreter"),
    Subject("pytest, one empty test", _pytest()),
    Subject("idle plugin", _pytest("-p", "gradcheck.pytest_plugin"), over="pytest, one empty test", bound=0.015),
    Subject("first verdict", VERDICT, bound=3.0),
)


def _seconds(code: str, folder: str) -> tuple[float, float]:
    """Run code in a fresh interpreter and return its CPU and wall time."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport time\nprint(time.process_time())"],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    wall = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"a measured program failed:\n{done.stderr}")
    return float(done.stdout), wall


def measure(subjects: Sequence[Subject], runs: int) -> list[Row]:
    """Measure all subjects in turn, as often as asked, after one turn that only warms the disk's cache."""
    times: dict[str, list[tuple[float, float]]] = {subject.name: [] for subject in subjects}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_empty.py").write_text("def test_empty(): pass\n", encoding="utf-8")
        for turn in range(runs + 1):
            for subject in subjects if turn % 2 else reversed(subjects):
                found = _seconds(subject.code, folder)
                if turn:
                    times[subject.name].append(found)
    return [_row(subject, times) for subject in subjects]


def _row(subject: Subject, times: dict[str, list[tuple[float, float]]]) -> Row:
    mine = times[subject.name]
    base = times[subject.over] if subject.over else [(0.0, 0.0)] * len(mine)
    cpu, wall = (statistics.median(a[clock] - b[clock] for a, b in zip(mine, base, strict=True)) for clock in range(2))
    return Row(subject.name, subject.over, cpu, wall, subject.bound)


def table(rows: Sequence[Row]) -> str:
    """Lay the rows out, in milliseconds."""
    lines = [f"{'':<24}{'CPU ms':>10}{'wall ms':>10}{'bound':>10}  over"]
    for row in rows:
        bound = "" if row.bound is None else f"{row.bound * 1e3:.0f}"
        end = "" if row.held else "  MISSED"
        lines.append(f"{row.name:<24}{row.cpu * 1e3:>10.1f}{row.wall * 1e3:>10.1f}{bound:>10}  {row.over or ''}{end}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit code whether the bounds were held."""
    parser = argparse.ArgumentParser(description="Measure what gradcheck costs before it has done anything.")
    parser.add_argument("--runs", type=int, default=9, metavar="N", help="turns; medians are over these (default: 9)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the numbers there too")
    arguments = parser.parse_args(argv)
    if arguments.runs < 1:
        parser.error("--runs must be at least 1")
    rows = measure(SUBJECTS, arguments.runs)
    about = {**conditions(PACKAGES), "runs": str(arguments.runs)}
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print(table(rows))
    if arguments.json:
        content = {"conditions": about, "seconds": [asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0 if all(row.held for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
