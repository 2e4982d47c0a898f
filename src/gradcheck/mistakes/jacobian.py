"""A Jacobian of which only a part is used, or that is used the other way round."""

from __future__ import annotations

from functools import partial

import numpy as np

from gradcheck.mistakes.axes import log_normalised, normalised, summed_over
from gradcheck.mistakes.making import Idea, one_idea, variants
from gradcheck.mistakes.onehot import replaced
from gradcheck.mistakes.parts import softmax
from gradcheck.mistakes.setting import Gradient, Setting
from gradcheck.tree import Array

__all__ = ["MISTAKES"]

# A row of a Jacobian takes a pullback, a third of a millisecond.
_MOST = 64
# Of the largest entry: two halves of a symmetric Jacobian, as of a softmax, are no nearer to each other in float32.
_SYMMETRIC = 2.0**-16


def _jacobian(setting: Setting) -> Array | None:
    """Give the Jacobian of a value by a primal of as many entries, a row for each entry of the value."""
    if len(setting.leaves) != 1 or len(setting.cotangents) != 1 or not setting.rule.takes_cotangent:
        return None
    (cotangent,), (leaf,) = setting.cotangents, setting.leaves
    if cotangent.shape != leaf.array.shape or not 1 < cotangent.size <= _MOST:
        return None
    rows = []
    for k in range(cotangent.size):
        one = np.zeros_like(cotangent)
        one.flat[k] = 1
        answer = setting.at({}, [one])
        if answer is None:
            return None
        rows.append(answer[0].ravel())
    return np.array(rows)


def _diagonal(setting: Setting) -> Gradient | None:
    jacobian = _jacobian(setting)
    if jacobian is None:
        return None
    (g,), (cotangent,) = setting.gradient, setting.cotangents
    return ((np.diag(jacobian) * cotangent.ravel().astype(np.float64)).reshape(g.shape),)


def _forwards(setting: Setting) -> Gradient | None:
    jacobian = _jacobian(setting)
    if jacobian is None or np.all(np.abs(jacobian - jacobian.T) <= _SYMMETRIC * np.max(np.abs(jacobian))):
        return None
    (g,), (cotangent,) = setting.gradient, setting.cotangents
    return ((jacobian @ cotangent.ravel().astype(np.float64)).reshape(g.shape),)


def _without_sum(setting: Setting) -> Gradient | None:
    """Leave out the sum over the row, which couples the entries of a softmax or of its logarithm."""
    cotangents = setting.cotangents
    if (x := normalised(setting)) is not None:
        return (softmax(x) * cotangents[0],)
    return (cotangents[0].astype(np.float64),) if log_normalised(setting) is not None else None


def _sign_of_sum(setting: Setting) -> Gradient | None:
    """Add the sum over the row that is to be subtracted."""
    without = _without_sum(setting)
    if without is not None:
        return (2 * without[0] - setting.gradient[0],)
    parts = setting.parts
    return None if parts is None else replaced(setting, -parts.pull - parts.push)


def _sum_of_the_other(setting: Setting) -> Gradient | None:
    """Take the sum that belongs to a softmax for its logarithm, and the other way round."""
    c = setting.cotangents[0].astype(np.float64)
    if (x := normalised(setting)) is not None:
        a = softmax(x)
        return (a * (c - c.sum(axis=-1, keepdims=True)),)
    if (x := log_normalised(setting)) is not None:
        a = softmax(x)
        return (c - a * np.sum(a * c, axis=-1, keepdims=True),)
    return None


def _sum_of_one(setting: Setting) -> Gradient | None:
    """Take the cotangent of each row to sum to one."""
    x = log_normalised(setting)
    return None if x is None else (setting.cotangents[0].astype(np.float64) - softmax(x),)


_SUBTRACT = "subtract it: a * (c - sum(a * c)) for a softmax, c - a * sum(c) for its logarithm, sums over axis=-1"

MISTAKES = (
    one_idea(
        "diagonal of the Jacobian only",
        _diagonal,
        "only the diagonal of the Jacobian is used: each entry is multiplied by its own derivative, "
        "and what it does to the other entries is left out",
        "contract the cotangent with the whole Jacobian: of softmax, a * (c - sum(a * c, axis=-1, keepdims=True))",
    ),
    variants(
        "missing cross term",
        Idea(
            _without_sum,
            "the sum over the row is missing, by which softmax couples its entries",
            _SUBTRACT,
        ),
    ),
    variants(
        "wrong cross term",
        Idea(
            _sign_of_sum,
            "the sum over the row, by which softmax couples its entries, has the wrong sign",
            _SUBTRACT,
        ),
        Idea(
            _sum_of_the_other,
            "the sum over the row is the wrong one: sum(a * c) belongs to a softmax, sum(c) to its logarithm",
            _SUBTRACT,
        ),
        Idea(
            _sum_of_one,
            "this is c - a, as if the cotangent c of each row summed to one, which it does for a one-hot row only",
            "multiply the softmax by the sum of the cotangent: c - a * sum(c, axis=-1, keepdims=True)",
        ),
        Idea(
            partial(summed_over, axis=0),
            "the sum over classes is taken over the rows (axis 0), where the forward normalises each row",
            _SUBTRACT,
        ),
        Idea(
            partial(summed_over, axis=None),
            "the sum over classes is taken over the whole array, where the forward normalises each row",
            _SUBTRACT,
        ),
    ),
    one_idea(
        "Jacobian not transposed",
        _forwards,
        "this is J c, where the pullback is J^T c: the Jacobian is used the wrong way round",
        "contract the cotangent with the axis of the value, not with that of the argument",
    ),
)
