"""Gradients that are checked with no test file at all: each is an item of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gradcheck.errors import GradcheckError

if TYPE_CHECKING:
    from gradcheck.targets import Target

__all__ = ["collect"]


def collect(session: pytest.Session, targets: Iterable[str]) -> Iterator[pytest.Item]:
    """Collect an item for each gradient that the targets name; one that cannot be found is an error of collection."""
    for text in dict.fromkeys(targets):
        place = text.rpartition(":")[0] or text
        for node in session.genitems(Targets.from_parent(session, name=text, nodeid=place, text=text)):
            assert isinstance(node, pytest.Item)
            yield node


class Targets(pytest.Collector):
    """All gradients that one target names."""

    def __init__(self, *, text: str, **rest: Any) -> None:
        super().__init__(**rest)
        self.text = text

    def collect(self) -> Iterator[pytest.Item]:
        """Import the module and find its pairs."""
        from gradcheck.targets import resolve

        for target in resolve(self.text):
            name = target.rule.name.rpartition(".")[2]
            yield Gradient.from_parent(self, name=name, target=target)

    # without a style, as pytest.Collector has it, though pytest.Node has one
    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:  # type: ignore[override]
        """Say what is wrong with the target, without a traceback through gradcheck."""
        return str(excinfo.value) if isinstance(excinfo.value, GradcheckError) else super().repr_failure(excinfo)


class Gradient(pytest.Item):
    """One gradient, verified over what Hypothesis draws, with the settings of the profile that is loaded."""

    def __init__(self, *, target: Target, **rest: Any) -> None:
        super().__init__(**rest)
        self.target = target
        self.add_marker("gradcheck")

    def runtest(self) -> None:
        """Verify it."""
        from gradcheck.verification import verify

        verify(self.target.rule, self.target.cases())

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show the report alone: there is no test whose code could be shown."""
        if isinstance(excinfo.value, GradcheckError):
            return f"{type(excinfo.value).__name__}: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Say where it is, for the line that reports it."""
        return Path(self.target.module.__file__ or "."), None, self.name
