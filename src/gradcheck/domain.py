"""Where the primals of a rule may lie: stated once, and obeyed by what is drawn and by every difference.

``domain=`` of `gradcheck.from_loss` and its like takes one `Domain` for all primals, a dict by the names or positions
of arguments, or a tuple in the order of ``argnums``. In the place of a `Domain`, a dict, list or tuple of them goes as
far into a tree of arrays as it says, and what it leaves out is unstated: any number, finite or not.

`positive` and `bounded` are open: the ends do not belong to them, so that a difference has room on both sides.

Examples
--------
>>> import numpy as np
>>> from gradcheck import domain, from_loss
>>> rule = from_loss(lambda x: -np.sum(np.log(x)), lambda x: -1 / x, domain=domain.positive)
>>> domain.bounded(0, 1).outside(np.array([0.5, 1.0]))
'[1] is 1, outside gradcheck.domain.bounded(0.0, 1.0): give numbers above 0 and below 1'
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.errors import InvalidArgument

__all__ = ["Domain", "Domains", "ambient_simplex", "bounded", "masked", "positive", "real", "simplex"]

Array = NDArray[Any]
Domains = Any  # a Domain, None, or a dict, list or tuple of them that follows a tree of arguments


@dataclass(frozen=True)
class Domain:
    """A set that the entries of a primal, or its rows along the last axis, belong to.

    The ones there are have names in this module; this class is not meant to be called.

    Attributes
    ----------
    name : str
        How it is spelled.
    low, high : float
        Entries lie strictly between them.
    masks : bool
        Whether entries may be ``-inf`` as well.
    rows : bool
        Whether the rows along the last axis sum to one.
    tangent : bool
        Whether rows are differentiated along their sums only, so that no forward is ever evaluated where they sum to
        something else.
    """

    name: str
    low: float = -math.inf
    high: float = math.inf
    masks: bool = False
    rows: bool = False
    tangent: bool = False

    def __repr__(self) -> str:
        return f"gradcheck.domain.{self.name}"

    def outside(self, array: Array) -> str:
        """Say which entry or row is the first outside, and what to give instead; empty where all is inside.

        It reads on from the name of the array.
        """
        x = np.asarray(array, dtype=np.float64)
        wrong = np.argwhere(~self._inside(x))
        if len(wrong):
            at = tuple(int(i) for i in wrong[0])
            return f"{list(at) or ''} is {x[at]:.17g}, outside {self!r}: give {self._words()}"
        if not self.rows:
            return ""
        if x.ndim == 0 or not x.shape[-1]:
            return f" has shape {x.shape}, outside {self!r}: give rows along a last axis"
        off = np.argwhere(self._excess(x, np.asarray(array).dtype) > 0)
        if not len(off):
            return ""
        row = tuple(int(i) for i in off[0])
        return f"{list(row) or ''} sums to {x[row].sum():.17g}, outside {self!r}: divide each row by its sum"

    def holds(self, array: Array) -> bool:
        """Whether all of an array is inside."""
        inside = bool(self._inside(np.asarray(array, dtype=np.float64)).all())
        if not (inside and self.rows):
            return inside
        return array.ndim > 0 and array.shape[-1] > 0 and bool(np.all(self._excess(array, array.dtype) <= 0))

    def defined(self, array: Array, dtype: np.dtype[Any]) -> bool:
        """Whether a forward may be evaluated there: inside, or beside rows that sum to one if it takes any sum.

        ``dtype`` is that of the primal, which such rows may have been rounded to.
        """
        inside = bool(self._inside(np.asarray(array, dtype=np.float64)).all())
        return inside and not (self.tangent and np.any(self._excess(array, dtype) > 0))

    def room(self, array: Array) -> Array:
        """Give how far each entry is from the nearer end, NaN where it is masked."""
        with np.errstate(invalid="ignore"):
            return np.asarray(np.minimum(array - self.low, self.high - array))

    def projected(self, primal: Array, vector: Array) -> Array:
        """Turn a direction so that it stays in the domain: towards each corner of a simplex by its component."""
        if not self.tangent:
            return vector
        return np.asarray(vector - vector.sum(axis=-1, keepdims=True) * _normalised(primal))

    def intrinsic(self, primal: Array, gradient: Array) -> Array:
        """Give what a gradient says along the directions that stay in the domain."""
        if not self.tangent:
            return gradient
        return np.asarray(gradient - (gradient * _normalised(primal)).sum(axis=-1, keepdims=True))

    def kept(self, primal: Array, moved: Array) -> Array:
        """Take back what has left the domain when a primal was moved a little."""
        inside = np.where(self._inside(np.asarray(moved, dtype=np.float64)), moved, primal)
        return np.asarray(_normalised(inside) if self.rows else inside).astype(primal.dtype)

    @staticmethod
    def _excess(rows: Array, dtype: np.dtype[Any]) -> Array:
        """Give by how much more than rounding to a dtype explains the sums of rows differ from one.

        A row was divided by its own sum: K - 1 roundings of the sum, of float32 at least, one of each quotient, and one
        of each entry where it was narrowed after that.
        """
        unit = rounding_unit(dtype)
        away = np.abs(np.asarray(rows, dtype=np.float64).sum(axis=-1) - 1)
        return np.asarray(away - 2 * unit - (rows.shape[-1] - 1) * min(unit, 2.0**-24))

    def _inside(self, x: Array) -> Array:
        inside = (self.low < x) & (x < self.high)  # NaN is nowhere
        return np.asarray(inside | (x == -math.inf) if self.masks else inside)

    def _words(self) -> str:
        ends = [f"above {self.low:g}"] if self.low > -math.inf else []
        ends += [f"below {self.high:g}"] if self.high < math.inf else []
        return (
            f"{'numbers' if ends else 'finite numbers'}{' or -inf' if self.masks else ''} {' and '.join(ends)}".strip()
        )


@cache
def rounding_unit(dtype: np.dtype[Any]) -> float:
    """Give the unit round-off of a dtype, half the spacing at one: NumPy's finfo does not know those of ml_dtypes."""
    one = np.ones((), dtype)
    return float(np.nextafter(one, dtype.type(2)) - one) / 2


def _normalised(rows: Array) -> Array:
    return np.asarray(rows / rows.sum(axis=-1, keepdims=True))


real = Domain("real")
"""Any finite number."""
positive = Domain("positive", low=0.0)
"""Finite numbers above 0."""
masked = Domain("masked", masks=True)
"""Finite numbers, and ``-inf`` for what is masked out, such as the logit of a class that cannot be."""
simplex = Domain("simplex", low=0.0, high=math.inf, rows=True, tangent=True)
"""Rows of positive numbers that sum to one.

Directions stay in the simplex, so only what a gradient says along it is compared: of a row ``g`` at ``x`` that is
``g - sum(x * g)``. Of K entries, none is drawn below 4e-10 / K, since one so small cannot be seen to move at the
expense of the others.
"""
ambient_simplex = Domain("ambient_simplex", low=0.0, high=math.inf, rows=True)
"""The same rows, for a forward that is a formula for positive numbers whatever they sum to.

Points are drawn on the simplex, and differences step off it, as a derivative by each entry alone does.
"""


def bounded(low: float, high: float) -> Domain:
    """Give the numbers strictly between two, either of which may be infinite.

    Raises
    ------
    InvalidArgument
        If they are no numbers, or the first is not below the second.

    Examples
    --------
    >>> bounded(-1, 1)
    gradcheck.domain.bounded(-1.0, 1.0)
    """
    for end in (low, high):
        if isinstance(end, bool) or not isinstance(end, (int, float, np.integer, np.floating)):
            raise InvalidArgument(f"bounded({low!r}, {high!r}): pass two numbers, the lower first")
    low, high = float(low), float(high)
    if not low < high:
        raise InvalidArgument(f"bounded({low!r}, {high!r}): pass two numbers, the lower first")
    spelled = ", ".join(repr(e) if math.isfinite(e) else f"float({str(e)!r})" for e in (low, high))
    return Domain(f"bounded({spelled})", low, high)


def as_domains(given: Domains, argnums: tuple[int, ...] | None, parameters: Sequence[str]) -> Domains:
    """Take what stands for ``domain=``: one `Domain`, or a dict of them by position, or None.

    Raises
    ------
    InvalidArgument
        If something else is among them, or an argument is named that is not differentiated.
    """
    if given is None or isinstance(given, Domain):
        return given
    if isinstance(given, tuple):
        order = range(len(given)) if argnums is None else argnums
        if len(given) != len(order):
            raise InvalidArgument(
                f"domain={given!r} has {len(given)} entries for {len(order)} differentiated arguments; give one each"
            )
        given = dict(zip(order, given, strict=True))
    if not isinstance(given, Mapping):
        raise InvalidArgument(
            f"domain={given!r} ({type(given).__name__}): pass one of gradcheck.domain, such as "
            "gradcheck.domain.positive, a dict of them by argument, or a tuple in the order of argnums"
        )
    found = {_position(key, parameters): value for key, value in given.items()}
    for key, value in given.items():
        _require_domains(f"domain[{key!r}]", value)
        if argnums is not None and _position(key, parameters) not in argnums:
            raise InvalidArgument(f"domain names argument {key!r}, which is not differentiated: argnums={argnums}")
    return found


def _position(key: Any, parameters: Sequence[str]) -> int:
    if isinstance(key, str) and key in parameters:
        return parameters.index(key)
    if isinstance(key, int) and not isinstance(key, bool) and key >= 0:
        return key
    known = f", which are {', '.join(parameters)}" if parameters else ""
    raise InvalidArgument(f"domain names argument {key!r}: pass positions counted from 0, or names of arguments{known}")


def _require_domains(path: str, value: Any) -> None:
    if value is None or isinstance(value, Domain):
        return
    inner = _inner(value)
    if inner is None:
        raise InvalidArgument(
            f"{path} is {value!r} ({type(value).__name__}): pass one of gradcheck.domain, such as "
            "gradcheck.domain.positive, or a dict, list or tuple of them like the argument"
        )
    for key, part in inner.items():
        _require_domains(f"{path}[{key!r}]", part)


def _inner(tree: Any) -> dict[Any, Any] | None:
    """Give the parts of a tree by their keys, None for what is no tree."""
    if hasattr(tree, "_asdict"):  # a named tuple, whose fields JAX goes by too
        return dict(tree._asdict())
    if isinstance(tree, Mapping):
        return dict(tree)
    return dict(enumerate(tree)) if isinstance(tree, (list, tuple)) else None


def domain_at(domains: Domains, keys: Sequence[Any]) -> Domain | None:
    """Find what is stated for one array of a tree, None where nothing is."""
    for key in keys:
        inner = _inner(domains)
        domains = domains if inner is None else inner.get(key)
    return domains if isinstance(domains, Domain) else None


def walk(path: str, value: Any, domains: Domains) -> Iterator[tuple[str, Any, Domain | None]]:
    """Go through the leaves of an argument, each with its path and what is stated for it.

    Raises
    ------
    InvalidArgument
        If something is stated for parts that the argument has not.
    """
    inner, stated = _inner(value), _inner(domains)
    if stated is not None and not set(stated) <= set(inner or {}):
        known = f"its parts are {', '.join(map(repr, inner))}" if inner else "that is one array"
        raise InvalidArgument(f"domain says {domains!r} for {path}, but {known}")
    if inner is None:
        yield path, value, domains
        return
    for key, part in inner.items():
        yield from walk(f"{path}[{key!r}]", part, domains if stated is None else stated.get(key))


def parsed(code: str) -> Domains:
    """Take back what the ``repr`` of domains, or of dicts, lists and tuples of them, has written.

    Raises
    ------
    InvalidArgument
        If it is something else.
    """
    try:
        return _value(ast.parse(code, mode="eval").body)
    except (SyntaxError, ValueError, KeyError) as error:
        raise InvalidArgument(f"{code!r} is no domain, nor a dict, list or tuple of them ({error})") from None


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Attribute(attr=name):
            return {known.name: known for known in (real, positive, masked, simplex, ambient_simplex)}[name]
        case ast.Call(func=ast.Attribute(attr="bounded"), args=[low, high]):
            return bounded(_value(low), _value(high))
        case ast.Call(func=ast.Name(id="float"), args=[ast.Constant(value=text)]):
            return float(str(text))
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            return {ast.literal_eval(key): _value(value) for key, value in pairs if key is not None}
        case ast.List(elts=parts):
            return list(map(_value, parts))
        case ast.Tuple(elts=parts):
            return tuple(map(_value, parts))
    return ast.literal_eval(node)
