"""Values and derivatives of single functions on balls, against mpmath and against SciPy."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special  # type: ignore[import-untyped]  # it comes without types

from gradcheck.oracles.balls.values import precision
from gradcheck.oracles.own_forward import differentiate
from gradcheck.oracles.own_forward.functions import found
from gradcheck.oracles.own_forward.rules import ALIASES, BINARY, UNARY
from gradcheck.rule import Point, Rule
from gradcheck.tree import flatten

flint = pytest.importorskip("flint")
# A context of its own: the precision of mpmath's `mp` belongs to whoever else uses it.
mp: Any = importlib.import_module("mpmath").MPContext()
mp.dps = 80

BELOW_ONE = (-0.875, -0.25, 0.0, 0.5, 0.9375)
REALS = (-37.5, -2.25, -0.125, 0.0, 0.3, 1.0, 11.0)
POSITIVE = (1e-30, 0.125, 0.7, 1.0, 3.5, 1e20)
SMALL = (-2.25, -0.125, 0.0, 0.3, 1.0, 3.0)


def expit(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


# Name, the same in mpmath, and where to compare.
FUNCTIONS: tuple[tuple[str, Callable[[Any], Any], tuple[float, ...]], ...] = (
    ("arccos", mp.acos, BELOW_ONE),
    ("arccosh", mp.acosh, (1.25, 2.0, 1e10)),
    ("arcsin", mp.asin, BELOW_ONE),
    ("arcsinh", mp.asinh, REALS),
    ("arctan", mp.atan, REALS),
    ("arctanh", mp.atanh, BELOW_ONE),
    ("cbrt", lambda x: mp.sign(x) * mp.cbrt(abs(x)), (-27.0, -0.1, 0.1, 8.0)),
    ("cos", mp.cos, REALS),
    ("cosh", mp.cosh, REALS),
    ("digamma", mp.digamma, (0.125, 0.7, 3.5, 100.0)),
    ("erf", mp.erf, REALS),
    ("erfc", mp.erfc, SMALL),
    ("exp", mp.exp, REALS),
    ("exp2", lambda x: mp.mpf(2) ** x, SMALL),
    ("expit", expit, REALS),
    ("expm1", mp.expm1, REALS),
    ("gamma", mp.gamma, (-1.5, 0.125, 3.5)),
    ("gammaln", lambda x: mp.log(abs(mp.gamma(x))), (-2.5, -0.25, 0.125, 3.5, 100.0)),
    ("log", mp.log, POSITIVE),
    ("log10", lambda x: mp.log(x) / mp.log(10), POSITIVE),
    ("log1p", mp.log1p, (-0.875, 1e-30, 0.3, 1e20)),
    ("log2", lambda x: mp.log(x) / mp.log(2), POSITIVE),
    ("ndtr", mp.ncdf, SMALL),
    ("negative", lambda x: -x, REALS),
    ("reciprocal", lambda x: 1 / x, (-3.0, 0.1, 1e10)),
    ("sin", mp.sin, REALS),
    ("sinh", mp.sinh, REALS),
    ("sqrt", mp.sqrt, POSITIVE),
    ("square", lambda x: x * x, REALS),
    ("tan", mp.tan, REALS),
    ("tanh", mp.tanh, REALS),
)


def as_ball(x: Any) -> Any:
    return flint.arb(mp.nstr(x, 75))


def test_every_rule_is_compared() -> None:
    assert {name for name, _, _ in FUNCTIONS} == set(UNARY)
    assert all(name in UNARY or found(name) is not None for name in ALIASES.values())


@pytest.mark.parametrize(("name", "truth", "points"), FUNCTIONS, ids=[name for name, _, _ in FUNCTIONS])
def test_a_value_and_a_slope_enclose_the_truth_and_shrink_with_bits(
    name: str, truth: Callable[[Any], Any], points: tuple[float, ...]
) -> None:
    value, slope = UNARY[name]
    for point in points:
        with precision(300):
            true_value, true_slope = as_ball(truth(mp.mpf(point))), as_ball(mp.diff(truth, mp.mpf(point)))
        for bits in (64, 128):
            with precision(bits):
                v = value(flint.arb(point))
                d = flint.arb(slope(flint.arb(point), v))
            with precision(300):
                # differences of mpmath at 80 digits are good to 35 of them
                assert abs(v.mid() - true_value) <= v.rad() + 1e-60 * (1 + abs(true_value))
                assert abs(d.mid() - true_slope) <= d.rad() + 1e-30 * (1 + abs(true_slope))
                assert v.rad() <= flint.arb(2) ** (8 - bits) * (1 + abs(v))


@pytest.mark.parametrize(
    ("name", "truth", "points"),
    [
        ("add", mp.fadd, ((0.1, -0.3), (1e10, 1.0))),
        ("arctan2", mp.atan2, ((0.1, -0.3), (-2.0, 1.0), (-1.0, -3.0))),
        ("divide", mp.fdiv, ((0.1, -0.3), (0.0, 7.0))),
        ("hypot", mp.hypot, ((0.1, -0.3), (3.0, 4.0))),
        ("multiply", mp.fmul, ((0.1, -0.3), (0.0, 0.0))),
        ("power", mp.power, ((0.1, -0.3), (2.0, 10.0), (3.0, 0.5), (7.0, 0.0), (1.5, 200.0))),
        ("subtract", mp.fsub, ((0.1, -0.3), (1e10, 1.0))),
    ],
)
def test_functions_of_two_enclose_the_truth(
    name: str, truth: Callable[[Any, Any], Any], points: tuple[tuple[float, float], ...]
) -> None:
    for a, b in points:
        with precision(128):
            balls = [flint.arb(x) for x in BINARY[name](flint.arb(a), flint.arb(b))]
        x, y = mp.mpf(a), mp.mpf(b)
        with precision(300):
            truths = map(as_ball, (truth(x, y), mp.diff(truth, (x, y), (1, 0)), mp.diff(truth, (x, y), (0, 1))))
            for ball, true in zip(balls, truths, strict=True):
                assert abs(ball.mid() - true) <= ball.rad() + 1e-30 * (1 + abs(true))


@pytest.mark.parametrize(("base", "value", "slope"), [(-3.0, -27.0, 27.0), (0.0, 0.0, 0.0), (-2.0, -8.0, 12.0)])
def test_whole_powers_are_defined_at_and_below_zero(base: float, value: float, slope: float) -> None:
    with precision(128):
        v, by_base, _ = BINARY["power"](flint.arb(base), flint.arb(3))
        assert (v, by_base) == (value, slope)


def test_poles_are_infinite_as_in_float64() -> None:
    with precision(128):
        assert UNARY["log"][0](flint.arb(0)) == flint.arb("-inf")
        assert UNARY["log1p"][0](flint.arb(-1)) == flint.arb("-inf")
        assert UNARY["reciprocal"][0](flint.arb(0)) == flint.arb("inf")
        assert BINARY["divide"](flint.arb(-2), flint.arb(0))[0] == flint.arb("-inf")
        assert UNARY["tanh"][0](flint.arb("-inf")) == -1
        assert UNARY["log"][0](flint.arb(-1)).is_nan()


A = (0.7, -1.3, 2.6, -0.2)
B = (0.4, 1.9, -1.1, 0.8)
P = (0.3, 0.6, 0.85, 0.1)

# What NumPy or SciPy computes, and arrays of which it is one.
COMPOSED: tuple[tuple[Any, tuple[tuple[float, ...], ...]], ...] = (
    *((f, (A,)) for f in (np.absolute, np.sign, np.floor, np.ceil, np.trunc, np.rint, np.positive, np.conjugate)),
    *((f, (A,)) for f in (np.deg2rad, np.rad2deg, scipy.special.log_expit, scipy.special.log_ndtr, np.fabs)),
    *((f, (P,)) for f in (scipy.special.entr, scipy.special.logit)),
    *((f, (A, B)) for f in (np.maximum, np.minimum, np.fmax, np.fmin, np.copysign, np.heaviside, np.logaddexp)),
    *((f, (A, B)) for f in (np.fmod, np.remainder, np.floor_divide)),
    *((f, (P, A[::2] * 2)) for f in (scipy.special.xlogy, scipy.special.xlog1py)),
    *((f, (P, P[::-1])) for f in (scipy.special.kl_div, scipy.special.rel_entr, scipy.special.betaln)),
    *((f, (P, A)) for f in (scipy.special.huber, scipy.special.pseudo_huber)),
    (np.clip, (A, (-1.0,) * 4, (1.0,) * 4)),
    (lambda x: scipy.special.betaln(x, 2.0), (P,)),
    (lambda x: np.frexp(x)[0], (A,)),
    (lambda x: np.ldexp(x, np.array([1, -3, 0, 2])), (A,)),
    (lambda x: np.modf(x)[0], (A,)),
    (lambda x, y: np.divmod(x, y)[1], (A, B)),
)


@pytest.mark.parametrize(("function", "arrays"), COMPOSED, ids=[getattr(f, "__name__", "?") for f, _ in COMPOSED])
def test_what_is_composed_has_scipys_values_and_the_slopes_of_their_differences(
    function: Callable[..., Any], arrays: tuple[tuple[float, ...], ...]
) -> None:
    points = [np.array(a) for a in arrays]
    value = function(*points)
    rule = Rule(lambda *_: (None, lambda c: c), function, "composed")
    exact = differentiate(function, flatten(rule, Point(tuple(points), {}, None)), [np.ones(4)])
    np.testing.assert_allclose(exact.value[0], value, rtol=4e-15, atol=0)
    step = 2.0**-17  # truncation and rounding are both near 1e-10
    for position, slope in enumerate(exact.gradient):
        up, down = ([x + s * (i == position) for i, x in enumerate(points)] for s in (step, -step))
        np.testing.assert_allclose(slope, (function(*up) - function(*down)) / (2 * step), atol=1e-8)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (np.isnan, [True, False, False, False]),
        (np.isinf, [False, True, True, False]),
        (np.isfinite, [False, False, False, True]),
        (np.signbit, [False, False, True, False]),
        (np.logical_not, [False, False, False, True]),
    ],
)
def test_predicates_are_numpys(function: Any, expected: list[bool]) -> None:
    class Seen:  # classes are not copied
        answers: Any = None

    def forward(x: Any) -> Any:
        Seen.answers = function(x)
        return np.sum(np.zeros_like(x))

    x = np.array([np.nan, np.inf, -np.inf, 0.0])
    rule = Rule(lambda *_: (None, lambda c: c), forward, "predicate")
    differentiate(forward, flatten(rule, Point((x,), {}, None)), [np.ones(())])
    np.testing.assert_array_equal(Seen.answers, expected)
    assert Seen.answers.dtype == np.dtype(bool)
    assert np.asarray(function(x)).tolist() == expected
