"""The forms without options against ``jax.vjp`` of a restatement that shares no step with them.

The restatement needs no row maximum: ``-log a_l = log sum_k exp(z_k - z_l)``, a gap for each pair of classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax.scipy.special import logsumexp

from gradcheck.derivations import softmax_nll

NAMES = ("full_jacobian", "contracted_jacobian", "log_softmax", "fused", "accurate")
FORMS = {name: getattr(softmax_nll, name) for name in NAMES}
TWO_STAGE = ("full_jacobian", "contracted_jacobian")


def restated(z: Any, y: Any, n: Any) -> Any:
    gaps = jnp.where(y[:, :, None] != 0, z[:, None, :] - z[:, :, None], 0)
    return jnp.sum(y / n * logsumexp(gaps, axis=2))


def one_hot(labels: list[int], k: int) -> Any:
    return np.eye(k)[labels]


def spread(*rows: list[float]) -> Any:
    return np.array([*rows, *[[0.5, -1.0, 2.0, 0.25, 0.0]] * (4 - len(rows))])


NORMAL = np.random.default_rng(20240501).standard_normal((4, 5))
ONE_HOT = one_hot([2, 0, 4, 2], 5)
SOFT = np.array([[0.1, 0.2, 0.3, 0.4, 0.0], [1.0, 0, 0, 0, 0], [0.2] * 5, [0, 0.5, 0.5, 0, 0]])
WEIGHED = SOFT * np.array([[3.0], [0.0], [0.25], [1.0]])

CORNERS = {
    "ordinary": (NORMAL, ONE_HOT),
    "wide": (20 * NORMAL, ONE_HOT),
    "ties of the maximum": (spread([7.0, 7.0, -1.0, 7.0, 0.0], [2.0, 2.0, 0.0, 0.0, 0.0]), ONE_HOT),
    "all equal": (np.full((4, 5), 3.0), ONE_HOT),
    "saturated right": (spread([0, 0, 60, 0, 0], [80, 0, 0, 0, 0]), ONE_HOT),
    "saturated wrong": (spread([60, 0, 0, 0, 0], [0, 0, 80, 0, 0]), ONE_HOT),
    "common offset": (np.round(NORMAL * 64) / 64 + 2.0**17, ONE_HOT),
    "tiny": (NORMAL * 1e-30, ONE_HOT),
    "masked": (np.where((NORMAL < -0.5) & (ONE_HOT == 0), -np.inf, NORMAL), ONE_HOT),
    "soft labels": (NORMAL, SOFT),
    "weights of any sum": (NORMAL, WEIGHED),
    "only ignored rows": (NORMAL, np.zeros((4, 5))),
    "one class": (NORMAL[:3, :1], np.ones((3, 1))),
    "one row": (NORMAL[:1], ONE_HOT[:1]),
    "no rows": (NORMAL[:0], ONE_HOT[:0]),
}
# Softmax underflows at a label, or at its product: the forms that never divide by it must not care.
BEYOND_TWO_STAGES = {
    "wrong by 1e4": (spread([1e4, 0, -1e4, 0, 0], [-1e4, 0, 0, 0, 0]), ONE_HOT),
    "wrong by 1e308": (spread([1e308, 0, 0, 0, 0], [-1e308, 0, 0, 0, 0]), ONE_HOT),
}
# Gaps that overflow the largest float, and rows at its edge; float64 only.
HUGE = {
    "offset +1e308": (NORMAL * 0 + 1e308, ONE_HOT),
    "offset -1e308": (NORMAL * 0 - 1e308, ONE_HOT),
    "gap of 2e308": (spread([1e308, -1e308, 1e308, 0, 0], [1e308, -1e308, 0, 0, 0]), ONE_HOT),
}


def unit_roundoff(dtype: Any) -> float:
    return float(np.finfo(dtype).eps) / 2


def allowed_gradient(y: Any, ct: float, n: int, dtype: Any) -> Any:
    """Bound the rounding in ``(a S - y) ct / n``, row by row, where S is the sum of the row's weights.

    Relative to S: 4 u for each of two libraries' exp, u |s| exp(-s) < u/e from rounding the shift s, K u for
    each of two sums of K terms, a handful for the other operations; twice, since the reference rounds too.
    Below the normal numbers, half the spacing.
    """
    k = y.shape[1]
    scale = y.sum(axis=1, keepdims=True) * abs(ct) / n
    u = unit_roundoff(dtype)
    return 2 * u * (3 * k + 16) * scale + float(np.finfo(dtype).smallest_subnormal)


def allowed_loss(z: Any, y: Any, n: int, dtype: Any) -> float:
    """Bound the rounding in ``sum_n sum_k y_k (log total - s_k) / n``: as above, plus N terms more to add."""
    peak = z.max(axis=1, keepdims=True, initial=-np.inf)
    # Halved before it is subtracted: the gap itself may overflow.
    gaps = np.where(y != 0, 2 * np.minimum(peak / 2 - np.where(y != 0, z, peak) / 2, 8e307), 0)
    size = np.sum(y / n * (1 + np.log(y.shape[1]) + gaps))
    return float(2 * unit_roundoff(dtype) * (3 * y.shape[1] + len(y) + 16) * size)


def excess(error: Any, allowed: Any) -> float:
    """Return the worst ratio of error to allowance; NaN counts as infinite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(error == 0, 0, np.abs(error) / allowed)
    return float(np.max(np.nan_to_num(ratio, nan=np.inf), initial=0))


def rows_of(y: Any, reduction: str) -> int:
    return max(len(y), 1) if reduction == "mean" else 1


def assert_agrees(form: Any, z: Any, y: Any, reduction: str, reference_vjp: Any, ct: float = -1.75) -> None:
    n = rows_of(y, reduction)
    loss, pullback = form(z, y, reduction=reduction)
    dz = pullback(ct)
    value, (gradient,) = reference_vjp(restated, (z,), np.float64(ct), y, n)
    assert loss.dtype == dz.dtype == z.dtype
    assert loss.shape == ()
    assert dz.shape == z.shape
    z = z.astype(np.float64)
    assert excess(loss.astype(np.float64) - value, allowed_loss(z, y, n, loss.dtype)) <= 1
    assert excess(dz.astype(np.float64) - gradient, allowed_gradient(y, ct, n, dz.dtype)) <= 1


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("form", FORMS)
def test_agrees_with_autodiff_of_the_restatement(form: str, corner: str, reduction: str, reference_vjp: Any) -> None:
    assert_agrees(FORMS[form], *CORNERS[corner], reduction, reference_vjp)


@pytest.mark.parametrize("corner", BEYOND_TWO_STAGES | HUGE)
@pytest.mark.parametrize("form", ["log_softmax", "fused", "accurate"])
def test_never_overflows_where_the_answer_is_finite(form: str, corner: str, reference_vjp: Any) -> None:
    assert_agrees(FORMS[form], *(BEYOND_TWO_STAGES | HUGE)[corner], "mean", reference_vjp)


@pytest.mark.parametrize("corner", HUGE)
@pytest.mark.parametrize("form", TWO_STAGE)
def test_two_stages_take_huge_logits_unless_the_label_underflows(form: str, corner: str, reference_vjp: Any) -> None:
    z, y = HUGE[corner]
    keep = z[np.arange(4), y.argmax(axis=1)] == z.max(axis=1)
    assert keep.any()
    assert_agrees(FORMS[form], z[keep], y[keep], "mean", reference_vjp)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.longdouble])
@pytest.mark.parametrize("corner", ["ordinary", "saturated wrong", "masked", "weights of any sum", "no rows"])
@pytest.mark.parametrize("form", FORMS)
def test_narrow_and_wide_logits_are_as_accurate_as_their_dtype(
    form: str, corner: str, dtype: Any, reference_vjp: Any
) -> None:
    z, y = CORNERS[corner]
    z = z.astype(dtype)
    if dtype is np.longdouble:  # the reference is float64, so more cannot be asked
        assert FORMS[form](z, y)[0].dtype == FORMS[form](z, y)[1](1.0).dtype == np.longdouble
        return
    assert_agrees(FORMS[form], z, y, "mean", reference_vjp)


@pytest.mark.parametrize("form", FORMS)
def test_indices_and_one_hot_rows_are_the_same_labels(form: str) -> None:
    labels = [2, 0, 4, 2]
    expected = FORMS[form](NORMAL, one_hot(labels, 5))
    for same in (
        labels,
        np.array(labels, np.uint8),
        one_hot(labels, 5).astype(int),
        one_hot(labels, 5).tolist(),
    ):
        loss, pullback = FORMS[form](NORMAL, same)
        assert loss == expected[0]
        assert np.array_equal(pullback(1.0), expected[1](1.0))


def test_the_value_sees_the_label_alone_and_the_gradient_every_logit() -> None:
    a = np.array([[0.2, 0.3, 0.5]])
    other = np.array([[0.4, 0.3, 0.3]])  # the label's probability is the same, its competitors' are not
    (loss, pullback), (other_loss, other_pullback) = (softmax_nll.fused(np.log(p), [1]) for p in (a, other))
    assert loss == pytest.approx(other_loss, rel=4 * unit_roundoff(float))
    assert np.all(np.abs(pullback(1.0) - other_pullback(1.0))[0, [0, 2]] > 0.1)


def test_weights_scale_the_softmax_too() -> None:
    y = np.array([[0.0, 3.0, 1.0]])
    _, pullback = softmax_nll.fused(np.zeros((1, 3)), y)
    assert pullback(1.0) == pytest.approx(4 / 3 - y, rel=8 * unit_roundoff(float))


def test_a_label_on_a_masked_class_costs_infinity() -> None:
    for form in ("log_softmax", "fused", "accurate"):
        loss, pullback = FORMS[form](np.array([[0.0, -np.inf]]), [1])
        assert loss == np.inf
        assert np.array_equal(pullback(1.0), [[1.0, -1.0]])


@pytest.mark.parametrize("form", TWO_STAGE)
@pytest.mark.parametrize(("dtype", "edge"), [(np.float64, 708), (np.float32, 87)])
def test_two_stages_end_where_the_label_underflows(form: str, dtype: Any, edge: int) -> None:
    loss, pullback = FORMS[form](np.array([[edge, 0]], dtype), [1])
    assert np.isfinite(loss)
    assert pullback(1.0) == pytest.approx(np.array([[1, -1]]), abs=64 * unit_roundoff(dtype))
    with pytest.raises(ValueError, match=r"underflows at the label z\[1, 1\] = 0.0, below the row maximum"):
        FORMS[form](np.array([[0, 0], [edge + 1, 0]], dtype), [1, 1])


@pytest.mark.parametrize("corner", BEYOND_TWO_STAGES)
@pytest.mark.parametrize("form", TWO_STAGE)
def test_two_stages_raise_beyond_their_domain(form: str, corner: str) -> None:
    with pytest.raises(ValueError, match="use log_softmax or fused"):
        FORMS[form](*BEYOND_TWO_STAGES[corner])


@pytest.mark.parametrize("row", [[np.inf, 0.0], [-np.inf, -np.inf]])
@pytest.mark.parametrize("form", FORMS)
def test_a_row_without_a_finite_maximum_is_an_error(form: str, row: list[float]) -> None:
    with pytest.raises(ValueError, match=r"row z\[1\] has the maximum -?inf"):
        FORMS[form](np.array([[0.0, 0.0], row]), [0, 0])


@pytest.mark.parametrize("form", FORMS)
def test_nan_logits_give_nan(form: str) -> None:
    loss, pullback = FORMS[form](np.array([[np.nan, 0.0], [0.0, 0.0]]), [0, 0])
    assert np.isnan(loss)
    assert np.isnan(pullback(1.0)[0]).all()
    assert np.isfinite(pullback(1.0)[1]).all()


@pytest.mark.parametrize("form", ["log_softmax", "fused", "accurate"])
def test_mean_of_losses_whose_sum_overflows(form: str) -> None:
    loss, _ = FORMS[form](np.array([[1.5e308, 0.0]] * 4), [1] * 4)
    assert loss == 1.5e308


@pytest.mark.parametrize("form", FORMS)
def test_float16_takes_more_classes_and_rows_than_it_can_count(form: str) -> None:
    if form != "full_jacobian":  # whose K x K matrix would not fit
        loss, _ = FORMS[form](np.zeros((1, 70_000), np.float16), [0])
        assert loss == np.float16(np.log(70_000))
    loss, pullback = FORMS[form](np.zeros((70_000, 2), np.float16), np.zeros(70_000, int))
    assert loss == np.float16(np.log(2))
    assert np.all(pullback(2.0**14) == np.array([-1, 1]) * np.float16(2.0**13 / 70_000))


def test_later_changes_to_the_labels_do_not_reach_the_pullback() -> None:
    for form in FORMS.values():
        y = ONE_HOT.copy()
        _, pullback = form(NORMAL, y)
        before = pullback(1.0)
        y[:] = 0
        assert np.array_equal(pullback(1.0), before)


@pytest.mark.parametrize("corner", ["ties of the maximum", "masked", "weights of any sum"])
@pytest.mark.parametrize("form", FORMS)
def test_the_forward_can_be_differentiated_at_corners(form: str, corner: str, reference_vjp: Any) -> None:
    z, y = CORNERS[corner]
    _, (gradient,) = reference_vjp(restated, (z,), np.float64(1), y, len(y))
    with jax.enable_x64(True):
        dz = np.asarray(jax.jit(jax.grad(lambda z: FORMS[form](z, y)[0]))(z))
    assert excess(dz - gradient, allowed_gradient(y, 1.0, len(y), np.float64)) <= 1


WRONG: dict[str, Callable[[Any, Any], Any]] = {
    "only the label learns": lambda a, y: (a - y) * y,
    "the label is forgotten": lambda a, y: a / len(a) + 0 * y,
    "ascends": lambda a, y: (y - a) / len(a),
    "1/N is missing": lambda a, y: a - y,
    "1/K instead of 1/N": lambda a, y: (a - y) / a.shape[1],
    "diagonal of the Jacobian": lambda a, y: y * (a - 1) / len(a),
    "one entry off by 1e-12": lambda a, y: (a - y) / len(a) + 1e-12 * one_hot([3], 5),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_the_allowance_has_teeth(mistake: str, reference_vjp: Any) -> None:
    z, y = CORNERS["ordinary"]
    a = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    _, (gradient,) = reference_vjp(restated, (z,), np.float64(1), y, len(y))
    wrong = excess(WRONG[mistake](a, y) - gradient, allowed_gradient(y, 1.0, len(y), np.float64))
    assert wrong > 50
    assert excess((a - y) / len(y) - gradient, allowed_gradient(y, 1.0, len(y), np.float64)) <= 1


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_rows_of_the_gradient_sum_to_zero(form: str, data: st.DataObject) -> None:
    dtype: Any = data.draw(st.sampled_from([np.float32, np.float64]))
    # Within 80 of one another no label underflows, float32 included; forms without that limit get any floats
    # whose mean loss is one.
    width: Literal[32, 64] = 32 if dtype is np.float32 else 64
    bound = 40.0 if form in TWO_STAGE else float(np.finfo(dtype).max) / 4
    n, k = data.draw(st.integers(0, 4)), data.draw(st.integers(1, 6))
    finite = st.floats(-bound, bound, width=width)
    z = data.draw(hnp.arrays(dtype, (n, k), elements=finite))
    y = np.eye(k)[data.draw(hnp.arrays(np.int64, (n,), elements=st.integers(0, k - 1)))]
    dz = FORMS[form](z, y)[1](1.0)
    sums = dz.astype(np.float64).sum(axis=1, keepdims=True)
    assert excess(sums, k * allowed_gradient(y, 1.0, max(n, 1), dtype)) <= 1


@pytest.mark.parametrize("form", FORMS)
def test_an_unknown_reduction_is_named(form: str) -> None:
    with pytest.raises(ValueError, match="reduction='average' is unknown: pass 'mean', 'sum' or 'none'"):
        FORMS[form](NORMAL, ONE_HOT, reduction="average")


@pytest.mark.parametrize("ct", [np.ones(4), np.ones((1, 1)), [1.0]])
def test_the_cotangent_is_a_scalar(ct: Any) -> None:
    for form in FORMS.values():
        with pytest.raises(ValueError, match=r"the cotangent has shape .* and the output \(\)"):
            form(NORMAL, ONE_HOT)[1](ct)


def test_the_cotangent_is_real() -> None:
    with pytest.raises(ValueError, match="the cotangent has dtype complex128"):
        softmax_nll.fused(NORMAL, ONE_HOT)[1](1j)
