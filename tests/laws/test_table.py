"""Each law is seen holding for right rules, and broken by a mutant that is made for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeAlias

import numpy as np
import pytest

import gradcheck
from gradcheck import Outcome
from gradcheck.errors import GradientMismatch, InvalidArgument
from gradcheck.laws import LAWS, NAMES, Subject, hear
from gradcheck.rule import Point, Rule
from gradcheck.tree import flatten

Array: TypeAlias = Any

Z = np.array([[0.5, -1.25, 2.0, 0.25], [1.5, 0.75, -0.5, -2.0], [-0.25, 0.5, 1.0, 3.0]])
Y = np.array([2, 0, 2])
C = np.array([0.5, -1.5, 1.25])


def softmax(z: Array) -> Array:
    exponentials = np.exp(z - z.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def nll(z: Array, y: Array) -> Array:
    top = z.max(axis=1, keepdims=True)
    log_sums = top[:, 0] + np.log(np.exp(z - top).sum(axis=1))
    return log_sums - z[np.arange(len(y)), y]


def nll_vjp(z: Array, y: Array, cotangent: Array) -> Array:
    gradient = softmax(z)
    gradient[np.arange(len(y)), y] -= 1
    return gradient * cotangent[:, None]


def nll_mean(z: Array, y: Array) -> Array:
    return nll(z, y).sum() / max(len(y), 1)


def nll_mean_grad(z: Array, y: Array) -> Array:
    return nll_vjp(z, y, np.full(len(y), 1 / max(len(y), 1)))


def heard(rule: Rule, *args: Any, cotangent: Any) -> tuple[str | None, dict[str, str]]:
    """Ask all laws, and no oracle: the law that is broken, and what was said of those up to it."""
    point = Point(args, {}, cotangent)
    breach, said = hear(LAWS, Subject(rule, point, flatten(rule, point)), ())
    return (breach.law if breach else None), said


def broken_laws(make: Callable[[], Rule], *args: Any, cotangent: Any) -> set[str]:
    """Ask each law alone, of a rule with fresh state."""
    if heard(make(), *args, cotangent=cotangent)[0] == "contract":
        return {"contract"}  # which all others need
    found = set()
    for name, law in LAWS.items():
        rule, point = make(), Point(args, {}, cotangent)
        breach, _ = hear({name: law}, Subject(rule, point, flatten(rule, point)), ())
        if breach:
            found.add(name)
    return found


# --- right rules --------------------------------------------------------------------------------------------------


def test_all_laws_hold_for_softmax_and_nll() -> None:
    rule = gradcheck.from_vjp(nll, nll_vjp, argnums=0)
    broken, said = heard(rule, Z, Y, cotangent=C)
    assert broken is None
    assert said == dict.fromkeys(LAWS, "held")


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_all_laws_hold_in_low_precision(dtype: Any) -> None:
    rule = gradcheck.from_vjp(nll, nll_vjp, argnums=0)
    broken, said = heard(rule, Z.astype(dtype), Y, cotangent=C.astype(dtype))
    assert broken is None
    assert set(said.values()) == {"held"}


def test_a_pair_of_loss_and_gradient_has_no_cotangent() -> None:
    rule = gradcheck.from_loss(nll_mean, nll_mean_grad)
    broken, said = heard(rule, Z, Y, cotangent=np.ones(()))
    assert broken is None
    assert said.pop("linear") == "does not apply: a pair of loss and gradient takes no cotangent"
    assert set(said.values()) == {"held"}


@pytest.mark.parametrize(
    ("forward", "vjp", "unfit"),
    [
        (np.tanh, lambda x, c: c * (1 - np.tanh(x) ** 2), {"row sums", "shift"}),
        (lambda x: x / 1.0, lambda x, c: c.copy(), {"row sums", "shift"}),
        (lambda x: np.cumsum(x, axis=0), lambda x, c: np.cumsum(c[::-1], axis=0)[::-1].copy(),
         {"sizes", "row sums", "shift", "row permutation"}),
        (lambda x: np.cumsum(x, axis=1), lambda x, c: np.cumsum(c[:, ::-1], axis=1)[:, ::-1].copy(),
         {"row sums", "shift", "class permutation"}),
        (lambda x: x * x.mean(axis=0), lambda x, c: c * x.mean(axis=0) + (c * x).mean(axis=0),
         {"row sums", "shift", "independent rows"}),
    ],
    ids=["tanh", "identity", "sums over rows", "sums over classes", "statistics of the batch"],
)  # fmt: skip
def test_symmetries_apply_by_evidence(forward: Any, vjp: Any, unfit: set[str]) -> None:
    cotangent = np.linspace(-1, 2, Z.size).reshape(Z.shape)
    broken, said = heard(gradcheck.from_vjp(forward, vjp), Z, cotangent=cotangent)
    assert broken is None
    assert {name for name, text in said.items() if text.startswith("does not apply: ")} == unfit


def test_a_symmetry_of_the_point_is_none_of_the_forward() -> None:
    """At equal entries any permutation leaves the point where it is, and the value too."""
    weights = np.array([1.0, 2.0, 3.0])
    rule = gradcheck.from_loss(lambda x: (weights * x * x).sum(), lambda x: 2 * weights * x)
    for x in (np.ones(3), np.zeros(3), np.full(3, 1e-30)):
        broken, said = heard(rule, x, cotangent=np.ones(()))
        assert broken is None
        assert said["class permutation"].startswith("does not apply: ")


def test_a_symmetry_that_rounding_feigns_is_none() -> None:
    """The value of h w + b hardly depends on w where h is tiny, but the gradient by h is w."""
    rule = gradcheck.from_vjp(
        lambda h, w, b: h @ w + b, lambda h, w, b, c: (c @ w.T, h.T @ c, c.sum(axis=0)), argnums=(0, 1, 2)
    )
    h, w, b = np.full((5, 2), 1e-30), np.array([[0.2, -0.9, 0.5], [1.4, 0.3, -0.6]]), np.array([0.5, -1.0, 0.25])
    broken, said = heard(rule, h, w, b, cotangent=np.linspace(1, 4, 15).reshape(5, 3))
    assert broken is None
    assert said["shift"].startswith("does not apply: ")


@pytest.mark.parametrize(
    "grad",
    [
        lambda x: np.eye(len(x))[np.argmax(x)],
        lambda x: (x == x.max()) / np.sum(x == x.max()),
        lambda x: np.array([0.25, 0.75, 0.0]),
    ],
    ids=["first", "shared", "a mix"],
)
def test_a_tie_is_no_symmetry(grad: Any) -> None:
    """At a kink, any mix of the slopes on both sides is a gradient, and need not be symmetric."""
    assert heard(gradcheck.from_loss(np.max, grad), np.array([2.0, 2.0, 1.0]), cotangent=np.ones(()))[0] is None


@pytest.mark.parametrize(
    ("index", "cotangent"),
    [
        (Y, Z),
        (np.array([2, 2, 2]), Z),  # in any order the same
        (np.array([2, 0, 1]), np.ones((3, 4))),  # another order, and as many of each
        (np.array([1]), np.ones((1, 4))),
        (np.zeros(0, int), np.ones((0, 4))),
        (np.array(1), np.ones(4)),
    ],
    ids=str,
)
def test_a_straight_line_has_the_gradient_that_its_data_give(index: Array, cotangent: Array) -> None:
    assert heard(gradcheck.from_vjp(looked_up, looked_up_vjp, argnums=0), Z, index, cotangent=cotangent)[0] is None


# --- mutants ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutant:
    """A wrong rule, made anew each time, where it is asked, and the laws that it breaks there."""

    laws: set[str]
    make: Callable[[], Rule]
    args: tuple[Any, ...] = (Z, Y)
    cotangent: Any = field(default_factory=lambda: C)


def pulling(vjp: Any, forward: Any = nll) -> Callable[[], Rule]:
    return lambda: gradcheck.from_vjp(forward, vjp, argnums=0)


def squared_cotangent(z: Array, y: Array, cotangent: Array) -> Array:
    return nll_vjp(z, y, cotangent**2)


def clipped_cotangent(z: Array, y: Array, cotangent: Array) -> Array:
    return nll_vjp(z, y, np.clip(cotangent, -4, 4))


def stabiliser_added(z: Array, y: Array, cotangent: Array) -> Array:
    return nll_vjp(z, y, cotangent) + 1e-8


def mixed_cotangent(z: Array, y: Array, cotangent: Array) -> Array:
    """Homogeneous, and not additive."""
    size = np.abs(cotangent)
    return nll_vjp(z, y, cotangent) * (size.max() / size.mean() if size.any() else 0)


def buffer_read_in_order(z: Array, y: Array, cotangent: Array) -> Array:
    """Read whatever lies behind the first entry, as a kernel does that takes a pointer."""
    flat = np.lib.stride_tricks.as_strided(z, (z.size,), (z.itemsize,)) if z.flags.owndata else z.ravel()
    return nll_vjp(flat.reshape(z.shape).copy(), y, cotangent)


def cotangent_by_its_base(z: Array, y: Array, cotangent: Array) -> Array:
    memory = cotangent if cotangent.base is None else cotangent.base
    return nll_vjp(z, y, np.resize(memory.ravel(), len(y)))


def two_rows_at_least(z: Array, y: Array, cotangent: Array) -> Array:
    gradient = nll_vjp(z, y, cotangent)
    np.stack([gradient[0], gradient[-1]])
    return gradient


def squeezed(z: Array, y: Array, cotangent: Array) -> Array:
    return nll_vjp(z, y, cotangent).squeeze()


def no_other_neuron(z: Array, y: Array, cotangent: Array) -> Array:
    gradient, rows = np.zeros_like(z), np.arange(len(y))
    gradient[rows, y] = nll_vjp(z, y, cotangent)[rows, y]
    return gradient


def softmax_with_a_floor(z: Array, y: Array, cotangent: Array) -> Array:
    """Right where the exponentials are large, and never more than a sum of zero."""
    exponentials = np.exp(z)
    gradient = exponentials / (exponentials.sum(axis=1, keepdims=True) + 1e-3)
    gradient[np.arange(len(y)), y] -= 1
    gradient -= gradient.mean(axis=1, keepdims=True)  # its rows sum to zero
    return gradient * cotangent[:, None]


def first_class_apart(z: Array, y: Array, cotangent: Array) -> Array:
    """Label 0 taken for padding."""
    return nll_vjp(z, y, np.where(y == 0, 0, cotangent))


def first_row_apart(z: Array, y: Array, cotangent: Array) -> Array:
    return nll_vjp(z, y, cotangent * np.where(np.arange(len(y)) == 0, 2, 1))


def maximum_of_the_batch(z: Array, y: Array, cotangent: Array) -> Array:
    """As good as any where rows are alike; where they are far apart, lower ones vanish."""
    exponentials = np.exp(z - z.max(initial=-np.inf))
    with np.errstate(invalid="ignore"):
        a = np.nan_to_num(exponentials / exponentials.sum(axis=1, keepdims=True), nan=1 / z.shape[1])
    a[np.arange(len(y)), y] -= 1
    return a * cotangent[:, None]


def batch_statistics(z: Array, y: Array, cotangent: Array) -> Array:
    """Scaled by a number that all rows have a part in."""
    return nll_vjp(z, y, cotangent) * np.mean(z.max(axis=1) - z.min(axis=1))


def cache_by_id() -> Rule:
    kept: dict[int, Array] = {}
    alive: list[Array] = []  # so that no other array comes to lie there

    def vjp(x: Array, cotangent: Array) -> Array:
        alive.append(x)
        return kept.setdefault(id(x), 2 * x) * cotangent

    return gradcheck.from_vjp(lambda x: x * x, vjp)


def cache_by_shape() -> Rule:
    kept: dict[tuple[int, ...], Array] = {}
    return gradcheck.from_vjp(lambda x: x * x, lambda x, c: kept.setdefault(x.shape, 2 * x) * c)


def looked_up(table: Array, index: Array) -> Array:
    return table[index]


def looked_up_vjp(table: Array, index: Array, cotangent: Array) -> Array:
    gradient = np.zeros_like(table)
    np.add.at(gradient, index, cotangent)
    return gradient


def cache_without_the_data() -> Rule:
    """Straight in the table, so that no other table shows that it answers for the first index of each shape."""
    kept: dict[tuple[int, ...], Array] = {}

    def vjp(table: Array, index: Array, cotangent: Array) -> Array:
        return looked_up_vjp(table, kept.setdefault(index.shape, index.copy()), cotangent)

    return gradcheck.from_vjp(looked_up, vjp, argnums=0)


def latest_forward() -> Rule:
    saved: dict[str, Array] = {}

    def forward(x: Array) -> tuple[Array, Any]:
        saved["x"] = x
        return x * x, lambda cotangent: 2 * saved["x"] * cotangent

    return gradcheck.from_pullback(forward)


def spent_cache() -> Rule:
    def forward(x: Array) -> tuple[Array, Any]:
        slope = 2 * x

        def pullback(cotangent: Array) -> Array:
            result = cotangent * slope
            slope[...] = 0
            return result

        return x * x, pullback

    return gradcheck.from_pullback(forward)


def counting() -> Rule:
    calls = count(1)
    return gradcheck.from_vjp(lambda x: x * x, lambda x, c: 2 * x * c * next(calls))


def one_buffer() -> Rule:
    buffer = np.empty(3)
    return gradcheck.from_vjp(
        lambda x: x * x, lambda x, c: np.multiply(2 * x, c, out=buffer) if x.shape == (3,) else 2 * x * c
    )


def written(x: Array, cotangent: Array) -> Array:
    cotangent *= 2 * x
    return cotangent.copy()


X = np.array([0.5, -1.25, 2.0])
FAR = Z + np.array([[0.0], [0.0], [900.0]])

MUTANTS = {
    "float32 returned": Mutant({"contract"}, pulling(lambda x, c: (2 * x * c).astype("f4"), np.square), (X,)),
    "cotangent overwritten": Mutant({"pure", "layouts"}, pulling(written, np.square), (X,)),
    "draws": Mutant({"deterministic", "pullback", "no state"}, counting, (X,)),
    "spent cache": Mutant({"pullback"}, spent_cache, (X,)),
    "latest forward": Mutant({"no state"}, latest_forward, (X,)),
    "cache by id": Mutant({"no state"}, cache_by_id, (X,)),
    "cache by shape": Mutant({"moving gradient"}, cache_by_shape, (X,)),
    "cache without the data": Mutant({"moving gradient"}, cache_without_the_data, (Z, Y), Z),
    "one buffer": Mutant({"fresh results"}, one_buffer, (X,)),
    "cotangent squared": Mutant({"linear"}, pulling(squared_cotangent)),
    "cotangent clipped": Mutant({"linear"}, pulling(clipped_cotangent)),
    "homogeneous only": Mutant({"linear"}, pulling(mixed_cotangent)),
    "stabiliser added": Mutant({"linear", "row sums"}, pulling(stabiliser_added)),
    "buffer read in order": Mutant({"layouts"}, pulling(buffer_read_in_order)),
    "cotangent by its base": Mutant({"layouts"}, pulling(cotangent_by_its_base)),
    "a row is needed": Mutant({"sizes"}, pulling(two_rows_at_least)),
    "squeezed": Mutant({"sizes"}, pulling(squeezed)),
    "active neuron only": Mutant({"row sums"}, pulling(no_other_neuron)),
    "softmax with a floor": Mutant({"shift"}, pulling(softmax_with_a_floor)),
    "label 0 taken for padding": Mutant({"class permutation"}, pulling(first_class_apart)),
    "first row apart": Mutant({"row permutation"}, pulling(first_row_apart)),
    "maximum of the batch": Mutant({"independent rows", "shift"}, pulling(maximum_of_the_batch), (FAR, Y)),
    "statistics of the batch": Mutant({"independent rows"}, pulling(batch_statistics)),
}  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_mutant_breaks_the_law_it_is_made_for(mutant: Mutant) -> None:
    assert broken_laws(mutant.make, *mutant.args, cotangent=mutant.cotangent) == mutant.laws


def test_every_law_has_a_mutant() -> None:
    assert set().union(*(mutant.laws for mutant in MUTANTS.values())) == set(LAWS)


# --- in a check ---------------------------------------------------------------------------------------------------


def test_a_broken_law_fails_a_check_whose_numbers_agree() -> None:
    rule = gradcheck.from_vjp(nll, buffer_read_in_order, argnums=0)
    report = gradcheck.examine(rule, Z, Y)
    assert report.outcome is Outcome.FAIL
    assert report.verdict.breach is not None
    assert report.verdict.breach.law == "layouts"
    assert report.verdict.laws["layouts"] == "broken"
    assert "with z in the layout 'Fortran' (column by column)" in report.verdict.reason
    with pytest.raises(GradientMismatch, match="must not depend on how its arguments lie in memory"):
        gradcheck.check(rule, Z, Y)


def test_wrong_numbers_keep_their_table() -> None:
    rule = gradcheck.from_vjp(nll, no_other_neuron, argnums=0)
    report = gradcheck.examine(rule, Z, Y)
    assert report.outcome is Outcome.FAIL
    assert report.verdict.breach is None
    assert "row sums" not in report.verdict.laws


def test_a_law_that_is_switched_off_is_not_asked() -> None:
    rule = gradcheck.from_vjp(nll, buffer_read_in_order, argnums=0)
    report = gradcheck.examine(rule, Z, Y, without=("layouts",))
    assert report
    assert report.verdict.laws["layouts"] == "switched off"
    assert str(report).splitlines()[1:] == ["  laws        switched off: layouts"]
    with pytest.raises(GradientMismatch):
        gradcheck.verify(rule, like=(Z, Y), examples=5, seed=0)
    report = gradcheck.verify(rule, like=(Z, Y), examples=5, seed=0, without=["layouts"])
    assert report.tally is not None
    assert report.tally.laws["layouts"] == "switched off"
    assert "switched off: layouts" in str(report)


def test_the_value_beside_the_pullback_can_be_anything_where_that_law_is_off() -> None:
    rule = gradcheck.from_pullback(lambda x: (x * x + 1, lambda c: 2 * x * c), forward=lambda x: x * x)
    assert gradcheck.examine(rule, X).verdict.laws["primal"] == "broken"
    assert gradcheck.check(rule, X, without=("primal",)).verdict.laws["primal"] == "switched off"


def test_a_pass_says_nothing_of_laws_that_do_not_apply() -> None:
    rule = gradcheck.from_loss(nll_mean, nll_mean_grad)
    assert "\n" not in str(gradcheck.check(rule, Z, Y))
    assert "did not apply: linear" in str(gradcheck.verify(rule, like=(Z, Y), examples=5, seed=0))


@pytest.mark.parametrize("call", [gradcheck.check, gradcheck.examine])
@pytest.mark.parametrize("without", ["layouts", ("layout",), ("contract",), (1,), None], ids=str)
def test_only_laws_are_switched_off(call: Any, without: Any) -> None:
    with pytest.raises(InvalidArgument, match="without"):
        call(gradcheck.from_loss(nll_mean, nll_mean_grad), Z, Y, without=without)


def test_unknown_names_are_answered_with_those_that_are_known() -> None:
    with pytest.raises(InvalidArgument) as caught:
        gradcheck.verify(gradcheck.from_loss(nll_mean, nll_mean_grad), like=(Z, Y), without=("layout",))
    assert str(caught.value) == (
        "without names 'layout', which is no law that can be switched off; those are "
        + ", ".join(name for name in NAMES if name != "contract")
    )
