"""What is refused, in which words: the table of all malformed logits and labels."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradcheck.derivations import sigmoid_cross_entropy, softmax_nll
from gradcheck.derivations._labels import read_batch

Z = np.zeros((3, 4))
INDICES = [0, 3, 1]

REFUSED: dict[str, tuple[Any, Any, str]] = {
    "label too large": (
        Z,
        [0, 4, 9],
        r"y\[1\] = 4 is no class of z, whose K = 4 columns are the classes 0 to 3 \(2 of 3 labels are",
    ),
    "label negative": (Z, [0, 1, -1], r"y\[2\] = -1 is no class of z, whose K = 4 columns"),
    "label unsigned and too large": (Z, np.array([0, 255, 0], np.uint8), r"y\[1\] = 255 is no class of z"),
    "float labels": (
        Z,
        [0.0, 3.0, 1.0],
        r"y has shape \(3,\) and dtype float64.*pass integers, as in y.astype",
    ),
    "no labels, float": (Z[:0], [], r"y has shape \(0,\) and dtype float64"),
    "too few labels": (Z, [0, 3], "y holds 2 labels and z 3 rows: pass one label for each row"),
    "too many labels": (Z, [0, 3, 1, 1], "y holds 4 labels and z 3 rows"),
    "too few rows": (Z, np.zeros((2, 4)), "y holds 2 rows and z 3: pass one row of labels for each"),
    "wrong number of classes": (
        Z,
        np.zeros((3, 5)),
        r"y has shape \(3, 5\) and z \(3, 4\): 2-D labels hold one",
    ),
    "a column of indices": (Z, [[0], [3], [1]], r"K = 4 classes; class indices are 1-D, as in y.ravel\(\)"),
    "NaN": (Z, np.where(np.eye(3, 4) * [0, 1, 0, 0], np.nan, 0), r"y\[1, 1\] = nan is no label weight"),
    "infinite": (
        Z,
        np.full((3, 4), np.inf),
        r"y\[0, 0\] = inf is no label weight: .*\(12 entries of y are not\)",
    ),
    "negative weight": (
        Z,
        -np.eye(3, 4),
        r"y\[0, 0\] = -1.0 is no label weight: weights are finite and at least",
    ),
    "objects": (Z, np.array(INDICES, object), "y has dtype object: labels are integers"),
    "bools": (Z, np.eye(3, 4, dtype=bool), "y has dtype bool: labels are integers"),
    "complex": (Z, np.eye(3, 4) * 1j, "y has dtype complex128"),
    "text": (Z, ["cat", "dog", "cat"], "y has dtype <U3"),
    "ragged labels": (
        Z,
        [[1.0, 0.0], [1.0]],
        r"y is ragged: pass \(N,\) class indices or a full \(N, K\) matrix",
    ),
    "scalar label": (Z, 1, r"y has shape \(\): pass \(N,\) class indices"),
    "3-D labels": (Z, np.zeros((3, 4, 1)), r"y has shape \(3, 4, 1\)"),
    "vector of logits": (Z[0], INDICES, r"z has shape \(4,\), and logits are a matrix .* is z\[None, :\]"),
    "3-D logits": (Z[None], INDICES, r"z has shape \(1, 3, 4\)"),
    "integer logits": (Z.astype(int), INDICES, r"z has dtype int64, .* np.asarray\(z, dtype=np.float64\)"),
    "complex logits": (Z + 0j, INDICES, "z has dtype complex128, and only real floating-point numbers"),
    "object logits": (Z.astype(object), INDICES, "z has dtype object"),
    "ragged logits": ([[0.0, 1.0], [0.0]], [0, 1], "z is ragged: its rows must all have the same length"),
    "no classes": (
        Z[:, :0],
        INDICES,
        r"z has shape \(3, 0\), K = 0 classes: softmax needs at least one column",
    ),
}

LOSSES: list[Any] = [
    softmax_nll.full_jacobian,
    softmax_nll.contracted_jacobian,
    softmax_nll.log_softmax,
    softmax_nll.fused,
    softmax_nll.accurate,
    sigmoid_cross_entropy,
]


@pytest.mark.parametrize("case", REFUSED)
def test_says_what_is_wrong_where_and_what_to_do(case: str) -> None:
    z, y, message = REFUSED[case]
    for loss in LOSSES:
        with pytest.raises(ValueError, match=message):
            loss(z, y)


def test_integers_weights_and_lists_are_taken() -> None:
    expected = np.eye(4)[INDICES]
    for y in (INDICES, np.array(INDICES, np.uint8), expected, expected.astype(int), expected.tolist()):
        batch = read_batch(Z, y)
        assert np.array_equal(batch.y, expected)
        assert batch.y.dtype == np.float64


def test_the_weights_are_a_copy() -> None:
    y = np.eye(3, 4)
    assert not np.shares_memory(read_batch(Z, y).y, y)


def test_narrow_logits_are_computed_with_in_float32() -> None:
    batch = read_batch(Z.astype(np.float16), INDICES)
    assert batch.z.dtype == batch.y.dtype == np.float32
    assert batch.dtype == np.float16


@pytest.mark.parametrize(
    "case",
    ["float labels", "too few labels", "wrong number of classes", "vector of logits", "integer logits"],
)
def test_shapes_and_dtypes_are_checked_while_tracing_too(case: str) -> None:
    z, y, message = REFUSED[case]
    with jax.enable_x64(True), pytest.raises(ValueError, match=message):
        jax.jit(softmax_nll.fused)(jnp.asarray(z), jnp.asarray(y))


def test_concrete_labels_are_checked_while_logits_are_traced() -> None:
    with pytest.raises(ValueError, match=r"y\[0\] = 7 is no class of z"):
        jax.jit(lambda z: softmax_nll.fused(z, [7, 0, 0])[0])(jnp.zeros((3, 4)))
