"""Asking a rule so that what it does to its arguments, to memory and to later calls can be seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradcheck.errors import RuleError
from gradcheck.laws.running import Forward, Pulled, Results, moved, run
from gradcheck.mistakes.context import Context
from gradcheck.rule import Point
from gradcheck.tree import Array, Flat, flatten
from gradcheck.verdict.allowance import precision_of

__all__ = ["apart", "called", "distance", "halved", "name_of", "points_of", "pulled", "ran"]


def ran(context: Context, flat: Flat | None = None, handed: Mapping[int, Array] | None = None) -> Forward | None:
    """Run the rule's forward, at the failing point or another, on copies or what it is to be handed; None if it raises.

    Nothing of NumPy's own complaints is heard: what a rule is asked here lies where it may well overflow.
    """
    try:
        with np.errstate(all="ignore"):
            return run(context.rule, flatten(context.rule, context.point) if flat is None else flat, handed)
    except RuleError:
        return None


def pulled(context: Context, flat: Flat | None = None, cotangent: Any = None, seen: Any = None) -> Pulled | None:
    """Ask the rule anew, on copies; None where its answer keeps no contract."""
    forward = ran(context, flat)
    if forward is None:
        return None
    with np.errstate(all="ignore"):
        found = forward.pull(context.point.cotangent if cotangent is None else cotangent, seen)
    return found if isinstance(found, Pulled) else None


def points_of(context: Context) -> tuple[Point, ...]:
    """Give the failing point and one of ordinary size, since where a gradient is 0 little can be seen of it."""
    return context.point, *(sample.point for sample in context.samples[1:2])


def called(context: Context, point: Point) -> str:
    """Give what evidence calls one of these points."""
    return "the failing point" if point is context.point else "a point of ordinary size"


def halved(flat: Flat) -> Flat:
    """Give the point at half its primals, which most domains hold."""
    return moved(flat, {leaf.index: leaf.array * leaf.array.dtype.type(0.5) for leaf in flat.differentiated})


def distance(context: Context, one: Results, other: Results) -> float:
    """Give how far two answers are apart at most, in allowances of the failing point, or as `apart` elsewhere."""
    failing = context.failing
    allowed = () if failing is None else failing.allowed
    if [None if a is None else a.shape for a in one] != [m.shape for m in allowed]:
        return apart(one, other)
    rows = zip(one, other, allowed, strict=True)
    return max((_ratio(a, b, m) for a, b, m in rows if a is not None and b is not None), default=0.0)


def apart(one: Results, other: Results) -> float:
    """Give how far two answers are apart at most, in roundings of the largest entry of each array."""
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None]
    return max((_ratio(a, b, _rounding(a, b)) for a, b in pairs), default=0.0)


def name_of(context: Context, index: int) -> str:
    """Name a leaf of the arguments as the rule's author does."""
    origin = context.origin
    names = {leaf.index: leaf.path for leaf in flatten(context.rule, context.point).differentiated}
    return {datum.index: datum.name for datum in origin.data}.get(index, names.get(index, "an argument"))


def _rounding(a: Array, b: Array) -> Array:
    finite = [np.abs(x[np.isfinite(x)]).astype(np.float64) for x in (a, b)]
    size = max(float(x.max()) if x.size else 0.0 for x in finite)
    return np.full(a.shape, precision_of(a.dtype).unit * size + np.finfo(float).tiny)


def _ratio(a: Array, b: Array, allowed: Array) -> float:
    with np.errstate(all="ignore"):
        ratio = np.abs(a.astype(np.float64) - b.astype(np.float64)) / np.maximum(allowed, np.finfo(float).tiny)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return float(np.max(np.where(same, 0.0, np.where(np.isnan(ratio), np.inf, ratio)), initial=0.0))
