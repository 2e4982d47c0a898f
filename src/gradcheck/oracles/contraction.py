"""The user's own forward as one number of one vector: what finite differences and complex steps differentiate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from gradcheck.tree import Array, Flat, in_float64, leaves_of, with_leaves

__all__ = ["Contraction"]

_UNIT = 2.0**-53  # round-off of float64, in which it runs


class Contraction:
    """``x -> <cotangent, forward(x)>`` with all differentiated arrays laid end to end in ``x``.

    It runs in float64 (complex128 where ``x`` is complex), whatever the precision of the rule: differences of
    float32 values are useless below a relative error of about 1e-3.

    Parameters
    ----------
    forward : callable
        The plain function of the rule.
    flat : Flat
        The point.
    cotangents : sequence of array
        One per value leaf, in float64.
    """

    def __init__(self, forward: Callable[..., Any], flat: Flat, cotangents: Sequence[Array]) -> None:
        self.forward = forward
        self.cotangents = cotangents
        self.leaves = flat.differentiated
        self.flat = Flat(flat.tree, tuple(in_float64(flat.leaves)), flat.differentiated)
        parts = [np.asarray(self.flat.leaves[leaf.index]).ravel() for leaf in self.leaves]
        self.origin: Array = np.concatenate(parts) if parts else np.zeros(0)

    def split(self, vector: Array) -> list[Array]:
        """Cut a vector into arrays shaped like the differentiated leaves."""
        ends = np.cumsum([leaf.array.size for leaf in self.leaves])[:-1]
        pieces = np.split(vector, ends)
        return [piece.reshape(leaf.array.shape) for piece, leaf in zip(pieces, self.leaves, strict=True)]

    def values(self, vector: Array) -> list[Array]:
        """Leaves of ``forward`` at ``vector``, freshly copied arguments each time."""
        import jax

        parts = self.split(vector)
        replaced = {leaf.index: part.copy() for leaf, part in zip(self.leaves, parts, strict=True)}
        data = {i: x.copy() for i, x in enumerate(self.flat.leaves) if isinstance(x, np.ndarray) and i not in replaced}
        args, kwargs = with_leaves(self.flat, data | replaced)
        with jax.enable_x64(True):  # a forward written in jax.numpy would truncate to float32 without a word
            return [np.asarray(v) for v in leaves_of(self.forward(*args, **kwargs))]

    def __call__(self, vector: Array) -> Any:
        """Contract with the cotangent (not conjugated, so that it stays analytic in ``vector``)."""
        with np.errstate(all="ignore"):
            return sum(np.sum(c * v) for c, v in zip(self.cotangents, self.values(vector), strict=True))

    @cached_property
    def noise(self) -> float:
        """Rounding that any evaluation may hold: of the value's summands, and of numbers as large as the inputs.

        A forward that subtracts its largest logit rounds at that logit's size, and one that subtracts logits from those
        of a teacher at theirs. What it absorbs so (log(1 + exp(-50)) is exactly 0) leaves no trace in its values, so it
        cannot be measured there.
        """
        with np.errstate(all="ignore"):
            values = self.values(self.origin)
            summed = sum(float(np.sum(np.abs(c * v))) for c, v in zip(self.cotangents, values, strict=True))
        floats = [np.asarray(x) for x in self.flat.leaves if isinstance(x, np.ndarray) and x.dtype.kind == "f"]
        largest = max([1.0, *(float(np.max(np.abs(x), initial=0.0, where=np.isfinite(x))) for x in floats)])
        return self.unit * max(summed, largest * sum(float(np.sum(np.abs(c))) for c in self.cotangents))

    @cached_property
    def unit(self) -> float:
        """Unit round-off of the forward's values: that of float64, unless it narrows them itself."""
        dtypes = [v.dtype for v in self.values(self.origin)]
        return max([_UNIT, *(float(np.finfo(d).eps) / 2 for d in dtypes if d.kind == "f")])
