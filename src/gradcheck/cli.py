"""The command line: an argparse face of what the package does, and exit codes that mean something."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence

from gradcheck import __version__
from gradcheck.commands.arguments import positive
from gradcheck.commands.colour import coloured
from gradcheck.errors import DataError, GradcheckError, GradientMismatch, GradientUndecided, TrainingDiverged

__all__ = ["main"]

_EXIT_CODES = """\
exit codes:
  0  every gradient passed
  1  a gradient is wrong, or training diverged
  2  the command is wrong, or what it runs raised
  3  undecided: nothing available could judge
  4  data missing or bad (the message has the command that gets it)
  130  interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except KeyboardInterrupt as interrupt:
        print("\ninterrupted", *getattr(interrupt, "__notes__", ()), sep="\n", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read the output has had enough, as head has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        print(f"gradcheck: {error}", file=sys.stderr)
        return 2
    except GradientMismatch as error:
        print(coloured(str(error)))
        return 1
    except GradientUndecided as error:
        print(coloured(str(error)))
        return 3
    except TrainingDiverged as error:
        print(f"gradcheck: {error}", file=sys.stderr)
        return 1
    except DataError as error:
        print(f"gradcheck: {error}", file=sys.stderr)
        return 4
    except GradcheckError as error:
        print(f"gradcheck: {error}", file=sys.stderr)
        return 2
    except Exception:
        traceback.print_exc()  # Python itself would exit with 1, which says that a gradient is wrong
        return 2
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gradcheck",
        description="Tell whether a gradient written by hand is right, where it is wrong, and how far to trust that.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"gradcheck {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (_add_verify, _add_power, _add_train, _add_replay, _add_compare):
        add(commands)
    return parser


def _add_verify(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from gradcheck.commands import verify

    parser = commands.add_parser(
        "verify",
        help="check gradients over drawn inputs",
        description="Check a gradient over inputs that Hypothesis draws, and shrink a failure to the smallest one.\n"
        "Without a target, check every derivation that comes with gradcheck.",
        epilog="examples:\n"
        "  gradcheck verify                          every built-in derivation, float64 and float32\n"
        "  gradcheck verify mine.py                  every pair f/f_grad, f/grad_f, forward/backward in a file\n"
        "  gradcheck verify mine.py:nll_grad         one of them\n"
        "  gradcheck verify package.module:nll       the same in an installed module\n\n"
        "What draws the arguments is NAME_cases or cases in the same module, a Hypothesis strategy of tuples;\n"
        "without one, a pair of two arguments is taken for logits (N, K) and labels (N,).\n\n" + _EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", nargs="?", metavar="TARGET", help="MODULE, MODULE:NAME, FILE.py or FILE.py:NAME")
    parser.add_argument("--list", action="store_true", help="show what would be checked, and check nothing")
    parser.add_argument(
        "--examples", type=positive, default=100, metavar="N", help="inputs for each gradient (default: 100)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="makes the inputs repeatable (default: 0)")
    parser.add_argument(
        "--dtype",
        choices=("float64", "float32", "both"),
        default="both",
        help="precision of the built-in derivations' inputs (default: both)",
    )
    parser.add_argument(
        "--jobs",
        type=positive,
        metavar="N",
        help="processes (default: one for each CPU where there is enough to do; 1 runs all in this one)",
    )
    parser.add_argument("--json", metavar="PATH", help="write the reports into this file, as JSON, failures too")
    parser.add_argument("--html", metavar="PATH", help="write them as a page to look at, with pictures")
    parser.set_defaults(run=verify.run)


def _add_replay(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from gradcheck.commands import replay

    parser = commands.add_parser(
        "replay",
        help="run a kept failure again",
        description="Run the check of a kept failure again, bit for bit, against the code as it is now.",
        epilog="examples:\n"
        "  gradcheck replay .gradcheck/failures/0123456789ab.npz\n"
        "  gradcheck replay 0123456789ab.npz --target mine.py:nll_grad       the functions have moved since\n\n"
        + _EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="an .npz under .gradcheck/failures")
    parser.add_argument("--target", metavar="TARGET", help="where the gradient lives now: MODULE:NAME or FILE.py:NAME")
    parser.set_defaults(run=replay.run)


def _add_power(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from gradcheck.commands import power

    power.add_parser(commands, epilog=_EXIT_CODES)


def _add_train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from gradcheck.commands import train

    train.add_parser(commands, epilog=_EXIT_CODES)


def _add_compare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from gradcheck.commands import compare

    compare.add_parser(commands, epilog=_EXIT_CODES)
