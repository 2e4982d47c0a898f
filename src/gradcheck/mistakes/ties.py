"""Where entries are tied, each is treated as if it were the largest alone, or as if none were."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Finding
from gradcheck.mistakes.jumps import NEARER, jumps, step
from gradcheck.mistakes.making import injected, named
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.setting import Gradient, Sample, Setting
from gradcheck.rule import Rule
from gradcheck.tree import Array

__all__ = ["MISTAKE"]

_NAME = "gradient at ties"
# Each tied entry is asked about by itself.
_MOST = 24


def _alone(sign: int, setting: Setting) -> Gradient | None:
    """Give each tied entry what it gets once it is moved up, or down, by itself, where that is another thing.

    Where it is another thing too if all are moved, the entry is at a kink of its own, as 0 is in a ReLU.
    """
    found = [g.copy() for g in setting.gradient]
    changed = False
    for slot, leaf in enumerate(setting.leaves):
        tied = _tied(leaf.array)
        kinks = _kinks(setting, slot, sign) if tied else None
        for index in tied:
            far, near = (_moved(setting, slot, index, sign * scale) for scale in (1.0, NEARER))
            if kinks is None or far is None or near is None:
                return None
            if not kinks[index] and jumps(np.asarray(far), np.asarray(near), setting.gradient[slot][index]):
                found[slot][index] = far
                changed = True
    return tuple(found) if changed else None


def _kinks(setting: Setting, slot: int, sign: int) -> Array | None:
    leaf = setting.leaves[slot]
    far, near = (
        setting.at({leaf.index: leaf.array + leaf.array.dtype.type(sign * scale * np.max(step(leaf.array)))})
        for scale in (1.0, NEARER)
    )
    return None if far is None or near is None else jumps(far[slot], near[slot], setting.gradient[slot])


def _moved(setting: Setting, slot: int, index: tuple[int, ...], steps: float) -> float | None:
    leaf = setting.leaves[slot]
    x = leaf.array.copy()
    x[index] = x[index] + x.dtype.type(steps * step(x)[index])
    there = setting.at({leaf.index: x})
    return None if there is None else float(there[slot][index])


def _tied(array: Array) -> list[tuple[int, ...]]:
    """List the entries that equal another one in their row or column, of a matrix, or elsewhere in the array."""
    if array.size < 2:
        return []
    values, counts = np.unique(array[np.isfinite(array)], return_counts=True)
    indices = np.argwhere(np.isin(array, values[counts > 1]))
    return [tuple(int(i) for i in index) for index in indices[:_MOST]]


def _inject(rule: Rule) -> Rule:
    return injected(rule, partial(_alone, 1))


def _recognise(context: Context) -> Finding | None:
    failing = context.failing
    if failing is None or not failing.before > 1.0 or not any(_tied(leaf.array) for leaf in failing.leaves):
        return None
    asked = replace(context, samples=(*context.samples, *_more(context)))
    for sign in (1, -1):
        predicted = _alone(sign, failing)
        if predicted is None:
            continue
        sizes = [sum(float(np.sum(np.abs(g))) for g in gradient) for gradient in (predicted, failing.reference)]
        if sizes[0] > sizes[1]:
            says = "of entries that are tied, each gets the whole gradient, as if it were the largest alone"
            change = "divide by how many are tied, or give it to one of them (argmax)"
        else:
            says = "of entries that are tied, none gets any gradient"
            change = "compare with >= or ==, not with >, and divide by how many are tied"
        if (found := named(asked, _NAME, partial(_alone, sign), says, change)) is not None:
            return found
    return None


def _more(context: Context) -> list[Sample]:
    """Draw samples of which each row ends in its largest number twice."""
    found = []
    for sample in context.samples[1:3]:
        changes = {leaf.index: _with_ties(leaf.array) for leaf in sample.leaves if leaf.array.ndim}
        found.append(context.sample(sample.moved(changes), f"{sample.where}, with ties"))
    return [sample for sample in found if sample is not None]


def _with_ties(array: Array) -> Array:
    tied = array.copy()
    if array.size and array.shape[-1] > 1:
        tied[..., -2:] = array.max(axis=-1, keepdims=True)
    return tied


MISTAKE = Mistake(_NAME, _inject, _recognise)
