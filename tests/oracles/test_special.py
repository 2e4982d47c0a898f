"""Special functions in float64: to a few units in the last place of mpmath's, and what XLA says beside poles."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax import enable_x64, lax

from gradcheck.oracles.program.operation import Untraceable
from gradcheck.oracles.program.special import SPECIAL

# A context of its own: the precision of mpmath's `mp` belongs to whoever else uses it.
mp: Any = importlib.import_module("mpmath").MPContext()
mp.dps = 40

RNG = np.random.default_rng(5)
N = 60
LARGE = np.exp(RNG.uniform(-6, 6, N))
SHORT = np.exp(RNG.uniform(-2, 2, 12))
REAL = RNG.uniform(-40, 40, N)
NEGATIVE = -RNG.uniform(0, 9, N)
CHANCE = RNG.uniform(0.05, 0.95, 12)
ULP = 2.0**-52


def scaled_bessel(order: int) -> Callable[[Any], Any]:
    return lambda x: mp.besseli(order, x) * mp.exp(-abs(x))


def lower(a: Any, x: Any) -> Any:
    return mp.gammainc(a, 0, x, regularized=True)


def lower_in_a(a: Any, x: Any) -> Any:
    return mp.diff(lambda b: lower(b, x), a)


# name -> (mpmath's function, arguments, units in the last place)
TABLE: dict[str, tuple[Callable[..., Any], tuple[Any, ...], int]] = {
    "bessel_i0e": (scaled_bessel(0), (REAL,), 16),
    "bessel_i1e": (scaled_bessel(1), (REAL,), 16),
    "digamma": (mp.digamma, (LARGE[np.abs(LARGE - 1.46) > 0.4],), 16),  # it is 0 at 1.46
    "erf": (mp.erf, (REAL / 8,), 2),
    "erf_inv": (mp.erfinv, (np.concatenate([np.tanh(REAL / 10), 1 - LARGE[LARGE < 0.5] ** 4]),), 4),
    "erfc": (mp.erfc, (REAL / 4,), 4),
    "igamma": (lower, (SHORT, SHORT[::-1]), 2),
    "igamma_grad_a": (lower_in_a, (SHORT, SHORT[::-1]), 2),
    "igammac": (lambda a, x: mp.gammainc(a, x, mp.inf, regularized=True), (SHORT, SHORT[::-1]), 2),
    "lgamma": (lambda x: mp.log(abs(mp.gamma(x))), (np.concatenate([LARGE + 2.5, [-0.5, -3.75, 0.25, 1e-5]]),), 16),
    "polygamma": (lambda m, x: mp.polygamma(int(m), x), (np.arange(1.0, N + 1) % 4 + 1, LARGE), 16),
    "random_gamma_grad": (
        lambda a, x: -lower_in_a(a, x) / mp.diff(lambda t: lower(a, t), x),
        (SHORT, SHORT[::-1]),
        2,
    ),
    "regularized_incomplete_beta": (
        lambda a, b, x: mp.betainc(a, b, 0, x, regularized=True),
        (SHORT, SHORT[::-1], CHANCE),
        2,
    ),
    "zeta": (mp.zeta, (1 + SHORT, SHORT[::-1]), 16),
}
BY_FLINT = ["igamma", "igamma_grad_a", "igammac", "random_gamma_grad", "regularized_incomplete_beta"]


@pytest.mark.parametrize("name", SPECIAL)
def test_within_a_few_units_in_the_last_place(name: str) -> None:
    if name in BY_FLINT:
        pytest.importorskip("flint")
    function, arguments, ulps = TABLE[name]
    truth = [function(*map(mp.mpf, entry)) for entry in zip(*(a.tolist() for a in arguments), strict=True)]
    for mine, exact in zip(SPECIAL[name]({})(*arguments).tolist(), truth, strict=True):
        assert abs(mp.mpf(mine) - exact) <= ulps * ULP * abs(exact)


@pytest.mark.parametrize(
    ("name", "function", "argument"),
    [
        ("digamma", lax.digamma, [-1.0, -0.5, 1.4616321449683622, np.inf, np.nan]),
        ("lgamma", lax.lgamma, [0.0, -2.0, -0.5, 1.0, np.inf, np.nan]),
        ("erf_inv", lax.erf_inv, [0.0, 1.0, -1.0, 1.5, np.nan]),
        ("bessel_i0e", lax.bessel_i0e, [0.0, -0.0, np.inf, 1e300, 1e-300]),
        ("bessel_i1e", lax.bessel_i1e, [0.0, np.inf, 1e300, -3.0]),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # a plan silences them around all its steps
def test_limits_are_those_of_xla(name: str, function: Callable[[Any], Any], argument: list[float]) -> None:
    x = np.array(argument)
    with enable_x64(True):
        truth = np.asarray(function(jnp.asarray(x)))
    np.testing.assert_allclose(SPECIAL[name]({})(x), truth, rtol=1e-12, atol=8 * ULP)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_below_zero_zeta_and_polygamma_are_shifted_up() -> None:
    orders = np.arange(N) % 3 + 1.0  # where XLA's shift ends too early: it is off in the ninth digit, or the first
    truth = [float(mp.polygamma(int(m), x)) for m, x in zip(orders.tolist(), NEGATIVE.tolist(), strict=True)]
    np.testing.assert_allclose(SPECIAL["polygamma"]({})(orders, NEGATIVE), truth, rtol=1e-11)
    outside = SPECIAL["zeta"]({})(np.array([2.0, 1.0, 2.5, 0.5]), np.array([-1.0, 2.0, -0.5, 1.0]))
    np.testing.assert_array_equal(outside, [np.inf, np.inf, np.nan, np.nan])


@pytest.mark.parametrize("name", BY_FLINT)
def test_where_the_extra_is_missing_the_reason_names_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flint", None)
    with pytest.raises(Untraceable, match=rf"'{name}'.*gradcheck\[exact\]"):
        SPECIAL[name]({})


def test_the_precision_of_flint_is_put_back() -> None:
    flint = pytest.importorskip("flint")
    before = flint.ctx.prec
    SPECIAL["igamma"]({})(np.array([1.5]), np.array([2.0]))
    assert flint.ctx.prec == before
