"""Enclosures of the gradients of public functions against XLA, differences at 300 bits, and formulas in mpmath.

What disagrees is kept here with its size: `OUTSIDE` are answers of JAX that lie outside the allowance, `ROUNDED` are
derivatives that a constant rounded to float64, or an approximation in JAX's own rule, limits to about 2^-53, and
`LACKING` are functions that balls refuse.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, nn
from jax.scipy import special
from jax.scipy.linalg import expm

from gradcheck.oracles.balls import Balls, Enclosure, Unenclosable
from gradcheck.oracles.balls.values import as_balls, exact, precision
from gradcheck.oracles.program.jaxpr import Leaf, Plan, Signature, Untraceable, plan

flint = pytest.importorskip("flint")
# A context of its own: the precision of mpmath's `mp` belongs to whoever else uses it.
mp: Any = importlib.import_module("mpmath").MPContext()
mp.dps = 60

BITS = 300
STEP = -100  # the steps of differences, as powers of 2: truncation is near 2^-200 of the third derivative
NEW_JAX = jax.__version_info__ >= (0, 12)
Function = Callable[..., Any]
Array = Any

X = np.array([[0.3, -1.7, 2.9, 0.11], [-0.45, 1.2, -3.3, 0.77]])
POSITIVE = np.abs(X) + 0.2
UNIT = X / 4
FRACTION = np.abs(X) / 5
CHANCES = POSITIVE / POSITIVE.sum(axis=1, keepdims=True)
TARGETS = np.roll(CHANCES, 1, axis=1)
LABELS = np.array([1, 3])
SIGNS = np.where(X > 0, 1.0, -1.0)
HITS = np.where(X > 0, 1.0, 0.0)
HEADS = np.round(np.random.default_rng(0).normal(size=(1, 3, 2, 4)), 2)
GRAM = X[:, :3].T @ X[:, :3] + np.eye(3)
FRAMES = np.round(np.random.default_rng(1).normal(size=(1, 5, 3)), 3)

# Functions of reals, of one positive array, and of two
ACTIVATIONS = [
    "celu", "elu", "glu", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu", "log_sigmoid", "log_softmax",
    "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_sign", "softmax", "softplus", "sparse_plus",
    "sparse_sigmoid", "squareplus", "standardize", "tanh",
]  # fmt: skip
OF_PAIRS = ["beta", "betaln", "gammainc", "gammaincc", "kl_div", "poch", "rel_entr", "xlog1py", "xlogy"]
OF_REALS = ["dawsn", "erf", "erfc", "erfcx", "expit", "fresnel", "i0", "i0e", "i1", "i1e", "log_ndtr", "ndtr"]
OF_POSITIVES = ["digamma", "entr", "exp1", "expi", "factorial", "gamma", "gammaln", "sici", "spence"]

# name -> (function, arguments, all of them differentiated)
FUNCTIONS: dict[str, tuple[Function, tuple[Array, ...]]] = {
    **{name: (getattr(nn, name), (X,)) for name in ACTIVATIONS},
    **{name: (getattr(special, name), (X,)) for name in OF_REALS},
    **{name: (getattr(special, name), (POSITIVE,)) for name in OF_POSITIVES},
    **{name: (getattr(special, name), (POSITIVE, POSITIVE[::-1])) for name in OF_PAIRS},
    "bessel_jn": (lambda z: special.bessel_jn(z, v=1, n_iter=12), (POSITIVE[0],)),
    "betainc": (lambda x: special.betainc(1.5, 2.5, x), (FRACTION,)),
    "cholesky": (jnp.linalg.cholesky, (GRAM,)),
    "convolve": (jnp.convolve, (X[0], X[1])),
    "expm": (expm, (UNIT[:, :2],)),
    "quantile": (partial(jnp.quantile, q=0.3, axis=1), (X,)),
    "scan": (lambda x: lax.scan(lambda carry, row: (jnp.tanh(carry + row), carry * row), x[0], x), (X,)),
    "slogdet": (lambda x: jnp.linalg.slogdet(x)[1], (GRAM,)),
    "solve": (jnp.linalg.solve, (GRAM, X[0, :3])),
    "boxcox": (special.boxcox, (POSITIVE, UNIT)),
    "boxcox1p": (special.boxcox1p, (POSITIVE, UNIT)),
    "dot_product_attention": (lambda q: nn.dot_product_attention(q, q[..., ::-1], q * q), (HEADS,)),
    "erfinv": (special.erfinv, (UNIT,)),
    "expn": (lambda x: special.expn(3, x), (POSITIVE,)),
    "gelu": (partial(nn.gelu, approximate=False), (X,)),
    "gelu, approximate": (nn.gelu, (X,)),
    "hyp1f1": (lambda x: special.hyp1f1(1.5, 2.5, x), (X,)),
    "hyp2f1": (lambda x: special.hyp2f1(0.5, 1.5, 2.5, x), (UNIT,)),
    "log1mexp": (nn.log1mexp, (POSITIVE,)),
    "logit": (special.logit, (FRACTION,)),
    "logmeanexp": (partial(nn.logmeanexp, axis=1), (X,)),
    "logsumexp": (partial(nn.logsumexp, axis=1), (X,)),
    "multigammaln": (lambda x: special.multigammaln(x + 2, 3), (POSITIVE,)),
    "ndtri": (special.ndtri, (FRACTION + 0.01,)),
    "owens_t": (special.owens_t, (X, POSITIVE)),
    "polygamma": (lambda x: special.polygamma(2, x), (POSITIVE,)),
    "zeta": (special.zeta, (POSITIVE + 1.5, POSITIVE[::-1])),
}

# loss of optax -> (arguments that are differentiated, others, keywords)
LOSSES: dict[str, tuple[tuple[Array, ...], tuple[Array, ...], dict[str, Any]]] = {
    "binary_dice_loss": ((X,), (HITS,), {}),
    "cosine_distance": ((X, POSITIVE), (), {}),
    "cosine_similarity": ((X, POSITIVE), (), {}),
    "ctc_loss": ((FRAMES,), (np.zeros((1, 5)), np.array([[1, 2, 1]]), np.zeros((1, 3))), {}),
    "dice_loss": ((X,), (HITS,), {}),
    "generalized_kl_divergence": ((np.log(CHANCES), TARGETS), (), {}),
    "hinge_loss": ((X,), (-SIGNS,), {}),
    "huber_loss": ((X, POSITIVE), (), {}),
    "kl_divergence": ((np.log(CHANCES), TARGETS), (), {}),
    "kl_divergence_with_log_targets": ((np.log(CHANCES), np.log(TARGETS)), (), {}),
    "l2_loss": ((X,), (), {}),
    "log_cosh": ((X,), (), {}),
    "multiclass_generalized_dice_loss": ((X,), (HITS,), {}),
    "multiclass_hinge_loss": ((X,), (LABELS,), {}),
    "multiclass_perceptron_loss": ((X,), (LABELS,), {}),
    "multiclass_sparsemax_loss": ((X,), (LABELS,), {}),
    "ntxent": ((FRAMES[0, :4],), (np.array([0, 1, 0, 1]),), {}),
    "perceptron_loss": ((X,), (-SIGNS,), {}),
    "poly_loss_cross_entropy": ((X, CHANCES), (), {}),
    "ranking_softmax_loss": ((X,), (FRACTION,), {}),
    "safe_softmax_cross_entropy": ((X, CHANCES), (), {}),
    "sigmoid_binary_cross_entropy": ((X,), (FRACTION,), {}),
    "sigmoid_focal_loss": ((X,), (HITS,), {"alpha": 0.25}),
    "smooth_labels": ((CHANCES,), (), {"alpha": 0.1}),
    "softmax_cross_entropy": ((X, CHANCES), (), {}),
    "softmax_cross_entropy_with_integer_labels": ((X,), (LABELS,), {}),
    "sparsemax_loss": ((X,), (HITS,), {}),
    "squared_error": ((X, POSITIVE), (), {}),
    "triplet_margin_loss": ((X, POSITIVE, UNIT), (), {}),
}

# Answers of JAX outside the allowance: how many times the allowance at least and at most, and why. NaN where XLA
# returns NaN.
OUTSIDE = {
    # computes its softmax in float32, whatever it is given: the gradient is off by 3e-8
    "dot_product_attention": (1e5, 1e7),
    # differentiates log(1 - x) in the branch not taken: NaN for 1 < x <= 2, where the derivative is log(x) / (1 - x)
    "spence": (np.nan, np.nan),
}
# Where the derivative holds 2/sqrt(pi) or the like, rounded, and the function does not; for zeta, a series cut at
# 2^-108 in the derivative alone.
ROUNDED = {"erf", "erfc", "erfinv", "fresnel", "gelu", "log_ndtr", "ndtr", "owens_t", "zeta"}
ROUNDED |= {"sici"} if NEW_JAX else {"erfcx"}
# What before jax 0.12 has no rule of its own, so that an approximation of it is what JAX differentiates
APPROXIMATED = set() if NEW_JAX else {"ndtri"}
# Functions that are refused, and the word that says why
LACKING: dict[str, tuple[str, Function, tuple[Array, ...]]] = {
    "eigh": ("'eigh'", lambda x: jnp.linalg.eigh(x)[0], (GRAM,)),
    "normal": ("'random_bits'", lambda x: x * jax.random.normal(jax.random.key(0), x.shape), (X,)),
    "qr": ("'qr'", lambda x: jnp.linalg.qr(x)[1], (GRAM,)),
    "rfft": ("complex", lambda x: jnp.abs(jnp.fft.rfft(x)), (X,)),
    "svd": ("'svd'", lambda x: jnp.linalg.svd(x, compute_uv=False), (X,)),
}
# Before jax 0.12, the order of expn is no operand of a program that is not differentiated
NO_FORWARD = set() if NEW_JAX else {"exp1", "expn"}
NAMES = sorted(set(FUNCTIONS) | set(LOSSES))


@dataclass(frozen=True)
class Case:
    """A function at a point, with a cotangent: its program, its forward's program, and what XLA says."""

    function: Function
    arguments: tuple[Array, ...]

    def planned(self, differentiated: bool) -> Plan:
        tree = jax.tree_util.tree_structure((tuple(0 for _ in self.arguments), {}))
        leaves = tuple(Leaf(a.shape, "float64", differentiated) for a in self.arguments)
        return plan(self.function, Signature(tree, leaves))

    @cached_property
    def _outputs(self) -> list[Any]:
        with jax.enable_x64(True):
            return list(jax.eval_shape(self._leaves, *self.arguments))

    def _leaves(self, *arguments: Any) -> Any:
        return jax.tree_util.tree_leaves(self.function(*arguments))

    @cached_property
    def cotangents(self) -> list[Array]:
        return [waves(v.shape, 1.0) for v in self._outputs]

    @cached_property
    def gradient(self) -> Balls:
        return Balls(self.planned(True), [*self.arguments, *self.cotangents])

    @property
    def enclosed(self) -> Enclosure:
        found, n = self.gradient.truth(), len(self._outputs)
        return Enclosure(found.value[n:], found.error[n:], found.bits)

    @cached_property
    def allowed(self) -> list[Array]:
        """What rounding in float64 may cost: radii, and round-off of the summands, of an entry and of its row."""
        program, n = self.gradient.plan, len(self._outputs)
        sizes = program.magnitudes(program.trace(self.gradient.inputs))[n:]
        radii = self.gradient.radius(53)[n:]
        return [
            2 * (r + row_maximum(r) + 2.0**-53 * row_maximum(m)) + e
            for r, m, e in zip(radii, sizes, self.enclosed.error, strict=True)
        ]

    @cached_property
    def xla(self) -> list[Array]:
        def pulled_back(cotangents: Any, *arguments: Any) -> Any:
            return jax.vjp(self._leaves, *arguments)[1](cotangents)

        with jax.enable_x64(True):
            return [np.asarray(g) for g in jax.jit(pulled_back)(self.cotangents, *self.arguments)]


def waves(shape: tuple[int, ...], phase: float) -> Array:
    """Weights that no symmetry of a function cancels, of seven bits."""
    return np.round(64 * np.cos(phase + np.arange(np.prod(shape, dtype=int)))).reshape(shape) / 64


def row_maximum(x: Array) -> Array:
    return np.max(x, axis=-1, keepdims=True) if x.ndim else x


@cache
def case(name: str) -> Case:
    if name in FUNCTIONS:
        return Case(*FUNCTIONS[name])
    optax = pytest.importorskip("optax")
    primals, data, keywords = LOSSES[name]
    loss = getattr(optax.losses, name)
    return Case(lambda *xs: loss(*xs, *map(jnp.asarray, data), **keywords), primals)


def test_there_are_enough_functions() -> None:
    assert len(NAMES) >= 60
    assert len(FORMULAS) >= 15


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(OUTSIDE)))
def test_xla_is_within_the_allowance(name: str) -> None:
    at = case(name)
    for x, value, allowed in zip(at.xla, at.enclosed.value, at.allowed, strict=True):
        assert np.isfinite(allowed).all()
        assert np.all(np.abs(x - value) <= allowed)


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_is_outside_stays_known(name: str) -> None:
    at = case(name)
    low, high = OUTSIDE[name]
    ratios = [np.abs(x - v) / a for x, v, a in zip(at.xla, at.enclosed.value, at.allowed, strict=True)]
    worst = np.max(np.concatenate([r.ravel() for r in ratios]))
    assert low <= worst <= high or (np.isnan(low) and np.isnan(worst))


def directional(forward: Balls, at: Case, directions: list[Array], exponent: int) -> Any:
    """Difference the forward along a line, centrally, at `BITS` bits."""
    n = len(at.cotangents)
    ends = []
    for sign in (1, -1):
        with precision(BITS):
            step = flint.arb(sign) * flint.arb(2) ** exponent
            moved = [as_balls(exact(a) + step * exact(d)) for a, d in zip(at.arguments, directions, strict=True)]
        ends.append(forward.at([*moved, *at.cotangents], BITS)[:n])
    with precision(BITS):
        change = sum(np.sum(exact(c) * (a - b)) for c, a, b in zip(at.cotangents, *ends, strict=True))
        return change / flint.arb(2) ** (exponent + 1)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"spence"} - NO_FORWARD))
def test_a_difference_of_the_forward_at_300_bits_agrees(name: str) -> None:
    at = case(name)
    directions = [waves(a.shape, 2.0 + i) for i, a in enumerate(at.arguments)]
    forward = Balls(at.planned(False), [*at.arguments, *at.cotangents])
    near, far = (directional(forward, at, directions, exponent) for exponent in (STEP, STEP + 1))
    gradient = at.gradient.at(at.gradient.inputs, BITS)[len(at.cotangents) :]
    with precision(BITS):
        slopes = [as_balls(g * exact(d)) for g, d in zip(gradient, directions, strict=True)]
        size = sum(np.sum(np.abs(s)) for s in slopes)
        # truncation is a third of what doubling the step changes; balls bring their radii
        off = abs(sum(np.sum(s) for s in slopes) - near) - abs(far - near)
    if name in ROUNDED:
        assert off < size * 2.0**-50
        assert not off < size * 2.0**-120, "is exact: to be taken out of the list"
    else:
        assert not off > 0
        assert near.rad() < 2.0**-150 * size.upper() or size.is_zero()


# What mpmath differentiates: functions of one entry of each argument
FORMULAS: dict[str, Function] = {
    "celu": lambda x: x if x > 0 else mp.expm1(x),
    "dawsn": lambda x: mp.sqrt(mp.pi) / 2 * mp.exp(-x * x) * mp.erfi(x),
    "digamma": mp.digamma,
    "entr": lambda x: -x * mp.log(x),
    "erf": mp.erf,
    "erfc": mp.erfc,
    "erfcx": lambda x: mp.exp(x * x) * mp.erfc(x),
    "erfinv": mp.erfinv,
    "expi": mp.ei,
    "exp1": mp.e1,
    "expit": lambda x: 1 / (1 + mp.exp(-x)),
    "expn": lambda x: mp.expint(3, x),
    "gamma": mp.gamma,
    "gammaln": mp.loggamma,
    "gelu": lambda x: x * mp.ncdf(x),
    "hyp1f1": lambda x: mp.hyp1f1(1.5, 2.5, x),
    "hyp2f1": lambda x: mp.hyp2f1(0.5, 1.5, 2.5, x),
    "i0": lambda x: mp.besseli(0, x),
    "i1": lambda x: mp.besseli(1, x),
    "log1mexp": lambda x: mp.log(-mp.expm1(-x)),
    "log_cosh": lambda x: mp.log(mp.cosh(x)),
    "log_ndtr": lambda x: mp.log(mp.ncdf(x)),
    "log_sigmoid": lambda x: -mp.log1p(mp.exp(-x)),
    "logit": lambda x: mp.log(x / (1 - x)),
    "mish": lambda x: x * mp.tanh(mp.log1p(mp.exp(x))),
    "ndtr": mp.ncdf,
    "ndtri": lambda p: mp.sqrt(2) * mp.erfinv(2 * p - 1),
    "polygamma": lambda x: mp.polygamma(2, x),
    "silu": lambda x: x / (1 + mp.exp(-x)),
    "softplus": lambda x: mp.log1p(mp.exp(x)),
    "squareplus": lambda x: (x + mp.sqrt(x * x + 4)) / 2,
    "tanh": mp.tanh,
    "xlog1py": lambda x, y: x * mp.log1p(y),
    "xlogy": lambda x, y: x * mp.log(y),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_the_derivative_of_a_formula_in_mpmath_agrees(name: str) -> None:
    at = case(name)
    # mpmath's own differences have half of 60 digits, or more; rational approximations have a few units of float64's
    limit = 2.0**-48 if name in APPROXIMATED else 2.0**-50 if name in ROUNDED else 1e-25
    columns = [a.ravel().tolist() for a in at.arguments]
    for k, (value, error) in enumerate(zip(at.enclosed.value, at.enclosed.error, strict=True)):
        orders = tuple(int(i == k) for i in range(len(columns)))
        for *entry, c, v, e in zip(*columns, at.cotangents[0].ravel(), value.ravel(), error.ravel(), strict=True):
            point = tuple(map(mp.mpf, entry))
            slope = c * (
                mp.diff(FORMULAS[name], point, orders) if k or len(point) > 1 else mp.diff(FORMULAS[name], *point)
            )
            assert abs(slope - v) <= e + limit * abs(slope)


@pytest.mark.parametrize("name", LACKING)
def test_what_is_lacking_is_named(name: str) -> None:
    word, function, arguments = LACKING[name]
    with pytest.raises((Untraceable, Unenclosable), match=word):
        Case(function, arguments).gradient.truth()


def test_a_wrong_rule_is_outside() -> None:
    at = case("softmax")
    assert np.any(np.abs(at.xla[0] * (1 + 1e-13) - at.enclosed.value[0]) > at.allowed[0])
