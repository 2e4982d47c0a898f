"""The layers a network is built from, each alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck import derivations
from gradcheck.catalogue.entry import Entry, entry

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["activation", "affine", "entries", "over_sizes"]

_SIZES = ((1, 1, 1), (2, 3, 4), (4, 4, 4), (1, 5, 2), (6, 2, 3), (0, 3, 2))


def entries() -> Iterator[Entry]:
    """Yield the layers."""
    yield entry("linear", derivations.linear, affine, _linear_cases)
    for name in ("relu", "sigmoid", "tanh"):
        yield entry(name, getattr(derivations, name), activation(name), _logits_cases)


def affine(h: Any, W: Any, b: Any) -> Any:
    """Restate the affine layer in jax.numpy."""
    return h @ W.T + b


def activation(name: str) -> Callable[[Any], Any]:
    """Return the activation of this name that JAX has."""

    def apply(x: Any) -> Any:
        import jax

        return getattr(jax.nn, name)(x)

    return apply


def over_sizes(make: Callable[[int, int, int, str], tuple[Any, ...]], dtype: str) -> SearchStrategy[Any]:
    """Draw arguments like those of an example, over a few sizes (rows, inputs, outputs)."""
    from hypothesis import strategies as st

    from gradcheck import strategies as gst

    return st.sampled_from(_SIZES).flatmap(lambda sizes: gst.like(*make(*sizes, dtype)))


def _logits_cases(dtype: str) -> SearchStrategy[Any]:
    from gradcheck import strategies as gst

    return gst.arguments(gst.logits(dtype=dtype))


def _linear_cases(dtype: str) -> SearchStrategy[Any]:
    return over_sizes(
        lambda n, h, k, t: (np.ones((n, h), t), np.ones((k, h), t), np.ones(k, t)),
        dtype,
    )
