"""The rule: a forward and the pullback somebody wrote by hand for it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradcheck.domain import Domain, Domains, as_domains, domain_at, walk
from gradcheck.errors import InvalidArgument

__all__ = ["Point", "Pullback", "Rule", "float_positions"]

Pullback = Callable[[Any], Any]


@dataclass(frozen=True)
class Rule:
    """A function together with its hand-written derivative, in the one form that everything here works on.

    ``rule(*args, **kwargs)`` returns ``(out, pullback)``. ``out`` is a floating-point array (or a tree of them) and
    ``pullback(cotangent)``, with a cotangent shaped like ``out``, returns one cotangent per differentiated argument:
    a bare one where there is exactly one, otherwise a tuple in their order.

    The contract, which is enforced before any number is compared:

    - deterministic, and callable as often as one likes: no state that lasts from one call to the next;
    - each cotangent has the shape and dtype of its primal (array-likes such as nested lists are taken as they are);
      ``None`` in the tuple means "not differentiable" and leaves that argument unjudged, which the report says;
    - arguments and cotangents are not changed, and results share no memory with them or with earlier results.

    Parameters
    ----------
    call : callable
        ``(*args, **kwargs) -> (out, pullback)``.
    forward : callable
        ``(*args, **kwargs) -> out``, the plain function that is differentiated. Finite differences run it.
    name : str
        How reports, test ids and Hypothesis's database call the rule; qualified, as in ``package.module.nll_grad``.
    argnums : tuple of int, or None
        Positions of the arguments that are differentiated; None means every positional argument whose arrays
        are all floating-point. Everything else, positional or keyword, is data.
    reference : callable, or None
        A restatement of ``forward`` that JAX can trace. Where it is None it is looked for.
    takes_cotangent : bool
        False for a pair of loss and gradient: the derivative is only ever asked for cotangent 1.
    parameters : tuple of str
        Names of the positional parameters, for messages.
    target : tuple of str
        Where the hand-written functions can be imported from, as ``module:qualname``; empty where they cannot.
    maker : str
        The name of the function that made this rule, for the test that a report prints.
    domain : Domain, dict, tuple or None
        Where the primals may lie, as `gradcheck.domain` says: one for all of them, by argument, or in the order of
        ``argnums``. Points drawn and steps taken stay inside, and a point outside is refused.
    written : tuple of callable
        The hand-written functions as the maker took them, the derivative last, for mutants of them.
    """

    call: Callable[..., tuple[Any, Pullback]]
    forward: Callable[..., Any]
    name: str
    argnums: tuple[int, ...] | None = None
    reference: Callable[..., Any] | None = None
    takes_cotangent: bool = True
    parameters: tuple[str, ...] = ()
    target: tuple[str, ...] = field(default=(), repr=False)
    maker: str = field(default="", repr=False)
    domain: Domains = field(default=None, hash=False)  # a dict has no hash
    written: tuple[Callable[..., Any], ...] = field(default=(), repr=False, compare=False)  # `call` is made of them

    def __post_init__(self) -> None:
        require_callable(call=self.call, forward=self.forward)
        if self.reference is not None:
            require_callable(reference=self.reference)
        if not isinstance(self.name, str):
            raise InvalidArgument(f"name must be a string, got name={self.name!r} ({type(self.name).__name__})")
        if self.argnums is not None:
            object.__setattr__(self, "argnums", as_positions(self.argnums))
        object.__setattr__(self, "domain", as_domains(self.domain, self.argnums, self.parameters))

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Any, Pullback]:
        """Run the rule: ``(out, pullback)``."""
        return self.call(*args, **kwargs)

    def differentiated(self, args: Sequence[Any]) -> tuple[int, ...]:
        """Give the positions that are differentiated for these arguments.

        Raises
        ------
        InvalidArgument
            If a position is out of range, holds no floating-point array, or none is left.
        """
        floats = float_positions(args)
        if self.argnums is None:
            if not floats:
                shown = ", ".join(_kind(a) for a in args) or "no arguments"
                raise InvalidArgument(
                    f"{self.name}: nothing to differentiate among its positional arguments ({shown}); "
                    "pass the primals as floating-point arrays, or say which with argnums="
                )
            return floats
        for position in self.argnums:
            if position >= len(args):
                raise InvalidArgument(
                    f"{self.name}: argnums names argument {position}, but only {len(args)} positional arguments came"
                )
            if position not in floats:
                raise InvalidArgument(
                    f"{self.name}: {_obstacle(args[position], self.label(position))}; pass a floating-point array, "
                    "float64 or narrower"
                )
        return self.argnums

    def domain_at(self, position: int, keys: Sequence[Any] = ()) -> Domain | None:
        """Find the domain of one array: of an argument, or at these keys and positions in its tree."""
        return domain_at(self.domain, (position, *keys))

    def require_inside(self, args: Sequence[Any]) -> None:
        """Refuse primals outside their domain.

        Raises
        ------
        InvalidArgument
            If an entry is outside, or a domain is stated for what is not differentiated or not there.
        """
        if self.domain is None:
            return
        wrt = self.differentiated(args)
        if not isinstance(self.domain, Domain) and (extra := sorted(set(self.domain) - set(wrt))):
            raise InvalidArgument(f"{self.name}: domain names {self.label(extra[0])}, which is not differentiated here")
        for position in wrt:
            domains = self.domain if isinstance(self.domain, Domain) else self.domain.get(position)
            for path, array, domain in walk(self.label(position), args[position], domains):
                if domain is not None and (outside := domain.outside(np.asarray(array))):
                    raise InvalidArgument(f"{self.name}: {path}{outside}")

    def label(self, position: int) -> str:
        """Name an argument as its author does, or by position."""
        return self.parameters[position] if position < len(self.parameters) else f"args[{position}]"


@dataclass(frozen=True, eq=False)
class Point:
    """Where a rule is judged: arguments, keyword data, and the cotangent that is pulled back."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    cotangent: Any


def _kind(value: Any) -> str:
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype}{tuple(value.shape)}"
    empty = "an empty " if isinstance(value, (dict, tuple, list)) and not value else ""
    return empty + type(value).__name__


def _obstacle(value: Any, path: str) -> str:
    """Say which part of an argument prevents that it is differentiated."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (tuple, list)) else ()
    for key, part in parts:
        if not _all_float(part):
            return _obstacle(part, f"{path}[{key!r}]")
    return f"{path} is to be differentiated but is {_kind(value)}"


def float_positions(args: Sequence[Any]) -> tuple[int, ...]:
    """Positions of the arguments made of floating-point arrays only (Python floats are data, like step sizes)."""
    return tuple(i for i, arg in enumerate(args) if _all_float(arg))


def _all_float(value: Any) -> bool:
    if isinstance(value, dict):
        return bool(value) and all(map(_all_float, value.values()))
    if isinstance(value, (tuple, list)):
        return bool(value) and all(map(_all_float, value))
    try:
        return is_float(np.dtype(getattr(value, "dtype", object)))
    except TypeError:  # a dtype of some other library, such as that of a random key
        return False


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype is real floating-point, those of ml_dtypes (bfloat16, ...) included.

    Extended precision is not: the oracles compute in float64, which could not judge it.
    """
    return (dtype.kind == "f" and dtype.itemsize <= 8) or (dtype.kind == "V" and "float" in dtype.name)


def require_callable(**functions: Any) -> None:
    """Refuse what is no function, by the name of the parameter it came as."""
    for name, function in functions.items():
        if not callable(function):
            raise InvalidArgument(f"{name} must be a function, got {name}={function!r} ({type(function).__name__})")


def as_positions(argnums: Any) -> tuple[int, ...]:
    """Take a position, or a tuple of them, for a tuple."""
    positions = argnums if isinstance(argnums, tuple) else (argnums,)
    for position in positions:
        if not isinstance(position, int) or isinstance(position, bool) or position < 0:
            raise InvalidArgument(
                f"argnums must be a position or a tuple of positions counted from 0, got argnums={argnums!r}"
            )
    if not positions or len(set(positions)) < len(positions):
        raise InvalidArgument(f"argnums must name at least one position, each once, got argnums={argnums!r}")
    return positions


def positional_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of a function's positional parameters; empty where Python cannot tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ()
    return tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))


def qualified(function: Callable[..., Any]) -> str:
    """``module.qualname`` of a function, or the name of its type where it has none."""
    name = getattr(function, "__qualname__", None) or getattr(getattr(function, "func", None), "__qualname__", None)
    module = getattr(function, "__module__", None)
    name = name or type(function).__qualname__
    return f"{module}.{name}" if module and module != "__main__" else name
