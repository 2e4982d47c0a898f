"""Logits and labels for softmax + negative log-likelihood, ordinary ones and every corner in `REGIMES`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import numpy as np
from hypothesis import event
from hypothesis import strategies as st

from gradcheck.strategies.entries import Choice, Source
from gradcheck.strategies.labels import one_hot, read_labels
from gradcheck.strategies.options import Array, Count, check_choice
from gradcheck.strategies.plan import Menu, Sizes
from gradcheck.strategies.regimes import regimes_of


class Case(NamedTuple):
    """Logits and labels that belong together: the tuple ``(z, y)``.

    Printed as code, dtypes included, so that what Hypothesis shows of a failure can be pasted into a test.

    Attributes
    ----------
    z : numpy.ndarray
        Logits, float (N, K).
    y : numpy.ndarray
        Labels: int64 (N,) in [0, K), or one-hot (N, K) in the dtype of `z`.

    Examples
    --------
    >>> from gradcheck import strategies as gst
    >>> case = gst.Case(np.array([[0.0, 0.5]]), np.array([1]))
    >>> case
    Case(np.array([[0.0, 0.5]], dtype=np.float64), np.array([1], dtype=np.int64))
    >>> z, y = case
    >>> sorted(case.regimes)
    ['one row', 'ordinary']
    """

    z: Array
    y: Array

    @property
    def regimes(self) -> frozenset[str]:
        """The names of all regimes the case is in: `regimes_of` its arrays."""
        return regimes_of(self.z, self.y)

    def __repr__(self) -> str:
        return f"Case({as_code(self.z)}, {as_code(self.y)})"


def as_code(array: Array) -> str:
    """Write an array as an expression that makes the same one, entry for entry, where `np` is NumPy."""
    dtype = f"dtype=np.{array.dtype.name}"
    return f"np.array({_entries(array)}, {dtype})" if array.size else f"np.zeros({array.shape}, {dtype})"


def _entries(array: Array) -> str:
    # NumPy writes a number with the fewest digits that tell it from its neighbours in its own dtype.
    return str(array[()]) if array.ndim == 0 else f"[{', '.join(map(_entries, array))}]"


def softmax_nll(
    *,
    classes: Count = None,
    rows: Count = None,
    dtype: Any = "float64",
    labels: Literal["index", "one-hot", "either"] = "index",
    regimes: Iterable[str] | None = None,
    gap: float | None = None,
) -> st.SearchStrategy[Case]:
    """Draw logits (N, K) with their labels, from ordinary ones to every corner in `REGIMES`.

    A case has one regime of values, and may have one of sizes and one of labels. All numbers are finite and
    none is subnormal, since XLA flushes those to zero. Cases shrink to few rows, few classes and short
    decimals. ``pytest --hypothesis-show-statistics`` counts the regimes visited.

    Parameters
    ----------
    classes, rows : int, (int, int) or None, optional
        K from 1 up and N from 0 up: a number, or the least and the greatest. Left out, a few numbers up to 12
        and 32, rather than all of them: every new shape costs an oracle that compiles another trace.
    dtype : {"float64", "float32", "float16"}, optional
        Dtype of the logits, and of one-hot labels.
    labels : {"index", "one-hot", "either"}, optional
        int64 (N,), or one-hot (N, K).
    regimes : iterable of str, optional
        Names from `REGIMES` to draw from; left out, all that apply to the other options. A case has one of
        each kind that is named: ``("huge", "tiny", "one row")`` draws one row, huge or tiny.
    gap : float, optional
        The most by which a logit may be below the largest of its row; what is further below is raised. For
        rules that divide by a probability, which is subnormal beyond a gap of about 708 in float64 and 87 in
        float32, and then 0.

    Returns
    -------
    SearchStrategy of Case

    Raises
    ------
    gradcheck.errors.InvalidArgument
        If an option is none of these, or a named regime cannot occur with the others.

    Examples
    --------
    The simplest case, and the simplest with a magnitude above 100:

    >>> from hypothesis import find
    >>> from gradcheck import strategies as gst
    >>> find(gst.softmax_nll(), lambda case: True)
    Case(np.array([[0.0, 0.0]], dtype=np.float64), np.array([0], dtype=np.int64))
    >>> find(gst.softmax_nll(regimes=["huge"]), lambda case: case.z.max() > 100).z
    array([[1000., 1000.]])
    """
    kinds = ("index", "one-hot")
    drawn = kinds if check_choice("labels", labels, (*kinds, "either")) == "either" else (labels,)
    menu = Menu.of(Sizes.of(rows, classes), dtype=dtype, regimes=regimes, gap=gap)
    return _cases(menu, drawn)


def logits(
    *,
    classes: Count = None,
    rows: Count = None,
    dtype: Any = "float64",
    regimes: Iterable[str] | None = None,
    gap: float | None = None,
) -> st.SearchStrategy[Array]:
    """Draw logits (N, K) alone: those of `softmax_nll`, saturated as seen from labels that are thrown away.

    Parameters
    ----------
    classes, rows, dtype, regimes, gap
        As in `softmax_nll`; no regime of labels can be named.

    Returns
    -------
    SearchStrategy of numpy.ndarray
        Of shape (N, K) and of `dtype`.

    Raises
    ------
    gradcheck.errors.InvalidArgument
        As in `softmax_nll`.

    Examples
    --------
    >>> from hypothesis import find
    >>> from gradcheck import strategies as gst
    >>> find(gst.logits(rows=2, classes=3, dtype="float32"), lambda z: True)
    array([[0., 0., 0.],
           [0., 0., 0.]], dtype=float32)
    """
    menu = Menu.of(Sizes.of(rows, classes), dtype=dtype, regimes=regimes, gap=gap, kinds=("sizes", "values"))
    return _logits(menu)


def _pair(menu: Menu, source: Source) -> tuple[Array, Array]:
    """Read logits (N, K) and int labels (N,)."""
    plan = menu.read(source)
    scales = plan.values.scales(menu.dtype.name, menu.gap)
    scale = scales[source.pick(Choice.SCALE, len(scales))]
    every = 1 + source.pick(Choice.EVERY, 2)
    y = read_labels(source, plan)
    ordinary = source.numbers((plan.rows, plan.classes))
    z = ordinary.copy()
    z[::every] = plan.values.make(ordinary[::every].copy(), y[::every], scale)[0]
    return _settled(z, menu), y


@st.composite
def _logits(draw: st.DrawFn, menu: Menu) -> Array:
    return _pair(menu, Source(draw))[0]


@st.composite
def _cases(draw: st.DrawFn, menu: Menu, kinds: tuple[str, ...]) -> Case:
    source = Source(draw)
    z, y = _pair(menu, source)
    if kinds[source.pick(Choice.KIND, len(kinds))] == "one-hot":
        y = one_hot(y, z.shape[1], z.dtype)
    case = Case(z, y)
    for name in case.regimes:
        event(f"regime: {name}")
    return case


def _settled(z: Array, menu: Menu) -> Array:
    """Round to the dtype, with no subnormal numbers and no gap above the greatest."""
    z = z.astype(menu.dtype)
    if z.size and np.isfinite(menu.gap):
        top = z.max(axis=1, keepdims=True).astype(np.float64)
        with np.errstate(over="ignore"):  # below all that the dtype can hold is -inf, which raises nothing
            floor = (top - menu.gap).astype(menu.dtype)
        # Rounded down, the floor would let through one ulp more than the gap.
        too_low = top - floor > menu.gap
        z = np.maximum(z, np.where(too_low, np.nextafter(floor, menu.dtype.type(np.inf)), floor))
    z[np.abs(z) < np.finfo(menu.dtype).tiny] = 0
    return z
