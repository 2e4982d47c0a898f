"""The rest that is left over after the last whole block is never written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Finding
from gradcheck.mistakes.making import injected, named
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.setting import Gradient, Sample, Setting
from gradcheck.rule import Rule
from gradcheck.tree import Array

__all__ = ["BLOCKS", "MISTAKE"]

_NAME = "tail block not written"
# Samples of three to eight rows tell blocks of these sizes apart; for the larger ones, larger samples are drawn.
_SMALL = (2, 4, 8)
_LARGE = (16, 32, 64, 128, 256)
BLOCKS = (*_SMALL, *_LARGE)
_MADE = 4


@dataclass(frozen=True)
class _Tail:
    """A rest along the first or the last axis: from the last multiple of ``block`` on, or none of a ``short`` array."""

    axis: int
    block: int
    short: bool

    def start(self, length: int) -> int:
        """Give the index from which nothing is written."""
        whole = length // self.block * self.block
        return length if self.short and not whole else whole

    def cut(self, array: Array, rest: Array | float) -> Array:
        """Put something else into the rest."""
        if not array.ndim:
            return array
        along = np.arange(array.shape[self.axis]) >= self.start(array.shape[self.axis])
        index = along if self.axis == -1 else along.reshape(-1, *(1,) * (array.ndim - 1))
        return np.asarray(np.where(index, rest, array))


_TAILS = tuple(_Tail(axis, block, short) for axis in (-1, 0) for short in (False, True) for block in BLOCKS)


def _zeroed(tail: _Tail, setting: Setting) -> Gradient:
    return tuple(tail.cut(g, 0.0) for g in setting.gradient)


def _skipped(tail: _Tail, setting: Setting) -> Gradient | None:
    """Leave rows out of everything that is made of them, as the rows of a cotangent that is cut off."""
    if tail.axis or not setting.rule.takes_cotangent:
        return None
    cut = [tail.cut(c, 0.0).astype(c.dtype) for c in setting.cotangents]
    return setting.at({}, cut)


def _left(tail: _Tail, setting: Setting) -> Gradient:
    """Set the rest aside, whatever the rule leaves there."""
    rows = zip(setting.gradient, setting.analytic if isinstance(setting, Sample) else setting.gradient, strict=True)
    return tuple(tail.cut(g, mine) if g.ndim else g for g, mine in rows)


_READINGS: tuple[tuple[Callable[[_Tail, Setting], Gradient | None], str], ...] = (
    (_zeroed, "the rest is zero, since nothing is written there"),
    (_skipped, "the rest is left out of all sums"),
    (_left, "the rest is never written, and holds whatever was there"),
)


def _inject(rule: Rule) -> Rule:
    return injected(rule, _first_zeroed)


def _first_zeroed(setting: Setting) -> Gradient:
    found = list(setting.gradient)
    slot = next((k for k, g in enumerate(found) if g.ndim), None)
    if slot is not None:
        found[slot] = _Tail(-1, _MADE, short=False).cut(found[slot], 0.0)
    return tuple(found)


def _recognise(context: Context) -> Finding | None:
    failing = context.failing
    if failing is None or not failing.before > 1.0:
        return None
    for wrong, how in _READINGS:
        for tail in _TAILS:
            seen = wrong is _zeroed or any(s.before > 1.0 and _has(_partly, tail, s) for s in context.samples)
            if not seen or context.explained(partial(wrong, tail)) is None:
                continue
            asked = _with_sizes(context, tail)
            if asked is None or (wrong is _left and not _spoilt(asked, tail)):
                continue
            what = "rows" if tail.axis == 0 else "columns"
            says = (
                f"{what} are computed in blocks of {tail.block}, and where their number is no multiple of that, {how}"
            )
            change = f"let the loop run over range(0, n, {tail.block}) up to min(start + {tail.block}, n), not over "
            change += f"n // {tail.block} blocks"
            if (found := named(asked, _NAME, partial(wrong, tail), says, change)) is not None:
                return found
    return None


def _spoilt(context: Context, tail: _Tail) -> bool:
    """Whether most of what is not zero in the rest is wrong, wherever there is a rest."""
    for sample in context.samples:
        for slot, wrong in enumerate(context.wrong):
            g, mine, allowed = sample.reference[slot], sample.analytic[slot], sample.allowed[slot]
            rest = np.isnan(tail.cut(np.zeros_like(g), np.nan)) & (g != 0)
            with np.errstate(all="ignore"):
                off = ~(np.abs(mine - g) <= allowed)
            if wrong and np.any(rest) and np.mean(off[rest]) < 0.5:
                return False
    return True


def _with_sizes(context: Context, tail: _Tail) -> Context | None:
    """Draw samples with and without a rest, until there are two wrong ones and two right ones; None if there are not.

    A shorter array than a block is all rest, which tells nothing, or none.
    """
    lengths = (tail.block, tail.block + 1, 3 * tail.block, 3 * tail.block + 1)
    drawn = [context.drawn(v, **{"first" if tail.axis == 0 else "classes": n}) for v, n in enumerate(lengths)]
    samples = (*context.samples, *(s for s in drawn if s is not None))
    partly = [s for s in samples if s.before > 1.0 and _has(_partly, tail, s)]
    wholly = [s for s in samples if s.before <= 1.0 and _has(_whole, tail, s)]
    return replace(context, samples=samples) if len(partly) >= 2 and len(wholly) >= 2 else None


def _has(part: Callable[[_Tail, Array], bool], tail: _Tail, sample: Sample) -> bool:
    return any(part(tail, g) for g in sample.gradient)


def _partly(tail: _Tail, array: Array) -> bool:
    return bool(array.ndim) and 0 < tail.start(array.shape[tail.axis]) < array.shape[tail.axis]


def _whole(tail: _Tail, array: Array) -> bool:
    return bool(array.ndim) and array.shape[tail.axis] >= tail.block and not array.shape[tail.axis] % tail.block


MISTAKE = Mistake(_NAME, _inject, _recognise, general=True)
