"""The options of the plugin, on the command line and as ini keys."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Options", "add_options"]

# A margin that is kept is 1/8 at least (`gradcheck.memory.FLOOR`), and beyond 1 the gradient is wrong anyway.
_MOST = 8.0


def add_options(parser: pytest.Parser) -> None:
    """Declare the options, each but ``--gradcheck-update`` with an ini key."""
    group = parser.getgroup("gradcheck", "hand-written gradients")
    group.addoption("--gradcheck-json", metavar="PATH", help="write a report of every gradient checked, as JSON")
    group.addoption("--gradcheck-html", metavar="PATH", help="write the same as a page of HTML")
    group.addoption(
        "--gradcheck-summary", action="store_true", help="list every gradient checked, the closest to wrong first"
    )
    group.addoption(
        "--gradcheck-update", action="store_true", help="write to gradcheck.lock how close each came to being wrong"
    )
    group.addoption(
        "--gradcheck-compare-fail",
        metavar="FACTOR",
        help="fail a right gradient that came closer to being wrong than gradcheck.lock says, by this factor (1 to 8)",
    )
    group.addoption(
        "--gradcheck-target",
        action="append",
        metavar="TARGET",
        help="verify MODULE:NAME or FILE.py:NAME, or all pairs in MODULE or FILE.py, as if a test did; without "
        "other arguments nothing else is collected (may be given several times)",
    )
    parser.addini("gradcheck_json", "as --gradcheck-json, from the root folder", default="")
    parser.addini("gradcheck_html", "as --gradcheck-html, from the root folder", default="")
    parser.addini("gradcheck_summary", "as --gradcheck-summary", type="bool", default=False)
    parser.addini("gradcheck_compare_fail", "as --gradcheck-compare-fail", default="")
    parser.addini("gradcheck_target", "as --gradcheck-target, beside all else", type="linelist", default=[])


@dataclass(frozen=True)
class Options:
    """What was asked for.

    ``alone`` says that targets are all there is to collect; ``factor`` is None where nothing is compared.
    """

    json: Path | None
    html: Path | None
    summary: bool
    update: bool
    factor: float | None
    targets: tuple[str, ...]
    alone: bool

    @classmethod
    def of(cls, config: pytest.Config) -> Options:
        """Read the options.

        Raises
        ------
        pytest.UsageError
            If one makes no sense.
        """
        given = tuple(config.getoption("--gradcheck-target") or ())
        update = bool(config.getoption("--gradcheck-update"))
        return cls(
            _path(config, "json"),
            _path(config, "html"),
            bool(config.getoption("--gradcheck-summary") or config.getini("gradcheck_summary")),
            update,
            None if update else _factor(_either(config, "compare-fail")),  # what is accepted is not compared
            (*given, *config.getini("gradcheck_target")),
            bool(given) and config.args_source is not pytest.Config.ArgsSource.ARGS,
        )

    @property
    def asks(self) -> bool:
        """Whether anything is to be written, compared or listed at the end."""
        return self.wants_reports or self.summary or self.update or self.factor is not None

    @property
    def wants_reports(self) -> bool:
        """Whether more is to be kept of each check than a line."""
        return self.json is not None or self.html is not None


def _either(config: pytest.Config, name: str) -> Any:
    return config.getoption(f"--gradcheck-{name}") or config.getini(f"gradcheck_{name.replace('-', '_')}")


def _path(config: pytest.Config, name: str) -> Path | None:
    """Find where a file is to be written, relative to where each of the two is usually relative to."""
    given, kept = config.getoption(f"--gradcheck-{name}"), config.getini(f"gradcheck_{name}")
    if given:
        return Path(config.invocation_params.dir, given)
    return Path(config.rootpath, kept) if kept else None


def _factor(text: Any) -> float | None:
    if not text:
        return None
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 1 < factor < _MOST:
        raise pytest.UsageError(
            f"--gradcheck-compare-fail={text}: pass a number between 1 and {_MOST:.0f}, such as 2; what is kept is "
            f"1/{_MOST:.0f} of what is allowed at least, so a gradient that worsens by more is wrong anyway"
        )
    return factor
