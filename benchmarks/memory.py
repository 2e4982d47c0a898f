"""What the forms that go block by block hold, against the plain ones, at the size of a large vocabulary.

NumPy reports what it allocates to tracemalloc. The inputs exist before; a peak is what is held above them at the worst
moment of a forward, or of a pullback with all that the forward left for it. It is split into outputs and the rest,
work that nobody asked for, which for the blocked forms must stay within a few blocks. Those are counted, not measured:

- `streaming`, in blocks of N times `block` numbers. Forward: the shifted logits, and their exponentials beside them
  while they are made (2). Pullback: the same; then the softmax, its difference from the labels, and the labels' columns
  as bools (2, and a block of bytes).
- `fused_linear`, in tiles of `rows_per_chunk` times `block` numbers. Forward: the logits, and 2 as above (3). Pullback,
  at one moment: the tile before, the logits, 2 and the bools as above, and the block of ``dW`` (4, a tile of bytes, and
  block times H); at another: the tile, and the block of ``dW``, what is added to it and their sum (1, and 3 times block
  times H). In either, at most three arrays of `rows_per_chunk` times H.

Besides: a score of numbers for each row and each class of a block; the buffers in which NumPy casts, of
``np.getbufsize()`` numbers for each of an operation's three operands; and 32 KiB for Python's own objects.

Run it as ``python benchmarks/memory.py [--runs N] [--classes K] [--json PATH]``; it exits with 1 where a bound is
missed. Times are medians over both passes together, in which the forms take turns. They are CPU times, and comparable
where BLAS has one thread, as in ``OPENBLAS_NUM_THREADS=1 python benchmarks/memory.py``: waiting threads spin, and the
small products of tiles wait often.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _machine import conditions

from gradcheck.derivations import linear
from gradcheck.derivations.softmax_nll import fused, fused_linear, streaming

PACKAGES = ("gradcheck", "numpy")
ROWS, WIDTH = 256, 256
BLOCK, CHUNK = 1024, 128
MIB = 2**20


@dataclass(frozen=True)
class Subject:
    """A loss with its gradient, and how many bytes each pass may take beyond its outputs; None for no bound."""

    name: str
    dtype: str
    run: Callable[[], tuple[Any, Callable[[Any], Any]]]
    forward: int | None = None
    pullback: int | None = None


@dataclass(frozen=True)
class Row:
    """What one pass of a form held at its worst, in bytes, and what both passes took, in CPU seconds."""

    name: str
    dtype: str
    passed: str
    outputs: int
    rest: int
    bound: int | None
    seconds: float

    @property
    def held(self) -> bool:
        """Whether the bound was kept; true where there is none."""
        return self.bound is None or self.rest <= self.bound


def subjects(classes: int, dtype: str) -> Iterator[Subject]:
    """Yield the plain and the blocked forms on the same logits, and on the same layer."""
    rng = np.random.default_rng(0)
    size = np.dtype(dtype).itemsize
    y = rng.integers(classes, size=ROWS)
    z = rng.standard_normal((ROWS, classes)).astype(dtype)
    block = ROWS * BLOCK
    extras = _extras(dtype)
    yield Subject("fused", dtype, lambda: fused(z, y))
    yield Subject(
        "streaming",
        dtype,
        lambda: streaming(z, y, block=BLOCK),
        forward=2 * block * size + extras,
        pullback=2 * block * size + block + extras,
    )
    h = rng.standard_normal((ROWS, WIDTH)).astype(dtype)
    W = (rng.standard_normal((classes, WIDTH)) / WIDTH**0.5).astype(dtype)
    b = np.zeros(classes, dtype)
    tile, of_W, of_h = CHUNK * BLOCK, BLOCK * WIDTH, CHUNK * WIDTH
    yield Subject("linear, fused", dtype, lambda: _apart(h, W, b, y))
    yield Subject(
        "fused_linear",
        dtype,
        lambda: fused_linear(h, W, b, y, rows_per_chunk=CHUNK, block=BLOCK),
        forward=3 * tile * size + extras,
        pullback=max(4 * tile * size + tile + of_W * size, (tile + 3 * of_W) * size) + 3 * of_h * size + extras,
    )


def _extras(dtype: str) -> int:
    size = np.dtype(dtype).itemsize
    return 20 * (ROWS + BLOCK) * size + 3 * np.getbufsize() * size + 2**15


def _apart(h: Any, W: Any, b: Any, y: Any) -> tuple[Any, Callable[[Any], Any]]:
    z, layer = linear(h, W, b)
    loss, pullback = fused(z, y)
    return loss, lambda ct: layer(pullback(ct))


def measure(subject: Subject, seconds: float) -> list[Row]:
    """Trace a forward and its pullback, after a run that fills whatever is cached."""
    subject.run()[1](1.0)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    loss, pullback = subject.run()
    forward = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.reset_peak()
    cotangents = pullback(1.0)
    backward = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    outputs = sum(x.nbytes for x in (cotangents if isinstance(cotangents, tuple) else (cotangents,)))
    return [
        Row(subject.name, subject.dtype, "forward", loss.nbytes, forward - loss.nbytes, subject.forward, seconds),
        Row(subject.name, subject.dtype, "pullback", outputs, backward - outputs, subject.pullback, seconds),
    ]


def timed(forms: Sequence[Subject], runs: int) -> list[float]:
    """Return the median CPU time of each form over turns, after one that only warms up."""
    times: list[list[float]] = [[] for _ in forms]
    for turn in range(runs + 1):
        for form, taken in zip(forms, times, strict=True):
            start = time.process_time()
            form.run()[1](1.0)
            if turn:
                taken.append(time.process_time() - start)
    return [statistics.median(taken) for taken in times]


def table(rows: Sequence[Row]) -> str:
    """Lay the rows out, in MiB and milliseconds."""
    head = f"{'':<16}{'dtype':<9}{'pass':<10}{'peak':>9}{'outputs':>9}{'rest':>9}{'bound':>9}{'CPU ms':>8}"
    lines = [f"{head}  (MiB; CPU time of both passes)"]
    for row in rows:
        bound = "" if row.bound is None else f"{row.bound / MIB:.2f}"
        sizes = "".join(f"{size / MIB:>9.2f}" for size in (row.outputs + row.rest, row.outputs, row.rest))
        end = "" if row.held else "  MISSED"
        lines.append(f"{row.name:<16}{row.dtype:<9}{row.passed:<10}{sizes}{bound:>9}{row.seconds * 1e3:>8.0f}{end}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit code whether the bounds were held."""
    parser = argparse.ArgumentParser(description="Measure what the blocked forms of softmax + NLL hold.")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="turns that are timed (default: 5)")
    parser.add_argument("--classes", type=int, default=32_768, metavar="K", help="size of the vocabulary")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the numbers there too")
    arguments = parser.parse_args(argv)
    if arguments.runs < 1 or arguments.classes < 1:
        parser.error("--runs and --classes must be at least 1")
    rows = []
    for dtype in ("float32", "float64"):
        forms = list(subjects(arguments.classes, dtype))
        for form, seconds in zip(forms, timed(forms, arguments.runs), strict=True):
            rows += measure(form, seconds)
    shape = f"N {ROWS}, K {arguments.classes}, H {WIDTH}, block {BLOCK}, rows_per_chunk {CHUNK}"
    threads = os.environ.get("OPENBLAS_NUM_THREADS", "not set")
    about = {**conditions(PACKAGES), "OPENBLAS_NUM_THREADS": threads, "sizes": shape, "runs": str(arguments.runs)}
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print(table(rows))
    if arguments.json:
        content = {"conditions": about, "bytes": [asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0 if all(row.held for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
