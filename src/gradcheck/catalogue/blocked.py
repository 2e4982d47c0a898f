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
        {"rows_per_chunk": 2, "block": 3, "reduction": "none", "ignore_index": _IGNORED},
        {"rows_per_chunk": 4, "block": 4, "softcap": 3.0},
        {"rows_per_chunk": 1000, "block": 1000, "reduction": "sum"},
    )
    sharded: tuple[dict[str, Any], ...] = ({}, _ROWS, {"reduction": "sum"})
    for options in streaming:
        # so that many cases end with the last block, or one class before or after it
        around = {"around": 4} if options["block"] == 4 else {}
        yield _entry(forms.streaming, options, nll, _cases, _drawn(options, **around))
    for options in fused_linear:
        drawn = _drawn(options, around=4)
        yield _entry(forms.fused_linear, options, _linear_nll, _logits_as_layer_cases, drawn, (0, 1, 2))
    # z-loss only here: at inputs of 1e6 it bends too much for steps in W, which differences take of a layer
    options = {"rows_per_chunk": 2, "block": 3, **_ROWS}
    yield _entry(forms.fused_linear, options, _linear_nll, _layer_cases, None, (0, 1, 2))
    for options in sharded:
        drawn = _drawn(options, classes=(2, 12))
        yield _entry(forms.sharded, options, _sharded_nll, _sharded_cases, drawn)


def _drawn(options: dict[str, Any], **sizes: Any) -> dict[str, Any]:
    """Return what `strategies.softmax_nll` is asked for."""
    given = {"masks": True} if "softcap" not in options else {}  # which would undo them
    return given | {key: value for key, value in options.items() if key == "ignore_index"} | sizes


def _entry(
    form: Callable[..., Any],
    options: dict[str, Any],
    reference: Callable[..., Any],
    cases: Callable[..., SearchStrategy[Any]],
    drawn: dict[str, Any] | None,
    argnums: int | tuple[int, ...] = 0,
) -> Entry:
    valued = ("block", "rows_per_chunk", "reduction")
    told = [f"{key}-{value}" if key in valued else key for key, value in options.items()]
    told += ["any-layer"] if drawn is None else ["masks"] if "masks" in drawn else []
    return entry(
        f"softmax-nll/{form.__name__}/{'+'.join(told)}".replace("_", "-"),
        partial(form, **options),
        partial(reference, **{key: value for key, value in options.items() if key not in valued[:2]}),
        cases if drawn is None else partial(cases, drawn=drawn),
        argnums=argnums,
    )


def _linear_nll(h: Any, W: Any, b: Any, y: Any, **options: Any) -> Any:
    return nll(affine(h, W, b), y, **options)


def _sharded_nll(zs: Any, y: Any, **options: Any) -> Any:
    import jax.numpy as jnp

    return nll(jnp.concatenate(zs, axis=1), y, **options)


def _cases(dtype: str, *, drawn: dict[str, Any]) -> SearchStrategy[Any]:
    from gradcheck import strategies as gst

    return gst.softmax_nll(dtype=dtype, **drawn)


def _logits_as_layer_cases(dtype: str, *, drawn: dict[str, Any]) -> SearchStrategy[Any]:
    """Draw logits as a layer that passes them on, so that every regime reaches the loss: ``(z - b) I + b``.

    The bias is 1 in the classes where that is exact, and 0 in others. Masks are in it too, since ``0 * -inf`` is NaN:
    of the first class that is no row's label.
    """
    from hypothesis import strategies as st

    from gradcheck.strategies import regimes_of
    from gradcheck.strategies.counted import Arguments

    ignored = drawn.get("ignore_index")

    def layer(case: Any, mask: bool) -> Arguments:
        z, y = case
        k = z.shape[1]
        free = np.setdiff1d(np.arange(k), y)[: int(mask and k > 1)]
        b = np.all((z - 1) + 1 == z, axis=0).astype(dtype)
        h = z - b
        b[free] = -np.inf
        offered = case.offered | ({"masked"} if "masks" in drawn else set())
        return Arguments.of((h, np.eye(k, dtype=dtype), b, y), regimes_of(h + b, y, ignore_index=ignored), offered)

    finite = {key: value for key, value in drawn.items() if key != "masks"}
    # one in four, since a mask may undo another regime
    masked = st.sampled_from([False, False, False, True]) if "masks" in drawn else st.just(False)
    return st.builds(layer, _cases(dtype, drawn=finite), masked)


def _layer_cases(dtype: str) -> SearchStrategy[Any]:
    """Draw any weights, with some rows to ignore, and with the last class, which no row has, masked by its bias."""
    from hypothesis import strategies as st

    def make(n: int, h: int, k: int, t: str) -> tuple[Any, ...]:
        y = np.arange(n) % max(k - 1, 1)
        return np.ones((n, h), t), np.ones((k, h), t), np.ones(k, t), np.where(y % 3 == 1, _IGNORED, y)

    def masked(args: tuple[Any, ...], wanted: bool) -> tuple[Any, ...]:
        h, W, b, y = args
        return h, W, np.where((np.arange(len(b)) == len(b) - 1) & (len(b) > 1) & wanted, -np.inf, b).astype(dtype), y

    return st.builds(masked, over_sizes(make, dtype), st.booleans())


def _sharded_cases(dtype: str, *, drawn: dict[str, Any]) -> SearchStrategy[Any]:
    """Split an even number of classes into halves, an odd one unevenly: the first, up to half, and what is left.

    In a first shard of one class there are few labels, and no others to be wrong about. There are at least two shards:
    a rule's tuple of one cotangent cannot be told from one cotangent that is a tuple.
    """
    from gradcheck.strategies.counted import carried

    def split(case: Any) -> tuple[Any, ...]:
        z, y = case
        k = z.shape[1]
        cuts = sorted({0, 1 if k % 2 else k // 2, (k + 1) // 2, k})
        return carried(case, (tuple(z[:, a:b].copy() for a, b in pairwise(cuts)), y))

    return _cases(dtype, drawn=drawn).map(split)
