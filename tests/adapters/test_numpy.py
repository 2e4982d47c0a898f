"""Every maker: right and wrong gradients, trees and keywords, names and targets, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial, wraps
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradcheck
from gradcheck import InvalidArgument, Outcome, Rule

Array: TypeAlias = Any

X = np.array([0.5, -1.25, 2.0])
Y = np.array([1.5, 0.25, -0.75])
W = np.array([[0.5, -1.0], [2.0, 0.25], [-0.5, 1.5]])


def outcome(rule: Rule, *args: Any, **data: Any) -> Outcome:
    return gradcheck.examine(rule, *args, **data).outcome


# --- functions with names that can be imported ----------------------------------------------------------------


def cube(x: Array, scale: float = 1.0) -> Any:
    return scale * np.sum(x**3)


def cube_grad(x: Array, scale: float = 1.0) -> Array:
    return 3 * scale * x**2


def cube_grad_without_scale(x: Array, scale: float = 1.0) -> Array:
    return 3 * x**2


def product(x: Array, y: Array) -> Array:
    return x * x * y


def product_vjp(x: Array, y: Array, cotangent: Array) -> tuple[Array, Array]:
    return 2 * x * y * cotangent, x * x * cotangent


def product_vjp_swapped(x: Array, y: Array, cotangent: Array) -> tuple[Array, Array]:
    return product_vjp(x, y, cotangent)[::-1]


def dense_forward(x: Array, w: Array) -> tuple[Array, tuple[Array, Array]]:
    return x @ w, (x, w)


def dense_backward(dout: Array, cache: tuple[Array, Array]) -> tuple[Array, Array]:
    x, w = cache
    return dout @ w.T, np.outer(x, dout)


def dense_backward_untransposed(dout: Array, cache: tuple[Array, Array]) -> tuple[Array, Array]:
    x, _ = cache
    return np.zeros_like(x), np.outer(x, dout)


def sine(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    return np.sin(x), lambda cotangent: cotangent * np.cos(x)


def sine_with_wrong_sign(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    return np.sin(x), lambda cotangent: -cotangent * np.cos(x)


# --- each maker, right and wrong ------------------------------------------------------------------------------

PAIRS = [
    pytest.param(
        gradcheck.from_loss(cube, cube_grad),
        gradcheck.from_loss(cube, cube_grad_without_scale),
        (X, 2.0),
        id="from_loss",
    ),
    pytest.param(
        gradcheck.from_vjp(product, product_vjp),
        gradcheck.from_vjp(product, product_vjp_swapped),
        (X, Y),
        id="from_vjp",
    ),
    pytest.param(
        gradcheck.from_forward_backward(dense_forward, dense_backward),
        gradcheck.from_forward_backward(dense_forward, dense_backward_untransposed),
        (X, W),
        id="from_forward_backward",
    ),
    pytest.param(
        gradcheck.from_pullback(sine), gradcheck.from_pullback(sine_with_wrong_sign), (X,), id="from_pullback"
    ),
]


@pytest.mark.parametrize(("right", "wrong", "args"), PAIRS)
def test_right_passes_and_wrong_fails(right: Rule, wrong: Rule, args: tuple[Any, ...]) -> None:
    assert outcome(right, *args) is Outcome.PASS
    assert outcome(wrong, *args) is Outcome.FAIL


@pytest.mark.parametrize(("right", "wrong", "args"), PAIRS)
def test_the_rule_runs_as_one_function(right: Rule, wrong: Rule, args: tuple[Any, ...]) -> None:
    out, pullback = right(*args)
    np.testing.assert_array_equal(out, wrong(*args)[0])
    results = pullback(np.ones_like(out))
    assert np.shape(results[0] if isinstance(results, tuple) else results) == args[0].shape


def test_a_plain_forward_beside_a_pullback_is_what_is_differentiated() -> None:
    rule = gradcheck.from_pullback(sine, forward=np.sin)
    assert rule.forward is np.sin
    assert outcome(rule, X) is Outcome.PASS
    assert outcome(gradcheck.from_pullback(sine, forward=np.cos), X) is Outcome.FAIL


def test_a_loss_pulls_back_any_number() -> None:
    """Judged only for 1, but a rule is a rule: whoever composes it may pull back another."""
    _, pullback = gradcheck.from_loss(cube, cube_grad)(X)
    np.testing.assert_array_equal(pullback(2.0), 2 * cube_grad(X))

    def by_both(x: Array, y: Array) -> tuple[Array, Array]:
        return product_vjp(x, y, 1.0)

    _, pullback = gradcheck.from_loss(lambda x, y: np.sum(product(x, y)), by_both, argnums=(0, 1))(X, Y)
    np.testing.assert_array_equal(pullback(-0.5)[1], -0.5 * X * X)


def test_a_loss_pulls_back_through_trees_and_keeps_dtypes() -> None:
    rule = gradcheck.from_loss(
        lambda p, x: np.sum(p["w"] * x), lambda p, x: ({"w": x.copy()}, p["w"].copy()), argnums=(0, 1)
    )
    w, x = X.astype(np.float32), Y.astype(np.float16)
    by_p, by_x = rule({"w": w}, x)[1](np.float64(2.0))
    assert (by_p["w"].dtype, by_x.dtype) == (np.float16, np.float32)
    np.testing.assert_array_equal(by_p["w"], 2 * x)
    undifferentiable = gradcheck.from_loss(lambda x, y: np.sum(x * y), lambda x, y: (y.copy(), None), argnums=(0, 1))
    assert undifferentiable(X, Y)[1](2.0)[1] is None


# --- which arguments ------------------------------------------------------------------------------------------


def test_only_the_first_argument_of_a_loss_is_differentiated() -> None:
    report = gradcheck.examine(gradcheck.from_loss(lambda x, y: np.sum(product(x, y)), lambda x, y: 2 * x * y), X, Y)
    assert report
    assert [d.path for d in report.verdict.discrepancies] == ["x"]


def test_every_floating_point_argument_of_a_vjp_is_differentiated() -> None:
    def scaled(x: Array, times: Array, y: Array, step: float) -> Array:
        return step * times * product(x, y)

    def vjp(x: Array, times: Array, y: Array, step: float, cotangent: Array) -> tuple[Array, Array]:
        return product_vjp(x, y, step * times * cotangent)

    report = gradcheck.examine(gradcheck.from_vjp(scaled, vjp), X, np.array([1, 2, 3]), Y, 0.5)
    assert report
    assert [d.path for d in report.verdict.discrepancies] == ["x", "y"]


@pytest.mark.parametrize("argnums", [(0, 1), (1, 0)])
def test_results_come_in_the_order_of_argnums(argnums: tuple[int, ...]) -> None:
    def vjp(x: Array, y: Array, cotangent: Array) -> tuple[Array, ...]:
        both = product_vjp(x, y, cotangent)
        return tuple(both[i] for i in argnums)

    def reversed_vjp(x: Array, y: Array, cotangent: Array) -> tuple[Array, ...]:
        return vjp(x, y, cotangent)[::-1]

    assert outcome(gradcheck.from_vjp(product, vjp, argnums=argnums), X, Y) is Outcome.PASS
    assert outcome(gradcheck.from_vjp(product, reversed_vjp, argnums=argnums), X, Y) is Outcome.FAIL


def test_one_of_several_arguments() -> None:
    rule = gradcheck.from_vjp(product, lambda x, y, cotangent: x * x * cotangent, argnums=1)
    assert outcome(rule, X, Y) is Outcome.PASS
    as_a_tuple = gradcheck.from_vjp(product, lambda x, y, cotangent: (x * x * cotangent,), argnums=1)
    assert outcome(as_a_tuple, X, Y) is Outcome.PASS


# --- trees ----------------------------------------------------------------------------------------------------

PARAMS = {"W1": np.linspace(-1, 1, 40).reshape(5, 8), "b1": np.linspace(0, 1, 8)}
H = np.linspace(-2, 2, 15).reshape(3, 5)


def affine(params: dict[str, Array], h: Array) -> Any:
    return 0.5 * np.sum((h @ params["W1"] + params["b1"]) ** 2)


def affine_grad(params: dict[str, Array], h: Array) -> dict[str, Array]:
    out = h @ params["W1"] + params["b1"]
    return {"W1": h.T @ out, "b1": out.sum(axis=0)}


def affine_grad_wrong_in_one_entry(params: dict[str, Array], h: Array) -> dict[str, Array]:
    grads = affine_grad(params, h)
    grads["W1"][3, 7] *= 2
    return grads


def test_a_dict_of_parameters() -> None:
    report = gradcheck.examine(gradcheck.from_loss(affine, affine_grad), PARAMS, H)
    assert report
    assert [d.path for d in report.verdict.discrepancies] == ["params['W1']", "params['b1']"]


def test_a_message_names_the_entry() -> None:
    report = gradcheck.examine(gradcheck.from_loss(affine, affine_grad_wrong_in_one_entry), PARAMS, H)
    assert report.outcome is Outcome.FAIL
    assert "params['W1'][3, 7]" in str(report)
    assert "params['b1'][" not in str(report)


@pytest.mark.parametrize("make", [tuple, list])
def test_a_tuple_or_list_of_parameters(make: Callable[[Any], Any]) -> None:
    def fun(layers: Any) -> Any:
        return np.sum(layers[0] ** 2) + np.sum(layers[1] ** 3)

    def grad(layers: Any) -> Any:
        return make([2 * layers[0], 3 * layers[1] ** 2])

    def wrong(layers: Any) -> Any:
        return make([2 * layers[0], 2 * layers[1] ** 2])

    layers = make([X, W])
    assert outcome(gradcheck.from_loss(fun, grad), layers) is Outcome.PASS
    report = gradcheck.examine(gradcheck.from_loss(fun, wrong), layers)
    assert report.outcome is Outcome.FAIL
    assert "layers[1][1, 0]" in str(report)


def test_trees_within_trees_and_plain_arguments_together() -> None:
    def fun(params: Any, x: Array) -> Array:
        return params["head"][0] * x + params["head"][1]

    def vjp(params: Any, x: Array, cotangent: Array) -> Any:
        w, _ = params["head"]
        return {"head": (cotangent * x, cotangent.copy())}, cotangent * w

    report = gradcheck.examine(gradcheck.from_vjp(fun, vjp), {"head": (X, Y)}, Y)
    assert report
    assert [d.path for d in report.verdict.discrepancies] == ["params['head'][0]", "params['head'][1]", "x"]


def test_a_value_may_be_a_tree() -> None:
    def fun(x: Array) -> dict[str, Array]:
        return {"mean": np.mean(x), "square": x * x}

    def vjp(x: Array, cotangent: dict[str, Array]) -> Array:
        return cotangent["mean"] / x.size + 2 * x * cotangent["square"]

    rule = gradcheck.from_vjp(fun, vjp)
    assert outcome(rule, X) is Outcome.PASS
    assert outcome(rule, X, cotangent={"mean": 3.0, "square": np.ones(3)}) is Outcome.PASS
    wrong = gradcheck.from_vjp(fun, lambda x, cotangent: 2 * x * cotangent["square"])
    assert outcome(wrong, X) is Outcome.FAIL


# --- data -----------------------------------------------------------------------------------------------------


def test_keyword_data_reach_forward_and_gradient() -> None:
    assert outcome(gradcheck.from_loss(cube, cube_grad), X, scale=4.0) is Outcome.PASS
    assert outcome(gradcheck.from_loss(cube, cube_grad_without_scale), X, scale=4.0) is Outcome.FAIL
    assert outcome(gradcheck.from_loss(cube, cube_grad_without_scale), X, scale=1.0) is Outcome.PASS


def test_keyword_data_reach_a_vjp_beside_the_cotangent() -> None:
    def power(x: Array, *, exponent: int, shift: Array) -> Array:
        return x**exponent + shift

    def vjp(x: Array, cotangent: Array, *, exponent: int, shift: Array) -> Array:
        return exponent * x ** (exponent - 1) * cotangent

    assert outcome(gradcheck.from_vjp(power, vjp), X, exponent=3, shift=Y) is Outcome.PASS


def test_nested_lists_are_taken_for_the_arrays_they_spell() -> None:
    def picked(z: Array, y: Array) -> Any:
        return np.sum(z[np.arange(len(y)), y] ** 2)

    def grad(z: Array, y: Array) -> list[list[float]]:
        out = np.zeros(z.shape)
        out[np.arange(len(y)), y] = 2 * z[np.arange(len(y)), y]
        return out.tolist()  # type: ignore[no-any-return]  # NumPy leaves what a list holds open

    rule = gradcheck.from_loss(picked, grad)
    assert outcome(rule, [[0.5, 1.0], [-1.0, 2.0]], [1, 0]) is Outcome.PASS


# --- callables of every kind ----------------------------------------------------------------------------------


class Cube:
    """A layer object, as many write them."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def value(self, x: Array) -> Any:
        return self.factor * np.sum(x**3)

    def gradient(self, x: Array) -> Array:
        return 3 * self.factor * x**2

    @classmethod
    def unit_value(cls, x: Array) -> Any:
        return cls(1.0).value(x)

    @staticmethod
    def unit_gradient(x: Array) -> Array:
        return 3 * x**2

    def __call__(self, x: Array) -> Any:
        return self.value(x)


def test_partials() -> None:
    assert outcome(gradcheck.from_loss(partial(cube, scale=2.0), partial(cube_grad, scale=2.0)), X) is Outcome.PASS
    assert outcome(gradcheck.from_loss(partial(cube, scale=2.0), partial(cube_grad, scale=1.0)), X) is Outcome.FAIL


def test_bound_methods() -> None:
    assert outcome(gradcheck.from_loss(Cube(2.0).value, Cube(2.0).gradient), X) is Outcome.PASS
    assert outcome(gradcheck.from_loss(Cube(2.0).value, Cube(1.0).gradient), X) is Outcome.FAIL


def test_callable_objects() -> None:
    assert outcome(gradcheck.from_loss(Cube(2.0), Cube(2.0).gradient), X) is Outcome.PASS
    assert outcome(gradcheck.from_loss(Cube(2.0), Cube(1.0).gradient), X) is Outcome.FAIL


def test_ufuncs() -> None:
    def vjp(x: Array, cotangent: Array) -> Array:
        return cotangent / np.cosh(x) ** 2

    assert outcome(gradcheck.from_vjp(np.tanh, vjp), X) is Outcome.PASS


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit, jax.custom_jvp], ids=["plain", "jit", "custom rule"])
def test_jax_functions_as_forward(wrap: Callable[[Any], Any]) -> None:
    def log_sum_exp(x: Array) -> Any:
        return jnp.log(jnp.sum(jnp.exp(x)))

    fun = wrap(log_sum_exp)
    if isinstance(fun, jax.custom_jvp):  # a hand-written rule is never its own reference, least of all a wrong one
        fun.defjvp(lambda primals, tangents: (log_sum_exp(*primals), 7 * jnp.sum(tangents[0])))

    def softmax(x: Array) -> Array:
        e = np.exp(x - x.max())
        return e / e.sum()

    x = X.astype(np.float32)  # JAX's own precision, unless told otherwise
    report = gradcheck.examine(gradcheck.from_loss(fun, softmax), x)
    assert report
    assert "the forward itself" in report.verdict.votes[0].detail
    assert outcome(gradcheck.from_loss(fun, lambda x: 2 * softmax(x)), x) is Outcome.FAIL


def test_arguments_may_be_jax_arrays() -> None:
    rule = gradcheck.from_loss(lambda x: jnp.sum(x**3), lambda x: 3 * x**2)
    assert outcome(rule, jnp.asarray(X, dtype=np.float32)) is Outcome.PASS


# --- names and targets ----------------------------------------------------------------------------------------


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


@decorated
def doubled(x: Array) -> Any:
    return np.sum(x * x)


@lru_cache
def cached(x: Any) -> Any:
    return x


def test_a_rule_is_named_after_the_gradient_with_its_module() -> None:
    assert gradcheck.from_loss(cube, cube_grad).name == f"{__name__}.cube_grad"
    assert gradcheck.from_vjp(product, product_vjp).name == f"{__name__}.product_vjp"
    assert gradcheck.from_forward_backward(dense_forward, dense_backward).name == f"{__name__}.dense_backward"
    assert gradcheck.from_pullback(sine).name == f"{__name__}.sine"


def test_names_of_other_callables() -> None:
    assert gradcheck.from_loss(cube, Cube(1.0).gradient).name == f"{__name__}.Cube.gradient"
    assert gradcheck.from_loss(cube, Cube(1.0)).name == f"{__name__}.Cube"
    assert gradcheck.from_loss(cube, partial(cube_grad, scale=2.0)).name.endswith("cube_grad")
    assert gradcheck.from_loss(cube, cube_grad, name="mine").name == "mine"


def test_parameters_are_those_of_the_forward() -> None:
    assert gradcheck.from_loss(cube, cube_grad).parameters == ("x", "scale")
    assert gradcheck.from_vjp(product, product_vjp).label(1) == "y"
    assert gradcheck.from_vjp(product, product_vjp).label(2) == "args[2]"
    assert gradcheck.from_vjp(lambda *arrays: arrays[0], cube_grad).label(0) == "args[0]"


def test_parameters_of_a_function_that_does_not_tell_are_positions() -> None:
    def silent(x: Array) -> Any:
        return np.sum(x * x)

    silent.__signature__ = "unknown"  # type: ignore[attr-defined]  # as some compiled functions have none
    rule = gradcheck.from_loss(silent, lambda x: 2 * x)
    assert rule.parameters == ()
    report = gradcheck.examine(rule, X)
    assert [d.path for d in report.verdict.discrepancies] == ["args[0]"]


@pytest.mark.parametrize(
    ("rule", "target"),
    [
        (gradcheck.from_loss(cube, cube_grad), ("cube", "cube_grad")),
        (gradcheck.from_vjp(product, product_vjp), ("product", "product_vjp")),
        (gradcheck.from_forward_backward(dense_forward, dense_backward), ("dense_forward", "dense_backward")),
        (gradcheck.from_pullback(sine), ("sine",)),
        (gradcheck.from_loss(Cube.unit_value, Cube.unit_gradient), ("Cube.unit_value", "Cube.unit_gradient")),
        (gradcheck.from_loss(doubled, cached), ("doubled", "cached")),
    ],
)  # fmt: skip
def test_targets_say_where_the_functions_are_imported_from(rule: Rule, target: tuple[str, ...]) -> None:
    assert rule.target == tuple(f"{__name__}:{name}" for name in target)
    assert rule.maker in ("from_loss", "from_vjp", "from_forward_backward", "from_pullback")


@pytest.mark.parametrize(
    "grad",
    [
        lambda x: 3 * x**2,
        partial(cube_grad, scale=1.0),
        Cube(1.0).gradient,
        Cube(1.0),
        doubled.__wrapped__,  # type: ignore[attr-defined]  # what functools.wraps leaves behind
    ],
    ids=["lambda", "partial", "bound method", "object", "function hidden by its decorator"],
)
def test_there_is_no_target_where_a_name_leads_elsewhere(grad: Callable[..., Any]) -> None:
    assert gradcheck.from_loss(cube, grad).target == ()
    assert gradcheck.from_loss(grad, cube_grad).target == ()


# --- what is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda bad: gradcheck.from_loss(bad, cube_grad), "loss must be a function, got loss=3 (int)"),
        (lambda bad: gradcheck.from_loss(cube, bad), "grad must be a function, got grad=3 (int)"),
        (lambda bad: gradcheck.from_vjp(bad, cube_grad), "fun must be a function, got fun=3 (int)"),
        (lambda bad: gradcheck.from_vjp(cube, bad), "vjp must be a function, got vjp=3 (int)"),
        (lambda bad: gradcheck.from_forward_backward(bad, cube), "forward must be a function, got forward=3 (int)"),
        (lambda bad: gradcheck.from_forward_backward(cube, bad), "backward must be a function, got backward=3 (int)"),
        (lambda bad: gradcheck.from_pullback(bad), "fun must be a function, got fun=3 (int)"),
        (lambda bad: gradcheck.from_pullback(sine, forward=bad), "forward must be a function, got forward=3 (int)"),
        (lambda bad: gradcheck.from_loss(cube, cube_grad, reference=bad), "reference must be a function, got"),
        (lambda bad: gradcheck.from_vjp(cube, cube_grad, reference=bad), "reference must be a function, got"),
        (lambda bad: gradcheck.from_loss(cube, cube_grad, name=bad), "name must be a string, got name=3 (int)"),
        (lambda bad: Rule(bad, cube, "r"), "call must be a function, got call=3 (int)"),
    ],
)
def test_what_is_no_function_is_refused(make: Callable[[Any], Rule], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        make(3)
    assert message in str(caught.value)


@pytest.mark.parametrize("argnums", [-1, (0, -1), True, "x", 0.0, [0], None, np.int64(0)])
@pytest.mark.parametrize("make", [gradcheck.from_loss, gradcheck.from_vjp, gradcheck.from_forward_backward])
def test_argnums_that_are_no_positions_are_refused(make: Callable[..., Rule], argnums: Any) -> None:
    if argnums is None and make is not gradcheck.from_loss:
        assert make(cube, cube_grad, argnums=None).argnums is None
        return
    with pytest.raises(InvalidArgument) as caught:
        make(cube, cube_grad, argnums=argnums)
    assert str(caught.value) == (
        f"argnums must be a position or a tuple of positions counted from 0, got argnums={argnums!r}"
    )


@pytest.mark.parametrize("argnums", [(), (1, 1)])
def test_argnums_without_a_position_or_with_one_twice_are_refused(argnums: Any) -> None:
    for make in (partial(gradcheck.from_pullback, sine), partial(Rule, sine, cube, "r")):
        with pytest.raises(InvalidArgument, match="argnums must name at least one position, each once, got argnums="):
            make(argnums=argnums)


def test_a_forward_without_a_cache_is_refused_when_it_is_run() -> None:
    rule = gradcheck.from_forward_backward(product, dense_backward)
    with pytest.raises(InvalidArgument) as caught:
        gradcheck.examine(rule, X, Y)
    assert str(caught.value) == (
        f"{__name__}.dense_backward: forward must return the pair (out, cache), got ndarray; "
        "a forward that returns its value alone goes with from_loss or from_vjp"
    )


@pytest.mark.parametrize("returned", [X, (X, X), (X,), (X, sine, sine), [X, sine]])
def test_a_pullback_that_is_none_is_refused_when_it_is_run(returned: Any) -> None:
    rule = gradcheck.from_pullback(lambda x: returned, name="r")
    with pytest.raises(InvalidArgument, match="r: must return the pair \\(out, pullback\\), got "):
        gradcheck.examine(rule, X)
