"""What an error looks like that no known mistake explains: where it is, and how large."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.mistakes.context import Context
from gradcheck.mistakes.setting import Sample
from gradcheck.tree import Array

__all__ = ["described"]

_NAMED = 3  # rows or columns; of more, their number says as much
# Two numbers are called the same that agree to half the digits of float32.
_SAME = 2.0**-12


def described(context: Context) -> str:
    """Say in which arrays, at which of the samples, in which rows and columns a gradient is wrong, and by how much."""
    wrong = [sample for sample in context.samples if sample.before > 1.0]
    if not wrong:
        return ""
    first = wrong[0]
    parts = [_where(first, slot) for slot, errs in enumerate(first.errors(first.reference)) if errs > 1.0]
    return "; ".join([*parts, _how_often(context, wrong)])


def _how_often(context: Context, wrong: list[Sample]) -> str:
    total = len(context.samples)
    if len(wrong) == total > 1:
        return f"wrong at all of {total} inputs tried"
    if len(wrong) == 1 < total and wrong[0] is context.samples[0]:
        return f"wrong at the failing point only, right at {total - 1} others of ordinary size"
    return f"wrong at {len(wrong)} of {total} inputs tried"


def _where(sample: Sample, slot: int) -> str:
    mine, its, allowed = sample.analytic[slot], sample.reference[slot], sample.allowed[slot]
    with np.errstate(all="ignore"):
        off = ~(np.abs(mine - its) <= allowed)
    return f"in {sample.paths[slot]}, " + ", ".join([_entries(sample, slot, off), *_sizes(mine, its, off)])


def _entries(sample: Sample, slot: int, off: Array) -> str:
    """Name the entries that are wrong, by what they have in common."""
    if off.all():
        return "every entry is wrong" if off.size > 1 else "the only entry is wrong"
    onehot = sample.roles.onehot(sample.flat) if slot == sample.roles.logits else None
    if onehot is not None and onehot.shape == off.shape:
        if np.array_equal(off, onehot != 0):
            return "only the entries of the labels are wrong"
        if np.array_equal(off, onehot == 0):
            return "all entries but those of the labels are wrong"
    for axis, line in ((0, "row"), (-1, "column")):
        if off.ndim > 1 and (lines := _lines(off, axis)) is not None:
            return f"only {_listed(line, lines)} wrong"
    if off.ndim == 1:
        return f"only {_listed('entry', np.flatnonzero(off))} wrong"
    return f"{int(off.sum())} of {off.size} entries are wrong"


def _lines(off: Array, axis: int) -> Array | None:
    """Give the rows (or columns) that are wrong as a whole, if all others are right."""
    by_line = np.moveaxis(off, axis, 0).reshape(off.shape[axis], -1)
    whole = by_line.all(axis=1)
    return np.flatnonzero(whole) if whole.any() and not by_line[~whole].any() else None


def _listed(line: str, lines: Array) -> str:
    numbers = [str(int(i)) for i in lines]
    if len(numbers) == 1:
        return f"{line} {numbers[0]} is"
    plural = "entries" if line == "entry" else f"{line}s"
    return f"{plural} {', '.join(numbers)} are" if len(numbers) <= _NAMED else f"{len(numbers)} {plural} are"


def _sizes(mine: Array, its: Array, off: Array) -> Iterator[str]:
    """Say what is not finite, and what the wrong entries have in common: a difference, a ratio."""
    odd = int(np.sum(~np.isfinite(mine)))
    if odd:
        yield f"{odd} not finite"
    seen = off & np.isfinite(mine)
    if not seen.any():
        return
    with np.errstate(all="ignore"):
        difference, ratio = (mine - its)[seen], (mine / its)[seen]
    if np.all(mine[seen] == 0):
        yield "and 0 there"
    elif difference.size > 1 and np.ptp(difference) <= _SAME * np.max(np.abs(difference)):
        yield f"each by {difference[0]:.4g}"
    elif np.all(np.isfinite(ratio)):
        low, high = float(ratio.min()), float(ratio.max())
        same = high - low <= _SAME * max(abs(low), abs(high))
        yield f"{low:.4g} times the reference" if same else f"from {low:.3g} to {high:.3g} times the reference"
    if same_in_rows(mine - its):
        yield "and off by the same in each entry of a row"


def same_in_rows(residual: Array) -> bool:
    """Whether a residual is constant along the rows, in at least two of them."""
    if residual.ndim < 2 or residual.shape[-1] < 3 or not np.all(np.isfinite(residual)):
        return False
    spread = np.ptp(residual, axis=-1)
    return bool(len(np.unique(residual[..., 0])) > 1 and np.all(spread <= _SAME * np.max(np.abs(residual), axis=-1)))
