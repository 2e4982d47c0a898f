"""The finite-difference oracle: a derivative from values alone, with an error that holds.

No step suits both ``exp`` at 700 and ``1/x`` at 1e-8, so it is searched for
(`gradcheck.oracles.differences.step_search`), and nothing is believed that has not been confirmed at other steps:

1. From a length over which the function may bend, steps fall, and the differences are extrapolated to step zero
   (`gradcheck.oracles.differences.ladder`), until what the last step changed is no more than rounding explains [1]_.
2. At two far smaller steps the function has to be where the extrapolation puts it. What it misses by is its noise,
   measured rather than assumed, for a function that cancels internally has more of it than its value shows; compare
   the difference tables of [2]_ and [3]_.
3. Where rounding does not explain what is seen, smaller steps tell why. Noise is charged to the error; so is the gap
   between the one-sided slopes at a kink, which is reported as well; within a narrow bend the search starts again.

What nothing outside the function can see: an oscillation whose amplitude is below the noise, and terms that the
forward itself has absorbed (``log(1 + x**2)`` in float64 is flat for ``|x| < 1e-8``).

References
----------
.. [1] C. J. F. Ridders, "Accurate computation of F'(x) and F'(x) F''(x)", Advances in Engineering Software 4 (1982).
.. [2] P. E. Gill, W. Murray, M. A. Saunders and M. H. Wright, "Computing forward-difference intervals for numerical
   optimization", SIAM J. Sci. Stat. Comput. 4 (1983).
.. [3] J. J. Moré and S. M. Wild, "Estimating computational noise", SIAM J. Sci. Comput. 33 (2011).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from gradcheck.errors import InvalidArgument
from gradcheck.oracles.differences.estimate import Estimate, FloatArray
from gradcheck.oracles.differences.ladder import SMALLEST, ULP, Fit, Ladder, Rung, fit
from gradcheck.oracles.differences.line import Line
from gradcheck.oracles.differences.step_search import EXPLAINED, GRAINS, MARGIN, claim, search, trials

__all__ = ["derivative", "directional"]

ORACLE = "finite differences"


def derivative(
    phi: Callable[[float], float],
    *,
    scale: float | Sequence[float] = 1.0,
    grain: float | None = None,
    noise: float = 0.0,
) -> Estimate:
    """Differentiate a function of one number at zero.

    A smooth function takes 9 to 19 evaluations, typically 13, and has an error of about 1e-11 of itself; kinks,
    noise and bends far narrower than the scale take up to about 80.

    Parameters
    ----------
    phi : callable
        ``float -> float``, called at zero and on both sides of it. Where it is not finite, or raises an
        ``ArithmeticError`` or a ``ValueError``, smaller steps are taken.
    scale : float or sequence of float
        Lengths of ``t`` over which ``phi`` may bend, the longest first.
    grain : float, optional
        The spacing of the ``t`` that ``phi`` can tell apart, coarser than that of floats where ``phi`` adds ``t`` to
        something. By default one ulp of the first scale.
    noise : float
        Rounding noise that ``phi`` is known to have, in its own unit. More is found where there is more.

    Returns
    -------
    Estimate
        Of shape (). Its error is NaN, and its detail says why, where ``phi`` is not finite at zero or on one side of
        it, and where it jumps.

    Raises
    ------
    InvalidArgument
        If a scale is not a positive finite number, or a grain or noise is negative.

    Examples
    --------
    >>> slope = derivative(lambda t: math.exp(1 + t))
    >>> bool(abs(slope.value - math.e) <= slope.error < 1e-11)
    True
    >>> derivative(abs).detail
    'kink: slopes -1 behind and 1 ahead'
    """
    scales = tuple(map(float, scale)) if isinstance(scale, Sequence) else (float(scale),)
    if not (scales and all(0 < length < math.inf for length in scales)):
        raise InvalidArgument(f"scale is {scale}; give lengths of t, above zero, over which phi may bend")
    for name, size in (("grain", grain), ("noise", noise)):
        if size is not None and not 0 <= size < math.inf:
            raise InvalidArgument(f"{name} is {size}; give a finite number, zero or above")
    with np.errstate(all="ignore"):  # the forward may be taken where it overflows
        ladder = Ladder(phi, ULP * scales[0] if grain is None else grain, noise)
        if math.isfinite(ladder.centre):
            found = search(ladder, scales)
        else:
            found = f"the forward is {ladder.centre} at the point itself"
        if isinstance(found, str):
            return Estimate.unknown(ORACLE, found, evaluations=ladder.evaluations)
        return _estimate(ladder, found)


def directional(
    fun: Callable[[FloatArray], float],
    primal: ArrayLike,
    direction: ArrayLike,
    *,
    noise: float = 0.0,
    scale: float | None = None,
    room: ArrayLike | None = None,
) -> Estimate:
    """Differentiate a scalar function of an array along a direction.

    ``primal + h * direction`` is rounded, so that the step taken is not quite the one meant. This passes as noise
    of the function, which it is as far as differences can see.

    Parameters
    ----------
    fun : callable
        Takes a float64 array like ``primal``, which is its own to overwrite, and returns a float.
    primal : array_like
        Entries may be infinite, as masked logits are; these stay where they are.
    direction : array_like
        Of the same shape, finite, not zero everywhere.
    noise : float
        As in `derivative`.
    scale : float, optional
        As there; left out, the lengths that the size of the primal suggests.
    room : array_like, optional
        Like the primal: how far each entry may move to either side. Steps end a long way before.

    Returns
    -------
    Estimate
        Of shape (): as `derivative` gives. Its error is NaN too where there is room for no step that rounding leaves.

    Raises
    ------
    InvalidArgument
        If the arrays are not as said.

    Examples
    --------
    >>> slope = directional(lambda x: float(np.sum(x**3)), [1.0, 2.0], [1.0, -1.0])
    >>> bool(abs(slope.value - (3 - 12)) <= slope.error < 1e-11)
    True
    """
    line = Line.through(primal, direction, room)
    if line.reach < GRAINS * line.grain:
        return Estimate.unknown(ORACLE, f"the domain ends {line.reach:.1e} away, too near for a step")
    scales = line.scales if scale is None else (min(scale, line.reach / 2),)
    return derivative(lambda t: fun(line.at(t)), scale=scales, grain=line.grain, noise=noise)


def _estimate(ladder: Ladder, found: Fit) -> Estimate:
    near, far = trials(ladder, found)
    if near is None or far is None:
        return Estimate.unknown(
            ORACLE, "the forward is finite at some steps and not at smaller ones", evaluations=ladder.evaluations
        )
    kinked = _kink(found, near, far)
    if kinked:
        value, error = kinked.value, _kinked_claim(kinked)
        detail = f"kink: slopes {value - kinked.gap:.6g} behind and {value + kinked.gap:.6g} ahead"
    else:
        # Bending that hides between the steps shows at the nearer trial, as a miss in proportion to its step.
        value, error = found.value, claim(found) + found.miss(near) / near.step
        detail = f"step {found.step:.1e}, truncation {found.spread:.1e}, round-off {found.roundoff:.1e}"
    return Estimate(
        ORACLE,
        np.array(value),
        np.array(max(error, SMALLEST)),
        detail,
        kink=kinked is not None,
        evaluations=ladder.evaluations,
    )


def _kink(found: Fit, near: Rung, far: Rung) -> Fit | None:
    """Fit a kink at zero, if there is one: a gap that large steps do not show is the noise of small ones."""
    most = 4 * found.spread
    if most <= EXPLAINED * far.noise(0.0) / far.step:  # less than the noise of any fit that holds the last step
        return None
    runs = [(*found.rungs[len(found.rungs) - n :], near, far) for n in (0, 1, 2)]
    kinked = min((fit(run, power=1) for run in runs), key=_kinked_claim)
    seen = max(EXPLAINED * kinked.roundoff, 4 * kinked.change) < abs(kinked.gap) < most
    return kinked if seen else None


def _kinked_claim(found: Fit) -> float:
    return abs(found.gap) + 2 * found.change + MARGIN * found.roundoff
