"""Special functions in ball arithmetic: arb's own, with limits, and in forms that keep wide balls narrow.

Names beyond ``jax.lax``'s are those of `gradcheck.oracles.program.replacements`: functions that JAX evaluates by an
approximation, and balls by themselves. Formulas are from the Digital Library of Mathematical Functions (DLMF).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gradcheck.oracles.balls.values import Array, Unenclosable, as_balls, infinite, precision, vectorised
from gradcheck.oracles.program.operation import Binder

if TYPE_CHECKING:
    from flint import arb

__all__ = ["SPECIAL"]

_SPARE = 64
# Hypergeometric series whose parameters are as large take arb 0.1 s, and of ten times the size many minutes.
_LARGEST_PARAMETER = 512


def _with_limits(function: str, low: float, high: float) -> Callable[[arb], arb]:
    """Complete a function of arb by its limits at minus and plus infinity."""

    def completed(x: arb) -> Any:
        if infinite(x):
            return type(x)(low if x < 0 else high)
        return getattr(x, function)()

    return completed


def _lgamma(x: arb) -> arb:
    """log|gamma(x)|; below 0 by reflection (DLMF 5.5.3), for arb's is a branch of the complex one."""
    if infinite(x) or (x <= 0 and x.is_integer()):
        return type(x)(math.inf)
    if x > 0:
        return x.lgamma()
    return (type(x).pi() / abs(x.sin_pi())).log() - (1 - x).lgamma()


def _polygamma(order: arb, x: arb) -> arb:
    from flint import acb

    return acb(x).polygamma(acb(order)).real


def _refuse_large(name: str, *parameters: arb) -> None:
    for parameter in parameters:
        if abs(parameter) > _LARGEST_PARAMETER:
            raise Unenclosable(
                f"ball arithmetic would take long for the primitive {name!r} with a parameter beyond "
                f"{_LARGEST_PARAMETER}, here {float(parameter):g}"
            )


def _igamma(a: arb, x: arb) -> arb:
    # the lower function's series alternates, and loses a bit and a half per unit of its parameter
    return x.gamma_lower(a, regularized=1) if a < _SPARE / 2 else 1 - _igammac(a, x)


def _igammac(a: arb, x: arb) -> arb:
    return x.gamma_upper(a, regularized=1)


def _igamma_grad_a(a: arb, x: arb) -> arb:
    """dP(a, x)/da: the derivative of the series of DLMF 8.7.1, in a, is a 2F2."""
    from flint import ctx

    _refuse_large("igamma_grad_a", a, x)
    with precision(ctx.prec + 3 * _LARGEST_PARAMETER):  # terms as large as exp(x) cancel
        series = x**a * (-x).hypgeom([a, a], [a + 1, a + 1]) * a.rgamma() / (a * a)
        return (x.log() - a.digamma()) * x.gamma_lower(a, regularized=1) - series


def _random_gamma_grad(a: arb, x: arb) -> arb:
    """How a gamma-distributed sample moves with its shape: -(dP/da) / (dP/dx)."""
    return -_igamma_grad_a(a, x) * a.gamma() * x.exp() * x ** (1 - a)


def _bessel_i0e(x: arb) -> arb:
    return abs(x).bessel_i(0, scaled=True)


def _bessel_i1e(x: arb) -> arb:
    if x > 0:
        return x.bessel_i(1, scaled=True)
    if x < 0:
        return -(-x).bessel_i(1, scaled=True)
    return x.bessel_i(1) * (-abs(x)).exp()


def _erf_inv(x: arb) -> arb:
    return x * math.inf if abs(x) == 1 else x.erfinv()


def _erfcx(x: arb) -> arb:
    if x > 1:  # U(1/2, 1/2, x^2) / sqrt(pi) (DLMF 7.11.2): x^2 occurs once
        return (x * x).hypgeom_u(0.5, 0.5) / type(x).const_sqrt_pi()
    return (x * x).exp() * x.erfc()


def _erfcx_grad(x: arb, y: arb) -> arb:
    return 2 * (x * y - 1 / type(x).const_sqrt_pi())


def _erfcinv(y: arb) -> arb:
    if y.is_zero() or y == 2:
        return type(y)(math.inf if y.is_zero() else -math.inf)
    return y.erfcinv()


def _erfcinv_grad(_: arb, z: arb) -> arb:
    return -type(z).const_sqrt_pi() / 2 * (z * z).exp()


def _ndtri_grad(_: arb, x: arb) -> arb:
    return (2 * type(x).pi()).sqrt() * (x * x / 2).exp()


def _dawsn(x: arb) -> arb:
    return x * (-(x * x)).hypgeom_1f1(1, 1.5)  # DLMF 7.11.4 and 13.2.39


def _log_ndtr(x: arb) -> arb:
    if infinite(x):
        return x if x < 0 else type(x)(0)
    z = x / type(x)(2).sqrt()
    if x > 0:
        return (-z.erfc() / 2).log1p()
    return (_erfcx(-z) / 2).log() - x * x / 2 if x < -1 else ((-z).erfc() / 2).log()


def _expn(n: arb, x: arb) -> arb:
    n = type(x)(n)
    _refuse_large("expn", n)
    return x.expint(n)


def _hyp1f1(a: arb, b: arb, x: arb) -> arb:
    _refuse_large("hyp1f1", a, b)
    return x.hypgeom_1f1(a, b)


def _hyp2f1(a: arb, b: arb, c: arb, x: arb) -> arb:
    _refuse_large("hyp2f1", a, b, c)
    return x.hypgeom_2f1(a, b, c)


def _beta_inc(a: arb, b: arb, x: arb) -> arb:
    _refuse_large("regularized_incomplete_beta", a, b)
    return x.beta_lower(a, b, regularized=1)


def _ndtri(p: arb) -> arb:
    return -type(p)(2).sqrt() * _erfcinv(2 * p)


_UNARY: dict[str, Callable[[Any], Any]] = {
    "bessel_i0e": _bessel_i0e,
    "bessel_i1e": _bessel_i1e,
    "dawsn": _dawsn,
    "digamma": _with_limits("digamma", math.nan, math.inf),
    "erf": _with_limits("erf", -1.0, 1.0),
    "erf_inv": _erf_inv,
    "erfc": _with_limits("erfc", 2.0, 0.0),
    "erfcinv": _erfcinv,
    "erfcx": _erfcx,
    "exp_neg_sq": lambda x: (-(x * x)).exp(),
    "expi": lambda x: x.ei(),
    "lgamma": _lgamma,
    "log_ndtr": _log_ndtr,
    "ndtri": _ndtri,
}
_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "erfcinv_grad": _erfcinv_grad,
    "erfcx_grad": _erfcx_grad,
    "expn": _expn,
    "igamma": _igamma,
    "igamma_grad_a": _igamma_grad_a,
    "igammac": _igammac,
    "ndtri_grad": _ndtri_grad,
    "polygamma": _polygamma,
    "random_gamma_grad": _random_gamma_grad,
    "zeta": lambda s, q: s.zeta(q),
}
_TERNARY: dict[str, Callable[[Any, Any, Any], Any]] = {
    "hyp1f1": _hyp1f1,
    "regularized_incomplete_beta": _beta_inc,
}


def _guarded(function: Callable[..., Any], inputs: int) -> Callable[..., Array]:
    """Lift a function to arrays, and evaluate it with bits to spare before its result is rounded to the precision.

    What cancels within a series is no rounding of the program: whoever computes a special function takes care of it.
    """
    lifted = vectorised(function, inputs)

    def evaluate(*arrays: Array) -> Array:
        from flint import ctx

        with precision(ctx.prec + _SPARE):
            generous = lifted(*arrays)
        return as_balls(+generous)

    return evaluate


def _bind(function: Callable[..., Any], inputs: int) -> Binder:
    guarded = _guarded(function, inputs)
    return lambda _: guarded


def _pair(first: Callable[[Any], Any], second: Callable[[Any], Any]) -> Binder:
    functions = _guarded(first, 1), _guarded(second, 1)
    return lambda _: lambda x: tuple(function(x) for function in functions)


SPECIAL: Mapping[str, Binder] = {
    **{name: _bind(function, 1) for name, function in _UNARY.items()},
    **{name: _bind(function, 2) for name, function in _BINARY.items()},
    **{name: _bind(function, 3) for name, function in _TERNARY.items()},
    "hyp2f1": _bind(_hyp2f1, 4),
    "fresnel": _pair(lambda x: x.fresnel_s(), lambda x: x.fresnel_c()),
    "sici": _pair(lambda x: x.si(), lambda x: x.ci()),
}
