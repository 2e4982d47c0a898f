"""``gradcheck replay``: a kept failure, against the code as it is now."""

from __future__ import annotations

import argparse

from gradcheck.checks import check
from gradcheck.report import load_failure, one_line

__all__ = ["run"]


def run(arguments: argparse.Namespace) -> int:
    """Check the kept point again; a failure raises and becomes the exit code."""
    from gradcheck.targets import load_rule, resolve_rule

    failure = load_failure(arguments.file)
    rule = resolve_rule(arguments.target) if arguments.target else load_rule(failure)
    cotangent = failure.cotangent if rule.takes_cotangent else None
    report = check(rule, *failure.args, cotangent=cotangent, seed=failure.seed, **failure.kwargs)
    print(f"{rule.name}: {one_line(report)}")
    return 0
