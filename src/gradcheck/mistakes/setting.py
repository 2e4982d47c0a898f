"""Where a mistake is made or looked for: a point, the right gradient there, and the right gradient elsewhere.

Both verbs of a mistake work on a `Setting`. To make the mistake, the right gradient is what the rule itself answers; to
name it, it is what the oracles answer. So "the gradient with this mistake" is written once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from gradcheck.mistakes.comparing import excess
from gradcheck.mistakes.parts import Parts, parts_of
from gradcheck.mistakes.roles import Roles, roles_of
from gradcheck.rule import Point, Rule
from gradcheck.tree import Array, Flat, Leaf, leaves_of, with_leaves

__all__ = ["Datum", "Gradient", "Sample", "Setting"]

Gradient = tuple[Array, ...]


@dataclass(frozen=True, eq=False)
class Datum:
    """One leaf of the arguments that is not differentiated: an array, a number, a string, a function.

    ``name`` is what the rule's author calls it, such as ``y``, ``temperature`` or ``options['weights']``; ``index`` is
    its place among all leaves, by which `Setting.moved` exchanges it.
    """

    name: str
    index: int
    value: Any


@dataclass(frozen=True, eq=False)
class Setting:
    """A point and the right gradient there.

    Parameters
    ----------
    rule : Rule
        Whose arguments they are.
    point : Point
        Arguments and cotangent.
    flat : Flat
        The arguments, flat. ``flat.differentiated`` holds those arrays only that the rule answers for.
    gradient : tuple of array of float64
        The right gradient, an array for each of ``flat.differentiated``.
    elsewhere : callable
        Gives the right gradient at another point, with as many arrays; None where there is none.
    """

    rule: Rule
    point: Point
    flat: Flat
    gradient: Gradient
    elsewhere: Callable[[Point], Gradient | None] = field(repr=False)
    _known: dict[Any, Gradient | None] = field(default_factory=dict, repr=False, kw_only=True)

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """The differentiated arrays: ``leaf.path``, ``leaf.array``, ``leaf.index``."""
        return self.flat.differentiated

    @property
    def paths(self) -> tuple[str, ...]:
        """What messages call the differentiated arrays."""
        return tuple(leaf.path for leaf in self.leaves)

    @cached_property
    def cotangents(self) -> list[Array]:
        """Leaves of the cotangent, as they are."""
        return [np.asarray(c) for c in leaves_of(self.point.cotangent)]

    @cached_property
    def data(self) -> tuple[Datum, ...]:
        """Everything among the arguments that is not differentiated."""
        import jax

        paths, _ = jax.tree_util.tree_flatten_with_path((self.point.args, self.point.kwargs))
        primals = {leaf.index for leaf in self.leaves}
        return tuple(
            Datum(self._name(path), i, self.flat.leaves[i]) for i, (path, _) in enumerate(paths) if i not in primals
        )

    def _name(self, path: Any) -> str:
        import jax

        inner = jax.tree_util.keystr(path[2:])
        return (self.rule.label(path[1].idx) if path[0].idx == 0 else str(path[1].key)) + inner

    @cached_property
    def roles(self) -> Roles:
        """Which array holds logits, which labels, and how many rows and classes there are, where that can be told."""
        return roles_of(self.flat)

    @cached_property
    def parts(self) -> Parts | None:
        """The gradient by logits as a difference of two parts, where it is one."""
        return parts_of(self)

    @cached_property
    def value(self) -> tuple[Array, ...] | None:
        """The forward's value in float64, leaf by leaf; None where it has none."""
        import jax

        args, kwargs = with_leaves(self.flat, {i: x.copy() for i, x in enumerate(self.flat.leaves) if _is_array(x)})
        try:
            with np.errstate(all="ignore"), jax.enable_x64(True):
                return tuple(np.asarray(v, np.float64) for v in leaves_of(self.rule.forward(*args, **kwargs)))
        except Exception:  # outside the domain, in whatever way the forward says so
            return None

    @property
    def matrix(self) -> int | None:
        """Index, among all leaves, of the first differentiated array that has rows and columns."""
        return next((leaf.index for leaf in self.leaves if leaf.array.ndim > 1), None)

    def moved(self, changes: Mapping[int, Any], cotangents: list[Array] | None = None) -> Point:
        """Give this point with some leaves exchanged, by their index, and maybe with other cotangents."""
        import jax

        args, kwargs = with_leaves(self.flat, dict(changes))
        cotangent = self.point.cotangent
        if cotangents is not None:
            tree = jax.tree_util.tree_structure(cotangent)
            cotangent = jax.tree_util.tree_unflatten(tree, cotangents)
        return Point(args, kwargs, cotangent)

    def at(self, changes: Mapping[int, Any], cotangents: list[Array] | None = None) -> Gradient | None:
        """Give the right gradient with some leaves exchanged, such as shifted labels; None where there is none."""
        key = (_key(changes), None if cotangents is None else _key(dict(enumerate(cotangents))))
        if key not in self._known:
            self._known[key] = self.elsewhere(self.moved(changes, cotangents))
        return self._known[key]

    def there(self, changes: Mapping[int, Any]) -> Setting | None:
        """Give the setting with some leaves exchanged; None where there is no gradient."""
        gradient = self.at(changes)
        if gradient is None:
            return None
        leaves = tuple(changes.get(i, leaf) for i, leaf in enumerate(self.flat.leaves))
        moved = tuple(replace(leaf, array=np.asarray(leaves[leaf.index])) for leaf in self.leaves)
        flat = replace(self.flat, leaves=leaves, differentiated=moved)
        return Setting(self.rule, self.moved(changes), flat, gradient, self.elsewhere)


def _key(leaves: Mapping[int, Any]) -> tuple[Any, ...]:
    arrays = {i: np.asarray(x) for i, x in leaves.items()}
    return tuple((i, x.shape, x.dtype.str, x.tobytes()) for i, x in sorted(arrays.items()))


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "biuf"


@dataclass(frozen=True, eq=False)
class Sample(Setting):
    """A point at which a wrong rule was asked: its answer, beside the right one.

    Parameters
    ----------
    analytic : tuple of array of float64
        The rule's answer, an array for each of ``flat.differentiated``.
    allowed : tuple of array of float64
        How far each entry may be from the reference.
    units : tuple of float
        The unit round-off of each array of the answer.
    where : str
        What evidence calls it: "the failing point", or sizes, such as "x (3, 4)".
    """

    analytic: Gradient = ()
    allowed: Gradient = ()
    units: tuple[float, ...] = ()
    where: str = ""

    @property
    def reference(self) -> Gradient:
        """The oracles' answer."""
        return self.gradient

    @cached_property
    def before(self) -> float:
        """The worst error, in allowances."""
        return self.remains(self.reference)

    def remains(self, predicted: Gradient | None) -> float:
        """Give the worst difference from a predicted answer, in allowances; from the reference if there is none."""
        return max(self.errors(self.reference if predicted is None else predicted), default=0.0)

    def errors(self, predicted: Gradient) -> tuple[float, ...]:
        """Give the worst difference from a predicted answer for each array, in allowances."""
        rows = zip(self.analytic, predicted, self.reference, self.allowed, self.units, strict=True)
        return tuple(excess(*row) for row in rows)
