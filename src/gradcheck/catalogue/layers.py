"""The layers a network is built from, each alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
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
    yield entry("embedding", derivations.embedding, _looked_up, _embedding_cases, argnums=0)
    for name in ("relu", "sigmoid", "tanh", "silu"):
        yield entry(name, getattr(derivations, name), activation(name), _logits_cases)
    for kind, approximate in (("exact", False), ("tanh", True)):
        yield entry(
            f"gelu/{kind}",
            partial(derivations.gelu, approximate=approximate),
            activation("gelu", approximate=approximate),
            _logits_cases,
        )
    for epsilon in (1e-5, 1.0):
        yield from _normalisations(epsilon)


def _normalisations(epsilon: float) -> Iterator[Entry]:
    layers: tuple[tuple[str, Callable[..., Any], Callable[..., Any], int], ...] = (
        ("layer-norm", derivations.layer_norm, _layer_norm, 2),
        ("batch-norm", derivations.batch_norm, _batch_norm, 2),
        ("rms-norm", derivations.rms_norm, _rms_norm, 1),
    )
    for name, layer, restated, parameters in layers:
        cases = partial(_normalisation_cases, parameters=parameters)
        yield entry(
            f"{name}/epsilon-{epsilon:g}", partial(layer, epsilon=epsilon), partial(restated, epsilon=epsilon), cases
        )


def affine(h: Any, W: Any, b: Any) -> Any:
    """Restate the affine layer in jax.numpy."""
    return h @ W.T + b


def activation(name: str, **options: Any) -> Callable[[Any], Any]:
    """Return the activation of this name that JAX has."""

    def apply(x: Any) -> Any:
        import jax

        return getattr(jax.nn, name)(x, **options)

    return apply


def over_sizes(make: Callable[[int, int, int, str], tuple[Any, ...]], dtype: str) -> SearchStrategy[Any]:
    """Draw arguments like those of an example, over a few sizes (rows, inputs, outputs)."""
    from hypothesis import strategies as st

    from gradcheck import strategies as gst

    return st.sampled_from(_SIZES).flatmap(lambda sizes: gst.like(*make(*sizes, dtype)))


def _looked_up(table: Any, index: Any) -> Any:
    import jax.numpy as jnp

    return jnp.einsum("...v,vd->...d", (index[..., None] == jnp.arange(table.shape[0])).astype(table.dtype), table)


def _layer_norm(x: Any, gain: Any, bias: Any, *, epsilon: float, axes: int | tuple[int, ...] = -1) -> Any:
    import jax.numpy as jnp

    spread = jnp.var(x, axis=axes, keepdims=True)
    return (x - jnp.mean(x, axis=axes, keepdims=True)) / jnp.sqrt(spread + epsilon) * gain + bias


def _batch_norm(x: Any, gain: Any, bias: Any, *, epsilon: float) -> Any:
    if 0 in x.shape:  # a variance of nothing is NaN
        return x * gain + bias
    return _layer_norm(x, gain, bias, epsilon=epsilon, axes=tuple(range(x.ndim - 1)))


def _rms_norm(x: Any, gain: Any, *, epsilon: float) -> Any:
    import jax.numpy as jnp

    return x / jnp.sqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + epsilon) * gain


def _logits_cases(dtype: str) -> SearchStrategy[Any]:
    from gradcheck import strategies as gst

    return gst.arguments(gst.logits(dtype=dtype))


def _linear_cases(dtype: str) -> SearchStrategy[Any]:
    return over_sizes(
        lambda n, h, k, t: (np.ones((n, h), t), np.ones((k, h), t), np.ones(k, t)),
        dtype,
    )


def _embedding_cases(dtype: str) -> SearchStrategy[Any]:
    """Draw a table, and indices into it that are labels elsewhere: repeated, first and last, none, in two axes too."""
    from hypothesis import strategies as st

    from gradcheck import strategies as gst

    def with_index(table: Any) -> SearchStrategy[Any]:
        index = gst.labels(classes=len(table), rows=(0, 12))
        return st.tuples(st.just(table), index.flatmap(lambda i: st.sampled_from([i, i[:, None]])))

    return gst.logits(rows=(1, 8), dtype=dtype).flatmap(with_index)


def _normalisation_cases(dtype: str, parameters: int) -> SearchStrategy[Any]:
    """Draw rows of every regime of logits, as a matrix and with an axis more, and a gain and a bias for them.

    A vector like another of one entry is 0 every other time, and a gain of 0 hides what becomes of the rows: there, 1.
    """
    from hypothesis import strategies as st

    from gradcheck import strategies as gst
    from gradcheck.strategies.counted import carried

    def with_parameters(case: Any) -> SearchStrategy[Any]:
        (x,) = case
        n, d = x.shape
        shaped = st.sampled_from([x, x.reshape(n, 1, d), x.reshape(2, n // 2, d) if n % 2 == 0 else x])
        ones = np.ones(d, dtype)
        vector = gst.like(ones).map(lambda drawn: drawn[0] if d > 1 or drawn[0].any() else ones)
        return st.tuples(shaped, *[vector] * parameters).map(lambda args: carried(case, args))

    return _logits_cases(dtype).flatmap(with_parameters)
