"""The reference of this room: ``jax.vjp`` of a plain restatement, compiled, in float64."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

Vjp = Callable[..., tuple[Any, Any]]


@functools.cache
def _compiled(restatement: Callable[..., Any]) -> Callable[..., Any]:
    def value_and_cotangents(primals: Any, data: Any, ct: Any) -> Any:
        out, pullback = jax.vjp(lambda *p: restatement(*p, *data), *primals)
        return out, pullback(ct)

    return jax.jit(value_and_cotangents)


@pytest.fixture(scope="session")
def reference_vjp() -> Vjp:
    """``reference_vjp(restatement, primals, ct, *data) -> (out, cotangents)``, NumPy float64 throughout."""

    def reference(restatement: Callable[..., Any], primals: tuple[Any, ...], ct: Any, *data: Any) -> Any:
        with jax.enable_x64(True):
            widened = jax.tree.map(lambda x: np.asarray(x, np.float64), (primals, data, ct))
            results = jax.tree.map(np.asarray, _compiled(restatement)(*widened))
        assert all(leaf.dtype == np.float64 for leaf in jax.tree.leaves(results))
        return results

    return reference
