"""Every right gradient that there is to examine, in every dtype that it is meant for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from _corpus import specimens
from _power_table import RIGHT
from hypothesis import strategies as st

from gradcheck import Rule
from gradcheck import strategies as gst
from gradcheck.catalogue import entries

NARROW = ("float16", "bfloat16")
# The derivations ask NumPy whether numbers are floating, and it says no of bfloat16.
CATALOGUE = ("float64", "float32", "float16")
# Specimens on softmax_nll(labels="index") whose author thought of no dtype in particular: what they return is in that
# of the logits. The others mix in float64 arrays, or state a domain in float64.
ANY_DTYPE = (
    "textbook",
    "chunked-over-rows",
    "log-space",
    "logaddexp-reduced",
    "pairwise",
    "reversed-sums",
    "python-and-fsum",
    "long-double-inside",
    "negative-strides",
    "read-only",
    "nested-lists",
    "label-subtracted-at",
    "fortran-order",
    "read-only-and-reversed",
    "cache-of-one-hot-rows",
)


@dataclass(frozen=True)
class Subject:
    """A right gradient in one dtype: what makes the rule afresh, and what draws its arguments."""

    name: str
    dtype: str
    make: Callable[[], Rule]
    cases: Callable[[], st.SearchStrategy[Any]]

    @property
    def label(self) -> str:
        """Name and dtype."""
        return f"{self.name} {self.dtype}"

    @property
    def narrow(self) -> bool:
        """Whether sums of ordinary numbers may overflow in the dtype, or lose most digits."""
        return self.dtype in NARROW


@cache
def subjects() -> dict[str, Subject]:
    """Load them all, by their labels."""
    return {subject.label: subject for subject in (*_of_the_corpus(), *_of_the_catalogue())}


def _of_the_corpus() -> Iterator[Subject]:
    for specimen in specimens():
        if specimen.family != RIGHT:
            continue
        first = specimen.forward.witness[specimen.forward.argnums[0]]
        yield Subject(specimen.name, np.asarray(first).dtype.name, specimen.make, specimen.cases)
        if specimen.name in ANY_DTYPE:
            for dtype in ("float32", *NARROW):
                yield Subject(specimen.name, dtype, specimen.make, partial(_logits_and_labels, dtype))


def _of_the_catalogue() -> Iterator[Subject]:
    for entry in entries():
        for dtype in CATALOGUE:
            yield Subject(entry.name, dtype, partial(_same, entry.rule), partial(entry.cases, dtype))


def _same(rule: Rule) -> Rule:
    return rule


def _logits_and_labels(dtype: str) -> st.SearchStrategy[Any]:
    return gst.softmax_nll(labels="index", dtype=dtype)
