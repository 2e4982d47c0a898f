"""``gradcheck power``: what the check of a gradient would have missed."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from gradcheck.catalogue import entries
from gradcheck.commands.arguments import positive
from gradcheck.errors import CheckFailed, GradcheckError
from gradcheck.rule import Rule
from gradcheck.targets import resolve
from gradcheck.verdict import Outcome

if TYPE_CHECKING:
    from gradcheck.mutation import PowerReport

__all__ = ["add_parser", "run"]

Watch = Callable[[int, int], None]

_EXAMPLES = """\
examples:
  gradcheck power mine.py                    every gradient in a file, each with its own check
  gradcheck power mine.py:nll_grad           one of them
  gradcheck power mine.py --examples 5       a weaker check: what would 5 inputs have missed?
  gradcheck power mine.py --json power.json  the same as data, to compare or to keep
  gradcheck power                            every built-in derivation, a line each

Targets, and what draws their arguments, are those of gradcheck verify. The gradient must pass first. Then wrong
versions of it are put to the same check: each mistake that has a name, made in what it returns, and each small edit
of its source. What survives is shown as a diff, with an input that would have killed it: widen what draws the
arguments, or ask for more examples, until nothing does. A mutant that answers as your gradient does wherever it was
asked is listed apart, since it may be the same function.

"""
_CODES = """\
exit codes of this command (the others are those of gradcheck):
  0  every mutant that could be told from the gradient was killed
  1  a mutant survives, or the gradient itself is wrong
  3  not all mutants were tried, so nobody knows: ask for more with --budget

"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser], epilog: str) -> None:
    """Add the parser of this command."""
    parser = commands.add_parser(
        "power",
        help="tell what a check would have missed",
        description="Make a gradient wrong in every way that people do, and see which wrong ones its check misses.",
        epilog=_EXAMPLES + _CODES + epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", nargs="?", metavar="TARGET", help="MODULE, MODULE:NAME, FILE.py or FILE.py:NAME")
    parser.add_argument(
        "--examples", type=positive, default=100, metavar="N", help="inputs that the check draws (default: 100)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="makes the inputs repeatable (default: 0)")
    parser.add_argument(
        "--budget",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="no more mutants of a gradient are tried after so long (default: 60)",
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write a list of reports there")
    parser.add_argument("--markdown", action="store_true", help="print a table, for a page")
    parser.set_defaults(run=run)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return seconds


@dataclass(frozen=True)
class _Item:
    name: str
    rule: Rule
    cases: Callable[[], Any]


def run(arguments: argparse.Namespace) -> int:
    """Measure what was asked for, and give the exit code of the worst."""
    from gradcheck.mutation import power
    from gradcheck.report.writing import require_folder, write_whole

    if arguments.json:
        require_folder(arguments.json)
    settings = {"examples": arguments.examples, "seed": arguments.seed, "budget": arguments.budget}
    reports: list[PowerReport] = []
    codes = [0]
    if arguments.markdown:
        print(_HEAD)
    items = list(_items(arguments.target))
    for item in items:
        try:
            with _watching(item.name, sys.stderr) as watch:
                report = power(item.rule, item.cases(), watch=watch, **settings)
        except CheckFailed as error:
            print(f"{item.name} does not pass its own check, so there is nothing to mutate\n\n{error}\n")
            codes.append(1 if error.report.outcome is Outcome.FAIL else 3)
            continue
        except GradcheckError as error:
            if len(items) == 1:
                raise
            print(f"{item.name} could not be run\n  {error}\n")
            codes.append(2)
            continue
        reports.append(report)
        codes.append(_code(report))
        print(_said(item.name, report, table=arguments.markdown, in_full=bool(arguments.target)), flush=True)
        if report.stopped == "interrupted":
            break
    if arguments.json:
        write_whole(arguments.json, json.dumps([r.as_dict() for r in reports], indent=2) + "\n")
    if reports and reports[-1].stopped == "interrupted":
        raise KeyboardInterrupt
    return min((code for code in codes if code), default=0)


def _items(target: str | None) -> Iterator[_Item]:
    if target:
        for found in resolve(target):
            yield _Item(found.rule.name, found.rule, found.cases)
        return
    for entry in entries():
        yield _Item(entry.name, entry.rule, partial(entry.cases, "float64"))


def _code(report: PowerReport) -> int:
    return 1 if report.survivors else 0 if report else 3


_HEAD = """\
| gradient | mutants killed | not distinguished | smallest error seen, all entries / one |
| --- | ---: | ---: | --- |"""


def _said(name: str, report: PowerReport, *, table: bool, in_full: bool) -> str:
    if table:
        told = len(report.killed) + len(report.survivors)
        untried = f" ({len(report.untried)} not tried)" if report.untried else ""
        sizes = ", ".join(f"{s.path} {s.array:.0e} / {s.entry:.0e}" for s in report.smallest)
        return f"| {name} | {len(report.killed)} of {told}{untried} | {len(report.alike)} | {sizes} |"
    return f"{report}\n" if in_full or report.survivors else f"{name:<60} {report.line}  ({report.seconds:.1f} s)"


@contextmanager
def _watching(name: str, file: TextIO) -> Iterator[Watch]:
    """Show on a terminal how far a run has come: by rich, if it is there, and else by a line that is overwritten."""
    if not file.isatty() or os.environ.get("CI") or os.environ.get("TERM") == "dumb":
        yield _nothing
        return
    try:
        from rich import console, progress
    except ImportError:
        yield partial(_overwritten, name, file)
        file.write("\r\x1b[K")
        file.flush()
        return
    columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), progress.MofNCompleteColumn())
    shown = console.Console(file=file, no_color=bool(os.environ.get("NO_COLOR")))
    with progress.Progress(*columns, progress.TimeElapsedColumn(), console=shown, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda tried, total: bar.update(task, completed=tried, total=total)


def _nothing(_tried: int, _total: int) -> None:
    pass


def _overwritten(name: str, file: TextIO, tried: int, total: int) -> None:
    file.write(f"\r{name}: {tried} of {total} mutants tried\x1b[K")
    file.flush()
