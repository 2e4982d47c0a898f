"""The pictures of a report: finite differences against the step, errors as a heat map, and the regimes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.report.as_json import over_allowance
from gradcheck.report.canvas import ANALYTIC, HEIGHT, INK, MUTED, REFERENCE, UNDECIDED, WIDTH, as_svg, figure_of, style
from gradcheck.report.report import Tally
from gradcheck.report.v_curve import VCurve
from gradcheck.report.visible import visible
from gradcheck.tree import Array
from gradcheck.verdict import Discrepancy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_heat_map", "draw_regimes", "draw_v", "matrix_view"]

_CELLS = 48  # rows or columns of a heat map; more are narrower than one can point at
_LABELLED = 10  # rows or columns up to which each cell has room for its number
_LEAST = 1e-2  # of an allowance: below, it does not matter how far
_TENTH = 0.1  # of an ulp: rounding the right value to the nearest number is off by up to half of one
_NAME = 28  # characters of a regime's name that there is room for: the longest of our own is as long


def draw_v(curve: VCurve, key: str, *, wrong: bool) -> str:
    """Draw the error of finite differences against the step; of a wrong gradient, what it is off by too.

    ``key`` is a word of this picture alone among those of the report.
    """
    with style():
        figure, axes = figure_of(WIDTH, HEIGHT)
        axes.set_xscale("log")
        axes.set_yscale("log")
        if wrong:
            _points(axes, curve.steps, curve.from_analytic, "x", ANALYTIC, "from your gradient")
        _points(axes, curve.steps, curve.from_reference, "o", REFERENCE, "from the reference")
        low, high = _limits(curve, wrong=wrong)
        axes.set_ylim(low, high)
        axes.set_xlim(curve.steps[-1] / 2, curve.steps[0] * 2)
        _asymptotes(axes, curve)
        if curve.used:
            _mark_chosen(axes, curve, high)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value:.0e}")  # as in the text, and ten times as fast
        axes.set_xlabel("step h")
        axes.set_ylabel("error of the difference")
        figure.legend(loc="outside lower center", ncols=2, handlelength=1.6, columnspacing=1.4)
        return as_svg(figure, _told(curve, wrong=wrong), key)


def draw_heat_map(discrepancy: Discrepancy, key: str) -> str:
    """Draw error over allowance of every entry, as a matrix; of a large one, the worst of each block."""
    view, rows, columns = matrix_view(over_allowance(discrepancy))
    with style():
        from matplotlib.colors import TwoSlopeNorm

        height, width = view.shape
        # a cell is half an inch wide and a third high, as long as there is room
        figure, axes = figure_of(min(1.6 + 0.5 * width, WIDTH), min(max(0.8 + 0.33 * height, 1.6), HEIGHT))
        finite = view[np.isfinite(view)]
        top = max(2.0, float(np.ceil(np.log10(max(finite.max(initial=1.0), 1.0)))))
        logs = np.where(np.isinf(view), top + 1, np.log10(np.maximum(view, _LEAST)))
        norm = TwoSlopeNorm(0.0, np.log10(_LEAST), top)
        image = axes.imshow(logs, cmap=_colours(), norm=norm, aspect="auto", interpolation="none")
        _name_axes(axes, view, rows, columns)
        if height <= _LABELLED and width <= _LABELLED:
            _write_numbers(axes, view, logs / top)
        bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=12, extend="max" if np.isinf(view).any() else "neither")
        ticks = [-2, 0, top] if height < _LABELLED / 2 else [-2, -1, 0, *np.unique(np.ceil(np.linspace(0, top, 4)))[1:]]
        bar.set_ticks(ticks, labels=[_power(tick) for tick in ticks])
        bar.set_label("error / allowed")
        worst = "not finite" if np.isinf(view).any() else f"{finite.max():.2g}" if finite.size else "not known"
        return as_svg(figure, f"Heat map of error over allowance, worst {worst}; above 1 is wrong", key)


def draw_regimes(tally: Tally, key: str) -> str:
    """Draw the worst ulps of the examples that passed in each regime, and how many examples each has had."""
    names, visits = list(tally.regimes), np.array(list(tally.regimes.values()))
    ulps = np.array([tally.regime_ulps.get(name, np.nan) for name in names], dtype=float)
    known = np.isfinite(ulps)
    with style():
        figure, axes = figure_of(WIDTH, 1.0 + 0.19 * len(names))
        (errors, counts), rows = _side_by_side(axes), np.arange(len(names))
        top = 10.0 ** np.ceil(np.log10(max(ulps[known].max(initial=1.0), 10.0)))
        errors.set_xscale("log")
        errors.set_xlim(_TENTH / 1.3, top * 1.3)
        errors.set_xticks([_TENTH, 1.0, *np.unique([10.0, top])], minor=False)
        errors.xaxis.set_major_formatter(lambda value, _: "≤ 0.1" if value <= _TENTH else _brief(value))
        shown = np.maximum(ulps[known], _TENTH)
        errors.hlines(rows[known], _TENTH / 1.3, shown, color=MUTED, linewidth=0.8)
        errors.plot(shown, rows[known], "o", color=REFERENCE, markersize=4.5)
        errors.set_yticks(rows, labels=[_short(name) for name in names], parse_math=False)
        errors.set_ylim(len(names) - 0.5, -0.5)
        errors.set_xlabel("worst ulp")
        counts.barh(rows, visits, height=0.6, color=MUTED)
        counts.set_xlim(0, max(visits.max(initial=0), 1) * 1.6)  # room for the numbers
        for row, count in enumerate(visits):
            counts.text(count, row, f" {count}" if count else " never", va="center", fontsize=8,
                        color=INK if count else UNDECIDED)  # fmt: skip
        counts.set_xlabel("examples")
        return as_svg(figure, _told_of_regimes(tally), key)


def _side_by_side(axes: Axes) -> tuple[Axes, Axes]:
    """Put narrower axes to the right of others, with the same rows."""
    grid = axes.figure.add_gridspec(1, 2, width_ratios=(3, 2))
    axes.set_subplotspec(grid[0])
    beside = axes.figure.add_subplot(grid[1], sharey=axes)
    beside.tick_params(labelleft=False)
    return axes, beside


def _short(name: str) -> str:
    name = visible(name)
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"


def _told_of_regimes(tally: Tally) -> str:
    visited = sum(map(bool, tally.regimes.values()))
    text = f"Worst ulps and number of examples by regime, {visited} of {len(tally.regimes)} visited"
    if not tally.regime_ulps:
        return text
    worst = max(sorted(tally.regime_ulps), key=lambda name: tally.regime_ulps[name])  # sorted: of ties always the same
    return f"{text}; most, {_brief(tally.regime_ulps[worst])} ulp, in {worst}"


def matrix_view(array: Array) -> tuple[Array, int, int]:
    """Lay an array out as a matrix, last axis along rows, and reduce it to blocks by their largest entry.

    Returns
    -------
    matrix, rows, columns
        At most 48 by 48, and how many rows and columns of the array one cell stands for. What is not known (NaN)
        shows only where nothing else is in a block.
    """
    matrix = array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1)
    rows, columns = (-(-n // _CELLS) for n in matrix.shape)
    starts = [np.arange(0, n, step) for n, step in zip(matrix.shape, (rows, columns), strict=True)]
    for axis, at in enumerate(starts):
        matrix = np.fmax.reduceat(matrix, at, axis=axis)
    return matrix, rows, columns


def _points(axes: Axes, steps: Array, errors: Array, marker: str, colour: str, label: str) -> None:
    seen = errors > 0  # what is 0 by chance has no place on a logarithmic axis
    axes.plot(steps[seen], errors[seen], marker, color=colour, markersize=4, label=label)


def _limits(curve: VCurve, *, wrong: bool) -> tuple[float, float]:
    """Span the errors seen, with room."""
    shown = [curve.from_reference, *([curve.from_analytic] if wrong else []), np.array([curve.off])]
    values = np.concatenate(shown)
    values = values[(values > 0) & np.isfinite(values)]
    if not values.size:
        return 1e-16, 1.0
    low, high = float(values.min()), float(values.max())
    return low / 5, high * max(5.0, (high / low) ** 0.12)  # the label of the chosen step is to stand above


def _asymptotes(axes: Axes, curve: VCurve) -> None:
    if curve.truncation > 0:
        axes.plot(
            curve.steps, curve.truncation * curve.steps**2, "--", color=MUTED, linewidth=1, label="truncation, h²"
        )
    if curve.roundoff > 0:
        axes.plot(curve.steps, curve.roundoff / curve.steps, ":", color=MUTED, linewidth=1.4, label="round-off, 1/h")


def _mark_chosen(axes: Axes, curve: VCurve, top: float) -> None:
    """Mark the steps that the oracle used, the smallest of them, and how near it came by extrapolating to zero."""
    chosen = curve.used[-1]
    axes.axvspan(chosen, curve.used[0], color=MUTED, alpha=0.15, linewidth=0, label="steps used")
    axes.axvline(chosen, color=INK, linewidth=1)
    axes.annotate("chosen", (chosen, top), xytext=(-4, -2), textcoords="offset points", ha="right", va="top")
    if curve.off > 0:
        axes.plot([chosen], [curve.off], "D", color=INK, markersize=6, label="extrapolated from them")


def _told(curve: VCurve, *, wrong: bool) -> str:
    text = f"Error of finite differences against the step, along {curve.along}: "
    if np.isfinite(curve.rises) and np.isfinite(curve.falls):
        text += f"a V with slopes {curve.rises:.1f} and {curve.falls:.1f}"
    else:
        text += f"smallest {np.min(curve.from_reference):.1e}"
    return text + (f"; from your gradient {curve.apart:.1e} at the chosen step" if wrong else "")


def _colours() -> Any:
    """Pale where all is well, turning at 1, dark red far beyond; grey is not known, violet not finite."""
    from matplotlib.colors import LinearSegmentedColormap

    shades = ["#dbe9f6", "#9ecae1", "#fdd49e", "#ef6548", "#7f0000"]
    places = [0.0, 0.499, 0.501, 0.7, 1.0]
    colours = LinearSegmentedColormap.from_list("allowance", list(zip(places, shades, strict=True)))
    return colours.with_extremes(bad="#8c8c8c", over="#7b2d8b")


def _name_axes(axes: Axes, view: Array, rows: int, columns: int) -> None:
    for axis, count, step, name in (
        (axes.xaxis, view.shape[1], columns, "column"),
        (axes.yaxis, view.shape[0], rows, "row"),
    ):
        every = max(1, -(-count // 8))
        ticks = list(range(0, count, every))
        axis.set_ticks(ticks, labels=[str(tick * step) for tick in ticks])
        axis.set_label_text(f"{name} ({step} to a cell)" if step > 1 else name)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _write_numbers(axes: Axes, view: Array, darkness: Array) -> None:
    for (i, j), value in np.ndenumerate(view):
        colour = "#ffffff" if darkness[i, j] > 0.4 or not np.isfinite(value) else "#202020"
        axes.text(j, i, _brief(float(value)), ha="center", va="center", fontsize=7.5, color=colour)


def _brief(ratio: float) -> str:
    """Write a ratio in four characters or so: .02, 0.7, 35, 3e9."""
    if not np.isfinite(ratio):
        return "?" if np.isnan(ratio) else "inf"
    if ratio < 99.5:
        return f"{ratio:.0f}" if ratio >= 9.5 or ratio == 0 else f"{ratio:.1g}"
    return f"{ratio:.0e}".replace("e+0", "e").replace("e+", "e")


def _power(exponent: float) -> str:
    return {-2: "≤ 0.01", -1: "0.1", 0: "1", 1: "10"}.get(int(exponent), f"1e{int(exponent)}")
