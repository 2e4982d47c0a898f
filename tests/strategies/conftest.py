"""How tests of strategies look at what is drawn."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, TypeAlias

import hypothesis
import pytest
from hypothesis import Phase, given, settings
from hypothesis.strategies import SearchStrategy

Draws: TypeAlias = Callable[..., list[Any]]
Minimal: TypeAlias = Callable[..., Any]


@pytest.fixture(scope="session")
def draws() -> Draws:
    """Return what `count` examples of a test would be drawn, from a seed."""

    def draw_all(strategy: SearchStrategy[Any], count: int = 100, seed: int = 0) -> list[Any]:
        drawn: list[Any] = []

        @hypothesis.seed(seed)
        @settings(max_examples=count, database=None, phases=[Phase.generate], deadline=None)
        @given(strategy)
        def collect(value: Any) -> None:
            drawn.append(value)

        collect()
        return drawn

    return draw_all


@pytest.fixture(scope="session")
def minimal() -> Minimal:
    """Return the simplest value of a strategy for which a condition holds, found from a seed."""

    def find(strategy: SearchStrategy[Any], condition: Callable[[Any], Any] | None = None, seed: int = 0) -> Any:
        quiet = settings(max_examples=2000, database=None, deadline=None)
        wanted = condition or (lambda _: True)
        return hypothesis.find(strategy, lambda value: bool(wanted(value)), settings=quiet, random=Random(seed))

    return find
