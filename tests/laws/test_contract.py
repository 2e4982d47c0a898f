"""What a pullback returns: every form that is taken, and every one that is not, with what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import gradcheck
from gradcheck.laws import Breach
from gradcheck.laws.structure import structured
from gradcheck.rule import Point, Rule
from gradcheck.tree import flatten

Array: TypeAlias = Any

X = np.array([0.5, -1.0])
Y = np.array([[1.0, 2.0, 3.0]])


def rule_of(*names: str, argnums: tuple[int, ...] | None = None) -> Rule:
    def never_run(*_: Any) -> Any:
        raise AssertionError("the contract looks at what was returned, and runs nothing")

    return Rule(never_run, never_run, "r", argnums=argnums, parameters=names)


def held(returned: Any, *primals: Any, rule: Rule | None = None) -> Any:
    """Hold a result to the contract of a rule of ``x``, ``y``, ...."""
    rule = rule or rule_of("x", "y", "z")
    return structured(rule, flatten(rule, Point(primals, {}, None)), returned)


def said(returned: Any, *primals: Any, rule: Rule | None = None) -> str:
    """Return the sentence for a result that breaks the contract."""
    breach = held(returned, *primals, rule=rule)
    assert isinstance(breach, Breach)
    assert breach.law == "contract"
    return breach.text


# --- what is taken --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "returned",
    [
        X.copy(),
        (X.copy(),),
        [0.5, -1.0],
        [1, 2],
        jnp.asarray(X, dtype=jnp.float32).astype(ml_dtypes.bfloat16),
    ],
    ids=["array", "tuple of one", "list of floats", "list of ints", "array of JAX"],
)
def test_one_array(returned: Any) -> None:
    primal = X if not hasattr(returned, "dtype") else X.astype(returned.dtype)
    (result,) = held(returned, primal)
    assert isinstance(result, np.ndarray)
    assert (result.shape, result.dtype) == (primal.shape, primal.dtype)


def test_a_list_takes_the_dtype_of_its_primal() -> None:
    (result,) = held([0.1, 0.2], X.astype(np.float32))
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, np.array([0.1, 0.2], dtype=np.float32))


def test_a_number_for_a_primal_without_axes() -> None:
    for number in (0.5, np.float64(0.5), np.array(0.5), 2):
        (result,) = held(number, np.array(3.0))
        assert result.shape == ()


def test_a_tuple_for_several_arguments() -> None:
    by_x, by_y = held((X.copy(), Y.copy()), X, Y)
    assert (by_x.shape, by_y.shape) == (X.shape, Y.shape)
    assert held([X.copy(), Y.copy()], X, Y)[1].shape == Y.shape


def test_results_in_the_order_of_argnums_come_out_in_the_order_of_the_arguments() -> None:
    by_x, by_y = held((Y.copy(), X.copy()), X, Y, rule=rule_of("x", "y", argnums=(1, 0)))
    assert (by_x.shape, by_y.shape) == (X.shape, Y.shape)
    text = said((X.copy(), Y.copy()), X, Y, rule=rule_of("x", "y", argnums=(1, 0)))
    assert text == "the cotangent of x has shape (1, 3), its primal (2,)"


def test_none_declines_one_of_several() -> None:
    assert held((None, Y.copy()), X, Y)[0] is None
    assert held((X.copy(), None), X, Y)[1] is None
    assert held((X.copy(), None), X, {"a": X, "b": Y})[1:] == (None, None)


def test_a_tree_like_its_primal() -> None:
    params = {"W": Y, "b": [X, X]}
    results = held({"b": [X.copy(), X + 1], "W": Y.copy()}, params)
    assert [r.shape for r in results] == [Y.shape, X.shape, X.shape]
    assert len(held((params, X.copy()), params, X)) == 4


def test_a_tuple_primal_of_one_array_in_a_pair_of_loss_and_gradient() -> None:
    rule = gradcheck.from_loss(lambda xs: xs[0].sum(), lambda xs: xs, name="r")
    (result,) = held((X.copy(),), (X,), rule=rule)
    assert result.shape == X.shape


# --- what is not ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        (None, "the cotangent of x is None; does the function end without a return?"),
        (0.5, "the cotangent of x has shape (), its primal (2,)"),
        (np.float64(0.5), "the cotangent of x has shape (), its primal (2,)"),
        (np.ones(3), "the cotangent of x has shape (3,), its primal (2,)"),
        (np.ones((2, 1)), "the cotangent of x has shape (2, 1), its primal (2,)"),
        (np.ones((1, 2)), "the cotangent of x has shape (1, 2), its primal (2,)"),
        ([1.0, 2.0, 3.0], "the cotangent of x has shape (3,), its primal (2,)"),
        ([[1.0], [2.0, 3.0]], "the cotangent of x is ragged: "),
        ([1.0, None], "the cotangent of x is a list that spells no array"),
        ({"x": X}, "the cotangent of x is a dict that spells no array"),
        ("ab", "the cotangent of x is a str that spells no array"),
        (X + 1j, "the cotangent of x is complex128, not floating-point"),
        ([1j, 2j], "the cotangent of x is complex128, not floating-point"),
        (X.astype(int), "the cotangent of x is int64, not floating-point"),
        (X > 0, "the cotangent of x is bool, not floating-point"),
        ([True, False], "the cotangent of x is bool, not floating-point"),
        (X.astype(object), "the cotangent of x is object, not floating-point"),
        (np.array(["a", "b"]), "the cotangent of x is <U1, not floating-point"),
        (
            X.astype(np.float32),
            "the cotangent of x is float32, its primal float64: compute and return it in the primal's dtype",
        ),
        ((X, X), "x is one array, but its cotangent is a tuple of 2: return the array itself"),
        ([X, X], "the cotangent of x has shape (2, 2), its primal (2,)"),
    ],
    ids=str,
)
def test_one_array_that_is_not_like_its_primal(returned: Any, text: str) -> None:
    assert said(returned, X).startswith(text)


def test_wider_than_its_primal() -> None:
    narrow = X.astype(np.float32)
    assert said(X, narrow) == (
        "the cotangent of x is float64, its primal float32: compute and return it in the primal's dtype"
    )


def test_extended_precision() -> None:
    if np.dtype(np.longdouble).itemsize == 8:
        pytest.skip("here it is no wider than float64")
    assert said(X.astype(np.longdouble), X).endswith(", not floating-point")


def test_a_pair_of_loss_and_gradient_returns_its_one_array_bare() -> None:
    rule = gradcheck.from_loss(lambda x: x.sum(), np.ones_like, name="r")
    assert said((X,), X, rule=rule) == "x is one array, but its cotangent is a tuple of 1: return the array itself"


@pytest.mark.parametrize(
    ("returned", "got"),
    [
        ((X,), "1 results"),
        ((X, Y, X), "3 results"),
        ((), "0 results"),
        (X, "one ndarray"),
        (None, "one NoneType"),
        ({"x": X, "y": Y}, "one dict"),
        (0.5, "one float"),
    ],
    ids=str,
)
def test_another_number_of_results_than_arguments(returned: Any, got: str) -> None:
    assert said(returned, X, Y) == f"one cotangent for each of (x, y) is due, as a tuple in that order; got {got}"


def test_two_results_for_one_another() -> None:
    assert said((Y, X), X, Y) == "the cotangent of x has shape (1, 3), its primal (2,)"


def test_none_for_every_argument() -> None:
    assert said((None, None), X, Y) == "every cotangent came back as None, so there is no gradient to judge"


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        ({"W": Y}, "the cotangent of x is not structured like x: missing x['b'][0], x['b'][1]"),
        ({"W": Y, "b": [X]}, "the cotangent of x is not structured like x: missing x['b'][1]"),
        ({"W": Y, "b": [X, None]}, "the cotangent of x is not structured like x: missing x['b'][1]"),
        (
            {"W": Y, "b": [X, X], "V": Y},
            "the cotangent of x is not structured like x: unexpected x['V']",
        ),
        ([Y, X, X], "the cotangent of x is not structured like x: missing x['W'], x['b'][0], x['b'][1]"),
        (Y, "the cotangent of x must be a tree like x itself, got ndarray"),
        (0.5, "the cotangent of x must be a tree like x itself, got float"),
        (None, "the cotangent of x is None; does the function end without a return?"),
        ({"W": Y, "b": [X, Y]}, "the cotangent of x['b'][1] has shape (1, 3), its primal (2,)"),
        (
            {"W": Y.astype(np.float32), "b": [X, X]},
            "the cotangent of x['W'] is float32, its primal float64: compute and return it in the primal's dtype",
        ),
    ],
    ids=str,
)
def test_another_tree_than_the_primal(returned: Any, text: str) -> None:
    assert said(returned, {"W": Y, "b": [X, X]}) == text


@pytest.mark.parametrize("wrong", [lambda x: x[:1], lambda x: x.astype(np.float32), lambda x: x + 0j])
def test_the_argument_that_is_at_fault_is_named(wrong: Callable[[Array], Any]) -> None:
    assert said((X, wrong(X)), X, X).startswith("the cotangent of y ")
    assert said((wrong(X), X), X, X).startswith("the cotangent of x ")


def test_many_names_as_data_are_compared_as_few_are() -> None:
    """An array of objects has no bits to compare that another copy of it would have."""
    names = np.array([str(k) for k in range(5000)], dtype=object)
    rule = gradcheck.from_vjp(lambda x, names: x * x, lambda x, names, cotangent: 2.0 * x * cotangent, argnums=0)
    assert gradcheck.examine(rule, np.arange(1.0, 4.0), names)
