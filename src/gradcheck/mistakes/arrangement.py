"""The right numbers in the wrong places: transposed, rolled, permuted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Finding
from gradcheck.mistakes.making import Idea, injected, named, one_idea, variants
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.setting import Gradient, Sample, Setting
from gradcheck.tree import Array

__all__ = ["MISTAKES"]

# Each row is compared with each other.
_MOST = 64


def _each(setting: Setting, change: Callable[[Array], Array], axes: int) -> Gradient | None:
    """Rearrange the arrays that have so many axes; None where that changes nothing."""
    moved = tuple(change(g) if g.ndim >= axes else g for g in setting.gradient)
    same = all(np.array_equal(a, b) for a, b in zip(moved, setting.gradient, strict=True))
    return None if same else moved


def _transpose(setting: Setting) -> Gradient | None:
    """Swap the last two axes of what is square; of other shapes, the contract sees it first."""
    return _each(setting, lambda g: np.swapaxes(g, -1, -2) if g.shape[-1] == g.shape[-2] else g, axes=2)


def _reshaped(setting: Setting) -> Gradient | None:
    return _each(setting, lambda g: g.ravel(order="F").reshape(g.shape), axes=2)


def _roll(setting: Setting, by: int, axis: int) -> Gradient | None:
    return _each(setting, lambda g: np.roll(g, by, axis), axes=1 if axis == -1 else 2)


def _flip(setting: Setting, axis: int) -> Gradient | None:
    return _each(setting, lambda g: np.flip(g, axis), axes=1 if axis == -1 else 2)


def _rolled_by(by: int, axis: int) -> Idea:
    line = "entry along the last axis" if axis == -1 else "row"
    way = "after" if by > 0 else "before"
    return Idea(
        partial(_roll, by=by, axis=axis),
        f"each {line} holds what belongs into the one {'before' if by > 0 else 'after'} it: the array is rolled by one",
        f"write each {line} where it belongs, not into the one {way} it",
    )


def _permuted(context: Context, name: str, axis: int) -> Finding | None:
    """Match each row (or column) of the answer with one of the reference, each once."""
    line = "rows" if axis == 0 else "columns"
    return named(
        context,
        name,
        lambda setting: _matched(setting, axis),
        f"the {line} are the right ones in another order",
        f"undo the permutation: after order = np.argsort(...), write result[order] = {line}, or index by "
        "np.argsort(order)",
    )


def _matched(setting: Setting, axis: int) -> Gradient | None:
    if not isinstance(setting, Sample):
        return None
    pairs = zip(setting.analytic, setting.reference, strict=True)
    return tuple(_assigned(mine, its, axis) for mine, its in pairs)


def _assigned(mine: Array, its: Array, axis: int) -> Array:
    """Give the rows of the reference in the order in which they are nearest to the answer's, each used once."""
    if its.ndim < (2 if axis == 0 else 1) or not 1 < its.shape[axis] <= _MOST:
        return its
    answer, right = (np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1) for x in (mine, its))
    left, order = list(range(len(right))), []
    for row in answer:
        with np.errstate(all="ignore"):
            nearest = min(left, key=lambda i: np.nan_to_num(np.abs(right[i] - row).max(), nan=np.inf))
        left.remove(nearest)
        order.append(nearest)
    return np.asarray(its.take(order, axis))


MISTAKES = (
    variants(
        "transposed",
        Idea(
            _transpose,
            "the array is transposed, which raises nothing where it is square",
            "transpose what is returned, or swap the two factors of the product: (A B)^T = B^T A^T",
        ),
    ),
    variants("rolled", *(_rolled_by(by, axis) for axis in (-1, 0) for by in (1, -1))),
    one_idea(
        "flattened in another order",
        _reshaped,
        "the entries are the right ones, read column by column and written row by row",
        "use the same order in ravel and reshape: order='C' in both",
    ),
    Mistake(
        "rows permuted",
        partial(injected, wrong=partial(_flip, axis=0)),
        partial(_permuted, name="rows permuted", axis=0),
        contains=("rolled", "transposed", "flattened in another order"),
    ),
    Mistake(
        "columns permuted",
        partial(injected, wrong=partial(_flip, axis=-1)),
        partial(_permuted, name="columns permuted", axis=-1),
        contains=("rolled", "transposed", "flattened in another order"),
    ),
)
