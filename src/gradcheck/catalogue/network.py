"""Whole networks, and what is added to their loss."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck import derivations
from gradcheck.catalogue.entry import Entry, entry
from gradcheck.catalogue.layers import activation as restated
from gradcheck.catalogue.layers import affine, over_sizes
from gradcheck.catalogue.softmax_nll import nll

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["entries"]


def entries() -> Iterator[Entry]:
    """Yield the networks."""
    yield entry(
        "l2-penalty",
        partial(derivations.l2_penalty, strength=0.01),
        partial(_l2, strength=0.01),
        _params_cases,
    )
    for activation in ("relu", "sigmoid", "tanh"):
        yield entry(
            f"mlp/{activation}",
            partial(derivations.mlp, activation=activation, l2=0.001),
            partial(_mlp, activation=activation, l2=0.001),
            _mlp_cases,
            argnums=0,
        )


def _l2(params: Any, strength: Any) -> Any:
    return 0.5 * strength * sum((w * w).sum() for name, w in params.items() if name.startswith("W"))


def _mlp(params: Any, x: Any, y: Any, *, activation: str, l2: float = 0.0) -> Any:
    h = x
    depth = len(params) // 2
    for layer in range(1, depth + 1):
        h = affine(h, params[f"W{layer}"], params[f"b{layer}"])
        h = h if layer == depth else restated(activation)(h)
    return nll(h, y) + (_l2(params, l2) if l2 else 0.0)


def _params(h: int, k: int, dtype: str) -> dict[str, Any]:
    return derivations.init_params((h, 3, k), seed=0, dtype=dtype)


def _params_cases(dtype: str) -> SearchStrategy[Any]:
    return over_sizes(lambda _, h, k, t: (_params(h, k, t),), dtype)


def _mlp_cases(dtype: str) -> SearchStrategy[Any]:
    return over_sizes(lambda n, h, k, t: (_params(h, k, t), np.ones((n, h), t), np.arange(n) % k), dtype)
