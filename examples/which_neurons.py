"""Show which output neurons the gradient of softmax and negative log-likelihood involves.

A classifier of digits ends in softmax, ``a = softmax(z)``, and is trained on ``C = -sum_k y_k log a_k``. Where the
labels ``y`` are one-hot, the value of ``C`` is ``-log a_label``: it depends on the output of the active neuron alone.
Must only the active neuron's gradient be computed then, and are the others zero?

No, and they are not. This file shows it in four steps, and has `gradcheck` judge every derivative that it prints:

1. the value, as a function of the outputs;
2. the gradient, by what is trained: logits, biases, weights;
3. two ways to read "the active neuron only", and a lost minus: gradients that get caught;
4. what becomes of a network that is trained with each of them.

Run it: ``python examples/which_neurons.py``. The figures need matplotlib, the rest needs gradcheck alone.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import jax
import numpy as np
import numpy.typing as npt

import gradcheck
from gradcheck import mnist
from gradcheck import strategies as gst
from gradcheck.derivations import mlp, sigmoid_cross_entropy
from gradcheck.errors import GradcheckError, GradientMismatch, MissingExtra, TrainingDiverged

Array: TypeAlias = npt.NDArray[Any]
Gradient: TypeAlias = Callable[[Array, Array], Array]
Digits: TypeAlias = tuple[mnist.Digits, mnist.Digits]


# --- 1. The value: C as a function of the outputs a. What its derivative is depends on what else may move. ------------


def nll_of_outputs(a: Array, y: Array) -> Any:
    """C, where each output can move while the others stay."""
    return -np.sum(y * np.log(a))


def nll_of_outputs_grad(a: Array, y: Array) -> Array:
    return -y / a


def nll_of_others(others: Array) -> Any:
    """C for a one-hot label, where the outputs sum to one: what the others gain, the active one loses."""
    return -np.log(1 - np.sum(others))


def nll_of_others_grad(others: Array) -> Array:
    return np.full_like(others, 1 / (1 - np.sum(others)))


def binary_of_outputs(a: Array, y: Array) -> Any:
    """Add up the cross-entropies of sigmoid neurons, the contrast: this value does depend on every output."""
    return -np.sum(y * np.log(a) + (1 - y) * np.log(1 - a))


def binary_of_outputs_grad(a: Array, y: Array) -> Array:
    grad: Array = (a - y) / (a * (1 - a))
    return grad


def the_value(z: Array, y: Array) -> Iterator[str]:
    """Differentiate by each output at one example: logits z and one-hot y, both of shape (K,)."""
    label, soft = int(y.argmax()), 0.9 * y + 0.1 / len(y)
    a, sigmoid = softmax(z), 1 / (1 + np.exp(-z))
    others = np.delete(a, label)
    by_output = gradcheck.from_loss(nll_of_outputs, nll_of_outputs_grad)
    by_others = gradcheck.from_loss(nll_of_others, nll_of_others_grad)
    binary = gradcheck.from_loss(binary_of_outputs, binary_of_outputs_grad)
    columns = {
        "one-hot": (nll_of_outputs_grad(a, y), gradcheck.examine(by_output, a, y)),
        f"one-hot, a_{label} = 1 - rest": (
            np.insert(nll_of_others_grad(others), label, np.nan),
            gradcheck.examine(by_others, others),
        ),
        "soft labels": (nll_of_outputs_grad(a, soft), gradcheck.examine(by_output, a, soft)),
        "sigmoid": (binary_of_outputs_grad(sigmoid, y), gradcheck.examine(binary, sigmoid, y)),
    }
    yield from by_neuron({"y": y, "a": a} | {name: column for name, (column, _) in columns.items()})
    yield from (f"  {name:<26}{report}" for name, (_, report) in columns.items())
    without_minus = gradcheck.from_loss(nll_of_outputs, lambda a, y: y / a, name="y / a, the minus dropped")
    yield f"  {without_minus.name:<26}{gradcheck.examine(without_minus, a, y).outcome.value}"


# --- 2. The gradient: what is trained lies before softmax, through which every logit reaches the active output. -------


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def nll(z: Array, y: Array) -> Any:
    """C by the logits, averaged over the N rows; z and y have shape (N, K)."""
    shifted = z - z.max(axis=1, keepdims=True)
    log_a = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -np.sum(y * log_a) / len(z)


def every_neuron(z: Array, y: Array) -> Array:
    return (softmax(z) - y) / len(z)


def nll_of_layer(W: Array, b: Array, h: Array, y: Array) -> Any:
    """C by the weights and biases of the output layer, z = h W^T + b."""
    return nll(h @ W.T + b, y)


def nll_of_layer_grad(W: Array, b: Array, h: Array, y: Array) -> tuple[Array, Array]:
    dz = every_neuron(h @ W.T + b, y)
    return dz.T @ h, dz.sum(axis=0)  # (a_j - y_j) h_k and a_j - y_j, for every neuron j


def the_gradient(W: Array, b: Array, h: Array, y: Array) -> Iterator[str]:
    """Differentiate by logits, biases and weights at one example: h of shape (1, H) and one-hot y (1, K)."""
    z = h @ W.T + b
    dz, (dW, db), dz_sigmoid = every_neuron(z, y), nll_of_layer_grad(W, b, h, y), sigmoid_cross_entropy(z, y)[1](1.0)
    by_weights = {"by z_k": dz[0], "by b_k": db, "by W_k, norm": np.linalg.norm(dW, axis=1)}
    yield from by_neuron({"y": y[0], "a": softmax(z)[0]} | by_weights | {"by z_k, sigmoid": dz_sigmoid[0]})
    yield f"  by z            {gradcheck.examine(gradcheck.from_loss(nll, every_neuron), z, y)}"
    layer = gradcheck.from_loss(nll_of_layer, nll_of_layer_grad, argnums=(0, 1))
    yield f"  by W and b      {gradcheck.examine(layer, W, b, h, y)}"
    yield f"  by z, sigmoid   {gradcheck.examine(gradcheck.from_pullback(sigmoid_cross_entropy, argnums=0), z, y)}"


# --- 3. The readings: each is a gradient by the logits that could be handed in for the right one. ---------------------


def active_entry(z: Array, y: Array) -> Array:
    """Keep the active entry of a - y and set the others to zero."""
    return y * every_neuron(z, y)


def no_jacobian(z: Array, y: Array) -> Array:
    """Take dC/da for dC/dz: -1/a_label at the active neuron, and no Jacobian of softmax."""
    a = softmax(z)
    with np.errstate(divide="ignore", over="ignore"):  # where a_label underflows, -inf is what the formula says
        return np.divide(-y, a, out=np.zeros_like(a), where=y != 0) / len(z)


def minus_dropped(z: Array, y: Array) -> Array:
    """Differentiate sum y log a: every neuron, and uphill."""
    return -every_neuron(z, y)


GRADIENTS: dict[str, Gradient] = {
    "a - y, every neuron": every_neuron,
    "a - y, active entry": active_entry,
    "-1/a, no Jacobian": no_jacobian,
    "y - a, minus dropped": minus_dropped,
}


def the_verdicts(examples: int) -> Iterator[str]:
    """Verify each gradient over drawn logits; of a wrong one, show the smallest point that Hypothesis found."""
    cases = gst.softmax_nll(labels="one-hot", rows=(1, 8))
    for name, gradient in GRADIENTS.items():
        try:
            report = gradcheck.verify(gradcheck.from_loss(nll, gradient, name=name), cases, examples=examples, seed=0)
            worth, *_ = str(report).splitlines()  # what was noted follows
            yield f"  {name:<22}{worth}"
        except GradientMismatch as error:
            (z, y), (found,) = error.report.point.args, error.report.verdict.discrepancies
            n, k = found.worst(1)[0]
            yield (
                f"  {name:<22}{error.report.outcome.value} at z = {z[n].tolist()}, label {y[n].argmax()}: entry {k} is "
                f"{found.analytic[n, k]:.4g}, must be {found.reference[n, k]:.4g}"
            )


# --- 4. The training: plain SGD with each gradient and all else equal, the first weights and the order of digits too. -

NETWORKS = {"no hidden layer": ((), "relu"), "32 rectifiers": ((32,), "relu"), "32 sigmoids": ((32,), "sigmoid")}
CLASSES: dict[int, tuple[int, ...] | None] = {10: None, 9: tuple(range(1, 10))}
RATES = (0.1, 0.01, 0.0001)
SHOWN = 0.01  # the rate that is shown epoch by epoch, and that 9 classes are trained at
PROBE = 1000  # training digits over which the gradient's norm is taken


@dataclass(frozen=True)
class Epoch:
    """What is measured at the end of one: on held-out digits, but for the norms, which are over all parameters."""

    loss: float
    accuracy: float
    weights: float
    gradient: float


@dataclass(frozen=True)
class Run:
    """One training: what was measured, before the first step too, and where the loss stopped being a number."""

    network: str
    classes: int
    rate: float
    gradient: str
    epochs: tuple[Epoch, ...]
    diverged: TrainingDiverged | None


def train(network: str, classes: int, rate: float, gradient: str, digits: Digits, options: argparse.Namespace) -> Run:
    """Train with one gradient and measure after each epoch."""
    hidden, activation = NETWORKS[network]
    config = mnist.Config(
        hidden=hidden,
        activation=activation,
        digits=CLASSES[classes],
        optimiser="sgd",
        learning_rate=rate,
        schedule="constant",
        batch_size=32,
        epochs=options.epochs,
        limit=options.limit,
        seed=options.seed,
        dtype="float64",  # what overflows here would overflow anywhere
    )
    loss = mnist.from_gradient(GRADIENTS[gradient], nll, one_hot=True)
    training = mnist.Training(config, *digits, loss=loss)
    x, y = training.model.inputs(training.train.images[:PROBE]), training.train.labels[:PROBE].astype(np.intp)
    epochs: list[Epoch] = []
    diverged = None
    try:
        for metrics in training.epochs():
            with np.errstate(over="ignore", invalid="ignore"):
                slope = mlp(training.state.params, x, y, activation=activation, loss=loss)[1](1.0)
                norms = norm(training.state.params), norm(slope)
            epochs.append(Epoch(metrics.test_loss, metrics.test_accuracy, *norms))
    except TrainingDiverged as error:
        diverged = error
    return Run(network, classes, rate, gradient, tuple(epochs), diverged)


def norm(arrays: dict[str, Array]) -> float:
    return float(np.sqrt(sum(np.sum(np.square(array)) for array in arrays.values())))


def the_ends(runs: Sequence[Run]) -> Iterator[str]:
    """Say of each run how it ended, or at which step its loss stopped being finite, and how its norms began."""
    rows = []
    for run in runs:
        first, last = run.epochs[0], run.epochs[-1]
        if run.diverged is None:
            loss, *norms = map(short, (last.loss, first.weights, last.weights, first.gradient, last.gradient))
            ended = [loss, f"{last.accuracy:.1%}", *norms]
        else:
            lost = f"{run.diverged.loss:g}", f"step {run.diverged.step}"
            ended = [*lost, short(first.weights), "", short(first.gradient), ""]
        rows.append([run.network, str(run.classes), short(run.rate), run.gradient, *ended])
    header = ("<network", "K", "rate", "<gradient", "loss", "right", "weights", "in the end", "gradient", "in the end")
    yield from table(header, rows)


def the_epochs(runs: Sequence[Run]) -> Iterator[str]:
    """Show the runs at one rate epoch by epoch, the gradients side by side."""
    for network, classes in product(NETWORKS, CLASSES):
        chosen = [r for r in runs if (r.network, r.classes, r.rate) == (network, classes, SHOWN)]
        numbers = range(max(len(run.epochs) for run in chosen))
        rows = [[str(n), *(cell(run.epochs[n]) if n < len(run.epochs) else "-" for run in chosen)] for n in numbers]
        yield f"  {network}, K = {classes}: held-out loss, held-out digits right, norm of weights, norm of gradient"
        yield from table(("epoch", *(f"<{run.gradient}" for run in chosen)), rows)
        yield ""


def cell(epoch: Epoch) -> str:
    return f"{short(epoch.loss):<8}{epoch.accuracy:<5.0%}{short(epoch.weights):<8}{short(epoch.gradient):<6}"


def short(number: float) -> str:
    """Write a number of any size in few characters: 0.58, 240, 1.1e181."""
    return f"{number:.3g}" if number < 1000 else f"{number:.1e}".replace("e+", "e").replace("e0", "e")


# --- The figures. -----------------------------------------------------------------------------------------------------

DRAWN = 1e200  # matplotlib's own arithmetic overflows beyond
COLOURS = dict(zip(GRADIENTS, ("#1a6faf", "#d95f02", "#7a3e9d", "#6b6b6b"), strict=True))


def draw(runs: Sequence[Run], z: Array, y: Array, out: Path) -> None:
    """Draw the gradients at one example, and the runs at one rate, into two SVG files."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("drawing the figures", "matplotlib", "report") from error
    # text stays text, and equal figures are equal files
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "which_neurons"}):
        for name, figure in (
            ("entries", draw_entries(Figure(figsize=(9, 2.6), layout="constrained"), z, y)),
            ("training", draw_training(Figure(figsize=(11, 6.5), layout="constrained"), runs)),
        ):
            figure.savefig(out / f"which-neurons-{name}.svg", metadata={"Date": None})


def draw_entries(figure: Any, z: Array, y: Array) -> Any:
    for axes, (name, gradient) in zip(figure.subplots(1, len(GRADIENTS)), GRADIENTS.items(), strict=True):
        axes.bar(range(z.shape[1]), gradient(z, y)[0], color=COLOURS[name])
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set(xlabel="neuron", xticks=range(z.shape[1]))
        axes.set_title(name, fontsize=9)
    figure.supylabel("gradient by the logit", fontsize=9)
    return figure


def draw_training(figure: Any, runs: Sequence[Run]) -> Any:
    titles = {"loss": "held-out loss", "accuracy": "held-out digits right", "weights": "norm of weights",
              "gradient": "norm of gradient"}  # fmt: skip
    for rows, network in zip(figure.subplots(len(NETWORKS), len(titles), sharex=True), NETWORKS, strict=True):
        for axes, (quantity, title) in zip(rows, titles.items(), strict=True):
            for run in (r for r in runs if (r.network, r.rate) == (network, SHOWN)):
                values = [v if v < DRAWN else np.nan for v in (getattr(epoch, quantity) for epoch in run.epochs)]
                line, end = ":" if run.classes == 9 else "-", "x" if run.diverged else ""
                axes.plot(values, line, color=COLOURS[run.gradient], label=f"{run.gradient}, K = {run.classes}")
                axes.plot([len(values) - 1], values[-1:], end, color=COLOURS[run.gradient])
            axes.set_yscale("linear" if quantity == "accuracy" else "log")
            axes.set_title(title, fontsize=9)
            axes.locator_params(axis="x", integer=True)
        rows[0].set_ylabel(network)
    figure.suptitle(f"SGD at {SHOWN:g}, by epoch; after a cross the loss is not finite any more", fontsize=10)
    handles, labels = rows[0].get_legend_handles_labels()
    paired = [i for k in range(len(GRADIENTS)) for i in range(k, len(labels), len(GRADIENTS))]  # a gradient a column
    figure.legend([handles[i] for i in paired], [labels[i] for i in paired], loc="outside lower center", ncols=4)
    return figure


# --- The story, from beginning to end. --------------------------------------------------------------------------------


def example() -> tuple[Array, Array, Array, Array]:
    """Make an output layer of 10 neurons above 5 others, and one example of the class 3: W, b, h, y."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(10, 5)), rng.normal(size=10), rng.normal(size=(1, 5)), np.eye(10)[[3]]


def story(runs: list[Run], digits: Digits, options: argparse.Namespace) -> Iterator[str]:
    """Tell it, and append each run to `runs`."""
    W, b, h, y = example()
    versions = {"Python": platform.python_version(), "NumPy": np.__version__, "JAX": jax.__version__}
    yield f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, " + ", ".join(
        f"{name} {version}" for name, version in (versions | {"gradcheck": gradcheck.__version__}).items()
    )
    yield "\n1. The value: C = -sum y log a, differentiated by each output a_k\n"
    yield from the_value((h @ W.T + b)[0], y[0])
    yield "\n2. The gradient: C differentiated by what is trained\n"
    yield from the_gradient(W, b, h, y)
    yield f"\n3. The readings: gradients by the logits, verified at {options.examples} drawn inputs\n"
    yield from the_verdicts(options.examples)
    many = min(len(digits[0]), options.limit or len(digits[0]))
    yield f"\n4. The training: SGD, batches of 32, {options.epochs} epochs of {many} digits ({digits[0].source})\n"
    for network, classes, rate, gradient in product(NETWORKS, CLASSES, RATES, GRADIENTS):
        if classes == 10 or rate == SHOWN:
            runs.append(train(network, classes, rate, gradient, digits, options))
    yield from the_ends(runs)
    yield f"\n5. The same epoch by epoch, at the learning rate {SHOWN:g}\n"
    yield from the_epochs(runs)


def by_neuron(columns: dict[str, Array]) -> Iterator[str]:
    """Show one row for each output neuron; a bare 0 is exactly zero, NaN is left out."""
    cells = [["" if np.isnan(x) else f"{x:.4f}" if x else "0" for x in column] for column in columns.values()]
    yield from table(("k", *columns), [(str(k), *row) for k, row in enumerate(zip(*cells, strict=True))])


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Align columns to the right, those whose header begins with < to the left."""
    body = [[name.lstrip("<") for name in header], *rows]
    widths = [max(map(len, column)) for column in zip(*body, strict=True)]
    for row in body:
        cells = zip(header, row, widths, strict=True)
        yield "  " + "  ".join(f"{text:{'<' if name[0] == '<' else '>'}{w}}" for name, text, w in cells).rstrip()


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Which output neurons does the gradient of softmax + NLL involve?")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write the tables and figures into this folder, too")
    data = "where the digits come from (default: the sample of 5,000 inside gradcheck)"
    parser.add_argument("--data", default="sample", metavar="DIR|mnist|sample", help=data)
    parser.add_argument("--limit", type=positive, metavar="N", help="train on the first N digits only")
    parser.add_argument("--epochs", type=positive, default=10, metavar="N", help="passes over the digits (default: 10)")
    parser.add_argument(
        "--examples", type=positive, default=100, metavar="N", help="inputs to verify at (default: 100)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of first weights and order (default: 0)")
    return parser.parse_args(argv)


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    options = parse(argv)
    runs: list[Run] = []
    lines: list[str] = []
    try:
        digits = mnist.load("train", options.data), mnist.load("test", options.data)
        for line in story(runs, digits, options):
            print(line, flush=True)
            lines.append(f"{line}\n")
        if options.out is not None:
            options.out.mkdir(parents=True, exist_ok=True)
            (options.out / "which-neurons.txt").write_text("".join(lines), encoding="utf-8")
            W, b, h, y = example()
            draw(runs, h @ W.T + b, y, options.out)
    except MissingExtra as error:
        print(f"No figures: {error}")
    except (GradcheckError, OSError) as error:
        print(f"which_neurons: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
