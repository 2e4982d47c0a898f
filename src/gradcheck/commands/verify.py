"""``gradcheck verify``: every built-in derivation, or a target of the user's."""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from gradcheck.errors import CheckFailed, GradcheckError
from gradcheck.report import render
from gradcheck.rule import Rule
from gradcheck.verdict import Outcome

__all__ = ["run"]


def run(arguments: argparse.Namespace) -> int:
    """Verify what was asked for, one line each as it is done, and give the exit code of the worst."""
    work = list(_targets(arguments.target) if arguments.target else _builtin(arguments.dtype))
    if arguments.list:
        for name, _, _, how in work:
            print(f"{name:<44} {how}")
        return 0
    outcomes = [_one(arguments, *item, alone=len(work) == 1) for item in work]
    passed, failed, undecided = (outcomes.count(outcome) for outcome in Outcome)
    stopped = outcomes.count(None)
    tail = f", {stopped} could not be run" if stopped else ""
    print(f"{len(outcomes)} verified: {passed} passed, {failed} failed, {undecided} undecided{tail}")
    return 1 if failed else 2 if stopped else 3 if undecided else 0


def _builtin(dtype: str) -> Iterator[tuple[str, Rule, Callable[[], Any], str]]:
    from gradcheck.catalogue import entries

    dtypes = ("float64", "float32") if dtype == "both" else (dtype,)
    for entry in entries():
        for each in dtypes:
            yield f"{entry.name} {each}", entry.rule, partial(entry.cases, each), "built-in derivation"


def _targets(text: str) -> Iterator[tuple[str, Rule, Callable[[], Any], str]]:
    from gradcheck.targets import resolve

    for target in resolve(text):
        yield target.rule.name, target.rule, target.cases, target.how


def _one(
    arguments: argparse.Namespace, name: str, rule: Rule, cases: Callable[[], Any], _how: str, *, alone: bool
) -> Outcome | None:
    """Verify one rule and print its line; None if it could not be run, which ends the command if it is the only one."""
    from gradcheck.verification import verify

    start = time.perf_counter()
    print(f"{name:<44} ", end="", flush=True)  # before the work, so that one sees what is being waited for
    try:
        with warnings.catch_warnings():
            # a mean over no rows warns; it would land in the middle of the line
            warnings.simplefilter("ignore", RuntimeWarning)
            report = verify(rule, cases(), examples=arguments.examples, seed=arguments.seed)
    except CheckFailed as error:
        print(f"\n\n{error}\n")
        return error.report.outcome
    except BaseException as error:
        if alone or not isinstance(error, GradcheckError):
            print()  # ends the line begun above
            raise
        print(f"could not be run\n  {error}")
        return None
    line, *notes = render(report, laws=alone).splitlines()
    print("\n".join([f"{line}  ({time.perf_counter() - start:.1f} s)", *notes]))
    return report.outcome
