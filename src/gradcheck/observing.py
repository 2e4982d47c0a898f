"""Who is told of every report: the pytest plugin, while a test runs. Imports nothing, so that it costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradcheck.report import Report

__all__ = ["observed", "told"]

_OBSERVER: ContextVar[Callable[[Report], None] | None] = ContextVar("_OBSERVER", default=None)


@contextmanager
def observed(observer: Callable[[Report], None] | None) -> Iterator[None]:
    """Hand every report that `check`, `examine` or `verify` comes to in here to an observer, in this context alone.

    ``observed(None)`` keeps what is checked in here, such as mutants, from whoever observes.
    """
    token = _OBSERVER.set(observer)
    try:
        yield
    finally:
        _OBSERVER.reset(token)


def told(report: Report) -> Report:
    """Tell whoever observes, and give the report back."""
    observer = _OBSERVER.get()
    if observer is not None:
        observer(report)
    return report
