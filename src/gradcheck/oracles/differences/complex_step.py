"""The complex-step oracle: for an analytic forward, ``Im f(x + i h v) / h`` is the derivative, with nothing to cancel.

The step can be so small that there is no truncation, and no two values are subtracted, so the result is correct to
rounding [1]_ [2]_; where the forward is analytic and is written so that it takes complex numbers. Evaluation cannot
prove the first, and code that is not analytic (``abs``, ``conj``, ``x.real``, a comparison) often runs all the same and
gives a wrong number without a word. What can be checked is checked: the real part has to be the forward's own value,
and as analytic functions have one derivative in all directions (Cauchy and Riemann), a real difference has to give the
same one, to the six or seven digits that it has. So this is one vote among others.

The error is measured, on a second step and on neighbours along the line. Terms that the forward has absorbed, as
``1 + x**2`` absorbs ``x = 1e-9``, are missing from all of these.

References
----------
.. [1] W. Squire and G. Trapp, "Using complex variables to estimate derivatives of real functions", SIAM Review 40
   (1998).
.. [2] J. R. R. A. Martins, P. Sturdza and J. J. Alonso, "The complex-step derivative approximation", ACM Trans.
   Math. Softw. 29 (2003).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.exceptions import ComplexWarning
from numpy.typing import ArrayLike, NDArray

from gradcheck.oracles.differences.estimate import Estimate
from gradcheck.oracles.differences.ladder import SMALLEST, ULP
from gradcheck.oracles.differences.line import Line

__all__ = ["directional"]

ORACLE = "complex step"

# Truncation is of the order of the square of the step, relative to the scale: below any rounding at either of these.
# Their quotient is no power of two, lest both runs round alike and agree in what rounding made wrong.
STEPS = (2.0**-100, 1.6180339887 * 2.0**-60)
# A real difference balances at the square root of an ulp: its round-off is ULP / ALONG, the change of the derivative
# over it ALONG**2.
ALONG = 2.0**-26
# Fewer than these grains, and the rounding of the point would show in the third digit of the real difference.
GRAINS = 2**10
# The noise is known from three samples, which may all be small by chance. Of 24,000 random compositions of analytic
# functions, 22 were off by more than was claimed, all by terms that the forward had absorbed (1e-20 in 1 + 1e-20) and
# that leave no trace in samples so near. No other error was above 0.9 of its claim.
MARGIN = 64
# With an error below this part of the derivative, a step along the line was not too long for the forward. A shorter
# one may fall within one stair of its rounding, where all looks quiet.
ENOUGH = 2.0**-10


class _Unsuitable(Exception):
    """Why the complex step cannot be taken; never leaves this module."""


@dataclass(frozen=True)
class _Sample:
    """The real part; the derivative, from the imaginary one; and what underflow may have taken from that."""

    value: float
    slope: float
    underflow: float


def directional(
    fun: Callable[[NDArray[Any]], Any],
    primal: ArrayLike,
    direction: ArrayLike,
    *,
    room: ArrayLike | None = None,
) -> Estimate:
    """Differentiate a scalar function of an array along a direction, by a step into the complex plane.

    Takes one real and four to six complex evaluations.

    Parameters
    ----------
    fun : callable
        Takes an array like ``primal``, first in float64 and then in complex128, which is its own to overwrite;
        returns a number.
    primal, direction : array_like
        Of one shape, finite; ``direction`` not zero everywhere.
    room : array_like, optional
        Like the primal: how far the real part of each entry may move to either side.

    Returns
    -------
    Estimate
        Of shape (). Its error is NaN, and its detail says why, where the forward raises on complex numbers, drops
        the imaginary part, is not finite, has another real part than for real numbers, or is seen not to be analytic.

    Raises
    ------
    InvalidArgument
        If the arrays are not as said.

    Examples
    --------
    >>> slope = directional(lambda x: np.sum(np.exp(x)), [0.0, 1.0], [1.0, -1.0])
    >>> bool(abs(slope.value - (1 - math.e)) <= slope.error < 1e-12)
    True
    >>> directional(lambda x: np.sum(x * abs(x)), [1.0, 2.0], [1.0, 1.0]).detail
    'not analytic: the derivative is 3 into the complex plane and 6 along the real line'
    """
    forward = _Forward(fun, Line.through(primal, direction, room))
    best, reason = None, ""
    for along in forward.spacings:
        try:
            found = _estimate(forward, along)
        except _Unsuitable as unsuitable:
            reason = reason or str(unsuitable)
            continue
        best = found if best is None or found.error < best.error else best
        if best.error <= ENOUGH * abs(best.value):
            break
    reason = reason or "the domain ends too near for a real difference"
    return best or Estimate.unknown(ORACLE, reason, evaluations=forward.evaluations)


class _Forward:
    """A forward near a line, each point of which is evaluated once."""

    def __init__(self, fun: Callable[[NDArray[Any]], Any], line: Line) -> None:
        self.line = line
        self.evaluations = 0
        self._fun = fun
        self._above: dict[tuple[float, float], _Sample] = {}
        self.value = complex(self._call(0.0)).real

    @property
    def spacings(self) -> list[float]:
        """Steps along the line for what only a real difference can tell; the second for entries near zero."""
        scales = dict.fromkeys((min(1 / self.line.speed, self.line.reach / 2), self.line.scales[-1]))
        steps = dict.fromkeys(max(ALONG * scale, GRAINS * self.line.grain) for scale in scales)
        return [step for step in steps if step < self.line.reach]

    def above(self, t: float, step: float = STEPS[0]) -> _Sample:
        """Evaluate off the line, at ``t`` plus an imaginary step."""
        if (t, step) not in self._above:
            self._above[t, step] = self._sample(t, step * self.line.scales[-1])
        return self._above[t, step]

    def _sample(self, t: float, height: float) -> _Sample:
        if height < SMALLEST / ULP:
            raise _Unsuitable("an entry is too near zero for a step far below it")
        try:
            # Python keeps one list of filters for the whole process; this puts it back at once.
            with warnings.catch_warnings():
                warnings.simplefilter("error", ComplexWarning)
                out = self._call(complex(t, height))
        except ComplexWarning as warning:
            raise _Unsuitable("the forward drops the imaginary part: it casts to a real dtype") from warning
        except Exception as error:  # whatever code raises that was not written for complex numbers
            raise _Unsuitable(f"the forward refuses complex numbers: {type(error).__name__}: {error}") from error
        if not np.iscomplexobj(out):
            raise _Unsuitable("the forward drops the imaginary part: it takes a modulus or a real part, or casts")
        value = complex(out)
        if not (math.isfinite(value.real) and math.isfinite(value.imag / height)):
            raise _Unsuitable(f"the forward is {value} beside the real line")
        return _Sample(value.real, value.imag / height, SMALLEST / height)

    def _call(self, t: complex) -> Any:
        self.evaluations += 1
        with np.errstate(all="ignore"):
            return self._fun(self.line.at(t))


def _estimate(forward: _Forward, along: float) -> Estimate:
    here, higher = forward.above(0.0), forward.above(0.0, STEPS[1])
    ahead, behind = forward.above(along), forward.above(-along)
    # Rounding inside the forward moves the point by about an ulp, and with it the slope. The second differences are
    # rounding too, but for an ulp of what is smooth: they show what the forward loses by cancelling.
    bend = abs(ahead.slope - behind.slope) / (2 * along)
    unsteady = abs((ahead.slope - here.slope) + (behind.slope - here.slope)) + abs(here.slope - higher.slope)
    unsteady += ULP * (abs(here.slope) + forward.line.scales[0] * bend) + here.underflow
    rough = abs((ahead.value - here.value) + (behind.value - here.value))
    rough += ULP * (max(abs(ahead.value), abs(behind.value)) + forward.line.scales[0] * abs(here.slope))
    if not abs(here.value - forward.value) <= MARGIN * rough:
        raise _Unsuitable(f"the forward is {forward.value:.17g}, but {here.value:.17g} when given complex numbers")
    difference = (ahead.value - behind.value) / (2 * along)
    within = MARGIN * (rough / along + unsteady)
    if not abs(here.slope - difference) <= within:
        raise _Unsuitable(
            f"not analytic: the derivative is {here.slope:.6g} into the complex plane and {difference:.6g} along the "
            "real line"
        )
    detail = f"as a real difference within {within:.1e}"
    error = np.array(MARGIN * unsteady)
    return Estimate(ORACLE, np.array(here.slope), error, detail, evaluations=forward.evaluations)
