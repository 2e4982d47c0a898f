"""Laws share what they ask: a right rule is asked few times; where something is amiss, each law asks for itself."""

from __future__ import annotations

from collections import Counter
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

import gradcheck
from gradcheck import Outcome
from gradcheck import strategies as gst
from gradcheck.errors import GradientMismatch
from gradcheck.laws import LAWS, LEFT, UNFIT, Breach, Subject, hear, together
from gradcheck.laws.journey import in_order, scaled_in_order
from gradcheck.laws.multiples import multiple, scales
from gradcheck.laws.placing import TURNS, placed
from gradcheck.laws.symmetry import at_once
from gradcheck.laws.table import TURNS as TURNS_OF_LAWS
from gradcheck.layouts import LAYOUTS
from gradcheck.rule import Point, Rule
from gradcheck.tree import flatten
from gradcheck.verdict import judge

Array: TypeAlias = Any

Z = np.array([[0.5, -1.25, 2.0, 0.25], [1.5, 0.75, -0.5, -2.0], [-0.25, 0.5, 1.0, 3.0]])
Y = np.array([2, 0, 2])


def nll(z: Array, y: Array) -> Array:
    s = z - z.max(axis=1, keepdims=True)
    return (np.log(np.exp(s).sum(axis=1)) - s[np.arange(len(y)), y]).sum()


def nll_vjp(z: Array, y: Array, cotangent: Array) -> Array:
    a = np.exp(z - z.max(axis=1, keepdims=True))
    a /= a.sum(axis=1, keepdims=True)
    a[np.arange(len(y)), y] -= 1
    return a * cotangent


def subject(rule: Rule, z: Array = Z, cotangent: Any = None, *, thorough: bool = True) -> Subject:
    point = Point((z, Y), {}, np.asarray(-1.25, z.dtype) if cotangent is None else cotangent)
    return Subject(rule, point, flatten(rule, point), thorough)


def counted(calls: Counter[str]) -> Rule:
    def fun(z: Array, y: Array) -> Array:
        calls["forward"] += 1
        return nll(z, y)

    def vjp(z: Array, y: Array, cotangent: Array) -> Array:
        calls["backward"] += 1
        return nll_vjp(z, y, cotangent)

    return gradcheck.from_vjp(fun, vjp, argnums=0)


def test_a_right_rule_is_asked_few_times() -> None:
    calls: Counter[str] = Counter()
    breach, said = hear(LAWS, subject(counted(calls)), ())
    assert breach is None
    assert set(said.values()) == {"held"}
    assert calls["forward"] <= 22
    assert calls["backward"] <= 22


def test_one_of_many_points_asks_half_of_the_laws_and_two_of_both_halves_all() -> None:
    asked: dict[int, dict[str, str]] = {}
    for k in range(12):
        calls: Counter[str] = Counter()
        one = subject(counted(calls), Z + k / 8, thorough=False)
        breach, asked[one.turn] = hear(LAWS, one, ())
        assert breach is None
        assert {name for name, said in asked[one.turn].items() if said == LEFT} == TURNS_OF_LAWS[1 - one.turn]
        assert calls["forward"] <= 9
        assert calls["backward"] <= 9
    assert set(together(asked[0], asked[1]).values()) == set(together(asked[1], asked[0]).values()) == {"held"}


@pytest.mark.parametrize(
    ("one", "other", "both"), [("held", LEFT, "held"), (LEFT, UNFIT, UNFIT), (UNFIT, LEFT, UNFIT), (LEFT, LEFT, LEFT)]
)
def test_a_law_that_is_left_to_other_points_takes_their_word(one: str, other: str, both: str) -> None:
    assert together({"shift": one}, {"shift": other}) == {"shift": both}


def test_what_fails_at_one_of_many_points_is_called_by_its_name() -> None:
    """A rule that counts has wrong numbers, and the law that says why may be the turn of another point."""
    calls: Counter[str] = Counter()

    def vjp(z: Array, y: Array, cotangent: Array) -> Array:
        calls["backward"] += 1
        return nll_vjp(z, y, cotangent) * (1 + calls["backward"])

    for k in range(6):
        calls.clear()
        rule, z = gradcheck.from_vjp(nll, vjp, argnums=0), Z + k / 8
        breach = judge(rule, Point((z, Y), {}, np.asarray(-1.25)), thorough=False).breach
        assert breach is not None
        assert breach.law == "deterministic"


def test_what_fails_at_one_of_many_points_and_passes_in_full_says_so() -> None:
    """A first call that is wrong, as that of a cold cache, is no longer the first when it is judged in full."""
    calls: Counter[str] = Counter()

    def vjp(z: Array, y: Array, cotangent: Array) -> Array:
        calls["backward"] += 1
        return nll_vjp(z, y, cotangent) * (2 if calls["backward"] == 1 else 1)

    rule = gradcheck.from_vjp(nll, vjp, argnums=0)
    z = next(z for k in range(12) if subject(rule, z := Z + k / 8, thorough=False).turn == 1)
    verdict = judge(rule, Point((z, Y), {}, np.asarray(-1.25)), thorough=False)
    assert verdict.outcome is Outcome.FAIL
    assert "it passed" in verdict.notes[-1]


@pytest.mark.parametrize("shift", range(8))
def test_a_test_of_a_single_point_asks_every_law(shift: int) -> None:
    def vjp(z: Array, y: Array, cotangent: Array) -> Array:
        answer = nll_vjp(z, y, cotangent)
        z += 1.0
        return answer

    rule = gradcheck.from_vjp(nll, vjp, argnums=0)

    @settings(database=None)
    @given(st.just((Z + shift / 8, Y)))
    def test(case: tuple[Array, Array]) -> None:
        gradcheck.check(rule, *case)

    with pytest.raises(GradientMismatch, match="argument z"):
        test()


def test_large_arguments_that_are_written_over_during_a_check_are_judged_by_nothing() -> None:
    w, calls = np.linspace(0.5, 1.5, 5000), Counter[str]()

    def loss(x: Array) -> Array:
        calls["forward"] += 1
        if calls["forward"] == 10:  # the laws that ask first are past, and the reference is there
            w[...] *= 0.5
        return (x**3).sum()

    rule = gradcheck.from_loss(loss, lambda x: 3.03 * x**2)
    verdict = judge(rule, Point((w,), {}, np.ones(())))
    assert verdict.outcome is Outcome.UNDECIDED
    assert "written over while they were checked" in verdict.reason


def test_a_journey_of_a_right_rule_is_in_order() -> None:
    asked = subject(gradcheck.from_vjp(nll, nll_vjp, argnums=0))
    assert in_order(asked)
    assert scaled_in_order(asked)
    found = at_once(asked)
    assert found is not None
    assert [len(turn.order) for turn in (*found.rows, *found.classes)] == [3, 4]
    assert [leaf.path for leaf in found.shifts] == ["z"]


def test_where_multiples_lose_digits_each_law_asks_for_itself() -> None:
    """Where an answer is subnormal, 64 times that is not the answer to 64 times the cotangent."""
    z = np.array([[0.0, -742.0, -742.5, -743.0], [1.0, 2.0, 3.0, 0.0], [1.0, 0.0, 3.0, 0.5]])
    rule = gradcheck.from_vjp(lambda z, y: np.exp(z).sum(), lambda z, y, c: np.exp(z) * c, argnums=0)
    asked = subject(rule, z)
    assert not in_order(asked)
    assert not scaled_in_order(asked)
    breach, said = hear(LAWS, asked, ())
    assert breach is None
    assert said["linear"] == said["no state"] == said["deterministic"] == "held"


def test_a_cotangent_that_would_overflow_is_not_scaled() -> None:
    rule = gradcheck.from_vjp(nll, nll_vjp, argnums=0)
    assert scales(subject(rule, cotangent=np.array(-1.25))) == (-2.0, 2.0**6, 2.0**-10)
    assert scales(subject(rule, cotangent=np.array(1e308))) == (1.0, 1.0, 2.0**-10)
    assert scales(subject(rule, Z.astype("f2"), np.array(1.0, "f2"))) == (-2.0, 2.0**3, 2.0**-4)
    assert multiple(subject(rule, cotangent=np.array(3.0)), -2.0) == -6.0
    loss = gradcheck.from_loss(nll, lambda z, y: nll_vjp(z, y, 1.0))
    assert scales(subject(loss)) == (1.0, 1.0, 1.0)


def test_a_rule_that_refuses_other_cotangents_may_be_asked_without_linearity() -> None:
    """What comes to grief over a multiple of the cotangent alone breaks no law but the one that is switched off."""

    def vjp(z: Array, y: Array, cotangent: Array) -> Array:
        if abs(cotangent) > 4:
            raise ValueError("too large")
        return nll_vjp(z, y, np.clip(cotangent, -2, 2))

    rule = gradcheck.from_vjp(nll, vjp, argnums=0)
    breach, _ = hear(LAWS, subject(rule), ())
    assert isinstance(breach, Breach)
    assert breach.law == "linear"
    breach, said = hear(LAWS, subject(rule), ("linear",))
    assert breach is None
    assert said["no state"] == "held"


# --- layouts that points share out --------------------------------------------------------------------------------


def test_the_turns_of_many_points_make_up_all_layouts() -> None:
    asked = subject(gradcheck.from_vjp(nll, nll_vjp, argnums=0))
    tried = {(key, layout.name) for turn in TURNS for key, layout in placed(asked, turn).items()}
    names = {layout.name for layout in LAYOUTS[1:]}
    assert {name for key, name in tried if key == 0} == names - {"NumPy scalar", "odd strides", "stride-0"}
    assert {name for key, name in tried if key == ("cotangent", 0)} == {"read-only", "NumPy scalar"}


def _strides_seen(thorough: bool, points: int) -> list[set[tuple[int, ...]]]:
    """Ask at several points, and take down at each the strides in which the rule saw logits of that shape."""
    found = []
    for k in range(points):
        seen: set[tuple[int, ...]] = set()

        def vjp(z: Array, y: Array, cotangent: Array, seen: set[tuple[int, ...]] = seen) -> Array:
            if z.shape == Z.shape:
                seen.add(z.strides)
            return nll_vjp(z, y, cotangent)

        breach, _ = hear(LAWS, subject(gradcheck.from_vjp(nll, vjp, argnums=0), Z + k / 8, thorough=thorough), ())
        assert breach is None
        found.append(seen)
    return found


def test_one_of_many_points_tries_a_few_layouts_and_all_together_every_one() -> None:
    (every,) = _strides_seen(thorough=True, points=1)
    few = _strides_seen(thorough=False, points=12)
    assert max(map(len, few)) < len(every)
    assert set().union(*few) == every


@settings(max_examples=60, database=None, deadline=None)
@given(gst.softmax_nll(rows=(1, 5), classes=(2, 5)))
def test_under_given_a_right_rule_passes(case: gst.Case) -> None:
    gradcheck.check(gradcheck.from_vjp(nll, nll_vjp, argnums=0), *case)


def test_a_check_alone_tries_all_layouts_and_one_under_given_a_few() -> None:
    seen: set[tuple[int, ...]] = set()

    def vjp(z: Array, y: Array, cotangent: Array) -> Array:
        if z.shape == Z.shape:
            seen.add(z.strides)
        return nll_vjp(z, y, cotangent)

    rule = gradcheck.from_vjp(nll, vjp, argnums=0)
    gradcheck.check(rule, Z, Y)
    alone = set(seen)
    seen.clear()

    @settings(max_examples=1, database=None, deadline=None)
    @given(gst.calls(gst.softmax_nll(rows=1, classes=2)))
    def under_given(_: object) -> None:
        for _ in range(5):  # the first four are judged in full, lest there be no others
            seen.clear()
            gradcheck.check(rule, Z, Y)

    under_given()
    assert seen < alone


def test_under_given_a_broken_law_is_shrunk_though_points_share_laws_out() -> None:
    def vjp(z: Array, y: Array, cotangent: Array) -> Array:
        gradient = nll_vjp(z, y, cotangent)
        z += 1.0
        return gradient

    rule, failed = gradcheck.from_vjp(nll, vjp, argnums=0), []

    @seed(0)
    @settings(max_examples=60, database=None, deadline=None)
    @given(gst.softmax_nll(rows=(1, 5), classes=(2, 5)))
    def under_given(case: gst.Case) -> None:
        try:
            gradcheck.check(rule, *case)
        except GradientMismatch:
            failed.append(case)
            raise

    with pytest.raises(GradientMismatch, match="pure"):
        under_given()
    assert failed[-1].z.shape == (1, 2)
