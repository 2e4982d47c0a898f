"""Rules in float16 and bfloat16: every maker takes them, wrong ones are caught, and reports print them as code."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import gradcheck
from gradcheck import Outcome, Rule
from gradcheck.report.code import as_code, reproduction

Array: TypeAlias = Any

DTYPES = [np.float16, ml_dtypes.bfloat16]
X = np.array([0.5, -1.25, 2.0])


def wide(x: Array) -> Array:
    """Compute as careful code does, in float32 at least, and round once at the end."""
    return x.astype(np.promote_types(x.dtype, np.float32))


def tanh(x: Array) -> Array:
    return np.tanh(wide(x)).astype(x.dtype)


def tanh_vjp(x: Array, cotangent: Array) -> Array:
    return (wide(cotangent) * (1 - np.tanh(wide(x)) ** 2)).astype(x.dtype)


def tanh_vjp_off(x: Array, cotangent: Array) -> Array:
    return (wide(cotangent) * (1.5 - np.tanh(wide(x)) ** 2)).astype(x.dtype)


def norm(x: Array) -> Any:
    return np.sum(wide(x) ** 2).astype(x.dtype)


def norm_grad(x: Array, factor: float = 2.0) -> Array:
    return (factor * wide(x)).astype(x.dtype)


def made(off: float) -> list[Rule]:
    vjp = tanh_vjp_off if off else tanh_vjp
    options: dict[str, Any] = {"reference": jnp.tanh, "name": "r"}
    return [
        gradcheck.from_loss(norm, lambda x: norm_grad(x, 2.0 + off), name="r"),
        gradcheck.from_vjp(tanh, vjp, **options),
        gradcheck.from_forward_backward(lambda x: (tanh(x), x), lambda g, x: vjp(x, g), **options),
        gradcheck.from_pullback(lambda x: (tanh(x), lambda g: vjp(x, g)), **options),
    ]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("maker", range(4))
def test_every_maker_takes_narrow_arrays(maker: int, dtype: Any) -> None:
    x = X.astype(dtype)
    assert gradcheck.examine(made(0.0)[maker], x)
    assert gradcheck.examine(made(1.0)[maker], x).outcome is Outcome.FAIL


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("domain", [None, gradcheck.domain.bounded(-3, 3)], ids=["any", "bounded"])
def test_points_like_narrow_ones_are_narrow(dtype: Any, domain: Any) -> None:
    seen: set[Any] = set()

    def watched(x: Array, cotangent: Array) -> Array:
        seen.add((x.dtype, cotangent.dtype))
        return tanh_vjp(x, cotangent)

    rule = gradcheck.from_vjp(tanh, watched, name="r", reference=jnp.tanh, domain=domain)
    assert gradcheck.verify(rule, like=(X.astype(dtype),), seed=0, examples=25)
    assert seen == {(np.dtype(dtype), np.dtype(dtype))}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("given", [[1.0, 2.0, -1.0], np.array([1, 2, -1])], ids=["list", "int"])
def test_cotangents_are_cast_to_the_value(dtype: Any, given: Any) -> None:
    report = gradcheck.examine(gradcheck.from_vjp(tanh, tanh_vjp), X.astype(dtype), cotangent=given)
    assert report
    assert report.point.cotangent.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_cotangent_that_the_dtype_cannot_hold_is_refused(dtype: Any) -> None:
    with pytest.raises(gradcheck.InvalidArgument, match=f"cotangent must be finite in {np.dtype(dtype)}"):
        gradcheck.examine(gradcheck.from_vjp(tanh, tanh_vjp), X.astype(dtype), cotangent=[1e300, 1.0, 1.0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gradient_in_another_dtype_is_named(dtype: Any) -> None:
    rule = gradcheck.from_vjp(tanh, lambda x, c: wide(tanh_vjp(x, c)), name="r")
    text = str(gradcheck.examine(rule, X.astype(dtype)))
    assert re.search(rf"float32.*{np.dtype(dtype)}|{np.dtype(dtype)}.*float32", text)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_test_in_a_report_fails_as_the_check_did(dtype: Any) -> None:
    rule = gradcheck.from_vjp(tanh, tanh_vjp_off)
    report = gradcheck.examine(rule, X.astype(dtype))
    code = reproduction(report)
    assert code in str(report)
    names: dict[str, Any] = {}
    # what is imported from this module is at hand: it is no package
    exec(re.sub(r"from \S+ import .*", "", code), names | {"tanh": tanh, "tanh_vjp_off": tanh_vjp_off}, names)
    test: Callable[[], None] = next(value for name, value in names.items() if name.startswith("test_"))
    vars(test)["__globals__"] = None
    test.__globals__.update(names, tanh=tanh, tanh_vjp_off=tanh_vjp_off)
    with pytest.raises(gradcheck.GradientMismatch):
        test()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [X, np.array(0.1), np.zeros((0, 3)), np.array([np.inf, -np.inf, 1e-7, 3e4])])
def test_narrow_arrays_are_code(dtype: Any, value: Any) -> None:
    array = value.astype(dtype)
    back = eval(as_code(array), {"np": np, "ml_dtypes": ml_dtypes})
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())
