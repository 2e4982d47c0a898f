"""The rules of the benchmark of diagnosis, each with one point written by hand, and what is said of mistakes there."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

import gradcheck
from gradcheck.mistakes import MISTAKES, Mistake

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

Z = np.array([[0.5, -1.25, 2.0], [1.0, 0.25, -0.75], [-0.5, 1.5, 0.0], [2.0, -1.0, 0.75]])
Y = np.array([2, 0, 1, 0])
IGNORED = -100
X = np.array([[1.0, -0.5], [0.25, 2.0], [-1.5, 0.75], [0.5, 1.25]])
W = np.array([[0.5, -1.0], [1.5, 0.25], [-0.75, 1.0]])
B = np.array([0.25, -0.5, 1.0])
ROWS = np.array([1.0, -0.5, 2.0, 0.25])


@dataclass(frozen=True, eq=False)
class Where:
    """A rule of the benchmark by its name, with arguments, cotangent, and options other than the benchmark's."""

    rule: str
    args: tuple[Any, ...]
    cotangent: Any = None
    data: dict[str, Any] = field(default_factory=dict)


PLACES: dict[str, Where] = {
    "nll mean": Where("nll mean", (Z, Y)),
    "nll mean, far apart": Where("nll mean", (Z * 400, Y)),
    "nll mean, sure": Where("nll mean", (np.array([[40.0, 0.0, 1.0], [-2.0, 45.0, 1.0]]), np.array([0, 1]))),
    "nll mean, one row": Where("nll mean", (Z[:1], Y[:1])),
    "nll rows": Where("nll rows", (Z, Y), ROWS),
    "nll rows, tall": Where("nll rows", (np.vstack([Z, Z[::-1] / 2, Z / 4]), np.tile(Y, 3)), np.tile(ROWS, 3)),
    "nll rows, offset": Where("nll rows", (Z + 2.0**12, Y), ROWS / 3),
    "nll rows, square": Where("nll rows", (Z[:3], Y[:3]), ROWS[:3]),
    "nll with options": Where("nll with options", (Z, np.array([2, IGNORED, 1, 0])), 2.0),
    "nll of tokens": Where("nll of tokens", (Z.reshape(2, 2, 3), np.array([[2, -1], [1, 0]])), 1.5),
    "nll in blocks": Where("nll in blocks", (np.hstack([Z, Z[::-1] / 2]), np.array([2, 5, 1, -1])), 0.5),
    "distillation": Where("distillation", (Z, Z[::-1] / 2)),
    "ridge": Where("ridge", (X, W, B, Z)),
    "network": Where("network", ({"W1": W, "b1": B, "W2": W.T.copy(), "b2": B[:2].copy()}, X, Y % 2)),
    "dense tanh layer": Where("dense tanh layer", (X, W.T.copy(), B), Z),
    "linear": Where("linear", (X, W, B), Z),
    "soft norm of rows, one column": Where("soft norm of rows", (Z[:, :1].copy(),), ROWS),
    "linear, square": Where("linear", (X, W[:2].copy(), B[:2].copy()), Z[:, :2].copy()),
    "soft norm of rows": Where("soft norm of rows", (Z,), ROWS),
    "leaky ReLU": Where("leaky ReLU", (Z,), Z[::-1].copy()),
    "leaky ReLU, at its kink": Where("leaky ReLU", (np.where(Z > 1, 0.0, Z),), Z[::-1].copy()),
    "largest of rows": Where("largest of rows", (Z,), ROWS),
    "largest of rows, tied": Where("largest of rows", (np.array([[1.0, 1.0, 0.5], [0.0, 2.0, 2.0]]),), ROWS[:2]),
    "softmax": Where("softmax", (Z,), Z[::-1].copy()),
    "softmax, square": Where("softmax", (Z[:3],), Z[1:].copy()),
    "log-softmax": Where("log-softmax", (Z,), Z[::-1].copy()),
    "attention": Where("attention", (X[:3], X + 0.5, Z[:, :2].copy()), Z[:3, 1:].copy()),
}


@dataclass(frozen=True, eq=False)
class Shown:
    """A rule, right or wrong, at its point."""

    rule: gradcheck.Rule
    point: tuple[Any, ...]
    cotangent: Any
    data: dict[str, Any]

    def report(self) -> gradcheck.Report:
        """Examine it there."""
        return gradcheck.examine(self.rule, *self.point, cotangent=self.cotangent, **self.data)

    def answer(self) -> Any:
        """Give what the pullback returns there."""
        out, pullback = self.rule(*self.point, **self.data)
        return pullback(np.ones_like(out) if self.cotangent is None else self.cotangent)


Show: TypeAlias = Callable[..., Shown]
Report: TypeAlias = Callable[[str, str], gradcheck.Report]


@pytest.fixture(scope="session")
def subjects() -> Iterator[dict[str, Any]]:
    """Give the benchmark's rules by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
        yield {subject.name: subject for subject in importlib.import_module("_diagnosis_rules").RULES}


@pytest.fixture(scope="session")
def mistakes() -> dict[str, Mistake]:
    return {mistake.name: mistake for mistake in MISTAKES}


@pytest.fixture(scope="session")
def show(subjects: dict[str, Any], mistakes: dict[str, Mistake]) -> Show:
    """Give a rule at its point: as it is, or with a mistake in it."""

    def one(place: str, mistake: str | None = None) -> Shown:
        where = PLACES[place]
        subject = subjects[where.rule]
        right = subject.make()
        wrong = right if mistake is None else mistakes[mistake].inject(right)
        return Shown(wrong, where.args, where.cotangent, {**subject.data, **where.data})

    return one


@pytest.fixture(scope="session")
def report(show: Show) -> Report:
    """Give the report of a rule with a mistake in it, made once for all tests."""
    made: dict[tuple[str, str], gradcheck.Report] = {}

    def one(mistake: str, place: str) -> gradcheck.Report:
        if (mistake, place) not in made:
            made[mistake, place] = show(place, mistake).report()
        return made[mistake, place]

    return one
