"""How many wrong gradients gradcheck catches, and how many right ones it accuses, beside its peers.

The gradients are those of the test suite's corpus: mistakes that people have reported, and right ones in unusual
algebra. Each peer runs with its defaults and sees each gradient twice: at one ordinary random point, as its users write
their tests, and at the very points that gradcheck draws, one after the other, until it objects. Where a peer objects to
the right gradient at the same point as well, its catch is a false alarm that happened to hit: it is counted as a catch,
and these are told apart in a line of their own. What gradcheck cannot decide never counts as caught.

Run it as ``python benchmarks/detection_power.py [--seeds N] [--json PATH]``; it exits with 1 where gradcheck has missed
a wrong gradient, or accused a right one, at any seed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from _corpus import ONLY_SEARCH, STANDARD_NORMAL, Specimen, drawn, ordinary, righted, size, specimens
from _machine import conditions
from _power_table import BROKEN, FALSE_ALARM, RIGHT, UNDECIDED, Measured, Peered, failures, markdown, text
from peers import CAUGHT, NOT_EXPRESSIBLE, PASSED, PEERS, Answer, Peer, Question, ask

import gradcheck

# Some peers go from number to number and call the forward twice for each: a second's work for these many, and two
# minutes' for the 255 x 255 that are drawn about a block of 128.
LARGEST = 4096
INTERRUPTED = 130  # what shells call the end by Ctrl-C
PACKAGES = ("gradcheck", "numpy", "jax", "hypothesis", "torch", "autograd", "scipy")


@dataclass(frozen=True)
class Plan:
    """What is asked of every specimen."""

    seeds: int
    peer_seed: int
    examples: int
    largest: int
    peers: tuple[str, ...]


def measure(at: int, plan: Plan) -> Measured:
    """Put one specimen to gradcheck and to every peer."""
    specimen = specimens()[at]
    start = time.process_time()  # the machine may have other things to do
    ours = tuple(_ours(specimen, seed, plan.examples) for seed in range(plan.seeds))
    taken = time.process_time() - start
    try:
        alone, inputs = ordinary(specimen, plan.peer_seed)
        points = [p for p in drawn(specimen, plan.peer_seed, plan.examples) if size(p) <= plan.largest]
    except Exception as error:  # a specimen that cannot be put to anybody is a line of the table, not the end of it
        nothing = Answer(NOT_EXPRESSIBLE, f"{type(error).__name__}: {error}")
        peered = {name: Peered(nothing, nothing, 0.0) for name in plan.peers}
        return Measured(specimen.name, specimen.family, specimen.shows, "none", ours, peered, taken)
    controls = Controls(specimen)
    peered = {name: _peered(PEERS[name], alone, points, controls) for name in plan.peers}
    return Measured(specimen.name, specimen.family, specimen.shows, inputs, ours, peered, taken)


def _ours(specimen: Specimen, seed: int, examples: int) -> Answer:
    """Ask gradcheck, which keeps failures under the working directory."""
    try:
        gradcheck.verify(specimen.make(), specimen.cases(), examples=examples, seed=seed, settings=ONLY_SEARCH)
    except gradcheck.GradientMismatch as error:
        return Answer(CAUGHT, str(error.report.verdict.reason))
    except gradcheck.GradientUndecided as error:
        return Answer(UNDECIDED, str(error.report.verdict.reason))
    except Exception as error:
        return Answer(BROKEN, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
    return Answer(PASSED)


class Controls:
    """The right gradient at a point, made when first asked for; none for a specimen that is right itself."""

    def __init__(self, specimen: Specimen) -> None:
        self._specimen = specimen
        self._made: dict[int, Question | None] = {}

    def at(self, point: Question) -> Question | None:
        """Give the same question about the right gradient, or None."""
        if self._specimen.family == RIGHT:
            return None
        if id(point) not in self._made:
            self._made[id(point)] = righted(self._specimen, point)
        return self._made[id(point)]


def _peered(peer: Peer, alone: Question, points: Sequence[Question], controls: Controls) -> Peered:
    (first, taken), (second, more) = (_until_caught(peer, asked, controls) for asked in ([alone], points))
    return Peered(first, second, taken + more)


def _until_caught(peer: Peer, points: Sequence[Question], controls: Controls) -> tuple[Answer, float]:
    """Ask point by point. A peer that objects to the right gradient there too goes on, for it may know better later.

    Returns the answer, and the CPU seconds of the peer without those of the controls.
    """
    if not points:
        return Answer(NOT_EXPRESSIBLE, "every point is too large"), 0.0
    answers, taken = [], 0.0
    for number, point in enumerate(points, 1):
        start = time.process_time()
        answer = ask(peer, point)
        taken += time.process_time() - start
        if answer.word == CAUGHT:
            control = controls.at(point)
            alarm = control is not None and ask(peer, control).word == CAUGHT
            answer = Answer(FALSE_ALARM if alarm else CAUGHT, f"at point {number} of {len(points)}: {answer.why}")
            if not alarm:
                return answer, taken
        answers.append(answer)
    best = next((answer for word in (FALSE_ALARM, PASSED) for answer in answers if answer.word == word), answers[0])
    return best, taken


def _start_worker(scratch: str, peers: Sequence[str]) -> None:
    """Go where kept failures are thrown away; leave it to Ctrl-C to end the worker at once, without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    warnings.simplefilter("ignore")
    os.chdir(scratch)
    pair = (np.square, lambda x, cotangent: 2 * x * cotangent)
    for name in peers:  # so that no gradient pays for the import
        ask(PEERS[name], Question(lambda: pair, "vjp", (np.ones(2),), (0,), np.ones(2)))


def measure_all(chosen: Sequence[int], plan: Plan, jobs: int) -> Iterator[tuple[int, Measured]]:
    """Measure specimens by their numbers, in processes of their own, and give number and result as they come in."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the processes share the CPUs, and the arrays are small
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        context = multiprocessing.get_context("spawn")  # JAX does not survive a fork
        pool = ProcessPoolExecutor(jobs, context, _start_worker, (scratch, plan.peers))
        try:
            futures = {pool.submit(measure, at, plan): at for at in chosen}
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _progress(done: int, of: int, row: Measured) -> None:
    theirs = "  ".join(f"{name} {p.ordinary.word}/{p.drawn.word}" for name, p in row.peers.items())
    ours = ", ".join(dict.fromkeys(answer.word for answer in row.ours))
    print(f"{done}/{of}  {row.label}: {ours}  {theirs}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Count the wrong gradients that gradcheck and its peers catch.")
    parser.add_argument(
        "--seeds", type=int, default=5, metavar="N", help="gradcheck runs at seeds 0 to N-1 (default: 5)"
    )
    parser.add_argument("--peer-seed", type=int, default=0, metavar="S", help="of the peers' points (default: 0)")
    parser.add_argument(
        "--examples", type=int, default=100, metavar="N", help="points for each gradient (default: 100)"
    )
    parser.add_argument(
        "--largest",
        type=int,
        default=LARGEST,
        metavar="N",
        help=f"peers get no drawn point with more numbers to differentiate by (default: {LARGEST})",
    )
    parser.add_argument("--only", metavar="FAMILY", help="measure one family; right gradients are the family 'right'")
    parser.add_argument("--peers", metavar="A,B", help=f"of {', '.join(PEERS)} (default: those that are installed)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes (default: 2)")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every answer there too")
    return parser


def _chosen_peers(parser: argparse.ArgumentParser, asked: str | None) -> tuple[str, ...]:
    names = list(PEERS) if asked is None else [name for name in asked.split(",") if name]
    if unknown := [name for name in names if name not in PEERS]:
        parser.error(f"there is no peer {unknown[0]!r}; there are {', '.join(PEERS)}")
    missing = [name for name in names if not PEERS[name].installed]
    if missing and asked is not None:
        parser.error(f"{missing[0]} is not installed: pip install {PEERS[missing[0]].package}")
    for name in missing:
        print(f"left out: {name}, since {PEERS[name].package} is not installed", file=sys.stderr)
    return tuple(name for name in names if name not in missing)


def _chosen_specimens(parser: argparse.ArgumentParser, family: str | None) -> list[int]:
    families = [specimen.family for specimen in specimens()]
    if family is not None and family not in families:
        parser.error(f"there is no family {family!r}; there are {', '.join(dict.fromkeys(families))}")
    chosen = [at for at, its in enumerate(families) if family in (None, its)]
    return sorted(chosen, key=lambda at: families[at] != RIGHT)  # those that nothing stops early take longest


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit code whether the bounds were held."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    for name in ("seeds", "examples", "largest", "jobs"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} must be at least 1")
    peers = _chosen_peers(parser, arguments.peers)
    plan = Plan(arguments.seeds, arguments.peer_seed, arguments.examples, arguments.largest, peers)
    chosen = _chosen_specimens(parser, arguments.only)
    start = time.perf_counter()
    rows = _until_interrupted(chosen, plan, arguments.jobs)
    about = {
        **conditions(PACKAGES),
        "seeds": str(plan.seeds),
        "points": f"{plan.examples} (to peers: of up to {plan.largest} numbers)",
        "measured": f"{len(rows)} of {len(chosen)} gradients in {time.perf_counter() - start:.0f} s",
    }
    print(_page(rows, plan, about, arguments.markdown))
    if arguments.json:
        content = {"conditions": about, "peers": _how(plan), "gradients": [asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    missed = failures(rows)
    for line in missed:
        print(f"MISSED  {line}")
    if len(rows) < len(chosen):
        return INTERRUPTED
    return 1 if missed else 0


def _until_interrupted(chosen: Sequence[int], plan: Plan, jobs: int) -> list[Measured]:
    """Measure and tell of it; Ctrl-C gives what there is by then, in the order of the corpus."""
    found: dict[int, Measured] = {}
    try:
        for at, row in measure_all(chosen, plan, jobs):
            found[at] = row
            _progress(len(found), len(chosen), row)
    except (KeyboardInterrupt, BrokenProcessPool) as error:  # Ctrl-C may reach a worker first, and ends it
        print(f"{type(error).__name__}: {len(found)} of {len(chosen)} gradients were measured", file=sys.stderr)
    return [found[at] for at in sorted(found)]


def _how(plan: Plan) -> dict[str, str]:
    return {name: PEERS[name].how for name in plan.peers}


def _page(rows: Sequence[Measured], plan: Plan, about: dict[str, str], as_markdown: bool) -> str:
    """Write conditions, tables, and what is called under the name of each peer."""
    bullet, quote = ("- ", "`") if as_markdown else ("  ", "")
    how = [f"{bullet}{name}: {quote}{call}{quote}" for name, call in _how(plan).items()]
    elsewhere = [f"{row.label} ({row.inputs})" for row in rows if row.inputs != STANDARD_NORMAL]
    notes = [f"Ordinary points are standard normal numbers, but for: {', '.join(elsewhere)}."] if elsewhere else []
    heading = ", ".join(f"{name} {value}" for name, value in about.items())
    body = (markdown if as_markdown else text)(rows, plan.peers)
    return "\n\n".join([heading, body, *notes, "\n".join(how)])


if __name__ == "__main__":
    raise SystemExit(main())
