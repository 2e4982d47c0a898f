"""Logits and labels for softmax + negative log-likelihood, ordinary ones and every corner in `REGIMES`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack, overload

import numpy as np
from hypothesis import event
from hypothesis import strategies as st

from gradcheck.errors import InvalidArgument
from gradcheck.strategies.case import Case, DrawnCase, DrawnWeightedCase, WeightedCase
from gradcheck.strategies.counted import Part, marked
from gradcheck.strategies.entries import Choice, Source
from gradcheck.strategies.labels import as_drawn, draft_of
from gradcheck.strategies.latest import remembered
from gradcheck.strategies.options import Array, Count, check_choice, check_flag, limits
from gradcheck.strategies.plan import Menu, Plan, Sizes
from gradcheck.strategies.regime import Draft, Option


class _Options(TypedDict, total=False):
    """What `softmax_nll` takes with and without weights."""

    classes: Count
    rows: Count
    dtype: Any
    labels: Literal["index", "one-hot", "soft", "either"]
    regimes: Iterable[str] | None
    gap: float | None
    ignore_index: int | None
    masks: bool
    around: int | None
    sequences: bool


@overload
def softmax_nll(*, weights: Literal[False] = False, **options: Unpack[_Options]) -> st.SearchStrategy[Case]: ...
@overload
def softmax_nll(*, weights: Literal[True], **options: Unpack[_Options]) -> st.SearchStrategy[WeightedCase]: ...
def softmax_nll(
    *,
    classes: Count = None,
    rows: Count = None,
    dtype: Any = "float64",
    labels: Literal["index", "one-hot", "soft", "either"] = "index",
    regimes: Iterable[str] | None = None,
    gap: float | None = None,
    weights: bool = False,
    ignore_index: int | None = None,
    masks: bool = False,
    around: int | None = None,
    sequences: bool = False,
) -> st.SearchStrategy[Case | WeightedCase]:
    """Draw logits (N, K) with their labels, from ordinary ones to every corner in `REGIMES`.

    A case has one regime of values, and may have one of each other kind that the options allow. A hundred cases visit
    all of them. Logits are finite, but for masks, and not subnormal, but for the regime of that name. Cases shrink to
    few rows, few classes and short decimals. ``pytest --hypothesis-show-statistics`` counts the regimes visited.

    Parameters
    ----------
    classes, rows : int, (int, int) or None, optional
        K from 1 up and N from 0 up: a number, or the least and the greatest. Left out, a few numbers up to 12
        and 32, rather than all of them: every new shape costs an oracle that compiles another trace.
    dtype : {"float64", "float32", "float16", "bfloat16"}, optional
        Dtype of the logits, the weights, and labels that are rows.
    labels : {"index", "one-hot", "soft", "either"}, optional
        int64 (N,); one-hot (N, K); rows (N, K) >= 0 with sums from 0 to 3, one-hot ones among them; or one of the
        first two.
    regimes : iterable of str, optional
        Names from `REGIMES` to draw from; left out, all that apply to the other options. A case has one of
        each kind that is named: ``("huge", "tiny", "one row")`` draws one row, huge or tiny. Of kinds that need an
        option, those not named are drawn as if there were no names.
    gap : float, optional
        The most by which a logit may be below the largest of its row; what is further below is raised. For
        rules that divide by a probability, which is subnormal beyond a gap of about 708 in float64 and 87 in
        float32, and then 0.
    weights : bool, optional
        Whether there are class weights (K,), >= 0, some of them zero at times, even those of all labels.
    ignore_index : int, optional
        A label that marks rows as ignored; none, one, most or all of them are. From 0 to K - 1, it is that class.
    masks : bool, optional
        Whether logits may be -inf; never that of a label, so never all of a row. They may be further below the largest
        than the gap.
    around : int, optional
        The size of a block. Sizes that are left out then are one less, as many, one more, and twice as many less one:
        of rows, of classes, or of both, since rules cut up the one or the other.
    sequences : bool, optional
        Whether the N rows come as (B, T), so that z is (B, T, K).

    Returns
    -------
    SearchStrategy of Case, or of WeightedCase with ``weights=True``

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
    >>> find(gst.softmax_nll(rows=1, classes=2, regimes=["huge"]), lambda case: case.z.max() > 100).z
    array([[1000., 1000.]])
    """
    form = _Form.of(labels, ignore_index, masks, weights, sequences)
    menu = Menu.of(
        Sizes.of(rows, classes, around),
        dtype=dtype,
        regimes=regimes,
        gap=gap,
        ignore_index=ignore_index,
        options=form.options,
    )
    return _cases(menu, form)


@dataclass(frozen=True)
class _Form:
    """What the arrays of a case look like."""

    labels: tuple[str, ...]
    sequences: bool
    options: frozenset[Option | None]

    @classmethod
    def of(cls, labels: str, ignore_index: int | None, masks: bool, weights: bool, sequences: bool) -> _Form:
        kinds = ("index", "one-hot")
        check_choice("labels", labels, (*kinds, "soft", "either"))
        if ignore_index is not None and labels != "index":
            raise InvalidArgument(
                f"ignore_index={ignore_index!r}, labels={labels!r}: only labels='index' can mark ignored rows"
            )
        options: dict[Option | None, bool] = {
            None: True,
            "masks=True": check_flag("masks", masks),
            "labels='soft'": labels == "soft",
            "ignore_index=": ignore_index is not None,
            "weights=True": check_flag("weights", weights),
        }
        given = frozenset(option for option, wanted in options.items() if wanted)
        return cls(kinds if labels == "either" else (labels,), check_flag("sequences", sequences), given)

    @property
    def arrays(self) -> int:
        """How many arrays of numbers are read: logits, what masks and soft labels are made of, and weights.

        Hypothesis takes longer for a byte than NumPy for a row, so none is drawn in vain.
        """
        return 3 if "weights=True" in self.options else 2 if self.options & {"masks=True", "labels='soft'"} else 1


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
    return marked(_logits(menu), Part("z", menu.offered))


def _draft(source: Source, menu: Menu, options: frozenset[Option | None]) -> tuple[Plan, Draft]:
    """Read a case up to its logits, which are rounded to their dtype."""
    plan = menu.read(source)
    draft = draft_of(source, plan, menu, options)
    draft.z = source.numbers((plan.rows, plan.classes))
    plan.make("values", draft.rows(1 + source.pick(Choice.EVERY, 2)))
    draft.z = _settled(draft.z, menu, subnormal=plan.regimes["values"][0].name == "subnormal")
    return plan, draft


@st.composite
def _logits(draw: st.DrawFn, menu: Menu) -> Array:
    return _draft(Source(draw), menu, frozenset())[1].z


@st.composite
def _cases(draw: st.DrawFn, menu: Menu, form: _Form) -> Case | WeightedCase:
    source = Source(draw, arrays=form.arrays)
    plan, draft = _draft(source, menu, form.options)
    plan.make("masks", draft)
    plan.make("soft", draft)
    plan.make("ignored", draft)
    plan.make("weights", draft)
    y = as_drawn(draft, menu, form.labels[source.pick(Choice.KIND, len(form.labels))])
    z, y = _in_sequences(source, draft.z, y) if form.sequences else (draft.z, y)
    case: DrawnCase | DrawnWeightedCase = (
        DrawnWeightedCase(z, y, draft.weights.astype(menu.dtype)) if "weights=True" in form.options else DrawnCase(z, y)
    )
    case.offered, case.ignore_index = menu.offered, menu.terms.ignore_index
    for name in case.regimes:
        event(f"regime: {name}")
    return remembered(case)


def _in_sequences(source: Source, z: Array, y: Array) -> tuple[Array, Array]:
    """Part N rows into B sequences of T each; the fewest sequences are the simplest."""
    rows, classes = z.shape
    most = (1, 2, 3, rows)[source.pick(Choice.SHAPE, 4)]
    b = next(b for b in range(max(most, 1), 0, -1) if rows % b == 0)
    return z.reshape(b, rows // b, classes), y.reshape(b, rows // b, *y.shape[1:])


def _settled(z: Array, menu: Menu, *, subnormal: bool) -> Array:
    """Round to the dtype, with no gap above the greatest, and no subnormal numbers but where they are wanted."""
    z = z.astype(menu.dtype)
    gap = menu.terms.gap
    if z.size and np.isfinite(gap):
        top = z.max(axis=1, keepdims=True).astype(np.float64)
        with np.errstate(over="ignore"):  # below all that the dtype can hold is -inf, which raises nothing
            floor = (top - gap).astype(menu.dtype)
        # Rounded down, the floor would let through one ulp more than the gap.
        too_low = top - floor > gap
        z = np.maximum(z, np.where(too_low, np.nextafter(floor, menu.dtype.type(np.inf)), floor))
    if not subnormal:
        z[np.abs(z) < limits(menu.dtype).tiny] = 0
    return z
