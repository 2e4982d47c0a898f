"""A case is in the regimes it says it is in, as a plain reading of their names has it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from gradcheck import strategies as gst
from gradcheck.strategies.options import limits
from gradcheck.strategies.regime import KINDS
from gradcheck.strategies.regimes import OFFSET, TINY, TOWER

Rows = list[list[float]]
NEEDED: dict[str | None, dict[str, Any]] = {
    None: {},
    "masks=True": {"masks": True},
    "labels='soft'": {"labels": "soft"},
    "ignore_index=": {"ignore_index": 1},
    "weights=True": {"weights": True},
}


def _others(row: list[float], label: int) -> list[float]:
    return row[:label] + row[label + 1 :]


def _ahead(rows: Rows, y: list[int]) -> list[float]:
    return [row[label] - max(_others(row, label)) for row, label in zip(rows, y, strict=True) if len(row) > 1]


def _peaks(rows: Rows) -> list[float]:
    return [max(map(abs, row)) for row in rows]


def _about(row: list[float], offset: float) -> bool:
    return all(abs(value) >= offset / 2 for value in row) and len({value > 0 for value in row}) == 1


def _is_about_a_power(size: int) -> bool:
    return size > 6 and any(near.bit_count() == 1 for near in (size - 1, size, size + 1))


def _read(z: Rows, y: list[int], dtype: str) -> dict[str, bool]:
    """Read each regime once more, in plain Python and from its name alone."""
    k = len(z[0]) if z else 0
    return {
        "ordinary": any(row.count(max(row)) == 1 and 0.125 <= max(map(abs, row)) <= 8 for row in z),
        "ties": any(row.count(max(row)) > 1 for row in z),
        "all equal": any(len(row) > 1 and len(set(row)) == 1 for row in z),
        "saturated right": any(ahead >= 16 for ahead in _ahead(z, y)),
        "saturated wrong": any(ahead <= -16 for ahead in _ahead(z, y)),
        "towering": any(len(row) > 1 and max(row) - sorted(row)[-2] >= TOWER[dtype] for row in z),
        "huge": any(1e3 <= peak <= 1.1e4 for peak in _peaks(z)),
        "tiny": any(0 < peak <= 6 * TINY[dtype][0] for peak in _peaks(z)),
        "offset": any(_about(row, OFFSET[dtype]) and max(row) - min(row) <= 16 for row in z),
        "rows apart": len(z) > 1 and max(map(max, z)) - min(map(max, z)) >= 100,
        "subnormal": any(0 < peak < float(limits(dtype).tiny) for peak in _peaks(z)),
        "no rows": len(z) == 0,
        "one row": len(z) == 1,
        "one class": k == 1,
        "two classes": k == 2,
        "rows about a power of two": _is_about_a_power(len(z)),
        "classes about a power of two": _is_about_a_power(k),
        "N = K": len(z) > 1 and len(z) == k,
        "first and last label": len(z) > 1 and k > 2 and set(y) == {0, k - 1},
        "repeated labels": len(set(y)) < len(y),
    }


def test_the_table_is_keyed_by_name_and_cannot_be_changed() -> None:
    assert [regime.name for regime in gst.REGIMES.values()] == list(gst.REGIMES)
    table: Any = gst.REGIMES
    with pytest.raises(TypeError):
        table["ties"] = None
    with pytest.raises(dataclasses.FrozenInstanceError):
        table["ties"].about = "nothing"


def test_every_regime_says_what_it_is() -> None:
    assert all(regime.about and regime.kind in KINDS for regime in gst.REGIMES.values())
    assert _read([], [], "float64").keys() == {n for n, regime in gst.REGIMES.items() if not regime.option}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("gap", [None, 30.0])
def test_cases_are_in_their_regimes_and_in_no_other(draws: Any, dtype: str, gap: float | None) -> None:
    for case in draws(gst.softmax_nll(dtype=dtype, gap=gap, labels="either"), 120):
        z = [[float(value) for value in row] for row in case.z]
        y = (case.y.argmax(axis=1) if case.y.ndim == 2 else case.y).tolist()
        assert case.regimes == {name for name, true in _read(z, y, dtype).items() if true}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", list(gst.REGIMES))
def test_a_regime_asked_for_is_what_is_drawn(draws: Any, name: str, dtype: str) -> None:
    cases = draws(gst.softmax_nll(regimes=[name], dtype=dtype, **NEEDED[gst.REGIMES[name].option]), 30)
    members = [name in case.regimes for case in cases]
    # Ordinary logits may happen to be tied; every other regime is made.
    assert sum(members) >= 10 if name == "ordinary" else all(members)


def test_one_regime_of_each_kind_may_be_asked_for(draws: Any) -> None:
    named = ["huge", "tiny", "N = K", "repeated labels"]
    cases = draws(gst.softmax_nll(regimes=named), 60)
    assert all({"N = K", "repeated labels"} <= case.regimes for case in cases)
    assert all(case.regimes & {"huge", "tiny"} for case in cases)
    assert {"huge", "tiny"} <= set().union(*(case.regimes for case in cases))


def test_every_other_row_may_be_ordinary(draws: Any) -> None:
    cases = draws(gst.softmax_nll(regimes=["huge"], rows=4, classes=3), 60)
    huge_rows = {int((np.abs(case.z).max(axis=1) >= 1e3).sum()) for case in cases}
    assert huge_rows == {2, 4}


def test_saturation_respects_the_label(draws: Any) -> None:
    for case in draws(gst.softmax_nll(regimes=["saturated right"]), 30):
        assert case.z[0].argmax() == case.y[0]
    for case in draws(gst.softmax_nll(regimes=["saturated wrong"]), 30):
        assert case.z[0].argmin() == case.y[0]


def test_regimes_of_reads_one_hot_labels() -> None:
    z = np.array([[30.0, 0.0], [0.0, 1.0]])
    assert gst.regimes_of(z, np.eye(2)) == gst.regimes_of(z, [0, 1]) >= {"saturated right", "N = K"}


def test_masked_classes_are_in_no_saturated_regime_by_accident() -> None:
    assert gst.regimes_of([[-np.inf, -np.inf, 0.0]], [0]) == {"one row", "saturated wrong", "masked"}
    assert gst.regimes_of([[-np.inf, -np.inf]], [0]) == {"one row", "two classes", "ties", "all equal"}
