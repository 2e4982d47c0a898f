"""Functions of one number whose derivative is hard to get from their values, and its truth to 60 digits."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

# A context of its own: the precision of mpmath's `mp` belongs to whoever else uses it.
mp: Any = importlib.import_module("mpmath").MPContext()
mp.dps = 60

Function = Callable[[Any], Any]


@dataclass(frozen=True)
class Hard:
    """A function of float64 numbers, one by one or in an array, where to differentiate it, and its derivative there.

    ``slope`` works on mpmath's numbers: what is differentiated is the function that the code means, at the float64
    number it is given.
    """

    name: str
    why: str
    fun: Function
    at: float
    slope: Function

    @property
    def truth(self) -> Any:
        """The derivative, to 60 digits."""
        return mp.mpf(self.slope(mp.mpf(self.at)))


def _softplus_slope(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def _logsumexp(x: Any) -> Any:
    """Log-sum-exp of x, 1 and 2, moved up by 1e6."""
    z = np.stack(np.broadcast_arrays(x, 1e6 + 1.0, 1e6 + 2.0))
    top = z.max(axis=0)
    return top + np.log(np.exp(z - top).sum(axis=0))


def _logsumexp_slope(x: Any) -> Any:
    powers = [mp.exp(z - 10**6) for z in (x, mp.mpf(10**6 + 1), mp.mpf(10**6 + 2))]
    return powers[0] / sum(powers)


def _in_float32(fun: Function) -> Function:
    return lambda x: np.asarray(fun(np.asarray(x, dtype=np.float32)), dtype=np.float64)


def _mixed(x: Any) -> Any:
    """Add a function of x that float32 rounds to a staircase to one that starts at zero, where it rounds nothing."""
    narrow = _in_float32(np.tanh)
    return narrow(x - 1.0) + narrow(-np.ones_like(x) + 0.5 * (x - 1.0))


HARD = (
    Hard("exp at 1", "the ordinary case", np.exp, 1.0, mp.exp),
    Hard("exp at 700", "overflows ten steps away", np.exp, 700.0, mp.exp),
    Hard("exp at -700", "all values are below 1e-300", np.exp, -700.0, mp.exp),
    Hard("exp(x - 1e6) at 1e6", "an offset leaves ten digits of x", lambda x: np.exp(x - 1e6), 1e6,
         lambda x: mp.exp(x - 10**6)),
    Hard("sin at 1e6", "the same, and oscillates", np.sin, 1e6, mp.cos),
    Hard("sin(1e6 x)", "oscillates within the first steps", lambda x: np.sin(1e6 * x), 0.3,
         lambda x: 10**6 * mp.cos(10**6 * x)),
    Hard("sin(128 pi x) at 0", "zero at every power of two", lambda x: np.sin(128 * np.pi * x), 0.0,
         lambda x: 128 * mp.mpf(np.pi) * mp.cos(128 * mp.mpf(np.pi) * x)),
    Hard("sin(x) + 1e-3 sin(1e4 x)", "a ripple ten times as steep", lambda x: np.sin(x) + 1e-3 * np.sin(1e4 * x), 0.3,
         lambda x: mp.cos(x) + mp.mpf(1e-3) * 10**4 * mp.cos(10**4 * x)),
    Hard("x sin(1/x) at 1e-3", "ever faster towards 0", lambda x: x * np.sin(1 / x), 1e-3,
         lambda x: mp.sin(1 / x) - mp.cos(1 / x) / x),
    Hard("bell of width 1e-3", "flat a few steps away", lambda x: np.exp(-((1000 * x) ** 2)), 1e-4,
         lambda x: -2e6 * x * mp.exp(-((1000 * x) ** 2))),
    Hard("sqrt(x**2 + 1e-12)", "a bend of 1e-6", lambda x: np.sqrt(x * x + 1e-12), 1e-6,
         lambda x: x / mp.sqrt(x * x + mp.mpf(1e-12))),
    Hard("tanh(1e5 (x - 1))", "a step of width 1e-5", lambda x: np.tanh(1e5 * (x - 1)), 1.0 + 3e-6,
         lambda x: 10**5 * mp.sech(10**5 * (x - 1)) ** 2),
    Hard("1/x at 1e-3", "a pole within the first steps", lambda x: 1 / x, 1e-3, lambda x: -1 / x**2),
    Hard("1/x at 1e-8", "a pole far within them", lambda x: 1 / x, 1e-8, lambda x: -1 / x**2),
    Hard("tan at pi/2 - 1e-4", "a pole beside the point", np.tan, np.pi / 2 - 1e-4, lambda x: mp.sec(x) ** 2),
    Hard("log at 1e-12", "the domain ends beside the point", np.log, 1e-12, lambda x: 1 / x),
    Hard("log at 1e-300", "the domain ends 1e-300 away", np.log, 1e-300, lambda x: 1 / x),
    Hard("sqrt at 1e-6", "the domain ends, steeply", np.sqrt, 1e-6, lambda x: 1 / (2 * mp.sqrt(x))),
    Hard("arcsin at 1 - 1e-6", "the same on the other side", np.arcsin, 1 - 1e-6, lambda x: 1 / mp.sqrt(1 - x * x)),
    Hard("x log x at 1e-5", "a derivative with its own end", lambda x: x * np.log(x), 1e-5, lambda x: mp.log(x) + 1),
    Hard("(x - 1)**7 expanded, at 1.1", "a polynomial that cancels",
         lambda x: x**7 - 7 * x**6 + 21 * x**5 - 35 * x**4 + 35 * x**3 - 21 * x**2 + 7 * x - 1, 1.1,
         lambda x: 7 * (x - 1) ** 6),
    Hard("(1 - cos x) / x**2 at 1e-4", "cancels within", lambda x: (1 - np.cos(x)) / x**2, 1e-4,
         lambda x: mp.sin(x) / x**2 - 2 * (1 - mp.cos(x)) / x**3),
    Hard("(sin + 1e6) - 1e6", "its noise is far above its value", lambda x: (np.sin(x) + 1e6) - 1e6, 1.0, mp.cos),
    Hard("softplus at -30", "1 absorbs all but three digits", lambda x: np.log(1 + np.exp(x)), -30.0, _softplus_slope),
    Hard("tanh at 15", "1 absorbs all but four digits", np.tanh, 15.0, lambda x: mp.sech(x) ** 2),
    Hard("log-sum-exp at 1e6", "each entry is rounded to 1e-10", _logsumexp, 1e6 + 0.5, _logsumexp_slope),
    Hard("float32 inside", "rounds to a staircase", _in_float32(np.sin), 1.0, mp.cos),
    Hard("float32 inside, in part", "small steps move one summand of two", _mixed, 1.0,
         lambda x: mp.sech(x - 1) ** 2 + mp.sech(-1 + (x - 1) / 2) ** 2 / 2),
    Hard("relu(x - 1e-3) + exp", "a kink within the first steps", lambda x: np.maximum(x - 1e-3, 0) + np.exp(x), 0.0,
         mp.exp),
    Hard("abs at 1e-9", "a kink beside the point", np.abs, 1e-9, lambda _: mp.mpf(1)),
    Hard("1e-20 cosh", "a tiny scale", lambda x: 1e-20 * np.cosh(x), 1.0, lambda x: mp.mpf(1e-20) * mp.sinh(x)),
    Hard("1e300 sin", "sums of two values overflow", lambda x: 1e300 * np.sin(x), 1.0,
         lambda x: mp.mpf(1e300) * mp.cos(x)),
    Hard("x**2 at 1e150", "squares of steps overflow", lambda x: x * x, 1e150, lambda x: 2 * x),
    Hard("cos(1e-9 x) at 1e9", "bends over 1e9", lambda x: np.cos(1e-9 * x), 1e9,
         lambda x: -mp.mpf(1e-9) * mp.sin(mp.mpf(1e-9) * x)),
    Hard("x**4 at 0", "the derivative is zero, and so are two more", lambda x: x**4, 0.0, lambda x: 4 * x**3),
    Hard("cos at 0", "the derivative is zero, the value is not", np.cos, 0.0, lambda x: -mp.sin(x)),
)  # fmt: skip
