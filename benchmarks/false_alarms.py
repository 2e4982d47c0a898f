"""How often gradcheck accuses a gradient that is right, or cannot decide about it.

The right gradients are those of the test suite's corpus, in unusual algebra, and gradcheck's own catalogue. Each is
examined at points that the strategy of its domain draws, in every dtype that it is meant for. Nothing stops at the
first alarm: all are counted, and printed with the code that checks them again. Points of a narrow dtype (float16,
bfloat16) at which the rule's value overflows, or which its forward refuses, are outside its domain, and others are
drawn for them.

*Vacuous* are points at which all of some array is smaller than its rounding. `gradcheck.check` rejects them under
`@given`, as `assume(False)` does, and `gradcheck.verify` is undecided only where no other point made up for them. So it
is here: they are counted apart, and as undecided where no example of the rule resolved that array.

Run it as ``python benchmarks/false_alarms.py [--long] [--json PATH] [--compare OLD.json]``; it exits with 1 where a
bound is missed: none flagged, at most 0.1% undecided in all and 1% in any rule or regime, every regime visited.
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
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
from _alarm_table import (
    EDGES,
    FLAGGED,
    PASSED,
    UNCOUNTED,
    UNDECIDED,
    VACUOUS,
    Alarm,
    Part,
    Seen,
    Tally,
    by_regime,
    drift,
    misses,
    page,
)
from _corpus import ONLY_SEARCH
from _machine import conditions
from _right import subjects
from hypothesis import settings
from hypothesis import strategies as st

from gradcheck import Outcome, Report, Rule, RuleError, examine
from gradcheck import strategies as gst
from gradcheck.checks import as_arguments, as_cotangent, forward_value, report_at
from gradcheck.report.code import as_code
from gradcheck.rule import Point
from gradcheck.strategies.coverage import Coverage
from gradcheck.tree import leaves_of
from gradcheck.verdict import Discrepancy, Grade

PACKAGES = ("gradcheck", "numpy", "jax", "hypothesis", "ml_dtypes", "python-flint")
EXAMPLES, LONG = 100_000, 1_000_000
LONG_THOROUGH = 8  # of a long run, one example in so many is examined as thoroughly as a single check
PART = 250  # examples of one rule that a process examines before it tells: some seconds' worth
SHOWN = 1000  # characters of code for one alarm; longer ones are left to the JSON
INTERRUPTED = 130  # what shells call the end by Ctrl-C
WORDS = {Outcome.PASS: PASSED, Outcome.FAIL: FLAGGED, Outcome.UNDECIDED: UNDECIDED}


def examine_part(label: str, number: int, examples: int, seed: int, every: int = 1) -> Part:
    """Examine one rule at so many points, one in ``every`` thoroughly; the number of the part chooses which."""
    subject = subjects()[label]
    rule, part = subject.make(), Part(label, subject.dtype)

    @hypothesis.seed(zlib.crc32(f"{seed} {label} {number}".encode()))
    @settings(ONLY_SEARCH, max_examples=examples)
    @hypothesis.given(case=subject.cases(), data=st.data())
    def one(case: tuple[Any, ...], data: st.DataObject) -> None:
        value = _value(rule, case)
        if subject.narrow and not _is_finite(value):
            part.outside += 1
            hypothesis.reject()
        drawn = rule.takes_cotangent and value is not None
        cotangent = data.draw(gst.cotangents(value)) if drawn else None
        _count(part, rule, case, cotangent, thorough=part.together.examples % every == 0)

    start = time.process_time()  # the machine may have other things to do
    with suppress(hypothesis.errors.Unsatisfiable):  # a rule without examples misses a bound; the others go on
        one()
    part.seconds = time.process_time() - start
    return part


def _value(rule: Rule, case: tuple[Any, ...]) -> Any:
    """Run the forward; None where it refuses."""
    try:
        return forward_value(rule, as_arguments(rule, case), {})
    except RuleError:
        return None


def _is_finite(value: Any) -> bool:
    return value is not None and all(np.all(np.isfinite(np.asarray(leaf, dtype=float))) for leaf in leaves_of(value))


def _count(part: Part, rule: Rule, case: tuple[Any, ...], cotangent: Any, *, thorough: bool) -> None:
    """Examine one example, and count it under its rule and its regimes."""
    coverage = Coverage()
    coverage.add(case, cotangent)
    visits = coverage.counts()
    regimes = [name for name, count in visits.items() if count] or [UNCOUNTED]
    part.offered |= visits.keys()
    try:
        report = _examined(rule, case, cotangent, thorough)
        seen, why = _seen(report, measured=thorough), report.verdict.reason
        _note(part, report)
    except Exception as error:  # what breaks is as bad as an alarm, and not the end of the run
        seen, why = Seen(FLAGGED), f"{type(error).__name__}: {error}"
    part.together.see(seen)
    for name in regimes:
        part.regimes.setdefault(name, Tally()).see(seen)
    if seen.word in (FLAGGED, UNDECIDED):
        part.alarms.append(Alarm(part.rule, seen.word, why, regimes, _code(part.rule, case, cotangent)))


def _examined(rule: Rule, case: tuple[Any, ...], cotangent: Any, thorough: bool) -> Report:
    if thorough:
        return examine(rule, *case, cotangent=cotangent)
    args = as_arguments(rule, case)
    point = Point(args, {}, as_cotangent(rule, forward_value(rule, args, {}), cotangent, seed=0))
    return report_at(rule, point, thorough=False)


def _seen(report: Report, *, measured: bool) -> Seen:
    found = report.verdict.discrepancies
    entries = sum(d.grade.size for d in found)
    unresolved = sum(int(np.sum(d.nonzero & ~d.resolved)) for d in found)
    word = VACUOUS if report.verdict.vacuous else WORDS[report.outcome]
    return Seen(word, max(map(_ratio, found), default=0.0) if measured else None, entries, unresolved)


def _ratio(found: Discrepancy) -> float:
    """Divide the worst error by what is allowed."""
    limit = found.widest  # beyond which an entry is wrong; less may have sufficed to see that it is not
    ratios = np.divide(found.difference, limit, out=np.zeros(limit.shape), where=limit > 0)
    counts = ~np.isnan(ratios) & (found.grade != Grade.KINK)  # there, any side's derivative is right
    return float(np.max(ratios, initial=0.0, where=counts))


def _note(part: Part, report: Report) -> None:
    """Take down which arrays an example showed something of."""
    found = report.verdict.discrepancies
    part.resolved.update(d.path for d in found if np.any(d.resolved))
    if report.verdict.vacuous:
        part.open[tuple(d.path for d in found if d.vacuous)] += 1


def _code(label: str, case: tuple[Any, ...], cotangent: Any) -> str:
    """Write the check of one example as a line of code."""
    given = [*map(as_code, case), *([] if cotangent is None else [f"cotangent={as_code(cotangent)}"])]
    return f"gradcheck.check(subjects()[{label!r}].make(), {', '.join(given)})"


def examine_all(labels: Sequence[str], each: int, seed: int, jobs: int, every: int = 1) -> Iterator[Part]:
    """Examine every rule at as many points, in processes of their own, and give the parts as they come in."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the processes share the CPUs, and the arrays are small
    work = [(label, number, examples) for label in labels for number, examples in enumerate(_parts(each))]
    context = multiprocessing.get_context("spawn")  # JAX does not survive a fork
    pool = ProcessPoolExecutor(jobs, context, _start_worker)
    try:
        for future in as_completed([pool.submit(examine_part, *task, seed, every) for task in work]):
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _parts(each: int) -> list[int]:
    """Cut the examples of a rule into parts."""
    return [min(PART, each - start) for start in range(0, each, PART)]


def _start_worker() -> None:
    """Leave it to Ctrl-C to end the worker at once, without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    warnings.simplefilter("ignore")  # a mean over no rows warns
    np.seterr(all="ignore")


def _until_interrupted(
    labels: Sequence[str], each: int, seed: int, jobs: int, every: int = 1
) -> tuple[list[Part], bool]:
    """Examine and tell of it; Ctrl-C gives what there is by then, and False."""
    found: dict[str, Part] = {}
    count, start, whole = 0, time.monotonic(), True
    try:
        for part in examine_all(labels, each, seed, jobs, every):
            found.setdefault(part.rule, Part(part.rule, part.dtype)).add(part)
            count += part.together.examples
            for alarm in part.alarms:
                print(f"{alarm.word}: {alarm.rule}: {alarm.why}", file=sys.stderr)
            spent = time.monotonic() - start
            print(f"{count}/{each * len(labels)} in {spent:.0f} s  {part.rule}", file=sys.stderr, flush=True)
    except (KeyboardInterrupt, BrokenProcessPool) as error:  # Ctrl-C may reach a worker first, and ends it
        print(f"{type(error).__name__}: {count} examples were examined", file=sys.stderr)
        whole = False
    return [found[label] for label in labels if label in found], whole


def _alarms(parts: Sequence[Part], each: int, seed: int) -> Iterator[str]:
    """Say where each alarm was, and how to see it again."""
    alarms = [alarm for part in parts for alarm in part.alarms]
    if alarms:
        yield "In this folder, after `import gradcheck, ml_dtypes, numpy as np` and `from _right import subjects`:\n"
    for alarm in alarms:
        yield f"{alarm.word}: {alarm.rule} ({', '.join(alarm.regimes)}): {alarm.why}"
        again = f"python benchmarks/false_alarms.py --only {alarm.rule!r} --examples {each} --seed {seed} --json PATH"
        yield f"    {alarm.code if len(alarm.code) <= SHOWN else again}\n"


def _content(about: dict[str, str], parts: Sequence[Part]) -> dict[str, Any]:
    rules = {
        part.rule: {**asdict(part.together), "never resolved": part.never_resolved, "seconds": part.seconds}
        for part in parts
    }
    regimes = {name: {dtype: asdict(tally) for dtype, tally in rows.items()} for name, rows in by_regime(parts).items()}
    alarms = [asdict(alarm) for part in parts for alarm in part.alarms]
    return {"conditions": about, "edges": EDGES, "rules": rules, "regimes": regimes, "alarms": alarms}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Examine right gradients, and count false alarms.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--examples", type=int, default=EXAMPLES, metavar="N", help=f"in total (default: {EXAMPLES})")
    size.add_argument("--long", action="store_const", dest="examples", const=LONG, help=f"{LONG} examples")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (default: 0)")
    parser.add_argument("--only", default="", metavar="TEXT", help="rules with this in their name and dtype")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes (default: 2)")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every number and every alarm there too")
    parser.add_argument("--compare", type=Path, metavar="OLD", help="say how worst errors moved since that JSON")
    return parser


def _chosen(parser: argparse.ArgumentParser, text: str) -> list[str]:
    if text in subjects():  # others may contain it
        return [text]
    labels = [label for label in subjects() if text in label]
    if not labels:
        parser.error(f"--only {text!r} is in the name and dtype of no rule")
    return labels


def main(argv: Sequence[str] | None = None) -> int:
    """Examine, print, and say by the exit code whether the bounds were held."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.examples < 1 or arguments.jobs < 1:
        parser.error("--examples and --jobs must be at least 1")
    labels = _chosen(parser, arguments.only)
    old = json.loads(arguments.compare.read_text(encoding="utf-8")) if arguments.compare else None
    each, start = -(-arguments.examples // len(labels)), time.monotonic()
    every = LONG_THOROUGH if arguments.examples >= LONG else 1
    parts, whole = _until_interrupted(labels, each, arguments.seed, arguments.jobs, every)
    about = conditions(PACKAGES) | {
        "seed": str(arguments.seed),
        "examples": f"{each} of each rule",
        "as thorough as a single check": "all" if every == 1 else f"one in {every}",
        "outside of their domains": str(sum(part.outside for part in parts)),
        "measured": f"{len(parts)} of {len(labels)} rules in {time.monotonic() - start:.0f} s",
    }
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print(f"\n{page(parts, as_markdown=arguments.markdown)}\n")
    for line in _alarms(parts, each, arguments.seed):
        print(line)
    if old is not None:
        print(f"{drift(old, parts)}\n")
    if arguments.json:
        content = json.dumps(_content(about, parts), indent=2)
        arguments.json.write_text(f"{content}\n", encoding="utf-8")
    missed = misses(parts)
    for line in missed:
        print(f"MISSED  {line}")
    if not whole:
        return INTERRUPTED
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
