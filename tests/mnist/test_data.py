from __future__ import annotations

import gzip
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import gradcheck
from gradcheck.errors import DataError, InvalidArgument
from gradcheck.mnist import data, idx
from gradcheck.mnist.data import Digits, load

PACKAGE = Path(gradcheck.__file__).parent
SAMPLE_FOLDER = PACKAGE / "mnist" / "sample"
# All of MNIST where the environment has it, else the sample.
AT_HAND = os.environ.get("GRADCHECK_DATA") or "sample"
SPLITS: tuple[data.Split, ...] = ("train", "test")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test a home of its own, and no GRADCHECK_DATA."""
    monkeypatch.delenv("GRADCHECK_DATA", raising=False)
    for name in ("HOME", "USERPROFILE", "LOCALAPPDATA", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder of files that count as published: the sample stands in for MNIST."""
    monkeypatch.setattr(data, "PUBLISHED", data.SAMPLE)
    return fill(tmp_path / "folder")


def fill(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for path in SAMPLE_FOLDER.glob("*.gz"):
        shutil.copyfile(path, folder / path.name)
    return folder


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Replace the download by a copy from the sample, and list what was asked for."""
    asked = []

    def fetch(name: str, sha256: str, directory: Path, **_: object) -> None:
        assert sha256 == data.SAMPLE[name]
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(SAMPLE_FOLDER / f"{name}.gz", directory / f"{name}.gz")
        asked.append(directory / f"{name}.gz")

    monkeypatch.setattr(data, "PUBLISHED", data.SAMPLE)
    monkeypatch.setattr(data, "fetch", fetch)
    return asked


@pytest.mark.parametrize(("split", "per_class"), [("train", 500), ("test", 100)])
def test_the_sample_has_as_many_of_each_digit(split: data.Split, per_class: int) -> None:
    digits = load(split, "sample")
    assert np.bincount(digits.labels).tolist() == [per_class] * 10
    assert digits.images.shape == (10 * per_class, 28, 28)
    assert digits.images.dtype == digits.labels.dtype == np.uint8
    assert digits.source == "sample of MNIST inside the package"
    assert len(digits) == 10 * per_class
    assert digits.classes == tuple("0123456789")


@pytest.mark.parametrize("split", SPLITS)
def test_the_digits_at_hand_are_whole_and_hold_the_sample(split: data.Split) -> None:
    digits, sample = load(split, AT_HAND), load(split, "sample")
    assert len(digits) == {"train": 60_000, "test": 10_000}[split] or digits.source == sample.source
    tool = sample_maker()
    again = tool.first_of_each_class(digits, tool.PER_CLASS[split])
    np.testing.assert_array_equal(again.images, sample.images, strict=True)
    np.testing.assert_array_equal(again.labels, sample.labels, strict=True)


def test_the_sample_maker_writes_the_files_in_the_package(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "output"
    output.mkdir()
    # The first of each class among the first of each class are all of them.
    assert sample_maker().main([str(folder), str(output)]) == 0
    assert {path.name[:-3]: idx.sha256(idx.read(path)) for path in output.iterdir()} == dict(data.SAMPLE)
    printed = capsys.readouterr().out
    assert all(f'"{name}": "{sha256}",' in printed for name, sha256 in data.SAMPLE.items())
    assert sample_maker().main([]) == 2
    assert "make_mnist_sample.py FOLDER" in capsys.readouterr().err


def sample_maker() -> ModuleType:
    path = Path(__file__).parents[2] / "tools" / "make_mnist_sample.py"
    spec = importlib.util.spec_from_file_location("make_mnist_sample", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_sample_opens_from_a_package_in_a_zip(tmp_path: Path) -> None:
    archive = tmp_path / "gradcheck.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in PACKAGE.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                zipped.write(path, Path("gradcheck") / path.relative_to(PACKAGE))
    code = "from gradcheck.mnist import data; print(data.__file__, len(data.load('train')), len(data.load('test')))"
    printed = run(code, PYTHONPATH=str(archive))
    assert printed.split() == [str(archive / "gradcheck" / "mnist" / "data.py"), "5000", "1000"]


def test_the_sample_carries_its_licence() -> None:
    licence = (SAMPLE_FOLDER / "LICENSE.mnist").read_text()
    assert "CC BY-SA 3.0" in licence
    assert "Yann LeCun and Corinna Cortes" in licence


def test_a_damaged_sample_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "SAMPLE", data.PUBLISHED)
    with pytest.raises(DataError, match=data.PUBLISHED["train-images-idx3-ubyte"]):
        load("train", "sample")


def test_loading_the_sample_imports_no_framework_and_no_downloader() -> None:
    code = (
        "import sys; from gradcheck.mnist import data; data.load('test', 'sample'); "
        "print(*{'jax', 'hypothesis', 'pytest', 'pooch', 'requests'} & set(sys.modules))"
    )
    assert run(code).split() == []
    assert run("import pytest, " + code.removeprefix("import ")).split() == ["pytest"]  # the check can fail


def run(code: str, **environment: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=os.environ | environment, check=True, capture_output=True, text=True).stdout


def test_with_nothing_named_and_nothing_cached_it_is_the_sample() -> None:
    assert load("train").source == load("train", "sample").source


def test_the_folder_in_the_environment_is_the_default(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADCHECK_DATA", str(folder))
    assert load("train").source == str(folder)
    assert load("train", "sample").source != str(folder)
    assert load("train", fill(tmp_path / "other")).source == str(tmp_path / "other")
    monkeypatch.setenv("GRADCHECK_DATA", "")
    assert load("train").source == load("train", "sample").source


def test_a_folder_in_the_environment_that_has_no_digits_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADCHECK_DATA", str(tmp_path))
    with pytest.raises(DataError, match="holds neither train-images-idx3-ubyte nor"):
        load("train")


@pytest.mark.usefixtures("folder")
def test_the_cache_is_the_default_once_it_is_complete() -> None:
    cache = fill(data.cache_directory())
    assert load("test").source == str(cache)
    (cache / "train-labels-idx1-ubyte.gz").unlink()
    assert load("test").source == load("test", "sample").source


def test_mnist_is_downloaded_into_the_cache_on_request_only(fetched: list[Path]) -> None:
    load("train")
    assert fetched == []
    cache = data.cache_directory()
    assert load("train", "mnist").source == str(cache)
    assert sorted(path.name for path in fetched) == sorted(f"{name}.gz" for name in data.SAMPLE)
    load("test", "mnist")
    assert len(fetched) == 4
    assert load("train").source == str(cache)


def test_mnist_is_downloaded_into_the_folder_in_the_environment(
    folder: Path, fetched: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADCHECK_DATA", str(folder))
    (folder / "t10k-images-idx3-ubyte.gz").unlink()
    assert load("train", "mnist").source == str(folder)
    assert fetched == [folder / "t10k-images-idx3-ubyte.gz"]


def test_a_folder_named_mnist_is_reached_by_its_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.rename(folder.parent / "mnist")
    monkeypatch.chdir(folder.parent)
    assert load("train", Path("mnist")).source == "mnist"
    assert load("train", "./mnist").source == "mnist"


def test_plain_files_and_the_layout_of_torchvision_are_found(folder: Path, tmp_path: Path) -> None:
    raw = tmp_path / "root" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in folder.iterdir():
        (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    found = load("train", tmp_path / "root")
    assert found.sha256 == load("train", folder).sha256
    assert load("train", raw).sha256 == found.sha256


def test_a_tilde_is_the_home(home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    folder.rename(home / "digits")
    assert load("test", "~/digits").source == str(home / "digits")
    monkeypatch.setenv("GRADCHECK_DATA", "~/digits")
    assert load("test").source == str(home / "digits")
    assert data.download_mnist() == home / "digits"


def test_what_is_missing_is_named_with_the_command_that_gets_it(folder: Path, tmp_path: Path) -> None:
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"neither train-labels-idx1-ubyte nor .*: gradcheck train --data mnist"):
        load("train", folder)
    assert len(load("test", folder)) == 1000
    with pytest.raises(DataError, match="nowhere: is no folder that can be read"):
        load("train", tmp_path / "nowhere")


def test_other_contents_under_a_published_name_are_refused_with_both_hashes(tmp_path: Path) -> None:
    folder = fill(tmp_path / "other")
    name = "train-images-idx3-ubyte"
    with pytest.raises(DataError, match="--any-idx") as caught:
        load("train", folder)
    assert data.SAMPLE[name] in str(caught.value)
    assert data.PUBLISHED[name] in str(caught.value)
    assert str(folder / f"{name}.gz") in str(caught.value)
    digits = load("train", folder, verify_hash=False)
    assert digits.sha256 == (data.SAMPLE[name], data.SAMPLE["train-labels-idx1-ubyte"])


def test_mnist_by_name_is_verified_whatever_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADCHECK_DATA", str(fill(tmp_path / "other")))
    with pytest.raises(DataError, match=data.PUBLISHED["t10k-images-idx3-ubyte"]):
        load("test", "mnist", verify_hash=False)


def test_wrong_labels_are_refused_as_wrong_images_are(folder: Path) -> None:
    labels = idx.read_labels(folder / "t10k-labels-idx1-ubyte.gz")
    labels[0] ^= 1
    idx.write(folder / "t10k-labels-idx1-ubyte.gz", labels)
    with pytest.raises(DataError, match=data.SAMPLE["t10k-labels-idx1-ubyte"]):
        load("test", folder)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 2], "3 images but 2 labels: the two files do not belong together"),
        ([1, 10, 2], r"labels\[1\] is 10, labels of digits are 0 to 9: this is another kind of dataset"),
        ([], "3 images but 0 labels"),
    ],
    ids=["fewer", "letters", "none"],
)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, labels: list[int], message: str) -> None:
    idx.write(tmp_path / "t10k-images-idx3-ubyte.gz", np.zeros((3, 2, 2), np.uint8))
    idx.write(tmp_path / "t10k-labels-idx1-ubyte.gz", np.array(labels, np.uint8))
    with pytest.raises(DataError, match=f"{tmp_path}: {message}"):
        load("test", tmp_path, verify_hash=False)


@pytest.mark.parametrize("shape", [(0, 28, 28), (3, 0, 28)])
def test_no_images_are_refused(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    idx.write(tmp_path / "t10k-images-idx3-ubyte.gz", np.zeros(shape, np.uint8))
    idx.write(tmp_path / "t10k-labels-idx1-ubyte.gz", np.zeros(shape[0], np.uint8))
    with pytest.raises(DataError, match="holds no images"):
        load("test", tmp_path, verify_hash=False)


def test_images_under_the_name_of_labels_are_refused(folder: Path) -> None:
    shutil.copyfile(folder / "t10k-images-idx3-ubyte.gz", folder / "t10k-labels-idx1-ubyte.gz")
    with pytest.raises(DataError, match=r"holds images .* labels .* were expected"):
        load("test", folder)


def test_a_split_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="split is 'validation': pass 'train' or 'test'"):
        load("validation", "sample")  # type: ignore[arg-type]  # the refusal is what is tested


def test_digits_cannot_be_changed() -> None:
    digits = load("test", "sample")
    with pytest.raises(ValueError, match="read-only"):
        digits.images[0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        digits.labels[0] = 1


def test_digits_leave_the_arrays_they_are_made_of_writable() -> None:
    images, labels = np.ones((1, 2, 2), np.uint8), np.ones(1, np.uint8)
    Digits(images, labels, "here", ("", ""))
    assert images.flags.writeable
    assert labels.flags.writeable


def test_selected_digits_are_relabelled_and_keep_their_images() -> None:
    digits = load("test", "sample")
    nonzero = digits.select(range(1, 10))
    kept = digits.labels != 0
    assert nonzero.classes == tuple("123456789")
    np.testing.assert_array_equal(nonzero.labels, digits.labels[kept] - np.uint8(1), strict=True)
    np.testing.assert_array_equal(nonzero.images, digits.images[kept], strict=True)
    assert (nonzero.source, nonzero.sha256) == (digits.source, digits.sha256)


def test_labels_follow_the_order_of_selection_and_selections_compose() -> None:
    digits = load("test", "sample")
    once, twice = digits.select([7, 3]), digits.select([3, 5, 7]).select([7, 3])
    assert once.classes == twice.classes == ("7", "3")
    np.testing.assert_array_equal(once.labels, twice.labels, strict=True)
    np.testing.assert_array_equal(once.images[once.labels == 0], digits.images[digits.labels == 7])


@pytest.mark.parametrize("wrong", [[], [1, 1], [10], [-1], [0, 11]], ids=str)
def test_selections_that_mean_nothing_are_refused(wrong: list[int]) -> None:
    with pytest.raises(InvalidArgument, match=r"digits is \(.*\): pass one or more of \(0, 1, .*, 9\), each once"):
        load("test", "sample").select(wrong)


@pytest.mark.parametrize(
    ("platform", "folder"),
    [("linux", "xdg"), ("darwin", "home/Library/Caches"), ("win32", "local")],
)
def test_the_cache_is_where_each_system_keeps_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, folder: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert data.cache_directory() == tmp_path / folder / "gradcheck" / "mnist"


def test_without_its_variable_the_cache_is_below_the_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data.cache_directory() == home / ".cache" / "gradcheck" / "mnist"
