"""``gradcheck train``: MNIST through the hand-derived gradients, after they have been verified."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gradcheck.errors import CheckFailed, InvalidArgument
from gradcheck.rule import Rule
from gradcheck.verdict import Outcome

if TYPE_CHECKING:
    from gradcheck.mnist.config import Config
    from gradcheck.mnist.data import Digits
    from gradcheck.mnist.losses import Loss
    from gradcheck.report import Report

__all__ = ["add_parser", "run"]

_EXAMPLES = """\
examples:
  gradcheck train                                     the 5,000 digits that come with gradcheck
  gradcheck train --data mnist                        all 60,000, downloaded once and checked
  gradcheck train --data DIR                          the same from IDX files in a folder
  gradcheck train --hidden none --batch-size 1 --epochs 1   softmax regression, an update after every digit
  gradcheck train --digits 1-9                        nine output neurons, for the digits 1 to 9
  gradcheck train --gradient mine.py:nll_grad         your own gradient by the logits, if it passes

Every run leaves run.json, metrics.jsonl and model.npz in a folder of its own under --runs; two runs of one seed
leave the same metrics and the same model, to the bit. Without --data the digits come from GRADCHECK_DATA, from the
cache, or from the sample inside the package.

"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser], epilog: str) -> None:
    """Add the parser of this command."""
    from gradcheck.mnist.config import Config

    parser = commands.add_parser(
        "train",
        help="train MNIST through verified gradients",
        description="Verify the gradient that is about to be used, then train an MNIST classifier with it.",
        epilog=_EXAMPLES + epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_data(parser)
    _add_model(parser, {field.name: field.default for field in fields(Config)})
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs go (default: runs)")
    parser.set_defaults(run=run)


def _add_data(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("data")
    data.add_argument("--data", metavar="DIR|mnist|sample", help="where the digits come from (default: see below)")
    data.add_argument("--any-idx", action="store_true", help="take other IDX files than MNIST's from --data DIR")
    data.add_argument("--digits", type=_digits, metavar="LIST", help="digits to train on, such as 1-9 or 0,1,8")
    data.add_argument("--limit", type=int, metavar="N", help="train on the first N digits only")
    gradient = parser.add_argument_group("gradient")
    gradient.add_argument(
        "--gradient", metavar="TARGET", help="your gradient of softmax + NLL: FILE.py:NAME or MODULE:NAME, f(z, y)"
    )
    gradient.add_argument("--one-hot", action="store_true", help="hand it one-hot labels instead of class indices")
    gradient.add_argument("--unverified", action="store_true", help="train even though the gradient did not pass")


def _add_model(parser: argparse.ArgumentParser, default: Mapping[str, Any]) -> None:
    model = parser.add_argument_group("model and training")
    model.add_argument(
        "--hidden",
        type=_widths,
        default=default["hidden"],
        metavar="WIDTHS",
        help="widths of hidden layers, as in 512 or 256,128; none is softmax regression (default: 512)",
    )
    model.add_argument("--activation", choices=("relu", "sigmoid", "tanh"), default=default["activation"])
    model.add_argument("--optimiser", choices=("sgd", "momentum", "adam"), default=default["optimiser"])
    model.add_argument("--learning-rate", type=float, metavar="RATE", help="default: by optimiser and batch size")
    model.add_argument("--schedule", choices=("constant", "cosine", "step"), default=default["schedule"])
    for name, about in (
        ("batch_size", "digits for each update; 1 updates after every digit"),
        ("epochs", "passes over the digits; 0 only measures"),
        ("seed", "of weights and order; the same seed gives the same bytes"),
    ):
        flag = "--" + name.replace("_", "-")
        model.add_argument(
            flag, type=int, default=default[name], metavar="N", help=f"{about} (default: {default[name]})"
        )
    model.add_argument(
        "--l2", type=float, default=default["l2"], metavar="S", help="strength of the penalty on weights"
    )
    model.add_argument("--dtype", choices=("float32", "float64"), default=default["dtype"])


def run(arguments: argparse.Namespace) -> int:
    """Verify, then train; refuse to train with a gradient that did not pass."""
    from gradcheck.mnist.config import Config
    from gradcheck.mnist.loop import Training
    from gradcheck.mnist.progress import reporter
    from gradcheck.mnist.run import new_folder, record

    config = Config(**{f.name: getattr(arguments, f.name) for f in fields(Config) if hasattr(arguments, f.name)})
    train, test = _digits_of(arguments)
    print(f"digits: {len(train):,} to train on, {len(test):,} held out, from {train.source}")
    loss, outcome = _verified(arguments, config, train)
    if outcome is not Outcome.PASS:
        if not arguments.unverified:
            print("Refusing to train with it. Mend the gradient, or pass --unverified to see what it does.")
            return 1 if outcome is Outcome.FAIL else 3
        print("Training with it all the same, as asked.")
    training = Training(config, train, test, loss=loss)
    folder = new_folder(arguments.runs)
    try:
        watching = reporter(config.epochs, training.total_steps)
        result = record(training, folder, reporter=watching, arguments=sys.argv[1:])
    finally:
        print(f"run kept in {folder}")
    print(f"{100 * result.history[-1].test_accuracy:.2f} % of {len(training.test):,} held-out digits are right")
    return 0


def _digits_of(arguments: argparse.Namespace) -> tuple[Digits, Digits]:
    from gradcheck.mnist.data import load

    if arguments.data == "mnist":
        print("looking for MNIST, and downloading what is missing (11.6 MB) ...", flush=True)
    strict = not arguments.any_idx
    return (
        load("train", arguments.data, verify_hash=strict),
        load("test", arguments.data, verify_hash=strict),
    )


def _verified(arguments: argparse.Namespace, config: Config, train: Digits) -> tuple[Loss, Outcome]:
    """Verify the gradient by the logits over drawn inputs, then the whole model's at real digits."""
    from gradcheck import strategies
    from gradcheck.adapters import from_pullback
    from gradcheck.checks import examine
    from gradcheck.mnist.objective import model_rule
    from gradcheck.verification import verify

    rule, loss, gap = _gradient(arguments)
    print(f"verifying {rule.name} ... ", end="", flush=True)
    labels: Literal["one-hot", "index"] = "one-hot" if arguments.one_hot else "index"
    cases = strategies.softmax_nll(dtype=config.dtype, labels=labels, rows=(1, 32), gap=gap)
    try:
        print(verify(rule, cases, seed=config.seed))
    except CheckFailed as error:
        print(f"\n\n{error}\n")
        return loss, error.report.outcome
    print("verifying the model's parameters at 4 digits ... ", end="", flush=True)
    objective, point = model_rule(config, train, loss=loss)
    report: Report = examine(from_pullback(objective, argnums=0, name="the model"), *point)
    print(report)
    return loss, report.outcome


def _gradient(arguments: argparse.Namespace) -> tuple[Rule, Loss, float | None]:
    """Give the rule to verify, the same thing as the loop wants it, and the widest gap of logits it must stand."""
    from gradcheck.adapters import from_pullback
    from gradcheck.derivations import softmax_nll
    from gradcheck.mnist.losses import from_rule

    if arguments.gradient is None:
        if arguments.one_hot:
            raise InvalidArgument("--one-hot is about your own gradient; pass it with --gradient TARGET")
        return (
            from_pullback(softmax_nll.fused, argnums=0, name="gradcheck.derivations.softmax_nll.fused"),
            softmax_nll.fused,
            None,
        )
    from gradcheck.targets import softmax_nll_gradient

    rule = softmax_nll_gradient(arguments.gradient)
    return rule, from_rule(rule, one_hot=arguments.one_hot), _TRAINING_GAP


# A hand-written loss is often log(softmax(z)), which is infinite once the label's probability underflows; training
# rarely leads there, so a gradient by the logits is asked to be right up to a gap of 80 (float32 underflows at 87).
_TRAINING_GAP = 80.0


def _widths(text: str) -> tuple[int, ...]:
    return () if text == "none" else tuple(_integer(part, "512, 256,128 or none") for part in text.split(","))


def _digits(text: str) -> tuple[int, ...]:
    """Read ``1-9`` or ``0,1,8`` or a mix of both."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        start = _integer(first, "1-9 or 0,1,8")
        found.extend(range(start, _integer(last, "1-9 or 0,1,8") + 1) if dash else [start])
    if len(set(found)) < max(len(found), 2) or max(found) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} does not name two or more of the digits 0 to 9, each once")
    return tuple(found)


def _integer(text: str, example: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number; write it like {example}")
    return int(text)
