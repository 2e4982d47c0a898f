"""Whether gradcheck calls mistakes by their names, and holds its tongue where it does not know.

Every mistake of ``gradcheck.mistakes.MISTAKES`` is put into every rule in which it changes anything, and each mutant
is verified the public way. The first-ranked finding counts as right if it is the mistake that was put in, or one that
makes the very same gradient of that rule: whether it does is seen by running both, at many points and in many layouts.
Some of the rules are held out: no mistake was tuned on them. Besides come wrong gradients of no listed kind, for which
there must be no finding at all, and those of the test suite's corpus, each with the names that it deserves.

Run it as ``python benchmarks/diagnosis.py [--only PART] [--seeds N] [--markdown] [--json PATH]``; it exits with 1 where
a bound is missed. ``--from PATH --page docs/reference/mistakes.md`` makes no trial: it takes those of a JSON file, and
puts their tables into the page.
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

from _diagnosis_corpus import expected_of, subject_of, wrong_specimens
from _diagnosis_held_out import HELD_OUT as HELD_OUT_RULES
from _diagnosis_rules import RULES
from _diagnosis_table import BEGIN, CORPUS, HELD_OUT, INJECTED, UNLISTED, Groups, failures, page, put_into
from _diagnosis_trial import BROKEN, NAMED, Plan, Trial, asked, inject
from _diagnosis_unlisted import UNLISTED as UNLISTED_GRADIENTS
from _machine import conditions

INTERRUPTED = 130  # what shells call the end by Ctrl-C
GROUPS = (INJECTED, HELD_OUT, UNLISTED, CORPUS)
PACKAGES = ("gradcheck", "numpy", "jax", "hypothesis", "python-flint")

Conditions = dict[str, str]

RULES_OF = {INJECTED: RULES, HELD_OUT: HELD_OUT_RULES}


@dataclass(frozen=True)
class Job:
    """One trial, by names and numbers, which a process can be sent."""

    group: str
    kind: str
    subject: str
    at: int = 0

    @property
    def label(self) -> str:
        """What ``--only`` looks into."""
        return f"{self.group}: {self.kind} in {self.subject}"


def jobs() -> list[Job]:
    """List all trials: rule by rule, so that a process compares many mistakes at the same points."""
    injected = [Job(g, name, s.name, i) for g, rules in RULES_OF.items() for i, s in enumerate(rules) for name in NAMED]
    unlisted = [Job(UNLISTED, u.name, u.subject.name, i) for i, u in enumerate(UNLISTED_GRADIENTS)]
    corpus = [Job(CORPUS, f"{s.family}/{s.name}", "corpus", i) for i, s in enumerate(wrong_specimens())]
    return [*injected, *unlisted, *corpus]


def run(job: Job, plan: Plan) -> Trial:
    """Make one trial."""
    try:
        return _run(job, plan)
    except Exception as error:  # a line of the table, not the end of it
        return Trial(job.kind, job.subject, BROKEN, why=f"{type(error).__name__}: {error}")


def _run(job: Job, plan: Plan) -> Trial:
    if job.group == UNLISTED:
        unlisted = UNLISTED_GRADIENTS[job.at]
        return asked(job.kind, unlisted.subject, unlisted.make, (), plan)
    if job.group == CORPUS:
        specimen = wrong_specimens()[job.at]
        return asked(job.kind, subject_of(specimen), specimen.make, expected_of(specimen), plan)
    return inject(NAMED[job.kind], RULES_OF[job.group][job.at], plan)


def _start_worker(scratch: str) -> None:
    """Go where kept failures are thrown away; leave it to Ctrl-C to end the worker at once, without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    warnings.simplefilter("ignore")
    os.chdir(scratch)


def run_all(chosen: Sequence[Job], plan: Plan, processes: int) -> Iterator[tuple[int, Trial]]:
    """Make trials in processes of their own, and give number and trial as they come in."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the processes share the CPUs, and the arrays are small
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        context = multiprocessing.get_context("spawn")  # JAX does not survive a fork
        pool = ProcessPoolExecutor(processes, context, _start_worker, (scratch,))
        try:
            futures = {pool.submit(run, job, plan): at for at, job in enumerate(chosen)}
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _until_interrupted(chosen: Sequence[Job], plan: Plan, processes: int) -> list[tuple[Job, Trial]]:
    """Run and tell of it; Ctrl-C gives what there is by then, in order."""
    found: dict[int, Trial] = {}
    try:
        for at, trial in run_all(chosen, plan, processes):
            found[at] = trial
            said = f"{trial.word} {trial.first}".rstrip() + (" (the same)" if trial.same else "")
            about = f"{chosen[at].label}: {said}, {trial.seconds:.1f} s"
            print(f"{len(found)}/{len(chosen)}  {about}", file=sys.stderr, flush=True)
    except (KeyboardInterrupt, BrokenProcessPool) as error:  # Ctrl-C may reach a worker first, and ends it
        print(f"{type(error).__name__}: {len(found)} of {len(chosen)} trials were made", file=sys.stderr)
    return [(chosen[at], found[at]) for at in sorted(found)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Count the mistakes that are called by their names.")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="run at seeds 0 to N-1 (default: 1)")
    parser.add_argument(
        "--examples", type=int, default=100, metavar="N", help="points for each gradient (default: 100)"
    )
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes (default: 2)")
    parser.add_argument(
        "--only",
        metavar="TEXT",
        action="append",
        help=f"make the trials that have TEXT in 'GROUP: MISTAKE in RULE', for groups {', '.join(GROUPS)}; "
        "given several times, all of them",
    )
    parser.add_argument(
        "--no-shrink", action="store_true", help="diagnose the first failure as it was drawn: ten times as fast"
    )
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every trial there too")
    parser.add_argument(
        "--from", type=Path, metavar="PATH", dest="stored", help="take the trials of such a file, and make none"
    )
    parser.add_argument(
        "--page", type=Path, metavar="PATH", help=f"put the tables as Markdown into a page, behind {BEGIN}"
    )
    return parser


def _made(arguments: argparse.Namespace, chosen: Sequence[Job]) -> tuple[Conditions, Groups]:
    """Make the trials, seed by seed."""
    start = time.perf_counter()
    rows: list[tuple[Job, Trial]] = []
    for seed in range(arguments.seeds):
        plan = Plan(seed, arguments.examples, not arguments.no_shrink)
        rows += _until_interrupted(chosen, plan, arguments.jobs)
        if len(rows) < len(chosen) * (seed + 1):
            break
    about = {
        **conditions(PACKAGES),
        "seeds": str(arguments.seeds),
        "points": f"{arguments.examples}, failures {'as drawn' if arguments.no_shrink else 'shrunk'}",
        "made": f"{len(rows)} of {len(chosen) * arguments.seeds} trials in {time.perf_counter() - start:.0f} s",
    }
    return about, {group: [trial for job, trial in rows if job.group == group] for group in GROUPS}


def _stored(path: Path) -> tuple[Conditions, Groups]:
    """Read what ``--json`` wrote."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return content["conditions"], {g: [Trial(**trial) for trial in trials] for g, trials in content["trials"].items()}


def _write(arguments: argparse.Namespace, about: Conditions, groups: Groups) -> None:
    """Print the tables, and write the files that are asked for."""
    print(page(about, groups, as_markdown=arguments.markdown))
    if arguments.json:
        trials = {group: [asdict(trial) for trial in trials] for group, trials in groups.items()}
        content = {"conditions": about, "trials": trials}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if arguments.page:
        text = arguments.page.read_text(encoding="utf-8")
        arguments.page.write_text(put_into(text, page(about, groups, as_markdown=True)), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit code whether the bounds were held."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    for name in ("seeds", "examples", "jobs"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} must be at least 1")
    chosen = [job for job in jobs() if all(text in job.label for text in arguments.only or ())]
    if not chosen:
        parser.error(f"--only {' --only '.join(map(repr, arguments.only))} leaves no trial")
    try:  # before hours of trials
        if arguments.page:
            put_into(arguments.page.read_text(encoding="utf-8"), "")
        stored = _stored(arguments.stored) if arguments.stored else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        parser.error(f"{arguments.page or arguments.stored}: {type(error).__name__}: {error}")
    about, groups = stored or _made(arguments, chosen)
    _write(arguments, about, groups)
    missed = failures(groups)
    for line in missed:
        print(f"MISSED  {line}")
    interrupted = not arguments.stored and sum(map(len, groups.values())) < len(chosen) * arguments.seeds
    return INTERRUPTED if interrupted else 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
