"""Packages that only some features need, each imported where it is used."""

from __future__ import annotations

import importlib
from types import ModuleType

from gradcheck.errors import MissingExtra

__all__ = ["import_extra"]


def import_extra(module: str, feature: str, package: str, extra: str) -> ModuleType:
    """Import a module of an optional dependency, which is called for only where ``feature`` is.

    Raises
    ------
    MissingExtra
        If it is not installed: what needs it, and the command that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(feature, package, extra) from error
