"""What the laws are asked about: a rule at a point, and what it has answered so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Any, TypeVar
from zlib import crc32

import numpy as np

from gradcheck.laws.breach import Breach
from gradcheck.laws.running import Forward, Pulled, Results, moved, run
from gradcheck.rule import Point, Rule
from gradcheck.tree import Array, Flat, every, in_float64, leaves_of, with_leaves

__all__ = ["Answer", "Changes", "Subject"]

T = TypeVar("T")
Changes = Mapping[int, Array]  # arrays in place of leaves of the point, by their index among all leaves


@dataclass(frozen=True, eq=False)
class Answer:
    """What a rule answered: its value, and one array per differentiated leaf (None where it declined)."""

    value: tuple[Array, ...]
    cotangents: Results


@dataclass(frozen=True, eq=False)
class Subject:
    """A rule and a point. Everything the rule is asked is asked once, when a law first needs it.

    ``ratios`` collects, for each comparison for which noise is measured, the largest difference over what is allowed.
    ``runs`` holds the first run, where somebody has made it already.
    ``thorough`` says whether this point has to show everything by itself; else it is one of many that share out what
    takes long.
    """

    rule: Rule
    point: Point
    flat: Flat
    thorough: bool = True
    ratios: list[float] = field(default_factory=list)
    runs: list[Forward] = field(default_factory=list)
    _known: dict[Any, Any] = field(default_factory=dict)

    def recall(self, find: Callable[[Subject], T]) -> T:
        """Give what a function finds out about this subject; it is called once."""
        if find not in self._known:
            self._known[find] = find(self)
        found: T = self._known[find]
        return found

    def remember(self, find: Callable[[Subject], object], found: object) -> None:
        """Take down what somebody else has found out already, so that `recall` need not."""
        self._known[find] = found

    def known(self, find: Callable[[Subject], T]) -> T | None:
        """Give what a function has found out, if it was asked."""
        return self._known.get(find)

    @cached_property
    def forward(self) -> Forward:
        """The first run."""
        return self.runs.pop() if self.runs else run(self.rule, self.flat)

    @cached_property
    def first(self) -> Pulled | Breach:
        """The first answer."""
        return self.forward.pull(self.point.cotangent)

    @cached_property
    def second(self) -> Pulled | Breach:
        """What a second run answers."""
        return run(self.rule, self.flat).pull(self.point.cotangent)

    @cached_property
    def twice(self) -> tuple[Pulled | Breach, Pulled | Breach]:
        """What one pullback answers the first and the second time."""
        forward = run(self.rule, self.flat)
        return forward.pull(self.point.cotangent), forward.pull(self.point.cotangent)

    @cached_property
    def answer(self) -> Answer:
        """The first answer, of a rule that keeps its contract."""
        if isinstance(self.first, Breach):
            raise TypeError(f"there is no answer: {self.first.text}")
        return Answer(self.forward.value, self.first.kept)

    def let_go(self) -> None:
        """Keep the answer, and not the runs behind it."""
        if self.answer:
            for name in ("forward", "first", "second", "twice"):
                vars(self).pop(name, None)

    @cached_property
    def irregular(self) -> str | None:
        """Why numbers cannot be compared here, if so."""
        arrays = [c for c in self.answer.cotangents if c is not None]
        if not all(every(np.isfinite(a)) for a in (*arrays, *self.answer.value)):
            return "the answer is not finite here"
        return None if any(a.size for a in arrays) else "there are no entries here"

    @cached_property
    def indices(self) -> list[int]:
        """Indices of the leaves that are differentiated."""
        return [leaf.index for leaf in self.flat.differentiated]

    @cached_property
    def fingerprint(self) -> int:
        """A number made of all numbers of the point, by which its share is chosen."""
        arrays = [leaf for leaf in self.flat.leaves if isinstance(leaf, np.ndarray)]
        return reduce(lambda known, array: crc32(array.tobytes(), known), (*arrays, *self.cotangents), 0)

    @property
    def turn(self) -> int:
        """Which half of the laws this point asks, if it is one of many: 0 or 1, whatever layouts its share are."""
        return self.fingerprint >> 8 & 1

    def ask(self, changes: Changes, cotangent: Any = None) -> Results | None:
        """Ask the rule elsewhere, or for another cotangent; None if it has no answer there."""
        if not self.flat.holds(changes):
            return None
        try:
            with np.errstate(all="ignore"):
                forward = run(self.rule, moved(self.flat, changes)) if changes else self.forward
                pulled = forward.pull(self.point.cotangent if cotangent is None else cotangent)
        except Exception:  # outside the domain, in whatever way the rule says so; `assume` in the rule is one
            return None
        return None if isinstance(pulled, Breach) else pulled.kept

    @cached_property
    def _widened(self) -> dict[int, Array]:
        """Arrays of the point, in float64 if they are floating-point."""
        arrays = {i: leaf for i, leaf in enumerate(self.flat.leaves) if isinstance(leaf, np.ndarray)}
        return dict(zip(arrays, in_float64(list(arrays.values())), strict=True))

    def values(self, changes: Changes) -> list[Array] | None:
        """Run the rule's own forward in float64 elsewhere; None if it is not defined or not finite there."""
        import jax

        if not self.flat.holds(changes):
            return None
        moved = dict(zip(changes, in_float64(list(changes.values())), strict=True))
        arrays = {**self._widened, **moved}
        args, kwargs = with_leaves(self.flat, {i: x.copy() for i, x in arrays.items()})
        try:
            # a forward written in jax.numpy would truncate to float32 without a word
            with np.errstate(all="ignore"), jax.enable_x64(True):
                # a copy, since the next call may write over what this one returns
                found = [np.array(v) for v in leaves_of(self.rule.forward(*args, **kwargs))]
        except Exception:  # as in ask
            return None
        return found if all(v.dtype.kind == "f" and every(np.isfinite(v)) for v in found) else None

    @cached_property
    def cotangents(self) -> list[Array]:
        """Leaves of the cotangent."""
        return [np.asarray(c) for c in leaves_of(self.point.cotangent)]

    def cotangent_of(self, leaves: list[Array]) -> Any:
        """Give the tree of the cotangent other leaves."""
        if isinstance(self.point.cotangent, np.ndarray):  # the common case: no tree, and quickly seen
            return leaves[0]
        import jax

        return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(self.point.cotangent), leaves)
