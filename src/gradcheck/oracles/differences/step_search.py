"""The search for steps at which a function shows its slope at zero, and for the reason where it shows none.

Three things make differences at two steps disagree: bending, noise and kinks. They are told apart by what becomes of
them as the step shrinks: bending goes with its square; what noise does to a value stays; what a kink does to a slope
stays. Every decision here is one of these comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from gradcheck.oracles.differences.ladder import ULP, Fit, Ladder, Rung, fit

__all__ = ["EXPLAINED", "GRAINS", "MARGIN", "claim", "search", "trials"]

# The first step as a part of the scale: four rungs from here leave exp a truncation error of 2e-13, the round-off.
START = 0.1
# Steps fall by a factor no power of which is rational, so that an oscillation cannot be in step with several of them:
# with factors of two, sin(128 pi t) is zero on every rung.
RATIO = math.pi
# Rungs in one extrapolation. With five, truncation shrinks by RATIO**10 from one to the next: more is never needed.
COLUMNS = 5
# What rounding may bring about, in multiples of the round-off, before something else has to explain it; and what is
# claimed of it. The noise is known from a few values, which can all be small by chance. Of 143,000 random compositions
# of smooth functions, 9 were off by more than was claimed: eight that float64 flattens to zero at every step, and one
# whose oscillation is below its rounding. No other error was above 0.7 of its claim. Of 68,000 since scales are rounded
# to powers of two, none was off.
EXPLAINED = 16
MARGIN = 8
# Where a fit is tried out, as parts of its smallest step: near enough to show bending that hides between the steps,
# and far enough from each other to tell what shrinks from what stays.
TRIALS = (1e-1, 1e-3)
# Where to look next for a narrow bend, as a part of the step before.
LEAP = 1e-2
# Steps below this many grains are mostly rounding, their trials entirely.
GRAINS = 2**13
# A fit is smooth if it contradicts itself by less than this part of the slope.
PART = 1 / 16
# The noise of a forward that computes in float32 inside, relative to its value; less than this is no jump.
COARSE = 2.0**-20


def search(ladder: Ladder, scales: Sequence[float]) -> Fit | str:
    """Find the fit to believe, or the reason why there is none.

    Parameters
    ----------
    ladder : Ladder
    scales : sequence of float
        Lengths over which the function may bend. The first is tried first, and the last bounds what a narrow bend is.
    """
    fits: list[Fit] = []
    best: Fit | None = None
    starts = [START * _power_of_two(scale) for scale in scales]
    for start in starts:
        if best and start >= best.step:
            continue
        fits += _descend(ladder, start)
        best = min(fits, key=claim, default=None)
        if best and (_explained(best) or _smooth(best)):
            break
    if best:
        misses = _misses(ladder, best)
        sure = _explained(best) and _confirmed(ladder, best, misses)
        best = _settle(fits, max(misses))
        if sure:
            return best
    below = best.step if best else starts[-1]
    closer = _closer(ladder, best, below, GRAINS * max(ladder.grain, ULP * scales[-1]))
    if best is None:
        return closer or "the forward is not finite on both sides of the point"
    return _hedged(best, closer) if closer else _unless_it_jumps(ladder, best)


def _power_of_two(scale: float) -> float:
    """Round a scale down to a power of two, so that a factor of two on the direction changes no digit."""
    return math.ldexp(0.5, math.frexp(scale)[1])


def claim(found: Fit, noise: float = 0.0) -> float:
    """Give the error that a fit can vouch for, of a function with at least this noise."""
    return 2 * found.spread + MARGIN * max(found.roundoff, noise * found.leverage)


def trials(ladder: Ladder, found: Fit) -> list[Rung | None]:
    """Evaluate where a fit is tried out, from near to far."""
    return [ladder.rung(part * found.step) for part in TRIALS]


def _descend(ladder: Ladder, step: float) -> list[Fit]:
    """Fit every run of rungs from ``step`` down, until rounding explains the last or two in a row gain nothing."""
    rungs: list[Rung] = []
    fits: list[Fit] = []
    spread, idle = math.inf, 0
    while idle < 2:
        rung = ladder.rung(step)
        step /= RATIO
        idle += 1
        if rung is None:
            continue
        rungs = [*rungs[1 - COLUMNS :], rung]
        longest = len(rungs)
        latest = []
        for n in range(longest, 1, -1):
            found = _fit(rungs[-n:])
            if found:
                latest.append(found)
                if _explained(found):
                    return [*fits, *latest]
        fits += latest
        reached = min((found.spread for found in latest), default=math.inf)
        if reached <= spread / 2 or len(rungs) == 1:
            spread, idle = reached, 0
    return fits


def _confirmed(ladder: Ladder, found: Fit, misses: Sequence[float]) -> bool:
    """Whether rounding alone explains what the fit misses by where it is tried out."""
    pairs = zip(trials(ladder, found), misses, strict=True)
    return all(rung and miss <= MARGIN * (rung.noise(found.slope) + found.roundoff * rung.step) for rung, miss in pairs)


def _settle(fits: Sequence[Fit], noise: float) -> Fit:
    """Choose again among fits, now that the noise is measured."""
    return min(fits, key=lambda found: claim(found, noise)).noisier(noise)


def _closer(ladder: Ladder, best: Fit | None, step: float, lowest: float) -> Fit | None:
    """Look below ``step`` for a bend too narrow for the steps so far: two steps that agree better, or elsewhere."""
    while (step := LEAP * step) > lowest:
        pair = [rung for rung in (ladder.rung(step), ladder.rung(step / RATIO)) if rung]
        found = _fit(pair) if len(pair) == 2 else None
        if found and (best is None or found.spread <= max(best.spread, abs(found.value - best.value)) / 4):
            # The bend may reach up to the step before, or something else may begin there.
            fits = _descend(ladder, step / math.sqrt(LEAP)) or _descend(ladder, step)
            if _credible(ladder, best, fits):
                return _settle(fits, max(_misses(ladder, min(fits, key=claim))))
    return None


def _hedged(best: Fit, closer: Fit) -> Fit:
    """Cover both slopes where what tells them apart is below what float32 resolves, and take that at large steps.

    In a forward that computes in float32 inside, a small step moves entries near zero and no others; in one that
    cancels, ``(1 - cos x) / x**2``, it moves the divisor and not what is divided.
    """
    apart, widest = abs(best.value - closer.value), closer.rungs[0]
    if apart * widest.step > COARSE * widest.size:
        return closer
    return replace(best, change=best.change + (apart + claim(closer)) / 2)


def _credible(ladder: Ladder, best: Fit | None, fits: Sequence[Fit]) -> bool:
    """Whether what is seen at small steps is more than noise that agrees by chance."""
    closest = min(fits, key=claim)
    if closest.slope == 0:  # may be one stair of a staircase of rounding, if there is a smooth climb over many
        return best is None or not _smooth(best)
    misses = _misses(ladder, closest)
    if not (_explained(closest) and _confirmed(ladder, closest, misses)):
        closest = _settle(fits, max(misses))
        if not _explained(closest) or (best and _noisy(ladder, best)):
            return False
    return claim(closest) <= closest.slope / 4


def _noisy(ladder: Ladder, found: Fit) -> bool:
    """Whether what a fit contradicts itself by is noise: as large at small steps, where a bend has all but gone."""
    return _explained(fit(found.rungs).noisier(min(_misses(ladder, found))))


def _unless_it_jumps(ladder: Ladder, best: Fit) -> Fit | str:
    """Give the best fit, noisy or kinked as it is, unless the function moves as much however small the step."""
    rest = max((rung.variation for rung in ladder.rungs if rung.step < LEAP * best.step), default=0.0)
    if rest > max(max(PART * rung.variation, COARSE * rung.size, MARGIN * ladder.least) for rung in best.rungs):
        return f"the forward moves by {rest:.1e} however small the step: it jumps at the point, or is all noise"
    return best


def _misses(ladder: Ladder, found: Fit) -> list[float]:
    return [found.miss(rung) if rung else math.inf for rung in trials(ladder, found)]


def _fit(rungs: Sequence[Rung]) -> Fit | None:
    found = fit(rungs)
    return found if math.isfinite(claim(found)) else None


def _explained(found: Fit) -> bool:
    return found.spread <= EXPLAINED * found.roundoff


def _smooth(found: Fit) -> bool:
    return found.spread <= PART * found.slope
