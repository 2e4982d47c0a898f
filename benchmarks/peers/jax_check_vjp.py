"""``jax.test_util.check_vjp``, which takes the function and its vjp as they are, without tracing them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import jax

from .handwritten import Handwritten
from .objection import Objection


def check(rule: Handwritten) -> None:
    """Check the pair on NumPy arrays."""
    test_util: Any = import_module("jax.test_util")  # typed as Any: it has no annotations
    with jax.enable_x64(True):
        try:
            test_util.check_vjp(rule.value, rule.linearize, rule.primals)
        except AssertionError as error:
            raise Objection(str(error)) from error
