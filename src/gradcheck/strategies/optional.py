"""Regimes that need an option: masked classes, soft labels, ignored rows, weights."""

from __future__ import annotations

import sys

import numpy as np

from gradcheck.strategies.options import Array, limits
from gradcheck.strategies.regime import Draft, Regime, Summary

__all__ = ["OPTIONAL"]


def _others(draft: Draft, array: Array, label: float) -> Array:
    """Copy an array (N, K) with one value at every label."""
    out = array.copy()
    out[np.arange(len(out)), draft.y] = label
    return out


def _mask(draft: Draft, pattern: float) -> None:
    rows = np.arange(len(draft.z))
    if pattern == 2:
        mask = _others(draft, np.ones(draft.z.shape, dtype=bool), False)
    elif pattern == 3:
        mask = np.arange(draft.classes) > draft.y[:, None]
    else:
        # What is below the two largest, so that ties and rows told apart by their maxima stay that.
        mask = (draft.spare < 0) & (draft.z < np.sort(draft.z, axis=1)[:, -2:-1])
    # A row that nothing was masked in loses the least of the others.
    bare = ~_others(draft, mask, False).any(axis=1)
    mask[rows[bare], _others(draft, draft.z, np.inf).argmin(axis=1)[bare]] = True
    mask = _others(draft, mask, False)
    if pattern == 1:
        mask[1::2] = False
    draft.z[mask] = -np.inf


def _is_masked(s: Summary) -> bool:
    return s.masked


def _parts(draft: Draft) -> Array:
    """Give each class a part of its row's label, the label's own the greatest, many none, masked ones none."""
    parts = np.abs(draft.spare)
    parts[(parts < 1) | np.isneginf(draft.z)] = 0
    return _others(draft, parts, parts.max(initial=0) + 1)


def _normalised(parts: Array) -> Array:
    sums: Array = parts.sum(axis=1, keepdims=True)
    return parts / sums


def _soften(draft: Draft, _: float) -> None:
    parts = _parts(draft)
    second = (draft.y + 1) % draft.classes
    rows = np.flatnonzero(np.isfinite(draft.z[np.arange(len(parts)), second]))
    parts[rows, second[rows]] = np.maximum(parts[rows, second[rows]], 1)
    draft.q = _normalised(parts)


def _are_soft(s: Summary) -> bool:
    return s.q is not None and bool((np.count_nonzero(s.q, axis=1) > 1).any())


def _unbalance(draft: Draft, scale: float) -> None:
    parts = _parts(draft)
    # A power of two brings the sum to 1 or above and below 2, and leaves short decimals short.
    draft.q = scale * parts * np.exp2(-np.floor(np.log2(parts.sum(axis=1, keepdims=True))))


def _are_unbalanced(s: Summary) -> bool:
    if s.q is None:
        return False
    sums = s.q.astype(np.float64).sum(axis=1)
    # A sum of one over K entries, each rounded by up to half an ulp of at most 1, is off by less than this.
    return bool(((sums > 0) & (np.abs(sums - 1) > s.classes * limits(s.dtype).eps)).any())


def _drop_labels(draft: Draft, step: float) -> None:
    draft.q = _normalised(_parts(draft))
    draft.q[:: int(step) or len(draft.q)] = 0


def _lack_labels(s: Summary) -> bool:
    return s.q is not None and not s.q.any(axis=1).all()


def _ignore_one(draft: Draft, end: float) -> None:
    draft.ignored[int(end)] = True


def _is_one_ignored(s: Summary) -> bool:
    return s.ignored == 1


def _ignore_most(draft: Draft, end: float) -> None:
    draft.ignored[:] = True
    draft.ignored[int(end)] = False


def _are_most_ignored(s: Summary) -> bool:
    return s.rows / 2 < s.ignored < s.rows


def _ignore_all(draft: Draft, _: float) -> None:
    draft.ignored[:] = True


def _are_all_ignored(s: Summary) -> bool:
    return s.ignored == s.rows


def _weigh(draft: Draft, _: float) -> None:
    if np.ptp(draft.weights) == 0:
        draft.weights[-1] *= 2


def _are_unequal(s: Summary) -> bool:
    return s.weights is not None and bool(np.ptp(s.weights) > 0)


def _weigh_nothing(draft: Draft, _: float) -> None:
    _weigh(draft, 1.0)
    kept = draft.y[~draft.ignored]
    draft.weights[kept[:1]] = 0


def _is_zero_among(s: Summary) -> bool:
    return s.weights is not None and bool((s.carried() == 0).any())


def _weigh_no_label(draft: Draft, every: float) -> None:
    present = draft.y if draft.q is None else np.flatnonzero(draft.q.any(axis=0))
    draft.weights[slice(None) if every else present] = 0


def _is_no_label_weighed(s: Summary) -> bool:
    return s.weights is not None and len(s.kept) > 0 and not s.carried().any()


_SEVERAL, _THREE = (2, sys.maxsize), (3, sys.maxsize)

OPTIONAL = (
    Regime(
        "masked", "masks", "a row with logits of -inf, and finite ones", _is_masked, _mask,
        lambda _: (0.0, 1.0, 2.0, 3.0), classes=_SEVERAL, option="masks=True",
    ),
    Regime(
        "soft labels", "soft", "a label with parts in two or more classes", _are_soft, _soften,
        classes=_SEVERAL, option="labels='soft'",
    ),
    Regime(
        "labels not summing to one", "soft", "a label whose parts sum to something else than 0 or 1", _are_unbalanced,
        _unbalance, lambda _: (1.5, 0.25), option="labels='soft'",
    ),
    Regime(
        "row without label", "soft", "a label that is zero for every class", _lack_labels, _drop_labels,
        lambda _: (0.0, 2.0, 1.0), option="labels='soft'",
    ),
    Regime(
        "one row ignored", "ignored", "one ignored row of two or more", _is_one_ignored, _ignore_one,
        lambda _: (0.0, -1.0), rows=_SEVERAL, classes=_SEVERAL, option="ignore_index=",
    ),
    Regime(
        "most rows ignored", "ignored", "more than half of the rows ignored, but not all", _are_most_ignored,
        _ignore_most, lambda _: (0.0, -1.0), rows=_THREE, classes=_SEVERAL, option="ignore_index=",
    ),
    Regime(
        "all rows ignored", "ignored", "all rows ignored, of one or more", _are_all_ignored, _ignore_all,
        option="ignore_index=",
    ),
    Regime(
        "unequal weights", "weights", "two classes of different weights", _are_unequal, _weigh,
        rows=(0, sys.maxsize), classes=_SEVERAL, option="weights=True",
    ),
    Regime(
        "zero weight", "weights", "a label of weight zero", _is_zero_among, _weigh_nothing,
        option="weights=True",
    ),
    Regime(
        "no weight", "weights", "labels, none of which has any weight", _is_no_label_weighed, _weigh_no_label,
        lambda _: (0.0, 1.0), option="weights=True",
    ),
)  # fmt: skip
