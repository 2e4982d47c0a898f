from __future__ import annotations

import numpy as np
import pytest

from gradcheck.derivations import softmax_nll
from gradcheck.errors import InvalidArgument
from gradcheck.mnist.losses import Array, from_gradient, from_rule

Z = np.log([[1.0, 2.0, 5.0], [4.0, 2.0, 2.0]])
Y = np.array([1, 0])
GRADIENT = np.array([[0.125, -0.75, 0.625], [-0.5, 0.25, 0.25]]) / 2


def softmax(z: Array) -> Array:
    exponentials = np.exp(z)
    a: Array = exponentials / exponentials.sum(axis=1, keepdims=True)
    return a


def by_class(z: Array, y: Array) -> Array:
    a = softmax(z)
    a[np.arange(len(y)), y] -= 1
    return a / len(y)


def by_row(z: Array, y: Array) -> Array:
    return (softmax(z) - y) / len(y)


@pytest.mark.parametrize(("grad", "one_hot"), [(by_class, False), (by_row, True)])
def test_a_gradient_of_ones_own_is_a_loss_like_those_of_the_derivations(grad: object, one_hot: bool) -> None:
    assert callable(grad)
    value, pullback = from_gradient(grad, one_hot=one_hot)(Z, Y, reduction="mean")
    assert value == softmax_nll.fused(Z, Y)[0]
    # A handful of roundings of numbers below 1.
    np.testing.assert_allclose(pullback(1.0), GRADIENT, rtol=0, atol=8 * np.finfo(float).eps)
    np.testing.assert_array_equal(pullback(2.0), 2 * pullback(1.0))


def test_a_loss_value_of_ones_own_is_reported_in_place_of_ours() -> None:
    value, _ = from_gradient(by_class, lambda _, y: 7.0 * len(y))(Z, Y, reduction="mean")
    assert value == 14.0


def test_a_rule_needs_no_reduction() -> None:
    value, pullback = from_rule(lambda z, y: softmax_nll.fused(z, y))(Z, Y, reduction="mean")
    assert value == softmax_nll.fused(Z, Y)[0]
    np.testing.assert_array_equal(pullback(1.0), softmax_nll.fused(Z, Y)[1](1.0))


def test_a_gradient_of_another_shape_is_refused_even_where_it_would_broadcast() -> None:
    _, pullback = from_gradient(lambda z, y: by_class(z, y).sum(axis=0, keepdims=True))(Z, Y, reduction="mean")
    with pytest.raises(InvalidArgument, match=r"the gradient has shape \(1, 3\), the logits \(2, 3\)"):
        pullback(1.0)


def test_a_loss_for_each_row_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"the loss has shape \(2,\): return one number, the rows' mean"):
        from_gradient(by_class, lambda _, y: np.zeros(len(y)))(Z, Y, reduction="mean")


def test_a_sum_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="reduction='sum': a loss of your own is a mean"):
        from_gradient(by_class)(Z, Y, reduction="sum")
