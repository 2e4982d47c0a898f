"""What a benchmark of diagnosis puts mistakes into: a right rule, its keyword options, and what draws its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from gradcheck import Rule
from gradcheck import strategies as gst

Arguments = tuple[Any, ...]
Cases = Callable[[], st.SearchStrategy[Any]]


@dataclass(frozen=True, eq=False)
class Subject:
    """A right rule, made afresh at each call, since some mistakes leave state behind."""

    name: str
    make: Callable[[], Rule]
    cases: Cases
    data: Mapping[str, Any] = field(default_factory=dict)


def over_sizes(sizes: Sequence[tuple[int, ...]], example: Callable[..., Arguments], **options: Any) -> Cases:
    """Draw arguments like those of an example, over a few sizes."""
    return lambda: st.sampled_from(list(sizes)).flatmap(lambda at: gst.like(*example(*at), **options))


def ordinary(seed: int, *shapes: tuple[int, ...]) -> Arguments:
    """Give arrays of standard normal numbers."""
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal(shape) for shape in shapes)
