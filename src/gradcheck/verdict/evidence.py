"""What is known of a derivative at one point, each piece computed when it is asked for, and once.

In the order of what they cost, for 8 x 10 logits: summands ``M`` 0.1 ms, one perturbed run 0.3 ms, the spread ``s`` of
eight 3 ms, and a few ms for the enclosure of the truth in balls and for the radius ``r`` that the program's balls have
in the precision of a rule. Balls need python-flint, a program made of what they know, and few enough numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np

from gradcheck.oracles.autodiff import Autodiff
from gradcheck.oracles.balls import Balls, Enclosure, Unenclosable
from gradcheck.oracles.program.plan import PERTURBATION
from gradcheck.tree import Array, every
from gradcheck.verdict.allowance import FLOAT64, at_a_glance, enclosed, sampled
from gradcheck.verdict.outcome import Precision, rowmax

__all__ = ["LARGE", "Evidence", "Known"]

# Balls take about a microsecond for each operation on a number, so that these many take a tenth of a second.
_MOST = 2**17
# An array of more entries than these has rows enough to see in two runs what few entries show in eight.
LARGE = 10**4
_FEW = 2
# Moved twice as far, a linear program moves twice as far. What it misses that by is its bending, and if that is half of
# the spread, the spread says little of moves of another size.
_BENDING = 0.5
# A spread below this part of the summands is blurred by the rounding of the runs themselves, and decides nothing; nor
# does one of moves among subnormal numbers.
_BLUR = 2.0**-8
_NORMAL = 2.0**-1022
_SUBNORMAL = _NORMAL / PERTURBATION
_LOST = _NORMAL / FLOAT64.unit  # below it, what is rounded off is lost too
_EXPONENTIALS = frozenset({"exp", "exp2", "logistic"})
_UNDERFLOWING = frozenset({"mul", "div", "integer_pow", "pow", "square"}) | _EXPONENTIALS


class Known(Protocol):
    """What a comparison asks about the derivative by the differentiated array ``slot``."""

    def best(self, slot: int) -> tuple[Array, Array]:
        """Give the best that is known of it, and the error of that."""

    def magnitude(self, slot: int) -> Array:
        """Give the size of the summands of each entry."""

    def spread(self, slot: int) -> Array:
        """Give the change of each entry per unit of relative perturbation of everything on the way."""

    def radius(self, slot: int, precision: Precision) -> Array | None:
        """Bound what its program may be off by in a precision; None where nothing does."""

    def allowances(self, slot: int, precision: Precision) -> tuple[Array, Array]:
        """Give the entry-wise and the norm-wise allowance, without the error of the best that is known."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Everything that may be asked about a reference."""

    autodiff: Autodiff
    _radii: dict[int, tuple[Array, ...] | None] = field(default_factory=dict, repr=False)

    def best(self, slot: int) -> tuple[Array, Array]:
        """Give the enclosure, or else the derivative in float64, with what it may be off by."""
        exact, index = self.truth, self._index(slot)
        if exact is not None and np.all(np.isfinite(exact.error[index])):
            return exact.value[index], exact.error[index]
        with np.errstate(all="ignore"):
            error, _ = sampled(self.magnitude(slot), self._proportionate(slot), FLOAT64)
        return self.autodiff.gradient[slot], error

    def allowances(self, slot: int, precision: Precision) -> tuple[Array, Array]:
        """Give the entry-wise and the norm-wise allowance: of what the enclosure and the spread explain, the less."""
        magnitude, spread, radius = self.magnitude(slot), self._proportionate(slot), self.radius(slot, precision)
        with np.errstate(all="ignore"):
            entry, row = sampled(magnitude, spread, precision)
            if radius is None:
                return entry, row
            tight = enclosed(magnitude, spread, radius, precision)
            # a sample is nothing to go by where float64 has lost all that it was taken of, if there is anything else
            lost = (rowmax(magnitude) < _LOST) & np.isfinite(tight[1])
            # fmin, since one that is unknown is no reason to forget the other
            return np.where(lost, tight[0], np.fmin(entry, tight[0])), np.where(lost, tight[1], np.fmin(row, tight[1]))

    def agrees(self, value: Array, index: int, precision: Precision) -> bool:
        """Whether a value of the same shape is the reference's in float64, up to the rounding of both."""
        reference, magnitude = self.autodiff.value[index], self.autodiff.magnitude[index]
        with np.errstate(all="ignore"):
            difference = np.abs(value - reference)
            near = difference <= at_a_glance(magnitude, precision)
            if every(near):
                return True
            same = (value == reference) | (np.isnan(value) & np.isnan(reference))
            if np.all(near | same):
                return True
            _, row = sampled(magnitude, self.spreads[index], precision)
            return bool(np.all((difference <= 2 * row) | same))

    def magnitude(self, slot: int) -> Array:
        """Give the size of the summands of each entry."""
        return self.autodiff.magnitude[self._index(slot)]

    def spread(self, slot: int) -> Array:
        """Give the change of each entry per unit of relative perturbation."""
        return self.spreads[self._index(slot)]

    def first_run(self, slot: int) -> Array:
        """Give the change in the first of the runs that the spread is the largest of."""
        return self._one_run[self._index(slot)]

    def linear(self, slot: int) -> Array:
        """Whether the spread is in proportion to the perturbation, as what is made of it assumes."""
        return self._linear[self._index(slot)]

    def radius(self, slot: int, precision: Precision) -> Array | None:
        """Bound what the program may be off by in a precision; None where balls do not."""
        bits = -int(math.log2(precision.unit))
        if bits not in self._radii:
            self._radii[bits] = self._radius(bits)
        radii = self._radii[bits]
        return None if radii is None else radii[self._index(slot)]

    def _index(self, slot: int) -> int:
        return len(self.autodiff.value) + slot

    def _proportionate(self, slot: int) -> Array:
        return np.where(self.linear(slot), self.spread(slot), np.nan)

    @cached_property
    def _one_run(self) -> tuple[Array, ...]:
        return self.autodiff.plan.spread(self.autodiff.inputs, self.autodiff.trace, runs=1, seed=0)

    @cached_property
    def spreads(self) -> tuple[Array, ...]:
        """The spreads of all outputs in eight perturbed runs, or in two where an array is large."""
        if not self.large:
            return self.autodiff.spread
        return self.autodiff.plan.spread(self.autodiff.inputs, self.autodiff.trace, runs=_FEW, seed=0)

    @cached_property
    def _linear(self) -> tuple[Array, ...]:
        autodiff, found = self.autodiff, []
        twice = autodiff.plan.spread(autodiff.inputs, autodiff.trace, runs=1, seed=0, scale=2 * PERTURBATION)
        for once, double, most, size in zip(self._one_run, twice, self.spreads, autodiff.magnitude, strict=True):
            with np.errstate(all="ignore"):
                bending = np.abs(double - once)
                found.append((bending <= _BENDING * most) | (bending <= np.maximum(_BLUR * size, _SUBNORMAL)))
        return tuple(found)

    @cached_property
    def underflown(self) -> bool:
        """Whether float64 lost a number that is not zero, so that zeros of the reference need not be the truth."""
        trace = self.autodiff.trace
        for step in self.autodiff.plan.steps:
            if step.name not in _UNDERFLOWING:
                continue
            small = np.abs(trace[step.writes[0]]) < _NORMAL
            if np.any(small):
                operands = [trace[i] for i in step.reads]
                # a product with zero is zero, and so is the exponential of a mask
                lost = [np.isfinite(x) if step.name in _EXPONENTIALS else x != 0 for x in operands]
                if np.any(small & np.logical_and.reduce(np.broadcast_arrays(*lost))):
                    return True
        return False

    @cached_property
    def balls(self) -> Balls | str:
        """The program in balls, or why there is none."""
        if self.large or self._work > _MOST:
            return "the arrays are too large for ball arithmetic"
        try:
            return Balls(self.autodiff.plan, self.autodiff.inputs)
        except Unenclosable as reason:
            return str(reason)

    @cached_property
    def truth(self) -> Enclosure | None:
        """The exact outputs; None where balls do not give them, or give another value than float64 has."""
        if isinstance(self.balls, str):
            return None
        try:
            found = self.balls.truth()
        except Unenclosable:
            return None
        # a comparison that float64 decides otherwise makes another function of the program
        return found if all(self._credible(found, index) for index in range(len(self.autodiff.value))) else None

    def _credible(self, found: Enclosure, index: int) -> bool:
        """Whether rounding explains how far a value of the enclosure is from that in float64."""
        value, error, witness = found.value[index], found.error[index], self.autodiff.value[index]
        known = np.isfinite(witness) & np.isfinite(value) & np.isfinite(error)
        # float64 is no witness of what it has lost below its range
        known &= rowmax(self.autodiff.magnitude[index]) >= _LOST
        return self.agrees(np.where(known, value, witness), index, FLOAT64)

    def _radius(self, bits: int) -> tuple[Array, ...] | None:
        if self.truth is None or isinstance(self.balls, str):
            return None
        try:
            return self.balls.radius(bits)
        except Unenclosable:
            return None

    @property
    def large(self) -> bool:
        """Whether an array is too large for balls."""
        return max(g.size for g in self.autodiff.gradient) > LARGE

    @property
    def _work(self) -> float:
        """How many operations on single numbers the program takes."""
        trace, work = self.autodiff.trace, 0.0
        for step in self.autodiff.plan.steps:
            out = float(sum(trace[i].size for i in step.writes))
            if step.name == "dot_general":  # (m, k) by (k, n): m k n, and m k times k n is k^2 times m n
                left, right = (float(trace[i].size) for i in step.reads[:2])
                out *= math.sqrt(left * right / out) if out else 0.0
            work += max(out, *(float(trace[i].size) for i in step.reads), 0.0) if step.reads else out
        return work
