"""Approximations in JAX's programs become one step each, by the name of the function, on both versions of JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special
import numpy as np
import pytest

from gradcheck.oracles.program.jaxpr import Leaf, Plan, Signature, plan
from gradcheck.oracles.program.replacements import REPLACEMENTS

special: Any = jax.scipy.special  # what it has depends on the version
NEW = jax.__version_info__ >= (0, 12)
X = np.array([0.3, 0.75, 1.5, 2.5])

Function = Callable[[Any], Any]

# step -> what leads to it
CALLS: dict[str, Function] = {
    "dawsn": special.dawsn,
    "erfcx": special.erfcx,
    "expi": special.expi,
    "expn": lambda x: special.expn(2, x),
    "fresnel": lambda x: special.fresnel(x)[0],
    "hyp1f1": lambda x: special.hyp1f1(1.5, 2.5, x),
    "log_ndtr": special.log_ndtr,
    "hyp2f1": lambda x: special.hyp2f1(1.5, 0.5, 2.5, x / 4),
    "sici": lambda x: special.sici(x)[1],
}
if NEW:
    CALLS |= {
        "erfcinv": lambda x: special.erfcinv(x / 3),
        "erfcinv_grad": lambda x: special.erfcinv(x / 3),
        "erfcx_grad": special.erfcx,
        "exp_neg_sq": special.erf,
        "ndtri": lambda x: special.ndtri(x / 3),
        "ndtri_grad": lambda x: special.ndtri(x / 3),
    }


def planned(function: Function) -> Plan:
    tree = jax.tree_util.tree_structure(((0,), {}))
    return plan(function, Signature(tree, (Leaf(X.shape, "float64", True),)))


@pytest.mark.parametrize("name", CALLS)
def test_one_step_takes_the_place_of_the_approximation(name: str) -> None:
    bound = planned(CALLS[name])
    steps = [step for step in bound.steps if step.name == name]
    assert steps
    assert all(step.params == {} for step in steps)
    assert not any(step.name in ("polynomial", "while", "bitcast_convert_type") for step in bound.steps)


@pytest.mark.parametrize("name", CALLS)
def test_its_operation_is_what_jax_evaluates(name: str) -> None:
    cotangent = np.linspace(-1.0, 2.0, X.size)
    value, gradient = planned(CALLS[name]).values([X, cotangent])
    with jax.enable_x64(True):
        truth, pullback = jax.vjp(CALLS[name], jnp.asarray(X))
        (slope,) = pullback(jnp.asarray(cotangent))
    np.testing.assert_allclose(value, truth, rtol=1e-13)
    np.testing.assert_allclose(gradient, slope, rtol=1e-13)


def test_a_function_of_the_same_name_outside_jax_is_left_alone() -> None:
    @jax.custom_jvp
    def expi(x: Any) -> Any:
        return 2 * x

    expi.defjvp(lambda primals, tangents: (expi(primals[0]), 2 * tangents[0]))
    bound = planned(expi)
    assert not any(step.name in REPLACEMENTS.values() for step in bound.steps)
    np.testing.assert_array_equal(bound.values([X, np.ones(X.size)])[1], np.full(X.size, 2.0))


def test_the_table_is_covered() -> None:
    new = {"erfcinv", "erfcinv_grad", "erfcx_grad", "exp_neg_sq", "ndtri", "ndtri_grad"}
    assert set(CALLS) | (set() if NEW else new) == set(REPLACEMENTS.values())
