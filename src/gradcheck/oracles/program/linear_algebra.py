"""Factorisations and triangular systems, written out row by row in simpler primitives of JAX.

That takes some equations per row, which is nothing for the covariance of a loss, and too many (it is refused by their
number) for the matrices that these routines are made for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradcheck.oracles.program.operation import Params

__all__ = ["LINEAR_ALGEBRA"]

Traceable = Callable[..., Any]

# beyond, the equations of one factorisation take seconds to write out, and to run in balls
_MOST_ROWS = 128


def _require_small(a: Any) -> None:
    if max(a.shape) > _MOST_ROWS:
        raise ValueError(f"a matrix of shape {a.shape} is too large to be factored row by row")


def _batched(function: Traceable) -> Traceable:
    """Map a function of matrices (and vectors) over all that comes before their last two axes."""
    import jax

    def mapped(first: Any, *others: Any) -> Any:
        over = function
        for _ in range(first.ndim - 2):
            over = jax.vmap(over)
        return over(first, *others)

    return mapped


def _triangular_solve(params: Params) -> Traceable:
    lower = params["lower"] != (params["transpose_a"] == params["left_side"])

    def solve(a: Any, b: Any) -> Any:
        # from the right it is the transposed system from the left
        _require_small(a)
        a = a.T if params["transpose_a"] == params["left_side"] else a
        b = b if params["left_side"] else b.T
        x = _substituted(a, b, lower=lower, unit_diagonal=params["unit_diagonal"])
        return x if params["left_side"] else x.T

    return _batched(solve)


def _substituted(a: Any, b: Any, *, lower: bool, unit_diagonal: bool) -> Any:
    from jax import lax

    n = a.shape[0]
    rows: list[Any] = []
    for i in range(n) if lower else reversed(range(n)):
        row = lax.slice_in_dim(b, i, i + 1)
        if rows:
            known = lax.slice(a, (i, 0 if lower else i + 1), (i + 1, i if lower else n))
            row = row - known @ lax.concatenate(rows if lower else rows[::-1], 0)
        rows.append(row if unit_diagonal else row / lax.slice(a, (i, i), (i + 1, i + 1)))
    return lax.concatenate(rows if lower else rows[::-1], 0) if rows else b


def _cholesky(_: Params) -> Traceable:
    def factor(a: Any) -> Any:
        from jax import lax

        _require_small(a)
        n = a.shape[0]
        columns: list[Any] = []
        for j in range(n):
            column = lax.slice(a, (j, j), (n, j + 1))
            if columns:
                before = lax.concatenate(columns, 1)
                column = column - lax.slice(before, (j, 0), (n, j)) @ lax.slice(before, (j, 0), (j + 1, j)).T
            column = column / lax.sqrt(lax.slice(column, (0, 0), (1, 1)))
            columns.append(lax.pad(column, lax.full((), 0, a.dtype), ((j, 0, 0), (0, 0, 0))))
        return lax.concatenate(columns, 1) if columns else a

    return _batched(factor)


def _lu(_: Params) -> Traceable:
    """Eliminate with partial pivoting: which row comes next is a comparison, and replayed like any other."""

    def factor(a: Any) -> Any:
        import jax.numpy as jnp
        from jax import lax

        _require_small(a)
        m, n = a.shape
        order, pivots = jnp.arange(m, dtype=np.int32), []
        for k in range(min(m, n)):
            below = lax.abs(lax.slice(a, (k, k), (m, k + 1)))[:, 0]
            pivot = lax.argmax(below, 0, np.int32) + np.int32(k)
            pivots.append(pivot)
            a, order = (_swapped(x, k, pivot) for x in (a, order))
            factors = lax.slice(a, (k + 1, k), (m, k + 1)) / lax.slice(a, (k, k), (k + 1, k + 1))
            rest = lax.slice(a, (k + 1, k + 1), (m, n)) - factors @ lax.slice(a, (k, k + 1), (k + 1, n))
            a = _bordered(a, factors, rest, k)
        return a, jnp.stack(pivots) if pivots else order[:0], order

    return _batched(factor)


def _swapped(x: Any, k: int, pivot: Any) -> Any:
    import jax.numpy as jnp

    places = np.arange(x.shape[0], dtype=np.int32)
    return jnp.take(x, jnp.where(places == k, pivot, jnp.where(places == pivot, np.int32(k), places)), axis=0)


def _bordered(a: Any, factors: Any, rest: Any, k: int) -> Any:
    """Put a column of factors and what is left to eliminate below and right of the pivot."""
    from jax import lax

    m, n = a.shape
    inner = lax.concatenate([lax.slice(a, (k + 1, 0), (m, k)), factors, rest], 1)
    return lax.concatenate([lax.slice(a, (0, 0), (k + 1, n)), inner], 0)


def _permutation(params: Params) -> Traceable:
    def permutation(pivots: Any) -> Any:
        import jax.numpy as jnp

        order = jnp.arange(params["permutation_size"], dtype=np.int32)
        for k in range(pivots.shape[-1]):
            order = _swapped(order, k, pivots[k])
        return order

    def mapped(pivots: Any) -> Any:
        import jax

        over = permutation
        for _ in range(pivots.ndim - 1):
            over = jax.vmap(over)
        return over(pivots)

    return mapped


LINEAR_ALGEBRA: Mapping[str, Callable[[Params], Traceable]] = {
    "cholesky": _cholesky,
    "lu": _lu,
    "lu_pivots_to_permutation": _permutation,
    "triangular_solve": _triangular_solve,
}
