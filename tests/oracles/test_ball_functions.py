"""Elementwise primitives: the ball holds what mpmath computes, and shrinks with bits."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradcheck.oracles.balls.functions import functions
from gradcheck.oracles.balls.values import (
    Unenclosable,
    as_balls,
    exact,
    precision,
    rounded,
    to_floats,
    unknown,
    vectorised,
)

flint = pytest.importorskip("flint")

# A context of its own: the precision of mpmath's `mp` belongs to whoever else uses it.
mp: Any = importlib.import_module("mpmath").MPContext()
mp.prec = 800  # beside at most 384 bits of a ball
RNG = np.random.default_rng(1)
REAL = np.concatenate([RNG.normal(size=6) * 3, [0.0, -0.0, 1.0, -1.0, 1e-300, -5e-324, 40.0, -40.0]])
HUGE = np.concatenate([REAL, [700.0, -700.0, 1e5, -1e5]])
POSITIVE = np.concatenate([RNG.uniform(0.01, 9, 6), [1.0, 2.0, 1e-300, 5e-324, 1e300]])
UNIT = np.concatenate([RNG.uniform(-1, 1, 6), [0.0, 1e-300, 1 - 2**-53, -1 + 2**-53]])
FEW = np.array([0.5, -1.25, 3.0, -5.5])
MODERATE = np.concatenate([RNG.uniform(0.1, 9, 6), [1.0, 2.0, 0.5]])


def one_minus_square(x: Any) -> Any:
    return (1 - x) * (1 + x)


def log_gamma(x: Any) -> Any:
    return mp.log(abs(mp.gamma(x)))


def scaled_bessel(order: int) -> Callable[[Any], Any]:
    return lambda x: mp.besseli(order, x) * mp.exp(-abs(x))


def grad_a(a: Any, x: Any) -> Any:
    return mp.diff(lambda s: mp.gammainc(s, 0, x, regularized=True), a)


def sample_in_a(a: Any, x: Any) -> Any:
    return -grad_a(a, x) * mp.gamma(a) * mp.exp(x) * x ** (1 - a)


def dawson(x: Any) -> Any:
    return mp.sqrt(mp.pi) / 2 * mp.exp(-x * x) * mp.erfi(x)


def log_normal_cdf(x: Any) -> Any:
    return mp.log(mp.erfc(-x / mp.sqrt(2)) / 2)


def normal_quantile(p: Any) -> Any:
    return mp.sqrt(2) * mp.erfinv(2 * p - 1)


def cube_root(x: Any) -> Any:
    return mp.sign(x) * mp.cbrt(abs(x))


def logistic(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


# primitive -> (its parameters, the function of mpmath, inputs)
TABLE: dict[str, tuple[dict[str, Any], Callable[..., Any], tuple[Any, ...]]] = {
    "acos": ({}, mp.acos, (UNIT,)),
    "acosh": ({}, mp.acosh, (POSITIVE + 1,)),
    "asin": ({}, mp.asin, (UNIT,)),
    "asinh": ({}, mp.asinh, (HUGE,)),
    "atan": ({}, mp.atan, (HUGE,)),
    "atan2": ({}, mp.atan2, (REAL, REAL[::-1] + 0.25)),
    "atanh": ({}, mp.atanh, (UNIT,)),
    "bessel_i0e": ({}, scaled_bessel(0), (HUGE,)),
    "bessel_i1e": ({}, scaled_bessel(1), (HUGE,)),
    "cbrt": ({}, cube_root, (HUGE,)),
    "cos": ({}, mp.cos, (HUGE,)),
    "cosh": ({}, mp.cosh, (HUGE,)),
    "dawsn": ({}, dawson, (np.concatenate([REAL, [12.0]]),)),
    "digamma": ({}, mp.digamma, (np.concatenate([MODERATE, [-0.5, -7.25, 1e8, 1e-300]]),)),
    "div": ({}, lambda a, b: a / b, (HUGE, HUGE[::-1] + 0.3)),
    "erf": ({}, mp.erf, (HUGE,)),
    "erf_inv": ({}, mp.erfinv, (UNIT[:7],)),
    "erfc": ({}, mp.erfc, (REAL,)),
    "erfcinv": ({}, lambda y: mp.erfinv(1 - y), (np.array([0.5, 0.1, 1.0, 1e-7, 1.75]),)),
    "erfcinv_grad": ({}, lambda _, z: -mp.sqrt(mp.pi) / 2 * mp.exp(z * z), (FEW, FEW)),
    "erfcx": ({}, lambda x: mp.exp(x * x) * mp.erfc(x), (REAL,)),
    "erfcx_grad": ({}, lambda x, y: 2 * x * y - 2 / mp.sqrt(mp.pi), (FEW, FEW[::-1])),
    "exp": ({}, mp.exp, (HUGE,)),
    "exp2": ({}, lambda x: mp.power(2, x), (HUGE,)),
    "exp_neg_sq": ({}, lambda x: mp.exp(-x * x), (REAL,)),
    "expi": ({}, mp.ei, (np.concatenate([MODERATE, -MODERATE]),)),
    "expm1": ({}, mp.expm1, (HUGE,)),
    "expn": ({}, lambda n, x: mp.expint(int(n), x), (np.arange(9.0) % 4, MODERATE)),
    "fresnel": ({}, lambda x: (mp.fresnels(x), mp.fresnelc(x)), (np.concatenate([MODERATE, -MODERATE]),)),
    "hyp1f1": ({}, mp.hyp1f1, (MODERATE, MODERATE[::-1], np.concatenate([-MODERATE[:4], MODERATE[4:]]))),
    "hyp2f1": ({}, mp.hyp2f1, (MODERATE[:6], MODERATE[::-1][:6], MODERATE[:6] + 1, UNIT[:6])),
    "igamma": ({}, lambda a, x: mp.gammainc(a, 0, x, regularized=True), (MODERATE, MODERATE[::-1])),
    "igamma_grad_a": ({}, grad_a, (MODERATE[:4], MODERATE[4:8])),
    "igammac": ({}, lambda a, x: mp.gammainc(a, x, regularized=True), (MODERATE, MODERATE[::-1])),
    "integer_pow": ({"y": -3}, lambda x: x**-3, (POSITIVE,)),
    "lgamma": ({}, log_gamma, (np.concatenate([MODERATE, [-0.5, -7.25, 150.5, 1e-300]]),)),
    "log": ({}, mp.log, (POSITIVE,)),
    "log_ndtr": ({}, log_normal_cdf, (np.concatenate([REAL[:6], [0.0, -30.0, 8.0]]),)),
    "log1p": ({}, mp.log1p, (np.concatenate([POSITIVE, UNIT]),)),
    "log2": ({}, lambda x: mp.log(x, 2), (POSITIVE,)),
    "logistic": ({}, logistic, (HUGE,)),
    "ndtri": ({}, normal_quantile, (np.array([0.5, 0.1, 0.9, 1e-7, 0.99]),)),
    "ndtri_grad": ({}, lambda _, x: mp.sqrt(2 * mp.pi) * mp.exp(x * x / 2), (FEW, FEW)),
    "one_minus_square": ({}, one_minus_square, (HUGE,)),
    "polygamma": ({}, lambda m, x: mp.polygamma(int(m), x), (np.arange(9.0) % 4, MODERATE)),
    "pow": ({}, mp.power, (POSITIVE, np.resize(REAL[:6], POSITIVE.shape))),
    "random_gamma_grad": ({}, sample_in_a, (MODERATE[:4], MODERATE[4:8])),
    "regularized_incomplete_beta": (
        {},
        lambda a, b, x: mp.betainc(a, b, 0, x, regularized=True),
        (MODERATE, MODERATE[::-1], MODERATE / 10),
    ),
    "rsqrt": ({}, lambda x: 1 / mp.sqrt(x), (POSITIVE,)),
    "sici": ({}, lambda x: (mp.si(x), mp.ci(x)), (MODERATE,)),
    "sin": ({}, mp.sin, (HUGE,)),
    "sinh": ({}, mp.sinh, (HUGE,)),
    "sqrt": ({}, mp.sqrt, (POSITIVE,)),
    "square": ({}, lambda x: x * x, (HUGE,)),
    "tan": ({}, mp.tan, (HUGE,)),
    "tanh": ({}, mp.tanh, (HUGE,)),
    "zeta": ({}, mp.zeta, (MODERATE + 1.5, MODERATE[::-1])),
}


def parts(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def as_ball(x: Any) -> Any:
    """Make the ball of what mpmath computed, its own error included."""
    from flint import arb

    with precision(mp.prec):
        ball = arb(mp.mpf(x))
        return ball * arb(1, arb(2) ** (40 - mp.prec))


def test_every_elementwise_primitive_is_in_the_table() -> None:
    assert set(TABLE) == set(functions())


@pytest.mark.parametrize("name", TABLE)
def test_the_ball_holds_the_value_of_mpmath_and_shrinks_with_bits(name: str) -> None:
    params, truth, inputs = TABLE[name]
    expected = [as_ball(v) for entry in zip(*inputs, strict=True) for v in parts(truth(*map(mp.mpf, entry)))]
    operation = functions()[name](params)
    relative: dict[int, float] = {}
    for bits in (128, 384):
        with precision(bits):
            balls = np.stack(parts(operation(*map(exact, inputs))), axis=-1).ravel()
        assert all(ball.overlaps(value) for ball, value in zip(balls, expected, strict=True)), name
        with precision(mp.prec):  # a radius per unit of the value: a corner costs some of the bits
            sizes = [float(b.rad() / abs(v).upper()) for b, v in zip(balls, expected, strict=True) if not b.is_zero()]
        relative[bits] = max(sizes)
    assert relative[128] < 2.0**-50
    assert relative[384] < 2.0**-300


@pytest.mark.parametrize("name", sorted(set(TABLE) - {"expn", "polygamma"}))  # an order has no neighbours
@pytest.mark.parametrize("unit_bits", [8, 24])
def test_a_wide_ball_holds_the_values_at_all_that_rounds_to_its_input(name: str, unit_bits: int) -> None:
    params, truth, inputs = TABLE[name]
    with precision(unit_bits), np.errstate(invalid="ignore"):
        wide = np.stack(parts(functions()[name](params)(*(rounded(x, unit_bits) for x in inputs))), axis=-1)
    for sign in (-1, 1):
        factor = 1 + sign * mp.mpf(2) ** -(unit_bits + 1)
        for balls, *entry in zip(wide, *inputs, strict=True):
            moved = parts(truth(*(factor * mp.mpf(x) for x in entry)))
            for ball, value in zip(balls, moved, strict=True):
                if mp.im(value) == 0:  # else the neighbour is outside the domain
                    assert not ball.is_finite() or ball.overlaps(as_ball(mp.re(value))), (name, entry)


@pytest.mark.parametrize(
    ("name", "x", "limit"),
    [
        ("erf", -math.inf, -1.0),
        ("erf", math.inf, 1.0),
        ("erfc", -math.inf, 2.0),
        ("erfc", math.inf, 0.0),
        ("exp", -math.inf, 0.0),
        ("exp", math.inf, math.inf),
        ("log", 0.0, -math.inf),
        ("log1p", -1.0, -math.inf),
        ("log_ndtr", -math.inf, -math.inf),
        ("log_ndtr", math.inf, 0.0),
        ("log_ndtr", -1e100, -5e199),
        ("ndtri", 0.0, -math.inf),
        ("ndtri", 1.0, math.inf),
        ("erfcx", 1e100, 1e-100 / math.sqrt(math.pi)),
        ("dawsn", 1e100, 5e-101),
        ("logistic", -math.inf, 0.0),
        ("logistic", math.inf, 1.0),
        ("logistic", -1e300, 0.0),
        ("logistic", 1e300, 1.0),
        ("rsqrt", 0.0, math.inf),
        ("atanh", -1.0, -math.inf),
        ("erf_inv", 1.0, math.inf),
        ("lgamma", math.inf, math.inf),
        ("lgamma", -3.0, math.inf),
        ("digamma", math.inf, math.inf),
        ("tanh", -math.inf, -1.0),
        ("sinh", -math.inf, -math.inf),
        ("cosh", -math.inf, math.inf),
        ("cbrt", -math.inf, -math.inf),
        ("square", -math.inf, math.inf),
    ],
)
def test_limits_are_those_of_lax(name: str, x: float, limit: float) -> None:
    with precision(64):
        value, error = to_floats(functions()[name]({})(exact(np.asarray(x))))
    assert value == pytest.approx(limit, rel=2.0**-51, abs=0)
    assert error <= 2.0**-53 * (1 if math.isinf(limit) else max(1.0, abs(limit)))


def test_division_by_zero_has_the_limits_of_ieee() -> None:
    a, b = np.array([1.0, -2.0, 0.0, math.inf, math.inf, -math.inf]), np.array([0.0, 0.0, 0.0, 0.0, -math.inf, 2.0])
    limits = [math.inf, -math.inf, math.nan, math.inf, math.nan, -math.inf]
    with precision(64):
        quotients = functions()["div"]({})(exact(a), exact(b))
        about_zero = functions()["div"]({})(exact(np.ones(1)), exact(np.ones(1)) / 3 * 3 - 1)
        powers = functions()["integer_pow"]({"y": -3})(exact(np.array([0.0, -2.0])))
    np.testing.assert_array_equal(to_floats(quotients)[0], limits)
    assert not any(map(unknown, quotients))  # those that are NaN included
    assert unknown(about_zero[0])
    np.testing.assert_array_equal(to_floats(powers)[0], [math.inf, -0.125])


@pytest.mark.parametrize(
    ("name", "outside", "edge"),
    [
        ("acos", -3.0, -1.0),
        ("acosh", 0.5, 1.0),
        ("asin", 3.0, 1.0),
        ("atanh", -3.0, -1.0),
        ("log", -1.0, 0.0),
        ("log1p", -3.0, -1.0),
        ("log2", -1.0, 0.0),
        ("rsqrt", -1.0, 0.0),
        ("sqrt", -1.0, 0.0),
    ],
)
def test_where_a_function_is_not_real_it_is_nan_and_known_to_be(name: str, outside: float, edge: float) -> None:
    with precision(64):
        about_zero = exact(np.ones(1)) / 3 * 3 - 1
        never, perhaps = (functions()[name]({})(exact(np.asarray(x)) + about_zero)[0] for x in (outside, edge))
    assert never.is_nan()
    assert not unknown(never)
    assert unknown(perhaps)


def test_a_power_is_nan_where_its_exponent_cannot_be_whole() -> None:
    power = functions()["pow"]({})
    with precision(64):
        third, about_zero = exact(np.ones(1)) / 3, exact(np.ones(1)) / 3 * 3 - 1
        never, perhaps = (power(exact(np.array([-2.0])), y)[0] for y in (third, third + 2.0**70 * about_zero))
    assert never.is_nan()
    assert not unknown(never)
    assert unknown(perhaps)


@pytest.mark.parametrize(
    ("name", "operands"),
    [
        ("expn", (1e4, 1.0)),
        ("hyp1f1", (0.5, 1e4, 1.0)),
        ("igamma_grad_a", (2.0, 1e4)),
        ("regularized_incomplete_beta", (1e4, 1e4, 0.5)),
    ],
)
def test_what_would_take_minutes_is_refused_by_name(name: str, operands: tuple[float, ...]) -> None:
    with pytest.raises(Unenclosable, match=f"{name!r} with a parameter beyond 512, here 10000"):
        functions()[name]({})(*(exact(np.asarray(x)) for x in operands))


def test_an_incomplete_gamma_function_of_large_arguments_is_enclosed() -> None:
    for a, x in ((3e4, 2.9e4), (3e4, 3.1e4), (500.0, 400.0)):
        with precision(256):
            value, error = to_floats(functions()["igamma"]({})(exact(np.asarray(a)), exact(np.asarray(x))))
            rest, _ = to_floats(functions()["igammac"]({})(exact(np.asarray(a)), exact(np.asarray(x))))
        assert 0 < value < 1
        assert error <= 2.0**-53
        assert abs(value + rest - 1) <= 2.0**-52


@pytest.mark.parametrize(("a", "x"), [(2.0, 300.0), (500.0, 480.0), (0.1, 1e-5)])
def test_the_derivative_in_a_parameter_is_enclosed_where_its_series_cancels(a: float, x: float) -> None:
    with precision(256):
        ball = functions()["igamma_grad_a"]({})(exact(np.asarray(a)), exact(np.asarray(x))).item()
        assert ball.overlaps(flint.arb(grad_a(mp.mpf(a), mp.mpf(x))) * flint.arb(1, 1e-30))
        assert ball.rad() < abs(ball) * 2.0**-100


def test_an_exact_zero_stays_zero_under_a_root_and_a_power() -> None:
    zero = exact(np.zeros(()))
    for name in ("sqrt", "cbrt", "square"):
        assert as_balls(functions()[name]({})(zero)).item().is_zero(), name
    assert functions()["integer_pow"]({"y": 0})(zero).item() == 1


@pytest.mark.parametrize("exponent", [2.0, 3.0, -1.0])
def test_a_negative_number_has_its_whole_powers_and_no_other(exponent: float) -> None:
    power = functions()["pow"]({})
    base = rounded(np.asarray(-3.0), 24)
    assert power(base, exact(np.asarray(exponent))).item().contains((-3.0) ** exponent)
    assert power(base, rounded(np.asarray(exponent), 24)).item().contains((-3.0) ** exponent)
    assert power(base, exact(np.asarray(0.5))).item().is_nan()


@pytest.mark.parametrize(("x", "y", "expected"), [(0, 2.5, 0), (0, 0, 1), (0, -1, math.inf), (2, 0, 1), (2, -1, 0.5)])
def test_powers_at_zero(x: float, y: float, expected: float) -> None:
    value, error = to_floats(functions()["pow"]({})(exact(np.asarray(x)), exact(np.asarray(y))))
    assert value == expected
    assert error == 0


def test_a_ball_about_zero_keeps_a_finite_power_and_cube_root() -> None:
    about_zero = as_balls(rounded(np.asarray(1.0), 8) - rounded(np.asarray(1.0), 8))
    for name, params in (("integer_pow", {"y": 2}), ("cbrt", {}), ("square", {})):
        assert as_balls(functions()[name](params)(about_zero)).item().contains(0), name
    assert functions()["pow"]({})(about_zero, exact(np.asarray(2.0))).item().contains(0)


def test_an_array_without_axes_stays_an_array() -> None:
    assert vectorised(lambda x: x)(exact(np.asarray(2.0))).shape == ()
