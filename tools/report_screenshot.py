"""Make the picture of a report that the documentation shows.

``python tools/report_screenshot.py`` checks a gradient that only trains the active neuron, makes the page of its
report, photographs it with Chromium and writes ``docs/explanation/report.png``. Options choose another file, a width
and the dark colours; ``--page`` keeps the page too.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops

import gradcheck
from gradcheck.report import Report, keep
from gradcheck.report.html import write_html

OUT = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "report.png"

# A module of its own, so that the page names things as it would for somebody who wrote this file.
MINE = """
import numpy as np

def nll(z, y):
    shifted = z - z.max(axis=1, keepdims=True)
    rows = np.arange(len(y))
    return np.mean(np.log(np.exp(shifted).sum(axis=1)) - shifted[rows, y])

def nll_grad(z, y):
    shifted = z - z.max(axis=1, keepdims=True)
    a = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    rows = np.arange(len(y))
    gradient = np.zeros_like(a)
    gradient[rows, y] = a[rows, y] - 1
    return gradient / len(y)
"""
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
TALL = 6000  # pixels, of which what is empty is cut off


def report() -> Report:
    """Check the gradient at a batch of six, in the folder at hand."""
    Path("mine.py").write_text(MINE, encoding="utf-8")
    sys.path.insert(0, str(Path.cwd()))
    mine = importlib.import_module("mine")
    rng = np.random.default_rng(0)
    z, y = rng.integers(-16, 17, (6, 8)) / 8, rng.integers(0, 8, 6)
    return keep(gradcheck.examine(gradcheck.from_loss(mine.nll, mine.nll_grad), z, y))


def photograph(page: Path, picture: Path, *, width: int, dark: bool) -> None:
    """Take a picture of a whole page."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise SystemExit("no Chromium is installed, which takes the picture")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [chromium, *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{TALL}"]
        command += [f"--blink-settings=preferredColorScheme={int(not dark)}"]  # 0 is dark, as the engine counts
        command += [f"--screenshot={picture}", page.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)  # noqa: S603  ours


def trim(picture: Path) -> None:
    """Cut off what is empty below."""
    with Image.open(picture) as opened:
        image = opened.convert("RGB")
    empty = Image.new("RGB", image.size, image.getpixel((0, image.height - 1)))
    box = ImageChops.difference(image, empty).getbbox()
    bottom = min(image.height, (box[3] if box else 0) + 24)
    cropped = image.crop((0, 0, image.width, bottom))
    # as many colours as one sees, in a third of the bytes; the usual choice of them would leave orange out
    cropped.quantize(256, method=Image.Quantize.MAXCOVERAGE).save(picture, optimize=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Make the page and its picture."""
    parser = argparse.ArgumentParser(description="Make the picture of a report that the documentation shows.")
    parser.add_argument("--out", type=Path, default=OUT, metavar="PATH", help="where the picture goes")
    parser.add_argument("--width", type=int, default=1000, metavar="PIXELS", help="of the window (default: 1000)")
    parser.add_argument("--dark", action="store_true", help="as a browser shows it that prefers dark colours")
    parser.add_argument("--page", type=Path, metavar="PATH", help="keep the page itself here")
    options = parser.parse_args(argv)
    out, kept = options.out.resolve(), options.page and options.page.resolve()
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            page = write_html([report()], Path(folder) / "report.html")
            photograph(page, out, width=options.width, dark=options.dark)
            if kept:
                shutil.copy(page, kept)
        finally:
            os.chdir(before)
    trim(out)
    print(f"wrote {out} ({out.stat().st_size / 1000:.0f} kB)")


if __name__ == "__main__":
    main()
