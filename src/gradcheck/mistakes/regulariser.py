"""The gradient of a penalty is missing, or there is one that the loss knows nothing of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Finding
from gradcheck.mistakes.making import injected, named
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.setting import Gradient, Sample, Setting
from gradcheck.rule import Rule
from gradcheck.tree import Array
from gradcheck.verdict.outcome import as_float64

__all__ = ["MISTAKE"]

_NAME = "regulariser missing"
_STRENGTH = 0.125  # of the penalty that is forgotten: exact, and beside a gradient of ordinary size not lost
_SLOPES: Mapping[str, Callable[[Array], Array]] = {"": lambda w: w, "the sign of ": np.sign}
_POWERS = {"": "0.5 * {0:.6g} * sum({1}**2)", "the sign of ": "{0:.6g} * sum(|{1}|)"}


def _less(slope: Callable[[Array], Array], strengths: Mapping[str, float], setting: Setting) -> Gradient | None:
    """Take the gradient of a penalty away from that of a scalar function, the right strength for each array."""
    cotangents = setting.cotangents
    if len(cotangents) != 1 or cotangents[0].ndim:
        return None
    ct = float(cotangents[0])
    rows = zip(setting.leaves, setting.gradient, strict=True)
    return tuple(g - ct * strengths.get(leaf.path, 0.0) * slope(as_float64(leaf.array)) for leaf, g in rows)


def _of_all(setting: Setting) -> Gradient | None:
    return _less(_SLOPES[""], dict.fromkeys(setting.paths, _STRENGTH), setting)


def _inject(rule: Rule) -> Rule:
    return injected(rule, _of_all)


def _recognise(context: Context) -> Finding | None:
    for kind, slope in _SLOPES.items():
        strengths = _fitted(context, slope)
        if not strengths:
            continue
        missing = all(c > 0 for c in strengths.values())
        terms, penalty = _terms(kind, strengths), _penalty(kind, strengths)
        if missing:
            says = f"the gradient lacks {terms}: the penalty {penalty} is in the forward only"
            change = f"add {terms} to the gradient"
        else:
            says = f"the gradient has {terms} in it, of a penalty {penalty} that is not in the forward"
            change = "take it out of the gradient, or put the penalty into the forward"
        if (found := named(context, _NAME, partial(_less, slope, strengths), says, change)) is not None:
            return found
    return None


def _terms(kind: str, strengths: Mapping[str, float]) -> str:
    alike: dict[str, list[str]] = {}
    for path, strength in strengths.items():
        alike.setdefault(f"{abs(strength):.6g}", []).append(f"{kind}{path}")
    each = {True: "each of ", False: ""}
    return " and ".join(f"{size} times {each[len(paths) > 1]}{', '.join(paths)}" for size, paths in alike.items())


def _penalty(kind: str, strengths: Mapping[str, float]) -> str:
    """Write the penalty down for one array of each strength, the rest being the same."""
    powers = [_POWERS[kind].format(abs(strength), path) for path, strength in strengths.items()]
    return powers[0] if len(powers) == 1 else f"{powers[0]}, and so on,"


def _fitted(context: Context, slope: Callable[[Array], Array]) -> dict[str, float]:
    """Fit the strength of a penalty on each wrong array, where it is largest; empty unless all have one sign."""
    found: dict[str, float] = {}
    for slot, wrong in enumerate(context.wrong):
        fits = [_fit(sample, slot, slope) for sample in context.samples]
        size, strength = max(fits, default=(0.0, 0.0))
        if wrong and not (size > 0 and np.isfinite(strength) and strength):
            return {}
        if wrong:
            found[context.samples[0].paths[slot]] = strength
    return found if len({np.sign(c) for c in found.values()}) == 1 else {}


def _fit(sample: Sample, slot: int, slope: Callable[[Array], Array]) -> tuple[float, float]:
    cotangents = sample.cotangents
    if len(cotangents) != 1 or cotangents[0].ndim:
        return 0.0, 0.0
    with np.errstate(all="ignore"):
        along = float(cotangents[0]) * slope(as_float64(sample.leaves[slot].array))
        size = float(np.vdot(along, along))
        residual = sample.reference[slot] - sample.analytic[slot]
        return (size, float(np.vdot(along, residual)) / size) if 0 < size < np.inf else (0.0, 0.0)


MISTAKE = Mistake(_NAME, _inject, _recognise)
