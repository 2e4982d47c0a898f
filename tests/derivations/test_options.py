"""The options of softmax + NLL, each alone and those that are used together, against ``jax.vjp`` of what they mean."""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import logsumexp

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

# name -> logits, labels, options
CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "soft labels": (Z, SOFT, {}),
    "masks": (MASKED, INDICES, {}),
    "weights": (Z, INDICES, {"weights": WEIGHTS}),
    "weights of soft labels": (Z, SOFT, {"weights": WEIGHTS}),
    "ignored rows": (Z, IGNORED, {"ignore_index": -100}),
    "a class ignored": (Z, INDICES, {"ignore_index": 2}),
    "smoothing": (Z, INDICES, {"label_smoothing": 0.1}),
    "smoothing of soft labels": (Z, SOFT, {"label_smoothing": 0.25}),
    "all smooth": (Z, INDICES, {"label_smoothing": 1}),
    "cold": (Z, INDICES, {"temperature": 0.25}),
    "warm": (Z, INDICES, {"temperature": 3.0}),
    "z-loss": (Z, INDICES, {"z_loss": 0.3}),
    "z-loss alone": (Z, 0 * SOFT, {"z_loss": 2.0}),
    "cap": (Z, INDICES, {"softcap": 1.5}),
    "cap far away": (Z, INDICES, {"softcap": 50}),
    "distillation": (Z, SOFT, {"temperature": 4.0}),
    "ignored, smooth and weighted": (
        Z,
        IGNORED,
        {"ignore_index": -100, "label_smoothing": 0.1, "weights": WEIGHTS},
    ),
    "sequences": (SEQUENCES, INDICES.reshape(2, 3), {}),
    "soft sequences": (SEQUENCES, SOFT.reshape(2, 3, 5), {"temperature": 2.0}),
    "capped sequences": (
        SEQUENCES,
        IGNORED.reshape(2, 3),
        {"ignore_index": -100, "softcap": 2.0, "z_loss": 1e-2},
    ),
    "all but weights": (
        SEQUENCES,
        IGNORED.reshape(2, 3),
        {"ignore_index": -100, "label_smoothing": 0.2, "temperature": 0.5, "z_loss": 0.1, "softcap": 3.0},
    ),
}


@functools.cache
def restated(name: str, reduction: str) -> Any:
    """What the options of a case mean, written down without a thought of how to compute it."""
    options = {"temperature": 1.0, "label_smoothing": 0.0, "z_loss": 0.0, **CASES[name][2]}
    w = jnp.ones(5) if options.get("weights") is None else options["weights"]

    def loss(z: Any, y: Any) -> Any:
        s = z if options.get("softcap") is None else options["softcap"] * jnp.tanh(z / options["softcap"])
        s = s / options["temperature"]
        lse = logsumexp(s, axis=-1)
        kept, q = jnp.ones(z.shape[:-1]), y
        if y.ndim < z.ndim:
            kept = (y != options.get("ignore_index", -1)).astype(z.dtype)
            q = (y[..., None] == jnp.arange(z.shape[-1])) * kept[..., None]
        e = options["label_smoothing"]
        smooth = w * ((1 - e) * q + e / z.shape[-1] * q.sum(axis=-1, keepdims=True))
        nll = -jnp.sum(smooth * jnp.where(smooth != 0, s - lse[..., None], 0), axis=-1)
        rows = nll + options["z_loss"] * lse**2 * kept
        divisor = jnp.sum(kept) if options.get("weights") is None else jnp.sum(w * q)
        return {"none": rows, "sum": rows.sum(), "mean": rows.sum() / divisor}[reduction]

    return loss


def allowed(name: str, ct: Any, size: Any, dtype: Any) -> float:
    """Bound the difference of two evaluations of a gradient or a loss that is a sum of parts of this size.

    Relative to it: u |s| for the rounding of the scores s before they are exponentiated, 4 u for exp and log of two
    libraries, K u for each of two sums of K terms, N u for the one over rows, a handful for the rest; twice, since both
    round. Capped scores are off by a few u of the cap, which they do not exceed.
    """
    z, _, options = CASES[name]
    scores = np.abs(z[np.isfinite(z)]).max() / options.get("temperature", 1)
    k, n = z.shape[-1], z.size // z.shape[-1]
    u = float(np.finfo(dtype).eps) / 2
    return float(2 * u * (2 * scores + 3 * k + n + 24) * np.abs(ct).max() * size)


def size(name: str) -> float:
    """The largest a row's gradient can be, and its loss to within 10: weights, z-loss, 1/T."""
    z, y, options = CASES[name]
    mass = 4 * (y.sum(axis=-1).max() if y.ndim == z.ndim else 1)
    scores = (np.abs(z[np.isfinite(z)]).max() + 2) / options.get("temperature", 1)
    return float((mass + 2 * options.get("z_loss", 0) * scores) * max(1, 1 / options.get("temperature", 1)))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("case", CASES)
@each_form
def test_agrees_with_autodiff_of_the_restatement(
    form: Any, case: str, reduction: str, dtype: Any, reference_vjp: Any
) -> None:
    z, y, options = CASES[case]
    z = z.astype(dtype)
    loss, pullback = form(z, y, reduction=reduction, **options)
    ct = np.linspace(-2, 1.5, loss.size).reshape(loss.shape)
    value, (gradient,) = reference_vjp(restated(case, reduction), (z,), ct, y)
    dz = pullback(ct)
    assert loss.dtype == dz.dtype == dtype
    assert loss.shape == value.shape == ((z.shape[:-1]) if reduction == "none" else ())
    assert np.abs(dz - gradient).max() <= allowed(case, ct, size(case), dtype)
    assert np.abs(loss - value).max() <= allowed(case, 1.0, 10 * len(z) * size(case), dtype)


@pytest.mark.parametrize("case", [name for name, (_, _, options) in CASES.items() if options])
@each_form
def test_the_allowance_sees_each_option_left_out(form: Any, case: str, reference_vjp: Any) -> None:
    z, y, options = CASES[case]
    loss, pullback = form(z, y, **options)
    value, _ = reference_vjp(restated(case, "mean"), (z,), 1.0, y)
    assert np.abs(loss - value) <= allowed(case, 1.0, 10 * size(case), z.dtype)
    for name in options:
        if name == "ignore_index" and options[name] < 0:
            continue  # is an error
        less = {option: given for option, given in options.items() if option != name}
        assert np.abs(form(z, y, **less)[1](1.0) - pullback(1.0)).max() > 1e6 * allowed(case, 1.0, size(case), z.dtype)


# What must hold to the last bit, since it is the same arithmetic.


@each_form
def test_sequences_are_their_places_one_after_another(form: Any) -> None:
    for case in ("sequences", "soft sequences", "all but weights"):
        z, y, options = CASES[case]
        flat = y.reshape(-1, 5) if y.ndim == 3 else y.ravel()
        for reduction in ("mean", "none"):
            loss, pullback = form(z, y, reduction=reduction, **options)
            other, other_pullback = form(z.reshape(-1, 5), flat, reduction=reduction, **options)
            ct = NORMAL(loss.shape)
            assert np.array_equal(loss.ravel(), other.ravel())
            assert np.array_equal(pullback(ct).reshape(-1, 5), other_pullback(ct.ravel() if loss.ndim else ct))


@each_form
def test_ignored_rows_are_as_good_as_gone(form: Any) -> None:
    kept = IGNORED != -100
    options = {"label_smoothing": 0.1, "temperature": 0.5, "z_loss": 0.1, "softcap": 3.0}
    loss, pullback = form(Z, IGNORED, ignore_index=-100, **options)
    without, pullback_without = form(Z[kept], IGNORED[kept], **options)
    # The order of a sum, and which exponentials share a vector register, depend on how many rows there are.
    assert loss == pytest.approx(without, rel=8 * np.finfo(float).eps)
    assert pullback(1.0)[kept] == pytest.approx(pullback_without(1.0), abs=64 * np.finfo(float).eps)
    assert not pullback(1.0)[~kept].any()


@pytest.mark.parametrize("padding", [np.nan, np.inf, -np.inf, 1e308])
@each_form
def test_what_ignored_rows_hold_does_not_matter(form: Any, padding: float) -> None:
    options = {"ignore_index": -100, "z_loss": 0.1, "label_smoothing": 0.1, "softcap": 2.0}
    loss, pullback = form(Z, IGNORED, **options)
    padded = np.where(IGNORED[:, None] == -100, padding, Z)
    other, other_pullback = form(padded, IGNORED, **options)
    assert loss == other
    assert np.array_equal(pullback(-1.5), other_pullback(-1.5))


@each_form
def test_powers_of_two_change_nothing_but_the_scale(form: Any) -> None:
    loss, pullback = form(Z, INDICES, temperature=4.0)
    quarter, quarter_pullback = form(Z / 4, INDICES)
    assert loss == quarter
    assert np.array_equal(pullback(1.0), quarter_pullback(1.0) / 4)
    weighted, heavier = (form(Z, INDICES, weights=weights) for weights in (WEIGHTS, 8 * WEIGHTS))
    assert weighted[0] == heavier[0]
    assert np.array_equal(weighted[1](1.0), heavier[1](1.0))


@each_form
def test_options_at_rest_are_the_plain_loss(form: Any) -> None:
    loss, pullback = form(Z, INDICES)
    rest = {"ignore_index": None, "label_smoothing": 0, "temperature": 1, "z_loss": 0, "softcap": None, "weights": None}
    for options in (rest, {"weights": [1] * 5}, {"ignore_index": 5}, {"ignore_index": 2**40}):
        other, other_pullback = form(Z, INDICES, **options)
        assert loss == other
        assert np.array_equal(pullback(0.5), other_pullback(0.5))


@each_form
def test_rows_of_their_own_weigh_as_their_cotangents_say(form: Any) -> None:
    ct = np.array([1.0, -2.0, 0.0, 0.5, -0.25, 3.0])
    _, pullback = form(Z, INDICES, reduction="none")
    _, plain = form(Z, INDICES, reduction="sum")
    assert np.array_equal(pullback(ct), plain(1.0) * ct[:, None])
    with pytest.raises(ValueError, match=r"the cotangent has shape \(\) and the output \(6,\)"):
        pullback(1.0)
