"""Asking leaves no trace: each law seen to hold for an honest rule, and to be broken by one that is not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import assume, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample, UnsatisfiedAssumption

import gradcheck
from gradcheck import Outcome
from gradcheck.errors import RuleError
from gradcheck.laws import Answer, Breach, ask, ask_once, is_signal
from gradcheck.rule import Point, Rule
from gradcheck.tree import flatten

Array: TypeAlias = Any
Pullback: TypeAlias = Callable[[Array], Any]

X = np.array([0.5, -1.25, 2.0])
Y = np.array([1.0, -0.5, 0.25])
COTANGENT = np.array([0.5, -2.0, 1.25])


def asked(rule: Rule, *args: Any, cotangent: Any = COTANGENT, **data: Any) -> Answer | Breach:
    point = Point(args, data, cotangent)
    return ask(rule, point, flatten(rule, point))


def broken(rule: Rule, *args: Any, cotangent: Any = COTANGENT, **data: Any) -> tuple[str, str]:
    """Return the law that a rule breaks, and what is said of it."""
    breach = asked(rule, *args, cotangent=cotangent, **data)
    assert isinstance(breach, Breach), breach
    return breach.law, breach.text


def square(x: Array) -> tuple[Array, Pullback]:
    return x * x, lambda cotangent: 2 * x * cotangent


def add(x: Array, y: Array) -> Array:
    return x + y


def squaring(pull: Callable[[Array, Array], Any], **options: Any) -> Rule:
    """Make a rule of ``x * x`` with this pullback ``(x, cotangent) -> ...``."""
    return gradcheck.from_vjp(lambda x: x * x, pull, name="square", **options)


def adding(pull: Callable[[Array, Array, Array], Any]) -> Rule:
    return gradcheck.from_vjp(add, pull, name="add")


# --- an honest rule -------------------------------------------------------------------------------------------


def test_an_answer_holds_value_and_cotangents() -> None:
    answer = asked(gradcheck.from_pullback(square), X)
    assert isinstance(answer, Answer)
    np.testing.assert_array_equal(answer.value[0], X * X)
    np.testing.assert_array_equal(answer.cotangents[0], 2 * X * COTANGENT)


def test_asking_changes_nothing_of_the_point() -> None:
    x, cotangent = X.copy(), COTANGENT.copy()

    def scribbling(x: Array, cotangent: Array) -> Array:
        x[:] = cotangent[:] = np.nan
        return x.copy()

    asked(squaring(scribbling), x, cotangent=cotangent)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(cotangent, COTANGENT)


def test_an_answer_is_not_changed_by_later_calls() -> None:
    results = []

    def remembering(x: Array, cotangent: Array) -> Array:
        results.append(2 * x * cotangent)
        return results[-1]

    answer = asked(squaring(remembering), X)
    assert isinstance(answer, Answer)
    for result in results:
        result[:] = 0
    np.testing.assert_array_equal(answer.cotangents[0], 2 * X * COTANGENT)


def test_one_of_several_arguments_may_be_declined() -> None:
    answer = asked(adding(lambda x, y, cotangent: (cotangent.copy(), None)), X, Y)
    assert isinstance(answer, Answer)
    assert answer.cotangents[1] is None


def test_lists_are_new_each_time() -> None:
    assert isinstance(asked(squaring(lambda x, cotangent: (2 * x * cotangent).tolist()), X), Answer)


def test_nan_is_the_same_each_time() -> None:
    assert isinstance(asked(squaring(lambda x, cotangent: x * cotangent * np.nan), X), Answer)


# --- answers --------------------------------------------------------------------------------------------------


def test_a_gradient_that_raises() -> None:
    def raising(x: Array, cotangent: Array) -> Array:
        return x @ np.outer(cotangent, cotangent)[:2]

    law, text = broken(squaring(raising), X)
    assert law == "answers"
    assert text.startswith("the gradient raised ValueError: matmul: ")
    assert text.endswith(" (called with x float64(3,))")


def test_a_gradient_that_raises_the_second_time() -> None:
    cache = [1]
    law, text = broken(squaring(lambda x, cotangent: 2 * x * cotangent * cache.pop()), X)
    assert (law, text) == ("answers", "the gradient raised IndexError: pop from empty list (called with x float64(3,))")


def test_a_broken_contract_the_second_time() -> None:
    results = iter([2 * X * COTANGENT, None])
    law, text = broken(squaring(lambda x, cotangent: next(results)), X)
    assert (law, text) == ("contract", "the cotangent of x is None; does the function end without a return?")


def test_a_broken_contract_the_third_time() -> None:
    calls = count(1)
    law, _ = broken(squaring(lambda x, cotangent: 2 * x * cotangent if next(calls) < 3 else x[:1].copy()), X)
    assert law == "contract"


# --- pure -----------------------------------------------------------------------------------------------------


def test_an_argument_that_is_written_by_the_gradient() -> None:
    def doubling(x: Array, cotangent: Array) -> Array:
        x *= 2
        return x * cotangent

    law, text = broken(squaring(doubling), X)
    assert law == "pure"
    assert text == "the rule changed its argument x at [0] (0.5 became 1.0) in place; work on a copy"


def test_an_argument_that_is_written_by_the_forward() -> None:
    def halving(x: Array) -> tuple[Array, Pullback]:
        x[1:] /= 2
        return x * x, lambda cotangent: 2 * x * cotangent

    law, text = broken(gradcheck.from_pullback(halving), X)
    assert law == "pure"
    assert text == "the rule changed its argument x at [1] (-1.25 became -0.625) in place; work on a copy"


def test_an_entry_of_a_tree_that_is_written() -> None:
    def clipping(params: Any, x: Array, cotangent: Array) -> Any:
        params["w"][0, 1] = 0
        return {"w": np.outer(x, cotangent)}

    rule = gradcheck.from_vjp(lambda params, x: x @ params["w"], clipping, argnums=0)
    law, text = broken(rule, {"w": np.ones((3, 3))}, X)
    assert law == "pure"
    assert text == "the rule changed its argument params['w'] at [0, 1] (1.0 became 0.0) in place; work on a copy"


def test_a_sign_of_zero_that_is_written() -> None:
    """The value is the same, and yet a later division is not."""

    def negating(x: Array, cotangent: Array) -> Array:
        np.negative(x, out=x, where=x == 0)
        return 2 * x * cotangent

    law, text = broken(squaring(negating), np.array([0.0, 1.0, 2.0]))
    assert (law, text) == ("pure", "the rule changed its argument x in place; work on a copy")


def test_data_that_is_written() -> None:
    def relabelling(x: Array, y: Array, cotangent: Array) -> Array:
        y[y < 0] = 0
        return 2 * x * cotangent

    rule = gradcheck.from_vjp(lambda x, y: x * x + 0 * y, relabelling, name="r")
    law, text = broken(rule, X, np.array([1, -1, 0]))
    assert (law, text) == ("pure", "the rule changed one of its data arguments in place; work on a copy")


def test_keyword_data_that_is_written() -> None:
    def scribbling(x: Array, cotangent: Array, *, mask: Array) -> Array:
        mask[0] = False
        return 2 * x * cotangent

    rule = gradcheck.from_vjp(lambda x, *, mask: x * x + 0 * mask, scribbling, name="r")
    law, _ = broken(rule, X, mask=np.array([True, True, False]))
    assert law == "pure"


def test_a_cotangent_that_is_written() -> None:
    def in_place(x: Array, cotangent: Array) -> Array:
        cotangent *= 2 * x
        return cotangent.copy()

    law, text = broken(squaring(in_place), X)
    assert (law, text) == ("pure", "the rule changed the cotangent it was given in place; work on a copy")


# --- fresh results --------------------------------------------------------------------------------------------

SHARED_WITH_INPUT = (
    "the cotangent of x shares memory with an argument or with the cotangent that came in: return a copy"
)


@pytest.mark.parametrize(
    "pull",
    [
        lambda x, y, cotangent: (cotangent, cotangent.copy()),
        lambda x, y, cotangent: (cotangent[::-1], cotangent.copy()),
        lambda x, y, cotangent: (x, cotangent.copy()),
        lambda x, y, cotangent: (y.view(), cotangent.copy()),
    ],
    ids=["cotangent", "view of the cotangent", "argument", "view of another argument"],
)  # fmt: skip
def test_a_result_that_shares_memory_with_what_came_in(pull: Any) -> None:
    assert broken(adding(pull), X, Y) == ("fresh results", SHARED_WITH_INPUT)


def test_a_result_that_shares_memory_with_data() -> None:
    rule = gradcheck.from_vjp(lambda x, table: x * table, lambda x, table, cotangent: table, argnums=0)
    assert broken(rule, X, Y) == ("fresh results", SHARED_WITH_INPUT)


def test_two_results_that_share_memory() -> None:
    def one_array(x: Array, y: Array, cotangent: Array) -> tuple[Array, Array]:
        both = cotangent.copy()
        return both, both

    assert broken(adding(one_array), X, Y) == (
        "fresh results",
        "the cotangents of x and y share memory: return two arrays",
    )


def test_halves_of_one_new_array_share_nothing() -> None:
    """As a concatenation along the last axis is pulled back: their bounds in memory overlap, they do not."""

    def concatenate(x: Array, y: Array) -> Array:
        return np.concatenate([x, y], axis=1)

    def split(x: Array, y: Array, cotangent: Array) -> tuple[Array, Array]:
        both = cotangent.copy()
        return both[:, :2], both[:, 2:]

    def overlapping(x: Array, y: Array, cotangent: Array) -> tuple[Array, Array]:
        both = cotangent.copy()
        return both[:, :2], both[:, 1:4]

    x, y, cotangent = np.ones((2, 2)), np.ones((2, 3)), np.arange(10.0).reshape(2, 5)
    assert isinstance(asked(gradcheck.from_vjp(concatenate, split), x, y, cotangent=cotangent), Answer)
    law, _ = broken(gradcheck.from_vjp(concatenate, overlapping), x, y, cotangent=cotangent)
    assert law == "fresh results"


def test_a_result_that_shares_memory_with_an_earlier_one() -> None:
    buffer = np.empty(3)

    def into_the_buffer(x: Array, cotangent: Array) -> Array:
        return np.multiply(2 * x, cotangent, out=buffer)

    assert broken(squaring(into_the_buffer), X) == (
        "fresh results",
        "the cotangents of x from two calls share memory: return a new array each time",
    )


def test_a_result_that_shares_memory_with_the_one_before_the_last() -> None:
    buffers = [np.empty(3), np.empty(3)]
    calls = count()

    def into_a_buffer(x: Array, cotangent: Array) -> Array:
        return np.multiply(2 * x, cotangent, out=buffers[next(calls) % 2])

    law, _ = broken(squaring(into_a_buffer), X)
    assert law == "fresh results"


# --- pullback -------------------------------------------------------------------------------------------------


def test_a_pullback_that_uses_up_its_cache() -> None:
    def forward(x: Array) -> tuple[Array, Pullback]:
        slope = 2 * x

        def pullback(cotangent: Array) -> Array:
            result = cotangent * slope
            slope[...] = 0
            return result

        return x * x, pullback

    law, text = broken(gradcheck.from_pullback(forward), X)
    assert law == "pullback"
    assert text == (
        "the cotangent of x came out differently at [0] (0.5 became 0.0) when the same pullback was called twice: "
        "it must not use up what it needs"
    )


def test_a_gradient_that_accumulates() -> None:
    total = np.zeros(3)

    def accumulating(x: Array, cotangent: Array) -> Array:
        np.add(total, 2 * x * cotangent, out=total)
        return total.copy()

    law, _ = broken(squaring(accumulating), X)
    assert law == "deterministic"


def test_a_gradient_that_draws_random_numbers() -> None:
    rng = np.random.default_rng(0)
    law, _ = broken(squaring(lambda x, cotangent: 2 * x * cotangent * rng.integers(1, 10**9)), X)
    assert law == "deterministic"


# --- no state -------------------------------------------------------------------------------------------------

ELSEWHERE = " when the rule was run elsewhere in between: keep what the pullback needs with the pullback"
AGAIN = (
    " when the rule was run again on the same arguments: it draws random numbers, or keeps something from one call to "
    "the next"
)


def test_a_cache_whose_key_is_the_shape_is_honest_where_it_was_filled_and_nowhere_else() -> None:
    slopes: dict[tuple[int, ...], Array] = {}

    def cached(x: Array) -> tuple[Array, Pullback]:
        slope = slopes.setdefault(x.shape, 2 * x)
        return x * x, lambda cotangent: slope * cotangent

    rule = gradcheck.from_pullback(cached)
    assert isinstance(asked(rule, X), Answer)
    # no law is broken at the next point either, but the answer is that of the first, and this the numbers show
    answer = asked(rule, 3 * X)
    assert isinstance(answer, Answer)
    np.testing.assert_array_equal(answer.cotangents[0], 2 * X * COTANGENT)
    assert gradcheck.examine(rule, 3 * X).outcome is Outcome.FAIL


def test_only_the_latest_forward_is_remembered() -> None:
    saved: dict[str, Array] = {}

    def forward(x: Array) -> tuple[Array, Pullback]:
        saved["x"] = x
        return x * x, lambda cotangent: 2 * saved["x"] * cotangent

    assert broken(gradcheck.from_pullback(forward), X) == (
        "no state",
        f"the cotangent of x came out differently at [0] (0.5 became 0.25){ELSEWHERE}",
    )


def test_a_forward_that_draws_random_numbers() -> None:
    rng = np.random.default_rng(0)

    def dropout(x: Array) -> tuple[Array, Pullback]:
        kept = rng.random(x.shape)
        return kept * x, lambda cotangent: kept * cotangent

    law, text = broken(gradcheck.from_pullback(dropout), X)
    assert law == "deterministic"
    assert text.endswith(AGAIN)


def test_being_run_outside_its_domain_in_between_harms_nobody() -> None:
    def root(x: Array) -> tuple[Array, Pullback]:
        if (x < 1).any():
            raise ValueError("outside the domain")
        return np.sqrt(x - 1), lambda cotangent: cotangent / np.sqrt(x - 1) / 2

    assert isinstance(asked(gradcheck.from_pullback(root), np.array([1.5, 1.75, 1.25])), Answer)


# --- the forward ----------------------------------------------------------------------------------------------


def test_a_forward_that_raises_is_an_error_and_no_verdict() -> None:
    def forward(x: Array, y: Array) -> Any:
        return x[np.arange(3), y]

    rule = gradcheck.from_vjp(forward, lambda x, y, cotangent: x, name="pick")
    with pytest.raises(RuleError) as caught:
        asked(rule, X, np.array([0, 1, 2]))
    assert str(caught.value) == (
        "pick: the forward raised IndexError: too many indices for array: array is 1-dimensional, but 2 were indexed\n"
        "  called with x float64(3,)"
    )
    assert isinstance(caught.value.__cause__, IndexError)


def test_a_bad_argument_to_this_package_inside_the_gradient_is_an_error() -> None:
    """A gradient that checks another one, or calls a derivation, with what makes no sense."""

    def pull(x: Array, cotangent: Array) -> Array:
        gradcheck.from_loss(np.sum, np.ones_like, argnums=-1)
        return 2 * x * cotangent

    with pytest.raises(RuleError, match="argnums must be a position"):
        asked(squaring(pull), X)


def test_asking_once_is_enough_where_the_laws_are_known_to_hold() -> None:
    def once(pull: Callable[[Array, Array], Any], x: Array) -> Any:
        rule, point = squaring(pull), Point((x,), {}, COTANGENT)
        return ask_once(rule, point, flatten(rule, point))

    calls = count(1)
    (result,) = once(lambda x, cotangent: 2 * x * cotangent * next(calls), X)
    np.testing.assert_array_equal(result, 2 * X * COTANGENT)
    assert next(calls) == 2
    assert once(lambda x, cotangent: None, X) is None
    raising = gradcheck.from_vjp(lambda x: x[7], lambda x, cotangent: x, name="r")
    point = Point((X,), {}, COTANGENT)
    assert ask_once(raising, point, flatten(raising, point)) is None


def test_an_assumption_inside_the_forward_or_the_gradient_steers_hypothesis() -> None:
    def forward(x: Array) -> Array:
        assume(x[0] > 0)
        return x * x

    def pull(x: Array, cotangent: Array) -> Array:
        assume(x[0] < 9)
        return 2 * x * cotangent

    rule = gradcheck.from_vjp(forward, pull)
    drawn, answered = set(), set()

    @settings(max_examples=50, database=None, deadline=None)
    @given(st.integers(-10, 20))
    def run(first: int) -> None:
        drawn.add(first)
        asked(rule, np.array([float(first), 1.0, 2.0]))
        answered.add(first)

    run()
    assert answered == {first for first in drawn if 0 < first < 9}
    assert len(answered) < len(drawn)


def test_what_is_a_signal() -> None:
    assert is_signal(UnsatisfiedAssumption())
    assert is_signal(NoSuchExample("x"))
    assert not is_signal(ValueError())
    with pytest.raises(NoSuchExample):
        find(st.integers(0, 1), lambda n: n > 1, settings=settings(database=None))


@pytest.mark.parametrize("shape", [(), (6,)])
def test_a_forward_may_return_one_buffer_at_every_call(shape: tuple[int, ...]) -> None:
    buffer = np.empty(shape)

    def forward(w: Any) -> tuple[Array, Pullback]:
        np.copyto(buffer, np.reshape(w**2 if shape else np.sum(w**2), shape))
        return buffer, lambda cotangent: 2 * w * np.reshape(cotangent, (2, 3) if shape else ())

    report = gradcheck.examine(gradcheck.from_pullback(forward), np.arange(1.0, 7.0).reshape(2, 3))
    assert report.outcome is Outcome.PASS, str(report)
