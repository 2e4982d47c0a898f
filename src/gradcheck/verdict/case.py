"""Everything about one rule at one point that the steps of judging share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradcheck.laws import Breach, Subject, ask, ask_once
from gradcheck.oracles.differences.contraction import Contraction
from gradcheck.rule import Point, Rule, is_float
from gradcheck.tree import Array, Flat, in_float64, leaves_of
from gradcheck.verdict.allowance import precision_of
from gradcheck.verdict.outcome import Precision, as_float64

__all__ = ["Case"]


@dataclass(frozen=True, eq=False)
class Case:
    """A rule, a point, and what the rule answered there.

    ``whole`` is the point with all that the rule differentiates by; ``flat`` the same with only those arrays that are
    judged: the rule answered for them, and they are not empty. The others are data. ``analytic`` and ``precisions``
    go with ``flat.differentiated``. ``thorough`` is False for one of many points, which share out what takes long.
    """

    rule: Rule
    point: Point
    whole: Flat
    flat: Flat
    analytic: tuple[Array, ...]
    precisions: tuple[Precision, ...]
    contraction: Contraction
    seed: int
    thorough: bool

    @classmethod
    def of(cls, subject: Subject, seed: int) -> Case:
        """Take down what a rule answered."""
        rule, point, whole = subject.rule, subject.point, subject.flat
        pairs = zip(whole.differentiated, subject.answer.cotangents, strict=True)
        judged = [(leaf, c) for leaf, c in pairs if c is not None and leaf.array.size]
        flat = Flat(whole.tree, whole.leaves, tuple(leaf for leaf, _ in judged))
        cotangents = [as_float64(c) for c in leaves_of(point.cotangent)]
        return cls(
            rule,
            point,
            whole,
            flat,
            tuple(as_float64(c) for _, c in judged),
            tuple(_pulled_back(precision_of(c.dtype), cotangents) for _, c in judged),
            Contraction(rule.forward, flat, cotangents),
            seed if subject.thorough else seed + subject.fingerprint,
            subject.thorough,
        )

    @property
    def coarsest(self) -> Precision:
        """The precision of the least precise array."""
        return max(self.precisions, key=lambda p: p.unit)

    @property
    def largest(self) -> float:
        """The size of the largest finite number among the arguments, and one if there is none so large."""
        arrays = (np.abs(as_float64(x)) for x in self.flat.leaves if isinstance(x, np.ndarray) and is_float(x.dtype))
        return max((float(np.max(x, initial=1.0, where=np.isfinite(x))) for x in arrays), default=1.0)

    def along_domains(self, gradient: Sequence[Array]) -> Case:
        """Take what the answer says across a simplex, where there is no derivative, from a reference."""
        if self.contraction.room is None:  # no domain is stated
            return self
        with np.errstate(all="ignore"):
            apart = [a - g for a, g in zip(self.analytic, gradient, strict=True)]
        triples = zip(self.analytic, gradient, apart, self.contraction.intrinsic(apart), strict=True)
        return replace(self, analytic=tuple(a if seen is d else g + seen for a, g, d, seen in triples))

    def declined(self) -> list[str]:
        """Name the arrays that the rule gave no answer for."""
        judged = {leaf.path for leaf in self.flat.differentiated}
        return [leaf.path for leaf in self.whole.differentiated if leaf.array.size and leaf.path not in judged]

    def answer_near(self, nearby: Flat) -> list[Array] | None:
        """Ask the rule at another point of the same shapes and dtypes; None if it has no answer there."""
        there = ask_once(self.rule, self.point, _moved(self.whole, nearby))
        return None if there is None else self._judged(there)

    def answer_in_float64(self) -> list[Array] | None:
        """Ask the rule for its answer to the same inputs in float64; None if it has none."""
        import jax

        wide = replace(self.point, cotangent=jax.tree_util.tree_map(as_float64, self.point.cotangent))
        flat = _moved(self.whole, replace(self.whole, leaves=tuple(in_float64(self.whole.leaves))))
        there = ask(self.rule, wide, flat)
        return None if isinstance(there, Breach) else self._judged(there.cotangents)

    def _judged(self, results: tuple[Array | None, ...]) -> list[Array] | None:
        wanted = {leaf.path for leaf in self.flat.differentiated}
        pairs = zip(self.whole.differentiated, results, strict=True)
        found = [as_float64(r) for leaf, r in pairs if leaf.path in wanted and r is not None]
        return found if len(found) == len(wanted) else None


def _pulled_back(precision: Precision, cotangents: Sequence[Array]) -> Precision:
    """Let numbers vanish that are as large as what the cotangent makes of one that has vanished in the forward."""
    weight = max((float(np.max(np.abs(c), initial=1.0)) for c in cotangents), default=1.0)
    return precision if weight == 1.0 else replace(precision, tiny=precision.tiny * weight)


def _moved(whole: Flat, nearby: Flat) -> Flat:
    """Give the whole point with the leaves of another."""
    moved = tuple(replace(leaf, array=np.asarray(nearby.leaves[leaf.index])) for leaf in whole.differentiated)
    return Flat(whole.tree, nearby.leaves, moved)
