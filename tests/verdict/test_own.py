"""A NumPy forward that JAX cannot trace is judged by its own derivative in balls, where it has one."""

from __future__ import annotations

import itertools
import math
import sys
from typing import Any

import numpy as np
import pytest

import gradcheck
from gradcheck.verdict import Outcome
from gradcheck.verdict.own import OWN_FORWARD

pytest.importorskip("flint", exc_type=ImportError)

X = np.array([0.5, -1.25, 2.0, 0.0])
NOTE = "judged by the forward itself, run in ball arithmetic"


def squares_in_place(x: Any) -> Any:
    h = np.empty_like(x)
    np.multiply(x, x, out=h)  # JAX has no `out`
    h[0] += np.sin(x[1])
    return np.sum(h)


def gradient(x: Any) -> Any:
    g = 2 * x
    g[1] += np.cos(x[1])
    return g


def rectified(x: Any) -> Any:
    h = x.copy()
    h[h < 0] = 0  # JAX has no assignment
    return h


def word(report: gradcheck.Report, oracle: str) -> bool | None:
    return next(vote.agrees for vote in report.verdict.votes if vote.oracle == oracle)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_right_gradient_passes_and_a_part_in_a_million_of_its_precision_does_not(dtype: str) -> None:
    report = gradcheck.examine(gradcheck.from_loss(squares_in_place, gradient), X.astype(dtype))
    assert report
    assert report.verdict.notes == (NOTE,)
    assert word(report, OWN_FORWARD) is True
    off = {"float64": 1e-13, "float32": 1e-5}[dtype]
    wrong = gradcheck.from_loss(squares_in_place, lambda x: (gradient(x) * (1 + off)).astype(x.dtype))
    report = gradcheck.examine(wrong, X.astype(dtype))
    assert report.outcome is Outcome.FAIL
    assert word(report, OWN_FORWARD) is False


@pytest.mark.parametrize(("at_zero", "passes"), [(0.0, True), (0.5, True), (1.0, True), (1.5, False)])
def test_any_subgradient_passes(at_zero: float, passes: bool) -> None:
    rule = gradcheck.from_vjp(rectified, lambda x, cotangent: cotangent * np.where(x == 0, at_zero, x > 0))
    report = gradcheck.examine(rule, X)
    assert NOTE in report.verdict.notes
    assert bool(report) is passes


def test_code_that_has_a_slope_where_the_function_has_none_is_not_believed() -> None:
    """The code says 0; the function jumps there."""

    def pinned(x: Any) -> float:
        return 1.0 if x[0] == 1.0 else math.nan

    report = gradcheck.examine(gradcheck.from_loss(pinned, np.zeros_like, name="pinned"), np.array([1.0]))
    assert report.outcome is Outcome.UNDECIDED
    assert word(report, OWN_FORWARD) is None


def test_a_contradiction_leaves_it_to_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ran on balls is asked for the derivative of another function, and differences notice."""
    from gradcheck.oracles import own_forward
    from gradcheck.verdict import own

    real = own_forward.differentiate
    monkeypatch.setattr(own, "differentiate", lambda forward, flat, cotangents: real(
        lambda x: forward(x) + (x * 0.0 + 1.0)[0] * np.sum(x - X), flat, cotangents))  # fmt: skip
    report = gradcheck.examine(gradcheck.from_loss(squares_in_place, gradient), X)
    assert report
    assert word(report, OWN_FORWARD) is None
    assert NOTE not in report.verdict.notes


def test_without_the_extra_it_abstains_and_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flint", None)
    report = gradcheck.examine(gradcheck.from_loss(squares_in_place, gradient), X)
    assert report
    (vote,) = (vote for vote in report.verdict.votes if vote.oracle == OWN_FORWARD)
    assert vote.agrees is None
    assert "pip install 'gradcheck[exact]'" in vote.detail


def test_it_seconds_a_reference_that_differences_cannot_follow() -> None:
    """A rectifier at 1e-30 under weights of thousands: no step is short enough to stay on one side, and long enough."""

    def forward(w: Any, b: Any, v: Any, x: Any) -> Any:
        z = v @ np.maximum(w @ x + b, 0)
        return np.log(np.sum(np.exp(z - z.max()))) + z.max() - z[0]

    def grad(w: Any, b: Any, v: Any, x: Any, part: float = 1.0) -> Any:
        h = np.maximum(w @ x + b, 0)
        a = np.exp(v @ h - (v @ h).max())
        a = a / a.sum() - np.eye(len(v))[0]
        d = part * (a @ v) * (h > 0)
        return np.outer(d, x), d, np.outer(a, h)

    w = np.array([[2.0, 4.0, 1.25, -2.5, 0.0], [1.0, -1.75, -1.5, -2.5, 2.5], [0.0, 0.0, -1.5, -0.75, 3.75]])
    b = np.array([-1.4972393e-30, 3.74783e-30, 3.2503254e-30])
    v = np.array([[2750.0, 2000.0, 1750.0], [2000.0, -3250.0, 3750.0]])
    x = np.array([5.01837e-30, -1.4987563e-30, 2.2411748e-30, -2.5078408e-30, 1e-30])
    right = gradcheck.from_loss(forward, grad, argnums=(0, 1, 2))
    report = gradcheck.examine(right, w, b, v, x)
    assert report
    assert word(report, OWN_FORWARD) is True
    assert any("but not the forward itself" in note for note in report.verdict.notes)
    wrong = gradcheck.from_loss(forward, lambda w, b, v, x: grad(w, b, v, x, 1 + 1e-9), argnums=(0, 1, 2))
    assert gradcheck.examine(wrong, w, b, v, x).outcome is not Outcome.PASS


def asked(forward: Any, grad: Any, *args: Any, **options: Any) -> gradcheck.Report:
    def on_room(x: Any, *data: Any) -> Any:
        room = np.zeros(x.shape)
        room[:] = x  # JAX has no assignment
        return forward(room, *data)

    return gradcheck.examine(gradcheck.from_loss(on_room, grad, **options), *args)


def test_a_value_that_is_not_a_number_is_no_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from gradcheck.oracles import own_forward
    from gradcheck.verdict import own

    def nameless(*args: Any) -> Any:
        found = own_forward.differentiate(*args)
        return replace(found, value=tuple(np.full_like(v, np.nan) for v in found.value))

    monkeypatch.setattr(own, "differentiate", nameless)
    report = gradcheck.examine(gradcheck.from_loss(squares_in_place, gradient), X)
    assert word(report, OWN_FORWARD) is None


def test_a_forward_that_will_not_run_again_is_left_to_differences() -> None:
    runs = itertools.count()  # which no copy of the forward has for itself

    def reluctant(x: Any) -> Any:
        if type(x) is not np.ndarray and next(runs) > 0:
            raise RuntimeError("once only")
        return np.sum(x**2)

    report = asked(reluctant, lambda x: 2 * x, X)
    assert report
    (vote,) = (vote for vote in report.verdict.votes if vote.oracle == OWN_FORWARD)
    assert vote.agrees is None
    assert "once only" in vote.detail


@pytest.mark.parametrize(("part", "passes"), [(1.0, True), (1.01, False)])
def test_a_forward_that_refuses_what_is_off_its_domain_is_judged_on_it(part: float, passes: bool) -> None:
    def strict(p: Any) -> Any:
        if np.any(np.sum(p, axis=1) != 1):
            raise ValueError("rows must sum to one")
        return np.sum(p * np.log(p))

    q = np.array([[0.5, 0.25, 0.25]])
    report = asked(strict, lambda p: part * np.log(p), q, domain=gradcheck.domain.simplex)
    assert bool(report) is passes


@pytest.mark.parametrize("traceable", [True, False])
def test_a_layer_that_keeps_a_running_mean_is_judged_and_left_as_it_was(traceable: bool) -> None:
    class Layer:
        def __init__(self) -> None:
            self.mean = np.zeros(2)

        def forward(self, x: Any) -> Any:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(axis=0)
            self.kept = (x - x.mean(axis=0)) if traceable else np.subtract(x, x.mean(axis=0), out=np.empty(x.shape))
            return np.sum(self.kept**3)

    def grad(x: Any) -> Any:
        h = 3 * (x - x.mean(axis=0)) ** 2
        return h - h.mean(axis=0)

    layer = Layer()
    report = gradcheck.examine(gradcheck.from_loss(layer.forward, grad), np.array([[1.0, 2.0], [3.0, 5.0], [4.0, 4.0]]))
    assert report.verdict.outcome is Outcome.PASS
    assert type(layer.mean) is type(layer.kept) is np.ndarray
    assert layer.mean.dtype == layer.kept.dtype == np.float64
