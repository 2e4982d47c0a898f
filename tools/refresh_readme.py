"""Put into README.md what gradcheck really says of the example on its first screen.

``python tools/refresh_readme.py`` rewrites the two text blocks; ``--check`` only compares, figures of rounding apart,
and exits with 1 if the README says anything else.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"
MEND = ("    return a\n", "    return a / max(len(y), 1)\n")


def blocks(text: str, language: str) -> list[str]:
    """Give the bodies of all fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def said(source: str) -> str:
    """Run ``gradcheck verify mine.py`` on a source in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "mine.py").write_text(source, encoding="utf-8")
        command = [sys.executable, "-m", "gradcheck", "verify", "mine.py"]
        run = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", check=False)  # noqa: S603
    lines = [line.rstrip() for line in run.stdout.splitlines()]
    return "\n".join(lines).strip() + "\n"


def without_figures(text: str) -> str:
    """Blank out what differs between versions and machines: sizes of rounding errors, seconds, blanks."""
    blanked = re.sub(r"\d(\.\d+)?e[-+]\d+|\d+\.\d s\b|\d+\.\d ulp|\d+(\.\d+)?(?= allowances)", "#", text)
    return "\n".join(sorted(" ".join(line.split()) for line in blanked.splitlines()))  # ties are ranked by rounding


def main() -> int:
    """Refresh or check."""
    text = README.read_text(encoding="utf-8")
    source = blocks(text, "python")[0]
    fresh = [said(source), said(source.replace(*MEND))]
    old = blocks(text, "text")[:2]
    if "--check" in sys.argv:
        same = [without_figures(a) == without_figures(b) for a, b in zip(old, fresh, strict=True)]
        for before, after, equal in zip(old, fresh, same, strict=True):
            if not equal:
                print(f"README.md says:\n{before}\ngradcheck says:\n{after}")
        return 0 if all(same) else 1
    for before, after in zip(old, fresh, strict=True):
        text = text.replace(f"```text\n{before}```", f"```text\n{after}```")
    README.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
