from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import gradcheck
from gradcheck.errors import CheckFailed, DataError, GradientMismatch, GradientUndecided
from gradcheck.report import Failure, Report, keep, load_failure
from gradcheck.verdict import Discrepancy

Compared = Callable[..., Discrepancy]
MakeReport = Callable[..., Report]

# Any bits, NaN with payloads and signalling ones included.
DTYPES = st.sampled_from(["f8", "f4", "f2", ">f8", "i8", "u1", "?", "U3", ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn])
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    dtype, shape = np.dtype(draw(DTYPES)), draw(SHAPES)
    if dtype.kind not in "fVi":
        return draw(hnp.arrays(dtype, shape))
    bits = draw(st.binary(min_size=dtype.itemsize * int(np.prod(shape)), max_size=dtype.itemsize * int(np.prod(shape))))
    return np.frombuffer(bits, dtype).reshape(shape)


PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=4))
KEYS = st.one_of(st.text(max_size=4), st.integers(), st.tuples(st.integers(), st.text(max_size=2)))
TREES = st.recursive(
    arrays() | PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
    ),
    max_leaves=5,
)


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, dict):
        return list(first) == list(second) and all(map(_same, first.values(), second.values()))
    if isinstance(first, (list, tuple)):
        return type(first) is type(second) and len(first) == len(second) and all(map(_same, first, second))
    if isinstance(first, np.ndarray):
        return (first.dtype, first.shape, first.tobytes()) == (second.dtype, second.shape, second.tobytes())
    return type(first) is type(second) and bool(first == second)


def _kept(report: Report, folder: Path) -> Path:
    saved = keep(report, folder).saved
    assert saved is not None
    return saved


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(args=st.lists(TREES, max_size=2).map(tuple), kwargs=st.dictionaries(st.text(max_size=4), TREES, max_size=2))
def test_what_is_kept_comes_back_bit_for_bit(make_report: MakeReport, tmp_path: Path, args: Any, kwargs: Any) -> None:
    failure = load_failure(_kept(make_report(args=args, kwargs=kwargs, cotangent=args), tmp_path))
    assert _same(args, failure.args)
    assert _same(kwargs, failure.kwargs)
    assert _same(args, failure.cotangent)


@given(value=TREES)
def test_the_comparison_can_fail(value: Any) -> None:
    assert not _same([value], [value, value])
    assert not _same((value,), [value])
    assert not _same(np.zeros(2), np.array([0.0, -0.0]))


def test_who_failed_and_how_comes_back(make_report: MakeReport, tmp_path: Path) -> None:
    report = make_report(takes_cotangent=True, maker="from_vjp", argnums=(0, 2), seed=7, args=(), cotangent=0.5)
    expected = Failure(
        rule="hand.nll_grad",
        maker="from_vjp",
        target=("hand:nll", "hand:nll_grad"),
        files=("", ""),
        argnums=(0, 2),
        takes_cotangent=True,
        args=(),
        kwargs={},
        cotangent=0.5,
        seed=7,
    )
    assert vars(load_failure(_kept(report, tmp_path))) == vars(expected)
    assert load_failure(_kept(make_report(argnums=None), tmp_path)).argnums is None


def test_the_file_of_a_function_is_noted(make_report: MakeReport, tmp_path: Path) -> None:
    failure = load_failure(_kept(make_report(target=("json:dumps",)), tmp_path))
    assert failure.files == (json.__file__,)


def test_no_pickle_is_inside(make_report: MakeReport, tmp_path: Path) -> None:
    objects = np.array([print, None], dtype=object)
    path = _kept(make_report(args=(np.ones(2), "text", np.array(["a"])), kwargs={"hook": objects}), tmp_path)
    with np.load(path, allow_pickle=False) as data:
        for name in data.files:
            assert not data[name].dtype.hasobject


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, gradcheck=np.array({"schema": 1}, dtype=object))
    with pytest.raises(DataError, match="allow_pickle"):
        load_failure(path)


def test_what_cannot_be_kept_is_named_when_it_is_asked_for(make_report: MakeReport, tmp_path: Path) -> None:
    path = _kept(make_report(kwargs={"activation": np.tanh}), tmp_path)
    with pytest.raises(DataError, match=r"x?\.npz: .*not an array: <ufunc 'tanh'>"):
        load_failure(path)


def test_the_same_failure_has_the_same_name(make_report: MakeReport, tmp_path: Path) -> None:
    first, again = (_kept(make_report(args=(np.array([1.0, 2.0]),)), tmp_path) for _ in range(2))
    assert first == again
    assert [path.name for path in tmp_path.iterdir()] == [first.name]


@pytest.mark.parametrize(
    "changed",
    [
        {"args": (np.zeros((3, 2)),)},
        {"args": (np.zeros((2, 3), np.float32),)},
        {"args": (np.full((2, 3), -0.0),)},
        {"args": ([np.zeros((2, 3))],)},
        {"kwargs": {"weight": np.zeros((2, 3))}},
        {"cotangent": 2.0},
        {"seed": 1},
        {"name": "hand.other"},
        {"argnums": (1,)},
    ],
    ids=lambda changed: " ".join(map(str, next(iter(changed.items()))))[:30],
)
def test_another_failure_has_another_name(make_report: MakeReport, tmp_path: Path, changed: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"args": (np.zeros((2, 3)),)}
    assert _kept(make_report(**usual), tmp_path) != _kept(make_report(**(usual | changed)), tmp_path)


def _refuse(*_: object) -> None:
    raise OSError("no space left on device")


@pytest.mark.parametrize("refuse", [OSError("no space left"), KeyboardInterrupt()], ids=["full", "interrupt"])
def test_a_file_is_there_whole_or_not_at_all(
    make_report: MakeReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuse: BaseException
) -> None:
    def replace_fails(*_: object) -> None:
        assert len(list(tmp_path.iterdir())) == 1, "the temporary file"
        raise refuse

    monkeypatch.setattr(os, "replace", replace_fails)
    if isinstance(refuse, OSError):
        assert keep(make_report(), tmp_path).saved is None
    else:
        with pytest.raises(KeyboardInterrupt):
            keep(make_report(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_kept_file_survives_a_failed_second_write(
    make_report: MakeReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _kept(make_report(), tmp_path)
    before = path.read_bytes()
    monkeypatch.setattr(Path, "write_bytes", _refuse)
    assert keep(make_report(), tmp_path).saved is None
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_written_does_not_hide_the_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".gradcheck").write_text("in the way", encoding="utf-8")
    rule = gradcheck.from_loss(lambda w: (w * w).sum(), lambda w: w, name="square")
    with pytest.raises(GradientMismatch) as caught:
        gradcheck.check(rule, np.ones(2))
    assert caught.value.report.saved is None
    assert "replay" not in str(caught.value)


def test_check_keeps_a_failure_and_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rule = gradcheck.from_loss(lambda w: (w * w).sum(), lambda w: w, name="square")
    with pytest.raises(GradientMismatch) as caught:
        gradcheck.check(rule, np.ones(2))
    saved = caught.value.report.saved
    assert saved is not None
    assert not saved.is_absolute(), "so that it can be typed"
    assert f"gradcheck replay {saved}" in str(caught.value)
    assert _same(load_failure(saved).args, (np.ones(2),))


@pytest.fixture
def file(make_report: MakeReport, tmp_path: Path) -> Path:
    return _kept(make_report(args=(np.array([1.0, -2.0]),)), tmp_path)


def test_a_missing_file_says_where_they_lie(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.npz: no such file; kept failures lie in \.gradcheck"):
        load_failure(tmp_path / "absent.npz")


def test_a_folder_is_no_failure(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a failure kept by gradcheck, or damaged"):
        load_failure(tmp_path)


def test_a_truncated_file_is_refused(file: Path) -> None:
    content = file.read_bytes()
    for length in range(0, len(content), 7):
        file.write_bytes(content[:length])
        with pytest.raises(DataError, match="not a failure kept by gradcheck, or damaged"):
            load_failure(file)


def test_a_flipped_bit_is_refused_or_harmless(file: Path) -> None:
    content, refused = bytearray(file.read_bytes()), 0
    whole = load_failure(file)
    for at in range(0, len(content), 3):
        damaged = content.copy()
        damaged[at] ^= 1 << at % 8
        file.write_bytes(damaged)
        try:
            found = load_failure(file)
        except DataError:
            refused += 1
        else:  # such as in a time stamp
            assert _same(found.args, whole.args)
            assert vars(replace(found, args=())) == vars(replace(whole, args=()))
    assert refused > len(content) // 6, "half of those tried"


def _foreign(tmp_path: Path, meta: str) -> Path:
    path = tmp_path / "foreign.npz"
    np.savez(path, gradcheck=np.array(meta))
    return path


@pytest.mark.parametrize("meta", ["", "not json", "null", "[]", "{}", '{"schema": 1}', '{"schema": 1, "args": null}'])
def test_a_foreign_archive_is_refused(tmp_path: Path, meta: str) -> None:
    with pytest.raises(DataError, match="not a failure kept by gradcheck, or damaged"):
        load_failure(_foreign(tmp_path, meta))


def test_other_kinds_of_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", a=np.ones(2))
    np.save(tmp_path / "array.npy", np.ones(2))
    (tmp_path / "text.npz").write_text("text", encoding="utf-8")
    for name in ("other.npz", "array.npy", "text.npz"):
        with pytest.raises(DataError, match=f"{name}: not a failure kept by gradcheck"):
            load_failure(tmp_path / name)


def test_another_layout_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"another layout \(schema 99, not 1\)"):
        load_failure(_foreign(tmp_path, '{"schema": 99}'))


@pytest.mark.parametrize("kind", [GradientMismatch, GradientUndecided])
def test_an_exception_is_pickled_with_its_report(
    make_report: MakeReport, compared: Compared, kind: type[CheckFailed]
) -> None:
    error = kind(make_report(compared([[1.0, np.nan]], [[1.0, 2.0]]), saved=Path("x.npz"), kwargs={"axis": 1}))
    text = str(error)  # fills what is computed once
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == text
    assert not again.report
    assert isinstance(again, AssertionError)


def test_a_real_report_is_pickled_whole() -> None:
    rule = gradcheck.from_loss(lambda w: (w * w).sum(), lambda w: w, name="square")
    report = gradcheck.examine(rule, np.ones(2))
    again = pickle.loads(pickle.dumps(report))
    assert str(again) == str(report)
    assert _same(again.point.args, report.point.args)
    assert again.outcome is report.outcome
