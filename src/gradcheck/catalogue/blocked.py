"""Softmax + negative log-likelihood a block at a time: over classes, over tiles of the layer below, over shards.

The references know nothing of blocks. Sizes of blocks are drawn to leave tails: one class, a few, more than there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck import derivations
from gradcheck.catalogue.entry import Entry, entry
from gradcheck.catalogue.layers import affine, over_sizes
from gradcheck.catalogue.softmax_nll import nll

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["entries"]

_IGNORED = -100
_ROWS = {"reduction": "none", "ignore_index": _IGNORED, "z_loss": 0.01}


def entries() -> Iterator[Entry]:
    """Yield the forms that never hold a whole row, each option at least once."""
    forms = derivations.softmax_nll
    streaming: tuple[dict[str, Any], ...] = (
        {"block": 1},
        {"block": 3, "temperature": 0.5, **_ROWS},
        {"block": 4, "temperature": 2.0, "softcap": 3.0},
        {"block": 1000, "reduction": "sum"},
    )
    fused_linear: tuple[dict[str, Any], ...] = (
        {"rows_per_chunk": 1, "block": 1},
        {"rows_per_chunk": 2, "block": 3, **_ROWS},
        {"rows_per_chunk": 4, "block": 4, "softcap": 3.0},
        {"rows_per_chunk": 1000, "block": 1000, "reduction": "sum"},
    )
    sharded: tuple[dict[str, Any], ...] = ({}, _ROWS, {"reduction": "sum"})
    for options in streaming:
        # so that many cases end with the last block, or one class before or after it
        around = 4 if options["block"] == 4 else None
        yield _entry(forms.streaming, options, nll, partial(_logits_cases, around=around), 0)
    for options in fused_linear:
        yield _entry(forms.fused_linear, options, _linear_nll, _linear_cases, (0, 1, 2))
    for options in sharded:
        yield _entry(forms.sharded, options, _sharded_nll, _sharded_cases, 0)


def _entry(
    form: Callable[..., Any],
    options: dict[str, Any],
    reference: Callable[..., Any],
    cases: Callable[..., SearchStrategy[Any]],
    argnums: int | tuple[int, ...],
) -> Entry:
    masks = "softcap" not in options  # which would undo them
    valued = ("block", "rows_per_chunk", "reduction")
    told = [f"{key}-{value}" if key in valued else key for key, value in options.items()] + ["masks"] * masks
    return entry(
        f"softmax-nll/{form.__name__}/{'+'.join(told)}".replace("_", "-"),
        partial(form, **options),
        partial(reference, **{key: value for key, value in options.items() if key not in valued[:2]}),
        partial(cases, ignored="ignore_index" in options, masks=masks),
        argnums=argnums,
    )


def _linear_nll(h: Any, W: Any, b: Any, y: Any, **options: Any) -> Any:
    return nll(affine(h, W, b), y, **options)


def _sharded_nll(zs: Any, y: Any, **options: Any) -> Any:
    import jax.numpy as jnp

    return nll(jnp.concatenate(zs, axis=1), y, **options)


def _logits_cases(
    dtype: str, *, ignored: bool, masks: bool, classes: Any = None, around: int | None = None
) -> SearchStrategy[Any]:
    from gradcheck import strategies as gst

    drawn = {"classes": classes, "around": around, "masks": masks, "ignore_index": _IGNORED if ignored else None}
    return gst.softmax_nll(dtype=dtype, **drawn)


def _linear_cases(dtype: str, *, ignored: bool, masks: bool) -> SearchStrategy[Any]:
    """Draw the layer, with some rows to ignore, and with the last class, which no row has, masked by its bias."""
    from hypothesis import strategies as st

    def make(n: int, h: int, k: int, t: str) -> tuple[Any, ...]:
        y = np.arange(n) % max(k - 1, 1)
        y = np.where(y % 3 == 1, _IGNORED, y) if ignored else y
        return np.ones((n, h), t), np.ones((k, h), t), np.ones(k, t), y

    def masked(args: tuple[Any, ...], wanted: bool) -> tuple[Any, ...]:
        h, W, b, y = args
        return h, W, np.where((np.arange(len(b)) == len(b) - 1) & (len(b) > 1) & wanted, -np.inf, b).astype(dtype), y

    return st.builds(masked, over_sizes(make, dtype), st.booleans() if masks else st.just(False))


def _sharded_cases(dtype: str, *, ignored: bool, masks: bool) -> SearchStrategy[Any]:
    """Split the classes unevenly: the first, up to half of the rest, and what is left.

    At least two shards: a rule's tuple of one cotangent cannot be told from one cotangent that is a tuple.
    """

    def split(case: Any) -> tuple[Any, ...]:
        z, y = case
        k = z.shape[1]
        cuts = sorted({0, 1, (k + 1) // 2, k})
        return tuple(z[:, a:b].copy() for a, b in pairwise(cuts)), y

    return _logits_cases(dtype, ignored=ignored, masks=masks, classes=(2, 12)).map(split)
