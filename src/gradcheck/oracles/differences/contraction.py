"""The user's own forward as one number of one vector: what finite differences and complex steps differentiate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from gradcheck.domain import rounding_unit
from gradcheck.oracles.differences.line import Line, largest
from gradcheck.oracles.differences.step_search import GRAINS
from gradcheck.rule import is_float
from gradcheck.tree import Array, Flat, Leaf, in_float64, leaves_of

__all__ = ["Contraction"]

_UNIT = 2.0**-53  # round-off of float64, in which it runs
# A component of 1/8, slowed down by up to twice what there is room for, takes so many times as long to the end.
_SLOWEST = 16


class Contraction:
    """``x -> <cotangent, forward(x)>`` with all differentiated arrays laid end to end in ``x``.

    It runs in float64 (complex128 where ``x`` is complex), whatever the precision of the rule: differences of
    float32 values are useless below a relative error of about 1e-3. Outside the domain of the rule it is NaN, and the
    forward is not asked.

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
        self._pieces = tuple(np.asarray(self.flat.leaves[leaf.index]).ravel() for leaf in self.leaves)
        ends = [0, *accumulate(map(len, self._pieces))]
        self.size: int = ends[-1]
        # where each leaf lies in a vector, and its shape
        self._places = [
            (slice(*pair), leaf.array.shape) for pair, leaf in zip(pairwise(ends), self.leaves, strict=True)
        ]
        self._own = [leaf.index for leaf in self.leaves]
        arrays = {i for i, x in enumerate(self.flat.leaves) if isinstance(x, np.ndarray)}
        self._data = sorted(arrays - set(self._own))

    @property
    def origin(self) -> Array:
        """All entries of the point, end to end: a new array each time."""
        return np.concatenate([np.zeros(0), *self._pieces])

    def line(self, direction: Array) -> Line:
        """Lay a line through the point."""
        return Line(self._pieces, direction, self.room)

    def split(self, vector: Array) -> list[Array]:
        """Cut a vector into arrays shaped like the differentiated leaves."""
        return [vector[where].reshape(shape) for where, shape in self._places]

    @property
    def _points(self) -> list[Array]:
        return [np.asarray(self.flat.leaves[leaf.index]) for leaf in self.leaves]

    def values(self, vector: Array) -> list[Array]:
        """Leaves of ``forward`` at ``vector``, which is the forward's to overwrite, as are copies of the data."""
        import jax

        leaves = list(self.flat.leaves)
        for index, part in zip(self._own, self.split(vector), strict=True):
            leaves[index] = part
        for index in self._data:
            leaves[index] = leaves[index].copy()
        args, kwargs = jax.tree_util.tree_unflatten(self.flat.tree, leaves)
        with jax.enable_x64(True):  # a forward written in jax.numpy would truncate to float32 without a word
            return [np.asarray(v) for v in leaves_of(self.forward(*args, **kwargs))]

    def __call__(self, vector: Array) -> Any:
        """Contract with the cotangent (not conjugated, so that it stays analytic in ``vector``).

        The forward may overwrite ``vector``.
        """
        if not self._inside(vector):
            return math.nan
        with np.errstate(all="ignore"):
            return sum([_inner(c, v) for c, v in zip(self.cotangents, self.values(vector), strict=True)])

    @cached_property
    def room(self) -> Array | None:
        """How far each entry may move to either side in its domain; None where none is stated."""
        if not self._stated:
            return None
        return self._joined(lambda leaf, x: np.full(x.shape, math.inf) if leaf.domain is None else leaf.domain.room(x))

    def direction(self, vector: Array) -> Array:
        """Turn a direction, and slow entries down near the end of their domain, so that all of them can move.

        Those so near that there are too few floats to step on stay where they are, unless all are.
        """
        if self.room is None:
            return vector
        # by powers of two, so that components stay short; none where a mask leaves nothing to measure
        slow = np.exp2(np.floor(np.log2(np.where(self.room < 1, self.room, 1.0))))
        stuck = self.room < _SLOWEST * GRAINS * np.spacing(np.abs(self.origin))
        return self.projected(vector * np.where(stuck & ~stuck.all(), 0.0, slow))

    def projected(self, vector: Array) -> Array:
        """Turn a direction so that it stays in the domain."""
        parts = iter(self.split(vector))
        return self._joined(
            lambda leaf, x: next(parts) if leaf.domain is None else leaf.domain.projected(x, next(parts))
        )

    def intrinsic(self, gradient: Sequence[Array]) -> tuple[Array, ...]:
        """Give what a gradient says along the directions that stay in the domain: what differences see of it."""
        triples = zip(self.leaves, self._points, gradient, strict=True)
        return tuple(g if leaf.domain is None else leaf.domain.intrinsic(x, g) for leaf, x, g in triples)

    def _joined(self, make: Callable[[Leaf, Array], Array]) -> Array:
        pairs = zip(self.leaves, self._points, strict=True)
        return np.concatenate([np.ravel(make(leaf, x)) for leaf, x in pairs])

    def _inside(self, vector: Array) -> bool:
        if not self._stated:
            return True
        pairs = zip(self.leaves, self.split(vector.real), strict=True)
        return all(leaf.domain is None or leaf.domain.defined(x, leaf.array.dtype) for leaf, x in pairs)

    @cached_property
    def _stated(self) -> bool:
        return any(leaf.domain is not None for leaf in self.leaves)

    @cached_property
    def here(self) -> list[Array]:
        """Leaves of ``forward`` at the point."""
        with np.errstate(all="ignore"):
            return [v.copy() for v in self.values(self.origin)]  # the next call may write over what this one returns

    @cached_property
    def noise(self) -> float:
        """Rounding that any evaluation may hold: of the value's summands, and of numbers as large as the inputs.

        A forward that subtracts its largest logit rounds at that logit's size, and one that subtracts logits from those
        of a teacher at theirs. What it absorbs so (log(1 + exp(-50)) is exactly 0) leaves no trace in its values, so it
        cannot be measured there.
        """
        summed = sum(float(np.vdot(np.abs(c), np.abs(v))) for c, v in zip(self.cotangents, self.here, strict=True))
        floats = [np.asarray(x) for x in self.flat.leaves if isinstance(x, np.ndarray) and x.dtype.kind == "f"]
        size = max([1.0, *map(largest, floats)])
        return self.unit * max(summed, size * sum(float(np.sum(np.abs(c))) for c in self.cotangents))

    @cached_property
    def unit(self) -> float:
        """Unit round-off of the forward's values: that of float64, unless it narrows them itself."""
        return max([_UNIT, *(rounding_unit(v.dtype) for v in self.here if is_float(v.dtype))])


def _inner(cotangent: Array, value: Array) -> Any:
    product = cotangent * value
    return np.add.reduce(product, axis=None) if np.ndim(product) else product
