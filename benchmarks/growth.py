"""What a check costs as the gradient grows: time in evaluations of that gradient, memory in copies of the parameters.

The gradient is the catalogue's of a network with one hidden layer of rectifiers: `derivations.mlp` in NumPy, a batch of
32, float64. An evaluation is its value and its pullback. Every tool checks it in a process of its own, where checks
take turns with evaluations; both are medians of CPU time, and BLAS has one thread. What the first check took beyond a
later one (tracing, compiling) stands apart. A peer that has no answer within the budget is ended.

Memory is what a check holds above what there was, at its worst moment: *traced* by tracemalloc, which NumPy tells of
every array, in a check that finds its programs traced; and *resident*, by which the process grew in its first check,
whoever asked for it. A check of a tiny network before has loaded the code of both.

Run it as ``python benchmarks/growth.py [--sizes A,B] [--json PATH]``; it exits with 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import resource
import signal
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from _machine import conditions
from _tables import laid_out
from peers import CAUGHT, PEERS, Question, ask

from gradcheck import Rule, derivations, examine
from gradcheck.catalogue import entries
from gradcheck.laws import OPTIONAL

PACKAGES = ("gradcheck", "numpy", "jax", "torch")
SIZES = (10**3, 10**4, 10**5, 10**6)
BATCH, CLASSES = 32, 10
TINY = 200  # parameters
PEERS_HERE = ("torch-slow", "torch-fast", "jax")
OURS = {"gradcheck, laws off": OPTIONAL, "gradcheck": ()}
BOUNDS = {"gradcheck, laws off": 10.0, "gradcheck": 40.0}  # evaluations of the gradient
COPIES = 6.0  # of the parameters
# Work that grows like the parameters has an exponent of 1; 0.05 is a factor of 1.4 over three powers of ten.
EXPONENT, FITTED = 1.05, 3
EVALUATIONS = 3  # before each check
INTERRUPTED = 130  # what shells call the end by Ctrl-C
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Row:
    """One tool at one size: CPU seconds, and bytes as copies of the parameters; None where it came to no end.

    ``compiling`` is what the first check took beyond a later one, ``says`` the tool's answer or what became of it.
    """

    tool: str
    parameters: int
    says: str
    evaluation: float | None = None
    check: float | None = None
    compiling: float | None = None
    traced: float | None = None
    resident: float | None = None

    @property
    def evaluations(self) -> float | None:
        """What a check takes, in evaluations of the gradient."""
        return None if self.check is None or self.evaluation is None else self.check / self.evaluation

    @property
    def missed(self) -> list[str]:
        """The bounds that were missed; none for peers."""
        if self.tool not in OURS:
            return []
        where = f"{self.tool}, {self.parameters} parameters"
        found = [] if self.says == "PASS" else [f"{where}: {self.says}"]
        for what, value, bound in (
            ("evaluations", self.evaluations, BOUNDS[self.tool]),
            ("copies of the parameters", self.traced, COPIES),
        ):
            if value is not None and value > bound:
                found.append(f"{where}: {value:.3g} {what}, more than {bound:g}")
        return found


@dataclass(frozen=True)
class Network:
    """A rule with arguments, and how each tool checks it."""

    rule: Rule
    params: dict[str, Any]
    x: Any
    y: Any

    @classmethod
    def of(cls, parameters: int) -> Network:
        """Make the network whose hidden layer is as wide as its input and that has about so many parameters."""
        width = _width(parameters)
        rng = np.random.default_rng(0)
        return cls(
            next(entry.rule for entry in entries() if entry.name == "mlp/relu"),
            derivations.init_params((width, width, CLASSES), seed=0, dtype=np.float64),
            rng.standard_normal((BATCH, width)),
            rng.integers(CLASSES, size=BATCH),
        )

    def evaluate(self) -> Any:
        """Run the gradient written by hand: value and pullback."""
        value, pullback = self.rule(self.params, self.x, self.y)
        return pullback(np.ones_like(value))

    def check(self, tool: str) -> str:
        """Let a tool check the gradient, and return what it says."""
        if tool in OURS:
            return examine(self.rule, self.params, self.x, self.y, without=OURS[tool]).outcome.value
        answer = ask(PEERS[tool], self._question())
        return "accuses it" if answer.word == CAUGHT else answer.word

    def _question(self) -> Question:
        """Lay the parameters out as arguments of their own, which is what peers take."""
        names = tuple(self.params)

        def linearize(*args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
            value, pullback = self.rule(dict(zip(names, args, strict=False)), *args[len(names) :])
            return value, lambda cotangent: tuple(pullback(cotangent)[name] for name in names)

        def forward(*args: Any) -> Any:
            return linearize(*args)[0]

        args = (*self.params.values(), self.x, self.y)
        return Question(lambda: (forward, linearize), "pullback", args, tuple(range(len(names))), np.ones(()))


def _width(parameters: int) -> int:
    """Solve (width + 1) (width + CLASSES) = parameters."""
    return max(1, round((math.sqrt((CLASSES - 1) ** 2 + 4 * parameters) - CLASSES - 1) / 2))


def measure(tool: str, size: int, runs: int, seconds: float) -> Row:
    """Measure one tool at one size; more runs than one are left out where they would take longer than that."""
    network, end = Network.of(size), time.monotonic() + seconds
    Network.of(TINY).check(tool)
    network.evaluate()
    held = _resident()
    says, first = _timed(partial(network.check, tool))
    grown = _resident() - held
    evaluations: list[float] = []
    checks: list[float] = []
    while not checks or (len(checks) < runs and time.monotonic() < end):
        evaluations += [_timed(network.evaluate)[1] for _ in range(EVALUATIONS)]
        # one that took so long has compiled nothing to speak of, and is not asked again
        checks.append(_timed(partial(network.check, tool))[1] if time.monotonic() < end else first)
    check = statistics.median(checks)
    traced = _traced(partial(network.check, tool)) if tool in OURS else None
    copies = sum(value.nbytes for value in network.params.values())
    return Row(
        tool,
        size,
        says,
        statistics.median(evaluations),
        check,
        max(first - check, 0.0),
        None if traced is None else traced / copies,
        grown / copies,
    )


def _timed(function: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()  # the machine may have other things to do
    result = function()
    return result, time.process_time() - start


def _resident() -> int:
    """Give the most that the process has held so far, in bytes; Linux counts KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _traced(function: Callable[[], Any]) -> int:
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak - before


def _in_a_process(tool: str, size: int, runs: int, budget: float) -> Row:
    """Measure in a fresh process, which is ended when the budget is."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, tool, size, runs, budget / 4), daemon=True)
    process.start()
    sender.close()
    try:
        if not receiver.poll(budget):
            return Row(tool, size, f"over {budget:g} s")
        row: Row = receiver.recv()
        return row
    except EOFError:  # it was killed, for want of memory as a rule
        return Row(tool, size, "ended without an answer")
    finally:
        process.kill()
        process.join()


def _send(sender: Connection[Any, Any], tool: str, size: int, runs: int, seconds: float) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, without a traceback
    try:
        sender.send(measure(tool, size, runs, seconds))
    except Exception as error:  # a tool that breaks is a line of the table, not the end of it
        sender.send(Row(tool, size, f"{type(error).__name__}: {error}"))


def exponents(rows: Sequence[Row]) -> dict[str, float]:
    """Fit the slope of log time over log parameters to the largest sizes; of tools that came to an end at enough."""
    found = {}
    for tool in dict.fromkeys(row.tool for row in rows):
        mine = sorted((row.parameters, row.check) for row in rows if row.tool == tool and row.check is not None)
        if len(mine) >= FITTED:
            largest = np.log(np.array(mine[-FITTED:]))
            found[tool] = float(np.polyfit(largest[:, 0], largest[:, 1], 1)[0])
    return found


def misses(rows: Sequence[Row]) -> list[str]:
    """Name every bound that was not held."""
    grown = {tool: slope for tool, slope in exponents(rows).items() if tool in OURS and slope > EXPONENT}
    return [
        *(line for row in rows for line in row.missed),
        *(f"{tool}: grows with an exponent of {slope:.2f}, more than {EXPONENT}" for tool, slope in grown.items()),
    ]


def table(rows: Sequence[Row], *, as_markdown: bool) -> str:
    """Lay the rows out, then the exponents."""
    head = ["tool", "parameters", "says", "evaluation ms", "check ms", "evaluations", "compiling ms"]
    written = laid_out([[*head, "traced", "resident"], *map(_cells, rows)], as_markdown=as_markdown)
    grown = [f"{tool} {slope:.2f}" for tool, slope in exponents(rows).items()]
    told = f"Exponents of time over the {FITTED} largest sizes: {', '.join(grown)}." if grown else ""
    return f"{written}\n\n{told}".rstrip()


def _cells(row: Row) -> list[str]:
    milliseconds = [None if x is None else x * 1e3 for x in (row.evaluation, row.check, row.compiling)]
    evaluation, check, compiling = ("" if x is None else f"{x:.3g}" for x in milliseconds)
    others = ["" if x is None else f"{x:.3g}" for x in (row.evaluations, row.traced, row.resident)]
    return [row.tool, str(row.parameters), row.says, evaluation, check, others[0], compiling, *others[1:]]


def _rows(tools: Sequence[str], sizes: Sequence[int], runs: int, budget: float) -> Iterator[Row]:
    """Measure from the small to the large; a peer that has run out of its budget is asked no more."""
    done: set[str] = set()
    for size in sorted(sizes):
        for tool in tools:
            row = Row(tool, size, "not asked") if tool in done else _in_a_process(tool, size, runs, budget)
            if row.check is None and tool not in OURS:
                done.add(tool)
            yield row


def _until_interrupted(measured: Iterator[Row]) -> tuple[list[Row], bool]:
    """Measure and tell of it; Ctrl-C gives what there is by then, and False."""
    rows = []
    try:
        for row in measured:
            rows.append(row)
            print("  ".join(cell for cell in _cells(row) if cell), file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print(f"KeyboardInterrupt: {len(rows)} measurements were made", file=sys.stderr)
        return rows, False
    return rows, True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure what a check of a growing network costs.")
    sizes = ",".join(map(str, SIZES))
    parser.add_argument("--sizes", default=sizes, metavar="A,B", help=f"parameters, about (default: {sizes})")
    parser.add_argument("--runs", type=int, default=7, metavar="N", help="checks; medians are over these (default: 7)")
    parser.add_argument(
        "--budget", type=float, default=120.0, metavar="S", help="seconds for one tool at one size (default: 120)"
    )
    parser.add_argument("--peers", metavar="A,B", help=f"of {', '.join(PEERS_HERE)} (default: those installed)")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the numbers there too")
    return parser


def _peers(parser: argparse.ArgumentParser, asked: str | None) -> list[str]:
    names = list(PEERS_HERE) if asked is None else [name for name in asked.split(",") if name]
    if unknown := [name for name in names if name not in PEERS_HERE]:
        parser.error(f"there is no peer {unknown[0]!r}; there are {', '.join(PEERS_HERE)}")
    for name in names:
        if not PEERS[name].installed:
            if asked is not None:
                parser.error(f"{name} is not installed: pip install {PEERS[name].package}")
            print(f"left out: {name}, since {PEERS[name].package} is not installed", file=sys.stderr)
    return [name for name in names if PEERS[name].installed]


def _sizes(parser: argparse.ArgumentParser, text: str) -> list[int]:
    try:
        sizes = [int(float(part)) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < TINY:
        parser.error(f"--sizes {text!r}: pass numbers of parameters from {TINY} up, as in 1e3,1e4")
    return [(_width(size) + 1) * (_width(size) + CLASSES) for size in sizes]  # the nearest that there is a network of


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit code whether the bounds were held."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.runs < 1 or arguments.budget <= 0:
        parser.error("--runs must be at least 1, and --budget above 0")
    sizes, peers = _sizes(parser, arguments.sizes), _peers(parser, arguments.peers)
    os.environ.update(dict.fromkeys(THREADS, "1"))  # of the processes to come
    measured = _rows([*OURS, *peers], sizes, arguments.runs, arguments.budget)
    rows, whole = _until_interrupted(measured)
    about = conditions(PACKAGES) | {
        "batch": str(BATCH),
        "runs": str(arguments.runs),
        "budget": f"{arguments.budget:g} s",
    }
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print(table(rows, as_markdown=arguments.markdown))
    if arguments.json:
        content = {"conditions": about, "rows": [asdict(row) for row in rows], "exponents": exponents(rows)}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    missed = misses(rows)
    for line in missed:
        print(f"MISSED  {line}")
    if not whole:
        return INTERRUPTED
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
