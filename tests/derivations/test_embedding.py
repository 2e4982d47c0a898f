"""The embedding against ``jax.vjp`` of a product with one-hot rows, and what is no row of a table."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradcheck.derivations import embedding

DRAW = np.random.default_rng(20261125).standard_normal
TABLE = DRAW((5, 3))
INDICES: dict[str, Any] = {
    "each once": [4, 2, 0, 1, 3],
    "one only": [2],
    "repeated": [1, 1, 4, 1],
    "a matrix": [[0, 4, 4], [4, 2, 0]],
    "a number": 3,
    "none": [],
    "unsigned": np.array([4, 0, 4], np.uint8),
}


def restated(table: Any, index: Any) -> Any:
    return (index[..., None] == jnp.arange(table.shape[0])).astype(table.dtype) @ table


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("case", INDICES)
def test_agrees_with_autodiff(case: str, dtype: Any, reference_vjp: Any) -> None:
    table, index = TABLE.astype(dtype), INDICES[case]
    out, pullback = embedding(table, index)
    ct = DRAW(out.shape).astype(dtype)
    dtable = pullback(ct)
    value, (cotangent,) = reference_vjp(restated, (table,), ct, np.asarray(index))
    assert out.dtype == dtable.dtype == dtype
    assert np.array_equal(out, value)
    # Three rows are added at most.
    u = float(np.finfo(dtype).eps)
    assert np.all(np.abs(dtable - cotangent) <= 3 * u * 3 * np.abs(ct).max(initial=0))


def test_every_occurrence_adds() -> None:
    _, pullback = embedding(TABLE, [1, 1, 1])
    assert np.array_equal(pullback(np.ones((3, 3))), [[0, 0, 0], [3, 3, 3], [0, 0, 0], [0, 0, 0], [0, 0, 0]])


def test_float16_adds_in_float32() -> None:
    # Added one by one in float16, ones stop at 2048, where the next number is 2050.
    _, pullback = embedding(TABLE.astype(np.float16), np.zeros(5000, int))
    assert np.array_equal(pullback(np.ones((5000, 3)))[0], [5000.0] * 3)


def test_a_table_without_columns_is_looked_up_as_well() -> None:
    out, pullback = embedding(np.zeros((3, 0)), [[2, 0]])
    assert out.shape == (1, 2, 0)
    assert pullback(out).shape == (3, 0)


def test_a_change_to_the_index_reaches_no_pullback() -> None:
    index = np.array([0, 1])
    _, pullback = embedding(TABLE, index)
    before = pullback(np.ones((2, 3)))
    index[:] = 4
    assert np.array_equal(pullback(np.ones((2, 3))), before)


def test_beyond_the_table_is_nan_where_indices_cannot_be_looked_at() -> None:
    out = jax.jit(lambda table, index: embedding(table, index)[0])(TABLE, np.array([0, 5]))
    assert np.all(np.isfinite(out[0]))
    assert np.all(np.isnan(out[1]))


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "beyond the table": (TABLE, [0, 5, 6], r"index\[1\] = 5 is no row .* 5 rows .* \(2 of 3 indices are outside\)"),
    "negative": (TABLE, [[0], [-1]], r"index\[1, 0\] = -1 is no row of the table"),
    "a negative number": (TABLE, -1, "index = -1 is no row of the table"),
    "an empty table": (np.zeros((0, 3)), [0], "index.0. = 0 is no row of the table, whose 0 rows"),
    "floats": (TABLE, [0.0, 1.0], "index has dtype float64: pass integers"),
    "bools": (TABLE, [True, False], "index has dtype bool: pass integers"),
    "no floats in an empty array": (TABLE, np.zeros(0), "index has dtype float64"),
    "a vector for a table": (TABLE[0], [0], r"table has shape \(3,\): pass a matrix"),
    "integers in the table": (np.arange(6).reshape(2, 3), [0], "table has dtype int64"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_says_what_does_not_fit(case: str) -> None:
    table, index, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        embedding(table, index)


def test_a_cotangent_that_would_broadcast_is_refused() -> None:
    _, pullback = embedding(TABLE, [0, 1])
    with pytest.raises(ValueError, match=r"the output \(2, 3\): they must agree"):
        pullback(np.ones(3))
