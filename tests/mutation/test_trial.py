"""What is the same answer and what is not, and when the check of a mutant has failed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradcheck import from_loss
from gradcheck.mutation.examples import Example
from gradcheck.mutation.trial import Check, distance
from gradcheck.rule import Point, Rule


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.0], [1.0, 3.0], 0.5),
        ([0.0, 0.0], [0.0, 1e-9], np.inf),
        ([1.0, np.nan], [1.0, np.nan], 0.0),
        ([1.0, np.nan], [1.0, 2.0], np.inf),
        ([1.0, np.inf], [1.0, np.inf], 0.0),
        ([4.0, np.inf], [5.0, np.inf], 0.25),
        ([], [], 0.0),
    ],
)
def test_distance(one: list[float], other: list[float], expected: float) -> None:
    assert distance((np.array(one),), (np.array(other),)) == expected


def test_an_answer_that_is_missing_is_far_from_any() -> None:
    answer = (np.ones(2), None)
    assert distance(answer, None) == np.inf
    assert distance(None, None) == 0.0
    assert distance(answer, answer) == 0.0
    assert distance(answer, (np.ones(2), np.ones(1))) == np.inf


def nll(z: Any) -> Any:
    return np.log(np.exp(z - z.max()).sum()) + z.max() - z[0]


def grad(z: Any) -> Any:
    a = np.exp(z - z.max())
    return a / a.sum() - np.array([1.0, 0.0])


RULE = from_loss(nll, grad, name="nll")
ORDINARY, SATURATED = np.array([0.5, 1.0]), np.array([50.0, 0.0])


def _check(*points: Any, rule: Rule = RULE) -> Check:
    examples = [Example(rule, Point((z,), {}, np.float64(1.0))) for z in points]
    return Check(rule, examples, frozenset(), lambda: None)


def _mutant(gradient: Any) -> Rule:
    return replace(RULE, call=from_loss(nll, gradient).call)


def test_a_point_that_shows_nothing_does_not_kill_while_another_resolves() -> None:
    """The mutant is right but where the gradient is below its rounding."""

    def zero_where_saturated(z: Any) -> Any:
        return np.zeros(2) if abs(z[0] - z[1]) > 40 else grad(z)

    mutant = _mutant(zero_where_saturated)
    assert _check(ORDINARY, SATURATED).kills(mutant) is None
    killed = _check(SATURATED).kills(mutant)
    assert killed is not None
    assert killed[0] == "undecided"
    check = _check(ORDINARY)
    assert check.differs(mutant, _check(SATURATED).examples) is None


def test_the_rule_itself_survives_and_differs_nowhere() -> None:
    check = _check(ORDINARY)
    assert check.kills(RULE) is None
    assert check.differs(RULE, check.examples) is None


def test_a_mutant_is_killed_by_what_shows_it() -> None:
    def raising(z: Any) -> Any:
        raise ZeroDivisionError

    def overwriting(z: Any) -> Any:
        found = grad(z)
        z[0] = 7.0
        return found

    expected = {"numbers": lambda z: 2 * grad(z), "contract": lambda z: grad(z)[:1], "raised": raising}
    for by, gradient in {**expected, "pure": overwriting}.items():
        killed = _check(ORDINARY).kills(_mutant(gradient))
        assert killed is not None
        assert killed[0] == by


def test_what_raises_is_asked_at_one_point_only() -> None:
    """A loop without end takes its time at each."""
    calls = []

    def raising(z: Any) -> Any:
        calls.append(z)
        raise ZeroDivisionError

    killed = _check(*[ORDINARY + k for k in range(50)]).kills(_mutant(raising))
    assert killed is not None
    assert killed[0] == "raised"
    assert len(calls) < 10


def test_a_survivor_is_shown_at_a_small_point() -> None:
    def only_far_apart(z: Any) -> Any:
        return grad(z) * (1 + (abs(z[0] - z[1]) > 3))

    check = _check(ORDINARY)
    mutant = _mutant(only_far_apart)
    assert check.kills(mutant) is None
    others = _check(ORDINARY, np.array([5.0, 0.0]), np.array([0.0, 6.0])).examples
    told = check.differs(mutant, others)
    assert told is not None
    assert (told.by, told.share) == ("numbers", 2 / 3)
    assert told.example.size == 2


def test_a_point_where_only_rounding_differs_is_not_counted() -> None:
    def off_when_far_apart(z: Any) -> Any:
        return grad(z) * (1 + 1e-6 * (abs(z[0] - z[1]) > 3) + 4e-16)

    check = _check(ORDINARY)
    told = check.differs(_mutant(off_when_far_apart), _check(ORDINARY, np.array([5.0, 0.0])).examples)
    assert told is not None
    assert (told.by, told.share) == ("numbers", 1 / 2)


def test_what_the_rule_fails_at_tells_nothing() -> None:
    """Where the rule is wrong itself, being unlike it is no fault."""
    wrong_when_far = _mutant(lambda z: grad(z) * (1 + (abs(z[0] - z[1]) > 3)))
    check = _check(ORDINARY, rule=wrong_when_far)
    others = _check(np.array([5.0, 0.0]), rule=wrong_when_far).examples
    assert check.differs(RULE, others) is None
