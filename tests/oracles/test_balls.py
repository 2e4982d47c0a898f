"""Enclosures of whole programs: where masks, ties and tiny numbers are, what is refused, and what is left behind."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradcheck.oracles.balls import Balls, Unenclosable, enclose, radius
from gradcheck.oracles.balls.choices import CHOICES
from gradcheck.oracles.balls.functions import functions
from gradcheck.oracles.balls.moves import MOVES
from gradcheck.oracles.balls.values import exact, literal, radii, rounded, to_floats
from gradcheck.oracles.program.jaxpr import Leaf, Plan, Signature, plan
from gradcheck.oracles.program.primitives import BINDERS
from gradcheck.oracles.program.replacements import REPLACEMENTS

flint = pytest.importorskip("flint")

ONE = np.asarray(1.0)
UNITS = [8, 11, 24, 53]


def planned(function: Callable[..., Any], *arguments: Any) -> Plan:
    tree = jax.tree_util.tree_structure((tuple(0 for _ in arguments), {}))
    return plan(function, Signature(tree, tuple(Leaf(a.shape, a.dtype.name, a.dtype.kind == "f") for a in arguments)))


def nll(z: Any, y: Any) -> Any:
    return -jnp.sum(jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1))


def logits(kind: str) -> Any:
    z = np.random.default_rng(3).normal(size=(4, 5))
    return {
        "ordinary": z,
        "offset": z + 1e6,
        "confident": z + 20 * np.eye(4, 5),
        "hundreds apart": 300.0 * z,
        "tied": np.round(z),
        "all equal": np.ones((4, 5)),
        "masked": np.where(np.abs(z) > 1, -math.inf, z) - np.where(np.eye(4, 5), 0.0, 0.0),
        "tiny": 1e-300 * z,
        "subnormal": 5e-324 * np.round(9 * z),
        "huge": 1e300 * z,
    }[kind]


KINDS = [
    "ordinary",
    "offset",
    "confident",
    "hundreds apart",
    "tied",
    "all equal",
    "masked",
    "tiny",
    "subnormal",
    "huge",
]
Y = np.array([3, 1, 4, 0])


def softmax_minus_one_hot(z: Any) -> Any:
    """The same gradient by its formula, in 400 bits of mpmath's own arithmetic."""
    mp = __import__("mpmath").MPContext()
    mp.prec = 400
    rows = []
    for row, label in zip(z, Y, strict=True):
        top = max(row)
        powers = [mp.exp(mp.mpf(x) - mp.mpf(top)) for x in row]
        total = mp.fsum(powers)
        rest = [mp.fsum(p for j, p in enumerate(powers) if j != k) for k in range(len(powers))]
        rows.append([-rest[k] / total if k == label else powers[k] / total for k in range(len(powers))])
    return rows


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_of_softmax_nll_is_enclosed(kind: str) -> None:
    z = logits(kind)
    if kind == "masked":  # a label on a masked class is outside the domain
        z[np.arange(4), Y] = 0.25
    found = enclose(planned(nll, z, Y), [z, Y, ONE])
    for value, error, expected in zip(
        found.value[1].ravel(), found.error[1].ravel(), np.ravel(softmax_minus_one_hot(z)), strict=True
    ):
        assert abs(expected - value) <= error
        # what rounding the midpoint costs (at most 2^-53 of it, or half the smallest number), and 2^-60
        assert error <= max(1.02 * 2.0**-53 * abs(value), 2 * 5e-324)


@pytest.mark.parametrize("unit_bits", UNITS)
@pytest.mark.parametrize("kind", KINDS[:-1])
def test_the_radius_covers_inputs_that_round_to_these(kind: str, unit_bits: int) -> None:
    z = logits(kind)
    if kind == "masked":
        z[np.arange(4), Y] = 0.25
    program = Balls(planned(nll, z, Y), [z, Y, ONE])
    r = program.radius(unit_bits)[1]
    rng = np.random.default_rng(0)
    moved = z * (1 + 2.0 ** -(unit_bits + 1) * rng.uniform(-1, 1, z.shape))
    there = enclose(program.plan, [moved, Y, ONE])
    with np.errstate(invalid="ignore"):
        distance = np.abs(there.value[1] - program.truth().value[1])
    assert np.all(distance <= r + there.error[1] + program.truth().error[1])


@pytest.mark.parametrize(
    ("dtype", "unit_bits", "smallest"),
    [("float16", 11, 2.0**-14), ("bfloat16", 8, 2.0**-126), ("float32", 24, 2.0**-126), ("float64", 53, 2.0**-1022)],
)
@pytest.mark.parametrize("kind", ["ordinary", "confident", "tied", "all equal", "masked"])
def test_the_radius_covers_what_xla_rounds(kind: str, dtype: str, unit_bits: int, smallest: float) -> None:
    z = logits(kind)
    if kind == "masked":
        z[np.arange(4), Y] = 0.25
    with jax.enable_x64(True):
        rule = np.asarray(jax.grad(nll)(jnp.asarray(z, dtype), Y)).astype(np.float64)
        z = np.asarray(jnp.asarray(z, dtype)).astype(np.float64)  # a rule is judged at its own rounded inputs
    program = Balls(planned(nll, z, Y), [z, Y, ONE])
    assert np.all(np.abs(rule - program.truth().value[1]) <= program.radius(unit_bits)[1] + smallest)


@pytest.mark.parametrize("unit_bits", [11, 24, 53])
def test_an_ordinary_radius_is_a_few_units_of_round_off(unit_bits: int) -> None:
    z = logits("ordinary")
    r = radius(planned(nll, z, Y), [z, Y, ONE], unit_bits)[1]
    assert 2.0**-unit_bits * 1e-3 < r.max() < 64 * 2.0**-unit_bits


def test_what_blows_up_has_an_infinite_radius_and_no_value() -> None:
    def pole(x: Any) -> Any:
        return 1 / (x * 3.0 - x - 2 * x)

    x = np.asarray(0.1)
    program = Balls(planned(pole, x), [x, ONE])
    assert program.radius(53)[1] == math.inf
    found = program.truth()
    assert np.isnan(found.value[1])
    assert not found.error[1] < math.inf


def test_a_number_beyond_float64_has_an_unknown_error() -> None:
    x = np.asarray(1e200)
    found = enclose(planned(lambda x: x * x, x), [x, ONE])
    assert found.value[0] == found.error[0] == math.inf
    assert found.value[1] == 2e200


def test_an_exact_infinity_is_known() -> None:
    x = np.array([0.5, -math.inf])
    found = enclose(planned(lambda x: x[1] + 0 * x[0], x), [x, ONE])
    assert found.value[0] == -math.inf
    assert found.error[0] == 0


@pytest.mark.parametrize("function", [jax.nn.relu, jnp.abs, lambda x: jnp.maximum(x, -x), lambda x: x.max()])
def test_ties_are_decided_as_xla_does(function: Callable[[Any], Any]) -> None:
    x = np.array([0.0, 2.0, -1.0, 2.0])

    def total(x: Any) -> Any:
        return function(x).sum()

    with jax.enable_x64(True):
        truth = np.asarray(jax.grad(total)(jnp.asarray(x)))
    found = enclose(planned(total, x), [x, ONE])
    np.testing.assert_array_equal(found.value[1], truth)


def test_a_derived_tie_is_equal_and_replayed_at_every_precision() -> None:
    """Two ways to one number: 3 (x/3) and x differ by rounding alone, so no bits ever tell them apart."""

    def total(x: Any) -> Any:
        return jnp.where(x / 3.0 * 3.0 == x, x * x, 0.0).sum()

    x = np.array([0.1, 0.7, 5.0])
    program = Balls(planned(total, x), [x, ONE])
    assert program.truth().bits == 2048
    for bits in UNITS:
        r = program.radius(bits)[1]
        assert np.all((r > 0) & (r < 2 * 4 * 2.0**-bits * x))
    assert program.truth(100).value[1].tolist() == (2 * x).tolist()


def test_a_where_that_guards_a_pole_stays_finite() -> None:
    def guarded(x: Any) -> Any:
        return jnp.where(x == 0, 1.0, jnp.sin(x) / jnp.where(x == 0, 1.0, x)).sum()

    x = np.array([0.0, 1e-5, 0.5])
    found = enclose(planned(guarded, x), [x, ONE])
    expected = [0.0, -1e-5 / 3 * (1 - 1e-11), math.cos(0.5) / 0.5 - math.sin(0.5) / 0.25]
    np.testing.assert_allclose(found.value[1], expected, rtol=4e-16)


@pytest.mark.parametrize("scale", [1e-300, 5e-324, 2.0**-1060])
def test_tiny_numbers_are_not_flushed(scale: float) -> None:
    x = scale * np.array([1.0, 2.0, 3.0])
    found = enclose(planned(lambda x: (x * x).sum() + x[0], x), [x, ONE])
    assert found.value[1].tolist() == (2 * x + [1, 0, 0]).tolist()
    # the value is x^2 + x, to the last bit
    assert found.value[0] == float(sum(Fraction(v) ** 2 for v in x) + Fraction(x[0]))


def test_bits_can_be_given() -> None:
    z = logits("ordinary")
    program = Balls(planned(nll, z, Y), [z, Y, ONE])
    assert program.truth().bits == 128
    assert program.truth(20).bits == 20
    assert program.truth(20).error[1].max() > 2.0**-20 * np.abs(program.truth().value[1]).min()
    assert program.truth(1000).error[1].max() <= 2.0**-53


def test_cancelling_entries_take_more_bits() -> None:
    """1 - p of a row 300 apart is e^-300: it takes 430 bits to be seen beside 1."""

    def rest(z: Any) -> Any:
        return jnp.log1p(-jax.nn.softmax(z)[0])

    z = np.array([300.0, 0.0])
    found = enclose(planned(rest, z), [z, ONE])
    assert found.bits > 430
    assert found.value[0] == pytest.approx(-300.0, abs=1e-12)


def test_the_lacking_primitive_is_named() -> None:
    x = np.ones(3)
    program = planned(lambda x: (x * jax.lax.nextafter(*[jax.lax.stop_gradient(x)] * 2)).sum(), x)
    with pytest.raises(Unenclosable, match="lacks the primitive 'nextafter'"):
        enclose(program, [x, ONE])


def test_a_rounded_number_has_a_sign_but_no_bits() -> None:
    x = np.array([0.1, -0.1, 0.0])
    signs = enclose(planned(lambda x: jnp.where(jnp.signbit(x / 3.0), -x, x).sum(), x), [x, ONE])
    assert signs.value[1].tolist() == [1.0, -1.0, 1.0]

    def halved(x: Any) -> Any:
        bits = jax.lax.bitcast_convert_type(x / 3.0, np.int64) >> 1
        return jnp.where(bits > 0, x, -x).sum()

    with pytest.raises(Unenclosable, match="'bitcast_convert_type' of rounded numbers"):
        enclose(planned(halved, x), [x, ONE])


def test_all_that_numpy_evaluates_has_balls_but_what_only_bits_have() -> None:
    of_bits = {"and", "clz", "not", "or", "population_count", "reduce_and", "reduce_or", "reduce_xor", "xor"}
    of_bits |= {"shift_left", "shift_right_arithmetic", "shift_right_logical"}
    without_operands = {"dim_as_value", "iota"}
    lacking = {"nextafter"}
    known = set(BINDERS) | set(REPLACEMENTS.values())
    assert known - {*CHOICES, *functions(), *MOVES} == of_bits | without_operands | lacking


def test_without_flint_the_command_that_brings_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.ones(3)
    program = planned(lambda x: x.sum(), x)
    monkeypatch.setitem(sys.modules, "flint", None)  # as where it is not installed
    for asked in (lambda: enclose(program, [x, ONE]), lambda: radius(program, [x, ONE], 53)):
        with pytest.raises(Unenclosable, match=r"pip install 'gradcheck\[exact\]'"):
            asked()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_the_precision_of_flint_is_restored(error: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    before = flint.ctx.prec
    z = logits("ordinary")
    enclose(planned(nll, z, Y), [z, Y, ONE])
    assert flint.ctx.prec == before
    program = Balls(planned(nll, z, Y), [z, Y, ONE])

    def interrupted(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(program, "_bound", [interrupted] * len(program.plan.steps))
    with pytest.raises((error, Unenclosable)):
        program.truth()
    assert flint.ctx.prec == before


@pytest.mark.parametrize("unit_bits", UNITS)
def test_literals_are_half_an_ulp_wide_unless_meant_exactly(unit_bits: int) -> None:
    plain = np.array([0.0, 0.5, -3.0, 1.0, 2.0**-40, 96.0, math.inf])
    assert not radii(literal(plain, unit_bits)).any()
    inexact = np.array([0.1, 2 / math.sqrt(math.pi), -1 / 3, 0.044715])
    np.testing.assert_allclose(radii(literal(inexact, unit_bits)), 2.0**-unit_bits * np.abs(inexact), rtol=1e-6)
    assert radii(literal(np.asarray(1000.0), unit_bits)) == (2.0**-8 * 1000 if unit_bits == 8 else 0) or unit_bits == 8


def test_conversions_bound_what_they_round() -> None:
    x = np.array([0.1, -5e-324, 1e300, 0.0, -0.0, math.inf, math.nan])
    value, error = to_floats(exact(x))
    np.testing.assert_array_equal(value, x)
    np.testing.assert_array_equal(error, [0, 0, 0, 0, 0, 0, math.nan])
    wide = rounded(x, 24)
    np.testing.assert_array_equal(to_floats(wide)[0], x)
    assert radii(wide)[0] == pytest.approx(2.0**-24 * 0.1, rel=1e-6)
    assert radii(wide)[1] == 5e-324  # rounded up
    assert radii(wide)[3:6].tolist() == [0, 0, 0]


def test_whole_numbers_and_booleans_pass_through() -> None:
    x = np.array([0.5, 2.0, 1.0])
    k = np.array([2, 0])
    found = enclose(planned(lambda x, k: (x[k], k + 1, k > 0), x, k), [x, k, *[np.ones(2)] * 3])
    assert [v.tolist() for v in found.value[:3]] == [[1.0, 0.5], [3.0, 1.0], [1.0, 0.0]]
    assert not any(e.any() for e in found.error[:3])
