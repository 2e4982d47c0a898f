"""Labels, alone or for logits that were drawn before them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
from hypothesis import strategies as st

from gradcheck.errors import InvalidArgument
from gradcheck.strategies.entries import Source
from gradcheck.strategies.options import Array, Count, check_choice
from gradcheck.strategies.plan import Menu, Plan, Sizes

Kind = Literal["index", "one-hot"]


@dataclass(frozen=True, repr=False)
class Dependent:
    """A strategy that waits for the arguments to its left.

    It is printed as what to do with it, because where a strategy is expected Hypothesis prints what it got.

    Attributes
    ----------
    name : str
        The call that made it.
    read : callable
        From the arguments drawn so far to the strategy for this one.

    Examples
    --------
    >>> from gradcheck import strategies as gst
    >>> gst.labels()
    <labels() takes N and K from logits: write arguments(logits(), labels()) or labels(classes=, rows=)>
    """

    name: str
    read: Callable[[Sequence[Any]], st.SearchStrategy[Any]]

    def bind(self, drawn_args: Sequence[Any]) -> st.SearchStrategy[Any]:
        """Return the strategy that suits `drawn_args`, the arguments to the left, in their order."""
        return self.read(drawn_args)

    def __repr__(self) -> str:
        return (
            f"<{self.name} takes N and K from logits: write arguments(logits(), {self.name}) "
            "or labels(classes=, rows=)>"
        )


@overload
def labels(*, classes: None = None, rows: None = None, kind: Kind = "index") -> Dependent: ...
@overload
def labels(
    *, classes: int | tuple[int, int], rows: int | tuple[int, int], kind: Kind = "index"
) -> st.SearchStrategy[Array]: ...
def labels(*, classes: Count = None, rows: Count = None, kind: Kind = "index") -> st.SearchStrategy[Array] | Dependent:
    """Draw labels: any, all the same, or the first and the last class only.

    Parameters
    ----------
    classes, rows : int or (int, int), optional
        K from 1 up and N from 0 up: a number, or the least and the greatest. Left out, both of them, the
        labels are for the logits drawn before them.
    kind : {"index", "one-hot"}, optional
        int64 (N,) in [0, K), or one-hot (N, K), in the dtype of the logits where there are any, else float64.

    Returns
    -------
    SearchStrategy of numpy.ndarray, or Dependent
        `Dependent` where `classes` and `rows` are left out: for `arguments` and for ``verify(args=...)``.

    Raises
    ------
    gradcheck.errors.InvalidArgument
        If an option is none of these, or only one of `classes` and `rows` is given.

    Examples
    --------
    >>> from hypothesis import find
    >>> from gradcheck import strategies as gst
    >>> find(gst.labels(classes=10, rows=3), lambda y: y.min() == 9)
    array([9, 9, 9])
    >>> find(gst.arguments(gst.logits(rows=2, classes=3), gst.labels(kind="one-hot")), lambda args: True)
    (array([[0., 0., 0.],
           [0., 0., 0.]]), array([[1., 0., 0.],
           [1., 0., 0.]]))
    """
    check_choice("kind", kind, ("index", "one-hot"))
    if classes is None and rows is None:
        return Dependent("labels()" if kind == "index" else f"labels(kind={kind!r})", _for_logits(kind))
    if classes is None or rows is None:
        raise InvalidArgument(f"classes={classes!r}, rows={rows!r}: pass both, or neither to read them from logits")
    return _labels(Menu.of(Sizes.of(rows, classes), kinds=("sizes", "labels")), kind, np.dtype(np.float64))


def arguments(*args: st.SearchStrategy[Any] | Dependent) -> st.SearchStrategy[tuple[Any, ...]]:
    """Draw the arguments of a rule from left to right; each may depend on those before it.

    Parameters
    ----------
    *args : SearchStrategy or Dependent
        One for each argument.

    Returns
    -------
    SearchStrategy of tuple

    Raises
    ------
    gradcheck.errors.InvalidArgument
        If an argument is neither; when drawn, if labels have no logits to their left.

    Examples
    --------
    >>> from hypothesis import find
    >>> from gradcheck import strategies as gst
    >>> find(gst.arguments(gst.logits(classes=2), gst.labels(), st.just("mean")), lambda args: args[1].any())
    (array([[0., 0.]]), array([1]), 'mean')
    """
    for position, arg in enumerate(args):
        if not isinstance(arg, (st.SearchStrategy, Dependent)):
            raise InvalidArgument(
                f"argument {position} is {arg!r} ({type(arg).__name__}): pass a strategy, "
                "labels() to the right of logits, or st.just(value) for a value"
            )
    return _arguments(args)


@st.composite
def _arguments(draw: st.DrawFn, args: tuple[st.SearchStrategy[Any] | Dependent, ...]) -> tuple[Any, ...]:
    drawn: tuple[Any, ...] = ()
    for arg in args:
        drawn += (draw(arg.bind(drawn) if isinstance(arg, Dependent) else arg),)
    return drawn


def read_labels(source: Source, plan: Plan) -> Array:
    """Read int64 labels (N,) in [0, K)."""
    y = source.indices(plan.rows, plan.classes)
    no_logits = np.broadcast_to(0.0, (plan.rows, plan.classes))
    return plan.labels.make(no_logits, y, 1.0)[1]


def one_hot(y: Array, classes: int, dtype: Any) -> Array:
    """Write labels (N,) as rows of one 1 and else 0, (N, K)."""
    return np.equal(y[:, None], np.arange(classes)).astype(dtype)


@st.composite
def _labels(draw: st.DrawFn, menu: Menu, kind: Kind, dtype: np.dtype[Any]) -> Array:
    source = Source(draw, part=1)  # part 0 are the logits
    plan = menu.read(source)
    y = read_labels(source, plan)
    return one_hot(y, plan.classes, dtype) if kind == "one-hot" else y


def _for_logits(kind: Kind) -> Callable[[Sequence[Any]], st.SearchStrategy[Array]]:
    def read(drawn_args: Sequence[Any]) -> st.SearchStrategy[Array]:
        for arg in reversed(drawn_args):
            if isinstance(arg, np.ndarray) and arg.ndim == 2 and arg.dtype.kind == "f":
                menu = Menu.of(Sizes.of(*arg.shape), kinds=("labels",))
                return _labels(menu, kind, arg.dtype)
        found = ", ".join(f"{type(arg).__name__} {getattr(arg, 'shape', '')}".strip() for arg in drawn_args)
        raise InvalidArgument(
            f"labels() found no float logits (N, K) among the arguments to its left ({found or 'none'}): "
            "draw logits before them, or pass classes= and rows="
        )

    return read
