"""Put into the pages of the documentation what the code says: tables, and messages.

``python tools/refresh_docs.py`` rewrites what stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` in the
pages; ``--check`` only compares, and exits with 1 if a page says anything else.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import numpy as np

import gradcheck.mistakes
from gradcheck import strategies
from gradcheck.derivations import softmax_nll
from gradcheck.derivations.softmax_nll.options import KEYWORDS
from gradcheck.mistakes import Mistake

DOCS = Path(__file__).resolve().parents[1] / "docs"

# What raises, in the words of somebody who types it. One row of logits, a mask in the second.
Z, Y, MASKED = np.array([[0.0, 1.0]]), [1], np.array([[-np.inf, 1.0]])
REFUSED = (
    "full_jacobian(Z, Y, label_smoothing=0.1)",
    "streaming(Z, Y, weights=[1, 2])",
    "fused(Z, Y, smoothing=0.1)",
    "fused(Z, [[0.5, 0.5]], ignore_index=-100)",
    "fused(Z, Y, weights=[1, 2], z_loss=1e-4)",
    "fused(MASKED, Y, label_smoothing=0.1)",
    "fused(MASKED, Y, softcap=30.0)",
    "fused(Z, Y, temperature=0)",
    "fused(Z, [-100])",
)


def forms() -> str:
    """Say which form of softmax + NLL takes which option."""
    taken = softmax_nll.OPTIONS
    inputs = dict.fromkeys(option for options in taken.values() for option in options if option not in KEYWORDS)
    every = (*KEYWORDS, *inputs)
    rows = [[f"`{form}`", *("✓" if option in options else "" for option in every)] for form, options in taken.items()]
    return _table(["form", *(f"`{option}`" if option in KEYWORDS else option for option in every)], rows)


def refused() -> str:
    """Say what is refused, in the words of the code."""
    lines = ["```text"]
    for call in REFUSED:
        lines += [call, f"    {_message(call)}"]
    return "\n".join([*lines, "```"])


def regimes() -> str:
    """Say what each regime is, and what it needs."""
    rows = [
        [regime.name, regime.kind, f"`{regime.option}`" if regime.option else "", regime.about]
        for regime in strategies.REGIMES.values()
    ]
    rows += [
        [name, "cotangent", "a rule that takes one", about] for name, about in strategies.COTANGENT_REGIMES.items()
    ]
    return _table(["regime", "kind", "needs", "what it is"], rows)


def mistakes() -> str:
    """Say which mistakes have names, and which idea each belongs to."""
    ideas: dict[str, list[str]] = {}
    places = {
        mistake.name: importlib.import_module(f"gradcheck.mistakes.{page.name}").__doc__
        for page in pkgutil.iter_modules(gradcheck.mistakes.__path__)
        for mistake in _offered(importlib.import_module(f"gradcheck.mistakes.{page.name}"))
    }
    for mistake in gradcheck.mistakes.MISTAKES:
        about = str(places[mistake.name]).partition("\n")[0].removesuffix(".")
        ideas.setdefault(about, []).append(mistake.name)
    return _table(["what it is about", "names"], [[about, "; ".join(names)] for about, names in ideas.items()])


def _offered(module: ModuleType) -> Iterator[Mistake]:
    for value in vars(module).values():
        yield from (found for found in (value if isinstance(value, tuple) else (value,)) if isinstance(found, Mistake))


def _message(call: str) -> str:
    names = {name: getattr(softmax_nll, name) for name in softmax_nll.OPTIONS}
    try:
        eval(call, {**names, "Z": Z, "Y": Y, "MASKED": MASKED})  # noqa: S307  the calls are those above
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    raise SystemExit(f"{call} is not refused")


BLOCKS: Mapping[str, Callable[[], str]] = {"forms": forms, "mistakes": mistakes, "refused": refused, "regimes": regimes}


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def refreshed(text: str) -> str:
    """Give a page with all of its blocks made new."""

    def fresh(match: re.Match[str]) -> str:
        return f"{match[1]}\n{BLOCKS[match[2]]()}\n{match[3]}"

    return re.sub(r"(<!-- begin (\w+) -->)\n.*?(<!-- end \2 -->)", fresh, text, flags=re.DOTALL)


def pages() -> Iterator[tuple[Path, str, str]]:
    """Yield the pages, as they are and as they should be."""
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        yield page, text, refreshed(text)


def main() -> int:
    """Refresh or check."""
    stale = [(page, fresh) for page, text, fresh in pages() if text != fresh]
    for page, fresh in stale:
        print(f"{page.relative_to(DOCS.parent)} says something else than the code: run python tools/refresh_docs.py")
        if "--check" not in sys.argv:
            page.write_text(fresh, encoding="utf-8")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    raise SystemExit(main())
