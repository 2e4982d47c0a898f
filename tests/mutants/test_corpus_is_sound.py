"""Without any checker: what is called wrong is wrong in the way it says; what is called right is right."""

from __future__ import annotations

import copy
import pickle
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from . import forwards as f
from . import losses
from .corpus import RIGHT, WRONG
from .exact import one_sided_difference, true_gradient
from .right import first_tied_maximum_takes_all, relu_half_at_zero, relu_one_at_zero, tied_maxima_share
from .specimen import CORNER, Arguments, Array, Specimen
from .wrong_numerics import all_of_a_constant_row_in_full, both_branches_at_the_kink, every_tied_maximum_in_full

# An entry of a right gradient here is made by sums over at most 129 summands, which NumPy adds in pairs or in
# eight running totals (20 roundings), and by a dozen products, quotients and elementary functions, each within a
# few ulp, of arguments up to 6 in size: 64 roundings cover any of them.
ROUNDINGS = 64
FAMILIES = {
    *("reduction", "jacobian", "algebra", "axis", "labels", "ignore", "weights", "smoothing", "soft labels"),
    *("temperature", "z-loss and soft cap", "mask", "overflow", "underflow", "precision", "scale", "ties"),
    *("tail block", "class shards", "linear", "penalty", "activation", "norm layers"),
    *("cotangent", "layout", "mutation", "aliasing", "state", "non-determinism", "contract"),
}
CALLS = 6  # the rarest of the races here is lost at every fifth call

Call = Callable[..., tuple[Any, ...]]

TRUTHS: dict[tuple[Any, bytes], tuple[Array, ...]] = {}  # specimens of one function share a question, and its answer


def _caller(specimen: Specimen) -> Call:
    """Return ``call(args, cotangent) -> cotangents of the arguments``, with fresh state."""
    fun, backward = specimen.functions()
    form = specimen.forward.form

    def call(args: Arguments, cotangent: Any) -> tuple[Any, ...]:
        if form == "pullback":
            results = backward(*args)[1](cotangent)
        else:
            fun(*args)
            results = backward(*args) if form == "loss" else backward(*args, cotangent)
        results = results if isinstance(results, tuple) else (results,)
        return tuple(np.array(result) if isinstance(result, list) else result for result in results)

    return call


def _question(specimen: Specimen, scale: float = 1.0) -> tuple[Arguments, Any]:
    """Return fresh copies of the hand-written arguments, and a cotangent, unequal and of both signs."""
    args = tuple(
        copy.deepcopy(arg)
        if at not in specimen.forward.argnums or scale == 1
        else (np.asarray(arg) * scale).astype(arg.dtype)
        for at, arg in enumerate(specimen.forward.witness)
    )
    if specimen.forward.form == "loss":
        return args, np.float64(1.0)
    out = np.asarray(specimen.functions()[0](*copy.deepcopy(args)))
    short_decimals = (1 + np.arange(out.size) % 5) * (-1.0) ** np.arange(out.size) / 2
    return args, short_decimals.reshape(out.shape).astype(out.dtype)


def _same(first: tuple[Any, ...], second: tuple[Any, ...]) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, second, strict=True))


def _faults(specimen: Specimen) -> Iterator[str]:
    """Yield what is wrong with a specimen at its hand-written arguments."""
    call = _caller(specimen)
    args, cotangent = _question(specimen)
    results = call(args, cotangent)
    answer = copy.deepcopy(results)
    untouched, same_cotangent = _question(specimen)
    primals = [np.asarray(untouched[at]) for at in specimen.forward.argnums]
    if not _structure_holds(primals, results):
        yield "structure"
        return
    if not _values_hold(specimen, untouched, same_cotangent, answer, primals):
        yield "value"
    if not _same(args, untouched):
        yield "argument changed"
    if not np.array_equal(cotangent, same_cotangent):
        yield "cotangent changed"
    agains = [call(*_question(specimen)) for _ in range(CALLS)]
    if _shares_memory(results, (*args, cotangent)) or _shares_memory(results, agains[0]):
        yield "aliasing"
    same = all(_same(answer, again) for again in agains)
    if not (same and _answers_others(specimen, call) and _pullback_holds(specimen)):
        yield "repeat"
    if _same((*args, cotangent), (*untouched, same_cotangent)) and not _layouts_agree(specimen):
        yield "layout"


def _structure_holds(primals: list[Array], results: tuple[Any, ...]) -> bool:
    return len(primals) == len(results) and all(
        isinstance(result, np.ndarray) and (result.shape, result.dtype) == (primal.shape, primal.dtype)
        for primal, result in zip(primals, results, strict=True)
    )


def _values_hold(
    specimen: Specimen, args: Arguments, cotangent: Any, answer: tuple[Any, ...], primals: list[Array]
) -> bool:
    key = specimen.forward.fun, pickle.dumps((args, cotangent))
    if key not in TRUTHS:
        TRUTHS[key] = true_gradient(specimen.forward, args, cotangent)
    eps = [float(np.finfo(primal.dtype).eps) for primal in primals]
    return all(_near(result, true, at) for result, true, at in zip(answer, TRUTHS[key], eps, strict=True))


def _near(result: Array, true: Array, eps: float) -> bool:
    return float(np.max(np.abs(result - true))) <= ROUNDINGS * eps / 2 * float(np.max(np.abs(true)))


def _shares_memory(results: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    pairs = [(result, other) for result in results for other in others]
    pairs += [(a, b) for i, a in enumerate(results) for b in results[:i]]
    return any(np.shares_memory(a, b) for a, b in pairs)


def _answers_others(specimen: Specimen, used: Call) -> bool:
    """Tell whether functions that were called before answer another question as fresh ones do."""
    return _same(used(*_question(specimen, 0.5)), _caller(specimen)(*_question(specimen, 0.5)))


def _backwards(array: Array) -> Array:
    at = (slice(None, None, -1),) * array.ndim
    return array[at].copy()[at]


def _spaced(array: Array) -> Array:
    roomy = np.zeros((*array.shape, 2), dtype=array.dtype)
    roomy[..., 0] = array
    return roomy[..., 0]


def _layouts_agree(specimen: Specimen) -> bool:
    """Tell whether the answer is that for C order where arrays are laid out otherwise or, for a cotangent, repeat."""

    def differentiated(args: Arguments, layout: Callable[[Array], Array]) -> Arguments:
        return tuple(layout(arg) if at in specimen.forward.argnums else arg for at, arg in enumerate(args))

    def agree(one: tuple[Arguments, Any], other: tuple[Arguments, Any]) -> bool:
        answers = _caller(specimen)(*one), _caller(specimen)(*other)
        return all(
            np.array_equal(a, b, equal_nan=True) or _near(a, b, float(np.finfo(b.dtype).eps))
            for a, b in zip(*answers, strict=True)
        )

    for layout in (np.asfortranarray, _backwards, _spaced):
        args, cotangent = _question(specimen)
        if not agree((differentiated(args, layout), layout(np.asarray(cotangent))), _question(specimen)):
            return False
    shape, dtype = np.shape(cotangent), np.asarray(cotangent).dtype
    repeated = np.broadcast_to(np.asarray(1.5, dtype=dtype), shape)
    return agree((_question(specimen)[0], repeated), (_question(specimen)[0], repeated.copy()))


def _pullback_holds(specimen: Specimen) -> bool:
    """Tell whether a pullback answers twice the same, also after another forward."""
    if specimen.forward.form != "pullback":
        return True
    _, fun = specimen.functions()
    (args, cotangent), (other_args, _) = _question(specimen), _question(specimen, 0.5)
    _, pullback = fun(*args)
    first = copy.deepcopy(pullback(cotangent))
    fun(*other_args)
    return np.array_equal(first, pullback(cotangent))


@pytest.mark.parametrize("specimen", WRONG, ids=lambda specimen: specimen.name)
def test_wrong_one_has_exactly_the_fault_it_claims(specimen: Specimen) -> None:
    assert list(_faults(specimen)) == [specimen.fault]


@pytest.mark.parametrize("specimen", RIGHT, ids=lambda specimen: specimen.name)
def test_right_one_has_no_fault(specimen: Specimen) -> None:
    assert list(_faults(specimen)) == []


# Arguments away from the corners: every specimen whose fault shows in a corner only is right at one of its function's.
INNER_LABELS = np.array([1, 3, 5, 5])  # none on the bound of a shard
UNCORNERED: dict[Any, list[Arguments]] = {
    f.nll_mean: [
        (f.Z, f.Y),
        (losses.SEVEN, INNER_LABELS),
        (losses.TALL[: losses.ROWS], np.arange(losses.ROWS) % 2),
        (losses.WIDE[:, : losses.BLOCK], np.array([7])),
    ],
    f.nll_clipped: [(f.Z, f.Y)],
    f.log_softmax: [(f.Z,)],
    f.sigmoid: [(f.X,)],
    f.leaky_relu: [(f.X,)],
    f.row_max: [(f.X,)],
    f.pick: [(f.H, np.array([3, 0, 2]))],
    losses.nll_ignoring: [(f.Z, losses.SPARSE)],
    losses.nll_weighing: [(f.Z, f.Y, losses.WEIGHTS)],
    f.cross_entropy: [(f.Z, f.SOFT)],
}
CORNERED = [specimen for specimen in WRONG if specimen.shows == CORNER and specimen.fault == "value"]


@pytest.mark.parametrize("specimen", CORNERED, ids=lambda specimen: specimen.name)
def test_wrong_one_in_a_corner_is_right_elsewhere(specimen: Specimen) -> None:
    elsewhere = (replace(specimen, forward=specimen.forward.on(*args)) for args in UNCORNERED[specimen.forward.fun])
    assert any(not list(_faults(other)) for other in elsewhere)


def _is_subgradient(specimen: Specimen, x: Array) -> bool:
    """Tell whether <g, d> <= f'(x; d) for every d, which at a kink of a convex f is what "right" means."""
    _, vjp = specimen.functions()
    directions = [sign * np.eye(x.size)[i].reshape(x.shape) for i in range(x.size) for sign in (1, -1)]
    directions += [np.ones(x.shape), -np.ones(x.shape)]
    cotangent = np.ones(np.shape(specimen.forward.fun(x)))  # not negative, so that the sum of outputs is convex
    slack = ROUNDINGS * np.finfo(float).eps
    return all(
        (vjp(x, cotangent) * d).sum() <= one_sided_difference(specimen.forward, (x,), cotangent, 0, d) + slack
        for d in directions
    )


TIED = np.array([[0.5, 0.5, -1.0], [0.0, -2.0, 0.0]])


@pytest.mark.parametrize(
    "specimen",
    [relu_half_at_zero, relu_one_at_zero, tied_maxima_share, first_tied_maximum_takes_all],
    ids=lambda specimen: specimen.name,
)
def test_right_one_is_a_subgradient_at_a_kink(specimen: Specimen) -> None:
    assert _is_subgradient(specimen, TIED)


@pytest.mark.parametrize(
    ("specimen", "kink"),
    [
        (every_tied_maximum_in_full, TIED),
        (all_of_a_constant_row_in_full, np.full((1, 3), 0.5)),
        (both_branches_at_the_kink, TIED),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_wrong_one_is_no_subgradient_at_a_kink_and_right_beside_it(specimen: Specimen, kink: Array) -> None:
    assert not _is_subgradient(specimen, kink)
    assert _is_subgradient(specimen, np.array([[0.5, 0.4, -1.0]]))


def test_corpus_is_as_broad_as_it_says() -> None:
    families = Counter(specimen.family for specimen in WRONG)
    assert len(WRONG) >= 150
    assert set(families) == FAMILIES
    assert min(families.values()) >= 3
    assert len(RIGHT) >= 40
    names = [specimen.name for specimen in WRONG + RIGHT]
    assert len(set(names)) == len(names)
    assert all(re.match(r"[\w.-]+/[\w.-]+#\d+: ", specimen.report) for specimen in WRONG)
