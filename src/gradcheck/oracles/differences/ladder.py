"""Central differences at several steps, and what they say together about the slope at zero.

Let ``odd(h) = (phi(h) - phi(-h)) / 2`` and ``even(h) = (phi(h) + phi(-h)) / 2 - phi(0)``. Where ``phi`` is smooth,
``odd(h) / h = phi'(0) + c h**2 + ...`` and ``even(h) = phi''(0) h**2 / 2 + ...``. Extrapolated in ``h**2`` to ``h = 0``
(Richardson 1911, Ridders 1982), the first gives the slope, and the second has to give nothing. What it gives instead
is the evidence that finite differences usually lack: of rounding, and of a kink or a jump at zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import mul

__all__ = ["SMALLEST", "ULP", "Fit", "Ladder", "Rung", "fit"]

ULP = 2.0**-52  # of 1
SMALLEST = 2.0**-1074  # positive float64
NORMAL = 2.0**-1022  # the smallest that is: below it a step has too few bits to be divided by another


@dataclass(frozen=True)
class Rung:
    """What ``phi`` does at ``step`` on either side.

    ``size`` is the largest ``|phi|`` that went into it, ``floor`` the noise that is in it wherever it was evaluated,
    and ``grain`` the spacing of where it could be.
    """

    step: float
    odd: float
    even: float
    size: float
    floor: float
    grain: float

    @property
    def variation(self) -> float:
        """How far ``phi`` moves from ``phi(0)``."""
        return abs(self.odd) + abs(self.even)

    def noise(self, slope: float) -> float:
        """Give the noise that no forward avoids: an ulp of its value, and half a grain in where it is evaluated."""
        return self.floor + self.grain / 2 * slope


class Ladder:
    """The rungs of one ``phi``: evaluated when asked for, never twice, and counted.

    Parameters
    ----------
    phi : callable
        ``float -> float``.
    grain : float
        The spacing of the ``t`` that ``phi`` can tell apart.
    least : float
        Noise that ``phi`` is known to have, whatever its value.
    """

    def __init__(self, phi: Callable[[float], float], grain: float, least: float) -> None:
        self.grain, self.least = grain, least
        self.evaluations = 0
        self._phi = phi
        self._rungs: dict[float, Rung | None] = {}
        self.centre = self._call(0.0)

    @property
    def rungs(self) -> list[Rung]:
        """All that were asked for and are finite."""
        return [rung for rung in self._rungs.values() if rung]

    def rung(self, step: float) -> Rung | None:
        """Evaluate both sides; None where ``phi`` is not finite on either, or the step is subnormal."""
        if step < NORMAL:
            return None
        if step not in self._rungs:
            self._rungs[step] = self._rung(step)
        return self._rungs[step]

    def _rung(self, step: float) -> Rung | None:
        sides = []
        for t in (step, -step):
            try:
                sides.append(self._call(t))
            except (ArithmeticError, ValueError):  # how a forward in plain Python leaves its domain
                return None
            if not math.isfinite(sides[-1]):
                return None
        size = max(abs(self.centre), *map(abs, sides))
        # Halved before they meet: the difference of two values near the largest float overflows.
        ahead, behind, centre = 0.5 * sides[0], 0.5 * sides[1], 0.5 * self.centre
        floor = max(ULP * size, self.least) + 2 * SMALLEST
        return Rung(step, ahead - behind, (ahead - centre) + (behind - centre), size, floor, self.grain)

    def _call(self, t: float) -> float:
        self.evaluations += 1
        return float(self._phi(t))


@dataclass(frozen=True)
class Fit:
    """What several rungs say together.

    Attributes
    ----------
    value : float
        The slope at zero.
    change : float
        How much of it came with the smallest step: a bound on the truncation error of what was there before.
    gap : float
        Half of what separates the one-sided slopes at zero.
    bend : float
        What ``even(h) / h**power`` tends to.
    roundoff : float
        What the noise of ``phi`` can do to ``value``.
    leverage : float
        What a noise of 1 can.
    slope : float
        The steepest one-sided difference: what the others are small or large against.
    power : int
        2 for a smooth ``phi``; 1 for one with a kink at zero, whose ``odd`` and ``even`` hold all powers of ``h``.
    weights : tuple of float
        With which the rungs enter ``value``.
    rungs : tuple of Rung
        In order of falling step.
    """

    value: float
    change: float
    gap: float
    bend: float
    roundoff: float
    leverage: float
    slope: float
    power: int
    weights: tuple[float, ...]
    rungs: tuple[Rung, ...]

    @property
    def spread(self) -> float:
        """How far the rungs contradict one another."""
        return self.change + abs(self.gap)

    @property
    def step(self) -> float:
        """The smallest step."""
        return self.rungs[-1].step

    def miss(self, rung: Rung) -> float:
        """How far ``phi`` is, at a smaller step, from where the same extrapolation puts it."""
        weights = _weights(tuple(known.step / self.step for known in self.rungs), self.power, rung.step / self.step)
        slope = _dot(weights, [known.odd / known.step for known in self.rungs])
        bend = _dot(weights, [_bend(known, self.power) for known in self.rungs])
        return max(abs(rung.odd - rung.step * slope), abs(rung.even - rung.step ** (self.power - 1) * bend * rung.step))

    def noisier(self, noise: float) -> Fit:
        """Give the same fit for a ``phi`` with at least this noise."""
        return replace(self, roundoff=max(self.roundoff, noise * self.leverage))


def fit(rungs: Sequence[Rung], power: int = 2) -> Fit:
    """Extrapolate two or more rungs, in order of falling step, to step zero.

    Parameters
    ----------
    rungs : sequence of Rung
    power : int
        In powers of ``step**power``: 2 where ``phi`` is smooth, 1 where it has a kink.
    """
    smallest = rungs[-1].step
    steps = tuple([rung.step / smallest for rung in rungs])
    weights, before = _weights(steps, power), _weights(steps[:-1], power)
    slopes = [rung.odd / rung.step for rung in rungs]
    bends = [_bend(rung, power) for rung in rungs]
    value, bend = _dot(weights, slopes), _dot(weights, bends)
    change = abs(value - _dot(before, slopes))
    if power == 1:
        gap = bend
        change += abs(bend - _dot(before, bends))
    else:  # a kink, even(h) = gap * h, leaves gap * _dot(weights, steps)
        gap = _dot(weights, [rung.even for rung in rungs]) / (smallest * _dot(weights, steps))
    slope = max([rung.variation / rung.step for rung in rungs[-2:]])
    roundoff = leverage = 0.0
    for weight, rung in zip(weights, rungs, strict=True):
        own = abs(weight) / rung.step
        leverage += own
        roundoff += own * rung.floor
    roundoff += leverage * rungs[0].grain / 2 * slope
    return Fit(value, change, gap, bend, roundoff, leverage, slope, power, weights, tuple(rungs))


@lru_cache(maxsize=1024)  # steps that start at a power of two differ by one: their quotients are always the same few
def _weights(steps: tuple[float, ...], power: int, at: float = 0.0) -> tuple[float, ...]:
    """Lagrange's weights for the value at one step of a polynomial in ``step**power``, all in one unit."""
    weights = []
    for own in steps:
        weight = 1.0
        for other in steps:
            if other != own:
                away, ratio = at / other, own / other
                weight *= (1 - away * away) / (1 - ratio * ratio) if power == 2 else (1 - away) / (1 - ratio)
        weights.append(weight)
    return tuple(weights)


def _bend(rung: Rung, power: int) -> float:
    return rung.even / rung.step / rung.step ** (power - 1)  # in this order: the square of a step may underflow


def _dot(weights: Sequence[float], values: Sequence[float]) -> float:
    total: float = sum(map(mul, weights, values))
    return total
