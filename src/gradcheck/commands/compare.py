"""``gradcheck compare``: two versions of a gradient, side by side over the same points."""

from __future__ import annotations

import argparse
import textwrap
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gradcheck.commands.arguments import positive
from gradcheck.errors import InvalidArgument, TargetError
from gradcheck.memory import Change, Margins, changes
from gradcheck.memory.margins import shown
from gradcheck.report import ANY, keep
from gradcheck.verdict import Outcome

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from gradcheck.targets import Target
    from gradcheck.verification.comparing import Comparison, Side

__all__ = ["add_parser", "run"]

_ORDER = (Outcome.PASS, Outcome.FAIL, Outcome.UNDECIDED)
_REGIMES = 4  # of twenty, what one reads
_SHOWN = 5  # of what has worsened: one point may be in ten regimes at once

_EXAMPLES = """\
examples:
  gradcheck compare old.py:nll_grad new.py:nll_grad
  gradcheck compare losses.py:nll_grad losses.py:fast_nll_grad --examples 500
  gradcheck compare package.module:layer_norm mine.py:layer_norm --factor 4

What draws the arguments is looked for in the new module first, then in the old one, as gradcheck verify does.
To compare with an earlier commit:  git show HEAD~1:losses.py > old.py

It exits with 1 too if the new gradient passes, but came closer to being wrong by --factor, or lost a grade.

"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser], epilog: str) -> None:
    """Add the parser of this command."""
    parser = commands.add_parser(
        "compare",
        help="two versions of a gradient, over the same points",
        description="Check two versions of a gradient at the same points, and say what the new one mends, what got\n"
        "worse, and how close both come to being wrong.",
        epilog=_EXAMPLES + epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", metavar="OLD", help="MODULE:NAME or FILE.py:NAME")
    parser.add_argument("new", metavar="NEW", help="the same, of the new version")
    parser.add_argument("--examples", type=positive, default=100, metavar="N", help="points to draw (default: 100)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="makes the points repeatable (default: 0)")
    parser.add_argument(
        "--factor", type=float, default=2.0, metavar="X", help="how much closer to being wrong is worse (default: 2)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare, and give the exit code: 1 where the new gradient is wrong or worse, 3 where something is undecided."""
    from gradcheck.targets import resolve_one
    from gradcheck.verification.comparing import compare

    if not arguments.factor > 1:
        raise InvalidArgument(f"--factor {arguments.factor:g} is no factor to worsen by: pass a number above 1, as 2")
    # the new one first: of two files of one name, the first is the module of that name, which a failure is replayed by
    new, old = resolve_one(arguments.new), resolve_one(arguments.old)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a mean over no rows warns
        found = compare(old.rule, new.rule, _cases(old, new), examples=arguments.examples, seed=arguments.seed)
    for line in _lines(found, arguments):
        print(line)
    if found.example is not None:
        print(f"\n{keep(found.example)}")
    if found.new.outcomes[Outcome.FAIL] or _worse(found, arguments.factor):
        return 1
    return 3 if found.new.undecided else 0


def _cases(old: Target, new: Target) -> SearchStrategy[tuple[Any, ...]]:
    try:
        return new.cases()
    except TargetError:
        return old.cases()


def _lines(found: Comparison, arguments: argparse.Namespace) -> Iterator[str]:
    """Lay out both sides, and below them what moved."""
    rows = [("", arguments.old, arguments.new), *_rows(found.old, found.new)]
    first, second = (max(len(row[k]) for row in rows) for k in (0, 1))
    for label, was, is_ in rows:
        yield f"{label:<{first}}  {was:<{second}}  {is_}".rstrip()
    yield ""
    for move, count in sorted(found.moves.items(), key=lambda item: _ORDER.index(item[0][1])):
        was, is_ = move
        if was is not is_:
            word = "mended" if is_ is Outcome.PASS else "worse" if was is Outcome.PASS else "otherwise"
            text = f"{word} at {_points(count)}, {was.value} before and {is_.value} now{_where(found, move)}"
            yield from textwrap.wrap(text, 100, subsequent_indent="  ")
    closer = _worse(found, arguments.factor)
    yield from (f"closer to being wrong, {change}" for change in closer[:_SHOWN])
    if len(closer) > _SHOWN:
        yield f"  and {len(closer) - _SHOWN} more regimes"
    if all(was is is_ for was, is_ in found.moves) and not closer:
        yield "nothing got worse, and nothing was mended"


def _rows(old: Side, new: Side) -> Iterator[tuple[str, str, str]]:
    for outcome in _ORDER:
        if old.outcomes[outcome] or new.outcomes[outcome]:
            yield outcome.value, _points(old.outcomes[outcome]), _points(new.outcomes[outcome])
    before, after = old.common.margins, new.common.margins
    if not before:
        return
    yield "of the points at which both pass:", "", ""
    yield "  grade", old.common.grade, new.common.grade
    yield "  worst ulp", f"{old.common.worst_ulps:.2g}", f"{new.common.worst_ulps:.2g}"
    for name in sorted(before):
        was, is_ = shown(before[name]), shown(after[name])
        if was != is_ or name == ANY:
            yield f"  of what is allowed, {name}", was, is_


def _worse(found: Comparison, factor: float) -> list[Change]:
    before, now = (Margins(side.common.grade, side.common.margins) for side in (found.old, found.new))
    return changes(before, now, factor) if before.regimes else []  # where nothing passed, nothing can be closer


def _points(count: int) -> str:
    return f"{count} point{'s' * (count != 1)}"


def _where(found: Comparison, move: tuple[Outcome, Outcome]) -> str:
    """Name the regimes of which the most points have moved."""
    visits = found.new.tally.regimes
    shares = sorted(found.regimes[move].items(), key=lambda item: (-item[1] / visits[item[0]], item[0]))[:_REGIMES]
    return f": {', '.join(f'{name} {count} of {visits[name]}' for name, count in shares)}" if shares else ""
