"""How many digits survive where the network is sure, counted against mpmath."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gradcheck.derivations import softmax_nll

# By name, since mpmath brings no types. Differences of 1 and probabilities down to exp(-1400) = 1e-608 keep 30 digits.
mp: Any = importlib.import_module("mpmath").MPContext()
mp.dps = 640
U = float(np.finfo(float).eps) / 2
LEADS = (20, 30, 40)


def truth(z: Any, q: Any) -> tuple[Any, list[Any]]:
    """Loss and gradient of a row at its own rounded logits."""
    e = [mp.exp(mp.mpf(float(x))) for x in z]
    a = [x / mp.fsum(e) for x in e]
    weights = [mp.mpf(float(x)) for x in q]
    mass = mp.fsum(weights)
    loss = -mp.fsum(w * mp.log(x) for w, x in zip(weights, a, strict=True) if w)
    return loss, [mass * x - w for w, x in zip(weights, a, strict=True)]


def error(value: Any, exact: Any) -> float:
    """Relative to the exact value."""
    return float(abs(mp.mpf(float(value)) / exact - 1))


def row(lead: float) -> Any:
    return np.array([[lead, 0.0, -0.5, -2.0]])


def worst_errors(name: str, lead: float) -> Any:
    """Errors of the loss and of each entry, the worst of sixteen leads up to 1 further: a single one may be lucky."""
    found = []
    for further in np.arange(16) / 16:
        z = row(lead + further)
        loss, gradient = truth(z[0], [1, 0, 0, 0])
        value, pullback = getattr(softmax_nll, name)(z, [0])
        found.append([error(value, loss), *(error(x, g) for x, g in zip(pullback(1.0)[0], gradient, strict=True))])
    return np.max(found, axis=0)


@pytest.mark.parametrize("lead", LEADS)
def test_accurate_keeps_the_digits_that_fused_loses(lead: int) -> None:
    fused, accurate = worst_errors("fused", lead), worst_errors("accurate", lead)
    # What is left of the label is rest = (1 + exp(-1/2) + exp(-2)) exp(-lead) of 1, and the spacing below 1 is u: fused
    # is off by up to u/2 in it, at 20, 30 and 40 in the 8th digit, in the 4th and in the first. Half of that will show.
    rest = 1.75 * np.exp(-lead)
    assert np.all(fused[:2] > min(U / 4 / rest, 0.5))
    # The loss and every entry: u |s| from the shift, 4 u from exp, 2 from log1p, 4 for sum and division of 4 terms.
    bound = (lead + 3 + 12) * U
    assert np.all(accurate <= bound)
    assert np.all(fused[2:] <= bound)


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("options", [{"temperature": 0.5}, {"softcap": 200.0}, {"weights": [2.0, 1, 1, 1]}])
def test_it_keeps_them_with_options(lead: int, options: dict[str, Any]) -> None:
    z = row(lead)
    s, slope, weight = _scores(z[0], **options)
    value, pullback = softmax_nll.accurate(z, [0], reduction="sum", **options)
    e = [mp.exp(x) for x in s]
    rest = mp.fsum(e[1:]) / mp.fsum(e)
    loss = -weight * mp.log(1 - rest)
    gradient = -weight * rest * slope[0]
    # The cap alone adds a few roundings of itself to the scores.
    bound = (2 * lead + 16 + 8 * options.get("softcap", 0)) * U
    assert error(value, loss) <= bound
    assert error(pullback(1.0)[0, 0], gradient) <= bound


def _scores(z: Any, temperature: float = 1, softcap: float | None = None, weights: Any = (1,)) -> Any:
    x = [mp.mpf(float(v)) for v in z]
    slope = [mp.mpf(1)] * len(x)
    if softcap:
        slope = [mp.sech(v / softcap) ** 2 for v in x]
        x = [softcap * mp.tanh(v / softcap) for v in x]
    return [v / temperature for v in x], [v / temperature for v in slope], weights[0]


@settings(max_examples=100, deadline=None)
@given(
    z=hnp.arrays(float, (1, 4), elements=st.floats(-700, 700)),
    label=st.integers(0, 3),
)
def test_with_one_label_every_entry_is_accurate_everywhere(z: Any, label: int) -> None:
    loss, gradient = truth(z[0], np.eye(4)[label])
    value, pullback = softmax_nll.accurate(z, [label])
    bound = (np.ptp(z) + 16) * U
    tiny = float(np.finfo(float).tiny)
    for x, exact in zip([value, *pullback(1.0)[0]], [loss, *gradient], strict=True):
        # below the normal numbers digits run out, and XLA is not asked
        assert abs(exact) < 2 * tiny or error(x, exact) <= bound


def test_soft_labels_are_as_accurate_as_their_difference_allows() -> None:
    """Of a label weight of 1e-12 beside 1, the difference from 1 is known to 16 digits, not to 4."""
    z, q = np.array([[40.0, 0.0, -1.0]]), np.array([[1.0, 1e-12, 0.0]])
    _, gradient = truth(z[0], q[0])
    dz = softmax_nll.accurate(z, q)[1](1.0)[0]
    assert max(error(x, g) for x, g in zip(dz, gradient, strict=True)) <= 64 * U
    assert error(softmax_nll.fused(z, q)[1](1.0)[0, 0], gradient[0]) > 1e-5


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_narrow_dtypes_keep_theirs(dtype: Any) -> None:
    z = np.array([[10.0, 0.0, -0.5]], dtype)
    loss, gradient = truth(z[0], [1, 0, 0])
    value, pullback = softmax_nll.accurate(z, [0])
    u = float(np.finfo(dtype).eps) / 2
    spacing = float(np.finfo(dtype).smallest_subnormal)
    for x, exact in zip([value, *pullback(1.0)[0]], [loss, *gradient], strict=True):
        assert abs(float(x) - float(exact)) <= 32 * u * abs(float(exact)) + spacing
