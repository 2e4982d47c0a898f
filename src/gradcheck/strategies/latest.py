"""Which case the arguments of a check were drawn as, though it was handed them one by one, as ``check(rule, *case)``.

Unpacked, a case has lost what it knows of its regimes. So the case that was drawn last is remembered, and recognised
by its first array.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, TypeVar

__all__ = ["drawn_as", "remembered"]

Drawn = TypeVar("Drawn", bound=tuple[Any, ...])

_LATEST: ContextVar[tuple[Any, ...]] = ContextVar("_LATEST", default=())


def remembered(case: Drawn) -> Drawn:
    """Remember a case that has just been drawn."""
    _LATEST.set(case)
    return case


def drawn_as(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give the case that has just been drawn if its first array is among the arguments, else the arguments."""
    latest = _LATEST.get()
    return latest if latest and any(arg is latest[0] for arg in args) else args
