"""The cotangent not used as it is: ignored, read at its first element, or broadcast along the wrong axis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradcheck.domain import rounding_unit
from gradcheck.mistakes.making import Idea, one_idea, variants
from gradcheck.mistakes.setting import Gradient, Setting
from gradcheck.tree import Array

__all__ = ["MISTAKES"]

# A sum over a row that should cancel is off by a rounding or two of each summand, and these are tens.
_ROUNDINGS = 64
_MULTIPLY = "multiply by the cotangent, entry by entry of the value, before anything is summed"


def _replaced(setting: Setting, change: Callable[[Array], Array]) -> Gradient | None:
    """Pull back another cotangent; None where that is no answer, as of a softmax to a constant cotangent."""
    if not setting.rule.takes_cotangent:
        return None
    found = setting.at({}, [change(c).astype(c.dtype) for c in setting.cotangents])
    if found is None:
        return None
    units = (rounding_unit(leaf.array.dtype) for leaf in setting.leaves)
    sizes = (np.max(np.abs(c), initial=0.0) for c in setting.cotangents)
    noise = _ROUNDINGS * max(units) * max(float(s) for s in sizes)
    return found if any(np.any(np.abs(g) > noise) for g in found) else None


def _ignored(setting: Setting) -> Gradient | None:
    return _replaced(setting, np.ones_like)


def _first(setting: Setting) -> Gradient | None:
    return _replaced(setting, lambda c: np.full_like(c, c.flat[0]) if c.size else c)


def _mean(setting: Setting) -> Gradient | None:
    return _replaced(setting, lambda c: np.full_like(c, c.mean()) if c.size else c)


def _crosswise(setting: Setting) -> Gradient | None:
    """Scale columns by what belongs to rows, where there are as many of them, so that nothing is raised."""
    if len(setting.cotangents) != 1:
        return None
    (cotangent,) = setting.cotangents
    plain = _ignored(setting)
    if plain is None or cotangent.ndim != 1 or len(cotangent) < 2:
        return None
    n = len(cotangent)
    if not any(g.shape == (n, n) for g in plain):
        return None
    pairs = zip(plain, setting.gradient, strict=True)
    return tuple(p * cotangent[None, :].astype(np.float64) if p.shape == (n, n) else g for p, g in pairs)


def _transposed(setting: Setting) -> Gradient | None:
    if not any(c.ndim == 2 and c.shape[0] == c.shape[1] > 1 for c in setting.cotangents):
        return None
    return _replaced(setting, lambda c: c.T.copy() if c.ndim == 2 and c.shape[0] == c.shape[1] else c)


MISTAKES = (
    one_idea(
        "cotangent ignored",
        _ignored,
        "the cotangent is ignored: this is the answer to a cotangent of ones",
        _MULTIPLY,
    ),
    variants(
        "only the cotangent's first element",
        Idea(
            _first,
            "only the first element of the cotangent is read: this is the answer to a cotangent that is constant",
            _MULTIPLY,
        ),
        Idea(
            _mean,
            "only the mean of the cotangent is used: this is the answer to a cotangent that is constant",
            _MULTIPLY,
        ),
    ),
    variants(
        "cotangent along the wrong axis",
        Idea(
            _crosswise,
            "the cotangent of each row scales a column: it is broadcast along the wrong axis, which raises nothing "
            "where there are as many rows as columns",
            "give it a last axis of length 1: g * cotangent[:, None]",
        ),
        Idea(
            _transposed,
            "the cotangent is transposed, which raises nothing where it is square",
            "use the cotangent as it is, shaped like the value",
        ),
    ),
)
