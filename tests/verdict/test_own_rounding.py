"""Digits that the rule itself loses, where no reference but its own forward judges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradcheck
from gradcheck.verdict import Grade
from gradcheck.verdict.rounding import OWN_ROUNDING

pytest.importorskip("flint", reason="the forward itself in balls needs the extra: pip install 'gradcheck[exact]'")

Z = np.array([[0.0, 4.0], [0.25, 17.0]]) + 1e6
Y = np.array([0, 1])


def nll(z: Any, y: Any) -> Any:
    """Fill an array row by row, which JAX cannot trace."""
    losses = np.zeros(len(y), dtype=z.dtype)
    for i, label in enumerate(y):
        losses[i] = np.logaddexp.reduce(z[i]) - z[i, label]
    return losses.mean()


def from_its_logarithm(z: Any, y: Any) -> Any:
    """Lose six digits to the rounding of an exponent, as everybody who takes the logarithm first."""
    a = np.exp(z - np.logaddexp.reduce(z, axis=1, keepdims=True))
    a[np.arange(len(y)), y] -= 1
    return a / len(y)


def test_a_softmax_from_its_logarithm_at_a_large_offset_is_right() -> None:
    verdict = gradcheck.examine(gradcheck.from_loss(nll, from_its_logarithm), Z, Y).verdict
    assert verdict.outcome.value == "PASS"
    assert Grade.LOSSY in {Grade(grade) for d in verdict.discrepancies for grade in d.grade.flat}
    assert OWN_ROUNDING in verdict.notes


@pytest.mark.parametrize("factor", [1 + 1e-6, 1 - 1e-6])
def test_a_mistake_of_that_size_is_none(factor: float) -> None:
    rule = gradcheck.from_loss(nll, lambda z, y: factor * from_its_logarithm(z, y))
    assert gradcheck.examine(rule, Z, Y).outcome.value == "FAIL"


def test_a_forward_without_exponentials_excuses_no_loss() -> None:
    def cubes(w: Any) -> Any:
        total = np.zeros(())
        for i in range(len(w)):
            total = total + w[i] ** 3
        return total

    def shifted(w: Any) -> Any:
        return 3 * (w + 1e6 - 1e6) ** 2

    assert gradcheck.examine(gradcheck.from_loss(cubes, shifted), np.array([0.1, 0.7])).outcome.value == "FAIL"
