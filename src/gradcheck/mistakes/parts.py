r"""The gradient of softmax + NLL taken apart, whatever its reduction, weights, temperature and smoothing.

By the logits of a row it is ``c a - p``: the softmax ``a`` pulls every logit down by a part of ``c``, and the label
pushes some of them up by ``p``, where neither ``c`` nor ``p`` depends on the logits. So two questions at logits of
one's own choice, and one for a check at the logits as they are, tell both::

    g(0) = c / K - p        g(t) - g(0) = c (softmax(t) - 1 / K)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.domain import rounding_unit
from gradcheck.tree import Array

if TYPE_CHECKING:
    from gradcheck.mistakes.setting import Setting

__all__ = ["Parts", "parts_of", "softmax"]

# Whether a gradient has this form at all is told from whether the form fits it to half the digits of float32, or to a
# few roundings of a narrower type.
_FITS = 2.0**-12
_ROUNDINGS = 16


@dataclass(frozen=True, eq=False)
class Parts:
    """``gradient = pull - push`` with ``pull = weight * softmax``.

    Parameters
    ----------
    softmax : array of shape (..., K)
        ``a``.
    weight : array of shape (..., 1)
        ``c``.
    push : array of shape (..., K)
        ``p``.
    temperature : float
        What the logits are divided by.
    """

    softmax: Array
    weight: Array
    push: Array
    temperature: float

    @property
    def pull(self) -> Array:
        """``c a``."""
        return np.asarray(self.weight * self.softmax)


def softmax(z: Array, axis: int | tuple[int, ...] | None = -1) -> Array:
    """Compute the softmax over an axis, or over all of them."""
    with np.errstate(all="ignore"):
        e = np.exp(z - np.max(z, axis=axis, keepdims=True))
        return np.asarray(e / e.sum(axis=axis, keepdims=True))


def parts_of(setting: Setting) -> Parts | None:
    """Take the gradient by logits apart; None where there are no logits, or it has another form."""
    roles = setting.roles
    if roles.logits is None:
        return None
    leaf = setting.leaves[roles.logits]
    z = leaf.array.astype(np.float64)
    if z.shape[-1] < 2:
        return _of_one_class(setting, z)
    tilt = np.arange(z.shape[-1]) / z.shape[-1]
    points = (np.zeros_like(z), np.broadcast_to(tilt, z.shape))
    answers = [setting.at({leaf.index: x.astype(leaf.array.dtype)}) for x in points]
    if answers[0] is None or answers[1] is None:
        return None
    level, tilted = (a[roles.logits] for a in answers if a is not None)
    for temperature in _temperatures(setting):
        found = _fitted(level, tilted, softmax(points[1] / temperature), softmax(z / temperature), temperature)
        if _close(found.pull - found.push, setting.gradient[roles.logits], _fits(leaf.array.dtype), found):
            return found
    return None


def _fitted(level: Array, tilted: Array, there: Array, here: Array, temperature: float) -> Parts:
    apart = there - 1.0 / there.shape[-1]
    weight = np.sum((tilted - level) * apart, axis=-1, keepdims=True) / np.sum(apart**2, axis=-1, keepdims=True)
    return Parts(here, weight, weight / there.shape[-1] - level, temperature)


def _fits(dtype: np.dtype[Any]) -> float:
    return max(_FITS, _ROUNDINGS * rounding_unit(dtype))


def _close(form: Array, gradient: Array, fits: float, parts: Parts) -> bool:
    size = np.abs(parts.weight) + np.max(np.abs(parts.push), axis=-1, keepdims=True)
    return bool(np.all(np.abs(form - gradient) <= fits * size))


def _temperatures(setting: Setting) -> Iterator[float]:
    yield 1.0
    from gradcheck.mistakes.options import options_of

    for option in options_of(setting):
        if np.ndim(option.value) == 0 and float(option.value) > 0:
            yield float(option.value)


def _of_one_class(setting: Setting, z: Array) -> Parts | None:
    """Ask with a second class beside the only one, whose gradient is 0 and shows nothing."""
    roles = setting.roles
    if roles.logits is None:
        return None
    leaf = setting.leaves[roles.logits]
    changes = {leaf.index: np.concatenate([leaf.array, leaf.array], axis=-1)}
    if roles.soft is not None:
        weights = np.asarray(setting.flat.leaves[roles.soft])
        changes[roles.soft] = np.concatenate([weights, np.zeros_like(weights)], axis=-1)
    answer = setting.at(changes)
    if answer is None:
        return None
    weight = 2 * answer[roles.logits][..., 1:]  # equal logits: half of the pull is the second one's, which has no push
    found = Parts(np.ones_like(z), weight, weight.copy(), 1.0)
    gradient = setting.gradient[roles.logits]
    return found if _close(found.pull - found.push, gradient, _fits(leaf.array.dtype), found) else None
