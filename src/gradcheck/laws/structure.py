"""What a pullback may return: structure, shape, dtype, leaf by leaf."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcheck.laws.breach import Breach
from gradcheck.rule import Rule, is_float
from gradcheck.tree import Array, Flat, Leaf

__all__ = ["structured"]


def structured(rule: Rule, flat: Flat, returned: Any) -> tuple[Array | None, ...] | Breach:
    """Match what came back with the differentiated arguments, leaf by leaf."""
    if _is_plain(rule, flat, returned):
        return (returned,)
    # results come in the order of argnums, leaves in the order of the arguments
    positions = rule.argnums or tuple(sorted({leaf.position for leaf in flat.differentiated}))
    if len(positions) == 1 and not (isinstance(returned, tuple) and len(returned) == 1 and rule.takes_cotangent):
        returned = (returned,)
    if not isinstance(returned, (tuple, list)) or len(returned) != len(positions):
        names = ", ".join(rule.label(p) for p in positions)
        got = f"{len(returned)} results" if isinstance(returned, (tuple, list)) else f"one {type(returned).__name__}"
        return Breach("contract", f"one cotangent for each of ({names}) is due, as a tuple in that order; got {got}")
    results: list[Array | None] = []
    for position, part in sorted(zip(positions, returned, strict=True), key=lambda pair: pair[0]):
        leaves = [leaf for leaf in flat.differentiated if leaf.position == position]
        matched = _matched(rule.label(position), leaves, part, declines=len(positions) > 1)
        if isinstance(matched, Breach):
            return matched
        results.extend(matched)
    if all(r is None for r in results):
        return Breach("contract", "every cotangent came back as None, so there is no gradient to judge")
    return tuple(results)


def _is_plain(rule: Rule, flat: Flat, returned: Any) -> bool:
    """Whether one array came back for one array, as it should: the common case, and quickly seen."""
    if len(flat.differentiated) != 1 or len(rule.argnums or (0,)) != 1 or type(returned) is not np.ndarray:
        return False
    (leaf,) = flat.differentiated
    same = returned.shape == leaf.array.shape and returned.dtype == leaf.array.dtype
    return same and leaf.path == rule.label(leaf.position)


def _matched(label: str, leaves: Sequence[Leaf], part: Any, *, declines: bool) -> list[Array | None] | Breach:
    import jax

    if part is None:
        if declines:
            return [None] * len(leaves)
        return Breach("contract", f"the cotangent of {label} is None; does the function end without a return?")
    if len(leaves) == 1 and leaves[0].path == label:
        if isinstance(part, tuple) and any(np.ndim(p) for p in part if hasattr(p, "dtype")):
            text = f"{label} is one array, but its cotangent is a tuple of {len(part)}: return the array itself"
            return Breach("contract", text)
        result = _conforming(leaves[0], part)
        return result if isinstance(result, Breach) else [result]
    if not isinstance(part, (dict, tuple, list)):
        return Breach(
            "contract",
            f"the cotangent of {label} must be a tree like {label} itself, got {type(part).__name__}",
        )
    found = {label + jax.tree_util.keystr(path): v for path, v in jax.tree_util.tree_flatten_with_path(part)[0]}
    missing = [leaf.path for leaf in leaves if leaf.path not in found]
    extra = sorted(set(found) - {leaf.path for leaf in leaves})
    if missing or extra:
        text = f"missing {', '.join(missing)}" if missing else f"unexpected {', '.join(extra)}"
        return Breach("contract", f"the cotangent of {label} is not structured like {label}: {text}")
    results: list[Array | None] = []
    for leaf in leaves:
        result = _conforming(leaf, found[leaf.path])
        if isinstance(result, Breach):
            return result
        results.append(result)
    return results


def _conforming(leaf: Leaf, value: Any) -> Array | Breach:
    """Hold one result to the shape and dtype of its primal."""
    listed = isinstance(value, (list, tuple, float, int)) and not isinstance(value, (bool, np.generic))
    try:
        result = np.asarray(value)
    except ValueError as error:
        return Breach("contract", f"the cotangent of {leaf.path} is ragged: {error}")
    primal = leaf.array
    if result.dtype.kind in "OSU" and not hasattr(value, "dtype"):
        return Breach("contract", f"the cotangent of {leaf.path} is a {type(value).__name__} that spells no array")
    if listed and not result.size and not primal.size:
        return np.zeros_like(primal)  # nested lists spell no shape where there are no entries
    if result.shape == primal.shape and result.dtype == primal.dtype:
        return result
    if result.shape != primal.shape:
        return Breach("contract", f"the cotangent of {leaf.path} has shape {result.shape}, its primal {primal.shape}")
    if listed and result.dtype.kind in "fi":
        return result.astype(np.float64).astype(primal.dtype)  # Python numbers carry no dtype of their own
    if not is_float(result.dtype):
        return Breach("contract", f"the cotangent of {leaf.path} is {result.dtype}, not floating-point")
    if result.dtype != primal.dtype:
        return Breach(
            "contract",
            f"the cotangent of {leaf.path} is {result.dtype}, its primal {primal.dtype}: "
            "compute and return it in the primal's dtype",
        )
    return result
