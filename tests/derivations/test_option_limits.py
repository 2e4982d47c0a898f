"""The options of softmax + NLL where nothing, infinity or the end of a dtype comes in, and what holds everywhere."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gradcheck.derivations import softmax_nll

FORMS = {name: getattr(softmax_nll, name) for name in ("log_softmax", "fused", "accurate")}
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)

NORMAL = np.random.default_rng(20240520).standard_normal
Z = 2 * NORMAL((6, 5))
INDICES = np.array([2, 0, 4, 2, 1, 0])
IGNORED = np.array([2, -100, 4, -100, -100, 0])
SOFT = np.abs(NORMAL((6, 5))) * np.array([[1.0], [0.0], [3.0], [0.25], [1.0], [1.0]])
MASKED = np.where(np.eye(6, 5, 1, dtype=bool) & (INDICES[:, None] != np.arange(5)), -np.inf, Z)
WEIGHTS = np.array([0.5, 0.0, 2.0, 1.0, 4.0])
SEQUENCES = 2 * NORMAL((2, 3, 5))


@each_form
def test_the_mean_over_nothing_is_zero(form: Any) -> None:
    nothing: list[tuple[Any, Any, dict[str, Any]]] = [
        (Z[:0], INDICES[:0], {}),
        (SEQUENCES[:, :0], INDICES[:0].reshape(2, 0), {"z_loss": 0.1}),
        (Z, np.full(6, -100), {"ignore_index": -100, "z_loss": 0.1, "label_smoothing": 0.1}),
        (Z, [1] * 6, {"weights": WEIGHTS}),
        (Z, [1] * 6, {"weights": WEIGHTS, "label_smoothing": 0.1}),
        (Z, [1, -1] * 3, {"weights": WEIGHTS, "label_smoothing": 0.1, "ignore_index": -1}),
        (Z, 0 * SOFT, {"weights": WEIGHTS}),
        (Z, SOFT, {"weights": 0 * WEIGHTS}),
    ]
    for z, y, options in nothing:
        loss, pullback = form(z, y, **options)
        assert loss == 0
        assert not pullback(1.0).any()
        assert pullback(1.0).shape == z.shape
    # The sum has no divisor: what smoothing brings in counts there.
    assert form(Z, [1] * 6, weights=WEIGHTS, label_smoothing=0.1, reduction="sum")[0] > 0


@each_form
def test_zero_times_the_logarithm_of_zero_is_zero(form: Any) -> None:
    z, y = np.array([[0.0, -np.inf, 0.0]]), np.array([[1.0, 0.0, 1.0]])
    for options in ({}, {"temperature": 0.5}, {"weights": [1.0, 3.0, 1.0]}, {"z_loss": 0.5}):
        loss, pullback = form(z, y, **options)
        assert np.isfinite(loss)
        assert pullback(1.0)[0, 1] == 0
    # Where its weight is 0, smoothing puts nothing on a masked class.
    assert np.isfinite(form(z, [0], weights=[1.0, 0.0, 1.0], label_smoothing=0.1)[0])


@each_form
def test_a_label_on_a_masked_class_costs_infinity_and_never_nan(form: Any) -> None:
    z = np.array([[0.0, -np.inf, 1.0], [0.0, 1.0, 2.0]])
    for options in ({}, {"temperature": 0.5}, {"z_loss": 0.5}, {"weights": [1.0, 3.0, 1.0]}):
        losses, pullback = form(z, [1, 0], reduction="none", **options)
        assert losses[0] == np.inf
        assert np.isfinite(losses[1])
        assert np.isfinite(pullback([1.0, 1.0])).all()


# Regimes.


@pytest.mark.parametrize("temperature", [1e-300, 1e-3, 1e300])
@each_form
def test_no_temperature_breaks_the_softmax(form: Any, temperature: float) -> None:
    z = np.array([[1e6, 1e6, 1e6 - 1], [-5.0, -5.0, -1e300]])
    losses, pullback = form(z, [0, 1], temperature=temperature, reduction="none")
    share = 1 / 3 if temperature > 1e200 else 1 / 2
    assert losses[0] == pytest.approx(-np.log(share))
    assert pullback([1.0, 0.0])[0, :2] * temperature == pytest.approx(np.array([share - 1, share]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each_form
def test_a_cap_saturates_with_a_slope_that_is_not_zero(form: Any, dtype: Any) -> None:
    z = np.array([[30.0, -30.0], [1.0, 0.0]], dtype)
    dz = form(z, [1, 0], softcap=1.0, reduction="none")[1](np.ones(2, dtype))
    # 1 - tanh(30)^2 is 0 in either dtype, and sech(30)^2 = 4 exp(-60) is not; a(1) - a(-1) = tanh(1) softens it
    slope = 4 * np.exp(-60.0) / (1 + np.exp(-2.0))
    assert dz[0] == pytest.approx(slope * np.array([1, -1]), rel=float(1e2 * np.finfo(dtype).eps))
    huge = np.array([[np.finfo(dtype).max, -np.finfo(dtype).max]], dtype)
    loss, pullback = form(huge, [0], softcap=0.5)
    assert loss == pytest.approx(np.log1p(np.exp(-1.0)), rel=float(1e1 * np.finfo(dtype).eps))
    assert not pullback(1.0).any()


@each_form
def test_float16_takes_options_in_float32(form: Any) -> None:
    options = {"label_smoothing": 0.1, "temperature": 0.5, "z_loss": 1e-4, "softcap": 3.0}
    narrow, pullback = form(Z.astype(np.float16), INDICES, **options)
    wide, wide_pullback = form(Z.astype(np.float16).astype(np.float32), INDICES, **options)
    assert narrow.dtype == np.float16
    assert narrow == wide.astype(np.float16)
    assert np.array_equal(pullback(1.0), wide_pullback(1.0).astype(np.float16))


EXTREME: dict[str, tuple[Any, Any, Any]] = {
    "the least": (np.float64, [0, 5e-324, 0, 0, 0], [0, 1, 0, 0, 0]),
    "subnormal": (np.float32, [1e-39] * 5, [1] * 5),
    "the largest": (np.float64, [1e308] * 5, [1] * 5),
    "largest beside 1": (np.float32, [3e38, 3e38, 3e38, 3e38, 1], [3e38, 3e38, 3e38, 3e38, 1]),
    "a class that no row has": (np.float64, [1e-200, 1e-200, 1e-200, 1e300, 2e-200], [1, 1, 1, 1, 2]),
}


@pytest.mark.parametrize("labels", ["indices", "soft"])
@pytest.mark.parametrize("case", EXTREME)
@each_form
def test_the_mean_sees_ratios_of_weights_only_however_large_they_are(form: Any, case: str, labels: str) -> None:
    dtype, weights, ratios = EXTREME[case]
    z, y = Z.astype(dtype), INDICES if labels == "indices" else np.where(np.arange(5) == 3, 0, SOFT).astype(dtype)
    expected, gradient = form(z.astype(float), y, weights=np.array(ratios, float))
    loss, pullback = form(z, y, weights=np.array(weights, dtype))
    # each is a sum of 30 terms, some roundings apiece
    rounding = 256 * float(np.finfo(dtype).eps)
    assert loss == pytest.approx(expected, rel=rounding)
    assert pullback(1.0) == pytest.approx(gradient(1.0), abs=rounding)


@each_form
def test_extreme_weights_leave_the_other_reductions_alone(form: Any) -> None:
    z = Z[:1]
    for weight in (1e-300, 1e307):
        for reduction in ("sum", "none"):
            loss, pullback = form(z, [2], weights=[weight] * 5, reduction=reduction)
            plain, plain_pullback = form(z, [2], reduction=reduction)
            ct = np.ones(loss.shape)
            assert loss / weight == pytest.approx(plain, rel=64 * np.finfo(float).eps)
            assert pullback(ct) / weight == pytest.approx(plain_pullback(ct), rel=64 * np.finfo(float).eps)


@each_form
def test_smoothing_reaches_a_class_that_weighs_far_more_than_all_labels(form: Any) -> None:
    weights = np.array([1e-150, 1e-150, 1e-150, 1e150, 1e-150])
    loss, pullback = form(Z, INDICES, weights=weights, label_smoothing=0.5)
    # of each row a tenth is on class 3, beside which the rest is nothing, and the divisor is 6 of the other weights
    expected, gradient = form(Z, [3] * 6)
    rounding = 256 * float(np.finfo(float).eps)  # as above
    assert loss == pytest.approx(1e299 * expected, rel=rounding)
    assert pullback(1.0) == pytest.approx(1e299 * gradient(1.0), rel=rounding)


@pytest.mark.parametrize("form", [*FORMS.values(), softmax_nll.streaming], ids=[*FORMS, "streaming"])
def test_a_share_and_a_temperature_that_overflow_together_make_no_nan(form: Any) -> None:
    _, pullback = form([[5.0, 5.0], [800.0, 0.0]], [0, 0], temperature=1e-307, reduction="sum")
    with np.errstate(over="ignore"):
        assert np.array_equal(pullback(100.0), np.array([[-np.inf, np.inf], [0.0, 0.0]]))


@pytest.mark.parametrize("form", [*FORMS.values(), softmax_nll.streaming], ids=[*FORMS, "streaming"])
def test_an_ignored_row_stops_any_cotangent(form: Any) -> None:
    ct = np.where(IGNORED == -100, [np.inf, np.inf, np.inf, np.nan, -np.inf, 0], 2.0)
    for options in ({}, {"temperature": 0.5, "softcap": 3.0, "z_loss": 0.1}):
        pullback = form(Z, IGNORED, ignore_index=-100, reduction="none", **options)[1]
        assert np.array_equal(pullback(ct), pullback(np.where(IGNORED == -100, 0.0, 2.0)))


# Laws.


@each_form
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_rows_of_the_gradient_sum_to_what_the_z_loss_says(form: Any, data: st.DataObject) -> None:
    """``sum_i (Q a_i - q_i + 2 b lse a_i) = 2 b lse``: softmax sees no common offset, and the z-loss only that."""
    n, k = data.draw(st.integers(0, 4)), data.draw(st.integers(1, 6))
    z = data.draw(hnp.arrays(np.float64, (n, k), elements=st.floats(-50, 50)))
    y = data.draw(hnp.arrays(np.float64, (n, k), elements=st.floats(0, 2)))
    e, t, b = (data.draw(st.floats(low, high)) for low, high in ((0, 1), (0.25, 8), (0, 1)))
    e, b = (x if x > 1e-300 else 0.0 for x in (e, b))
    dz = form(z, y, label_smoothing=e, temperature=t, z_loss=b, reduction="sum")[1](1.0)
    s = z / t
    lse = np.log(np.exp(s - s.max(axis=1, initial=-np.inf, keepdims=True)).sum(axis=1)) + s.max(axis=1, initial=-np.inf)
    parts = (y.sum(axis=1) + 2 * b * (np.abs(s).max(axis=1, initial=0) + 2)) / t
    u = np.finfo(float).eps / 2
    assert np.all(np.abs(dz.sum(axis=1) - 2 * b * lse / t) <= 8 * u * (k + 8) * parts + np.finfo(float).tiny)


def test_the_forms_agree_under_jit_where_values_are_not_seen() -> None:
    options: dict[str, Any] = {"ignore_index": -100, "softcap": 2.0, "label_smoothing": 0.1, "temperature": 0.5}

    @jax.jit
    def gradient(z: Any, y: Any, w: Any) -> Any:
        return softmax_nll.fused(z, y, weights=w, **options)[1](1.0)

    with jax.enable_x64(True):
        traced = np.asarray(gradient(SEQUENCES, IGNORED.reshape(2, 3), WEIGHTS))
    for form in FORMS.values():
        dz = form(SEQUENCES, IGNORED.reshape(2, 3), weights=WEIGHTS, **options)[1](1.0)
        assert dz == pytest.approx(traced, abs=100 * np.finfo(float).eps)
