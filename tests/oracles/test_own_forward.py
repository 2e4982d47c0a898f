"""The forward itself on exact numbers: thirty losses and layers, kinks, what an allowance is made of, refusals."""

from __future__ import annotations

import importlib.util
import itertools
import math
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradcheck.oracles.balls.values import exact, precision
from gradcheck.oracles.own_forward import OwnDerivative, Unserved, differentiate
from gradcheck.oracles.own_forward.program import points
from gradcheck.rule import Point, Rule
from gradcheck.tree import Flat, flatten, leaves_of

flint = pytest.importorskip("flint")

_spec = importlib.util.spec_from_file_location("own_forwards", Path(__file__).with_name("own_forwards.py"))
assert _spec is not None
assert _spec.loader is not None
forwards: Any = importlib.util.module_from_spec(_spec)
sys.modules["own_forwards"] = forwards
_spec.loader.exec_module(forwards)

SERVED = [case for case in forwards.CASES if case.twin is not None]
UNIT = 2.0**-53


@pytest.fixture(autouse=True)
def precision_is_restored() -> Iterator[None]:
    before = flint.ctx.prec
    yield
    assert flint.ctx.prec == before


def flat_of(forward: Callable[..., Any], *args: Any, argnums: tuple[int, ...] | None = None, **kwargs: Any) -> Flat:
    return flatten(Rule(lambda *_: (None, lambda c: c), forward, "own", argnums=argnums), Point(args, kwargs, None))


def derivative(forward: Callable[..., Any], *args: Any, cotangent: Any = 1.0, **kwargs: Any) -> OwnDerivative:
    return differentiate(forward, flat_of(forward, *args, **kwargs), leaves_of(cotangent))


def of_case(case: Any) -> tuple[OwnDerivative, list[Any], list[Any]]:
    """Differentiate a case; give also the values that NumPy computes, and the cotangents."""
    copies = jax.tree_util.tree_map(np.array, case.args)
    values = [np.asarray(v) for v in leaves_of(case.forward(*copies, **case.kwargs))]
    rng = np.random.default_rng(7)
    cotangents = [rng.normal(size=v.shape) for v in values]
    flat = flat_of(case.forward, *case.args, argnums=case.argnums, **case.kwargs)
    return differentiate(case.forward, flat, cotangents), values, cotangents


def by_jax(case: Any, cotangents: Sequence[Any]) -> list[Any]:
    def contracted(*primals: Any) -> Any:
        args = list(case.args)
        for position, primal in zip(case.argnums, primals, strict=True):
            args[position] = primal
        values = jax.tree_util.tree_leaves(case.twin(*args, **case.kwargs))
        return sum(jnp.sum(c * v) for c, v in zip(cotangents, values, strict=True))

    with jax.enable_x64(True):
        primals = [jax.tree_util.tree_map(jnp.asarray, case.args[i]) for i in case.argnums]
        # as one program: compiling operations one by one takes seconds
        gradient = jax.jit(jax.grad(contracted, argnums=tuple(range(len(primals)))))(*primals)
        return [np.asarray(g) for g in jax.tree_util.tree_leaves(gradient)]


def difference(found: OwnDerivative, entry: int) -> Any:
    """Difference the forward's value around one input, by 2^-100 in 400 bits: no derivative rule takes part."""
    step = flint.arb(2) ** -100

    def contracted(shift: Any) -> Any:
        place = iter(range(found.program.inputs))

        def enter(x: Any) -> Any:
            balls = exact(x)
            moved = [ball + (shift if next(place) == entry else 0) for ball in balls.ravel()]
            balls.ravel()[:] = moved
            return balls

        run = found.program.run(replace(points(400), enter=enter), found.answers)
        pairs = zip(found.program.cotangents, run.values, strict=True)
        return sum(float(c) * v for cs, vs in pairs for c, v in zip(cs.ravel(), vs.ravel(), strict=True))

    return (contracted(step) - contracted(-step)) / (2 * step)


def test_there_are_thirty_and_all_are_served() -> None:
    assert len(SERVED) == 30


@pytest.mark.parametrize("case", SERVED, ids=lambda case: case.forward.__name__)
def test_a_forward_has_the_derivative_of_its_twin_in_jax(case: Any) -> None:
    found, values, cotangents = of_case(case)
    for value, plain in zip(found.value, values, strict=True):
        np.testing.assert_allclose(value, plain, rtol=1e-14)
    names = zip(by_jax(case, cotangents), found.gradient, found.error, found.magnitude, found.radius(53), strict=True)
    for other, gradient, error, magnitude, radius in names:
        allowed = error + 2 * (radius + np.max(radius) + UNIT * np.max(magnitude))
        assert np.all(np.abs(other - gradient) <= allowed)


@pytest.mark.parametrize("case", SERVED, ids=lambda case: case.forward.__name__)
def test_the_stated_error_holds_against_differences_in_400_bits(case: Any) -> None:
    found, _, _ = of_case(case)
    gradient = np.concatenate([g.ravel() for g in found.gradient])
    error = np.concatenate([e.ravel() for e in found.error])
    assert np.all(error <= 2.0**-52 * np.abs(gradient) + 1e-30)
    with precision(400):
        for entry in range(0, gradient.size, 1 + gradient.size // 12):
            assert abs(difference(found, entry) - flint.arb(gradient[entry])) <= flint.arb(error[entry]) + 1e-50


def test_the_stated_error_is_broken_by_a_gradient_one_part_in_1e15_off() -> None:
    found, _, _ = of_case(SERVED[0])
    with precision(400):
        off = abs(difference(found, 0) - flint.arb(found.gradient[0].flat[0]) * (1 + flint.arb(1e-15)))
        assert off > found.error[0].flat[0]


@pytest.mark.parametrize("case", [c for c in forwards.CASES if c.stops_at], ids=lambda case: case.forward.__name__)
def test_what_is_not_served_names_its_line(case: Any) -> None:
    with pytest.raises(Unserved) as stopped:
        of_case(case)
    file, line, *_ = str(stopped.value).split(":")
    assert Path(file).name == "own_forwards.py"
    assert case.stops_at in Path(file).read_text(encoding="utf-8").splitlines()[int(line) - 1]
    assert case.stops_at in str(stopped.value)


def through_a_float(z: Any) -> Any:
    return sum(Helper.exponential(x) for x in z)


class Helper:
    """Not a function of the module, so that ``math`` stays what it is in it."""

    @staticmethod
    def exponential(x: Any) -> Any:
        return math.exp(x)


def test_a_number_that_becomes_a_python_float_is_told_so() -> None:
    with pytest.raises(
        Unserved, match=r"test_own_forward.py:\d+: `return math.exp\(x\)`: TypeError: .*NumPy's functions"
    ):
        derivative(through_a_float, np.array([1.0, 2.0]))


@pytest.mark.parametrize(
    ("forward", "line"),
    [
        (lambda z: jnp.sum(jnp.exp(z)), r"lambda z: jnp.sum\(jnp.exp\(z\)\)"),
        (lambda z: statistics.fmean(z), r"lambda z: statistics.fmean\(z\)"),
    ],
    ids=["jax", "standard library"],
)
def test_the_line_named_is_the_forwards_own(forward: Callable[..., Any], line: str) -> None:
    with pytest.raises(Unserved, match=rf"test_own_forward.py:\d+: `.*{line}"):
        derivative(forward, np.array([1.0, 2.0]))


def test_a_forward_that_raises_is_named_too() -> None:
    def refusing(z: Any) -> Any:
        if len(z) > 1:
            raise ValueError("labels out of range")
        return z

    with pytest.raises(Unserved, match=r"`raise ValueError\(.*ValueError: labels out of range"):
        derivative(refusing, np.ones(2))


def test_a_forward_that_catches_everything_cannot_hide_what_stopped_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradcheck.oracles.own_forward import tape as own_tape

    monkeypatch.setattr(own_tape, "MOST_OPERATIONS", 4)

    def hiding(z: Any) -> Any:
        try:
            return np.sum(np.exp(z))
        except Exception:
            return 0.0

    with pytest.raises(Unserved, match="more than 4 operations"):
        derivative(hiding, np.ones(8))


def test_too_many_entries_are_refused_with_their_number() -> None:
    with pytest.raises(Unserved, match="5,000 entries are differentiated, where exact numbers serve 4,096"):
        derivative(np.sum, np.ones(5000))


def test_too_much_data_is_refused_with_its_size() -> None:
    with pytest.raises(Unserved, match="the data hold 600,000 floating-point numbers"):
        derivative(lambda z, x: np.sum(z) * len(x), np.ones(2), np.ones(600_000), argnums=(0,))


def test_without_python_flint_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flint", None)
    with pytest.raises(Unserved, match=r"pip install 'gradcheck\[exact\]'"):
        derivative(np.sum, np.ones(2))


def test_another_shape_than_the_cotangents_is_refused() -> None:
    with pytest.raises(Unserved, match=r"shapes \[\(2,\)\], where the value has \[\(\)\]"):
        derivative(np.exp, np.ones(2))


# Forms of call.


def test_arguments_are_not_changed_by_a_forward_that_writes_into_them() -> None:
    def overwriting(z: Any) -> Any:
        z *= 2.0
        z[0] = 7.0
        return np.sum(z * z)

    z = np.array([1.0, 2.0])
    np.testing.assert_array_equal(derivative(overwriting, z).gradient[0], [0.0, 16.0])
    np.testing.assert_array_equal(z, [1.0, 2.0])


def test_every_leaf_of_the_value_takes_its_cotangent() -> None:
    def several(z: Any) -> Any:
        return np.sum(z**2), {"scaled": 3.0 * z, "count": float(len(z))}

    found = derivative(several, np.array([1.0, 2.0]), cotangent=[1.0, 5.0, np.array([1.0, -1.0])])
    np.testing.assert_array_equal(found.gradient[0], [5.0, 1.0])
    assert [v.shape for v in found.value] == [(), (), (2,)]


def test_keyword_data_and_other_precisions_are_taken_as_they_are() -> None:
    def weighted(z: Any, *, weights: Any, y: Any) -> Any:
        return np.sum(weights * z[np.arange(len(y)), y])

    z = np.array([[0.1, 0.2], [0.3, 0.4]], dtype=np.float32)
    weights = np.array([0.1, 0.7], dtype=np.float16)
    found = derivative(weighted, z, weights=weights, y=np.array([1, 0]))
    np.testing.assert_array_equal(found.gradient[0], [[0.0, weights[0]], [weights[1], 0.0]])
    assert found.gradient[0].dtype == np.float64
    np.testing.assert_array_equal(found.error[0], 0.0)


def test_data_are_exact_too() -> None:
    def distilled(z: Any, t: Any) -> Any:
        return np.sum(np.exp(t) / np.sum(np.exp(t)) * z)

    found = derivative(distilled, np.zeros(2), np.array([0.0, 1.0]), argnums=(0,))
    with precision(200):
        truth = 1 / (1 + flint.arb(1).exp())
        assert abs(truth - flint.arb(found.gradient[0][0])) <= found.error[0][0] <= 2.0**-54


def test_an_array_of_no_entries_has_a_gradient_of_none() -> None:
    found = derivative(lambda z: np.sum(np.exp(z)), np.zeros((0, 3)))
    assert found.gradient[0].shape == found.error[0].shape == found.magnitude[0].shape == (0, 3)
    assert found.value[0] == 0.0


def test_a_forward_that_does_not_use_an_input_has_gradient_zero() -> None:
    found = derivative(lambda z, w: np.sum(z) * len(w), np.ones(2), np.ones(3))
    np.testing.assert_array_equal(found.gradient[1], np.zeros(3))


# Comparisons and kinks.


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        (lambda z: np.sum(np.maximum(z, 0.0)), 0.5),
        (lambda z: np.sum(np.abs(z)), 0.0),
        (lambda z: np.sum(np.where(z >= 0, z, 0.0)), 1.0),
        (lambda z: np.sum(np.where(z > 0, z, 0.0)), 0.0),
        (lambda z: np.sum(np.clip(z, 0.0, 1.0)), 0.5),
    ],
    ids=["maximum", "abs", "where >=", "where >", "clip"],
)
def test_at_a_tie_the_branch_asked_for_counts_or_the_mean_of_both(forward: Callable[..., Any], expected: float) -> None:
    assert derivative(forward, np.array([0.0])).gradient[0] == expected


@pytest.mark.parametrize(
    "forward",
    [
        lambda z: np.sum(np.maximum(z, 0) - z * 0.25 + np.log1p(np.exp(-np.abs(z)))),
        lambda z: np.sum(0.75 * z - np.minimum(z, 0) + np.log1p(np.exp(-np.abs(z)))),
        lambda z: np.sum(np.logaddexp(0, z) - 0.25 * z),
    ],
    ids=["maximum", "minimum", "logaddexp"],
)
def test_a_smooth_loss_that_passes_through_kinks_has_its_own_derivative_there(forward: Callable[..., Any]) -> None:
    found = derivative(forward, np.array([0.0, 1.0, -3.0]))
    np.testing.assert_allclose(found.gradient[0], 1 / (1 + np.exp([0.0, -1.0, 3.0])) - 0.25, rtol=1e-15)


def test_ties_of_computed_numbers_are_equal_in_the_end() -> None:
    def squares_of_equals(z: Any) -> Any:
        p, q = np.exp(z), 1 / np.exp(-z)
        return np.sum(np.where(p == q, z * z, 0.0))

    found = derivative(squares_of_equals, np.array([0.5, -2.0]))
    np.testing.assert_array_equal(found.gradient[0], [1.0, -4.0])
    assert found.bits == 512


def test_a_close_call_is_decided_with_more_bits() -> None:
    def beyond_128_bits(z: Any) -> Any:
        nearly = np.log(np.exp(z) + 1e-60)
        return np.sum(np.where(nearly > z, 2.0 * z, 5.0 * z))

    found = derivative(beyond_128_bits, np.array([0.5]))
    assert found.gradient[0].tolist() == [2.0]
    assert found.bits == 256


def test_a_logarithm_that_needs_more_bits_gets_them() -> None:
    found = derivative(lambda z: np.sum(np.log(np.exp(z) - 1.0)), np.array([1e-45]))
    np.testing.assert_allclose(found.gradient[0], 1e45, rtol=1e-15)
    assert found.bits == 256


def test_the_sides_of_a_kink_are_found_and_fit_together() -> None:
    def kinked(z: Any) -> Any:
        return np.sum(np.maximum(z, 0.0)) + np.sum(np.where(z > 0, 10.0 * z, 0.0))

    found = derivative(kinked, np.array([0.0, 1.0]))
    assert found.gradient[0].tolist() == [0.5, 11.0]
    sides = {float(side[0][0]) for side in found.sides(UNIT, 16)}
    assert sides == {0.0, 11.0}
    assert all(side[0][1] == 11.0 for side in found.sides(UNIT, 16))


def test_where_nothing_is_close_there_are_no_other_sides() -> None:
    assert (
        derivative(
            lambda z, m: np.sum(np.maximum(z, 0.0)[m == 0]), np.array([0.5, -2.0]), np.zeros(2), argnums=(0,)
        ).sides(UNIT, 8)
        == []
    )


def test_a_branch_that_is_not_taken_may_be_infinite() -> None:
    found = derivative(lambda z: np.sum(np.where(z > 0, z * np.log(z), 0.0)), np.array([0.0, 1.0]))
    np.testing.assert_array_equal(found.gradient[0], [0.0, 1.0])


def test_masked_classes_have_gradient_zero() -> None:
    def nll(z: Any) -> Any:
        shifted = z - np.max(z)
        return np.log(np.sum(np.exp(shifted))) - shifted[0]

    found = derivative(nll, np.array([1.0, -np.inf, 2.0]))
    np.testing.assert_allclose(found.gradient[0], [1 / (1 + math.e) - 1, 0.0, math.e / (1 + math.e)], rtol=1e-15)
    assert np.isfinite(found.radius(53)[0]).all()
    assert np.isfinite(found.spread[0]).all()


@pytest.mark.parametrize("root", [np.sqrt, lambda z: z**0.5], ids=["sqrt", "power"])
def test_an_infinite_derivative_is_not_vouched_for(root: Callable[..., Any]) -> None:
    found = derivative(lambda z: np.sum(root(z)), np.array([0.0, 4.0]))
    assert not np.isfinite(found.error[0][0]) or not np.isfinite(found.gradient[0][0])
    assert found.gradient[0][1] == 0.25


@pytest.mark.parametrize("gap", [30.0, 800.0, 1e6])
def test_saturated_rows_have_all_digits_that_can_matter(gap: float) -> None:
    def nll(z: Any) -> Any:
        return np.log(np.sum(np.exp(z - np.max(z)))) + np.max(z) - z[0]

    found = derivative(nll, np.array([gap, 0.0]))
    with precision(200):
        truth = -1 / (1 + flint.arb(gap).exp())
        assert abs(truth - flint.arb(found.gradient[0][0])) <= flint.arb(found.error[0][0])
    assert found.error[0][0] <= max(2.0**-53 * abs(found.gradient[0][0]), 2.0**-100)


# What an allowance is made of.


def nll_shifted(z: Any, y: Any) -> Any:
    z = z - np.max(z, axis=1, keepdims=True)
    return np.mean(np.log(np.sum(np.exp(z), axis=1)) - z[np.arange(len(y)), y])


def test_the_radius_is_that_of_the_precision_and_grows_with_the_offset() -> None:
    z, y = forwards.Z, forwards.Y
    found = derivative(nll_shifted, z, y)
    for bits in (53, 24, 11):
        (radius,) = found.radius(bits)
        assert np.all(radius > 0)
        assert np.max(radius) < 100 * 2.0**-bits
    far = derivative(nll_shifted, z + 2.0**20, y)
    assert 2.0**16 < np.max(far.radius(53)[0]) / np.max(found.radius(53)[0]) < 2.0**22


def test_the_spread_is_below_the_radius_and_sees_the_offset() -> None:
    z, y = forwards.Z, forwards.Y
    found, far = derivative(nll_shifted, z, y), derivative(nll_shifted, z + 2.0**20, y)
    assert np.all(UNIT * found.spread[0] <= found.radius(53)[0])
    assert 2.0**16 < np.max(far.spread[0]) / np.max(found.spread[0]) < 2.0**22
    np.testing.assert_array_equal(found.spread[0], derivative(nll_shifted, z, y).spread[0])


def test_the_change_is_in_proportion_to_the_perturbation_where_the_program_is_smooth() -> None:
    found = derivative(nll_shifted, forwards.Z, forwards.Y)
    np.testing.assert_allclose(found.change(2.0**-39, 1)[0], found.change(2.0**-40, 1)[0], rtol=1e-9)
    bent = derivative(lambda z: np.sum(np.exp(1e12 * z)), np.array([1e-30]))
    assert np.abs(bent.change(2.0**-3, 1)[0] / bent.change(2.0**-4, 1)[0] - 1) > 1e-3


def test_the_spread_scales_with_rounding_where_a_gradient_is_a_product() -> None:
    found = derivative(lambda z: np.sum(3.0 * z), np.array([1.0, 2.0]))
    assert np.all((found.spread[0] > 0.3) & (found.spread[0] < 12.0))


def test_the_magnitude_is_the_size_of_the_summands() -> None:
    found = derivative(lambda z: np.sum(z * 1000.0) - np.sum(z * 999.0), np.array([1.0, 2.0]))
    np.testing.assert_array_equal(found.gradient[0], [1.0, 1.0])
    np.testing.assert_array_equal(found.magnitude[0], [1999.0, 1999.0])


def test_a_forward_that_changes_between_runs_is_refused() -> None:
    calls = itertools.count(1)

    def changing(z: Any) -> Any:
        return np.sum(np.maximum(z[: next(calls)], 0.0))

    found = derivative(changing, np.array([1.0, 2.0]))
    with pytest.raises(Unserved, match="compares more numbers than before"):
        found.radius(53)


def test_a_forward_that_compares_less_when_run_again_is_refused() -> None:
    calls = itertools.count(1)

    def changing(z: Any) -> Any:
        return np.sum(z) if next(calls) > 1 else np.sum(np.maximum(z, 0.0))

    with pytest.raises(Unserved, match="compares fewer numbers than before"):
        _ = derivative(changing, np.array([1.0, 2.0])).spread


@pytest.mark.parametrize(
    ("forward", "slope"),
    [
        (lambda z: np.median(z), [0.0, 1.0, 0.0]),
        (lambda z, xp=np: xp.sum(xp.zeros(3) + z), [1.0, 1.0, 1.0]),
        (lambda z: np.sum(math.fmod(z[2], 2.0) * z), [1.0, 1.0, 1.0 + 6.0]),
    ],
    ids=["median", "a module as default", "fmod"],
)
def test_a_median_a_default_and_another_library_are_served(forward: Callable[..., Any], slope: list[float]) -> None:
    np.testing.assert_array_equal(derivative(forward, np.array([1.0, 2.0, 3.0])).gradient[0], slope)


@pytest.mark.filterwarnings("ignore")  # NumPy drops an imaginary part with a warning
@pytest.mark.parametrize(
    "forward",
    [lambda z: math.remainder(z[0], z[1]), lambda z: (z[0] * np.complex128(0.6 + 0.8j)).real],
    ids=["a remainder other than NumPy's", "a complex factor"],
)
def test_what_means_something_else_is_refused(forward: Callable[..., Any]) -> None:
    with pytest.raises(Unserved):
        derivative(forward, np.array([5.0, 3.0]))
