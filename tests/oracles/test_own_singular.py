"""Where a forward is singular, or its numbers are not settled, nothing is vouched for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import scipy.special  # type: ignore[import-untyped]  # it comes without types

from gradcheck import domain
from gradcheck.domain import Domain
from gradcheck.oracles.own_forward import OwnDerivative, Unserved, differentiate
from gradcheck.rule import Point, Rule
from gradcheck.tree import flatten

pytest.importorskip("flint", exc_type=ImportError)

UNIT = 2.0**-53


def derivative(
    forward: Callable[..., Any], *args: Any, argnums: tuple[int, ...] | None = None, within: Domain | None = None
) -> OwnDerivative:
    rule = Rule(lambda *_: (None, lambda c: c), forward, "singular", argnums=argnums, domain=within)
    return differentiate(forward, flatten(rule, Point(args, {}, None)), [np.ones(())])


def known(found: OwnDerivative) -> list[bool]:
    return [bool(known) for known in np.isfinite(found.gradient[0] + found.error[0])]


@pytest.mark.parametrize(
    "forward",
    [
        lambda x: np.sum(np.cbrt(x) ** 3),
        lambda x: np.sum(np.sqrt(x) ** 2),
        lambda x: np.exp(np.sum(np.log(x))),
        lambda x: np.sum(scipy.special.entr(x)),
        lambda x: np.sum(scipy.special.xlogy(x, x)),
        lambda x: np.sum(scipy.special.xlogy(x, 0.0 * x)),
        lambda x: np.sum(scipy.special.xlog1py(x, -1.0)),
        lambda x: np.sum(scipy.special.kl_div(x, 0.5)),
        lambda x: np.sum(0.0**x),
    ],
    ids=["cbrt", "sqrt", "product by logarithms", "entr", "xlogy", "xlogy of 0", "xlog1py", "kl_div", "0 to a power"],
)
def test_a_singularity_on_the_way_is_not_taken_for_a_slope_of_zero(forward: Callable[..., Any]) -> None:
    found = derivative(forward, np.array([0.0, 2.0]))
    assert not known(found)[0]


def test_beside_a_singularity_slopes_are_known() -> None:
    assert derivative(lambda x: np.sum(0.0**x), np.array([0.5, 2.0])).gradient[0].tolist() == [0.0, 0.0]
    assert derivative(lambda x: np.sum(np.sqrt(x) ** 2), np.array([0.0, 2.0])).gradient[0][1] == 1.0


def test_probabilities_of_zero_that_are_data_cost_nothing() -> None:
    def divergence(q: Any, p: Any) -> Any:
        return np.sum(scipy.special.kl_div(p, q) + scipy.special.xlogy(p, q))

    found = derivative(divergence, np.array([0.5, 0.5]), np.array([0.0, 1.0]), argnums=(0,))
    np.testing.assert_array_equal(found.gradient[0], [1.0, 1.0])


def test_a_value_that_nothing_is_asked_of_may_be_infinite() -> None:
    rule = Rule(lambda *_: (None, lambda c: c), np.log, "log")
    found = differentiate(np.log, flatten(rule, Point((np.array([0.0, 2.0]),), {}, None)), [np.array([0.0, 1.0])])
    np.testing.assert_array_equal(found.gradient[0], [0.0, 0.5])


@pytest.mark.parametrize(
    "asks", [np.isnan, np.isfinite, lambda x: x > 0, np.floor], ids=["isnan", "isfinite", "a comparison", "floor"]
)
def test_nothing_is_decided_by_a_number_that_lacks_bits(asks: Callable[[Any], Any]) -> None:
    """The logarithm of exp(-1000), which takes 1,443 bits to tell from that of a negative number."""

    def forward(z: Any) -> Any:
        small = 1 - 1 / (1 + np.exp(-z))
        return np.sum(np.where(asks(np.log(small)), 3 * z * z, z * z))

    with pytest.raises(Unserved, match="512 bits do not tell"):
        derivative(forward, np.array([1000.0, 1.0]))


def test_a_number_that_is_none_is_told_to_be() -> None:
    found = derivative(lambda z: np.sum(np.where(np.isnan(np.log(z)), 3 * z, z)), np.array([-1.0, 2.0]))
    np.testing.assert_array_equal(found.gradient[0], [3.0, 1.0])


@pytest.mark.parametrize("divide", [np.fmod, np.remainder])
def test_what_is_divided_by_infinity_remains(divide: Callable[..., Any]) -> None:
    found = derivative(
        lambda z, period: np.sum(divide(z, period)), np.array([1.0, 0.0]), np.full(2, np.inf), argnums=(0,)
    )
    assert found.value[0] == 1.0
    np.testing.assert_array_equal(found.gradient[0], [1.0, 1.0])


def test_other_sides_are_looked_for_inside_the_domain() -> None:
    def forward(p: Any) -> Any:
        return np.sum(np.where(p >= 1, 7.0 * p, -np.log(p)))

    p = np.array([1 - UNIT, 0.5])
    assert derivative(forward, p, within=domain.bounded(0, 1)).sides(4 * UNIT, 32) == []
    assert derivative(forward, p).sides(4 * UNIT, 32) != []


def test_where_a_forward_refuses_to_be_moved_there_is_no_other_side() -> None:
    def strict(p: Any) -> Any:
        if np.sum(p) != 1:
            raise ValueError("must sum to one")
        return np.sum(np.log(p))

    assert derivative(strict, np.array([0.5, 0.25, 0.25])).sides(4 * UNIT, 8) == []


@pytest.mark.parametrize("used", ["operand", "argument", "value"])
def test_numbers_of_an_earlier_run_are_refused(used: str) -> None:
    class Kept:  # classes are not copied
        numbers: ClassVar[list[Any]] = []

    def keeping(z: Any) -> Any:
        Kept.numbers.append(z * 1.0)
        earlier = Kept.numbers[0]
        return {"operand": lambda: np.sum(z + earlier), "argument": lambda: np.sum(np.exp(earlier)),
                "value": lambda: earlier[0]}[used]()  # fmt: skip

    found = derivative(keeping, np.array([1.0, 2.0]))
    with pytest.raises(Unserved, match="keeps numbers from one call to the next"):
        found.radius(53)
