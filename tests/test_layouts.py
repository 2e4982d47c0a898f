"""Every layout holds the same numbers, and is what it says it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradcheck.layouts import LAYOUTS, Layout

Array = np.ndarray[Any, np.dtype[Any]]

NAMED = {layout.name: layout for layout in LAYOUTS}
ARRAYS: dict[str, Array] = {
    "matrix": np.arange(12.0).reshape(3, 4),
    "row": np.arange(4.0)[None],
    "vector": np.arange(5, dtype=np.int64),
    "batch": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "number": np.array(2.5),
    "one": np.array([[7.0]]),
    "constant": np.full((3, 2), 0.25),
    "flags": np.array([[True, False], [True, True]]),
    "specials": np.array([[np.nan, -0.0], [np.inf, 0.0]]),
    "words": np.array(["a", "bc"]),
    "empty": np.zeros((0, 3)),
    "no classes": np.zeros((2, 0), np.float16),
}


def _applying(name: str) -> set[str]:
    return {layout.name for layout in LAYOUTS if layout.applies(ARRAYS[name])}


APPLYING = [
    pytest.param(layout, array, id=f"{layout.name}-{name}")
    for name, array in ARRAYS.items()
    for layout in LAYOUTS
    if layout.applies(array)
]


@pytest.mark.parametrize(("layout", "array"), APPLYING)
def test_entries_shape_and_dtype_are_kept_in_other_memory(layout: Layout, array: Array) -> None:
    before = array.tobytes()
    made = layout.make(array)
    assert (made.shape, made.dtype, made.tobytes()) == (array.shape, array.dtype, before)
    assert not np.shares_memory(made, array)
    assert array.tobytes() == before


def test_bfloat16_has_layouts_too() -> None:
    array = np.arange(6).reshape(2, 3).astype(pytest.importorskip("ml_dtypes").bfloat16)
    made = [layout.make(array).tobytes() for layout in LAYOUTS if layout.applies(array)]
    assert set(made) == {array.tobytes()}
    assert len(made) == 7


def test_names_are_different_and_explained() -> None:
    assert len(NAMED) == len(LAYOUTS)
    assert all(layout.about for layout in LAYOUTS)
    assert LAYOUTS[0].name == "C-contiguous"


def test_layouts_apply_where_they_differ_from_the_plain_one() -> None:
    everywhere = {"C-contiguous", "read-only"}
    matrix = everywhere | {"Fortran", "strided", "reversed", "transposed", "offset"}
    assert _applying("matrix") == _applying("batch") == matrix
    assert _applying("constant") == matrix | {"stride-0"}
    assert _applying("vector") == everywhere | {"strided", "reversed", "offset"}
    assert _applying("row") == _applying("vector") | {"odd strides"}
    assert _applying("one") == everywhere | {"strided", "offset", "odd strides"}
    assert _applying("number") == everywhere | {"NumPy scalar"}
    assert _applying("empty") == _applying("no classes") == everywhere


def _made(name: str, array: str = "matrix") -> Any:
    return NAMED[name].make(ARRAYS[array])


def test_each_is_what_it_says() -> None:
    assert _made("C-contiguous").flags.c_contiguous
    assert _made("Fortran").flags.f_contiguous
    assert not _made("Fortran").flags.c_contiguous
    assert _made("strided").strides == (2 * 8 * 8, 16)
    assert _made("reversed").strides == (-32, -8)
    assert _made("transposed").strides == (8, 32)
    assert _made("transposed", "batch").strides == (4 * 16, 4, 16)
    assert not _made("transposed").flags.forc
    assert _made("offset").strides == (48, 8)
    assert not _made("read-only").flags.writeable
    assert _made("stride-0", "constant").strides == (0, 0)
    assert isinstance(_made("NumPy scalar", "number"), np.float64)
    assert isinstance(_made("C-contiguous", "number"), np.ndarray)
    assert _made("odd strides", "row").strides[0] > 1000
    assert _made("odd strides", "row").flags.c_contiguous


@pytest.mark.parametrize("name", ["C-contiguous", "Fortran", "strided", "reversed", "transposed", "offset"])
def test_a_rule_may_write_into_it_where_nothing_says_otherwise(name: str) -> None:
    made = _made(name)
    made += 1
    assert (made == ARRAYS["matrix"] + 1).all()


def test_stride_0_is_found_along_any_axis_and_to_the_bit() -> None:
    rows = np.tile(np.arange(3.0), (2, 1))
    assert NAMED["stride-0"].make(rows).strides == (0, 8)
    assert NAMED["stride-0"].make(rows.T).strides == (8, 0)
    assert not NAMED["stride-0"].applies(np.array([0.0, -0.0]))
    assert NAMED["stride-0"].applies(np.array([np.nan, np.nan]))


@pytest.mark.parametrize("name", ["strided", "transposed", "offset"])
def test_what_lies_beside_the_numbers_stands_out(name: str) -> None:
    labels = np.arange(4).reshape(2, 2)
    for array, filler in ((labels + 0.0, np.nan), (labels, np.iinfo(labels.dtype).max)):
        buffer = NAMED[name].make(array).base
        assert isinstance(buffer, np.ndarray)
        beside = np.isin(buffer, labels, invert=True)
        assert np.count_nonzero(beside) == buffer.size - array.size > 0
        assert np.array_equal(buffer[beside], np.full(buffer.size - array.size, filler), equal_nan=True)
