"""The error of a finite difference at every step: what tells a wrong gradient from an unlucky step.

A central difference at step ``h`` is off by its truncation, about ``C h**2``, and by its round-off, about ``R / h``:
the error falls with slope 2 to a floor and rises again with slope -1, a V on logarithmic axes. Held against a right
gradient all of the V is seen. Held against a wrong one there is a shelf: however the step is chosen, the difference
stays away from it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradcheck.oracles.differences.contraction import Contraction
from gradcheck.oracles.differences.estimate import Estimate, FloatArray
from gradcheck.oracles.differences.ladder import NORMAL, Fit, Ladder
from gradcheck.oracles.differences.line import Line
from gradcheck.oracles.differences.step_search import search
from gradcheck.report.report import Report
from gradcheck.rule import Rule
from gradcheck.tree import Array, flatten, leaves_of
from gradcheck.verdict import Discrepancy
from gradcheck.verdict.directions import coordinate, difference, directions
from gradcheck.verdict.outcome import as_float64

__all__ = ["VCurve", "v_curve"]

# Three to a decade show a slope, and over the decades from a length on which things bend to the last bit that is 45.
_PER_DECADE = 3
# What a picture may take where each run of the forward is slow, in seconds.
_PATIENCE = 2.0
_FEWEST = 8
# Below this many grains a step has no three bits of its own, and what it shows is one stair of the rounding; and below
# this part of the longest step it leaves no digit of a forward that changes over that.
_GRAINS = 8
_SHORTEST = 2.0**-48
# Steps this far from where truncation and round-off are equal show one of them alone: at twice the step the former
# is eight times the latter, as 2**2 against 1/2.
_APART = 2.0


@dataclass(frozen=True, eq=False)
class VCurve:
    """Errors of central differences along one line through the point of a report.

    Attributes
    ----------
    along : str
        Which line: an entry, or a random direction.
    steps : array of float64, shape (n,)
        Falling. Steps at which the forward is not finite on both sides are left out.
    from_reference, from_analytic : array of float64, shape (n,)
        How far the difference at each step is from the slope that the reference has, and that the rule has.
    doubt : float
        How far the reference's slope may itself be off.
    used : tuple of float
        The steps that the oracle extrapolated from, falling; empty where it found none to believe.
    estimate : Estimate
        What it made of them, and the error that it vouches for.
    off, apart : float
        How far its estimate is from the slope of the reference, and from that of the rule.
    truncation, roundoff : float
        ``C`` and ``R``, as the oracle knows them.
    rises, falls : float
        The slopes that the errors have where the one rules and where the other does; NaN where too few steps do.
    """

    along: str
    steps: FloatArray
    from_reference: FloatArray
    from_analytic: FloatArray
    doubt: float
    used: tuple[float, ...]
    estimate: Estimate
    off: float
    apart: float
    truncation: float
    roundoff: float
    rises: float
    falls: float


def v_curve(report: Report) -> VCurve | str:
    """Measure the V at the worst entry of a failure, or along a random direction.

    The rule's forward is run up to about 150 times, fewer where it is slow.

    Returns
    -------
    VCurve or str
        Or the reason why there is none.
    """
    if report.rule is None:
        return "the report was read back or came from another process, and its functions are not here to be run"
    compared = report.verdict.discrepancies
    if not any(d.analytic.size for d in compared):
        return "no entries were compared"
    try:
        return _measured(report, report.rule)
    except Exception as error:  # a picture is not worth a report
        return f"the forward could not be run again: {type(error).__name__}: {error}"


def _measured(report: Report, rule: Rule) -> VCurve | str:
    compared = report.verdict.discrepancies
    contraction = _contraction(report, rule)
    along, vector = _direction(contraction, compared, report.seed)
    line = Line.through(contraction.origin, vector, contraction.room)
    with np.errstate(all="ignore"):
        ladder = Ladder(lambda t: contraction(line.at(t)), line.grain, contraction.noise)
        found = search(ladder, line.scales) if math.isfinite(ladder.centre) else "the forward is not finite here"
        estimate = difference(contraction, vector)
        steps, slopes = _differences(ladder, line)
    if not len(steps):
        return "the forward is not finite on both sides of the point"
    parts = contraction.split(vector)
    # where only a sample of the entries has a reference of its own, the oracle's estimate stands in
    exact = all(d.complete for d in compared)
    truth = _along([d.reference for d in compared], parts) if exact else float(estimate.value)
    doubt = _along([d.error for d in compared], [np.abs(p) for p in parts]) if exact else float(estimate.error)
    fit = found if isinstance(found, Fit) else None
    truncation, roundoff = _constants(ladder, fit)
    analytic = _along([d.analytic for d in compared], parts)
    errors = np.abs(slopes - truth)
    if max(abs(truth), abs(analytic)) <= float(estimate.error):
        return f"the slope along {along} is {truth:.1g}, and they see nothing below {float(estimate.error):.0e}"
    rises, falls = _slopes(steps, errors, truncation, roundoff)
    return VCurve(
        along=along,
        steps=steps,
        from_reference=errors,
        from_analytic=np.abs(slopes - analytic),
        doubt=doubt,
        used=tuple(rung.step for rung in fit.rungs) if fit else (),
        estimate=estimate,
        off=abs(float(estimate.value) - truth),
        apart=abs(float(estimate.value) - analytic),
        truncation=truncation,
        roundoff=roundoff,
        rises=rises,
        falls=falls,
    )


def _contraction(report: Report, rule: Rule) -> Contraction:
    """Give the forward as a number of the arrays that were compared."""
    flat, paths = flatten(rule, report.point), {d.path for d in report.verdict.discrepancies}
    judged = type(flat)(flat.tree, flat.leaves, tuple(leaf for leaf in flat.differentiated if leaf.path in paths))
    return Contraction(rule.forward, judged, [as_float64(c) for c in leaves_of(report.point.cotangent)])


def _direction(contraction: Contraction, compared: tuple[Discrepancy, ...], seed: int) -> tuple[str, Array]:
    start = 0
    for d in compared:
        worst = d.worst(1)
        if worst and np.isfinite(d.analytic[worst[0]]):
            name = f"{d.path}[{', '.join(map(str, worst[0]))}]" if worst[0] else d.path
            entry = start + int(np.ravel_multi_index(worst[0], d.analytic.shape)) if worst[0] else start
            return f"entry {name}", coordinate(contraction, entry)
        start += d.analytic.size
    return "a random direction", next(directions(contraction, seed, 1))


def _differences(ladder: Ladder, line: Line) -> tuple[FloatArray, FloatArray]:
    """Take central differences at steps from the longest scale down to the last bit, as many as there is time for."""
    longest = line.scales[0]
    shortest = max(_GRAINS * line.grain, _SHORTEST * longest, NORMAL)
    count = max(_FEWEST, math.ceil(_PER_DECADE * math.log10(max(longest / shortest, 10.0))))
    start = time.perf_counter()
    ladder.rung(longest)
    count = min(count, max(_FEWEST, int(_PATIENCE / max(time.perf_counter() - start, 1e-9))))
    rungs = [rung for step in np.geomspace(longest, shortest, count) if (rung := ladder.rung(float(step)))]
    while len(rungs) > 1 and rungs[-1].odd == rungs[-2].odd == 0:  # too small to move the forward at all
        rungs.pop()
    steps = np.array([rung.step for rung in rungs])
    return steps, np.array([rung.odd / rung.step for rung in rungs])


def _constants(ladder: Ladder, fit: Fit | None) -> tuple[float, float]:
    """Give ``C``, from the longest step that the oracle used, and ``R``, the noise it reckons with."""
    if fit is None:
        return math.nan, math.nan
    first, last = fit.rungs[0], fit.rungs[-1]
    truncation = abs(first.odd / first.step - fit.value) / first.step**2
    return truncation, max(last.noise(fit.slope), ladder.least)


def _slopes(steps: FloatArray, errors: FloatArray, truncation: float, roundoff: float) -> tuple[float, float]:
    """Measure the two slopes of the V on either side of where ``C h**2`` and ``R / h`` meet."""
    if not (truncation > 0 and roundoff > 0):
        return math.nan, math.nan
    meeting = (roundoff / truncation) ** (1 / 3)
    # a step is long once terms beyond h**2 show; what is off by half of the truncation is not ruled by it
    ruled = np.abs(errors - truncation * steps**2) < truncation * steps**2 / 2
    right = (steps > _APART * meeting) & ruled
    left = steps < meeting / _APART
    return _slope(steps[right], errors[right]), _slope(steps[left], errors[left])


def _slope(steps: FloatArray, errors: FloatArray) -> float:
    seen = errors > 0
    if seen.sum() < 3:
        return math.nan
    return float(np.polyfit(np.log(steps[seen]), np.log(errors[seen]), 1)[0])


def _along(gradient: Sequence[Array], direction: Sequence[Array]) -> float:
    return sum(float(np.vdot(g, v)) for g, v in zip(gradient, direction, strict=True))
