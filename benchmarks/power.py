"""What the check of each built-in derivation is worth: which wrong gradients made of it would have passed.

Each derivation of the catalogue is put to `gradcheck.power` with its own strategy in float64: every mistake that has a
name is made in what it returns, and every small edit in its source, and each of these mutants is judged as
`gradcheck.verify` would judge it. A table has a line for each family of derivations: the mutants killed of those that
could be told from the rule, those that could not, and the smallest relative error that would have been seen, in all
entries of an array and in one, in the array where it is largest. Each survivor is listed.

Run it as ``python benchmarks/power.py [--only TEXT] [--examples N] [--jobs N] [--markdown] [--json PATH [--resume]]``;
it exits with 1 where a mutant survives or was not tried. All of them take an hour or two on one core. What has been
measured is written to the JSON as it comes in, and with ``--resume`` not measured again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
from _machine import conditions
from _mutant_table import misses, page

from gradcheck import power
from gradcheck.catalogue import entries
from gradcheck.errors import GradcheckError

PACKAGES = ("gradcheck", "numpy", "jax", "hypothesis", "python-flint")
BUDGET = 1800.0  # seconds of one derivation; on a machine that does nothing else, none takes a fifth of it
INTERRUPTED = 130  # what shells call the end by Ctrl-C

Row = dict[str, Any]


def measure(name: str, examples: int, seed: int, budget: float) -> tuple[str, Row]:
    """Measure the power of the check of one derivation."""
    entry = next(entry for entry in entries() if entry.name == name)
    try:
        report = power(entry.rule, entry.cases("float64"), examples=examples, seed=seed, budget=budget)
    except GradcheckError as error:
        return name, {"error": f"{type(error).__name__}: {error}"}
    return name, report.as_dict()


def _measured(names: Sequence[str], arguments: argparse.Namespace) -> Iterator[tuple[str, Row]]:
    """Measure each in a process of its own, and give them as they come in."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the processes share the CPUs, and the arrays are small
    asked = (arguments.examples, arguments.seed, arguments.budget)
    context = multiprocessing.get_context("spawn")  # JAX does not survive a fork
    pool = ProcessPoolExecutor(arguments.jobs, context, _start_worker)
    try:
        for future in as_completed([pool.submit(measure, name, *asked) for name in names]):
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _start_worker() -> None:
    """Leave it to Ctrl-C to end the worker at once, without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    warnings.simplefilter("ignore")  # a mean over no rows warns
    np.seterr(all="ignore")


def _until_interrupted(names: Sequence[str], known: dict[str, Row], arguments: argparse.Namespace) -> bool:
    """Measure and tell of it, adding to what is known; False after Ctrl-C."""
    start = time.monotonic()
    try:
        for count, (name, row) in enumerate(_measured(names, arguments), start=1):
            known[name] = row
            _keep(arguments, known)
            told = row.get("error") or f"{len(row['killed'])} killed, {len(row['survivors'])} survive"
            print(
                f"{count}/{len(names)} in {time.monotonic() - start:.0f} s  {name}: {told}", file=sys.stderr, flush=True
            )
    except (KeyboardInterrupt, BrokenProcessPool) as error:  # Ctrl-C may reach a worker first, and ends it
        print(f"{type(error).__name__}: {len(known)} derivations were measured", file=sys.stderr)
        return False
    return True


def _about(arguments: argparse.Namespace) -> dict[str, str]:
    asked = {name: f"{getattr(arguments, name):g}" for name in ("examples", "seed", "budget")}
    return conditions(PACKAGES) | asked


def _keep(arguments: argparse.Namespace, rows: dict[str, Row]) -> None:
    """Write all of it anew, so that what is there is whole whenever the run ends."""
    if arguments.json:
        content = json.dumps({"conditions": _about(arguments), "derivations": rows}, indent=2)
        beside = arguments.json.with_name(f"{arguments.json.name}.new")
        beside.write_text(f"{content}\n", encoding="utf-8")
        beside.replace(arguments.json)


def _known(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> dict[str, Row]:
    """Read what an earlier run has measured under the same conditions."""
    if not arguments.resume:
        return {}
    if not arguments.json:
        parser.error("--resume needs --json PATH, the file to go on with")
    if not arguments.json.exists():
        return {}
    content = json.loads(arguments.json.read_text(encoding="utf-8"))
    about = _about(arguments)
    differs = [name for name, value in about.items() if content["conditions"].get(name) != value]
    if differs:
        parser.error(f"--resume: {arguments.json} was measured with another {', '.join(differs)}")
    rows: dict[str, Row] = content["derivations"]
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure what the check of each built-in derivation is worth.")
    parser.add_argument("--only", default="", metavar="TEXT", help="derivations with this in their name")
    parser.add_argument("--examples", type=int, default=100, metavar="N", help="inputs of a check (default: 100)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (default: 0)")
    parser.add_argument(
        "--budget", type=float, default=BUDGET, metavar="SECONDS", help=f"of one derivation (default: {BUDGET:g})"
    )
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes (default: 2)")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every report there, as they come in")
    parser.add_argument("--resume", action="store_true", help="do not measure again what is there")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit code whether every mutant was killed."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.examples < 1 or arguments.jobs < 1 or not arguments.budget > 0:
        parser.error("--examples and --jobs must be at least 1, --budget more than 0")
    every = [entry.name for entry in entries()]
    # others may contain it
    names = [arguments.only] if arguments.only in every else [name for name in every if arguments.only in name]
    if not names:
        parser.error(f"--only {arguments.only!r} is in the name of no derivation")
    known = _known(parser, arguments)
    whole = _until_interrupted([name for name in names if name not in known], known, arguments)
    rows = {name: known[name] for name in every if name in known}
    measured = f"{len(rows)} of {len(every)} derivations in {sum(r.get('seconds', 0.0) for r in rows.values()):.0f} s"
    about = _about(arguments) | {"measured": measured}
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print(f"\n{page(rows, as_markdown=arguments.markdown)}\n")
    missed = misses(rows)
    for line in missed:
        print(f"MISSED  {line}", file=sys.stderr)
    return INTERRUPTED if not whole else 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
