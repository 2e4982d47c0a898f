"""The room shows what it lists, and importing it does no work."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from gradcheck import strategies as gst


def test_all_lists_every_public_name() -> None:
    public = {
        name for name, value in vars(gst).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    # Submodules `labels`, `cotangents` and `like` are hidden by the functions of the same names.
    assert public == set(gst.__all__)
    assert all(callable(getattr(gst, name)) for name in ("labels", "cotangents", "like"))


def test_neither_jax_nor_pytest_is_imported(python: Any) -> None:
    code = "import sys, gradcheck.strategies; print([m for m in ('jax', 'pytest') if m in sys.modules])"
    assert python("-c", code).stdout.strip() == "[]"
    # The check can fail.
    assert python("-c", f"import pytest\n{code}").stdout.strip() == "['pytest']"
