"""What the pictures of a report are drawn of: the V of finite differences, and arrays as matrices."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import gradcheck
from gradcheck.report import Report, Tally
from gradcheck.report.as_json import over_allowance
from gradcheck.report.pictures import draw_heat_map, draw_regimes, draw_v, matrix_view
from gradcheck.report.v_curve import VCurve, v_curve
from gradcheck.verdict import Discrepancy, Grade

Compared = Callable[..., Discrepancy]


def examined(fun: Callable[[Any], Any], grad: Callable[[Any], Any], x: Any) -> Report:
    return gradcheck.examine(gradcheck.from_loss(fun, grad, name="f"), np.asarray(x))


def curve_of(report: Report) -> VCurve:
    curve = v_curve(report)
    assert isinstance(curve, VCurve), curve
    return curve


def test_the_v_has_its_two_slopes() -> None:
    curve = curve_of(examined(lambda x: np.sum(np.exp(x)), np.exp, [0.3, 1.0, -0.7]))
    assert curve.along == "a random direction"
    assert curve.rises == pytest.approx(2.0, abs=0.05)
    assert curve.falls == pytest.approx(-1.0, abs=0.2)
    assert list(curve.steps) == sorted(curve.steps, reverse=True)
    # extrapolation goes below the lowest point of the V
    assert curve.off <= float(curve.estimate.error) < 1e-9
    assert curve.off < curve.from_reference.min() * 10
    assert curve.steps[-1] < curve.used[-1] < curve.used[0] < curve.steps[0]


def test_truncation_is_a_sixth_of_the_third_derivative() -> None:
    x, direction = 1.0, 1.0
    curve = curve_of(examined(lambda x: np.sum(np.sin(x)), lambda x: 2 * np.cos(x), [x]))
    assert curve.along == "entry x[0]"
    assert curve.truncation == pytest.approx(abs(math.cos(x)) * direction / 6, rel=1e-2)


def test_a_wrong_gradient_has_a_shelf() -> None:
    shelf = np.array([0, 0.25, 0])
    curve = curve_of(examined(lambda x: np.sum(np.exp(x)), lambda x: np.exp(x) + shelf, [0.3, 1.0, -0.7]))
    assert curve.along == "entry x[1]"
    assert curve.apart == pytest.approx(0.25, rel=1e-6)
    small = curve.steps < 1e-3
    between = small & (curve.steps > 1e-10)
    np.testing.assert_allclose(curve.from_analytic[between], 0.25, rtol=1e-3)
    assert curve.off < 1e-9


def test_a_straight_line_has_no_truncation() -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra 'report'")
    curve = curve_of(examined(lambda x: np.sum(3 * x), lambda x: np.full_like(x, 2.0), [0.1, 0.2]))
    assert math.isnan(curve.rises) or curve.truncation < 1e-9
    draw_v(curve, "key", wrong=True)


def test_reasons_why_there_is_no_v() -> None:
    report = examined(lambda x: np.sum(x**2), lambda x: x.copy(), [1.0])
    assert "read back" in str(v_curve(replace(report, rule=None)))
    assert "no entries" in str(v_curve(replace(report, verdict=replace(report.verdict, discrepancies=()))))
    flat = examined(lambda x: np.sum(np.zeros_like(x) * x), np.zeros_like, [1.0, 2.0])
    assert "they see nothing below" in str(v_curve(flat))


def test_a_slow_forward_is_run_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    report = examined(lambda x: np.sum(np.exp(x)), np.exp, [0.5])
    monkeypatch.setattr("gradcheck.report.v_curve._PATIENCE", 0.0)
    assert len(curve_of(report).steps) <= 8


@given(hnp.arrays(float, hnp.array_shapes(min_dims=0, max_dims=3, max_side=120), elements=st.floats(0, 1e6)))
def test_a_matrix_view_keeps_the_worst(array: Any) -> None:
    matrix, rows, columns = matrix_view(array)
    assert matrix.ndim == 2
    assert max(matrix.shape) <= 48
    assert matrix.max() == array.max()
    assert matrix.shape[1] == -(-array.shape[-1] // columns) if array.ndim else matrix.shape == (1, 1)
    if (rows, columns) == (1, 1) and array.ndim:
        assert np.array_equal(matrix, array.reshape(matrix.shape))


def test_what_is_not_known_does_not_hide_what_is() -> None:
    array = np.full((100, 1), np.nan)
    array[7] = 3.0
    matrix, rows, _ = matrix_view(array)
    assert rows == 3
    assert matrix[2] == 3.0
    assert np.isnan(matrix[[0, 1, 3]]).all()


def test_error_over_allowance(compared: Compared) -> None:
    array = compared([1.0, 2.0, np.nan, 4.0, 0.0], [1.0, 2.0 + 1e-12, 3.0, 4.0 + 3e-12, 0.0])
    exact = replace(array, allowed=np.array([1e-12, 1e-12, 1e-12, 1e-12, 0.0]))
    ratio = over_allowance(exact)
    np.testing.assert_allclose(ratio, [0, 1, np.inf, 3, 0], rtol=1e-3)
    unknown = replace(exact, grade=np.full(5, Grade.UNKNOWN))
    assert np.isnan(over_allowance(unknown)).all()


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 4), (100, 1), (2, 3, 4, 5), (200, 300)])
@pytest.mark.parametrize("value", [0.0, 1e-13, 1.0, np.inf, np.nan])
def test_arrays_of_all_kinds_are_drawn(compared: Compared, shape: tuple[int, ...], value: float) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra 'report'")
    analytic = np.ones(shape)
    analytic.flat[-1] += value
    svg = draw_heat_map(compared(analytic, np.ones(shape)), "key")
    assert svg.startswith('<svg role="img" aria-label="Heat map of error over allowance, worst ')
    assert svg.rstrip().endswith("</svg>")
    assert len(svg) < 100_000


@pytest.mark.parametrize(
    ("regimes", "ulps", "told"),
    [
        ({"ties": 3, "huge": 0}, {"ties": 1.25}, "1 of 2 visited; most, 1 ulp, in ties"),
        ({"ties": 3, "huge": 1}, {"ties": 0.0, "huge": 3e9}, "2 of 2 visited; most, 3e9 ulp, in huge"),
        ({"ties": 0}, {}, "0 of 1 visited"),
        ({"ties": 3, "huge": 1}, {"ties": math.inf, "huge": 1.0}, "2 of 2 visited; most, inf ulp, in ties"),
        ({"a < b & $\\frac{1}{0}$ \u202e" + "x" * 99: 1}, {}, "1 of 1 visited"),
    ],
)
def test_regimes_of_all_kinds_are_drawn(regimes: dict[str, int], ulps: dict[str, float], told: str) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra 'report'")
    svg = draw_regimes(Tally(3, "entry-wise", 1.0, 1e-9, regimes, regime_ulps=ulps), "key")
    assert svg.startswith(f'<svg role="img" aria-label="Worst ulps and number of examples by regime, {told}" style=')
    assert "\u202e" not in svg
    words = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    shown = [name if len(name) <= 28 else "a &lt; b &amp; $\\frac{1}{0}$ \\u202…" for name in regimes]
    assert [word for word in words if word in shown] == shown
    assert words.count(" never") == sum(count == 0 for count in regimes.values())


def test_more_ulps_are_further_to_the_right() -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra 'report'")
    regimes = dict.fromkeys(["exact", "tenth", "one", "hundred"], 1)
    ulps = dict(zip(regimes, [0.0, 0.1, 1.0, 100.0], strict=True))
    svg = draw_regimes(Tally(4, "entry-wise", 100.0, 1e-9, regimes, regime_ulps=ulps), "key")
    dots = [
        float(x) for x in re.findall(r'<use href="#key-[^"]*" x="([\d.]+)" y="[\d.]+" style="fill: var\(--accent', svg)
    ]
    exact, tenth, one, hundred = dots
    assert exact == tenth, "below a tenth it does not matter how far"
    assert hundred - one == pytest.approx(2 * (one - tenth)), "a logarithmic scale"


def test_a_regime_may_have_letters_that_matplotlib_has_no_font_for() -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra 'report'")
    name = "\N{HIRAGANA LETTER A}"
    svg = draw_regimes(Tally(1, "entry-wise", 1.0, 1e-9, {name: 1}, regime_ulps={name: 1.0}), "key")
    assert f">{name}</text>" in svg, "the page's font has them"
