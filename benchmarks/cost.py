"""What an example costs: drawing it, and checking a gradient there with every oracle and law, beside peers.

Softmax and negative log-likelihood in plain NumPy, at shapes up to 32 x 12 as `gradcheck.strategies.softmax_nll` draws
them, in one Hypothesis test for each dtype. In its body gradcheck and, at some of the examples, each peer check the
same gradient at the same arrays one after the other, in an order that turns; whatever JAX has to trace or compile for a
new shape is part of what it costs. Drawing is measured in tests that do nothing, against the strategy that one would
write with a generator of random numbers; what Hypothesis itself takes is part of both. All times are those of the CPU,
all threads together: the machine may have other things to do.

Run it as ``python benchmarks/cost.py [--examples N] [--peer-examples N] [--runs N] [--markdown] [--json PATH]``; it
exits with 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
from _machine import conditions
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import UnsatisfiedAssumption
from peers import PEERS, Question, ask

import gradcheck
from gradcheck import strategies as gst

Array = np.ndarray[Any, np.dtype[Any]]
Check = Callable[[Array, Array], object]

PACKAGES = ("gradcheck", "numpy", "jax", "hypothesis", "torch")
DTYPES = ("float64", "float32")
ROWS, CLASSES = (1, 32), (2, 12)
OURS, FOUND, DRAW, GENERATOR, WHOLE = (
    "gradcheck.check",
    "gradcheck.check, no reference given",
    "draw: softmax_nll()",
    "draw: reference generator",
    "whole: draw and check",
)
PLAIN = "jax.jit(jax.grad(f))"
CHECK_GRADS = "jax.test_util.check_grads(f)"
ASKED = ("torch-slow", "torch-fast", "jax")  # of the peers, those that people run beside each other

ONLY_DRAW = settings(database=None, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))

# In seconds: a hundred examples take an eighth of a second, and a new pattern of shapes may take three times that much
# once in a hundred. In multiples of the reference generator: what regimes, shrinking and counting may cost.
MEDIAN, PERCENTILE, DRAWN, AIM = 1.2e-3, 3e-3, 1.5, 2.0


@dataclass(frozen=True)
class Row:
    """What was measured of one thing, in seconds for an example; bounds are None where there are none."""

    name: str
    dtype: str
    examples: int
    median: float
    percentile: float
    ratio: float
    median_bound: float | None = None
    percentile_bound: float | None = None
    ratio_bound: float | None = None

    @property
    def held(self) -> bool:
        """Whether the bounds were kept; true where there are none."""
        pairs = (
            (self.median, self.median_bound),
            (self.percentile, self.percentile_bound),
            (self.ratio, self.ratio_bound),
        )
        return all(bound is None or found <= bound for found, bound in pairs)


def nll(z: Array, y: Array) -> Any:
    """Compute the mean loss as people write it."""
    s = z - z.max(axis=1, keepdims=True)
    return np.mean(np.log(np.exp(s).sum(axis=1)) - s[np.arange(len(y)), y])


def nll_vjp(z: Array, y: Array, cotangent: Any) -> Array:
    """Pull a cotangent of the loss back, as people write it."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    a = e / e.sum(axis=1, keepdims=True)
    a[np.arange(len(y)), y] -= 1
    return np.asarray((cotangent / len(y)) * a)


def restated(z: Any, y: Any) -> Any:
    """Restate the loss for JAX."""
    return -jnp.take_along_axis(jax.nn.log_softmax(z, axis=1), y[:, None], axis=1).mean()


@st.composite
def generator(draw: st.DrawFn, dtype: str) -> tuple[Array, Array]:
    """Draw sizes and a seed, and make normal logits and labels of them: what one would write without gradcheck."""
    rows, classes = draw(st.integers(*ROWS)), draw(st.integers(*CLASSES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.standard_normal((rows, classes)).astype(dtype), rng.integers(classes, size=rows)


def ours(**options: Any) -> Check:
    """Make the check that this benchmark is about: one line in the body of a test."""
    rule = gradcheck.from_vjp(nll, nll_vjp, argnums=0, **options)

    def check(z: Array, y: Array) -> object:
        try:
            return gradcheck.check(rule, z, y)
        except UnsatisfiedAssumption:  # a point where nothing is resolved counts for nothing, and takes its time
            return None

    return check


def plain() -> Check:
    """Make the comparison that people write without any checker: JAX's gradient, and a tolerance."""
    gradient = jax.jit(jax.grad(restated))

    def check(z: Array, y: Array) -> object:
        with jax.enable_x64(True):
            return np.allclose(nll_vjp(z, y, z.dtype.type(1)), gradient(z, y), rtol=1e-4)

    return check


def check_grads() -> Check:
    """Make the check that JAX offers for functions of its own, of its own derivative."""
    test_util: Any = import_module("jax.test_util")  # typed as Any: it has no annotations

    def check(z: Array, y: Array) -> object:
        with jax.enable_x64(True), suppress(AssertionError):
            test_util.check_grads(lambda z: restated(z, y), (z,), order=1, modes=["rev"])
        return None

    return check


def peer(name: str) -> Check:
    """Make a check of a peer."""

    def check(z: Array, y: Array) -> object:
        question = Question(lambda: (nll, nll_vjp), "vjp", (z, y), (0,), np.ones((), z.dtype))
        return ask(PEERS[name], question)

    return check


def timed(checks: Mapping[str, Check], always: int, dtype: str, examples: int, every: int) -> dict[str, list[float]]:
    """Run one test, and time all checks in its body: the first ``always`` of them at each example."""
    found: dict[str, list[float]] = defaultdict(list)
    names, count = list(checks), 0

    @hypothesis.seed(0)
    @settings(ONLY_DRAW, max_examples=examples)
    @given(gst.softmax_nll(rows=ROWS, classes=CLASSES, dtype=dtype))
    def body(case: tuple[Array, Array]) -> None:
        nonlocal count
        asked = names if count % every == 0 else names[:always]
        for k in range(len(asked)):
            name = asked[(k + count) % len(asked)]
            start = time.process_time()
            checks[name](*case)
            found[name].append(time.process_time() - start)
        count += 1

    body()
    return found


def seconds(strategy: st.SearchStrategy[Any], examples: int, seed: int) -> float:
    """Draw examples in a test that does nothing, and return the median time from one to the next."""
    times: list[float] = []

    @hypothesis.seed(seed)
    @settings(ONLY_DRAW, max_examples=examples)
    @given(strategy)
    def body(_: Any) -> None:
        times.append(time.process_time())

    body()
    return float(np.median(np.diff(times)))


def drawing(dtype: str, runs: int, examples: int) -> tuple[list[float], list[float]]:
    """Measure both ways to draw in turn: the median of each run, after one that only warms up."""
    mine, theirs = [], []
    for turn in range(runs + 1):
        mine.append(seconds(gst.softmax_nll(rows=ROWS, classes=CLASSES, dtype=dtype), examples, turn))
        theirs.append(seconds(generator(dtype), examples, turn))
    return mine[1:], theirs[1:]


def measure(dtype: str, examples: int, peer_examples: int, runs: int) -> list[Row]:
    """Measure everything in one dtype."""
    checks = {OURS: ours(reference=restated), FOUND: ours(), PLAIN: plain(), CHECK_GRADS: check_grads()}
    checks |= {name: peer(name) for name in ASKED if PEERS[name].installed}
    found = timed(checks, 1, dtype, examples, max(1, examples // peer_examples))
    mine, theirs = drawing(dtype, runs, examples)
    unit = statistics.median(theirs)
    drawn = statistics.median(m / t for m, t in zip(mine, theirs, strict=True))
    rows = []
    for name, times in found.items():
        middle, high = (float(np.quantile(times, q)) for q in (0.5, 0.99))
        bounds = (MEDIAN, PERCENTILE) if name == OURS else (None, None)
        rows.append(Row(name, dtype, len(times), middle, high, middle / unit, *bounds))
    whole = statistics.median(mine) + rows[0].median
    high = statistics.median(mine) + rows[0].percentile
    return [
        *rows,
        Row(GENERATOR, dtype, examples * runs, unit, max(theirs), 1.0),
        Row(DRAW, dtype, examples * runs, statistics.median(mine), max(mine), drawn, ratio_bound=DRAWN),
        Row(WHOLE, dtype, examples, whole, high, whole / unit),
    ]


HEAD = ("of an example, in milliseconds", "dtype", "examples", "median", "99 %", "times the generator", "")


def cells(row: Row) -> tuple[str, ...]:
    """Write a row: figures, and what was missed."""
    bounds = [
        f"{what} {bound * scale:g}"
        for what, bound, scale in (
            ("median", row.median_bound, 1e3),
            ("99 %", row.percentile_bound, 1e3),
            ("ratio", row.ratio_bound, 1.0),
        )
        if bound is not None
    ]
    said = f"bounds: {', '.join(bounds)}" if bounds else f"aim: ratio {AIM:g}" if row.name == WHOLE else ""
    figures = (f"{row.median * 1e3:.2f}", f"{row.percentile * 1e3:.2f}", f"{row.ratio:.1f}")
    return (row.name, row.dtype, str(row.examples), *figures, said + ("" if row.held else "  MISSED"))


def table(rows: Sequence[Row], as_markdown: bool) -> str:
    """Lay the rows out."""
    lines = [HEAD, *map(cells, rows)]
    if as_markdown:
        lines.insert(1, ("---",) * len(HEAD))
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    widths = [max(len(line[k]) for line in lines) for k in range(len(HEAD))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure what it costs to draw an example and to check a gradient.")
    parser.add_argument("--examples", type=int, default=600, metavar="N", help="in each dtype (default: 600)")
    parser.add_argument("--peer-examples", type=int, default=60, metavar="N", help="of these, for peers (default: 60)")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="of drawing; medians are over these")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the numbers there too")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit code whether the bounds were held."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.examples < 2 or arguments.peer_examples < 1 or arguments.runs < 1:
        parser.error("--examples must be at least 2, --peer-examples and --runs 1")
    warnings.simplefilter("ignore")  # what peers say of float32 is not the question
    settings_of = (arguments.examples, arguments.peer_examples, arguments.runs)
    rows = [row for dtype in DTYPES for row in measure(dtype, *settings_of)]
    about = conditions(PACKAGES) | {"examples": str(arguments.examples), "runs": str(arguments.runs)}
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print(table(rows, arguments.markdown))
    if arguments.json:
        content = {"conditions": about, "rows": [asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0 if all(row.held for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
