"""How accurate finite differences are on hard functions, and whether the error that they claim holds, beside peers.

Each tool differentiates each function at one point, with its defaults. An error is relative to the derivative, and
absolute where that is zero; the truth has 60 digits. A claim holds if the error is no larger; no claim at all (NaN) is
neither right nor wrong; "tenfold" counts the claims that are broken by more than a factor of ten. Evaluations are the
numbers at which the function was evaluated.

Run it as ``python benchmarks/finite_differences.py [--markdown] [--json PATH]``; it exits with 1 where an error that
gradcheck claims does not hold, or where it claims none.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from _hard_functions import HARD, Function, Hard
from _machine import conditions

from gradcheck.oracles.differences import finite_difference

PACKAGES = ("gradcheck", "numpy", "numdifftools", "scipy", "jacobi", "mpmath")

# From a function and a point to the derivative and the error that is claimed of it.
Tool = Callable[[Function, float], tuple[float, float]]
OURS = "gradcheck"
# What some tools call an error is a standard deviation; none of those is exceeded ten times.
TENFOLD = 10


def gradcheck(fun: Function, at: float) -> tuple[float, float]:
    """Ask the oracle that stands behind every verdict without a reference."""
    found = finite_difference.directional(lambda x: float(fun(x[0])), [at], [1.0])
    return float(found.value), float(found.error)


def numdifftools(fun: Function, at: float) -> tuple[float, float]:
    """Ask Brodtkorb and D'Errico's adaptive Richardson extrapolation."""
    nd: Any = import_module("numdifftools")  # typed as Any: it comes without types
    found = nd.Derivative(fun, full_output=True)(at)
    return float(np.ravel(found.estimate)[0]), float(np.ravel(found.error_estimate)[0])


def scipy(fun: Function, at: float) -> tuple[float, float]:
    """Ask SciPy's differences of eighth order at falling steps."""
    from scipy.differentiate import derivative  # type: ignore[import-untyped]  # it has no annotations

    found = derivative(fun, at)
    return float(found.df), float(found.error)


def jacobi(fun: Function, at: float) -> tuple[float, float]:
    """Ask Dembinski's fit of a polynomial to Richardson's values."""
    ask = import_module("jacobi").jacobi  # where it is not installed, type checkers do not find it

    value, error = ask(fun, at)
    return float(np.ravel(value)[0]), float(np.ravel(error)[0])


TOOLS: dict[str, Tool] = {OURS: gradcheck, "numdifftools": numdifftools, "scipy": scipy, "jacobi": jacobi}


@dataclass(frozen=True)
class Row:
    """What one tool made of one function: its error, the one it claims, and how often it evaluated the function."""

    function: str
    tool: str
    error: float
    claimed: float
    evaluations: int
    raised: str = ""

    @property
    def word(self) -> str:
        """Whether the claim holds, is broken, or is none."""
        if math.isnan(self.claimed):
            return "no claim"
        return "holds" if self.error <= self.claimed else "broken"


def measure(hard: Hard, name: str, tool: Tool) -> Row:
    """Put one function to one tool."""
    counted = 0

    def counting(x: Any) -> Any:
        nonlocal counted
        counted += np.size(x)
        return hard.fun(x)

    raised = ""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value, claimed = tool(counting, hard.at)
        except Exception as reason:  # whatever it is, it is not an answer
            value, claimed, raised = math.nan, math.nan, f"{type(reason).__name__}: {reason}"
    size = abs(hard.truth) or 1
    error = float(abs(value - hard.truth) / size) if math.isfinite(value) else math.inf
    return Row(hard.name, name, error, float(abs(claimed) / size), counted, raised)


def measure_all(tools: dict[str, Tool]) -> list[Row]:
    """Put every function to every tool."""
    return [measure(hard, name, tool) for hard in HARD for name, tool in tools.items()]


def failures(rows: Sequence[Row]) -> list[str]:
    """Say where gradcheck missed its bounds: every claim holds, and there is one for every function."""
    return [
        f"{row.function}: {row.word}, error {row.error:.1e}, claimed {row.claimed:.1e}"
        for row in rows
        if row.tool == OURS and row.word != "holds"
    ]


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    """Lay out one line per function: error, claim and evaluations of each tool."""
    tools = list(dict.fromkeys(row.tool for row in rows))
    lines = [["function", *tools]]
    for function in dict.fromkeys(row.function for row in rows):
        own = {row.tool: row for row in rows if row.function == function}
        lines.append([function, *(_cell(own[tool]) for tool in tools)])
    return lines


def _cell(row: Row) -> str:
    if row.raised:
        return f"raised, {row.evaluations}"
    error = "none" if math.isinf(row.error) else f"{row.error:.0e}"
    claim = "?" if math.isnan(row.claimed) else f"{row.claimed:.0e}"
    return f"{error} of {claim}{' BROKEN' if row.word == 'broken' else ''}, {row.evaluations}"


def _summary(rows: Sequence[Row]) -> list[list[str]]:
    """Lay out one line per tool."""
    heading = ["tool", "holds", "broken", "tenfold", "no claim", "median error", "median claim", "worst error"]
    lines = [[*heading, "evaluations"]]
    for tool in dict.fromkeys(row.tool for row in rows):
        own = [row for row in rows if row.tool == tool]
        words = [row.word for row in own]
        claims = [row.claimed for row in own if not math.isnan(row.claimed)]
        lines.append(
            [
                tool,
                str(words.count("holds")),
                str(words.count("broken")),
                str(sum(row.error > TENFOLD * row.claimed for row in own)),
                str(words.count("no claim")),
                f"{statistics.median(row.error for row in own):.1e}",
                f"{statistics.median(claims):.1e}" if claims else "none",
                f"{max(row.error for row in own):.1e}",
                f"{statistics.median(row.evaluations for row in own):g}",
            ]
        )
    return lines


def text(lines: Sequence[Sequence[str]]) -> str:
    """Align cells in columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Write cells as a Markdown table."""
    head, *body = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([head, f"| {' | '.join('---' for _ in lines[0])} |", *body])


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit code whether the bounds were held."""
    parser = argparse.ArgumentParser(description="Measure finite differences and the errors that they claim.")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the numbers there too")
    arguments = parser.parse_args(argv)
    rows = measure_all({name: tool for name, tool in TOOLS.items() if find_spec(name)})
    about = conditions(PACKAGES) | {"functions": str(len(HARD))}
    lay_out = markdown if arguments.markdown else text
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print(f"\nerror of what is claimed, evaluations\n\n{lay_out(_cells(rows))}\n\n{lay_out(_summary(rows))}")
    if arguments.json:
        content = {"conditions": about, "rows": [asdict(row) | {"word": row.word} for row in rows]}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    missed = failures(rows)
    for line in missed:
        print(f"MISSED  {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
