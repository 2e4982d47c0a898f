"""Softmax + negative log-likelihood in its forms with their options, and its neighbour with independent sigmoids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gradcheck import derivations
from gradcheck.catalogue.entry import Entry, entry

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["entries", "nll"]

# Largest gap between a row's top logit and the label's at which 1 / a_label is still a normal number, less the
# logarithm of the largest number of classes drawn: -log(tiny) is 708.4 in float64 and 87.3 in float32.
_TWO_STAGE_GAP = {"float64": 700.0, "float32": 80.0}

_TWO_STAGE = ("full_jacobian", "contracted_jacobian")
_FORMS = (*_TWO_STAGE, "log_softmax", "fused", "accurate")
_IGNORED = -100
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class _Page:
    """One line of the catalogue for each form that takes it: keywords of the form, and of what draws its cases."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    drawn: Mapping[str, Any] = field(default_factory=dict)

    @property
    def needs(self) -> set[str]:
        """What a form's row of `derivations.softmax_nll.OPTIONS` must have."""
        soft = {"soft labels"} if self.drawn.get("labels") == "soft" else set()
        return {*self.options, *(self.drawn.keys() & {"masks", "sequences", "weights"}), *soft}


_EITHER = {"labels": "either"}
_PAGES = (
    *(_Page(reduction, {"reduction": reduction}, _EITHER) for reduction in ("mean", "sum", "none")),
    _Page("soft-labels", {}, {"labels": "soft"}),
    _Page("masks", {}, {"masks": True}),
    _Page("weights", {}, {"weights": True}),
    _Page("ignore-index", {"ignore_index": _IGNORED}, {"ignore_index": _IGNORED}),
    _Page("label-smoothing", {"label_smoothing": 0.1}, _EITHER),
    _Page("temperature", {"temperature": 0.5}, _EITHER),
    _Page("z-loss", {"z_loss": 0.01}, _EITHER),
    _Page("softcap", {"softcap": 30.0}, _EITHER),
    _Page("sequences", {"reduction": "none"}, {"sequences": True}),
)
# What people use together: to train on unbalanced classes with padding, to distil, to train a language model.
_TOGETHER = (
    _Page(
        "ignore-index+label-smoothing+weights",
        {"ignore_index": _IGNORED, "label_smoothing": 0.1},
        {"ignore_index": _IGNORED, "weights": True},
    ),
    _Page("soft-labels+temperature", {"temperature": 4.0}, {"labels": "soft", "masks": True}),
    _Page(
        "ignore-index+sequences+softcap+z-loss",
        {"ignore_index": _IGNORED, "softcap": 30.0, "z_loss": 1e-4},
        {"ignore_index": _IGNORED, "sequences": True},
    ),
)
# What else can meet. The forms share how options are worked into logits and labels, so one form goes through these.
_RARELY_TOGETHER = (
    # the padding of some tokenizers is an early class, which smoothing labels all the same
    _Page("ignore-index-1+label-smoothing", {"ignore_index": 1, "label_smoothing": 0.1}, {"ignore_index": 1}),
    _Page("label-smoothing+soft-labels", {"label_smoothing": 0.1}, {"labels": "soft"}),
    _Page("sequences+soft-labels", {}, {"labels": "soft", "sequences": True}),
    _Page("sequences+weights", {}, {"sequences": True, "weights": True}),
    _Page("soft-labels+weights", {}, {"labels": "soft", "weights": True}),
)


def entries() -> Iterator[Entry]:
    """Yield every form with every option that it takes, and with options together."""
    taken = derivations.softmax_nll.OPTIONS
    for form in _FORMS:
        for page in (*_PAGES, *_TOGETHER):
            if page.needs <= set(taken[form]):
                yield _entry(form, page)
    for page in _RARELY_TOGETHER:
        yield _entry("fused", page)
    yield entry(
        "sigmoid-cross-entropy",
        derivations.sigmoid_cross_entropy,
        _sigmoid_cross_entropy,
        partial(_cases, drawn=_EITHER),
        argnums=0,
    )


def _entry(form: str, page: _Page) -> Entry:
    derivation: Callable[..., Any] = getattr(derivations.softmax_nll, form)
    if "weights" in page.drawn:
        derivation = partial(_with_weights, derivation)
    return entry(
        f"softmax-nll/{form.replace('_', '-')}/{page.name}",
        partial(derivation, **page.options),
        partial(nll, **page.options),
        partial(_cases, drawn=page.drawn, gaps=_TWO_STAGE_GAP if form in _TWO_STAGE else _NOTHING),
        argnums=0,
    )


def _with_weights(form: Callable[..., Any], z: Any, y: Any, weights: Any, **options: Any) -> Any:
    """Take the weights as an argument, so that they are drawn."""
    return form(z, y, weights=weights, **options)


def nll(
    z: Any,
    y: Any,
    weights: Any = None,
    *,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    temperature: float = 1.0,
    z_loss: float = 0.0,
    softcap: float | None = None,
) -> Any:
    """Restate the loss in jax.numpy: what the options mean, for logits (..., K) and labels of any kind."""
    import jax
    import jax.numpy as jnp

    s = (z if softcap is None else softcap * jnp.tanh(z / softcap)) / temperature
    k = z.shape[-1]
    q = y if y.ndim == z.ndim else (y[..., None] == jnp.arange(k)).astype(z.dtype)
    if ignore_index is not None:
        kept = y != ignore_index
        q = jnp.where(kept[..., None], q, 0)
    smooth = q
    if label_smoothing:
        smooth = (1 - label_smoothing) * q + label_smoothing * q.sum(axis=-1, keepdims=True) / k
    if weights is not None:
        q, smooth = weights * q, weights * smooth
    rows = -jnp.sum(smooth * jnp.where(smooth != 0, jax.nn.log_softmax(s, axis=-1), 0), axis=-1)
    if z_loss:
        penalty = z_loss * jax.nn.logsumexp(s, axis=-1) ** 2
        rows = rows + (penalty if ignore_index is None else jnp.where(kept, penalty, 0))
    if weights is not None:
        return _reduced(rows, reduction, q.sum())
    return _reduced(rows, reduction, None if ignore_index is None else kept.sum())


def _sigmoid_cross_entropy(z: Any, y: Any, reduction: str = "mean") -> Any:
    import jax
    import jax.numpy as jnp

    onehot = y if y.ndim == 2 else (y[:, None] == jnp.arange(z.shape[1])).astype(z.dtype)
    terms = onehot * jax.nn.log_sigmoid(z) + (1 - onehot) * jax.nn.log_sigmoid(-z)
    return _reduced(-jnp.sum(terms, axis=1), reduction)


def _reduced(losses: Any, reduction: str, divisor: Any = None) -> Any:
    import jax.numpy as jnp

    if reduction == "none":
        return losses
    total = losses.sum()
    if reduction == "sum":
        return total
    if divisor is not None:
        return jnp.where(divisor > 0, total / jnp.where(divisor > 0, divisor, 1), 0)
    rows = 1
    for n in losses.shape:
        rows = rows * n
    # the mean over no rows is 0, and where the number of rows is a symbol there is at least one
    return total if isinstance(rows, int) and rows == 0 else total / rows


def _cases(dtype: str, *, drawn: Mapping[str, Any], gaps: Mapping[str, float] = _NOTHING) -> SearchStrategy[Any]:
    from gradcheck import strategies as gst

    return gst.softmax_nll(dtype=dtype, gap=gaps.get(dtype), **drawn)
