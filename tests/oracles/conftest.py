"""Functions with known derivatives: a table of hard ones, and random compositions. Truth comes from 60 digits."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from numpy.typing import ArrayLike

# A context of its own: the precision of mpmath's `mp` belongs to whoever else uses it.
mp: Any = importlib.import_module("mpmath").MPContext()
mp.dps = 60

Function = Callable[[Any], Any]


@dataclass(frozen=True)
class Truth:
    """A function of an array, a line through a point, and its derivative along that, to 60 digits.

    ``differences`` and ``complex_step`` are the errors that these oracles must reach: relative ones, and absolute
    ones where the derivative is zero. None stands for a forward that the oracle has to refuse.
    """

    name: str
    why: str
    fun: Function
    at: ArrayLike
    slope: Callable[[list[Any], list[Any]], Any]
    differences: float
    complex_step: float | None
    along: ArrayLike = 1.0

    @property
    def derivative(self) -> Any:
        return self.slope(
            [mp.mpf(float(x)) for x in np.ravel(self.at)], [mp.mpf(float(v)) for v in np.ravel(self.along)]
        )

    def reached(self, reach: float) -> Any:
        return reach * (abs(self.derivative) or 1)


def one(
    name: str, why: str, fun: Function, at: float, slope: Function, differences: float, complex_step: float | None
) -> Truth:
    """Make a row of a function of one number."""
    return Truth(name, why, lambda x: fun(x[()]), at, lambda x, _: slope(x[0]), differences, complex_step)


def logsumexp(z: Any) -> Any:
    top = z.real.max()
    return top + np.log(np.sum(np.exp(z - top)))


def nll(z: Any) -> Any:
    """Softmax + NLL of three rows, labels 2, 0 and 1."""
    return sum(logsumexp(row) - row[label] for row, label in zip(z, (2, 0, 1), strict=True))


def softmax_slope(z: list[Any], v: list[Any]) -> Any:
    top = max(z)
    powers = [mp.exp(x - top) for x in z]
    return mp.fdot(powers, v) / mp.fsum(powers)


def nll_slope(z: list[Any], v: list[Any]) -> Any:
    rows = [(z[k : k + 4], v[k : k + 4], label) for k, label in zip((0, 4, 8), (2, 0, 1), strict=True)]
    return mp.fsum(softmax_slope(row, along) - along[label] for row, along, label in rows)


LOGITS = np.array([[0.25, -1.25, 2.0, 0.125], [1.5, 0.25, -0.75, 3.0], [-2.5, 0.5, 0.625, 1.0]])
ALONG = np.array([[1.5, -2.25, 0.75, 1.0], [-1.0, 0.5, 2.0, -0.25], [0.125, 1.75, -0.5, -1.5]])

TRUTHS = (
    one("exp", "the ordinary case", np.exp, 1.0, mp.exp, 1e-11, 1e-12),
    one("exp at 700", "overflows within the first steps", np.exp, 700.0, mp.exp, 1e-9, 1e-10),
    one("exp at -700", "all values are below 1e-300", np.exp, -700.0, mp.exp, 1e-9, 1e13),
    one("1/x at 1e-3", "a pole within the first steps", lambda x: 1 / x, 1e-3, lambda x: -1 / x**2, 1e-10, 1e-6),
    one("1/x at 1e-8", "a pole far within them", lambda x: 1 / x, 1e-8, lambda x: -1 / x**2, 1e-10, 1e-5),
    one("sin(1e6 x)", "oscillates within the first steps",
        lambda x: np.sin(1e6 * x), 0.3, lambda x: 10**6 * mp.cos(10**6 * x), 1e-6, 2e-2),
    one("sin(1e6 x) at 0", "and is odd, so that it may look still",
        lambda x: np.sin(1e6 * x), 0.0, lambda _: mp.mpf(10) ** 6, 1e-12, 2e-2),
    one("sin(128 pi x)", "zero at every power of two, so halved steps see nothing",
        lambda x: np.sin(128 * np.pi * x), 0.0, lambda _: 128 * mp.mpf(np.pi), 1e-12, 1e-7),
    one("sin at 1e6", "the point is rounded to 1e-10", np.sin, 1e6, mp.cos, 1e-6, 1e-8),
    one("cos at 0", "derivative zero by symmetry", np.cos, 0.0, lambda _: mp.mpf(0), 1e-11, 1e-13),
    one("x**2 at 0", "derivative and value zero", lambda x: x * x, 0.0, lambda x: 2 * x, 1e-15, 1e-13),
    one("constant", "derivative zero, value not", lambda x: 0 * x + 3, 1.0, lambda _: mp.mpf(0), 1e-11, 1e-200),
    one("(x - 1)**4 at 1", "two derivatives more are zero",
        lambda x: (x - 1) ** 4, 1.0, lambda x: 4 * (x - 1) ** 3, 1e-16, 1e-27),
    one("log at 1e-300", "the domain ends 1e-300 away", np.log, 1e-300, lambda x: 1 / x, 1e-8, None),
    one("x**3 at 50", "false alarm of a peer that steps by 1e-4", lambda x: x**3, 50.0,
        lambda x: 3 * x**2, 1e-11, 1e-12),
    one("sqrt at 1e-6", "bends within 1e-6", np.sqrt, 1e-6, lambda x: 0.5 / mp.sqrt(x), 1e-10, 1e-7),
    one("sqrt at 1e-20", "bends within 1e-20", np.sqrt, 1e-20, lambda x: 0.5 / mp.sqrt(x), 1e-10, 1e7),
    one("tanh at 20", "saturated: 1 - tanh is an ulp", np.tanh, 20.0, lambda x: mp.sech(x) ** 2, 1e3, 1e-11),
    one("sqrt(x**2 + 1e-12)", "a kink rounded within 1e-6",
        lambda x: np.sqrt(x * x + 1e-12), 1e-6, lambda x: x / mp.sqrt(x * x + mp.mpf(1e-12)), 1e-10, 1e-7),
    one("bell of width 1e-3", "flat at the first steps",
        lambda x: np.exp(-((1000 * x) ** 2)), 1e-4, lambda x: -2e6 * x * mp.exp(-((1000 * x) ** 2)), 1e-9, 1e-6),
    one("x sin(1/x)", "oscillates ever faster towards 0", lambda x: x * np.sin(1 / x), 1e-3,
        lambda x: mp.sin(1 / x) - mp.cos(1 / x) / x, 1e-8, 1e-6),
    one("x + 1e-9 sin(1e9 x)", "a tiny ripple doubles the slope", lambda x: x + 1e-9 * np.sin(1e9 * x), 0.0,
        lambda x: 1 + mp.cos(x), 1e-12, 1e3),
    one("1e-6 x**2", "below the absolute tolerance of a peer", lambda x: 1e-6 * x * x, 1.0,
        lambda x: 2 * mp.mpf(1e-6) * x, 1e-12, 1e-12),
    one("1e300 sin", "sums of two values overflow", lambda x: 1e300 * np.sin(x), 1.0,
        lambda x: mp.mpf(1e300) * mp.cos(x), 1e-11, 1e-12),
    one("x/2 at 1e300", "steps have to be as large", lambda x: x / 2, 1e300, lambda _: mp.mpf(0.5), 1e-12, 1e-12),
    one("x**2 at 1e150", "squares of steps overflow", lambda x: x * x, 1e150, lambda x: 2 * x, 1e-12, 1e-12),
    one("abs at 1e-9", "a kink 1e-9 away", np.abs, 1e-9, lambda _: mp.mpf(1), 1e-12, None),
    one("relu at 0.01 below its kink", "no slope here, but soon", lambda x: np.maximum(x, 0), -0.01,
        lambda _: mp.mpf(0), 1e-300, 1e-200),
    one("a step 1e-9 away", "no slope here, but a jump", lambda x: np.where(x > 1e-9, 1.0, 0.0), 0.0,
        lambda _: mp.mpf(0), 1e-300, None),
    one("NaN beyond 1.001", "the domain ends beside the point", lambda x: np.where(x.real < 1.001, x * x, np.nan), 1.0,
        lambda x: 2 * x, 1e-9, 1e-12),
    one("NaN beyond 1 + 1e-9", "the domain ends very near",
        lambda x: np.where(x.real < 1 + 1e-9, x * x, np.nan), 1.0, lambda x: 2 * x, 1e-3, None),
    one("float32 inside", "rounds to a staircase",
        lambda x: np.float64(np.sin(np.float32(x))), 1.0, mp.cos, 1e-3, None),
    one("(sin + 1e6) - 1e6", "its noise is far above its value", lambda x: (np.sin(x) + 1e6) - 1e6, 1.0, mp.cos, 1e-5,
        1e-12),
    Truth("sum that cancels", "a thousand summands of 1000 leave 1", lambda x: np.sum(x * 1000.0) - np.sum(x * 999.0),
          np.linspace(0, 1, 1000), lambda _, v: mp.fsum(v), 1e-9, 1e-9, along=np.ones(1000)),
    Truth("logsumexp at 1e6", "each entry is rounded to 1e-10", logsumexp, LOGITS[0] + 1e6, softmax_slope, 1e-5, 1e-7,
          along=ALONG[0]),
    Truth("softmax + NLL", "the function this is all for", nll, LOGITS, nll_slope, 1e-10, 1e-12, along=ALONG),
    Truth("softmax + NLL, tiny", "all logits 1e-8", nll, 1e-8 * LOGITS, nll_slope, 1e-10, 1e-12, along=ALONG),
    Truth("softmax + NLL, saturated", "all probabilities 0 or 1", nll, 1e4 * LOGITS, nll_slope, 1e-12, 1e-12,
          along=ALONG),
    Truth("softmax + NLL, offset", "rows 1e6 from zero", nll, LOGITS + 1e6, nll_slope, 1e-5, 1e-7, along=ALONG),
)  # fmt: skip


@pytest.fixture(scope="session")
def truths() -> tuple[Truth, ...]:
    return TRUTHS


@pytest.fixture(params=TRUTHS, ids=lambda truth: truth.name)
def truth(request: pytest.FixtureRequest) -> Truth:
    row: Truth = request.param
    return row


@dataclass(frozen=True)
class Step:
    """One step of a composition: in NumPy, in mpmath, and its derivative there."""

    name: str
    numpy: Function
    exact: Function
    slope: Function


ELEMENTWISE = (
    Step("exp", np.exp, mp.exp, mp.exp),
    Step("sin", np.sin, mp.sin, mp.cos),
    Step("cos", np.cos, mp.cos, lambda x: -mp.sin(x)),
    Step("tanh", np.tanh, mp.tanh, lambda x: mp.sech(x) ** 2),
    Step("square", np.square, lambda x: x * x, lambda x: 2 * x),
    Step("bell", lambda x: 1 / (1 + x * x), lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) ** 2),
    Step("log1p(x**2)", lambda x: np.log1p(x * x), lambda x: mp.log1p(x * x), lambda x: 2 * x / (1 + x * x)),
    Step("softplus", partial(np.logaddexp, 0), lambda x: mp.log1p(mp.exp(x)), lambda x: 1 / (1 + mp.exp(-x))),
    Step("atan", np.arctan, mp.atan, lambda x: 1 / (1 + x * x)),
)


@dataclass(frozen=True)
class Composition:
    """``weights . step(... step(x))`` or the log-sum-exp of that, along a line."""

    primal: tuple[float, ...]
    direction: tuple[float, ...]
    steps: tuple[Step, ...]
    weights: tuple[float, ...] | None

    def __call__(self, x: Any) -> Any:
        for step in self.steps:
            x = step.numpy(x)
        return logsumexp(x) if self.weights is None else np.dot(self.weights, x)

    @property
    def derivative(self) -> Any | None:
        """The derivative; None where float64 computes another function, by overflow, underflow or lost digits."""
        try:
            with np.errstate(over="raise"):
                computed = float(self(np.array(self.primal)))
        except FloatingPointError:
            return None
        values, slopes = list(map(mp.mpf, self.primal)), list(map(mp.mpf, self.direction))
        for step in self.steps:
            slopes = [step.slope(x) * v for x, v in zip(values, slopes, strict=True)]
            values = list(map(step.exact, values))
        if self.weights is None:
            top = max(values)
            value, slope = top + mp.log(mp.fsum(mp.exp(x - top) for x in values)), softmax_slope(values, slopes)
        else:
            value, slope = mp.fdot(self.weights, values), mp.fdot(self.weights, slopes)
        return slope if abs(computed - value) <= 1e-3 * abs(value) and abs(value) > 1e-280 else None


@st.composite
def _compositions(draw: st.DrawFn) -> Composition:
    size = draw(st.integers(1, 4))
    scale = 10.0 ** draw(st.integers(-6, 4))
    offset = draw(st.sampled_from([0.0, 1.0, -30.0, 1e4]))
    eighths = st.integers(-16, 16).map(lambda k: k / 8)

    def several(elements: st.SearchStrategy[float]) -> Sequence[float]:
        return draw(st.lists(elements, min_size=size, max_size=size))

    return Composition(
        tuple(offset + scale * x for x in several(st.floats(-2, 2))),
        tuple(several(eighths.filter(bool))),
        tuple(draw(st.lists(st.sampled_from(ELEMENTWISE), max_size=3))),
        tuple(several(eighths)) if draw(st.booleans()) else None,
    )


@pytest.fixture(scope="session")
def compositions() -> st.SearchStrategy[Composition]:
    return _compositions()
