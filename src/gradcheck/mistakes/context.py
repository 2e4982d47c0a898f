"""What a mistake is recognised by: a wrong rule's answers at several points, beside the right ones.

A `Context` holds `samples`, the failing point first, and answers questions at any other point. A mistake says what the
answer would be if it were the only thing wrong; `Context.explained` tells whether that leaves nothing of the error at
any sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from gradcheck.mistakes import drawing
from gradcheck.mistakes.failure import Failure, copied
from gradcheck.mistakes.finding import Evidence
from gradcheck.mistakes.jumps import off_kinks
from gradcheck.mistakes.setting import Gradient, Sample, Setting
from gradcheck.mistakes.shapes import CLASSES, FIRST, ROWS, Reading, readings
from gradcheck.rule import Point, Rule
from gradcheck.tree import leaves_of
from gradcheck.verdict import Verdict
from gradcheck.verdict.allowance import NARROW

__all__ = ["Context", "Predict"]

Predict = Callable[[Sample], "Gradient | None"]

# Cotangents: eighths of mixed signs, exact in every dtype; neither 0, which hides entries, nor 1, which hides a rule
# that ignores its cotangent.
_COTANGENTS = np.array([k / 8 for k in range(-16, 17) if k not in (0, 8)])
# At the failing point's own sizes, and at others: enough for a wrong hypothesis to fail at one of them by chance.
_SAME, _OTHER = 2, 4
# Roundings of an entry, as an allowance at a glance grants a large array.
_FEW = 8


@dataclass(frozen=True, eq=False)
class Context(Failure):
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
        found = replace(bare, samples=(bare._off_kinks(here, drawn), *drawn))
        by_law = verdict.breach is not None and not any(s.before > 1.0 for s in found.samples)
        return found.beside(here, (drawing.in_other_order(here),), "rows in another order") if by_law else found

    # -- drawing ---------------------------------------------------------------------------------------------------

    def drawn(
        self, variant: int, *, rows: int | None = None, classes: int | None = None, first: int | None = None
    ) -> Sample | None:
        """Draw a sample: other values, and for all but the first variants other sizes.

        At even variants the data are those of the failing point, at odd ones other numbers of their kind.

        ``rows`` and ``classes`` ask for these numbers of them, where the arguments have such axes; they stand for the
        first and the last axis of the first matrix where there are neither logits nor layers. ``first`` asks for a
        length of the first axis of the first matrix, whatever that is.
        """
        fixed = {k: v for k, v in ((FIRST, first), (ROWS, rows), (CLASSES, classes)) if v is not None}
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

    def beside(self, sample: Sample, moves: Iterable[Mapping[int, Any] | None], where: str) -> Context:
        """Give the context with samples that differ from one in some leaves, where these can be exchanged."""
        points = [sample.moved(changes) for changes in moves if changes is not None]
        found = [self.sample(point, f"{sample.where}, {where}") for point in points]
        return replace(self, samples=(*self.samples, *(s for s in found if s is not None)))

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
            if not (after <= 1.0 and self._of_its_size(sample, predict)):
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

    def _of_its_size(self, sample: Sample, predict: Predict) -> bool:
        """Whether an answer in a narrow type is what is predicted, and not some other multiple of it.

        An allowance may be half of a row there, so that a factor of 1.7 leaves no more of the error than one of 2 does.
        The multiple nearest to the answer is a ratio of sums, which is off by no more than rounded entries are.
        """
        for wrong, mine, its, unit in zip(
            self.wrong, sample.analytic, predict(sample) or (), sample.units, strict=False
        ):
            size = float(np.vdot(its, its)) if wrong and unit > NARROW else 0.0
            if size > 0 and not abs(float(np.vdot(mine, its)) / size - 1) <= _FEW * unit:
                return False
        return True

    # -- inside ----------------------------------------------------------------------------------------------------

    def _off_kinks(self, failing: Sample, others: Sequence[Sample]) -> Sample:
        """Step off a kink, where the rule may rightly have chosen another derivative than the oracle, if it can be.

        Where the rule is right everywhere else, the kink is what it is wrong at.
        """
        changes = off_kinks(failing, np.random.default_rng(self.seed))
        beside = None if changes is None else self.sample(failing.moved(changes), "beside the failing point")
        if beside is None or not any(s.before > 1.0 for s in (beside, *others)):
            return failing
        return beside

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


def _sizes(origin: Setting, moved: Mapping[int, Any]) -> str:
    shapes = [(leaf.path, np.shape(moved.get(leaf.index, leaf.array))) for leaf in origin.leaves[:2]]
    return ", ".join(f"{path} ({', '.join(map(str, shape))})" for path, shape in shapes)
