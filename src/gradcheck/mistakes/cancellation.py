"""Digits are lost where large numbers that share an offset are subtracted late."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import takewhile

import numpy as np

from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Evidence, Finding
from gradcheck.mistakes.making import injected
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.setting import Gradient, Sample, Setting
from gradcheck.rule import Rule
from gradcheck.tree import Array, Leaf
from gradcheck.verdict.outcome import as_float64, rowmax

__all__ = ["MISTAKE"]

_NAME = "cancellation"
# Offsets that are exact, each four times the one before: up to where float64 has no digit left of a square.
_OFFSETS = tuple(2.0 ** (2 * k) for k in range(2, 15))
# What is squared on the way, as in mean(x**2) - mean(x)**2, loses twice the digits.
_POWERS = (1, 2)
# The error is the rounding of the offset, or of its square, times a few: of that size it may be, and not of another.
_FACTOR = 2.0**6
# Two answers that ought to be one to the last digit show lost digits sooner than a reference does.
_LAWS = ("linear", "shift")
# Where fewer digits than two bits are left, the size of an error says nothing of where it comes from.
_GONE = 0.25


def _late(setting: Setting) -> Gradient:
    """Add the square of what all entries of a row share, times the size of the gradient, and take it off again."""
    return tuple(_worn(leaf, g) for leaf, g in zip(setting.leaves, setting.gradient, strict=True))


def _worn(leaf: Leaf, gradient: Array) -> Array:
    x, dtype = np.abs(as_float64(leaf.array)), leaf.array.dtype
    if not x.ndim or not x.size or dtype.itemsize < 4:
        return gradient
    offset = np.where(np.isfinite(x), x, np.inf).min(axis=-1, keepdims=True)
    with np.errstate(all="ignore"):
        added = (offset**2 * rowmax(np.abs(gradient))).astype(dtype)
        back = as_float64((gradient.astype(dtype) + added) - added)
    return np.where((offset >= _OFFSETS[0]) & np.isfinite(back), back, gradient)


def _inject(rule: Rule) -> Rule:
    return injected(rule, _late)


def _recognise(context: Context) -> Finding | None:
    failing = context.failing
    base = next((s for s in context.samples[1:] if s.before <= 1.0), None)
    if failing is None or base is None:
        return None
    by_law = context.breach is not None and context.breach.law in _LAWS
    if not by_law and not failing.before > 1.0:
        return None
    for slot, leaf in enumerate(base.leaves):
        size = float(np.max(np.abs(as_float64(failing.leaves[slot].array)), initial=0.0))
        most = _FACTOR * failing.units[slot] * size ** max(_POWERS)
        if not leaf.array.ndim or size < _OFFSETS[0]:
            continue
        if not by_law and not (context.wrong[slot] and _relative(failing, slot) <= most):
            continue
        found = [(c, s) for c, s in _offset(context, base, leaf) if s.before > 1.0 and _relative(s, slot) < _GONE]
        for power in _POWERS:
            # as far as it goes: of numbers that are hardly different from each other, more cancels than is rounded
            grown = list(takewhile(partial(_as_rounded, slot, power), found))
            if len(grown) >= 3:
                return _finding(leaf.path, slot, grown)
    return None


def _as_rounded(slot: int, power: int, found: tuple[float, Sample]) -> bool:
    offset, sample = found
    return bool(1 / _FACTOR <= _relative(sample, slot) / (sample.units[slot] * offset**power) <= _FACTOR)


def _finding(path: str, slot: int, found: list[tuple[float, Sample]]) -> Finding:
    offset, sample = found[len(found) // 2]
    of, left = (max(0.0, -np.log10(x)) for x in (sample.units[slot], _relative(sample, slot)))
    says = (
        f"digits cancel: about {left:.0f} of {of:.0f} are left where entries of {path} share an offset of {offset:.0e}"
    )
    says += ", and fewer the larger it is"
    change = (
        f"subtract what the entries have in common ({path}.max or .mean along the axis) before anything is squared, "
    )
    change += "exponentiated or summed, not after"
    evidence = tuple(Evidence(f"{path} + {c:.0e}", s.before, 0.0) for c, s in found)
    return Finding(_NAME, says, change, evidence, sample.point)


def _offset(context: Context, base: Sample, leaf: Leaf) -> Iterator[tuple[float, Sample]]:
    # thirds, since of short numbers nothing is rounded off
    thirds = [c / c.dtype.type(3) for c in base.cotangents] if context.rule.takes_cotangent else None
    for offset in _OFFSETS:
        moved = np.asarray(leaf.array + leaf.array.dtype.type(offset))
        sample = context.sample(base.moved({leaf.index: moved}, thirds), base.where)
        if sample is not None:
            yield offset, sample


def _relative(sample: Sample, slot: int) -> float:
    mine, its = sample.analytic[slot], sample.reference[slot]
    size = float(np.max(np.abs(its), initial=0.0))
    with np.errstate(all="ignore"):
        error = float(np.max(np.abs(mine - its), initial=0.0))
    return error / size if size > 0 else np.inf


MISTAKE = Mistake(_NAME, _inject, _recognise)
