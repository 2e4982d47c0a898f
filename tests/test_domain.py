"""Domains: stated once, checked at every point, and never left by what is drawn, stepped or asked by a law."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import ml_dtypes
import numpy as np
import pytest

import gradcheck
from gradcheck import InvalidArgument, Outcome, Rule, domain
from gradcheck.domain import Domain, parsed
from gradcheck.rule import Point
from gradcheck.tree import flatten

Array: TypeAlias = Any

P = np.array([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]])


# --- what is inside -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "inside", "outside"),
    [
        (domain.real, [0.0, -1e308], [math.inf, -math.inf, math.nan]),
        (domain.positive, [5e-324, 1e308], [0.0, -0.0, -1.0, math.inf, math.nan]),
        (domain.masked, [0.0, -math.inf], [math.inf, math.nan]),
        (domain.bounded(-1, 2), [-0.999, 0.0, 1.999], [-1.0, 2.0, math.nan, math.inf]),
        (domain.bounded(-math.inf, 0), [-1e308], [0.0, -math.inf]),
    ],
    ids=repr,
)
def test_ends_are_outside(stated: Domain, inside: list[float], outside: list[float]) -> None:
    assert stated.holds(np.array(inside))
    assert stated.outside(np.array(inside)) == ""
    for x in outside:
        assert not stated.holds(np.array([*inside, x]))
        assert stated.outside(np.array([*inside, x])).startswith(f"[{len(inside)}] is {x:.17g}, outside {stated!r}")
        assert stated.outside(np.array(x)).startswith(f" is {x:.17g}, outside")


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("classes", [1, 2, 10, 1000])
@pytest.mark.parametrize("stated", [domain.simplex, domain.ambient_simplex], ids=repr)
def test_rows_that_were_divided_by_their_sums_are_on_the_simplex(stated: Domain, classes: int, dtype: Any) -> None:
    rows = np.random.default_rng(classes).uniform(0.5, 1, (20, classes)).astype(dtype)
    wide = np.promote_types(dtype, np.float32)
    rows = (rows / rows.sum(axis=-1, keepdims=True, dtype=wide)).astype(dtype)
    assert stated.holds(rows)
    assert stated.outside(rows) == ""
    off = rows * dtype(1.5)
    assert not stated.holds(off)
    assert ": divide each row by its sum" in stated.outside(off)


def test_a_simplex_needs_rows() -> None:
    for shape in ((), (3, 0)):
        assert not domain.simplex.holds(np.ones(shape))
        assert domain.simplex.outside(np.ones(shape)).startswith(f" has shape {shape}, outside")


def test_domains_print_as_code_and_pickle() -> None:
    for stated in (domain.real, domain.simplex, domain.bounded(0, 1), domain.bounded(-math.inf, 0.1)):
        assert eval(repr(stated), {"gradcheck": gradcheck}) == stated
        assert pickle.loads(pickle.dumps(stated)) == stated


# --- where it is stated ---------------------------------------------------------------------------------------


class Pair(NamedTuple):
    scale: Any
    shift: Any


def loss(p: Any, q: Any, n: int = 1) -> float:
    return 0.0 * n * (p is q)


def stating(stated: Any, **options: Any) -> Rule:
    return gradcheck.from_loss(loss, loss, name="loss", domain=stated, **options)


@pytest.mark.parametrize(
    ("stated", "args", "says"),
    [
        (domain.positive, (np.array([1.0, 0.0]), 1), "loss: p[1] is 0, outside gradcheck.domain.positive"),
        ({"p": domain.positive}, (np.array([[1.0], [-2.0]]), 1), "loss: p[1, 0] is -2, outside"),
        ({0: domain.bounded(0, 1)}, (np.array(1.0), 1), "loss: p is 1, outside gradcheck.domain.bounded(0.0, 1.0)"),
        ({"p": domain.simplex}, (P * 2, 1), "loss: p[0] sums to 2, outside gradcheck.domain.simplex: divide each row"),
        ({"p": {"a": domain.positive}}, ({"a": np.zeros(1), "b": np.zeros(1)}, 1), "loss: p['a'][0] is 0, outside"),
        ({"p": [None, domain.positive]}, ([np.zeros(1), np.zeros(1)], 1), "loss: p[1][0] is 0, outside"),
        ({"p": domain.positive}, ({"a": [np.ones(1), np.zeros(1)]}, 1), "loss: p['a'][1][0] is 0, outside"),
        ({"p": {"shift": domain.positive}}, (Pair(np.zeros(1), np.zeros(1)), 1), "loss: p['shift'][0] is 0, outside"),
        ({"p": {"c": domain.positive}}, ({"a": np.ones(1)}, 1), "for p, but its parts are 'a'"),
        ({"p": {"c": domain.positive}}, (np.ones(1), 1), "for p, but that is one array"),
    ],
)
def test_a_point_outside_is_refused_by_entry(stated: Any, args: tuple[Any, ...], says: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        gradcheck.examine(stating(stated), *args)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        ("positive", "domain='positive' (str): pass one of gradcheck.domain, such as gradcheck.domain.positive"),
        ({"r": domain.positive}, "argument 'r': pass positions counted from 0, or names of arguments, which are p, q"),
        ({-1: domain.positive}, "domain names argument -1: pass positions"),
        ({"q": domain.positive}, "domain names argument 'q', which is not differentiated: argnums=(0,)"),
        ({"p": "positive"}, "domain['p'] is 'positive' (str): pass one of gradcheck.domain"),
        ({"p": {"a": 3}}, "domain['p']['a'] is 3 (int): pass one of"),
        ((domain.positive, domain.real), "has 2 entries for 1 differentiated arguments; give one each"),
    ],
)  # fmt: skip
def test_what_is_no_domain_is_refused_when_the_rule_is_made(stated: Any, says: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        stating(stated)
    assert says in str(caught.value)


@pytest.mark.parametrize("ends", [(1, 1), (2, 1), (math.nan, 1), (0, True), ("0", 1)])
def test_bounds_are_two_numbers_in_order(ends: Any) -> None:
    with pytest.raises(InvalidArgument, match="pass two numbers, the lower first"):
        domain.bounded(*ends)


def test_a_domain_of_data_is_refused_where_the_data_are_known() -> None:
    rule = gradcheck.from_vjp(
        lambda x, y: x * y, lambda x, y, c: (c * y, c * x), name="product", domain={1: domain.positive}
    )
    assert gradcheck.examine(rule, np.ones(2), np.ones(2))
    with pytest.raises(InvalidArgument, match=r"product: domain names y, which is not differentiated here"):
        gradcheck.examine(rule, np.ones(2), 3)


def test_a_tuple_goes_by_argnums() -> None:
    rule = stating((domain.positive, None), argnums=(1, 0))
    assert (rule.domain_at(0), rule.domain_at(1)) == (None, domain.positive)
    hash(rule)


def test_every_maker_takes_it() -> None:
    x = np.array([1.0, -1.0])
    rules = [
        gradcheck.from_loss(np.sum, np.ones_like, domain=domain.positive),
        gradcheck.from_vjp(np.sin, lambda x, c: c * np.cos(x), domain=domain.positive),
        gradcheck.from_forward_backward(lambda x: (x, 1), lambda c, _: c, domain=domain.positive),
        gradcheck.from_pullback(lambda x: (x, lambda c: c.copy()), domain=domain.positive),
    ]
    for rule in rules:
        with pytest.raises(InvalidArgument, match=r"\[1\] is -1, outside gradcheck.domain.positive"):
            gradcheck.examine(rule, x)


def test_leaves_know_their_domains() -> None:
    rule = stating({"p": {"b": domain.positive, "a": [None, domain.simplex]}})
    tree = {"b": np.ones(1), "a": [np.ones(1), P], "c": np.ones(1)}
    found = {leaf.path: leaf.domain for leaf in flatten(rule, Point((tree, 1), {}, None)).differentiated}
    assert found == {"p['a'][0]": None, "p['a'][1]": domain.simplex, "p['b']": domain.positive, "p['c']": None}
    pair = flatten(stating({"p": {"shift": domain.positive}}), Point((Pair(np.ones(1), np.ones(1)), 1), {}, None))
    assert [leaf.domain for leaf in pair.differentiated] == [None, domain.positive]


# --- nothing is evaluated outside -----------------------------------------------------------------------------


def entropy(p: Array) -> Any:
    return np.sum(p * np.log(p))


def entropy_grad(p: Array) -> Array:
    return np.log(p) + 1


def logit(p: Array) -> Any:
    return np.sum(np.log(p) - np.log1p(-p))


def logit_grad(p: Array) -> Array:
    return 1 / (p * (1 - p))


def by_loops(fun: Callable[[Array], Any]) -> Callable[[Array], Any]:
    """Write a sum over entries so that JAX cannot trace it."""
    return lambda p: float(sum(float(fun(np.float64(x))) for x in np.ravel(p)))


def opaquely(fun: Callable[[Array], Any]) -> Callable[[Array], Any]:
    """Let nothing but float64 in."""

    def opaque(p: Array) -> float:
        if type(p) is not np.ndarray or p.dtype != np.float64:
            raise TypeError("float64 arrays only")
        return float(fun(np.frombuffer(p.tobytes()).reshape(p.shape)))

    return opaque


CASES = [
    (domain.positive, entropy, entropy_grad, P),
    (domain.bounded(0, 1), logit, logit_grad, P),
    (domain.simplex, entropy, entropy_grad, P),
]


@pytest.mark.parametrize("opaque", [False, True], ids=["traceable", "opaque"])
@pytest.mark.parametrize(("stated", "fun", "grad", "like"), CASES, ids=["positive", "bounded", "simplex"])
def test_nothing_leaves_the_domain(stated: Domain, fun: Any, grad: Any, like: Array, opaque: bool) -> None:
    left: list[Any] = []

    def watched(function: Any) -> Any:
        def watching(p: Array) -> Any:
            if type(p) is np.ndarray and not stated.holds(np.real(p)):
                left.append(p)
            return function(p)

        return watching

    forward = watched(opaquely(fun) if opaque else fun)
    rule = gradcheck.from_loss(forward, watched(grad), name="r", reference=None if opaque else fun, domain=stated)
    assert gradcheck.verify(rule, like=(like,), seed=1, examples=40)
    assert gradcheck.examine(rule, like).outcome is Outcome.PASS
    assert not left


def test_without_a_domain_it_would_be_left() -> None:
    left: list[Any] = []

    def forward(p: Array) -> float:
        left.extend(x for x in np.ravel(p) if not x > 0)
        with np.errstate(all="ignore"):
            return float(opaquely(entropy)(np.abs(p)))

    gradcheck.examine(gradcheck.from_loss(forward, entropy_grad, name="r"), np.array([[1e-4, 2.0]]))
    assert left


@pytest.mark.parametrize("forward", [entropy, by_loops(entropy), opaquely(entropy)], ids=["jax", "own", "differences"])
@pytest.mark.parametrize("stated", [domain.simplex, domain.ambient_simplex], ids=repr)
def test_a_constant_per_row_shows_off_the_simplex_only(stated: Domain, forward: Any) -> None:
    """On a simplex a gradient is known up to a constant in each row, whoever judges."""
    right = gradcheck.from_loss(forward, entropy_grad, name="right", domain=stated)
    shifted = gradcheck.from_loss(forward, lambda p: entropy_grad(p) - 3, name="shifted", domain=stated)
    wrong = gradcheck.from_loss(forward, lambda p: np.log(p) + p, name="wrong", domain=stated)
    assert gradcheck.examine(right, P)
    assert gradcheck.examine(shifted, P).outcome is (Outcome.PASS if stated.tangent else Outcome.FAIL)
    assert gradcheck.examine(wrong, P).outcome is Outcome.FAIL


@pytest.mark.parametrize("x", [1e-300, 1e-12, 1.0])
def test_near_an_end_differences_are_as_sharp_as_elsewhere(x: float) -> None:
    def judged(factor: float) -> Outcome:
        rule = gradcheck.from_loss(
            opaquely(lambda x: np.sum(np.log(x))), lambda x: factor / x, name="log", domain=domain.positive
        )
        return gradcheck.examine(rule, np.array([x])).outcome

    assert judged(1) is Outcome.PASS
    assert judged(1 + 1e-6) is Outcome.FAIL


def test_a_point_that_has_no_room_is_undecided() -> None:
    x = np.array([0.5, 1 - 2.0**-52])
    rule = gradcheck.from_loss(opaquely(logit), logit_grad, name="logit", domain=domain.bounded(0, 1))
    assert gradcheck.examine(rule, x).outcome is Outcome.UNDECIDED


def test_a_law_that_would_leave_the_domain_does_not_apply() -> None:
    rule = gradcheck.from_loss(entropy, entropy_grad, name="r", domain=domain.bounded(0.6, 2))
    laws = gradcheck.examine(rule, np.array([0.75, 1.0])).verdict.laws
    assert laws["moving gradient"] == "does not apply: half the primals are outside their domain"


def test_a_report_states_the_domain() -> None:
    stated = {"p": domain.bounded(0, 9)}
    rule = gradcheck.from_loss(entropy, entropy_off, domain=stated)
    report = gradcheck.examine(rule, P)
    assert report.outcome is Outcome.FAIL
    assert "domain={0: gradcheck.domain.bounded(0.0, 9.0)})" in str(report)


def entropy_off(p: Array) -> Array:
    return np.log(p)


@pytest.mark.parametrize(
    "stated",
    [
        domain.real, domain.simplex, domain.ambient_simplex, domain.bounded(-math.inf, -0.1), domain.bounded(1e-300, 2),
        {0: domain.positive, 2: {"a": [None, domain.masked], "b": (domain.bounded(0, 1),)}},
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_written_can_be_read(stated: Any) -> None:
    assert parsed(repr(stated)) == stated


@pytest.mark.parametrize(
    "code", ["", "positive", "gradcheck.domain.negative", "print(1)", "gradcheck.domain.bounded(2, 1)"]
)
def test_what_is_no_domain_cannot_be_read(code: str) -> None:
    with pytest.raises(InvalidArgument):
        parsed(code)


def test_a_kept_failure_keeps_its_domain(tmp_path: Path) -> None:
    from gradcheck.report import keep, load_failure
    from gradcheck.targets import load_rule

    rule = gradcheck.from_loss(entropy, entropy_off, domain=domain.bounded(0, 9))
    kept = keep(gradcheck.examine(rule, P), tmp_path).saved
    assert kept is not None
    again = load_rule(load_failure(kept))
    assert again.domain == rule.domain == domain.bounded(0, 9)
