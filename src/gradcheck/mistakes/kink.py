"""At a kink, the answer is neither derivative nor anything between the two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Evidence, Finding
from gradcheck.mistakes.jumps import NEARER, jumps, step
from gradcheck.mistakes.making import injected
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.setting import Gradient, Sample, Setting
from gradcheck.rule import Rule
from gradcheck.tree import Array

__all__ = ["MISTAKE"]

_NAME = "subgradient at a kink"


@dataclass(frozen=True, eq=False)
class _Kinks:
    """Where the entries of one array have a kink, and the derivatives below and above."""

    here: Array
    below: Array
    above: Array


def _kinks(setting: Setting) -> tuple[_Kinks, ...] | None:
    """Move all entries at once, by a step and by a nearer one, each way; None where nothing jumps, or cannot."""
    sides = [_beside(setting, steps) for steps in (-1.0, 1.0, -NEARER, NEARER)]
    known = [side for side in sides if side is not None]
    if len(known) < len(sides):
        return None
    rows = zip(*known, strict=True)
    found = tuple(
        _Kinks(jumps(above, below + (near_above - near_below), below), below, above)
        for below, above, near_below, near_above in rows
    )
    return found if any(np.any(kinks.here) for kinks in found) else None


def _beside(setting: Setting, steps: float) -> Gradient | None:
    moved = {x.index: np.asarray(x.array + (steps * step(x.array)).astype(x.array.dtype)) for x in setting.leaves}
    return setting.at(moved)


def _outside(setting: Setting) -> Gradient | None:
    """Go as far beyond the derivative above as that is from the one below."""
    found = _kinks(setting)
    if found is None:
        return None
    rows = zip(setting.gradient, found, strict=True)
    return tuple(np.where(kinks.here, 2 * kinks.above - kinks.below, g) for g, kinks in rows)


def _inject(rule: Rule) -> Rule:
    return injected(rule, _outside)


def _recognise(context: Context) -> Finding | None:
    failing = context.failing
    if failing is None or not failing.before > 1.0 or any(s.before > 1.0 for s in context.samples[1:]):
        return None
    found = _kinks(failing)
    if found is None:
        return None
    rows = zip(found, failing.analytic, failing.reference, strict=True)
    after = failing.remains(tuple(np.where(kinks.here, mine, its) for kinks, mine, its in rows))
    says = next(filter(None, (_said(failing, slot, kinks) for slot, kinks in enumerate(found))), "")
    if not says or not after <= 1.0:
        return None
    change = "choose one side: compare with > or with >=, and let the two branches not overlap"
    beside = (Evidence(s.where, s.before, s.before) for s in context.samples[1:4])
    return Finding(_NAME, says, change, (Evidence(failing.where, failing.before, after), *beside), failing.point)


def _said(sample: Sample, slot: int, kinks: _Kinks) -> str:
    """Describe the first entry whose answer is not between the two derivatives; empty if there is none."""
    mine, allowed = sample.analytic[slot], sample.allowed[slot]
    low, high = np.minimum(kinks.below, kinks.above) - allowed, np.maximum(kinks.below, kinks.above) + allowed
    beyond = np.argwhere(kinks.here & ~((low <= mine) & (mine <= high)))
    if not len(beyond):
        return ""
    index = tuple(int(i) for i in beyond[0])
    entry, at = f"{sample.paths[slot]}{list(index) or ''}", float(sample.leaves[slot].array[index])
    says = (
        f"{entry} = {at:.6g} is a kink, with derivatives {kinks.below[index]:.6g} below and {kinks.above[index]:.6g} "
    )
    return f"{says}above: the answer {mine[index]:.6g} is neither, nor between them"


MISTAKE = Mistake(_NAME, _inject, _recognise)
