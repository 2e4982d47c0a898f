"""Second opinions along a few seeded directions: cheap whatever the number of entries, and independent of autodiff."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from gradcheck.oracles.autodiff import Autodiff
from gradcheck.oracles.differences import complex_step, finite_difference
from gradcheck.oracles.differences.contraction import Contraction
from gradcheck.oracles.differences.estimate import Estimate
from gradcheck.oracles.differences.line import Line
from gradcheck.tree import Array
from gradcheck.verdict.outcome import Discrepancy, Vote

__all__ = [
    "Slope",
    "at_a_glance",
    "closer",
    "consistent",
    "coordinate",
    "difference",
    "direction_of",
    "directions",
    "on_one_piece",
    "slopes",
]

_COUNT = 2
# Where the forward is looked at for how far it moves: from a length down to 2^-24 of it, the round-off of float32.
_LOOKS = 13
# The step of a glance, over which the fastest entry moves by the cube root of the round-off: what a central
# difference of a function that bends over a length of 1 leaves out there (h^2 / 6) is less than its rounding (u / h).
_GLANCE = 2.0**-17
# At most this where n entries move, over sqrt(n): a sum of them moves sqrt(n) times as far as each, and the more sums a
# network takes, the sooner one of them passes a bend. Of up to 10^6 parameters, steps twice as long still met none.
_ALL = 2.0**-13
# The rounding of two values, each once in its evaluation and once in where it is evaluated.
_ROUNDINGS = 4.0
# A glance that could not tell six digits apart tells too little.
_SHARP = 2.0**-20
# The same where rounding is large: two steps, extrapolated, leave out h^4, which rounding outweighs once h^5 is less
# than the noise; twice that step still leaves a factor of ten for a fifth derivative larger than the slope. Weights of
# 4/3 and 1/3 over h and 2 h make 3/2 of the rounding of a single step of h.
_ORDER = 5
_BALANCED = 1.5
# The components of a direction are multiples of it up to 1: exact in every dtype and short in messages.
_STEP = 1 / 8
# Components that directions of tests are cut out of: twice as many as the largest of those has.
_KEPT = 2**13


@dataclass(frozen=True, eq=False)
class Slope:
    """An estimate of <gradient, direction>, the direction cut into arrays shaped like the differentiated leaves."""

    direction: tuple[Array, ...]
    estimate: Estimate

    def agrees(self, gradient: Sequence[Array], errors: Sequence[Array]) -> bool | None:
        """Whether a gradient, each entry of which may be off by its error, has this slope; None if that is unknown.

        A difference that straddles a kink, or several near ones, cannot contradict: a subgradient need not have a
        slope between the two that it saw.
        """
        if not self.estimate.known:
            return None
        doubt = sum(float(np.vdot(e, np.abs(v))) for e, v in zip(errors, self.direction, strict=True))
        if not math.isfinite(doubt):
            return None
        away = abs(self.along(gradient) - float(self.estimate.value))
        within = bool(away <= float(self.estimate.error) + doubt)
        return None if self.estimate.kink and not within else within

    def vote(self, gradient: Sequence[Array], errors: Sequence[Array]) -> Vote:
        """Say what this estimate makes of a gradient."""
        agrees, estimate = self.agrees(gradient, errors), self.estimate
        if agrees is None:
            return Vote(estimate.oracle, None, estimate.detail)
        text = f"{self.along(gradient):.9g} along a random direction, estimate {float(estimate.value):.9g}"
        return Vote(estimate.oracle, agrees, f"{text} ± {float(estimate.error):.1e} ({estimate.detail})")

    def along(self, gradient: Sequence[Array]) -> float:
        """Give the slope that a gradient has along the direction."""
        return _along(gradient, self.direction)


def _along(gradient: Sequence[Array], direction: Sequence[Array]) -> float:
    pairs = zip(gradient, direction, strict=True)
    return sum(float(np.vdot(g, v.astype(g.dtype, copy=False))) for g, v in pairs)


def consistent(slope: Slope, compared: Sequence[Discrepancy]) -> bool | None:
    """Whether a reference has the slope that was estimated; None if that is unknown."""
    return slope.agrees([d.reference for d in compared], [d.error for d in compared])


def directions(contraction: Contraction, seed: int, count: int = _COUNT) -> Iterator[Array]:
    """Draw directions for all differentiated entries at once, entries in [-1, 1].

    Those of a large point are eight times as long: whole numbers, which take an eighth of the memory.
    """
    rng = np.random.default_rng([seed, contraction.size])
    for _ in range(count):
        drawn = _drawn(rng, contraction.size)
        whole = contraction.flat.heavy and contraction.room is None
        yield drawn if whole else contraction.direction(drawn * _STEP)


def direction_of(contraction: Contraction, seed: int) -> Array:
    """Give one direction, that of a seed: a piece of what is kept, since making a generator takes longer than that."""
    if 2 * contraction.size > _KEPT:
        (found,) = directions(contraction, seed, count=1)
        return found
    start = seed % (_KEPT - contraction.size)
    return contraction.direction(_kept()[start : start + contraction.size])


@cache
def _kept() -> Array:
    kept = _drawn(np.random.default_rng(0), _KEPT) * _STEP
    kept.flags.writeable = False
    return kept


def _drawn(rng: np.random.Generator, size: int) -> Array:
    """Draw whole numbers from -8 to 8, none of them 0, which would hide an entry: one for each half of a byte."""
    drawn = np.frombuffer(rng.bytes((size + 1) // 2), np.int8)
    halves = np.concatenate([drawn, drawn << 4])[:size]
    signs = halves >> 7  # 0 or -1, and -1 turns a number n into -n - 1
    return np.asarray((((halves >> 4) & 7) ^ signs) + (signs + np.int8(1)))


def slopes(contraction: Contraction, vectors: Iterable[Array], *, complex_too: bool) -> list[Slope]:
    """Estimate the slope along each vector by finite differences, and by complex steps where asked for."""
    found = []
    for vector in vectors:
        direction = tuple(contraction.split(vector))
        found.append(Slope(direction, difference(contraction, vector)))
        if complex_too:
            steps = complex_step.directional(contraction, contraction.origin, vector, room=contraction.room)
            found.append(Slope(direction, steps))
    return found


def at_a_glance(contraction: Contraction, vector: Array, gradient: Sequence[Array], summands: float = 0.0) -> Slope:
    """Estimate the slope along a vector, by one or two steps where that is enough to confirm a gradient.

    What a step leaves out is unknown, but it can only break an agreement up to rounding, not make one. Where there is
    none, or rounding is large against the slope and against the ``summands`` that it is made of, the slope is estimated
    as always.
    """
    line, direction = contraction.line(vector), tuple(contraction.split(vector))
    expected = _along(gradient, direction)
    sharp = _SHARP * max(abs(expected), summands)
    rounding = _ROUNDINGS * (contraction.noise + line.grain / 2 * abs(expected))
    step = min(_GLANCE, _ALL / math.sqrt(contraction.size)) / line.speed
    found, error, runs = math.nan, rounding / step, 2
    try:
        if error <= sharp:
            found = _central(contraction, line, step)
        else:
            step, runs = _balanced_step(contraction) / line.speed, 4
            error = _BALANCED * rounding / step
            if error <= sharp:
                found = (4 * _central(contraction, line, step) - _central(contraction, line, 2 * step)) / 3
    except (ArithmeticError, ValueError):  # how a forward in plain Python leaves its domain
        pass
    if not abs(found - expected) <= error:
        return Slope(direction, difference(contraction, vector))
    detail = f"a step of {step:.1e} at a glance, round-off {error:.1e}"
    estimate = Estimate(finite_difference.ORACLE, np.array(found), np.array(error), detail, evaluations=runs)
    return Slope(direction, estimate)


def _balanced_step(contraction: Contraction) -> float:
    """Give the power of two at which what two steps leave out is about as large as rounding is."""
    weight = sum(float(np.sum(np.abs(c))) for c in contraction.cotangents)
    return 2.0 ** math.ceil(math.log2(contraction.noise / weight) / _ORDER)


def _central(contraction: Contraction, line: Line, step: float) -> float:
    point = line.at(step)
    ahead = float(contraction(point))
    return (ahead - float(contraction(line.at(-step, point)))) / (2 * step)


def difference(contraction: Contraction, vector: Array) -> Estimate:
    """Estimate the slope along a vector by finite differences, at the noise that is in the forward."""
    return finite_difference.directional(
        contraction, contraction.origin, vector, noise=contraction.noise, room=contraction.room
    )


def closer(contraction: Contraction, slope: Slope, gradient: Sequence[Array]) -> Slope:
    """Estimate a slope again, within the length over which a gradient's own slope uses up all that the forward moves.

    Where a large weight meets a tiny input, the forward may be flat on both sides of a bend that no step has seen.
    """
    line = contraction.line(_vector(slope))
    centre = contraction(line.at(0.0))
    ends = [sign * line.scales[0] / 4.0**power for power in range(_LOOKS) for sign in (1, -1)]
    moves = max(abs(contraction(line.at(t)) - centre) for t in ends)
    steepness = abs(slope.along(gradient))
    if not 0 < moves < np.inf or not 0 < steepness < np.inf:
        return slope
    return _again(contraction, slope, moves / steepness)


def on_one_piece(contraction: Contraction, slope: Slope, reference: Autodiff) -> Slope:
    """Estimate a slope again, with steps that end before the first kink on either side."""
    longest = contraction.line(_vector(slope)).scales[0]
    return _again(contraction, slope, reference.piece(slope.direction, longest))


def _vector(slope: Slope) -> Array:
    return np.concatenate([part.ravel() for part in slope.direction])


def _again(contraction: Contraction, slope: Slope, scale: float) -> Slope:
    noise, room = contraction.noise, contraction.room
    found = finite_difference.directional(
        contraction, contraction.origin, _vector(slope), noise=noise, scale=scale, room=room
    )
    return replace(slope, estimate=found)


def coordinate(contraction: Contraction, k: int) -> Array:
    """Give the direction of one entry, counted through all differentiated leaves laid end to end."""
    vector = np.zeros(contraction.size)
    vector[k] = 1.0
    return contraction.projected(vector)
