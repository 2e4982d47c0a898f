"""Primitives that compare: decided as XLA decides them, with more bits until they are, and replayed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gradcheck.oracles.balls import Balls
from gradcheck.oracles.balls.choices import CHOICES
from gradcheck.oracles.balls.compare import Undecided
from gradcheck.oracles.balls.values import Unenclosable, as_balls, exact, precision, radii, rounded, to_floats
from gradcheck.oracles.program.jaxpr import Leaf, Plan, Signature, plan

pytest.importorskip("flint")

X = np.array([[0.5, -1.25, 2.0, 0.5], [3.5, 0.125, -0.75, 0.0]])
TIES = np.array([[1.0, 3.0, 3.0, -math.inf], [-math.inf, -math.inf, 2.0, 2.0]])
HALVES = np.array([[0.5, 1.5, 2.5, -0.5], [-1.5, 0.49999999999999994, -2.5, 7.0]])
J = np.arange(8).reshape(2, 4)
Table = dict[str, Callable[..., Any]]

# primitive -> function of an array that uses it; Booleans select so that results are floats
TABLE: Table = {
    "abs": jnp.abs,
    "argmax": lambda x: jnp.argmax(x, axis=1),
    "argmin": lambda x: jnp.argmin(x, axis=0),
    "bitcast_convert_type": lambda x: lax.bitcast_convert_type(x, np.int64) >> 62,
    "ceil": jnp.ceil,
    "clamp": lambda x: lax.clamp(-0.5, x, 1.0),
    "convert_element_type": lambda x: (x.astype(bool), jnp.where(jnp.isfinite(x), x, 0).astype(np.int64)),
    "cummax": lambda x: (lax.cummax(x, axis=1), lax.cummax(x, axis=0, reverse=True)),
    "cummin": lambda x: (lax.cummin(x, axis=0), lax.cummin(x, axis=1, reverse=True)),
    "eq": lambda x: x == 0.5,
    "floor": jnp.floor,
    "ge": lambda x: x >= x[:, :1],
    "gt": lambda x: x > x[:, :1],
    "is_finite": lambda x: jnp.isfinite(x),
    "le": lambda x: x <= x[:, :1],
    "lt": lambda x: x < x[:, :1],
    "max": lambda x: jnp.maximum(x, x[:, ::-1]),
    "min": lambda x: jnp.minimum(x, 0.25),
    "ne": lambda x: x != 0.5,
    "reduce_max": lambda x: (x.max(axis=1), x.max(), x.max(axis=0)),
    "reduce_min": lambda x: (x.min(axis=1), x.min(), x.min(axis=0)),
    "rem": lambda x: lax.rem(x, jnp.full_like(x, 0.75)),
    "round": lambda x: (lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN), lax.round(x)),
    "scatter-max": lambda x: (x.at[:, jnp.array([1, 1])].max(x[:, :2]), x.at[jnp.array([0, 7])].max(x[::-1])),
    "scatter-min": lambda x: (x.at[:, jnp.array([2, 0])].min(x[:, :2]), x.at[jnp.array([1, 1])].min(x)),
    "sign": jnp.sign,
    "sort": lambda x: (
        lax.sort(x, dimension=1),
        lax.sort((x, x[::-1]), dimension=1, num_keys=1),
        lax.sort((x, -x), dimension=0, num_keys=2),
    ),
}


def planned(function: Callable[..., Any], *arguments: Any) -> Plan:
    tree = jax.tree_util.tree_structure((tuple(0 for _ in arguments), {}))
    return plan(function, Signature(tree, tuple(Leaf(a.shape, a.dtype.name, False) for a in arguments)))


def balls(function: Callable[..., Any], x: Any) -> tuple[Balls, list[Any]]:
    with jax.enable_x64(True):
        truth = [np.asarray(v) for v in jax.tree_util.tree_leaves(function(jnp.asarray(x)))]
    return Balls(planned(function, x), [x, *(np.zeros(t.shape) for t in truth)]), truth


def test_every_comparing_primitive_is_in_the_table() -> None:
    assert set(TABLE) == set(CHOICES)


@pytest.mark.parametrize("x", [X, TIES, HALVES], ids=["ordinary", "ties and masks", "halves"])
@pytest.mark.parametrize("name", TABLE)
def test_choices_are_those_of_xla(name: str, x: Any) -> None:
    if name == "rem":
        x = np.where(np.isfinite(x), x, 1.0)  # a mask has no remainder
    program, truth = balls(TABLE[name], x)
    found = program.truth()
    for value, error, expected in zip(found.value, found.error, truth, strict=True):
        np.testing.assert_array_equal(value, expected.astype(float))
        assert not error.any()


@pytest.mark.parametrize("name", TABLE)
def test_replayed_choices_widen_nothing(name: str) -> None:
    """Each entry of the result is one of the balls that went in, or exact: a ball of a maximum is no hull."""
    program, truth = balls(TABLE[name], X)
    for radius, expected in zip(program.radius(8), truth, strict=True):
        limit = np.abs(X).max() if name == "rem" else np.abs(expected.astype(float))
        assert np.all(radius <= 2.0**-8 * limit * (1 + 2.0**-20))


@pytest.mark.parametrize(
    "name", ["abs", "argmax", "clamp", "cummax", "eq", "le", "max", "min", "ne", "reduce_max", "reduce_min", "sort"]
)
def test_a_nan_compares_as_in_xla(name: str) -> None:
    x = X.copy()
    x[0, 1] = math.nan
    program, truth = balls(TABLE[name], x)
    for value, expected in zip(program.truth().value, truth, strict=True):
        np.testing.assert_array_equal(value, expected.astype(float))


def test_the_nan_test_is_decided_by_identity() -> None:
    different, equal = CHOICES["ne"]({}), CHOICES["eq"]({})
    third = exact(np.asarray(1.0)) / 3  # inexact: it overlaps itself, and more bits would never help
    assert not different.decide(False, as_balls(third), as_balls(third))
    assert equal.decide(False, as_balls(third), as_balls(third))
    nothing = exact(np.asarray(math.nan))
    assert different.decide(False, nothing, nothing)


@pytest.mark.parametrize("name", ["eq", "lt", "max", "reduce_max", "sort", "sign", "floor"])
def test_overlapping_balls_ask_for_more_bits_and_are_equal_in_the_end(name: str) -> None:
    params = {"axes": (0,), "dimension": 0, "num_keys": 1}
    choice = CHOICES[name](params)
    with precision(64):
        third = exact(np.asarray(1.0)) / 3
        pair = as_balls([third * 3, exact(np.asarray(2.0)) / 2])  # 1 ± 1e-19, and 1
        operands = {"sign": (as_balls(pair[:1] - 1),), "floor": (pair[:1],), "reduce_max": (pair,), "sort": (pair,)}
        arguments = operands.get(name, (pair[:1], pair[1:]))
        with pytest.raises(Undecided):
            choice.decide(False, *arguments)
        result = choice.replay(choice.decide(True, *arguments), *arguments)
    expected = {"eq": True, "lt": False, "sign": 0.0}.get(name, 1.0)
    first = np.asarray(result).ravel()[0]
    assert first == expected or first.contains(expected)


def test_infinities_are_equal_whatever_was_added_to_them() -> None:
    masked = as_balls(exact(np.asarray([-math.inf])) + rounded(np.asarray([0.1]), 8))
    assert CHOICES["eq"]({}).decide(False, masked, exact(np.asarray([-math.inf])))
    assert not CHOICES["eq"]({}).decide(False, masked, -masked)


def test_balls_without_a_radius_are_not_taken_for_equal() -> None:
    with precision(64):
        overflow = exact(np.asarray([1e300])) * 1
        overflow = as_balls([overflow[0].exp()])
    with pytest.raises(Unenclosable, match="cannot be decided"):
        CHOICES["lt"]({}).decide(True, overflow, exact(np.asarray([1.0])))


def complement(z: Any) -> Any:
    return jnp.log(1 - jax.nn.sigmoid(z))


@pytest.mark.parametrize(
    ("function", "x", "value"),
    [
        (lambda z: jnp.maximum(complement(z), -100.0), 150.0, -100.0),
        (lambda z: jnp.where(jnp.isfinite(complement(z)), z, 3 * z), 150.0, 150.0),
        (lambda z: jnp.where(jnp.isnan(complement(z)), 3 * z, z), 1000.0, 1000.0),
        (lambda z: jnp.where(jnp.floor(complement(z)) < -100, z, 3 * z), 150.0, 150.0),
        (lambda z: jnp.where(complement(z).astype(np.int32) < 0, z, 3 * z), 150.0, 150.0),
        (lambda z: jnp.stack([complement(z), -200.0]).max(), 150.0, -150.0),
        (lambda z: jnp.argmax(jnp.stack([complement(z), -200.0])), 150.0, 0.0),
        (lambda z: jnp.sort(jnp.stack([complement(z), -200.0]))[0], 150.0, -200.0),
        (lambda z: jnp.sign(complement(z)), 150.0, -1.0),
    ],
    ids=["max", "is_finite", "is_nan", "floor", "cast", "reduce_max", "argmax", "sort", "sign"],
)
def test_what_is_nan_for_want_of_bits_is_not_decided(function: Callable[..., Any], x: float, value: float) -> None:
    """1 - sigmoid(z) takes 1.44 z bits to be seen beside 1: with fewer it may be 0, or negative."""
    point = np.asarray(x)
    found = Balls(planned(function, point), [point, np.zeros(())]).truth()
    assert found.bits > 128
    assert found.value[0] == value


@pytest.mark.parametrize(
    "function",
    [
        lambda z: jnp.maximum(complement(z), -100.0),
        lambda z: jnp.isfinite(complement(z)),
        lambda z: jnp.isnan(complement(z)),
        lambda z: jnp.floor(complement(z)),
        lambda z: complement(z).astype(np.int32),
    ],
    ids=["max", "is_finite", "is_nan", "floor", "cast"],
)
def test_what_no_bits_tell_from_nan_is_unenclosable(function: Callable[..., Any]) -> None:
    point = np.asarray(9000.0)
    with pytest.raises(Unenclosable, match="cannot be"):
        Balls(planned(function, point), [point, np.zeros(())]).truth()


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jnp.isnan(jnp.log(-x / 3)),
        lambda x: jnp.isnan(jnp.maximum(jnp.sqrt(-x), 1.0)),
        lambda x: jnp.isnan((x - 1) / (x - 1)),
        lambda x: ~jnp.isfinite(1 / (x - 1)),
        lambda x: jnp.isnan(jnp.mod(x, x - 1)),
        lambda x: jnp.isnan(jnp.inf * x - jnp.inf),
    ],
    ids=["log of less than 0", "root of less than 0", "0 / 0", "1 / 0", "mod 0", "inf - inf"],
)
def test_what_is_nan_or_infinite_at_any_precision_is_decided_at_the_first(function: Callable[..., Any]) -> None:
    program, (truth,) = balls(function, np.asarray(1.0))
    found = program.truth()
    assert found.bits == 128
    assert found.value[0] == truth == 1


def test_division_by_zero_takes_the_branch_of_infinity() -> None:
    program, (truth,) = balls(lambda n: jnp.where(1 / n > 5, n + 1, n + 3), np.array([0.0, 0.1, 1.0]))
    np.testing.assert_array_equal(program.truth().value[0], truth)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64])
def test_casts_saturate_as_in_xla(dtype: Any) -> None:
    x = np.array([1e10, -1e10, 1e300, math.inf, -math.inf, math.nan, 127.5, -128.5, 255.0, -0.5])
    program, (truth,) = balls(lambda z: z.astype(dtype), x)
    np.testing.assert_array_equal(program.truth().value[0], truth.astype(float))


@pytest.mark.parametrize("decimals", [0.1, 0.3])
def test_more_bits_decide_what_float64_cannot(decimals: float) -> None:
    """10 * 0.1 rounds to 1; exactly, it is above, and 3 * 0.3 below 0.9."""

    def over(x: Any) -> Any:
        return jnp.where(x * 10.0 > 10.0 * decimals, 1.0, 0.0)

    just_above = np.asarray(decimals)
    program = Balls(planned(over, just_above), [just_above, np.zeros(())])
    exactly = 10 * int(math.ldexp(decimals, 60)) > int(math.ldexp(10.0 * decimals, 60))
    assert program.truth().value[0] == exactly


def test_a_maximum_of_many_entries_beyond_float64_is_found() -> None:
    with precision(256):
        tiny = exact(np.arange(6.0).reshape(2, 3)) * exact(np.asarray(2.0**-1000)) * exact(np.asarray(2.0**-1000))
        place = CHOICES["argmax"]({"axes": (1,), "index_dtype": np.int64}).decide(False, as_balls(tiny))
    np.testing.assert_array_equal(place, [2, 2])  # all are 0 in float64


def test_an_extremum_over_nothing_is_neutral() -> None:
    nothing = exact(np.zeros((2, 0)))
    for name, neutral in (("reduce_max", -math.inf), ("reduce_min", math.inf)):
        choice = CHOICES[name]({"axes": (1,)})
        result = choice.replay(choice.decide(False, nothing), nothing)
        np.testing.assert_array_equal(to_floats(result)[0], [neutral, neutral])
    empty = CHOICES["argmax"]({"axes": (1,), "index_dtype": np.int64}).decide(False, exact(np.zeros((0, 3))))
    assert empty.shape == (0,)


def test_rounded_numbers_have_no_bits() -> None:
    cast = CHOICES["bitcast_convert_type"]({"new_dtype": np.dtype("int64")})
    with precision(64):
        third = as_balls(exact(np.ones(2)) / 3)
    with pytest.raises(Unenclosable, match="'bitcast_convert_type' of rounded numbers"):
        cast.decide(False, third)
    narrow = CHOICES["bitcast_convert_type"]({"new_dtype": np.dtype("int32")})
    with pytest.raises(Unenclosable, match="rounded numbers"):
        narrow.decide(False, exact(np.asarray([0.1])))  # is no float32
    assert narrow.decide(False, exact(np.asarray([0.5]))) == np.float32(0.5).view(np.int32)


def test_casts_between_floats_are_the_identity_and_complex_numbers_are_refused() -> None:
    ball = rounded(np.asarray([0.1]), 53)
    cast = CHOICES["convert_element_type"]({"new_dtype": np.dtype("float32")})
    assert cast.replay(cast.decide(False, ball), ball) is ball
    assert radii(ball)[0] > 0
    with pytest.raises(Unenclosable, match="complex"):
        CHOICES["convert_element_type"]({"new_dtype": np.dtype("complex128")})
