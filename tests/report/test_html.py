"""The page: inert whatever a name holds, well formed, and readable in a browser, light and dark, narrow and wide."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradcheck
from gradcheck.errors import MissingExtra
from gradcheck.mistakes import Evidence, Finding
from gradcheck.report import Diagnosis, Report, Tally
from gradcheck.report.html import Section, page_of, render_html, require_html, section_of, sections_of, write_html
from gradcheck.report.visible import visible
from gradcheck.rule import Point
from gradcheck.verdict import Discrepancy, Outcome, Vote

pytest.importorskip("jinja2", reason="pages need the extra 'report'")
pytest.importorskip("matplotlib", reason="pictures need the extra 'report'")

MakeReport = Callable[..., Report]
Compared = Callable[..., Discrepancy]
ROOT = Path(__file__).parents[2]
Python = Callable[..., "subprocess.CompletedProcess[str]"]

HOSTILE = (
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "\"'><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "$\\frac{1}{0}$ & &lt; <!--",
    "javascript:alert(1)",
    "x" * 300,
    "grüße \u202e\u2066 \x00\x1b[31m \udc80 数",
)
VOID = {"meta", "img", "br", "link", "input", "hr", "image"}


class Structure(HTMLParser):
    """Reads a page, and complains of tags that are not closed, of scripts, and of what is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.complaints: list[str] = []
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in {"script", "iframe", "object", "embed", "link", "img", "base", "form"}:
            self.complaints.append(f"<{tag}>")
        for name, value in attrs:
            inside = (value or "").startswith(("#", "data:image/png;base64,"))
            if name.startswith("on") or (name in {"src", "href", "xlink:href", "action"} and not inside):
                self.complaints.append(f"{name}={value}")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.complaints.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def read(page: str) -> Structure:
    structure = Structure()
    structure.feed(page)
    structure.close()
    assert structure.open == []
    assert structure.complaints == []
    assert "http" not in page
    assert "@import" not in page
    identities = [attributes["id"] for _, attributes in structure.tags if "id" in attributes]
    assert len(identities) == len(set(identities))
    return structure


def words(page: str) -> str:
    return " ".join("".join(read(page).said).split())


@pytest.fixture(scope="module")
def wrong() -> Report:
    """Check a gradient that is half of what it should be in one column."""

    def grad(w: Any) -> Any:
        found = 3 * w**2
        found[:, 1] /= 2
        return found

    rule = gradcheck.from_loss(lambda w: np.sum(w**3), grad, name="cube_grad")
    return gradcheck.examine(rule, np.linspace(0.5, 2.0, 12).reshape(4, 3))


def hostile(make_report: MakeReport, compared: Compared, text: str) -> Report:
    """Make a report that says the same wherever somebody else's words are shown."""
    finding = Finding(
        "sign", text, text, (Evidence(text, 1e9, 0.5),), Point((text,), {text: text}, 1.0), (text,), (text,)
    )
    array = compared(np.zeros((2, 2)), np.ones((2, 2)), path=text)
    report = make_report(array, name=text, reason=text, votes=(Vote(text, False, text),), target=(f"mine:{text}",))
    verdict = replace(report.verdict, laws={text: text}, notes=(text,))
    tally = Tally(1, text, 1.0, 1e-9, {text: 1}, {text: 1}, {text: text}, {text: 1.0})
    return replace(report, verdict=verdict, tally=tally, diagnosed=Diagnosis((finding,), text, text), saved=Path("a"))


@pytest.fixture(scope="module")
def odd_page(make_report: MakeReport, compared: Compared) -> str:
    """Make a page of reports in which hostile texts stand wherever somebody else's words are shown."""
    regimes = dict.fromkeys(HOSTILE, 3) | {"never": 0}
    tally = Tally(3, "entry-wise", 2.0, 1e-9, regimes, {}, {}, dict.fromkeys(HOSTILE, 2.0))
    right = make_report(compared([1.0], [1.0]), outcome=Outcome.PASS, name="right", tally=tally)
    return render_html(
        [right, *(hostile(make_report, compared, text) for text in HOSTILE)], dict.fromkeys(HOSTILE, "x" * 200)
    )


@pytest.fixture(scope="module")
def wrong_page(wrong: Report) -> str:
    return render_html([wrong])


def test_hostile_texts_are_shown_and_do_nothing(odd_page: str) -> None:
    assert odd_page.encode("utf-8")
    shown = words(odd_page)
    for text in filter(str.isprintable, HOSTILE):
        assert " ".join(text.split()) in shown
    assert "grüße \\u202e\\u2066 \\u0000\\u001b[31m \\udc80 数" in shown
    assert not set("\u202e\u2066\x00\x1b") & set(odd_page)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_do_nothing_in_a_notebook(make_report: MakeReport, compared: Compared, text: str) -> None:
    fragment = hostile(make_report, compared, text)._repr_html_()
    assert visible(text) in "".join(read(fragment).said)


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("paper", ["#ffffff", "#111111", "#1e1e1e"], ids=["light", "dark in Jupyter", "dark elsewhere"])
def test_a_notebook_has_what_it_takes_on_any_paper(wrong: Report, outcome: Outcome, paper: str) -> None:
    fragment = replace(wrong, verdict=replace(wrong.verdict, outcome=outcome))._repr_html_()
    structure = read(fragment)
    assert structure.tags[0][0] == "div"
    assert not {tag for tag, _ in structure.tags} & {"script", "style", "html", "head", "body", "svg"}
    attributes = {name for _, those in structure.tags for name in those}
    assert attributes == {"style"}, "no class or id that the notebook could mean something else by"
    assert "background" not in fragment
    colours = set(re.findall(r"#[0-9a-f]{6}", fragment))
    assert len(colours) == 1, "the rest is in the colour of the notebook's own text"
    # what is bold and of the size of text around it, by the guidelines of the web for large text
    assert all(contrast(colour, paper) >= 3.0 for colour in colours)


def contrast(one: str, other: str) -> float:
    """Measure it as the guidelines of the web do, between two colours written as #rrggbb."""
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_contrast_is_what_it_is() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#123456", "#123456") == 1


def test_a_structure_that_is_broken_is_seen() -> None:
    for page in (
        "<p><b></p></b>",
        "<p>",
        "<script></script>",
        '<a href="//x.y">a</a>',
        '<p onclick="a">b</p>',
        "http:",
    ):
        with pytest.raises(AssertionError):
            read(page)


def test_a_failure_says_what_where_and_what_to_run(make_report: MakeReport, compared: Compared) -> None:
    finding = Finding(
        "sign", "every entry has the wrong sign", "negate it", (Evidence("here", 3e12, 0.1),), None, (), ("roll",)
    )
    report = make_report(compared([[1.0, 2.0]], [[1.0, -2.0]]), diagnosed=Diagnosis((finding,)), saved=Path("kept.npz"))
    shown = words(render_html([report]))
    for text in (
        "FAILhand.nll_grad", "Mistake: every entry has the wrong sign", "Change: negate it",
        "Explains 1 of 1 input: error 3e+12 allowances as it is, 0.1 allowances with this put right",
        "No input here tells it from: roll",
        "z (1, 2) float64: 2 entries, 1 wrong", "z[0, 1]", "gradcheck replay kept.npz", "autodiff", "against",
    ):  # fmt: skip
        assert text in shown, text


def test_pictures_have_names(wrong_page: str) -> None:
    structure = read(wrong_page)
    names = [attributes.get("aria-label") or "" for tag, attributes in structure.tags if tag == "svg"]
    assert re.fullmatch(r"Heat map of error over allowance, worst \S+; above 1 is wrong", names[0])
    assert re.match(r"Error of finite differences against the step, along entry w\[\d, 1\]: .*your gradient", names[1])
    assert all(attributes.get("role") == "img" for tag, attributes in structure.tags if tag == "svg")
    assert dict(structure.tags)["html"]["lang"] == "en"
    tables = [
        (attributes.get("aria-label"), following)
        for (tag, attributes), (following, _) in pairwise(structure.tags)
        if tag == "table"
    ]
    assert tables
    assert all(name or following == "caption" for name, following in tables)
    levels = [int(tag[1]) for tag, _ in structure.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_a_page_is_the_same_bytes_each_time(wrong: Report, wrong_page: str) -> None:
    # the V is measured anew, but at the same steps
    assert render_html([wrong]) == wrong_page


def test_what_was_read_back_has_no_v(wrong: Report) -> None:
    shown = words(render_html([replace(wrong, rule=None)]))
    assert "No picture of finite differences against the step: the report was read back" in shown


def test_a_forward_that_cannot_be_run_again_costs_its_picture_only(wrong: Report) -> None:
    def gone(_: Any) -> Any:
        raise FileNotFoundError("weights.bin")

    assert wrong.rule is not None
    broken = replace(wrong, rule=replace(wrong.rule, forward=gone), diagnosed=Diagnosis())
    assert "could not be run again: FileNotFoundError: weights.bin" in words(render_html([broken]))


def test_failures_come_first_and_the_summary_leads_to_them(make_report: MakeReport, compared: Compared) -> None:
    right = make_report(compared([1.0], [1.0]), outcome=Outcome.PASS, name="right")
    false = make_report(compared([1.0], [2.0]), name="false")
    structure = read(render_html([right, false], {"absent": "no such module"}))
    links = [attributes["href"] for tag, attributes in structure.tags if tag == "a"]
    assert links == ["#report-1", "#report-2"]
    names = [said for said in structure.said if said in ("right", "false")]
    assert names == ["false", "right"] * 2
    articles = [attributes["id"] for tag, attributes in structure.tags if tag == "article"]
    assert articles == ["report-1", "report-2"]
    shown = " ".join("".join(structure.said).split())
    assert "3 gradients: 1 wrong, 1 right, 1 not run" in shown
    assert "no such module" in shown


def test_a_page_without_reports_says_so() -> None:
    assert "0 gradients: nothing to show" in words(render_html([]))
    assert "1 gradient: 1 not run" in words(render_html([], {"mine": "it raised"}))


def test_of_many_only_the_first_have_pictures(
    make_report: MakeReport, compared: Compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradcheck.report.section.PICTURED", 2)
    right = make_report(compared([1.0, 2.0], [1.0, 2.0]), outcome=Outcome.PASS)
    reports = [right, *(make_report(compared([1.0, 2.0], [2.0, 2.0])) for _ in range(2))]
    assert [bool(section.pictures) for section in sections_of(reports)] == [False, True, True]
    structure = read(render_html(reports))
    assert sum(tag == "svg" for tag, _ in structure.tags) == 2
    assert "Pictures are drawn of the first" in "".join(structure.said)


def test_of_sections_from_many_processes_only_the_first_keep_their_pictures(
    make_report: MakeReport, compared: Compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradcheck.report.html.PICTURED", 2)
    failed, passed = (
        section_of(make_report(compared([1.0, 2.0], [1.0, last]), outcome=outcome))
        for last, outcome in ((3.0, Outcome.FAIL), (2.0, Outcome.PASS))
    )
    structure = read(page_of([passed, failed, passed]))
    assert sum(tag == "svg" for tag, _ in structure.tags) == 2
    assert "".join(structure.said).count("Pictures are drawn of the first") == 1


def test_a_page_can_be_laid_out_of_sections_that_were_sent_as_json(wrong: Report, wrong_page: str) -> None:
    section = section_of(wrong)
    text = section.as_json()
    read_back = Section.from_json(text)
    assert read_back == section
    assert read_back.as_json() == text
    assert page_of([read_back]) == wrong_page
    assert all(ord(c) < 128 for c in text)  # whatever a pipe or a file takes
    assert "function" not in text


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_missing_extra_is_named(package: str, wrong: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"needs {package}, .*gradcheck\[report\]"):
        require_html()
    with pytest.raises(MissingExtra):
        render_html([wrong])
    assert "cube_grad" in wrong._repr_html_()  # which needs neither


# --- In a browser. ---------------------------------------------------------------------------------------------------

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--dump-dom",
)  # fmt: skip
LIGHT, DARK = 1, 0  # as the engine counts them
# The page under test is shown in frames of several widths, and measured there by a script that it does not hold itself.
MEASURE = """<!DOCTYPE html><meta charset="utf-8"><pre id="found"></pre><script>
const pages = %s, widths = [360, 1400];
function luminance(colour) {
  const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function measured(frame) {
  const page = frame.contentDocument, root = page.documentElement, style = e => frame.contentWindow.getComputedStyle(e);
  const paper = luminance(style(page.body).backgroundColor);
  const contrast = c => { const l = luminance(c), [a, b] = l > paper ? [l, paper] : [paper, l];
                          return (a + 0.05) / (b + 0.05); };
  const seen = [...page.querySelectorAll('h1, h2, p, td, th, dt, dd, summary, a, figcaption')].filter(e => e.innerText);
  const drawn = [...page.querySelectorAll('svg text')].filter(e => /var|currentColor/.test(e.getAttribute('style')));
  const scrolls = '.box:not(:has(.stack)), pre, svg, details:not([open])';
  const wide = [...page.querySelectorAll('main *')]
    .filter(e => !e.closest(scrolls) && e.getBoundingClientRect().right > root.clientWidth + 1);
  return { width: frame.width, scroll: root.scrollWidth, client: root.clientWidth, paper: paper,
    contrast: Math.min(...seen.map(e => contrast(style(e).color)), ...drawn.map(e => contrast(style(e).fill))),
    drawn: drawn.length, unnamed: [...page.querySelectorAll('table')]
      .filter(e => !(e.getAttribute('aria-label') || e.caption?.textContent)).length,
    alive: [...page.querySelectorAll('script, iframe, object, embed, img, form, [onload], [onerror]')]
      .concat([...page.querySelectorAll('a')].filter(e => !e.getAttribute('href').startsWith('#'))).length,
    wide: wide.map(e => e.outerHTML.slice(0, 80)),
    pictures: [...page.querySelectorAll('svg')]
      .map(e => [e.getAttribute('aria-label'), e.getBoundingClientRect().width]),
    letters: Math.min(...[...page.querySelectorAll('svg text')].map(e => e.getBoundingClientRect().height)),
    text: page.body.innerText };
}
const frames = [];
for (const page of pages) for (const width of widths) {
  const frame = document.createElement('iframe');
  frame.width = width; frame.height = 800; frame.srcdoc = page;
  frames.push(new Promise(done => frame.onload = () => done(measured(frame))));
  document.body.append(frame);
}
Promise.all(frames).then(all => { found.textContent = JSON.stringify(all); });
</script>"""


def browse(pages: list[str], scheme: int, folder: Path) -> list[dict[str, Any]]:
    """Open pages in Chromium, narrow and wide, and give what is to be seen there."""
    assert CHROMIUM is not None
    # what ends a script must not stand in a string of one
    script = json.dumps(pages).replace("</", "<\\/")
    (folder / "measure.html").write_text(MEASURE % script, encoding="utf-8")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=5000"]
    command += [f"--blink-settings=preferredColorScheme={scheme}", (folder / "measure.html").as_uri()]
    ran = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=True)
    match = re.search(r'<pre id="found">(.*?)</pre>', ran.stdout, flags=re.DOTALL)
    assert match, ran.stdout[:500]
    found: list[dict[str, Any]] = json.loads(html.unescape(match[1]))
    return found


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_pages_are_readable_in_a_browser(scheme: int, wrong_page: str, odd_page: str, tmp_path: Path) -> None:
    spoiled = wrong_page.replace("<main>", '<main><p style="width: 1500px; color: #888">too wide and too pale</p>')
    spoiled = spoiled.replace("</main>", '<a href="javascript:0"></a><table></table></main>')
    *found, narrow, wide = browse([wrong_page, odd_page, spoiled], scheme, tmp_path)
    for seen in (narrow, wide):  # so that it is known to be seen
        assert seen["wide"]
        assert seen["contrast"] < 4.5 or scheme == DARK
        assert seen["alive"] == seen["unnamed"] == 1
    assert narrow["scroll"] > narrow["client"]
    assert len(found) == 4
    for seen in found:
        assert seen["scroll"] <= seen["client"] <= int(seen["width"]), seen["wide"]
        assert seen["wide"] == []
        assert seen["contrast"] >= 4.5
        assert seen["drawn"] > 5
        assert seen["unnamed"] == seen["alive"] == 0
        assert seen["paper"] > 0.9 if scheme == LIGHT else seen["paper"] < 0.05
        assert all(name and 100 < width <= int(seen["width"]) for name, width in seen["pictures"])
        assert seen["letters"] >= 8
    assert [len(seen["pictures"]) for seen in found] == [2, 2, 9, 9]
    assert "Finite differences against the step: entry w" in found[0]["text"]
    assert "8 wrong, 1 right, 8 not run" in found[2]["text"]
    assert "<script>alert(1)</script>" in found[3]["text"]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_picture_in_the_pages_is_made_by_a_command(python: Python, tmp_path: Path) -> None:
    out, page = tmp_path / "report.png", tmp_path / "report.html"
    ran = python(str(ROOT / "tools" / "report_screenshot.py"), "--out", str(out), "--width", "700", "--page", str(page))
    assert ran.returncode == 0, ran.stderr
    assert re.fullmatch(r"wrote .*report\.png \(\d+ kB\)\n", ran.stdout)
    assert "Mistake: only the label" in words(page.read_text(encoding="utf-8"))
    assert out.read_bytes().startswith(b"\x89PNG")


def test_the_picture_in_the_pages_is_small() -> None:
    assert 20_000 < (ROOT / "docs" / "explanation" / "report.png").stat().st_size < 150_000


def test_the_file_is_written_whole(wrong: Report, tmp_path: Path) -> None:
    path = write_html([wrong], tmp_path / "report.html")
    assert path.read_text(encoding="utf-8").endswith("</html>\n") or path.read_text(encoding="utf-8").endswith(
        "</html>"
    )
    assert list(tmp_path.iterdir()) == [path]
