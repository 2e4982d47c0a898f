"""Cotangents have the form of the output, and come in every kind."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from gradcheck import strategies as gst


class Params(NamedTuple):
    weight: Any
    bias: Any


def _kind(flat: np.ndarray[Any, Any]) -> set[str]:
    """Name the kinds that a vector of several entries could be of, from their names alone."""
    magnitudes = np.unique(np.abs(flat))
    readings = {
        "ones": (flat == 1).all(),
        "one-hot": np.count_nonzero(flat) == 1 and flat.sum() == 1,
        "ordinary": (flat > 0).any() and (flat < 0).any() and (flat * 64 == np.rint(flat * 64)).all(),
        "unequal": len(np.unique(flat)) == len(flat) and (flat > 0).all(),
        "negative": (flat < 0).all(),
        "powers of two": len(magnitudes) == 1 and magnitudes[0] != 1 and np.frexp(magnitudes[0])[0] == 0.5,
        "zeros": not flat.any(),
    }
    return {kind for kind, true in readings.items() if true}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 1, 3)])
def test_every_kind_is_drawn_in_the_shape_and_dtype_asked_for(draws: Any, shape: tuple[int, ...], dtype: str) -> None:
    drawn = draws(gst.cotangents(np.zeros(shape, dtype)))
    assert {(c.shape, c.dtype.name) for c in drawn} == {(shape, dtype)}
    assert all(_kind(c.ravel()) for c in drawn)
    assert set().union(*(_kind(c.ravel()) for c in drawn)) == set(gst.COTANGENT_KINDS)


def test_scalars_get_more_than_one(draws: Any) -> None:
    drawn = draws(gst.cotangents(3.5))
    assert all(isinstance(c, np.ndarray) and c.shape == () and c.dtype == np.float64 for c in drawn)
    values = {float(c) for c in drawn}
    assert {0.0, 1.0, 2.0**16, 2.0**-20} <= values
    assert min(values) < 0
    assert len(values) > 10


def test_powers_of_two_fit_the_dtype(draws: Any) -> None:
    drawn = draws(gst.cotangents(np.float16(0)))
    assert {2.0**8, 2.0**-8} <= {float(c) for c in drawn}
    assert all(np.isfinite(c) and (c == 0 or abs(c) >= np.finfo(np.float16).tiny) for c in drawn)
    mixed = draws(gst.cotangents((np.zeros(1), np.zeros(1, np.float16))))
    assert max(float(a[0]) for a, _ in mixed) == 2.0**8


def test_bfloat16_is_a_float(draws: Any) -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    drawn = draws(gst.cotangents(np.zeros(2, bfloat16)), 50)
    assert {c.dtype for c in drawn} == {np.dtype(bfloat16)}
    assert len({c.tobytes() for c in drawn}) > 10


def test_ordinary_ones_have_both_signs_and_no_zero(draws: Any) -> None:
    drawn = draws(gst.cotangents(np.zeros((5, 4))), 200)
    ordinary = [c for c in drawn if (c > 0).any() and (c < 0).any()]
    assert len(ordinary) >= 10
    assert all((c != 0).all() for c in ordinary)


@pytest.mark.parametrize("shape", [(0,), (0, 3)])
def test_nothing_has_an_empty_cotangent(draws: Any, shape: tuple[int, ...]) -> None:
    assert {c.shape for c in draws(gst.cotangents(np.zeros(shape)), 30)} == {shape}
    assert draws(gst.cotangents(()), 1) == [()]


def test_trees_keep_their_structure(draws: Any) -> None:
    like = {"layer": Params(np.zeros((2, 3), np.float32), np.zeros(3)), "scales": [1.0, np.float32(2)]}
    for c in draws(gst.cotangents(like)):
        assert list(c) == ["layer", "scales"]
        assert isinstance(c["layer"], Params)
        assert (c["layer"].weight.shape, c["layer"].weight.dtype) == ((2, 3), np.float32)
        assert (c["layer"].bias.shape, c["layer"].bias.dtype) == ((3,), np.float64)
        assert [(leaf.shape, leaf.dtype) for leaf in c["scales"]] == [((), np.float64), ((), np.float32)]


def test_one_hot_is_one_entry_of_the_whole_tree(draws: Any) -> None:
    drawn = draws(gst.cotangents((np.zeros(2), np.zeros(3))), 200)
    flat = {np.concatenate(c).tobytes(): np.concatenate(c) for c in drawn}
    one_hot = {int(c.argmax()) for c in flat.values() if _kind(c) == {"one-hot"}}
    assert one_hot == set(range(5))


def test_nothing_is_shared_with_the_output(draws: Any) -> None:
    like = np.zeros(3)
    for c in draws(gst.cotangents(like), 20):
        c += 1
    assert not like.any()
