"""How small an error of a gradient is still called wrong, by gradcheck and by its peers.

The gradient is that of the mean softmax and negative log-likelihood, 8 rows by 8 classes, computed in the precision of
the row of the table, and then made wrong by a known amount:

- *scale*: all of it times ``1 + size``;
- *one entry*: an entry of the row with the largest gradient, off by ``size`` times the largest of that row;
- *dropped*: a part ``size`` of the summand ``-onehot(y)`` left out.

The smallest size that is caught is searched for by bisection over eighths of decades, and the table has the worst of
several points. A checker that objects to the right gradient as well has caught nothing, which is said instead; so is it
where a peer takes no such numbers.

Run it as ``python benchmarks/sensitivity.py [--points N] [--peers A,B] [--json PATH] [--markdown]``; it exits with 1
where gradcheck misses a bound.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from _machine import conditions
from _tables import laid_out
from peers import CAUGHT, PASSED, PEERS, Question, ask

import gradcheck
from gradcheck.verdict import Outcome

PACKAGES = ("gradcheck", "numpy", "jax", "python-flint", "torch", "autograd", "scipy")
ROWS, CLASSES = 8, 8
OURS = "gradcheck"
# Powers of ten that are tried: from below the round-off of float64 to a gradient ten times too large.
POWERS = [eighth / 8 for eighth in range(-8 * 16, 8 + 1)]
WORDS = {Outcome.PASS: PASSED, Outcome.FAIL: CAUGHT, Outcome.UNDECIDED: "undecided"}
NO_SIZE = {CAUGHT: "accuses the right one"}  # the other words say it themselves
NEVER = "never"

Array = np.ndarray[Any, np.dtype[Any]]
Fault = Callable[[Array, Array, int, float], Array]


@dataclass(frozen=True)
class Setting:
    """Where the gradient is made wrong: a precision, logits to start from, and how small an error must be seen."""

    name: str
    dtype: Any
    offset: float
    lead: float  # of the logit of the label over all others
    bounds: dict[str, float]

    def point(self, seed: int) -> tuple[Array, Array]:
        """Draw logits and labels."""
        rng = np.random.default_rng(seed)
        z, y = rng.normal(size=(ROWS, CLASSES)), rng.integers(0, CLASSES, ROWS)
        if self.lead:
            z[np.arange(ROWS), y] = z.max(axis=1) + self.lead
        return (z + self.offset).astype(self.dtype), y


def nll(z: Array, y: Array) -> Any:
    """Mean negative log-likelihood."""
    shifted = z - z.max(axis=1, keepdims=True)
    return (np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(y)), y]).mean()


def gradient(z: Array, y: Array) -> Array:
    """Its gradient, in the precision of the logits throughout."""
    a = np.exp(z - z.max(axis=1, keepdims=True))
    a = a / a.sum(axis=1, keepdims=True)
    label = np.arange(len(y)), y
    others = a.copy()
    others[label] = 0
    # 1 - a without the cancellation, as a careful author writes it
    a[label] = -others.sum(axis=1)
    return np.asarray(a / z.dtype.type(len(y)))


def _scaled(true: Array, _: Array, __: int, size: float) -> Array:
    return true * (1 + size)


def _one_entry(true: Array, y: Array, row: int, size: float) -> Array:
    wrong = true.copy()
    wrong[row, (y[row] + 1) % CLASSES] += size * np.abs(true[row]).max()
    return wrong


def _dropped(true: Array, y: Array, _: int, size: float) -> Array:
    wrong = true.copy()
    wrong[np.arange(len(y)), y] += size / len(y)
    return wrong


FAULTS: dict[str, Fault] = {"scale": _scaled, "one entry": _one_entry, "dropped": _dropped}

SETTINGS = (
    Setting("ordinary", np.dtype(np.float64), 0.0, 0.0, dict.fromkeys(FAULTS, 1e-12)),
    Setting("confident", np.dtype(np.float64), 0.0, 19.0, dict.fromkeys(FAULTS, 1e-5)),
    Setting("offset 1e6", np.dtype(np.float64), 1e6, 0.0, dict.fromkeys(FAULTS, 1e-8)),
    Setting("float32", np.dtype(np.float32), 0.0, 0.0, dict.fromkeys(FAULTS, 1e-5)),
    Setting("bfloat16", np.dtype(ml_dtypes.bfloat16), 0.0, 0.0, {"scale": 5e-2, "one entry": 2e-1, "dropped": 2e-1}),
)


@dataclass(frozen=True)
class Row:
    """What was found in one setting for one fault: by each checker the size, or the word for why there is none."""

    setting: str
    fault: str
    bound: float
    found: dict[str, float | str]

    @property
    def held(self) -> bool:
        """Whether gradcheck has seen an error as small as the bound."""
        ours = self.found[OURS]
        return isinstance(ours, float) and ours <= self.bound


def smallest(catches: Callable[[float], str]) -> float | str:
    """Find the smallest size that is caught; ``catches`` says in a word what a checker makes of one."""
    at_zero = catches(0.0)
    if at_zero != PASSED:
        return NO_SIZE.get(at_zero, at_zero)
    low, high = 0, len(POWERS)  # what is at high is caught, and what is before low is not
    while low < high:
        middle = (low + high) // 2
        if catches(10 ** POWERS[middle]) == CAUGHT:
            high = middle
        else:
            low = middle + 1
    return 10 ** POWERS[high] if high < len(POWERS) else NEVER


def measure(setting: Setting, fault: str, points: int, peers: Sequence[str]) -> Row:
    """Search at every point and keep the worst."""
    found: dict[str, float | str] = {}
    for name in (OURS, *peers):
        sizes = [smallest(_put(name, setting, fault, seed)) for seed in range(points)]
        words = [size for size in sizes if isinstance(size, str)]
        found[name] = words[0] if words else max(sizes, key=float)
    return Row(setting.name, fault, setting.bounds[fault], found)


def _put(checker: str, setting: Setting, fault: str, seed: int) -> Callable[[float], str]:
    """Give the function that puts a fault of some size to a checker."""
    z, y = setting.point(seed)
    row = int(np.abs(gradient(z, y).astype(np.float64)).max(axis=1).argmax())

    def catches(size: float) -> str:
        def wrong(z: Array, y: Array) -> Array:
            true = gradient(z, y)
            return true if size == 0 else FAULTS[fault](true.astype(np.float64), y, row, size).astype(z.dtype)

        if checker == OURS:
            return WORDS[gradcheck.examine(gradcheck.from_loss(nll, wrong), z, y).outcome]
        return ask(PEERS[checker], Question(lambda: (nll, wrong), "loss", (z, y), (0,), np.asarray(1.0))).word

    return catches


def table(rows: Sequence[Row], peers: Sequence[str]) -> list[list[str]]:
    """Lay the rows out, the head first."""
    head = ["setting, fault", "bound", OURS, *peers]
    return [
        head,
        *(
            [f"{row.setting}, {row.fault}", f"{row.bound:.0e}", *(_cell(row, name) for name in (OURS, *peers))]
            for row in rows
        ),
    ]


def _cell(row: Row, name: str) -> str:
    found = row.found[name]
    text = found if isinstance(found, str) else f"{found:.1e}"
    return text if name != OURS or row.held else f"{text} MISSED"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit code whether the bounds were held."""
    parser = argparse.ArgumentParser(description="Search for the smallest error of a gradient that is caught.")
    parser.add_argument("--points", type=int, default=3, metavar="N", help="for each row of the table (default: 3)")
    parser.add_argument("--peers", metavar="A,B", help=f"of {', '.join(PEERS)} (default: those that are installed)")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the numbers there too")
    arguments = parser.parse_args(argv)
    if arguments.points < 1:
        parser.error("--points must be at least 1")
    peers = _chosen(parser, arguments.peers)
    rows = [measure(s, fault, arguments.points, peers) for s in SETTINGS for fault in FAULTS]
    about = conditions(PACKAGES) | {"points": str(arguments.points)}
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print()
    print(laid_out(table(rows, peers), as_markdown=arguments.markdown))
    if arguments.json:
        content = {"conditions": about, "rows": [asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0 if all(row.held for row in rows) else 1


def _chosen(parser: argparse.ArgumentParser, asked: str | None) -> tuple[str, ...]:
    if asked is None:
        return tuple(name for name, peer in PEERS.items() if peer.installed)
    names = tuple(name for name in asked.split(",") if name)
    for name in names:
        if name not in PEERS:
            parser.error(f"there is no peer {name!r}; there are {', '.join(PEERS)}")
        if not PEERS[name].installed:
            parser.error(f"{name} is not installed: pip install {PEERS[name].package}")
    return names


if __name__ == "__main__":
    raise SystemExit(main())
