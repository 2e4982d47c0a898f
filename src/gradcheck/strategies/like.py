"""Arguments like those of an example call: for any rule, where nothing more is known about its domain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
from hypothesis import strategies as st

from gradcheck.domain import Domain, Domains, as_domains, walk
from gradcheck.errors import InvalidArgument
from gradcheck.strategies.entries import Choice, Source
from gradcheck.strategies.inside import NORMAL, kinds_inside, rounded_inside
from gradcheck.strategies.nested import leaves, map_leaves
from gradcheck.strategies.options import Array
from gradcheck.strategies.regimes import TINY

# The square of 5 times this, summed over 10 entries, is finite: 64,000 of 65,504 in float16. The wider dtypes
# could take more; a rule that nobody described might not, and 1e3 already breaks an unshifted exponential.
HUGE = {"float16": (16.0,), "bfloat16": (1e3,), "float32": (1e3,), "float64": (1e3,)}

# From ordinary numbers, the values of the example (both float64 and of one shape) and a scale to the values drawn.
Make = Callable[[Array, Array, float], Array]


def _ordinary(base: Array, _given: Array, _scale: float) -> Array:
    return base


def _given(_base: Array, given: Array, scale: float) -> Array:
    return given * scale


def _ties(base: Array, _given: Array, _scale: float) -> Array:
    return np.rint(base / 4)  # -1, 0 and 1 only


def _scaled(base: Array, _given: Array, scale: float) -> Array:
    return (base + np.copysign(1.0, base)) * scale


def _zeros(base: Array, _given: Array, _scale: float) -> Array:
    return np.zeros_like(base)


_ONE = dict.fromkeys(HUGE, (1.0,))
# Each with its scales, by dtype. None scales the example up, which could overflow.
_VALUES: tuple[tuple[Make, Mapping[str, Sequence[float]]], ...] = (
    (_ordinary, _ONE),
    (_given, dict.fromkeys(HUGE, (1.0, -1.0, 0.5, -0.125))),
    (_ties, _ONE),
    (_scaled, TINY),
    (_scaled, HUGE),
    (_zeros, _ONE),
)


def like(
    *args: Any, vary: int | tuple[int, ...] | None = None, domain: Domains = None
) -> st.SearchStrategy[tuple[Any, ...]]:
    """Draw arguments like the given ones.

    A float array that varies takes values that are ordinary (about -4 to 4), as given, as given with another
    sign or scale, tied, tiny, huge, or all zero. Where several arrays have first axes of one length, no array
    has another and no other axis is as long, that axis holds rows: from 1 to twice as many are drawn, with
    repetition, the same ones of every array, so that labels keep valid values. All else stays as given.

    Arrays are C-contiguous, however the example lies in memory: a rule is handed copies, and the law of layouts tries
    them all.

    One example does not tell the domain of a rule: where that has no zeros or no negative numbers, state it. Numbers
    are then drawn inside, and near its ends too. Entries that are infinite in the example, as masked logits are, stay
    so; where `gradcheck.domain.masked` is stated, some of them or all are unmasked.

    Parameters
    ----------
    *args
        The example: arrays, numbers and other data; dicts, lists and tuples of them.
    vary : int or tuple of int, optional
        Positions of the arguments whose floats vary; left out, all that hold any. One-hot labels kept as
        floats would vary too: name the others here.
    domain : Domain, dict or tuple, optional
        Where the floats that vary may lie, as `gradcheck.domain` says; a dict goes by position.

    Returns
    -------
    SearchStrategy of tuple
        As long as `args`. Arrays are NumPy arrays and share no memory with the example.

    Raises
    ------
    gradcheck.errors.InvalidArgument
        If `vary` names no argument, or one without floats; if the example is outside its domain.

    Examples
    --------
    >>> from hypothesis import find
    >>> from gradcheck import strategies as gst
    >>> z, y = np.array([[0.5, 2.0, 1.0], [3.0, 0.0, 1.0]]), np.array([2, 0])
    >>> find(gst.like(z, y), lambda args: len(args[1]) == 3)
    (array([[0., 0., 0.],
           [0., 0., 0.],
           [0., 0., 0.]]), array([2, 2, 2]))
    """
    example = map_leaves(_copied, args)
    varying, rows = _positions(example, vary), _common_rows(example)
    return _varied(example, _domains(example, varying, domain), rows)


def _copied(leaf: Any) -> Any:
    is_array = hasattr(leaf, "__array__") and not isinstance(leaf, np.generic)
    return np.array(leaf) if is_array else leaf


def _dtype(leaf: Any) -> str | None:
    """Name the float dtype of a leaf, None where it has none that varies."""
    if isinstance(leaf, (float, np.ndarray, np.generic)):
        name = np.asarray(leaf).dtype.name
        return name if name in HUGE else None
    return None


def _positions(args: tuple[Any, ...], vary: int | tuple[int, ...] | None) -> frozenset[int]:
    floats = frozenset(i for i, arg in enumerate(args) if any(map(_dtype, leaves(arg))))
    if vary is None:
        if not floats:
            raise InvalidArgument("no argument holds floats, so nothing would vary: pass float arrays")
        return floats
    positions = vary if isinstance(vary, tuple) else (vary,)
    if not positions or any(type(p) is not int or p not in floats for p in positions):
        raise InvalidArgument(
            f"vary={vary!r}: pass positions of arguments that hold floats, which are {sorted(floats)}"
        )
    return frozenset(positions)


def _domains(args: tuple[Any, ...], vary: frozenset[int], given: Domains) -> dict[int, list[Domain | None]]:
    """List what is stated for each leaf of the arguments that vary, and hold the example to it."""
    domains = as_domains(given, None, ())
    found = {}
    for position in vary:
        own = domains if domains is None or isinstance(domains, Domain) else domains.get(position)
        rows = list(walk(f"args[{position}]", args[position], own))
        for path, leaf, domain in rows:
            if domain is not None and _dtype(leaf) and (outside := domain.outside(np.asarray(leaf))):
                raise InvalidArgument(f"{path}{outside}")
        found[position] = [domain for _, _, domain in rows]
    return found


def _common_rows(args: tuple[Any, ...]) -> int | None:
    """Return the number of rows of all arrays, or None where it must not change."""
    shapes = [leaf.shape for leaf in leaves(args) if isinstance(leaf, np.ndarray) and leaf.ndim]
    rows = {shape[0] for shape in shapes}
    others = {length for shape in shapes for length in shape[1:]}
    if len(shapes) < 2 or len(rows) != 1 or rows & others or 0 in rows:
        return None
    (length,) = rows
    # A list of as many numbers may well be the rows of something, and lists are not resampled.
    return None if _has_sequence(args, length) else length


def _has_sequence(tree: Any, length: int) -> bool:
    if isinstance(tree, dict):
        return any(_has_sequence(value, length) for value in tree.values())
    if not isinstance(tree, (list, tuple)):
        return False
    plain = not any(isinstance(value, (dict, list, tuple, np.ndarray)) for value in tree)
    return (plain and len(tree) == length) or any(_has_sequence(value, length) for value in tree)


@st.composite
def _varied(
    draw: st.DrawFn, args: tuple[Any, ...], vary: dict[int, list[Domain | None]], rows: int | None
) -> tuple[Any, ...]:
    source = Source(draw, arrays=len(leaves(args)))
    taken = None if rows is None else source.indices(1 + source.pick(Choice.ROWS, 2 * rows), rows)
    nth = count()

    def resampled(leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray):
            return leaf
        return leaf[taken] if taken is not None and leaf.ndim else leaf.copy()

    def varied(leaf: Any, domain: Domain | None) -> Any:
        given = resampled(leaf)
        return given if _dtype(leaf) is None else _as_in(leaf, _values(source, next(nth), np.asarray(given), domain))

    def each(tree: Any, domains: list[Domain | None]) -> Any:
        rest = iter(domains)
        return map_leaves(lambda leaf: varied(leaf, next(rest)), tree)

    return tuple(each(arg, vary[i]) if i in vary else map_leaves(resampled, arg) for i, arg in enumerate(args))


def _values(source: Source, nth: int, given: Array, domain: Domain | None) -> Array:
    """Draw numbers, in the dtype of the given ones."""
    base = source.numbers(given.shape, nth=nth)
    name, wide = given.dtype.name, given.astype(np.float64)
    if domain is not None and (kinds := kinds_inside(domain)):
        draw, sizes = kinds[source.pick(Choice.VALUES, len(kinds), nth)]
        scale = sizes[name][source.pick(Choice.SCALE, len(sizes[name]), nth)]
        return rounded_inside(draw(base, wide, scale, domain), given, domain)
    make, scales = _VALUES[source.pick(Choice.VALUES, len(_VALUES), nth)]
    scale = scales[name][source.pick(Choice.SCALE, len(scales[name]), nth)]
    kept = np.isinf(wide)
    if domain is not None and kept.any():  # all as in the example, none, or some
        kept &= (True, False, base < 0)[source.pick(Choice.MASKS, 3, nth)]
    values = make(base, np.where(np.isinf(wide), base, wide), scale)
    rounded = np.where(kept, wide, values).astype(given.dtype)
    return np.where(np.abs(rounded) < NORMAL[name], np.zeros_like(rounded), rounded)


def _as_in(leaf: Any, rounded: Array) -> Any:
    """Give values back as what the leaf is."""
    if isinstance(leaf, np.ndarray):
        return rounded
    return float(rounded) if isinstance(leaf, float) and not isinstance(leaf, np.generic) else rounded[()]
