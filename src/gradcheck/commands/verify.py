"""``gradcheck verify``: every built-in derivation, or a target of the user's."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

from gradcheck.errors import CheckFailed
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
    outcomes = [_one(arguments, *item) for item in work]
    failed, undecided = outcomes.count(Outcome.FAIL), outcomes.count(Outcome.UNDECIDED)
    print(
        f"{len(outcomes)} verified: {len(outcomes) - failed - undecided} passed, {failed} failed, {undecided} undecided"
    )
    return 1 if failed else 3 if undecided else 0


def _builtin(dtype: str) -> Iterator[tuple[str, Rule, Any, str]]:
    from gradcheck.catalogue import entries

    dtypes = ("float64", "float32") if dtype == "both" else (dtype,)
    for entry in entries():
        for each in dtypes:
            yield f"{entry.name} {each}", entry.rule, entry.cases(each), "built-in derivation"


def _targets(text: str) -> Iterator[tuple[str, Rule, Any, str]]:
    from gradcheck.targets import resolve

    for target in resolve(text):
        yield target.rule.name, target.rule, target.cases(), target.how


def _one(arguments: argparse.Namespace, name: str, rule: Rule, cases: Any, _how: str) -> Outcome:
    from gradcheck.verification import verify

    start = time.perf_counter()
    print(f"{name:<44} ", end="", flush=True)  # before the work, so that one sees what is being waited for
    try:
        report = verify(rule, cases, examples=arguments.examples, seed=arguments.seed)
    except CheckFailed as error:
        print(f"\n\n{error}\n")
        return error.report.outcome
    except BaseException:
        print()  # ends the line begun above
        raise
    line, *notes = str(report).splitlines()
    print("\n".join([f"{line}  ({time.perf_counter() - start:.1f} s)", *notes]))
    return report.outcome
