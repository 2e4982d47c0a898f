"""Asking a wrong rule and the oracles, at the failing point and at any other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from gradcheck.errors import RuleError
from gradcheck.laws import Breach, ask_once, is_signal
from gradcheck.mistakes.setting import Gradient, Sample, Setting
from gradcheck.mistakes.truth import Truth, truth_at
from gradcheck.rule import Point, Rule
from gradcheck.tree import Array, Flat, flatten
from gradcheck.verdict import Verdict
from gradcheck.verdict.allowance import precision_of
from gradcheck.verdict.outcome import Precision, as_float64

__all__ = ["Failure", "copied"]


@dataclass(frozen=True, eq=False)
class Failure:
    """A rule that failed, where, and what was found there; what `Context` documents."""

    rule: Rule
    point: Point
    verdict: Verdict

    @property
    def breach(self) -> Breach | None:
        """The law that was found broken, if that is why the rule failed."""
        return self.verdict.breach

    @cached_property
    def failing(self) -> Sample | None:
        """The failing point, with what the judge found out; None where there is no answer to compare with."""
        found = self.sample(self.point, "the failing point")
        if found is None:
            return self._judged()
        known = {d.path: d for d in self.verdict.discrepancies}
        if not all(path in known and known[path].complete for path in found.paths):
            return found
        gradient = tuple(known[path].reference for path in found.paths)
        return replace(found, gradient=gradient, allowed=tuple(known[path].allowed for path in found.paths))

    def _judged(self) -> Sample | None:
        """Take the judge's word where the truth at the failing point cannot be had otherwise."""
        known = {d.path: d for d in self.verdict.discrepancies}
        flat = flatten(self.rule, self.point)
        kept = tuple(leaf for leaf in flat.differentiated if leaf.path in known)
        if not kept:
            return None
        rows = [known[leaf.path] for leaf in kept]
        return Sample(
            self.rule,
            self.point,
            replace(flat, differentiated=kept),
            tuple(d.reference for d in rows),
            self._right,
            tuple(d.analytic for d in rows),
            tuple(d.allowed for d in rows),
            tuple(d.precision.unit for d in rows),
            "the failing point",
        )

    @cached_property
    def origin(self) -> Setting:
        """The failing point as a setting, with zeros for its gradient where none is known: for its data and roles."""
        if self.failing is not None:
            return self.failing
        flat = flatten(self.rule, self.point)
        zeros = tuple(np.zeros(leaf.array.shape) for leaf in flat.differentiated)
        return Setting(self.rule, self.point, flat, zeros, self._right)

    def evaluate(self, point: Point) -> tuple[Array | None, ...] | None:
        """Give the rule's answer at a point, as it comes; None where it has none that keeps the contract.

        An array for each differentiated leaf, in the rule's dtype, and None for those that it declines.
        """
        return self._answer(point, flatten(self.rule, point))

    def raw(self, point: Point) -> Any:
        """Give what the pullback returns at a point, whatever it is.

        Raises
        ------
        Exception
            What the rule raises.
        """
        args, kwargs = copied((point.args, point.kwargs))
        with np.errstate(all="ignore"):
            return self.rule(*args, **kwargs)[1](copied(point.cotangent))

    def truth(self, point: Point) -> Truth | None:
        """Give the oracles' answer at a point, and the allowance there, for the arrays that the rule answers for."""
        flat = self._only_answered(flatten(self.rule, point))
        precisions = [precision_of(leaf.array.dtype) for leaf in flat.differentiated]
        return truth_at(self.rule, point, flat, precisions)

    def sample(self, point: Point, where: str) -> Sample | None:
        """Take a point as a sample; None where rule or oracles have no answer."""
        flat = flatten(self.rule, point)
        answer = self._answer(point, flat)
        if answer is None:
            return None
        pairs = zip(flat.differentiated, answer, strict=True)
        judged = [(leaf, a) for leaf, a in pairs if a is not None and leaf.array.size]
        if not judged:
            return None
        flat = replace(flat, differentiated=tuple(leaf for leaf, _ in judged))
        precisions: list[Precision] = [precision_of(a.dtype) for _, a in judged]
        truth = truth_at(self.rule, point, flat, precisions)
        if truth is None or not all(np.all(np.isfinite(a)) for a in truth.allowed):
            return None
        analytic = tuple(as_float64(a.copy()) for _, a in judged)  # the rule may write into it at the next call
        units = tuple(p.unit for p in precisions)
        return Sample(
            self.rule, point, flat, truth.gradient, self._right, analytic, truth.allowed, units, where
        )  # fmt: skip

    def _right(self, point: Point) -> Gradient | None:
        truth = self.truth(point)
        return None if truth is None else truth.gradient

    def _only_answered(self, flat: Flat) -> Flat:
        """Leave out what the rule declines to answer, and what is empty."""
        failing = self.__dict__.get("failing")
        kept = tuple(leaf for leaf in flat.differentiated if leaf.array.size)
        if failing is not None:
            kept = tuple(leaf for leaf in kept if leaf.path in failing.paths)
        return replace(flat, differentiated=kept)

    def _answer(self, point: Point, flat: Flat) -> tuple[Array | None, ...] | None:
        try:
            with np.errstate(all="ignore"):
                return ask_once(self.rule, point, flat)
        except Exception as error:
            if is_signal(error) or isinstance(error, RuleError):
                return None
            raise


def copied(tree: Any) -> Any:
    """Copy the arrays of a tree, and leave numbers and all else as they are."""
    import jax

    return jax.tree_util.tree_map(lambda a: a.copy() if isinstance(a, np.ndarray) else a, tree)
