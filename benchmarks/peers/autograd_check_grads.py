"""``autograd.test_util.check_grads`` of a ``primitive`` with a vjp.

Its defaults ask for a jvp and for second derivatives too, which a pair in NumPy does not have: reverse mode and first
order are what is left.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from .handwritten import Handwritten
from .objection import Objection


def check(rule: Handwritten) -> None:
    """Make a primitive of the pair and check it in all its arguments."""
    extend: Any = import_module("autograd.extend")  # typed as Any: it comes without types
    test_util: Any = import_module("autograd.test_util")
    primitive = extend.primitive(rule.value)

    def make_vjp(argnums: tuple[int, ...], _out: Any, args: tuple[Any, ...], _kwargs: Any) -> Any:
        _, pull = rule.linearize(*args)
        return lambda cotangent: _selected(pull(cotangent), argnums)

    extend.defvjp_argnums(primitive, make_vjp)
    argnums = tuple(range(len(rule.primals)))
    # it draws from NumPy's global generator, which is put back as it was
    state = np.random.get_state()  # noqa: NPY002  # the peer uses no other
    np.random.seed(0)  # noqa: NPY002  # as above
    try:
        test_util.check_grads(primitive, argnums, modes=["rev"], order=1)(*rule.primals)
    except AssertionError as error:
        raise Objection(str(error)) from error
    finally:
        np.random.set_state(state)  # noqa: NPY002  # as above


def _selected(gradients: tuple[Any, ...], argnums: tuple[int, ...]) -> tuple[Any, ...]:
    return tuple(gradients[at] for at in argnums)
