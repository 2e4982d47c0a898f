"""Every option refuses what it cannot mean, and says what to pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import find
from hypothesis import strategies as st

from gradcheck import strategies
from gradcheck.errors import InvalidArgument

gst: Any = strategies  # a type checker would refuse most of these calls
Z = np.zeros((2, 3))

WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: gst.logits(rows=-1), "rows=-1: pass an int from 0 up"),
    (lambda: gst.logits(rows=2.5), "rows=2.5: pass an int from 0 up"),
    (lambda: gst.logits(rows="3"), "rows='3': pass an int"),
    (lambda: gst.logits(rows=True), "rows=True: pass an int"),
    (lambda: gst.logits(rows=(3, 2)), "rows=(3, 2): pass an int from 0 up, a pair (low, high) of them, low <= high"),
    (lambda: gst.logits(rows=(1, 2, 3)), "rows=(1, 2, 3)"),
    (lambda: gst.logits(classes=0), "classes=0: pass an int from 1 up"),
    (lambda: gst.softmax_nll(classes=(0, 4)), "classes=(0, 4): pass an int from 1 up"),
    (lambda: gst.logits(dtype="int64"), "dtype='int64': pass one of 'float16', 'bfloat16', 'float32', 'float64'"),
    (lambda: gst.logits(dtype="real"), "dtype='real': pass one of"),
    (lambda: gst.softmax_nll(dtype=None), "dtype=None: pass one of"),
    (lambda: gst.logits(gap=0), "gap=0: pass a finite number above 0"),
    (lambda: gst.logits(gap=math.nan), "gap=nan"),
    (lambda: gst.logits(gap=math.inf), "gap=inf"),
    (lambda: gst.logits(gap="3"), "gap='3'"),
    (lambda: gst.softmax_nll(gap=True), "gap=True"),
    (lambda: gst.logits(regimes="huge"), "regimes='huge': pass a sequence of names such as ('ordinary',)"),
    (lambda: gst.logits(regimes=3), "regimes=3: pass a sequence of names"),
    (lambda: gst.logits(regimes=[]), "regimes=[]: pass at least one of 'ordinary', 'ties'"),
    (lambda: gst.softmax_nll(regimes=["enormous"]), "regimes=['enormous']: 'enormous' is none of 'ordinary', 'ties'"),
    (lambda: gst.logits(regimes=["repeated labels"]), "'repeated labels' is none of"),
    (lambda: gst.softmax_nll(classes=4, regimes=["one class"]), "'one class' does not apply to N in 0..33, K in 4..4"),
    (lambda: gst.softmax_nll(gap=5, regimes=["saturated wrong"]), "'saturated wrong' does not apply to"),
    (lambda: gst.softmax_nll(regimes=["ties", "no rows"]), "'ties' cannot be combined with the others"),
    (lambda: gst.softmax_nll(regimes=["one class", "ordinary", "ties"]), "'ties' cannot be combined"),
    (lambda: gst.softmax_nll(labels="hard"), "labels='hard': pass one of 'index', 'one-hot', 'soft', 'either'"),
    (lambda: gst.softmax_nll(regimes=["masked"]), "'masked' needs the option masks=True"),
    (lambda: gst.softmax_nll(regimes=["soft labels"]), "'soft labels' needs the option labels='soft'"),
    (lambda: gst.softmax_nll(regimes=["one row ignored"]), "'one row ignored' needs the option ignore_index="),
    (lambda: gst.softmax_nll(regimes=["no weight"]), "'no weight' needs the option weights=True"),
    (
        lambda: gst.softmax_nll(ignore_index=0, regimes=["first and last label"]),
        "'first and last label' does not apply to",
    ),
    (lambda: gst.softmax_nll(weights=1), "weights=1: pass True or False"),
    (lambda: gst.softmax_nll(masks="some"), "masks='some': pass True or False"),
    (lambda: gst.softmax_nll(sequences=None), "sequences=None: pass True or False"),
    (lambda: gst.softmax_nll(ignore_index=1.0), "ignore_index=1.0: pass an int, or None"),
    (lambda: gst.softmax_nll(ignore_index=True), "ignore_index=True: pass an int, or None"),
    (lambda: gst.softmax_nll(ignore_index=0, labels="soft"), "only labels='index' can mark ignored rows"),
    (lambda: gst.softmax_nll(around=1), "around=1: pass the size of a block, an int from 2 up"),
    (lambda: gst.softmax_nll(around=8.0), "around=8.0: pass the size of a block"),
    (lambda: gst.softmax_nll(around=8, rows=3, classes=3), "around=8: none of (7, 8, 9, 15) is among N in 3..3"),
    (lambda: gst.labels(ignore_index=0, kind="soft"), "only kind='index' can mark ignored rows"),
    (lambda: gst.weights(classes=0), "classes=0: pass an int from 1 up"),
    (lambda: find(gst.arguments(gst.weights()), bool), "weights() found no float logits (N, K) among"),
    (lambda: gst.calls(gst.labels()), "pass a strategy of tuples, such as softmax_nll()"),
    (lambda: find(gst.calls(st.integers()), bool), "cases drew 0 (int): pass a strategy of tuples of arguments"),
    (lambda: gst.labels(classes=3), "classes=3, rows=None: pass both, or neither"),
    (lambda: gst.labels(rows=3), "classes=None, rows=3: pass both, or neither"),
    (lambda: gst.labels(classes=0, rows=3), "classes=0: pass an int from 1 up"),
    (lambda: gst.labels(kind="hard"), "kind='hard': pass one of 'index', 'one-hot', 'soft'"),
    (lambda: gst.arguments(gst.logits(), 3), "argument 1 is 3 (int): pass a strategy"),
    (lambda: find(gst.arguments(gst.labels()), bool), "no float logits (N, K) among the arguments to its left (none)"),
    (
        lambda: find(gst.arguments(st.just(np.zeros(3)), st.just("mean"), gst.labels()), bool),
        "to its left (ndarray (3,), str): draw logits before them",
    ),
    (lambda: gst.cotangents(np.arange(3)), "like holds array([0, 1, 2]) of dtype int64: pass float arrays"),
    (lambda: gst.cotangents((Z, "mean")), "like holds 'mean'"),
    (lambda: gst.like(3, "mean", np.arange(3)), "no argument holds floats"),
    (lambda: gst.like(Z, 3, vary=1), "vary=1: pass positions of arguments that hold floats, which are [0]"),
    (lambda: gst.like(Z, vary=()), "vary=()"),
    (lambda: gst.like(Z, vary=-1), "vary=-1"),
    (lambda: gst.like(Z, vary=False), "vary=False"),
    (lambda: gst.like(Z, vary=([0],)), "vary=([0],)"),
    (lambda: gst.like(Z, vary="z"), "vary='z'"),
    (lambda: gst.regimes_of([1.0], [0]), "z has shape (1,) and dtype float64: pass float logits (N, K)"),
    (lambda: gst.regimes_of([[1]], [0]), "dtype int64: pass float logits"),
    (lambda: gst.regimes_of(np.zeros((2, 0)), [0, 0]), "z has shape (2, 0)"),
    (lambda: gst.regimes_of(Z, [0]), "y has shape (1,) and dtype int64: pass int labels (2,) or rows (2, 3)"),
    (lambda: gst.regimes_of(Z, [0.0, 1.0]), "dtype float64: pass int labels (2,)"),
    (lambda: gst.regimes_of(Z, [0, 3]), "y runs from 0 to 3: pass labels in [0, 3)"),
    (lambda: gst.regimes_of(Z, [-1, 0]), "y runs from -1 to 0"),
    (lambda: gst.regimes_of(Z, np.full((2, 3), -1.0)), "pass rows of finite numbers >= 0"),
    (lambda: gst.regimes_of(Z, np.full((2, 3), np.nan)), "pass rows of finite numbers >= 0"),
    (lambda: gst.regimes_of(Z, [0, -100]), "y runs from -100 to 0: pass labels in [0, 3), or ignore_index="),
    (
        lambda: gst.regimes_of(Z, [0, 1], [1.0, 2.0]),
        "weights has shape (2,) and dtype float64: pass float weights (3,)",
    ),
    (lambda: gst.regimes_of(Z, [0, 1], [1.0, -2.0, 0.0]), "weights=[1.0, -2.0, 0.0]: pass finite numbers >= 0"),
    (lambda: gst.regimes_of(Z, [0, 1], ignore_index="x"), "ignore_index='x': pass an int"),
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=[message for _, message in WRONG])
def test_wrong_values_are_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        call()
    assert message in str(caught.value)


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32")])
def test_a_dtype_may_be_spelt_in_any_way_numpy_knows(draws: Any, dtype: Any) -> None:
    assert {z.dtype for z in draws(gst.logits(dtype=dtype), 5)} == {np.dtype("float32")}


@pytest.mark.parametrize("rows", [3, np.int64(3), (3, 3)])
def test_sizes_may_be_any_integers(draws: Any, rows: Any) -> None:
    assert {len(z) for z in draws(gst.logits(rows=rows), 5)} == {3}


def test_names_may_come_from_any_iterable(draws: Any) -> None:
    assert all("tiny" in case.regimes for case in draws(gst.softmax_nll(regimes=iter(["tiny"])), 5))
