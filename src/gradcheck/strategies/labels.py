"""Labels and class weights, alone or for logits that were drawn before them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, overload

import numpy as np
from hypothesis import strategies as st

from gradcheck.errors import InvalidArgument
from gradcheck.rule import is_float
from gradcheck.strategies.counted import Part, counted, marked, part_of
from gradcheck.strategies.entries import SideSource, Source
from gradcheck.strategies.options import Array, Count, check_choice, check_index
from gradcheck.strategies.plan import Menu, Plan, Sizes
from gradcheck.strategies.regime import Draft, Kind, Option
from gradcheck.strategies.regimes import REGIMES

LabelKind = Literal["index", "one-hot", "soft"]
_Given = int | tuple[int, int]


@dataclass(frozen=True, repr=False)
class Dependent:
    """A strategy that waits for the arguments to its left.

    It is printed as what to do with it, because where a strategy is expected Hypothesis prints what it got.

    Attributes
    ----------
    name : str
        The call that made it.
    alone : str
        The call that waits for nothing.
    read : callable
        From the arguments drawn so far to the strategy for this one.

    Examples
    --------
    >>> from gradcheck import strategies as gst
    >>> gst.labels()
    <labels() takes its sizes from logits: write arguments(logits(), labels()) or labels(classes=, rows=)>
    """

    name: str
    alone: str
    read: Callable[[Sequence[Any]], st.SearchStrategy[Any]]

    def bind(self, drawn_args: Sequence[Any]) -> st.SearchStrategy[Any]:
        """Return the strategy that suits `drawn_args`, the arguments to the left, in their order."""
        return self.read(drawn_args)

    def __repr__(self) -> str:
        return f"<{self.name} takes its sizes from logits: write arguments(logits(), {self.name}) or {self.alone}>"


@overload
def labels(
    *, classes: None = None, rows: None = None, kind: LabelKind = "index", ignore_index: int | None = None
) -> Dependent: ...
@overload
def labels(
    *, classes: _Given, rows: _Given, kind: LabelKind = "index", ignore_index: int | None = None
) -> st.SearchStrategy[Array]: ...
def labels(
    *, classes: Count = None, rows: Count = None, kind: LabelKind = "index", ignore_index: int | None = None
) -> st.SearchStrategy[Array] | Dependent:
    """Draw labels: any, all the same, or the first and the last class only.

    Parameters
    ----------
    classes, rows : int or (int, int), optional
        K from 1 up and N from 0 up: a number, or the least and the greatest. Left out, both of them, the
        labels are for the logits drawn before them.
    kind : {"index", "one-hot", "soft"}, optional
        int64 (N,) in [0, K), or rows (N, K): one-hot, or >= 0 with sums from 0 to 3. Rows have the dtype of the logits
        where there are any, else float64.
    ignore_index : int, optional
        A label that marks rows as ignored; none, one, most or all of them are.

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
    form = _Form.of(kind, ignore_index)
    if classes is None and rows is None:
        return Dependent(str(form), "labels(classes=, rows=)", partial(_for_logits, form))
    if classes is None or rows is None:
        raise InvalidArgument(f"classes={classes!r}, rows={rows!r}: pass both, or neither to read them from logits")
    return _labels(form.menu(Sizes.of(rows, classes)), form)


@dataclass(frozen=True)
class _Form:
    """What labels alone look like."""

    kind: LabelKind
    ignore_index: int | None

    @classmethod
    def of(cls, kind: LabelKind, ignore_index: int | None) -> _Form:
        check_choice("kind", kind, ("index", "one-hot", "soft"))
        if check_index(ignore_index) is not None and kind != "index":
            raise InvalidArgument(
                f"ignore_index={ignore_index!r}, kind={kind!r}: only kind='index' can mark ignored rows"
            )
        return cls(kind, ignore_index)

    def __str__(self) -> str:
        options = ([] if self.kind == "index" else [f"kind={self.kind!r}"]) + (
            [] if self.ignore_index is None else [f"ignore_index={self.ignore_index}"]
        )
        return f"labels({', '.join(options)})"

    @property
    def options(self) -> frozenset[Option | None]:
        given: dict[Option | None, bool] = {
            None: True,
            "labels='soft'": self.kind == "soft",
            "ignore_index=": self.ignore_index is not None,
        }
        return frozenset(option for option, wanted in given.items() if wanted)

    def menu(self, sizes: Sizes, dtype: Any = "float64") -> Menu:
        kinds: dict[Kind, bool] = {
            "sizes": True,
            "labels": True,
            "soft": self.kind == "soft",
            "ignored": self.ignore_index is not None,
        }
        return Menu.of(
            sizes,
            dtype=dtype,
            ignore_index=self.ignore_index,
            kinds=[kind for kind, wanted in kinds.items() if wanted],
            options=self.options,
        )


def weights(*, classes: Count = None) -> st.SearchStrategy[Array] | Dependent:
    """Draw class weights: equal, unequal, or with zeros among them.

    Parameters
    ----------
    classes : int or (int, int), optional
        K from 1 up: a number, or the least and the greatest. Left out, the weights are for the logits drawn before
        them, and of their dtype; else they are float64.

    Returns
    -------
    SearchStrategy of numpy.ndarray, or Dependent
        Of shape (K,), finite and >= 0. `Dependent` where `classes` is left out: for `arguments` and for
        ``verify(args=...)``.

    Raises
    ------
    gradcheck.errors.InvalidArgument
        If `classes` is none of these.

    Examples
    --------
    >>> from hypothesis import find
    >>> from gradcheck import strategies as gst
    >>> find(gst.weights(classes=3), lambda w: True)
    array([1., 1., 1.])
    """
    if classes is None:
        return Dependent("weights()", "weights(classes=)", _weights_for)
    return _weights(_weights_menu(classes, "float64"))


def arguments(*args: st.SearchStrategy[Any] | Dependent) -> st.SearchStrategy[tuple[Any, ...]]:
    """Draw the arguments of a rule from left to right; each may depend on those before it.

    Parameters
    ----------
    *args : SearchStrategy or Dependent
        One for each argument.

    Returns
    -------
    SearchStrategy of tuple
        Where `logits` are among them, a tuple that has the `regimes` and `offered` of a `Case`: those of the first
        logits that `labels` were drawn for, with these and `weights`; or of the first logits, if there are no labels.

    Raises
    ------
    gradcheck.errors.InvalidArgument
        If an argument is neither; when drawn, if labels or weights have no logits to their left.

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
    parts: list[Part | None] = []
    for arg in args:
        strategy = arg.bind(drawn) if isinstance(arg, Dependent) else arg
        parts.append(part_of(strategy))
        drawn += (draw(strategy),)
    return counted(drawn, parts)


def draft_of(source: Source, plan: Plan, menu: Menu, options: frozenset[Option | None]) -> Draft:
    """Read the labels of a case, and what the options make the rest of."""
    shape = plan.rows, plan.classes
    nothing = np.broadcast_to(0.0, shape)
    spare = source.numbers(shape, full=False, nth=1) if options & {"masks=True", "labels='soft'"} else nothing
    weights = 1 + np.abs(source.numbers(shape[1:], full=False, nth=2)) if "weights=True" in options else np.ones(1)
    y, ignored = source.indices(*shape), np.zeros(plan.rows, dtype=bool)
    draft = Draft(nothing, y, spare, None, ignored, weights)
    plan.make("labels", draft)
    # Which rows are ignored is for the regimes to say.
    y[y == menu.terms.ignore_index] += 1
    y %= plan.classes
    return draft


def as_drawn(draft: Draft, menu: Menu, kind: str) -> Array:
    """Give the labels of a draft their form."""
    if kind == "index":
        if menu.terms.ignore_index is not None:
            draft.y[draft.ignored] = menu.terms.ignore_index
        return draft.y
    rows = np.equal(draft.y[:, None], np.arange(draft.classes)) if draft.q is None else draft.q
    return rows.astype(menu.dtype)


@st.composite
def _labels(draw: st.DrawFn, menu: Menu, form: _Form, z: Array | None = None) -> Array:
    source = SideSource(draw, part=1)
    plan = menu.read(source)
    draft = draft_of(source, plan, menu, form.options)
    if z is not None:
        draft.z = z
        masked = np.isneginf(z[np.arange(len(z)), draft.y])
        draft.y[masked] = z.argmax(axis=1)[masked]
    plan.make("soft", draft)
    plan.make("ignored", draft)
    return as_drawn(draft, menu, form.kind)


def _for_logits(form: _Form, drawn_args: Sequence[Any]) -> st.SearchStrategy[Array]:
    z = _logits_among(drawn_args, "labels()")
    menu = form.menu(Sizes.of(*z.shape), z.dtype)
    return marked(_labels(menu, form, z), Part("y", menu.offered, form.ignore_index, z))


def _logits_among(drawn_args: Sequence[Any], name: str) -> Array:
    for arg in reversed(drawn_args):
        if isinstance(arg, np.ndarray) and arg.ndim == 2 and is_float(arg.dtype):
            return arg
    found = ", ".join(f"{type(arg).__name__} {getattr(arg, 'shape', '')}".strip() for arg in drawn_args)
    raise InvalidArgument(
        f"{name} found no float logits (N, K) among the arguments to its left ({found or 'none'}): "
        "draw logits before them, or pass classes= and rows="
    )


def _weights_menu(classes: Count, dtype: Any) -> Menu:
    return Menu.of(Sizes.of(1, classes), dtype=dtype, kinds=("sizes", "weights"), options=(None, "weights=True"))


def _weights_for(drawn_args: Sequence[Any]) -> st.SearchStrategy[Array]:
    z = _logits_among(drawn_args, "weights()")
    menu = _weights_menu(z.shape[1], z.dtype)
    # The sizes on that menu are those of weights alone.
    offered = frozenset(name for name in menu.offered if REGIMES[name].kind == "weights")
    return marked(_weights(menu), Part("weights", offered, logits=z))


@st.composite
def _weights(draw: st.DrawFn, menu: Menu) -> Array:
    source = SideSource(draw, part=2)
    plan = menu.read(source)
    draft = draft_of(source, plan, menu, frozenset({"weights=True"}))
    plan.make("weights", draft)
    return draft.weights.astype(menu.dtype)
