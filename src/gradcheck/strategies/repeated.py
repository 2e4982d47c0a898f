"""The same point more than once: several calls of one rule, and one array in several layouts."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from gradcheck.errors import InvalidArgument
from gradcheck.layouts import LAYOUTS
from gradcheck.rule import is_float
from gradcheck.strategies.nested import map_leaves

Arguments = tuple[Any, ...]


def calls(cases: st.SearchStrategy[Arguments]) -> st.SearchStrategy[tuple[Arguments, ...]]:
    """Draw the arguments of four calls in a row, for a rule that keeps something from one call to trip over.

    The first; others of the same shapes, namely those with every float halved, which stays inside most domains;
    another case, of other shapes where the strategy draws several; and the first again, as a copy. The first and the
    last must be answered alike.

    Parameters
    ----------
    cases : SearchStrategy of tuple
        Draws the arguments of one call, as `softmax_nll` and `arguments` do.

    Returns
    -------
    SearchStrategy of tuple
        Of four tuples of arguments, none of which share memory.

    Raises
    ------
    gradcheck.errors.InvalidArgument
        If `cases` is no strategy; when drawn, if it draws something else than tuples.

    Examples
    --------
    >>> from hypothesis import find
    >>> from gradcheck import strategies as gst
    >>> cases = gst.softmax_nll(rows=1, classes=2)
    >>> first, same, other, again = find(gst.calls(cases), lambda calls: calls[0].z.max() > 1)
    >>> first.z.shape == same.z.shape, bool((same.z == first.z / 2).all())
    (True, True)
    >>> repr(again) == repr(first)
    True
    """
    if not isinstance(cases, st.SearchStrategy):
        raise InvalidArgument(
            f"cases={cases!r} ({type(cases).__name__}): pass a strategy of tuples, such as softmax_nll()"
        )
    return _calls(cases)


def layouts(array: Any) -> st.SearchStrategy[Any]:
    """Draw an array in one of the layouts of `gradcheck.layouts.LAYOUTS` that apply to it.

    For a test of your own: `gradcheck.check` hands a rule copies, and has a law that tries every layout.

    Parameters
    ----------
    array : array_like
        What to lay out. It is copied now.

    Returns
    -------
    SearchStrategy of numpy.ndarray
        Of equal entries, shape and dtype; C-contiguous is the simplest. A number may be drawn as a NumPy scalar.

    Examples
    --------
    >>> from hypothesis import find
    >>> from gradcheck import strategies as gst
    >>> find(gst.layouts([[1.0, 2.0]]), lambda a: a.strides[-1] < 0)
    array([[1., 2.]])
    """
    kept = np.array(array)
    return st.sampled_from([layout for layout in LAYOUTS if layout.applies(kept)]).map(lambda one: one.make(kept))


@st.composite
def _calls(draw: st.DrawFn, cases: st.SearchStrategy[Arguments]) -> tuple[Arguments, ...]:
    first, other = draw(cases), draw(cases)
    for case in (first, other):
        if not isinstance(case, tuple):
            raise InvalidArgument(
                f"cases drew {case!r} ({type(case).__name__}): pass a strategy of tuples of arguments"
            )
    return first, map_leaves(_halved, first), other, map_leaves(_copied, first)


def _halved(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray):
        return np.divide(leaf, leaf.dtype.type(2)) if is_float(leaf.dtype) else leaf.copy()
    if isinstance(leaf, np.generic):
        return _halved(np.asarray(leaf))[()]
    return leaf / 2 if isinstance(leaf, float) else leaf


def _copied(leaf: Any) -> Any:
    return leaf.copy() if isinstance(leaf, np.ndarray) else leaf
