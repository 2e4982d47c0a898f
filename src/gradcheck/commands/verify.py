"""``gradcheck verify``: every built-in derivation, or a target of the user's."""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

from gradcheck.catalogue import Entry, entries
from gradcheck.commands.colour import coloured
from gradcheck.commands.reporting import Reporting
from gradcheck.commands.workers import in_processes, jobs_for
from gradcheck.errors import CheckFailed, GradcheckError
from gradcheck.report import Report, render
from gradcheck.rule import Rule
from gradcheck.targets import Target, resolve
from gradcheck.verdict import Outcome

__all__ = ["Said", "Task", "run", "verified"]


@dataclass(frozen=True)
class Said:
    """What came of a gradient, None if it could not be run; how that reads; and the report, or why there is none."""

    outcome: Outcome | None
    text: str
    report: Report | None = None
    why: str = ""


def run(arguments: argparse.Namespace) -> int:
    """Verify what was asked for, one line each as it is done, and give the exit code of the worst."""
    reporting = Reporting.of(arguments.json, arguments.html)
    items = list(_items(arguments))
    if arguments.list:
        for item in items:
            print(f"{item.task.name:<44} {item.how}")
        return 0
    jobs = jobs_for(arguments.jobs, len(items))
    outcomes: list[Outcome | None] = []
    try:
        said = _one_by_one(items) if jobs == 1 else _side_by_side(items, jobs)
        for item, one in zip(items, said, strict=True):
            outcomes.append(one.outcome)  # first, so that whoever has read the line finds it in the total
            if one.report is not None:  # from another process it comes without its rule
                reporting.reports.append(replace(one.report, rule=item.rule))
            elif one.why:
                reporting.not_run[item.task.name] = one.why
            print(coloured(one.text), flush=True)
    except KeyboardInterrupt:
        print(_total(outcomes, f" of {len(items)}"))
        reporting.write()
        raise
    except GradcheckError as error:  # kept the only one from being run
        reporting.not_run[items[0].task.name] = str(error)
        reporting.write()
        raise
    print(_total(outcomes))
    reporting.write()
    return 1 if Outcome.FAIL in outcomes else 2 if None in outcomes else 3 if Outcome.UNDECIDED in outcomes else 0


def _total(outcomes: Sequence[Outcome | None], of: str = "") -> str:
    passed, failed, undecided = (outcomes.count(outcome) for outcome in Outcome)
    stopped = outcomes.count(None)
    tail = f", {stopped} could not be run" if stopped else ""
    return f"{len(outcomes)}{of} verified: {passed} passed, {failed} failed, {undecided} undecided{tail}"


@dataclass(frozen=True)
class Task:
    """What to verify, in words that another process understands: the rule by its number among those of a target."""

    name: str
    target: str
    number: int
    dtype: str
    examples: int
    seed: int
    alone: bool
    reported: bool  # whether the report itself is wanted: sending it to another process is not free


@dataclass(frozen=True)
class _Item:
    """What to verify, and how it was found."""

    task: Task
    rule: Rule
    cases: Callable[[], Any]
    how: str


def _items(arguments: argparse.Namespace) -> Iterator[_Item]:
    settings = (arguments.examples, arguments.seed)
    reported = bool(arguments.json or arguments.html)
    if arguments.target:
        found = resolve(arguments.target)
        for k, target in enumerate(found):
            task = Task(target.rule.name, arguments.target, k, "", *settings, len(found) == 1, reported)
            yield _Item(task, target.rule, target.cases, target.how)
        return
    dtypes = ("float64", "float32") if arguments.dtype == "both" else (arguments.dtype,)
    for k, entry in enumerate(_entries()):
        for dtype in dtypes:
            task = Task(f"{entry.name} {dtype}", "", k, dtype, *settings, False, reported)
            yield _Item(task, entry.rule, partial(entry.cases, dtype), "built-in derivation")


@cache
def _entries() -> tuple[Entry, ...]:
    return tuple(entries())


@cache
def _resolved(target: str) -> list[Target]:
    """Load a target once in a process: functions of a file that is loaded again are others, and lose their names."""
    return resolve(target)


def _one_by_one(items: Sequence[_Item]) -> Iterator[Said]:
    for item in items:
        # before the work, so that one sees what is being waited for
        print(f"{item.task.name:<44} ", end="", flush=True)
        try:
            said = _verified(item.task, item.rule, item.cases)
        except BaseException:
            print()  # ends the line begun above
            raise
        yield said


def _side_by_side(items: Sequence[_Item], jobs: int) -> Iterator[Said]:
    tasks = [item.task for item in items]
    with closing(in_processes(verified, tasks, jobs)) as results:
        for task, said in zip(tasks, results, strict=True):
            yield replace(said, text=f"{task.name:<44} {said.text}")


def verified(task: Task) -> Said:
    """Find one rule and verify it, wherever this runs."""
    if task.target:
        target = _resolved(task.target)[task.number]
        return _verified(task, target.rule, target.cases)
    entry = _entries()[task.number]
    return _verified(task, entry.rule, partial(entry.cases, task.dtype))


def _verified(task: Task, rule: Rule, cases: Callable[[], Any]) -> Said:
    """Verify one rule. What keeps the only one from being run is raised."""
    from gradcheck.verification import verify

    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            # a mean over no rows warns; it would land in the middle of the line
            warnings.simplefilter("ignore", RuntimeWarning)
            report = verify(rule, cases(), examples=task.examples, seed=task.seed)
    except CheckFailed as error:
        return Said(error.report.outcome, f"\n\n{error}\n", error.report if task.reported else None)
    except GradcheckError as error:
        if task.alone:
            raise
        return Said(None, f"could not be run\n  {error}", why=str(error))
    line, *notes = render(report, laws=task.alone).splitlines()
    text = "\n".join([f"{line}  ({time.perf_counter() - start:.1f} s)", *notes])
    return Said(report.outcome, text, report if task.reported else None)
