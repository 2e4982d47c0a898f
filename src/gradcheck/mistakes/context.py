"""What a mistake is recognised by: a wrong rule's answers at several points, beside the right ones.

A `Context` holds `samples`, the failing point first, and answers questions at any other point. A mistake says what the
answer would be if it were the only thing wrong; `Context.explained` tells whether that leaves nothing of the error at
any sample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from gradcheck.errors import RuleError
from gradcheck.laws import Breach, ask_once, is_signal
from gradcheck.mistakes import drawing
from gradcheck.mistakes.finding import Evidence
from gradcheck.mistakes.jumps import off_kinks
from gradcheck.mistakes.setting import Gradient, Sample, Setting
from gradcheck.mistakes.shapes import CLASSES, ROWS, Reading, readings
from gradcheck.mistakes.truth import Truth, truth_at
from gradcheck.rule import Point, Rule
from gradcheck.tree import Array, Flat, flatten, leaves_of
from gradcheck.verdict import Verdict
from gradcheck.verdict.allowance import precision_of
from gradcheck.verdict.outcome import Precision, as_float64

__all__ = ["Context", "Predict", "copied"]

Predict = Callable[[Sample], "Gradient | None"]

# Cotangents: eighths of mixed signs, exact in every dtype; neither 0, which hides entries, nor 1, which hides a rule
# that ignores its cotangent.
_COTANGENTS = np.array([k / 8 for k in range(-16, 17) if k not in (0, 8)])
# At the failing point's own sizes, and at others: enough for a wrong hypothesis to fail at one of them by chance.
_SAME, _OTHER = 2, 4


@dataclass(frozen=True, eq=False)
class Context:
    """A rule that failed, and what is known of it.

    Parameters
    ----------
    rule : Rule
        The rule.
    point : Point
        Where it failed.
    verdict : Verdict
        What was found there.
    samples : tuple of Sample
        The failing point first, if the rule's answer keeps its contract there, or one beside it where it lies on a
        kink; then other values at the same sizes, and, where the arguments can be resized, other numbers of rows and
        classes.
    seed : int
        Chooses all further points.
    """

    rule: Rule
    point: Point
    verdict: Verdict
    samples: tuple[Sample, ...] = ()
    seed: int = 0
    _readings: list[Reading] = field(default_factory=list, repr=False)

    @classmethod
    def of(cls, rule: Rule, point: Point, verdict: Verdict, seed: int = 0) -> Context:
        """Draw the samples of a failure."""
        bare = cls(rule, point, verdict, (), seed)
        here = bare.failing
        if here is None:
            return bare
        drawn = [s for s in map(bare.drawn, range(_SAME + _OTHER)) if s is not None]
        return replace(bare, samples=(bare._off_kinks(here, drawn), *drawn))

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

    # -- asking ----------------------------------------------------------------------------------------------------

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

    def drawn(self, variant: int, *, rows: int | None = None, classes: int | None = None) -> Sample | None:
        """Draw a sample: other values, and for all but the first variants other sizes.

        At even variants the data are those of the failing point, at odd ones other numbers of their kind.

        ``rows`` and ``classes`` ask for these numbers of them, where the arguments have such axes; they stand for the
        first and the last axis of the first matrix where there are neither logits nor layers.
        """
        fixed = {k: v for k, v in ((ROWS, rows), (CLASSES, classes)) if v is not None}
        rng, vary = np.random.default_rng([self.seed, variant]), variant % 2 == 1
        if variant < _SAME and not fixed:
            return self._at(drawing.same_sizes(self.origin, rng), rng, vary=vary)
        for reading in self._fitting():
            lengths = reading.named(self.origin.matrix, fixed)
            if len(lengths) < len(fixed):
                continue
            changes = drawing.with_sizes(self.origin, rng, reading, reading.sizes(variant, lengths))
            if (found := self._at(changes, rng, vary=vary)) is not None:
                self._readings[:] = [reading]  # what served once serves again
                return found
        return None

    def wider(self, more: int) -> Context:
        """Give the context with so many further samples."""
        start = len(self.samples)
        drawn = [self.drawn(variant) for variant in range(_SAME + start, _SAME + start + more)]
        return replace(self, samples=(*self.samples, *(s for s in drawn if s is not None)))

    # -- explaining ------------------------------------------------------------------------------------------------

    def remains(self, predict: Predict) -> tuple[float, ...]:
        """Give the worst error, in allowances, at each sample once what is predicted takes the reference's place.

        Where nothing is predicted (None), the reference stands: the mistake would do nothing there.
        """
        return tuple(self._remaining(sample, predict) for sample in self.samples)

    def explained(self, predict: Predict) -> tuple[Evidence, ...] | None:
        """Give the evidence for a hypothesis, or None unless it leaves nothing of the error, anywhere.

        At every sample what remains is at most one allowance, and at some sample there was more before. What is
        predicted of an array that is right at all samples does not count: a mistake may be made for some arrays only.
        """
        found = []
        for sample in self.samples:
            after = self._remaining(sample, predict)
            if not after <= 1.0:
                return None
            found.append(Evidence(sample.where, sample.before, after))
        return tuple(found) if any(e.before > 1.0 for e in found) else None

    @cached_property
    def wrong(self) -> tuple[bool, ...]:
        """Say of each differentiated array whether it is wrong at any sample."""
        if not self.samples:
            return ()
        each = zip(*(sample.errors(sample.reference) for sample in self.samples), strict=True)
        return tuple(max(errors) > 1.0 for errors in each)

    def among(self, sentence: str) -> str:
        """Put the names of the wrong arrays before a sentence, where others are right."""
        if all(self.wrong):
            return sentence
        paths = [path for path, wrong in zip(self.samples[0].paths, self.wrong, strict=True) if wrong]
        return f"in {', '.join(paths)}: {sentence}"

    def _remaining(self, sample: Sample, predict: Predict) -> float:
        predicted = predict(sample)
        if predicted is None:
            return sample.before
        rows = zip(self.wrong, predicted, sample.reference, strict=True)
        return sample.remains(tuple(p if wrong else right for wrong, p, right in rows))

    # -- inside ----------------------------------------------------------------------------------------------------

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

    def _off_kinks(self, failing: Sample, others: Sequence[Sample]) -> Sample:
        """Step off a kink, where the rule may rightly have chosen another derivative than the oracle, if it can be.

        Where the rule is right everywhere else, the kink is what it is wrong at.
        """
        changes = off_kinks(failing, np.random.default_rng(self.seed))
        beside = None if changes is None else self.sample(failing.moved(changes), "beside the failing point")
        if beside is None or not any(s.before > 1.0 for s in (beside, *others)):
            return failing
        return beside

    def _answer(self, point: Point, flat: Flat) -> tuple[Array | None, ...] | None:
        try:
            with np.errstate(all="ignore"):
                return ask_once(self.rule, point, flat)
        except Exception as error:
            if is_signal(error) or isinstance(error, RuleError):
                return None
            raise

    def _fitting(self) -> Sequence[Reading]:
        if not self._readings:
            self._readings[:] = readings(self.origin.flat, self.origin.roles)
        return tuple(self._readings)

    def _at(self, changes: Mapping[int, Any], rng: np.random.Generator, *, vary: bool) -> Sample | None:
        """Take a point with these leaves as a sample, with other numbers among the data if asked and possible."""
        if vary and (found := self._at(drawing.varied(self.origin, rng, changes), rng, vary=False)) is not None:
            return found
        for moved in drawing.values(self.origin, rng, changes):
            point = self._pulled(self.origin.moved(moved), rng)
            if point is None:
                continue
            if (found := self.sample(point, _sizes(self.origin, moved))) is not None:
                return found
        return None

    def _pulled(self, point: Point, rng: np.random.Generator) -> Point | None:
        """Give a point a cotangent shaped like the forward's value there; None where the forward has none."""
        import jax

        args, kwargs = copied((point.args, point.kwargs))
        try:
            with np.errstate(all="ignore"):
                value = jax.tree_util.tree_map(np.asarray, self.rule(*args, **kwargs)[0])
        except Exception:  # outside the domain, in whatever way the rule says so
            return None
        if not all(np.all(np.isfinite(v)) for v in leaves_of(value)):
            return None
        if not self.rule.takes_cotangent:
            return replace(point, cotangent=jax.tree_util.tree_map(np.ones_like, value))
        steps = jax.tree_util.tree_map(
            lambda v: _COTANGENTS[rng.integers(0, len(_COTANGENTS), v.shape)].astype(v.dtype), value
        )
        return replace(point, cotangent=steps)


def copied(tree: Any) -> Any:
    """Copy the arrays of a tree, and leave numbers and all else as they are."""
    import jax

    return jax.tree_util.tree_map(lambda a: a.copy() if isinstance(a, np.ndarray) else a, tree)


def _sizes(origin: Setting, moved: Mapping[int, Any]) -> str:
    shapes = [(leaf.path, np.shape(moved.get(leaf.index, leaf.array))) for leaf in origin.leaves[:2]]
    return ", ".join(f"{path} ({', '.join(map(str, shape))})" for path, shape in shapes)
