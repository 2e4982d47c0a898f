"""Losses other than softmax + negative log-likelihood."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck import derivations
from gradcheck.catalogue.entry import Entry, entry

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["entries"]

_REDUCTIONS = ("mean", "sum", "none")


def entries() -> Iterator[Entry]:
    """Yield the losses."""
    for reduction in _REDUCTIONS:
        yield _binary(f"binary-cross-entropy/{reduction}", reduction=reduction)
        yield _focal(f"focal-loss/{reduction}", reduction=reduction)
        yield _distilled(f"distillation/{reduction}", reduction=reduction)
    yield _binary("binary-cross-entropy/pos-weight", pos_weight=3.0)
    for gamma in (0.0, 0.5, 1.0):
        yield _focal(f"focal-loss/gamma-{gamma:g}", gamma=gamma)
    for temperature in (0.5, 4.0):
        yield _distilled(f"distillation/temperature-{temperature:g}", temperature=temperature)


def _binary(name: str, **options: Any) -> Entry:
    loss = partial(derivations.binary_cross_entropy, **options)
    return entry(name, loss, partial(_binary_cross_entropy, **options), _targets_cases, argnums=0)


def _focal(name: str, **options: Any) -> Entry:
    loss = partial(derivations.focal_loss, **options)
    return entry(name, loss, partial(_focal_loss, **options), _label_cases, argnums=0)


def _distilled(name: str, **options: Any) -> Entry:
    loss = partial(derivations.distillation, **options)
    return entry(name, loss, partial(_distillation, **options), _teacher_cases, argnums=0)


def _binary_cross_entropy(z: Any, y: Any, *, pos_weight: float = 1.0, reduction: str = "mean") -> Any:
    import jax

    return _reduced(-pos_weight * y * jax.nn.log_sigmoid(z) - (1 - y) * jax.nn.log_sigmoid(-z), reduction)


def _focal_loss(z: Any, y: Any, *, gamma: float = 2.0, reduction: str = "mean") -> Any:
    import jax
    import jax.numpy as jnp

    k = z.shape[1]
    if isinstance(k, int) and k == 1:  # one class is certain, and has no others to compare with
        return _reduced(0 * z[:, 0], reduction)
    others = jnp.take_along_axis(z, (y[:, None] + 1 + jnp.arange(k - 1)) % k, axis=1)
    # a_l is the sigmoid of how far the label is ahead of all others together
    ahead = -jax.nn.logsumexp(others - jnp.take_along_axis(z, y[:, None], axis=1), axis=1)
    return _reduced(-jnp.exp(gamma * jax.nn.log_sigmoid(-ahead)) * jax.nn.log_sigmoid(ahead), reduction)


def _distillation(z: Any, teacher: Any, *, temperature: float = 1.0, reduction: str = "mean") -> Any:
    import jax
    import jax.numpy as jnp

    p = jax.nn.softmax(teacher / temperature, axis=1)
    log_q = jax.nn.log_softmax(z / temperature, axis=1)
    kl = jnp.sum(jax.scipy.special.xlogy(p, p) - p * log_q, axis=1)
    return _reduced(temperature**2 * kl, reduction)


def _reduced(losses: Any, reduction: str) -> Any:
    if reduction == "none":
        return losses
    # the mean over nothing is 0, and where a length is a symbol there is at least one
    return losses.sum() if reduction == "sum" or 0 in losses.shape else losses.mean()


def _label_cases(dtype: str) -> SearchStrategy[Any]:
    from gradcheck import strategies as gst

    return gst.softmax_nll(dtype=dtype)


def _targets_cases(dtype: str) -> SearchStrategy[Any]:
    """Draw logits with a target in [0, 1] for each: certain ones, soft ones, and both."""
    from hypothesis import strategies as st

    from gradcheck import strategies as gst

    def targets(args: Sequence[Any]) -> SearchStrategy[Any]:
        pools = st.sampled_from([(0.0, 1.0), (0.0, 0.25, 0.5, 1.0), (0.1, 0.9)])
        return st.builds(lambda pool, rng: rng.choice(pool, args[0].shape).astype(dtype), pools, _generators())

    return gst.arguments(gst.logits(dtype=dtype), gst.Dependent("targets()", "nothing else", targets))


def _teacher_cases(dtype: str) -> SearchStrategy[Any]:
    """Draw a student's logits and a teacher's, which may rule out classes or be the student's own."""
    from hypothesis import strategies as st

    from gradcheck import strategies as gst

    def teacher(args: Sequence[Any]) -> SearchStrategy[Any]:
        (z,) = args
        other = gst.logits(rows=z.shape[0], classes=z.shape[1], dtype=dtype)
        return st.one_of(other, st.builds(_masked, other, _generators()), st.just(z.copy()))

    return gst.arguments(gst.logits(dtype=dtype), gst.Dependent("teacher()", "nothing else", teacher))


def _masked(logits: Any, rng: np.random.Generator) -> Any:
    """Rule out some classes of each row, but never the likeliest."""
    out = (rng.random(logits.shape) < 0.25) & (logits < logits.max(axis=1, keepdims=True))
    return np.where(out, -np.inf, logits).astype(logits.dtype)


def _generators() -> SearchStrategy[np.random.Generator]:
    from hypothesis import strategies as st

    return st.integers(0, 2**32 - 1).map(np.random.default_rng)
