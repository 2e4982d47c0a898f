"""Softmax + negative log-likelihood in all its forms, and its neighbour with independent sigmoids."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from gradcheck import derivations
from gradcheck.catalogue.entry import Entry, entry

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["entries", "mean_nll"]

# Largest gap between a row's top logit and the label's at which 1 / a_label is still a normal number, less the
# logarithm of the largest number of classes drawn: -log(tiny) is 708.4 in float64 and 87.3 in float32.
_TWO_STAGE_GAP = {"float64": 700.0, "float32": 80.0}


def entries() -> Iterator[Entry]:
    """Yield the losses of logits and labels."""
    forms = derivations.softmax_nll
    for form in (forms.full_jacobian, forms.contracted_jacobian, forms.log_softmax, forms.fused):
        two_stage = form in (forms.full_jacobian, forms.contracted_jacobian)
        for reduction in ("mean", "sum"):
            yield entry(
                f"softmax-nll/{form.__name__.replace('_', '-')}/{reduction}",
                partial(form, reduction=reduction),
                partial(mean_nll, reduction=reduction),
                _within_gap if two_stage else _any_gap,
                argnums=0,
            )
    yield entry(
        "sigmoid-cross-entropy",
        derivations.sigmoid_cross_entropy,
        _sigmoid_cross_entropy,
        _any_gap,
        argnums=0,
    )


def mean_nll(z: Any, y: Any, reduction: str = "mean") -> Any:
    """Restate the loss in jax.numpy."""
    import jax
    import jax.numpy as jnp

    onehot = y if y.ndim == 2 else (y[:, None] == jnp.arange(z.shape[1])).astype(z.dtype)
    return _reduced(-jnp.sum(onehot * jax.nn.log_softmax(z, axis=1), axis=1), reduction)


def _sigmoid_cross_entropy(z: Any, y: Any, reduction: str = "mean") -> Any:
    import jax
    import jax.numpy as jnp

    onehot = y if y.ndim == 2 else (y[:, None] == jnp.arange(z.shape[1])).astype(z.dtype)
    terms = onehot * jax.nn.log_sigmoid(z) + (1 - onehot) * jax.nn.log_sigmoid(-z)
    return _reduced(-jnp.sum(terms, axis=1), reduction)


def _reduced(losses: Any, reduction: str) -> Any:
    total = losses.sum()
    rows = losses.shape[0]
    # the mean over no rows is 0, and where the number of rows is a symbol there is at least one
    return total if reduction == "sum" or (isinstance(rows, int) and rows == 0) else total / rows


def _any_gap(dtype: str) -> SearchStrategy[Any]:
    from gradcheck import strategies as gst

    return gst.softmax_nll(dtype=dtype, labels="either")


def _within_gap(dtype: str) -> SearchStrategy[Any]:
    from gradcheck import strategies as gst

    return gst.softmax_nll(dtype=dtype, labels="either", gap=_TWO_STAGE_GAP[dtype])
