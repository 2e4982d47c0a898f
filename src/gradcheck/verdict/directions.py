"""Second opinions along a few seeded directions: cheap whatever the number of entries, and independent of autodiff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
# The rounding of two values, each once in its evaluation and once in where it is evaluated.
_ROUNDINGS = 4.0
# A glance that could not tell six digits apart tells too little.
_SHARP = 2.0**-20
# Multiples of 1/8 with mixed signs: exact in every dtype and short in messages. No zeros, which would hide entries.
_STEPS = np.array([k / 8 for k in range(-8, 9) if k])


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
        with np.errstate(all="ignore"):
            doubt = sum(float(np.vdot(e, np.abs(v))) for e, v in zip(errors, self.direction, strict=True))
            away = abs(self.along(gradient) - float(self.estimate.value))
        if not np.isfinite(doubt):
            return None
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
        return sum(float(np.vdot(g, v)) for g, v in zip(gradient, self.direction, strict=True))


def consistent(slope: Slope, compared: Sequence[Discrepancy]) -> bool | None:
    """Whether a reference has the slope that was estimated; None if that is unknown."""
    return slope.agrees([d.reference for d in compared], [d.error for d in compared])


def directions(contraction: Contraction, seed: int, count: int = _COUNT) -> list[Array]:
    """Draw directions for all differentiated entries at once, entries in [-1, 1]."""
    rng = np.random.default_rng([seed, contraction.origin.size])
    return [contraction.direction(rng.choice(_STEPS, contraction.origin.size)) for _ in range(count)]


def slopes(contraction: Contraction, vectors: Sequence[Array], *, complex_too: bool) -> list[Slope]:
    """Estimate the slope along each vector by finite differences, and by complex steps where asked for."""
    found = []
    for vector in vectors:
        direction = tuple(contraction.split(vector))
        found.append(Slope(direction, difference(contraction, vector)))
        if complex_too:
            steps = complex_step.directional(contraction, contraction.origin, vector, room=contraction.room)
            found.append(Slope(direction, steps))
    return found


def at_a_glance(contraction: Contraction, vector: Array, gradient: Sequence[Array]) -> Slope:
    """Estimate the slope along a vector, by a single step where that is enough to confirm a gradient.

    What a single step leaves out is unknown, but it can only break an agreement up to rounding, not make one. Where
    there is none, or rounding is large, the slope is estimated as always.
    """
    line, direction = Line.through(contraction.origin, vector, contraction.room), tuple(contraction.split(vector))
    step = _GLANCE / line.speed
    try:
        ahead, behind = (float(contraction(line.at(t))) for t in (step, -step))
    except (ArithmeticError, ValueError):  # how a forward in plain Python leaves its domain
        return Slope(direction, difference(contraction, vector))
    expected = Slope(direction, Estimate.unknown("", "")).along(gradient)
    with np.errstate(all="ignore"):
        found = (ahead - behind) / (2 * step)
        error = _ROUNDINGS * (contraction.noise + line.grain / 2 * abs(expected)) / step
    if not (abs(found - expected) <= error <= _SHARP * abs(expected)):
        return Slope(direction, difference(contraction, vector))
    detail = f"a single step of {step:.1e}, round-off {error:.1e}"
    return Slope(direction, Estimate(finite_difference.ORACLE, np.array(found), np.array(error), detail, evaluations=2))


def difference(contraction: Contraction, vector: Array) -> Estimate:
    """Estimate the slope along a vector by finite differences, at the noise that is in the forward."""
    return finite_difference.directional(
        contraction, contraction.origin, vector, noise=contraction.noise, room=contraction.room
    )


def closer(contraction: Contraction, slope: Slope, gradient: Sequence[Array]) -> Slope:
    """Estimate a slope again, within the length over which a gradient's own slope uses up all that the forward moves.

    Where a large weight meets a tiny input, the forward may be flat on both sides of a bend that no step has seen.
    """
    line = Line.through(contraction.origin, _vector(slope), contraction.room)
    centre = contraction(contraction.origin)
    ends = [sign * line.scales[0] / 4.0**power for power in range(_LOOKS) for sign in (1, -1)]
    moves = max(abs(contraction(line.at(t)) - centre) for t in ends)
    steepness = abs(slope.along(gradient))
    if not 0 < moves < np.inf or not 0 < steepness < np.inf:
        return slope
    return _again(contraction, slope, moves / steepness)


def on_one_piece(contraction: Contraction, slope: Slope, reference: Autodiff) -> Slope:
    """Estimate a slope again, with steps that end before the first kink on either side."""
    longest = Line.through(contraction.origin, _vector(slope), contraction.room).scales[0]
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
    vector = np.zeros(contraction.origin.size)
    vector[k] = 1.0
    return contraction.projected(vector)
