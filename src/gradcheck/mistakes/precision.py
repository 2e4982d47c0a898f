"""The gradient is computed in a lower precision than it is returned in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Evidence, Finding
from gradcheck.mistakes.making import injected
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.setting import Gradient, Sample, Setting
from gradcheck.rule import Rule
from gradcheck.tree import Array
from gradcheck.verdict.outcome import as_float64, rowmax

__all__ = ["MISTAKE"]

_NAME = "lower precision inside"


@dataclass(frozen=True)
class _Format:
    """A format by its significant bits."""

    name: str
    bits: int

    @property
    def unit(self) -> float:
        """The unit round-off."""
        return float(2.0**-self.bits)


_FORMATS = (_Format("float32", 24), _Format("float16", 11), _Format("bfloat16", 8))
# A sum of a hundred products or a few operations in turn: what is lost beyond that has another reason.
_ROUNDINGS = 64
# Inputs are moved by so many times their own unit: invisible in the lower precision but for one in a thousand.
_MOVED = 2.0**6
# Of the entries that are not zero, what may still move: those that come to lie beside a rounding boundary.
_STILL = 0.9


def _lower(setting: Setting) -> _Format | None:
    """Choose the next lower format that people compute in."""
    widest = min(np.dtype(leaf.array.dtype).itemsize for leaf in setting.leaves)
    return {8: _FORMATS[0], 4: _FORMATS[1]}.get(widest)


def _rounded(array: Array, bits: int) -> Array:
    """Round to significant bits, in whatever range."""
    mantissa, exponent = np.frexp(as_float64(array))
    return np.asarray(np.ldexp(np.round(np.ldexp(mantissa, bits)), exponent - bits))


def _inside(setting: Setting) -> Gradient | None:
    """Round what comes in, and what goes out."""
    lower = _lower(setting)
    if lower is None:
        return None
    moved = {leaf.index: _rounded(leaf.array, lower.bits).astype(leaf.array.dtype) for leaf in setting.leaves}
    found = setting.at(moved)
    return None if found is None else tuple(_rounded(g, lower.bits) for g in found)


def _inject(rule: Rule) -> Rule:
    return injected(rule, _inside)


def _recognise(context: Context) -> Finding | None:
    # where the failing point's numbers are far off, their rounding hides what is asked; by a law, it may be right there
    ordinary = context.samples[1:]
    wrong = [s for s in ordinary if s.before > 1.0]
    if len(wrong) < 2 or 2 * len(wrong) < len(ordinary):
        return None
    worst = max(_relative(s) for s in ordinary)
    unit = max(max(s.units) for s in context.samples)
    lower = next((f for f in _FORMATS if worst <= _ROUNDINGS * f.unit and f.unit > unit), None)
    if lower is None or not all(_quantised(context, s, lower) for s in wrong[:3]):
        return None
    says = (
        f"the gradient is computed in {lower.name} inside: its errors are of relative size {worst:.0e}, where its own "
    )
    says += f"precision is {unit:.0e}, at ordinary inputs too"
    change = "compute in the dtype of the argument: look for astype, dtype=, constants and buffers of "
    change += f"{lower.name}, and for arrays of jax without jax_enable_x64"
    evidence = tuple(Evidence(s.where, s.before, _relative(s) / (_ROUNDINGS * lower.unit)) for s in ordinary)
    return Finding(_NAME, context.among(says), change, evidence, wrong[0].point)


def _relative(sample: Sample) -> float:
    """Give the largest error, relative to the largest entry of its row."""
    found = 0.0
    for mine, its in zip(sample.analytic, sample.reference, strict=True):
        with np.errstate(all="ignore"):
            size = np.where(rowmax(np.abs(its)) > 0, rowmax(np.abs(its)), np.max(np.abs(its), initial=0.0))
            ratio = np.where(mine == its, 0.0, np.abs(mine - its) / size)
        found = max(found, float(np.max(np.where(np.isnan(ratio), np.inf, ratio), initial=0.0)))
    return found


def _quantised(context: Context, sample: Sample, lower: _Format) -> bool:
    """Whether the answer knows no more digits than the format has: it has no more, or more of its input go unseen."""
    for slot, wrong in enumerate(context.wrong):
        mine, its = sample.analytic[slot], sample.reference[slot]
        if not wrong or np.array_equal(mine, its):
            continue
        short = np.array_equal(mine, _rounded(mine, lower.bits)) and not np.array_equal(its, _rounded(its, lower.bits))
        if not short and not _still(context, sample, slot):
            return False
    return True


def _still(context: Context, sample: Sample, slot: int) -> bool:
    moved = {leaf.index: _nearby(leaf.array, sample.units[slot]) for leaf in sample.leaves}
    answer, right = context.evaluate(sample.moved(moved)), sample.at(moved)
    path = sample.paths[slot]
    if answer is None or right is None:
        return False
    arrays = dict(zip((leaf.path for leaf in context.origin.flat.differentiated), answer, strict=False))
    there = arrays.get(path)
    if there is None or there.shape != sample.analytic[slot].shape:
        return False
    same = (as_float64(there) == sample.analytic[slot])[sample.analytic[slot] != 0]
    due = (right[slot] == sample.reference[slot])[sample.analytic[slot] != 0]
    return bool(same.size) and float(np.mean(same)) >= _STILL > float(np.mean(due))


def _nearby(array: Array, unit: float) -> Array:
    x = as_float64(array)
    size = np.max(np.abs(x), initial=0.0, where=np.isfinite(x)) or 1.0
    return np.asarray(np.where(x == 0, _MOVED * unit * size, x * (1 + _MOVED * unit))).astype(array.dtype)


MISTAKE = Mistake(_NAME, _inject, _recognise)
