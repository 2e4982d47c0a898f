"""The embedding: rows of a table, looked up by number.

``out_b = E[i_b]`` for a table ``E`` of V rows and any number of indices ``i_b``. As a matrix product it is
``out = S E`` with ``S_bv = [i_b = v]``, one-hot rows, so with ``ct`` for the cotangent of ``out``::

    dE = S^T ct,    dE_v = sum over all b with i_b = v of ct_b

(the affine layer's ``dW``, see `linear`, with ``S`` for its input). Every occurrence adds: to *assign* ``ct_b`` to
row ``i_b`` keeps the last one only, a mistake that shows nowhere until an index repeats. Rows that were not looked
up get zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck.derivations._arrays import Array, Pullback, as_cotangent, as_floating, is_concrete
from gradcheck.derivations._labels import entry
from gradcheck.derivations._namespace import namespace

__all__ = ["embedding"]


def embedding(table: npt.ArrayLike, index: npt.ArrayLike) -> tuple[Array, Pullback]:
    """Look up rows of a table.

    Parameters
    ----------
    table : array_like, shape (V, D)
        Floating.
    index : array_like, any shape
        Integers from 0 to V-1, in any order and number. Not differentiated. Under ``jax.jit`` they cannot be
        looked at, and one beyond the table gives a row of NaN.

    Returns
    -------
    out : array, shape of `index` and then (D,), dtype of `table`
        A copy.
    pullback : callable
        ``pullback(ct)``, `ct` shaped like `out`, returns the cotangent of `table`, with its shape and dtype. Sums
        are rounded in that dtype, in float32 for anything narrower.

    Raises
    ------
    ValueError
        If `table` is no floating matrix, or `index` does not hold integers from 0 to V-1: a negative one is a
        mistake or a padding mark here, not a count from the end; from the pullback, if `ct` is not shaped like
        `out`.

    Examples
    --------
    >>> import numpy as np
    >>> out, pullback = embedding(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), [2, 0, 2])
    >>> out
    array([[5., 6.],
           [1., 2.],
           [5., 6.]])
    >>> pullback(np.array([[1.0, 1.0], [10.0, 10.0], [100.0, 100.0]]))
    array([[ 10.,  10.],
           [  0.,   0.],
           [101., 101.]])
    """
    table = as_floating(table, "table")
    if table.ndim != 2:
        raise ValueError(f"table has shape {table.shape}: pass a matrix (V, D), one row for each index")
    rows = _row_numbers(index, len(table))
    xp = namespace(table, rows)
    out: Array = xp.take(table, rows, axis=0)
    shape, wide = out.shape, xp.promote_types(table.dtype, xp.float32)

    def pullback(ct: npt.ArrayLike) -> Array:
        ct = as_cotangent(ct, shape, wide).reshape(rows.size, table.shape[1])
        return _scattered(ct, rows.reshape(-1), len(table)).astype(table.dtype, copy=False)

    return out, pullback


def _row_numbers(index: npt.ArrayLike, count: int) -> Array:
    """Check `index`, and copy it: a change to the caller's cannot reach a later pullback."""
    xp = namespace(index)
    rows: Array = xp.array(index)
    if rows.size == 0 and not hasattr(index, "dtype"):  # an empty list has NumPy's default dtype, a float
        rows = rows.astype(int)
    if not xp.issubdtype(rows.dtype, xp.integer):
        raise ValueError(f"index has dtype {rows.dtype}: pass integers, as in np.asarray(index, dtype=np.int64)")
    if is_concrete(rows) and len(outside := np.argwhere((rows < 0) | (rows >= count))):
        at = tuple(outside[0])
        name = entry("index", at) if at else "index"
        raise ValueError(
            f"{name} = {rows[at]} is no row of the table, whose {count} rows are numbered from 0 "
            f"({len(outside)} of {rows.size} indices are outside)"
        )
    return rows


def _scattered(ct: Array, rows: Array, count: int) -> Array:
    """Add each row of `ct`, shape (B, D), to the row of a (count, D) matrix of zeros that `rows` names."""
    xp = namespace(ct, rows)
    total: Array = xp.zeros((count, ct.shape[1]), ct.dtype)
    if is_concrete(total):
        np.add.at(total, rows, ct)
        return total
    functional: Any = total
    added: Array = functional.at[rows].add(ct)
    return added
