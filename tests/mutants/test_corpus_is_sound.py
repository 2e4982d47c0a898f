"""Without any checker: what is called wrong is wrong in the way it says; what is called right is right."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from .corpus import RIGHT, WRONG
from .exact import one_sided_difference, true_gradient
from .right import first_tied_maximum_takes_all, relu_half_at_zero, relu_one_at_zero, tied_maxima_share
from .specimen import Arguments, Array, Specimen
from .wrong_numerics import every_tied_maximum_in_full

# An entry of a right gradient here is made by sums over at most 5 summands, and by a dozen products,
# quotients and elementary functions, each within a few ulp, of arguments up to 4 in size: 64 roundings cover
# any of them.
ROUNDINGS = 64

Call = Callable[..., tuple[Any, ...]]


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
    again = call(*_question(specimen))
    if _shares_memory(results, (*args, cotangent)) or _shares_memory(results, again):
        yield "aliasing"
    if not (_same(answer, again) and _answers_others(specimen, call) and _pullback_holds(specimen)):
        yield "repeat"


def _structure_holds(primals: list[Array], results: tuple[Any, ...]) -> bool:
    return len(primals) == len(results) and all(
        isinstance(result, np.ndarray) and (result.shape, result.dtype) == (primal.shape, primal.dtype)
        for primal, result in zip(primals, results, strict=True)
    )


def _values_hold(
    specimen: Specimen, args: Arguments, cotangent: Any, answer: tuple[Any, ...], primals: list[Array]
) -> bool:
    truth = true_gradient(specimen.forward, args, cotangent)
    return all(
        float(np.max(np.abs(result - true))) <= ROUNDINGS * np.finfo(primal.dtype).eps / 2 * np.max(np.abs(true))
        for primal, result, true in zip(primals, answer, truth, strict=True)
    )


def _shares_memory(results: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    pairs = [(result, other) for result in results for other in others]
    pairs += [(a, b) for i, a in enumerate(results) for b in results[:i]]
    return any(np.shares_memory(a, b) for a, b in pairs)


def _answers_others(specimen: Specimen, used: Call) -> bool:
    """Tell whether functions that were called before answer another question as fresh ones do."""
    return _same(used(*_question(specimen, 0.5)), _caller(specimen)(*_question(specimen, 0.5)))


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


def test_tied_maxima_in_full_are_no_subgradient() -> None:
    assert not _is_subgradient(every_tied_maximum_in_full, TIED)
    assert _is_subgradient(every_tied_maximum_in_full, np.array([[0.5, 0.4, -1.0]]))  # it is the ties, and only they


def test_corpus_is_as_broad_as_it_says() -> None:
    families = Counter(specimen.family for specimen in WRONG)
    assert len(WRONG) >= 70
    assert len(families) >= 20
    assert len(RIGHT) >= 30
    names = [specimen.name for specimen in WRONG + RIGHT]
    assert len(set(names)) == len(names)
    assert all("#" in specimen.report for specimen in WRONG)
