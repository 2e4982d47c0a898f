"""Functions that JAX evaluates by an approximation, and the names of what they stand for.

JAX puts the approximation itself into its programs: rational functions chosen piece by piece, loops until
convergence, bit casts. In float64 that is as good as the function, and NumPy evaluates it as it stands. In ball
arithmetic it would enclose the approximation and not the truth. So a call of one of these, known by the name of the
function in JAX's own sources, becomes one step of a plan by the name given here, whose operation is the program that
JAX calls; other arithmetics supply the mathematical function.

=================  =======================================================================================
step               the function
=================  =======================================================================================
``dawsn``          exp(-x^2) times the integral of exp(t^2) from 0 to x
``erfcinv``        the inverse of erfc
``erfcinv_grad``   its derivative, -sqrt(pi) / 2 exp(z^2); takes y and z = erfcinv(y)
``erfcx``          exp(x^2) erfc(x)
``erfcx_grad``     its derivative, 2 x y - 2 / sqrt(pi); takes x and y = erfcx(x)
``exp_neg_sq``     exp(-x^2)
``expi``           Ei(x), the exponential integral
``expn``           E_n(x), the integral of exp(-x t) / t^n from 1 to infinity; takes n, x
``fresnel``        S(x), C(x): two results
``hyp1f1``         Kummer's function M(a, b, x); takes a, b, x
``hyp2f1``         Gauss's function F(a, b; c; x); takes a, b, c, x
``log_ndtr``       log of the normal distribution function Phi
``ndtri``          the inverse of Phi
``ndtri_grad``     the derivative of that, sqrt(2 pi) exp(x^2 / 2); takes p and x = ndtri(p)
``sici``           Si(x), Ci(x): two results
=================  =======================================================================================

Left as they are, since they have no derivative rule of their own and only their approximation is differentiated, to
about 2^-50: ``ndtri`` before jax 0.12, ``sinc`` near 0 from jax 0.12 on, ``spence``, ``betaln`` above 8, ``owens_t``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["REPLACEMENTS", "replacement"]

# function in the sources of JAX -> step
REPLACEMENTS: Mapping[str, str] = {
    "_dawsn": "dawsn",
    "_erfcinv": "erfcinv",
    "_erfcinv_grad": "erfcinv_grad",
    "_erfcx": "erfcx",
    "_erfcx_grad": "erfcx_grad",
    "_expn": "expn",
    "_ndtri": "ndtri",
    "_ndtri_grad": "ndtri_grad",
    "exp_neg_sq": "exp_neg_sq",
    "expi": "expi",
    "expn": "expn",  # before jax 0.12
    "fresnel": "fresnel",
    "hyp1f1": "hyp1f1",
    "hyp2f1": "hyp2f1",
    "log_ndtr": "log_ndtr",
    "sici": "sici",
}


def replacement(jaxpr: Any) -> str | None:
    """Name the function that a called program stands for, if it is one of JAX's own in the table."""
    import jax

    about = getattr(jaxpr, "jaxpr", jaxpr).debug_info
    name = REPLACEMENTS.get(str(about.func_name))
    if name is None or about.func_filename is None:
        return None
    return name if Path(jax.__file__).parent in Path(about.func_filename).parents else None
