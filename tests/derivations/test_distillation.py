"""Distillation against ``jax.vjp`` of a KL divergence, its ties to softmax + NLL, and its limits."""

from __future__ import annotations

import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradcheck.derivations import distillation, softmax_nll

# By name, since mpmath brings no types, and with a precision of its own.
mp: Any = importlib.import_module("mpmath").MPContext()
DRAW = np.random.default_rng(20261127).standard_normal
SHAPES = {"ordinary": (4, 5), "one row": (1, 5), "one class": (4, 1), "no rows": (0, 5)}


def restated(z: Any, teacher: Any, temperature: Any) -> Any:
    p = jax.nn.softmax(teacher / temperature, axis=1)
    log_q = jax.nn.log_softmax(z / temperature, axis=1)
    return temperature**2 * jnp.sum(jax.scipy.special.xlogy(p, p) - p * log_q, axis=1)


def unit_roundoff(dtype: Any) -> float:
    return float(np.finfo(dtype).eps) / 2


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_autodiff(shape: str, temperature: float, dtype: Any, reference_vjp: Any) -> None:
    z, teacher = DRAW(SHAPES[shape]).astype(dtype), DRAW(SHAPES[shape]).astype(dtype)
    ct = DRAW(len(z)).astype(dtype)
    loss, pullback = distillation(z, teacher, temperature=temperature, reduction="none")
    dz = pullback(ct)
    value, (gradient,) = reference_vjp(restated, (z,), ct, teacher, np.float64(temperature))
    assert loss.dtype == dz.dtype == dtype
    # Probabilities of ordinary logits: about 16 roundings of numbers no larger than 1, or than 8 / T for their
    # logarithms; T^2 and T are factored out.
    u, u_inside = unit_roundoff(dtype), unit_roundoff(np.promote_types(dtype, np.float32))
    size = 1 + 8 / temperature
    assert np.all(np.abs(loss - value) <= temperature**2 * 32 * u_inside * size + u * np.abs(value))
    bound = temperature * 32 * u_inside * size * np.abs(ct)[:, None]
    assert np.all(np.abs(dz - gradient) <= bound + u * np.abs(gradient))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_reductions_share_the_cotangent(reduction: str) -> None:
    z, teacher = DRAW((4, 5)), DRAW((4, 5))
    rows, rows_pullback = distillation(z, teacher, reduction="none")
    loss, pullback = distillation(z, teacher, reduction=reduction)
    n = 4 if reduction == "mean" else 1
    assert loss == pytest.approx(rows.sum() / n, rel=8 * unit_roundoff(float))
    assert np.array_equal(pullback(3.0), rows_pullback(np.full(4, 3.0 / n)))


def test_its_gradient_is_that_of_softmax_nll_with_soft_labels() -> None:
    z, teacher = DRAW((4, 5)), DRAW((4, 5))
    p = np.exp(teacher) / np.exp(teacher).sum(axis=1, keepdims=True)
    u = 32 * unit_roundoff(float)
    assert distillation(z, teacher)[1](1.0) == pytest.approx(softmax_nll.fused(z, p)[1](1.0), abs=u)


def test_a_student_like_its_teacher_has_neither_loss_nor_gradient() -> None:
    z = 1e6 + DRAW((4, 5))
    loss, pullback = distillation(z, z.copy(), temperature=3.0)
    assert loss == 0
    assert not pullback(1.0).any()


def test_gradients_are_alike_at_high_temperatures() -> None:
    """What T^2 is for: T (q - p) tends to ``(z - mean z - t + mean t) / K`` (Hinton et al., equation 4)."""
    z, teacher = DRAW((1, 5)), DRAW((1, 5))
    difference = z - z.mean() - teacher + teacher.mean()
    dz = distillation(z, teacher, temperature=1e4, reduction="sum")[1](1.0)
    assert dz == pytest.approx(difference / 5, abs=1e-3)  # the next term is of order 1 / T


def test_masked_classes_cost_nothing_where_the_teacher_masks_them_too() -> None:
    z, teacher = DRAW((2, 4)), DRAW((2, 4))
    teacher[:, 1] = -np.inf
    loss, pullback = distillation(z, teacher)
    assert np.isfinite(loss)
    assert np.all(pullback(1.0)[:, 1] > 0)  # the student is pushed off what the teacher rules out
    z[:, 1] = -np.inf
    kept = [0, 2, 3]
    loss, pullback = distillation(z, teacher)
    without, without_pullback = distillation(z[:, kept], teacher[:, kept])
    assert loss == pytest.approx(without, rel=8 * unit_roundoff(float))
    assert np.array_equal(pullback(1.0)[:, 1], [0, 0])
    assert pullback(1.0)[:, kept] == pytest.approx(without_pullback(1.0), abs=4 * unit_roundoff(float))


def test_a_class_the_student_alone_masks_costs_infinity() -> None:
    loss, pullback = distillation(np.array([[0.0, -np.inf]]), np.zeros((1, 2)))
    assert loss == np.inf
    assert np.array_equal(pullback(1.0), [[0.5, -0.5]])


def exact(z: Any, teacher: Any, temperature: float) -> tuple[Any, list[Any]]:
    """Return the loss of a row and its gradient, with digits to spare."""
    with mp.workdps(80):
        t = mp.mpf(temperature)
        powers = [[mp.exp(mp.mpf(float(v)) / t) for v in logits] for logits in (teacher, z)]
        p, q = ([power / sum(row) for power in row] for row in powers)
        divergence = sum(a * mp.log(a / b) for a, b in zip(p, q, strict=True))
        return t * t * divergence, [t * (b - a) for a, b in zip(p, q, strict=True)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("distance", [2.0**-k for k in (-4, -2, -1, 0, 1, 2, 5, 10, 15, 20)])
def test_a_near_teacher_costs_digits_neither_of_loss_nor_of_gradient(
    distance: float, temperature: float, dtype: Any
) -> None:
    z = np.array([0.125, 1.375, 0.75], dtype)
    teacher = z + np.array([distance, 0, -distance / 2], dtype)  # exactly, hence so are the differences
    loss, pullback = distillation(z[None], teacher[None], temperature=temperature)
    value, gradient = exact(z, teacher, temperature)
    # About a dozen roundings of p, and of d as a share of the largest e; the entries of d are no smaller than a tenth
    # of that. Far apart, shifts and logarithms of up to 24 / T are rounded besides.
    u = (2 * 12 * 10 + 24 / temperature) * unit_roundoff(dtype)
    assert abs(loss - value) <= u * value
    size = max(map(abs, gradient))
    assert all(abs(entry - truth) <= u * size for entry, truth in zip(pullback(1.0)[0], gradient, strict=True))


@pytest.mark.parametrize("temperature", [0.25, 1.0, 30.0])
def test_the_loss_is_never_negative(temperature: float) -> None:
    z = DRAW((500, 4)) * 10.0 ** np.linspace(-2, 3, 500)[:, None]
    for distance in 10.0 ** np.arange(-17, 2):
        losses, _ = distillation(z, z + distance * DRAW(z.shape), temperature=temperature, reduction="none")
        assert np.all(losses >= 0)
    # both classes below the normal numbers, where a probability has no digits, and d beyond 1
    tails = -np.linspace(738.0, 746.0, 200)
    z, teacher = (np.stack([np.zeros(200), tail * temperature], axis=1) for tail in (tails, tails - 1.5))
    assert np.all(distillation(z, teacher, temperature=temperature, reduction="none")[0] >= 0)
    assert np.all(distillation(teacher, z, temperature=temperature, reduction="none")[0] >= 0)


def test_a_near_teacher_keeps_its_digits_beside_a_class_that_both_mask() -> None:
    z = np.array([[0.5, 1.25, 0.75]])
    teacher = z + np.array([2.0**-30, 0.0, 0.0])
    loss, pullback = distillation(z, teacher)
    masked, masked_pullback = distillation(*(np.insert(logits, 1, -np.inf, axis=1) for logits in (z, teacher)))
    assert masked == pytest.approx(loss, rel=8 * unit_roundoff(float), abs=0)
    dz, without = masked_pullback(1.0), pullback(1.0)
    assert dz[0, 1] == 0
    assert dz[:, [0, 2, 3]] == pytest.approx(without, abs=8 * unit_roundoff(float) * np.abs(without).max())


def test_a_class_the_teacher_alone_masks_costs_what_the_student_gives_it() -> None:
    loss, pullback = distillation(np.array([[0.0, -40.0]]), np.array([[0.0, -np.inf]]))
    assert loss == pytest.approx(np.log1p(np.exp(-40.0)), rel=8 * unit_roundoff(float), abs=0)
    assert pullback(1.0)[0, 1] == pytest.approx(np.exp(-40.0), rel=8 * unit_roundoff(float), abs=0)


@pytest.mark.parametrize(("dtype", "largest"), [(np.float64, 1.3e154), (np.float32, 1.8e19)])
def test_the_hottest_softmax_leaves_half_the_variance_of_the_difference(dtype: Any, largest: float) -> None:
    """The limit of T^2 KL: the variance of ``z - t`` over the classes, halved."""
    z, teacher = DRAW((1, 5)).astype(dtype), DRAW((1, 5)).astype(dtype)
    loss, pullback = distillation(z, teacher, temperature=largest)
    difference = z - teacher
    assert loss == pytest.approx(np.var(difference) / 2, rel=64 * unit_roundoff(dtype))
    limit = (difference - difference.mean()) / 5
    assert pullback(1.0) == pytest.approx(limit, abs=64 * unit_roundoff(dtype) * float(np.abs(limit).max()))


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_two_sure_of_one_class_keep_the_digits_of_their_difference(temperature: float) -> None:
    z, teacher = np.array([0.0, 50.0, -3.0]), np.array([1.0, 44.0, 2.0])
    dz = distillation(z[None], teacher[None], temperature=temperature)[1](1.0)[0]
    _, gradient = exact(z, teacher, temperature)
    # Shifts of up to 53 and a dozen roundings.
    assert all(abs(d - e) <= 2 * 66 * unit_roundoff(float) * abs(e) for d, e in zip(dz, gradient, strict=True))


def test_a_teacher_in_float64_is_read_in_float64() -> None:
    z = np.zeros((1, 2), np.float32)
    teacher = 1e9 + np.array([[0.0, 1.0]])  # float32 has a spacing of 64 there
    dz = distillation(z, teacher)[1](1.0)
    assert dz.dtype == np.float32
    p = 1 / (1 + np.exp(-1.0))
    assert dz == pytest.approx(np.array([[p - 0.5, 0.5 - p]]), rel=8 * unit_roundoff(np.float32))


def test_the_mean_over_no_rows_is_zero() -> None:
    loss, pullback = distillation(np.zeros((0, 3)), np.zeros((0, 3)))
    assert loss == 0
    assert pullback(1.0).shape == (0, 3)


MASKED = np.array([[0.0, 0.0], [-np.inf, -np.inf]])
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "shapes differ": ({"teacher": np.zeros((2, 3))}, r"z \(2, 2\) and teacher \(2, 3\) do not fit"),
    "a vector": ({"z": np.zeros(2), "teacher": np.zeros(2)}, r"z \(2,\)"),
    "no classes": ({"z": np.zeros((2, 0)), "teacher": np.zeros((2, 0))}, "K >= 1"),
    "labels for a teacher": ({"teacher": np.array([[0, 1], [1, 0]])}, "teacher has dtype int64"),
    "a teacher who rules out all": ({"teacher": MASKED}, r"row teacher\[1\] has the maximum -inf"),
    "a student who rules out all": ({"z": MASKED}, r"row z\[1\] has the maximum -inf"),
    "an infinite logit": ({"teacher": -MASKED}, r"row teacher\[1\] has the maximum inf"),
    "a temperature of 0": ({"temperature": 0.0}, "temperature=0.0: pass a finite number above 0"),
    "no temperature": ({"temperature": np.nan}, "temperature=nan: pass a finite number above 0"),
    "a temperature in text": ({"temperature": "2"}, "temperature='2': pass a finite number above 0"),
    "a temperature that is true": ({"temperature": True}, "temperature=True: pass a finite number above 0"),
    "a temperature above all floats": ({"temperature": 10**400}, "temperature=10+: pass a finite number above 0"),
    "a temperature with an infinite square": (
        {"temperature": 1e200},
        r"temperature=1e\+200, squared, is outside the normal numbers of float64, .*: pass one inside, or wider arrays",
    ),
    "a temperature with a lost square": ({"temperature": 1e-200}, "temperature=1e-200, squared, is outside"),
    "a temperature too high for float32": (
        {"z": np.zeros((2, 2), "f4"), "teacher": np.zeros((2, 2), "f4"), "temperature": 1e30},
        r"temperature=1e\+30, squared, is outside the normal numbers of float32",
    ),
    "a reduction unheard of": ({"reduction": "batchmean"}, "reduction='batchmean' is unknown"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_says_what_does_not_fit(case: str) -> None:
    change, message = REFUSED[case]
    arguments: dict[str, Any] = {"z": np.zeros((2, 2)), "teacher": np.zeros((2, 2))} | change
    with pytest.raises(ValueError, match=message):
        distillation(**arguments)
