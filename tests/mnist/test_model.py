from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcheck.derivations import init_params, mlp_logits
from gradcheck.errors import DataError, InvalidArgument
from gradcheck.mnist import model as model_module
from gradcheck.mnist.model import Model, load_model, save_model


@pytest.fixture
def model() -> Model:
    params = init_params((12, 5, 3), seed=0)
    return Model(params, "relu", 0.1307, 0.3081, (4, 3), ("1", "2", "9"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.npz"


def test_a_model_comes_back_as_it_went(model: Model, path: Path) -> None:
    save_model(path, model)
    loaded = load_model(path)
    assert replace(loaded, params={}).__dict__ == replace(model, params={}).__dict__
    assert list(loaded.params) == list(model.params)
    for name, w in model.params.items():
        assert loaded.params[name].dtype == w.dtype
        np.testing.assert_array_equal(loaded.params[name], w)


def test_equal_models_make_equal_bytes_at_any_time(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(tmp_path / "now", model)
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("sys.platform", "win32")
    save_model(tmp_path / "then", model)
    assert (tmp_path / "now").read_bytes() == (tmp_path / "then").read_bytes()
    model.params["b2"][0] = np.nextafter(np.float32(0), np.float32(1))
    save_model(tmp_path / "another", model)
    assert (tmp_path / "now").read_bytes() != (tmp_path / "another").read_bytes()


def test_numpy_opens_the_file_without_pickle(model: Model, path: Path) -> None:
    save_model(path, model)
    with np.load(path, allow_pickle=False) as archive:
        assert archive.files == ["header", "W1", "b1", "W2", "b2"]
        assert json.loads(str(archive["header"]))["classes"] == ["1", "2", "9"]


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(
    model: Model, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(path, model)
    before = path.read_bytes()

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np.lib.format, "write_array", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_model(path, model)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_inputs_are_pixels_as_fractions_of_ink_less_the_mean_over_the_deviation(model: Model) -> None:
    images = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    expected = (images.reshape(2, 12) / 255 - 0.1307) / 0.3081
    x = model.inputs(images)
    assert x.dtype == np.float32
    # Two roundings of float32, of numbers below 1.
    np.testing.assert_allclose(x, expected, rtol=0, atol=2 * float(np.finfo(np.float32).eps))


def test_logits_do_not_depend_on_how_many_images_pass_at_once(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (10, 4, 3), np.uint8)
    monkeypatch.setattr(model_module, "_AT_ONCE", 4)
    wide = replace(model, params={name: w.astype(np.float64) for name, w in model.params.items()})
    whole = mlp_logits(wide.params, wide.inputs(images))[0]
    # 12 and 5 products a logit, summed in whatever order.
    np.testing.assert_allclose(wide.logits(images), whole, rtol=0, atol=17 * np.finfo(float).eps * abs(whole).max())


@pytest.mark.parametrize(
    "images", [np.zeros((2, 3, 4), np.uint8), np.zeros((2, 4, 3), np.float32), np.zeros((4, 3), np.uint8)]
)
def test_images_of_another_kind_are_refused(model: Model, images: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"pass uint8, \(N, 4, 3\)"):
        model.logits(images)


def test_what_is_no_model_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        load_model(path)
    with pytest.raises(DataError, match="is no model"):
        load_model(tmp_path)
    for contents in (b"", b"PK\x03\x04 and so on", b"text"):
        path.write_bytes(contents)
        with pytest.raises(DataError, match="is no model"):
            load_model(path)
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(DataError, match="is no model"):
        load_model(tmp_path / "array.npy")
    np.savez(path, W1=np.zeros((3, 12)), b1=np.zeros(3))
    with pytest.raises(DataError, match="no header that says so"):
        load_model(path)


def test_compressed_contents_are_refused(model: Model, path: Path) -> None:
    np.savez_compressed(path, **change()(model))
    with pytest.raises(DataError, match="its contents are compressed"):
        load_model(path)


def test_pickles_are_not_opened(path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return pytest.fail, ("the pickle was opened",)

    np.savez(path, header=np.array([Trap()], dtype=object))
    with pytest.raises(DataError, match="is no model"):
        load_model(path)


def test_a_cut_or_flipped_file_is_refused(model: Model, path: Path) -> None:
    save_model(path, model)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="is no model"):
        load_model(path)
    at = whole.index(model.params["W1"].tobytes())
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(DataError, match="damaged"):  # the zip's checksum
        load_model(path)


def test_an_array_that_promises_more_than_memory_holds_is_refused(model: Model, path: Path) -> None:
    save_model(path, model)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    # The header is padded with blanks, so a longer one of the same length is a valid one.
    promise, padding = b"(5, 1200000000000), }", 10 * b" "
    assert b"(5, 12), }" + padding in members["W1.npy"]
    members["W1.npy"] = members["W1.npy"].replace(b"(5, 12), }" + padding + b" ", promise)
    with zipfile.ZipFile(path, "w") as archive:
        for name, contents in members.items():
            archive.writestr(name, contents)
    with pytest.raises(DataError, match="is no model"):
        load_model(path)


def change(**header: Any) -> Callable[[Model], dict[str, Any]]:
    return lambda model: {"header": np.array(json.dumps(model_module._header(model) | header)), **model.params}


def drop(name: str) -> Callable[[Model], dict[str, Any]]:
    return lambda model: {key: value for key, value in change()(model).items() if key != name}


def put(**arrays: Any) -> Callable[[Model], dict[str, Any]]:
    return lambda model: change()(model) | arrays


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (change(format="another"), "no header that says so"),
        (put(header=np.array("{")), "no header that says so"),
        (put(header=np.array("[1]")), "no header that says so"),
        (change(version=2), "in version 2 of the format, and this gradcheck reads version 1"),
        (change(activation="gelu"), "activation 'gelu' is none of relu"),
        (change(mean="much"), "its header is damaged"),
        (change(mean=float("nan")), "mean nan"),
        (change(standard_deviation=0), r"standard deviation 0\.0 cannot be"),
        (change(image_shape=[4]), "its header is damaged"),
        (change(image_shape=[4, 4]), "layer 1 is missing or does not fit 16 inputs"),
        (change(classes=["1", "2"]), "3 outputs do not make 2 classes"),
        (drop("b2"), "its 3 arrays"),
        (drop("W1"), "layer 1 is missing"),
        (put(W3=np.zeros((3, 3), np.float32)), "its 5 arrays"),
        (put(b1=np.zeros(4, np.float32)), "layer 1 is missing or does not fit"),
        (put(b2=np.zeros(3, np.int64)), "layer 2 holds float32 and int64"),
    ],
)
def test_contents_that_make_no_classifier_are_refused(
    model: Model, path: Path, alter: Callable[[Model], dict[str, Any]], message: str
) -> None:
    np.savez(path, **change()(model))
    load_model(path)  # unaltered, it is one
    np.savez(path, **alter(model))
    with pytest.raises(DataError, match=message):
        load_model(path)
