from __future__ import annotations

import builtins
import gzip
import hashlib
import os
import struct
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gradcheck.errors import DataError, InvalidArgument
from gradcheck.mnist import idx

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
LABELS = np.array([7, 0, 9], np.uint8)
RAW_IMAGES = bytes.fromhex("00000803 00000002 00000003 00000004") + bytes(range(24))
RAW_LABELS = bytes.fromhex("00000801 00000003 07 00 09")
MEGABYTE = 1 << 20


def saved(folder: Path, contents: bytes, *, zipped: bool = False) -> Path:
    path = folder / "file"
    path.write_bytes(gzip.compress(contents) if zipped else contents)
    return path


@pytest.fixture(params=[False, True], ids=["plain", "gzip"])
def zipped(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_images_and_labels_are_read_plain_and_gzipped(tmp_path: Path, zipped: bool) -> None:
    images = idx.read_images(saved(tmp_path, RAW_IMAGES, zipped=zipped))
    labels = idx.read_labels(saved(tmp_path, RAW_LABELS, zipped=zipped))
    np.testing.assert_array_equal(images, IMAGES, strict=True)
    np.testing.assert_array_equal(labels, LABELS, strict=True)
    assert images.flags.writeable


def test_contents_tell_gzip_and_names_do_not(tmp_path: Path) -> None:
    plain, zipped = tmp_path / "plain.gz", tmp_path / "zipped"
    plain.write_bytes(RAW_LABELS)
    zipped.write_bytes(gzip.compress(RAW_LABELS))
    np.testing.assert_array_equal(idx.read_labels(plain), idx.read_labels(str(zipped)), strict=True)


shapes = hnp.array_shapes(min_dims=1, max_dims=1, min_side=0) | hnp.array_shapes(
    min_dims=3, max_dims=3, min_side=0, max_side=5
)


@given(array=hnp.arrays(np.uint8, shapes), reverse=st.booleans())
def test_what_is_written_is_read_and_has_the_hash_of_the_raw_file(
    array: np.ndarray[Any, np.dtype[np.uint8]], reverse: bool
) -> None:
    array = array[::-1] if reverse else array  # a layout that is not contiguous
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.gz")
        idx.write(path, array)
        np.testing.assert_array_equal(idx.read(path), array, strict=True)
        assert idx.sha256(array) == hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()


def test_the_hash_differs_with_the_shape_and_with_one_element() -> None:
    other = IMAGES.copy()
    other[1, 2, 3] ^= 1
    assert len({idx.sha256(IMAGES), idx.sha256(IMAGES.reshape(2, 4, 3)), idx.sha256(other)}) == 3


def test_writing_is_reproducible_and_records_no_time_or_name(tmp_path: Path) -> None:
    idx.write(tmp_path / "one.gz", IMAGES)
    idx.write(tmp_path / "other.gz", IMAGES)
    written = (tmp_path / "one.gz").read_bytes()
    assert written == (tmp_path / "other.gz").read_bytes()
    assert written[3:8] == bytes(5)  # RFC 1952: no flags, hence no name; time 0


@pytest.mark.parametrize(
    ("array", "message"),
    [(np.zeros(3), r"float64 of shape \(3,\)"), (np.zeros((2, 2), np.uint8), r"uint8 of shape \(2, 2\)")],
    ids=["dtype", "ndim"],
)
def test_only_images_and_labels_can_be_written(tmp_path: Path, array: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        idx.write(tmp_path / "file.gz", array)
    assert not (tmp_path / "file.gz").exists()


@pytest.mark.parametrize("raw", [RAW_IMAGES, RAW_LABELS], ids=["images", "labels"])
def test_no_part_of_a_file_is_accepted(tmp_path: Path, raw: bytes, zipped: bool) -> None:
    whole = gzip.compress(raw) if zipped else raw
    for end in range(len(whole)):
        with pytest.raises(DataError):
            idx.read(saved(tmp_path, whole[:end]))
    for end in range(len(raw)):
        with pytest.raises(DataError):
            idx.read(saved(tmp_path, raw[:end], zipped=zipped))


def test_no_flipped_bit_in_a_gzipped_file_gives_other_digits(tmp_path: Path) -> None:
    whole = gzip.compress(RAW_IMAGES, mtime=0)
    refused = 0
    for place in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        try:
            images = idx.read(saved(tmp_path, bytes(damaged)))
        except DataError:
            refused += 1
        else:  # a bit that says nothing about the contents, such as one of the time
            np.testing.assert_array_equal(images, IMAGES, strict=True)
    assert refused > 8 * 24


PNG = b"\x89PNG\r\n\x1a\n"
FLOATS = bytes.fromhex("00000d01 00000001 00000000")

REFUSALS = {
    "empty": (b"", r"is empty, an IDX file of labels \(00000801\) was expected; fetch the file again"),
    "short": (b"\0\0\x08", r"ends after 3 bytes, an IDX file of labels"),
    "header": (RAW_LABELS[:6], r"ends after 6 bytes, inside its header of 8; fetch"),
    "truncated": (RAW_LABELS[:-1], r"truncated: its header promises 3 = 3 bytes, .* 2"),
    "oversized": (RAW_LABELS + b"\0", r"oversized: its header promises 3 = 3 bytes, more follow; fetch"),
    "images": (
        RAW_IMAGES,
        r"holds images \(it starts with 00000803\), labels \(00000801\) were expected: pass",
    ),
    "png": (PNG, r"is no such IDX file \(it starts with 89504e47\), labels \(00000801\) were expected"),
    "floats": (FLOATS, r"is no such IDX file \(it starts with 00000d01\)"),
}


@pytest.mark.parametrize(("contents", "message"), REFUSALS.values(), ids=REFUSALS)
def test_refusals_say_what_was_found_and_what_was_expected(
    tmp_path: Path, contents: bytes, message: str, zipped: bool
) -> None:
    if zipped and contents == RAW_LABELS[:-1]:  # how much a gzipped file can hold is known only roughly
        message = r"truncated: its header promises 3 = 3 bytes, 2 follow; fetch"
    path = saved(tmp_path, contents, zipped=zipped)
    with pytest.raises(DataError, match=message) as caught:
        idx.read_labels(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_labels_are_not_images(tmp_path: Path) -> None:
    message = r"holds labels \(it starts with 00000801\), images \(00000803\) were expected"
    with pytest.raises(DataError, match=message):
        idx.read_images(saved(tmp_path, RAW_LABELS))


def test_where_either_will_do_the_message_says_so(tmp_path: Path) -> None:
    message = r"^that file: .* images \(00000803\) or labels \(00000801\) were expected"
    with pytest.raises(DataError, match=message):
        idx.read(saved(tmp_path, PNG), name="that file")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: there is no such file"):
        idx.read_images(tmp_path / "nowhere")
    with pytest.raises(DataError, match="is a directory, an IDX file was expected: pass the path of the file"):
        idx.read_images(tmp_path)
    with pytest.raises(DataError, match="is not a regular file"):
        idx.read_images(os.devnull)


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = saved(tmp_path, RAW_LABELS)
    monkeypatch.setattr(builtins, "open", denied)
    with pytest.raises(DataError, match=r"file: cannot be read \(Permission denied\)"):
        idx.read_labels(path)


@pytest.mark.parametrize("end", [-9, -1], ids=["stream", "checksum"])
def test_a_gzip_stream_cut_short_is_refused(tmp_path: Path, end: int) -> None:
    path = saved(tmp_path, gzip.compress(RAW_LABELS)[:end])
    with pytest.raises(DataError, match=r"gzip stream is cut short or damaged \(.*\); fetch the file again"):
        idx.read_labels(path)


@pytest.mark.parametrize("place", [12, -6], ids=["stream", "checksum"])
def test_a_damaged_gzip_stream_is_refused(tmp_path: Path, place: int) -> None:
    damaged = bytearray(gzip.compress(RAW_IMAGES, mtime=0))
    damaged[place] ^= 0xFF
    with pytest.raises(DataError, match="gzip stream is cut short or damaged"):
        idx.read_images(saved(tmp_path, bytes(damaged)))


@pytest.mark.parametrize("count", [2**32 - 1, 10**6], ids=["over 10^12 bytes", "784 MB"])
def test_a_promise_the_file_cannot_hold_allocates_nothing(tmp_path: Path, count: int, zipped: bool) -> None:
    path = saved(tmp_path, struct.pack(">4I", 0x803, count, 28, 28) + bytes(1000), zipped=zipped)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=rf"truncated: its header promises {count} x 28 x 28 = {count * 784}"):
            idx.read_images(path)
        assert tracemalloc.get_traced_memory()[1] < MEGABYTE
    finally:
        tracemalloc.stop()


def test_a_gzip_bomb_is_not_unpacked_beyond_its_promise(tmp_path: Path) -> None:
    path = saved(tmp_path, RAW_LABELS + bytes(64 * MEGABYTE), zipped=True)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="oversized"):
            idx.read_labels(path)
        assert tracemalloc.get_traced_memory()[1] < MEGABYTE
    finally:
        tracemalloc.stop()
