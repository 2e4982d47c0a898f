"""Arguments like an example: floats vary, all else stays valid."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from gradcheck import InvalidArgument, domain
from gradcheck import strategies as gst

Z = np.array([[0.5, 2.0, -1.0], [3.0, 0.25, 1.0]])
Y = np.array([2, 0])


def test_floats_vary_in_value_and_scale_and_integers_stay_labels(draws: Any) -> None:
    drawn = draws(gst.like(Z, Y), 200)
    assert all((z.dtype, y.dtype) == (np.float64, np.int64) for z, y in drawn)
    assert all(z.shape == (len(y), 3) for z, y in drawn)
    assert {value for _, y in drawn for value in y.tolist()} == {0, 2}
    peaks = [float(np.abs(z).max()) for z, _ in drawn]
    assert 0.0 in peaks
    assert any(0 < peak <= 1e-7 for peak in peaks)
    assert any(1e3 <= peak <= 1e4 for peak in peaks)
    assert any(0.1 <= peak <= 5 for peak in peaks)


def test_the_example_itself_is_among_them_and_its_multiples(draws: Any) -> None:
    drawn = [z for (z,) in draws(gst.like(Z), 200)]
    for scale in (1.0, -1.0, 0.5, -0.125):
        assert any((z == scale * Z).all() for z in drawn)


def test_ties_are_among_them(draws: Any) -> None:
    drawn = [z for (z,) in draws(gst.like(np.zeros((4, 5))), 200)]
    assert any(set(z.flat) == {-1.0, 0.0, 1.0} for z in drawn)


def test_rows_are_resampled_together(draws: Any) -> None:
    ids = np.arange(5)
    names = np.array(["a", "b", "c", "d", "e"])
    drawn = draws(gst.like(np.zeros((5, 2)), ids, names, ids % 2 == 0), 200)
    assert {len(z) for z, *_ in drawn} == set(range(1, 11))
    for z, i, name, even in drawn:
        assert len(z) == len(i)
        assert (names[i] == name).all()
        assert ((i % 2 == 0) == even).all()
    assert any(len(set(i.tolist())) < len(i) for _, i, *_ in drawn)


def test_rows_of_the_example_move_with_their_labels(draws: Any) -> None:
    z = np.arange(1.0, 6.0)[:, None] * [[1.0, 1.0]]
    as_given = [(a, i) for a, i in draws(gst.like(z, np.arange(5)), 600) if np.array_equal(a[:, 0], i + 1.0)]
    assert len({i.tobytes() for _, i in as_given}) > 5


@pytest.mark.parametrize(
    "args",
    [
        (Z,),  # one array: its rows may be anything
        (np.zeros((2, 3)), np.zeros(3)),  # other arrays have other lengths
        (np.zeros((3, 3)), np.zeros(3)),  # rows and columns cannot be told apart
        (Z, Y, [0.5, 0.5]),  # a list, not resampled, is as long
        (Z, Y, {"weights": (1.0, 2.0)}),
        (np.zeros((0, 3)), np.zeros(0, dtype=np.int64)),
    ],
)
def test_shapes_stay_where_rows_are_not_certain(draws: Any, args: tuple[Any, ...]) -> None:
    shapes = [np.shape(arg) for arg in args if isinstance(arg, np.ndarray)]
    for drawn in draws(gst.like(*args), 40):
        assert [np.shape(arg) for arg in drawn if isinstance(arg, np.ndarray)] == shapes
        assert all((a == b).all() for a, b in zip(drawn, args, strict=True) if np.asarray(b).dtype.kind == "i")


def test_data_stay_as_given(draws: Any) -> None:
    data = ("mean", 3, True, None, np.array(7), np.array([1 + 2j]))
    for _, *rest in draws(gst.like(0.5, *data), 40):
        assert rest[:4] == ["mean", 3, True, None]
        assert (rest[4], rest[5]) == (data[4], data[5])


def test_numbers_keep_their_types(draws: Any) -> None:
    for drawn in draws(gst.like(0.5, np.float32(2), np.array(1.0), np.zeros(2, np.float16)), 100):
        assert [type(arg) for arg in drawn] == [float, np.float32, np.ndarray, np.ndarray]
        assert drawn[2].shape == ()
        assert drawn[3].dtype == np.float16


def test_trees_keep_their_structure(draws: Any) -> None:
    params = {"W": np.ones((3, 4), np.float32), "layers": [np.ones(3), (np.ones(2), "relu")]}
    drawn = draws(gst.like(params, 2), 60)
    for tree, two in drawn:
        assert two == 2
        assert list(tree) == ["W", "layers"]
        assert (tree["W"].shape, tree["W"].dtype) == ((3, 4), np.float32)
        assert isinstance(tree["layers"][1], tuple)
        assert tree["layers"][1][1] == "relu"
    assert len({tree["layers"][1][0].tobytes() for tree, _ in drawn}) > 20


def test_only_what_was_named_varies(draws: Any) -> None:
    one_hot = np.eye(3)[Y]
    drawn = draws(gst.like(Z, one_hot, 0.5, vary=0), 60)
    assert all(rate == 0.5 and (np.sort(y, axis=1) == [0, 0, 1]).all() for _, y, rate in drawn)
    assert len({z.tobytes() for z, _, _ in drawn}) > 20
    both = draws(gst.like(Z, one_hot, 0.5, vary=(0, 2)), 60)
    assert len({rate for *_, rate in both}) > 10


DTYPES = [np.dtype(dtype) for dtype in (np.float64, np.float32, np.float16, ml_dtypes.bfloat16)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_numbers_are_finite_and_normal(draws: Any, dtype: Any) -> None:
    limits = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]  # it has no annotations
    greatest = np.full((3, 4), limits.max, dtype)
    drawn = [z for (z,) in draws(gst.like(greatest), 200)]
    assert {z.dtype for z in drawn} == {dtype}
    assert len({z.tobytes() for z in drawn}) > 50
    for z in drawn:
        assert np.isfinite(z).all()
        assert not ((z != 0) & (np.abs(z) < limits.smallest_normal)).any()


def test_infinite_entries_stay_as_they_are(draws: Any) -> None:
    """A label that is valid where the example masks its other classes stays valid."""
    z = np.array([[1.0, -np.inf, 0.5], [-np.inf, 2.0, 0.25]])
    for drawn, rows in draws(gst.like(z, np.arange(2)), 200):
        assert (np.isneginf(drawn) == np.isneginf(z)[rows]).all()
        assert not np.isposinf(drawn).any()


def test_masks_come_and_go_where_they_are_stated(draws: Any) -> None:
    z = np.array([[1.0, -np.inf, 0.5], [-np.inf, 2.0, -np.inf]])
    masks = [np.isneginf(drawn) for (drawn,) in draws(gst.like(z, domain=domain.masked), 200)]
    assert all((mask <= np.isneginf(z)).all() for mask in masks)
    assert {int(mask.sum()) for mask in masks} == {0, 1, 2, 3}


INSIDE = [
    (domain.positive, [0.5, 2.0, 1.0]),
    (domain.bounded(2, np.inf), [3.0, 2.25]),
    (domain.bounded(-np.inf, -1), [-3.0, -1.25]),
    (domain.bounded(0, 1), [0.25, 0.5, 0.75]),
    (domain.bounded(-1, 1), [-0.25, 0.5, 0.75]),
    (domain.bounded(1, 1.02), [1.0078125]),
    (domain.simplex, [[0.25, 0.5, 0.25], [0.0625, 0.4375, 0.5]]),
    (domain.ambient_simplex, [[0.25, 0.5, 0.25], [0.0625, 0.4375, 0.5]]),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("stated", "example"), INSIDE, ids=repr)
def test_all_that_is_drawn_is_inside(draws: Any, stated: Any, example: Any, dtype: Any) -> None:
    drawn = [x for (x,) in draws(gst.like(np.array(example, dtype), domain=stated), 200)]
    assert {x.dtype for x in drawn} == {dtype}
    assert all(stated.holds(x) for x in drawn)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("stated", "example"),
    [
        (domain.bounded(-1e300, 1e300), [0.0, 1.0]),
        (domain.bounded(-1.7e308, 1.7e308), [0.0, -2.0]),
        (domain.bounded(1e-300, 1.7e308), [3e38, 1.0]),
        (domain.bounded(-np.inf, 1e300), [0.0, -1.0]),
        (domain.positive, [3e38, 1.0]),
    ],
    ids=repr,
)
def test_ends_may_be_beyond_a_dtype(draws: Any, stated: Any, example: Any, dtype: Any) -> None:
    drawn = [x for (x,) in draws(gst.like(np.array(example, dtype), domain=stated), 100)]
    assert all(stated.holds(x) for x in drawn)
    assert any((x != np.array(example, dtype)).all() for x in drawn)


def test_the_distance_of_two_ends_may_be_beyond_a_dtype(draws: Any) -> None:
    stated = domain.bounded(-1.7e308, 1.7e308)
    drawn = np.abs([x for (x,) in draws(gst.like(np.full(3, 1e307), domain=stated), 200)])
    assert ((drawn > 1e306) & (drawn < 1.6e308) & (drawn != 1e307)).mean() > 0.1


def test_no_end_at_zero_is_approached_beyond_the_normal_numbers(draws: Any) -> None:
    for stated, sign in ((domain.positive, 1.0), (domain.bounded(-1, 0), -1.0), (domain.bounded(-np.inf, 0), -1.0)):
        drawn = np.array([x for (x,) in draws(gst.like(np.full(3, sign * 2.0**-14, np.float16), domain=stated), 200)])
        assert np.abs(drawn).min() == 2.0**-14


def test_both_ends_are_approached(draws: Any) -> None:
    drawn = np.array([x for (x,) in draws(gst.like(np.full(4, 0.5), domain=domain.bounded(0, 1)), 300)])
    assert 0 < drawn.min() < 1e-29
    assert 0 < (1 - drawn).min() < 1e-10
    assert ((drawn.min(axis=1) < 1e-7) & (drawn.max(axis=1) > 1 - 1e-7)).any()
    assert ((drawn > 0.25) & (drawn < 0.75)).mean() > 0.2
    above = np.array([x for (x,) in draws(gst.like(np.full(4, 0.5), domain=domain.positive), 300)])
    assert above.min() < 1e-29
    assert above.max() > 1e6
    assert (above.max(axis=1) / above.min(axis=1)).max() > 1e9  # over many octaves in one array


def test_shares_are_equal_uneven_and_near_a_corner(draws: Any) -> None:
    drawn = [x for (x,) in draws(gst.like(np.full((2, 4), 0.25), domain=domain.ambient_simplex), 300)]
    assert any((x == 0.25).all() for x in drawn)
    assert any(1e-3 < x.min() < 0.2 for x in drawn)
    assert any(x.min() < 1e-20 for x in drawn)
    assert all(x.min() > 1e-11 for (x,) in draws(gst.like(np.full((2, 4), 0.25), domain=domain.simplex), 300))


def test_domains_go_by_position_and_into_trees(draws: Any) -> None:
    tree = {"scale": np.ones(3), "shift": [np.zeros(3), np.full(3, 0.5)]}
    stated = {1: {"scale": domain.positive, "shift": [None, domain.bounded(0, 1)]}}
    drawn = draws(gst.like(np.zeros(3), tree, domain=stated, vary=(0, 1)), 100)
    assert all((t["scale"] > 0).all() and domain.bounded(0, 1).holds(t["shift"][1]) for _, t in drawn)
    assert any((x < 0).any() for x, _ in drawn)
    assert any((t["shift"][0] < 0).any() for _, t in drawn)


@pytest.mark.parametrize(
    ("args", "stated", "says"),
    [
        ((np.array([1.0, 0.0]),), domain.positive, r"args\[0\]\[1\] is 0, outside gradcheck.domain.positive"),
        ((np.ones(1), np.ones((1, 2))), {1: domain.simplex}, r"args\[1\]\[0\] sums to 2, outside"),
        ((np.ones(1),), {"x": domain.positive}, "domain names argument 'x': pass positions"),
        ((np.ones(1),), {0: [domain.positive]}, r"for args\[0\], but that is one array"),
    ],
)
def test_an_example_outside_is_refused(args: Any, stated: Any, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        gst.like(*args, domain=stated)


def test_the_example_is_neither_shared_nor_watched(draws: Any) -> None:
    z, y = Z.copy(), Y.copy()
    strategy = gst.like(z, y, vary=0)
    z += 100
    for drawn_z, drawn_y in draws(strategy, 60):
        assert set(drawn_y.tolist()) <= {0, 2}
        drawn_z += 1
        drawn_y += 7
    assert (y == Y).all()
    assert not any((a == z).all() for a, _ in draws(strategy, 60) if a.shape == z.shape)


def test_array_likes_of_other_libraries_become_numpy_arrays(draws: Any) -> None:
    class Foreign:
        def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
            return np.array([1.0, 2.0])

    drawn = draws(gst.like(Foreign()), 30)
    assert all(isinstance(x, np.ndarray) and x.shape == (2,) for (x,) in drawn)
    assert len({x.tobytes() for (x,) in drawn}) > 10


def test_examples_shrink_to_zeros_in_one_row(minimal: Any) -> None:
    z, y = minimal(gst.like(Z, Y))
    assert (z.tolist(), y.shape) == ([[0.0, 0.0, 0.0]], (1,))
