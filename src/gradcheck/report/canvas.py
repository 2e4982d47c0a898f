"""What the pictures of a report are drawn on: SVG that takes its colours from the page around it."""

from __future__ import annotations

import html
import io
import re
import warnings
from typing import TYPE_CHECKING, Any

from gradcheck.extras import import_extra
from gradcheck.report.visible import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "ANALYTIC",
    "HEIGHT",
    "INK",
    "MUTED",
    "REFERENCE",
    "UNDECIDED",
    "WIDTH",
    "as_svg",
    "figure_of",
    "own_names",
    "require_matplotlib",
    "style",
]

# Colours that matplotlib writes into the SVG and that the page's own, light or dark, are then put in place of.
INK, MUTED, REFERENCE, ANALYTIC, UNDECIDED = "#010101", "#010102", "#010103", "#010104", "#010105"
_IN_PAGE = {INK: "currentColor", MUTED: "var(--muted)", REFERENCE: "var(--accent)", ANALYTIC: "var(--fail)",
            UNDECIDED: "var(--undecided)"}  # fmt: skip
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text, which one can search and which the page's font is put on
    "svg.hashsalt": "gradcheck",  # equal pictures are equal bytes
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "legend.frameon": False,
}
WIDTH = 4.8  # inches: on a telephone, 360 px wide, its letters are still 8 px high
HEIGHT = 3.7
_ENLARGED = 105  # pixels for each of these inches at most, of 96 to the inch on a screen


def require_matplotlib() -> None:
    """Refuse to draw without matplotlib, and say how to install it."""
    import_extra("matplotlib", "drawing a report", "matplotlib", "report")


def style() -> Any:
    """Give a context in which figures look as they do in every report, whatever the user has set."""
    require_matplotlib()
    import matplotlib as mpl

    return mpl.rc_context({**mpl.rcParamsDefault, "backend": mpl.rcParams["backend"], **_STYLE})


def figure_of(width: float, height: float) -> tuple[Figure, Axes]:
    """Make a figure of this size in inches, with one set of axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def as_svg(figure: Figure, label: str, key: str) -> str:
    """Write a figure as an element of a page: named, without what only a file of its own needs."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # matplotlib measures letters in a font of its own, and the page draws them in another
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # its sheet of styles would be that of the whole page; the rest names other sites
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = text.replace("xlink:href", "href")
    box = re.search(r'viewBox="[^"]*"', text)
    most = f"{_ENLARGED * figure.get_figwidth():.0f}px"
    name = html.escape(visible(label))
    tag = f'<svg role="img" aria-label="{name}" style="max-width: {most}" {box[0] if box else ""}>'
    text = re.sub(r"<svg.*?>", lambda _: tag, text, count=1, flags=re.DOTALL)
    for colour, in_page in _IN_PAGE.items():
        text = text.replace(colour, in_page)
    return own_names(text, key)


def own_names(text: str, key: str) -> str:
    """Begin the names that are referred to within a picture with ``key``, and take the other names out.

    Names are those of the whole page that a picture is put into.
    """
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda m: f' id="{key}-{m[1]}"' if m[1] in used else "", text)
    return re.sub(r'(href="|url\()#', rf"\1#{key}-", text)
