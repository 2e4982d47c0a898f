"""One report as plain data: what a page shows of it, which one process makes and another lays out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gradcheck.report.as_json import part_as_dict
from gradcheck.report.pictures import draw_heat_map, draw_regimes, draw_v, matrix_view
from gradcheck.report.report import Report, Tally
from gradcheck.report.v_curve import VCurve, v_curve
from gradcheck.verdict import Discrepancy, Outcome

__all__ = ["ORDER", "PICTURED", "UNPICTURED", "Picture", "Section", "section_of", "sections_of"]

# As many reports get pictures, failures first: half a second and 70 kB for each.
PICTURED = 12
UNPICTURED = f"Pictures are drawn of the first {PICTURED} only; a page of this one alone has them."
ORDER = tuple(outcome.value for outcome in (Outcome.FAIL, Outcome.UNDECIDED, Outcome.PASS))


@dataclass(frozen=True)
class Picture:
    """A picture and the words above it; ``svg`` is markup made here, the only one of these that is not escaped."""

    title: str
    text: str
    svg: str


@dataclass(frozen=True)
class Section:
    """What a page shows of one report, in texts, numbers, dicts and lists only.

    Attributes
    ----------
    report : mapping
        The report as `gradcheck.report.as_json.part_as_dict` gives it. A page also shows ``"test"``, where the name of
        the test is put there.
    pictures : tuple of Picture
        Drawn already, since a picture may ask the rule, which stays in the process that has it.
    left_out : tuple of str
        Why there is no such picture, in whole sentences.
    """

    report: Mapping[str, Any]
    pictures: tuple[Picture, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def rank(self) -> int:
        """Where its outcome stands on a page: failures are 0."""
        return ORDER.index(self.report["outcome"])

    def as_json(self) -> str:
        """Write it for another process."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Section:
        """Read what `as_json` wrote, from where it can be trusted: pictures are put into a page as they are."""
        content = json.loads(text)
        pictures = tuple(Picture(**picture) for picture in content["pictures"])
        return cls(content["report"], pictures, tuple(content["left_out"]))


def sections_of(reports: Sequence[Report]) -> list[Section]:
    """Make a section of each report, in their order; the first few, failures before others, have pictures."""
    ranked = sorted(range(len(reports)), key=lambda k: ORDER.index(reports[k].outcome.value))
    pictured = set(ranked[:PICTURED])
    return [section_of(report, pictured=k in pictured) for k, report in enumerate(reports)]


def section_of(report: Report, *, pictured: bool = True) -> Section:
    """Make what a page shows of a report, wherever its rule can still be asked.

    Parameters
    ----------
    report : Report
        Its rule is run up to about 150 times for a picture of finite differences, fewer where it is slow.
    pictured : bool, default True
        Whether to draw, which takes half a second; a page shows pictures of twelve reports at most.

    Raises
    ------
    MissingExtra
        If pictures are wanted and matplotlib is not installed.
    """
    content = part_as_dict(report)
    if not pictured:
        return Section(content, left_out=(UNPICTURED,))
    if not any(d.analytic.size for d in report.verdict.discrepancies):  # a law was broken before
        return Section(content)
    curve = v_curve(report)
    large = [d for d in report.verdict.discrepancies if d.analytic.size > 1]
    pictures = [_heat_map(d, f"map-{k}") for k, d in enumerate(large)]
    if isinstance(curve, VCurve):
        wrong = report.outcome is Outcome.FAIL and bool(np.isfinite(curve.apart))
        pictures.append(_v(curve, "v", wrong=wrong))
    if report and report.tally and report.tally.regimes:  # a failure ends a run before it has seen many
        pictures.append(_regimes(report.tally, "regimes"))
    left_out = (f"No picture of finite differences against the step: {curve}.",) if isinstance(curve, str) else ()
    return Section(content, tuple(pictures), left_out)


def _heat_map(discrepancy: Discrepancy, key: str) -> Picture:
    _, rows, columns = matrix_view(discrepancy.difference)
    text = "Red is beyond what rounding explains, blue within."
    if rows > 1 or columns > 1:
        text += f" A cell is the worst of {rows} by {columns} entries."
    if discrepancy.analytic.ndim > 2:
        text += " All axes but the last run down."
    return Picture(f"Error over allowance: {discrepancy.path}", text, draw_heat_map(discrepancy, key))


def _v(curve: VCurve, key: str, *, wrong: bool) -> Picture:
    title = f"Finite differences against the step: {curve.along}"
    return Picture(title, " ".join(_sentences(curve, wrong=wrong)), draw_v(curve, key, wrong=wrong))


def _regimes(tally: Tally, key: str) -> Picture:
    text = (
        "A dot is the worst difference from the reference of the examples that passed, on a logarithmic scale; "
        "a bar counts examples, each of which may be in several regimes."
    )
    return Picture("Ulps and examples by regime", text, draw_regimes(tally, key))


def _sentences(curve: VCurve, *, wrong: bool) -> Iterator[str]:
    """Say what is to be seen."""
    error = float(curve.estimate.error)
    if not curve.estimate.known:
        yield f"Finite differences find no slope here: {curve.estimate.detail}."
        return
    if wrong and curve.apart > error and curve.off <= error + curve.doubt:
        yield (
            f"It is not the step: at the best one, differences are {curve.off:.0e} from the reference "
            f"and {curve.apart:.1g} from your gradient."
        )
    else:
        within = "within" if curve.off <= error + curve.doubt else "beyond"
        yield f"At the best step, differences are {curve.off:.0e} from the reference, {within} the {error:.0e} claimed."
    if curve.estimate.kink:
        yield f"There is a {curve.estimate.detail}."
    if np.isfinite(curve.rises) and np.isfinite(curve.falls):
        yield f"Measured slopes {curve.rises:.2f} and {curve.falls:.2f}; truncation has 2, round-off -1."
