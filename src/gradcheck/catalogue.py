"""The built-in derivations as rules: what `gradcheck verify` checks when it is given no target.

Each is paired with a reference that restates only its forward, written without looking at the derivation, and with
the strategy that covers its domain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck import derivations
from gradcheck.adapters import from_pullback
from gradcheck.rule import Rule

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["Entry", "entries"]

# Largest gap between a row's top logit and the label's at which 1 / a_label is still a normal number, less the
# logarithm of the largest number of classes drawn: -log(tiny) is 708.4 in float64 and 87.3 in float32.
_TWO_STAGE_GAP = {"float64": 700.0, "float32": 80.0}
_LAYER_SIZES = ((1, 1, 1), (2, 3, 4), (4, 4, 4), (1, 5, 2), (6, 2, 3), (0, 3, 2))


@dataclass(frozen=True)
class Entry:
    """One built-in derivation: its short name, its rule, and what draws its arguments in a given dtype."""

    name: str
    rule: Rule
    cases: Callable[[str], SearchStrategy[Any]]


def _softmax_nll(z: Any, y: Any, reduction: str = "mean") -> Any:
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


def _activation(name: str) -> Callable[[Any], Any]:
    def apply(x: Any) -> Any:
        import jax

        return getattr(jax.nn, name)(x)

    return apply


def _linear(h: Any, W: Any, b: Any) -> Any:
    return h @ W.T + b


def _l2(params: Any, strength: Any) -> Any:
    return 0.5 * strength * sum((w * w).sum() for name, w in params.items() if name.startswith("W"))


def _mlp(params: Any, x: Any, y: Any, *, activation: str, l2: float = 0.0) -> Any:
    h = x
    depth = len(params) // 2
    for layer in range(1, depth + 1):
        h = _linear(h, params[f"W{layer}"], params[f"b{layer}"])
        h = h if layer == depth else _activation(activation)(h)
    return _softmax_nll(h, y) + (_l2(params, l2) if l2 else 0.0)


def entries() -> Iterator[Entry]:
    """Yield every built-in derivation."""
    from gradcheck import strategies as gst

    forms = derivations.softmax_nll
    for form in (forms.full_jacobian, forms.contracted_jacobian, forms.log_softmax, forms.fused):
        two_stage = form in (forms.full_jacobian, forms.contracted_jacobian)
        for reduction in ("mean", "sum"):
            yield _entry(
                f"softmax-nll/{form.__name__.replace('_', '-')}/{reduction}",
                partial(form, reduction=reduction),
                partial(_softmax_nll, reduction=reduction),
                _within_gap if two_stage else _any_gap,
                argnums=0,
            )
    yield _entry(
        "sigmoid-cross-entropy",
        derivations.sigmoid_cross_entropy,
        _sigmoid_cross_entropy,
        _any_gap,
        argnums=0,
    )
    yield _entry("linear", derivations.linear, _linear, _linear_cases)
    for name in ("relu", "sigmoid", "tanh"):
        yield _entry(
            name,
            getattr(derivations, name),
            _activation(name),
            lambda dtype: gst.arguments(gst.logits(dtype=dtype)),
        )
    yield _entry(
        "l2-penalty",
        partial(derivations.l2_penalty, strength=0.01),
        partial(_l2, strength=0.01),
        _params_cases,
    )
    for activation in ("relu", "sigmoid", "tanh"):
        yield _entry(
            f"mlp/{activation}",
            partial(derivations.mlp, activation=activation, l2=0.001),
            partial(_mlp, activation=activation, l2=0.001),
            _mlp_cases,
            argnums=0,
        )


def _any_gap(dtype: str) -> SearchStrategy[Any]:
    from gradcheck import strategies as gst

    return gst.softmax_nll(dtype=dtype, labels="either")


def _within_gap(dtype: str) -> SearchStrategy[Any]:
    from gradcheck import strategies as gst

    return gst.softmax_nll(dtype=dtype, labels="either", gap=_TWO_STAGE_GAP[dtype])


def _entry(
    name: str,
    derivation: Callable[..., Any],
    reference: Callable[..., Any],
    cases: Callable[[str], SearchStrategy[Any]],
    argnums: int | None = None,
) -> Entry:
    rule = from_pullback(derivation, reference=reference, argnums=argnums, name=f"gradcheck.derivations/{name}")
    return Entry(name, rule, cases)


def _over_sizes(make: Callable[[int, int, int, str], tuple[Any, ...]], dtype: str) -> SearchStrategy[Any]:
    """Draw arguments like those of an example, over a few sizes (rows, inputs, outputs)."""
    from hypothesis import strategies as st

    from gradcheck import strategies as gst

    return st.sampled_from(_LAYER_SIZES).flatmap(lambda sizes: gst.like(*make(*sizes, dtype)))


def _linear_cases(dtype: str) -> SearchStrategy[Any]:
    return _over_sizes(
        lambda n, h, k, t: (np.ones((n, h), t), np.ones((k, h), t), np.ones(k, t)),
        dtype,
    )


def _params(h: int, k: int, dtype: str) -> dict[str, Any]:
    return derivations.init_params((h, 3, k), seed=0, dtype=dtype)


def _params_cases(dtype: str) -> SearchStrategy[Any]:
    return _over_sizes(lambda _, h, k, t: (_params(h, k, t),), dtype)


def _mlp_cases(dtype: str) -> SearchStrategy[Any]:
    return _over_sizes(lambda n, h, k, t: (_params(h, k, t), np.ones((n, h), t), np.arange(n) % k), dtype)
