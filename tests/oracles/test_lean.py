"""A run that keeps nothing: the same numbers as a trace gives, in a fraction of its memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import gradcheck
from gradcheck import Outcome
from gradcheck.oracles.autodiff import Autodiff, Moved, differentiate
from gradcheck.oracles.program.lean import lean
from gradcheck.rule import Point
from gradcheck.tree import flatten

W = np.random.default_rng(0).standard_normal((150, 100))
X = np.random.default_rng(1).standard_normal((4, 100))


def penalised(w: Any, x: Any) -> Any:
    z = x @ w.T
    return (jnp.log1p(jnp.exp(z)) - 0.25 * z).sum() + 0.5 * (w * w).sum() - (w - 1.0).sum()


def differentiated(w: np.ndarray[Any, Any], x: np.ndarray[Any, Any]) -> Autodiff:
    rule = gradcheck.from_vjp(penalised, lambda *_: None, argnums=0)
    return differentiate("it", penalised, flatten(rule, Point((w, x), {}, None)), [np.ones(())])


def test_it_gives_what_a_trace_gives_and_leaves_its_inputs() -> None:
    found = differentiated(W, X)
    before = [x.copy() for x in found.inputs]
    outputs, sizes = lean(found.plan, found.inputs)
    trace = found.plan.trace(found.inputs)
    for mine, due in zip((*outputs, *sizes), (*found.plan.results(trace), *found.plan.magnitudes(trace)), strict=True):
        assert np.array_equal(mine, due)
    assert all(np.array_equal(x, y) for x, y in zip(found.inputs, before, strict=True))


def test_a_sum_of_what_was_written_over_is_rounded_as_in_a_trace() -> None:
    """Written over a transposed operand, it would lie in another order, in which NumPy adds up otherwise."""

    def fun(w: Any, x: Any) -> Any:
        return (((x + (3.0 * w.T + w.T)).sum(1)) ** 2).sum()

    w, x = (np.random.default_rng(k).standard_normal((101, 101)) for k in range(2))
    rule = gradcheck.from_vjp(fun, lambda *_: None, argnums=0)
    found = differentiate("it", fun, flatten(rule, Point((w, x), {}, None)), [np.ones(())])
    trace = found.trace  # which raises Moved if a digit of the outputs differs
    assert all(map(np.array_equal, found.magnitude, found.plan.magnitudes(trace)))


def test_forward_mode_takes_directions_in_whole_numbers_of_a_byte() -> None:
    found = differentiated(W, X)
    direction = np.full(W.shape, 8, np.int8)
    assert found.tangent([direction]) == found.tangent([direction.astype(np.float64)])


def test_it_holds_a_few_copies_of_a_matrix_where_a_trace_holds_all() -> None:
    found = differentiated(W, X)
    peaks = []
    for run in (found.plan.trace, lambda inputs: lean(found.plan, inputs)):
        run(found.inputs)  # what is found out once about a plan is not counted
        tracemalloc.start()
        run(found.inputs)
        peaks.append(tracemalloc.get_traced_memory()[1] / W.nbytes)
        tracemalloc.stop()
    assert peaks[1] < 5.0 < peaks[0]


def test_a_large_program_is_asked_again_only_about_the_same_arguments() -> None:
    w = W.copy()
    found = differentiated(w, X)
    assert np.array_equal(found.plan.results(found.trace)[1], found.gradient[0])
    w[3, 4] = 0.0
    with pytest.raises(Moved):
        _ = found.trace


def test_a_small_program_is_asked_about_the_arguments_as_they_were() -> None:
    w = W[:3].copy()
    found = differentiated(w, X)
    w[...] = 0.0
    assert np.all(found.trace[0] == W[:3])


@pytest.mark.parametrize("moved", [False, True])
def test_a_report_says_when_it_can_no_longer_tell_what_it_would_have_seen(moved: bool) -> None:
    w = np.linspace(0.5, 1.5, 5000)
    report = gradcheck.examine(gradcheck.from_loss(lambda w: np.sum(w**3), lambda w: 3 * w**2), w)
    assert report.outcome is Outcome.PASS
    if moved:
        w += 1.0
    assert ("unknown, since the arguments were written over" in str(report)) is moved
    assert np.isnan(report.verdict.seen) == moved
