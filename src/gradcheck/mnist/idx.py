"""Read and write IDX files, the format MNIST is published in, plain or gzipped.

An IDX file is a big-endian header, the magic number ``00 00 08 ndim`` (08: unsigned bytes) and one
32-bit length per axis, followed by the elements in C order and nothing else. Files arrive from
mirrors and disks that fail, so nothing a header says is believed before the file is seen to hold it:
memory and decompression stay within what the file can hold, and every departure is a `DataError`.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import math
import os
import struct
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np

from gradcheck.errors import DataError, InvalidArgument

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Kind", "read", "read_images", "read_labels", "sha256", "write"]

Kind: TypeAlias = Literal["images", "labels"]
PathLike: TypeAlias = str | os.PathLike[str]

_MAGIC: Final[dict[Kind, int]] = {"images": 0x00000803, "labels": 0x00000801}
_GZIP_MAGIC: Final = b"\x1f\x8b"  # RFC 1952, section 2.3.1
_DEFLATE_RATIO: Final = 1032  # a deflate stream expands at most 1032:1 (zlib.net/zlib_tech.html)
_CHUNK: Final = 1 << 20  # bytes asked for at once: small beside memory, large beside a call's cost


def read_images(path: PathLike) -> NDArray[np.uint8]:
    """Read an IDX file of images.

    Parameters
    ----------
    path : path-like
        The file, plain or gzipped; its first bytes tell which, not its name.

    Returns
    -------
    images : uint8 array, shape (N, rows, columns)

    Raises
    ------
    DataError
        The file is missing, is not an IDX file of images, or holds less or more than its header says.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "images.gz")
    ...     write(path, np.zeros((2, 28, 28), np.uint8))
    ...     read_images(path).shape
    (2, 28, 28)
    """
    return read(path, "images")


def read_labels(path: PathLike) -> NDArray[np.uint8]:
    """Read an IDX file of labels, plain or gzipped, as a uint8 array of shape (N,).

    Raises
    ------
    DataError
        The file is missing, is not an IDX file of labels, or holds less or more than its header says.
    """
    return read(path, "labels")


def read(path: PathLike, kind: Kind | None = None, *, name: str | None = None) -> NDArray[np.uint8]:
    """Read an IDX file of images or labels.

    Parameters
    ----------
    path : path-like
        The file, plain or gzipped.
    kind : {"images", "labels"}, optional
        What the file must hold. Left out, either will do.
    name : str, optional
        What messages call the file, where `path` would tell the reader nothing.

    Returns
    -------
    array : uint8 array, shape (N, rows, columns) for images, (N,) for labels
        Writable, and shares memory with nothing.

    Raises
    ------
    DataError
        As for `read_images`.
    """
    name = os.fspath(path) if name is None else name
    with _uncompressed(path, name) as (stream, capacity):
        shape = _read_header(stream, kind, name)
        payload = _read_payload(stream, shape, capacity - 4 - 4 * len(shape), name)
    return np.frombuffer(payload, np.uint8).reshape(shape)


def sha256(array: NDArray[np.uint8]) -> str:
    """Hash the uncompressed IDX file that holds `array`, as sha256 in hexadecimal.

    A file that `read` accepts holds its header and its elements and nothing else, so the array alone
    fixes its bytes. Hashing the array, not the file once more, leaves no moment between the check and
    the use, and a copy gzipped by someone else has the published hash too.
    """
    digest = hashlib.sha256(_header(array))
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def write(path: PathLike, array: NDArray[np.uint8]) -> None:
    """Write images (N, rows, columns) or labels (N,) as a gzipped IDX file.

    No time and no name go into the gzip header: the same array gives the same bytes (with the same zlib).

    Raises
    ------
    InvalidArgument
        `array` is not uint8, or has neither 1 nor 3 axes.
    """
    header = _header(array)
    with (
        open(path, "wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=file, mtime=0) as zipped,
    ):
        zipped.write(header)
        zipped.write(np.ascontiguousarray(array).data)


def _header(array: NDArray[np.uint8]) -> bytes:
    if array.dtype != np.uint8 or array.ndim not in (1, 3):
        raise InvalidArgument(
            f"array is {array.dtype} of shape {array.shape}: "
            "pass uint8 images of shape (N, rows, columns) or uint8 labels of shape (N,)"
        )
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)


@contextlib.contextmanager
def _uncompressed(path: PathLike, name: str) -> Iterator[tuple[io.BufferedIOBase, int]]:
    """Open the raw bytes of a file, and bound from above how many there can be."""
    if not os.path.exists(path):
        raise DataError(f"{name}: there is no such file")
    if not os.path.isfile(path):  # opening a named pipe would wait for ever
        what = "a directory" if os.path.isdir(path) else "not a regular file"
        raise DataError(f"{name}: is {what}, an IDX file was expected: pass the path of the file itself")
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            is_gzip = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            if is_gzip:
                yield gzip.GzipFile(fileobj=file), size * _DEFLATE_RATIO
            else:
                yield file, size
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{name}: its gzip stream is cut short or damaged ({error}); fetch the file again") from error
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror or error})") from error


def _read_header(stream: io.BufferedIOBase, kind: Kind | None, name: str) -> tuple[int, ...]:
    """Read the magic number and the shape that follows it."""
    wanted: list[Kind] = ["images", "labels"] if kind is None else [kind]
    expected = " or ".join(f"{each} ({_MAGIC[each]:08x})" for each in wanted)
    start = stream.read(4)
    if len(start) < 4:
        found = "is empty" if not start else f"ends after {len(start)} bytes"
        raise DataError(f"{name}: {found}, an IDX file of {expected} was expected; fetch the file again")
    magic = int.from_bytes(start, "big")
    if magic not in [_MAGIC[each] for each in wanted]:
        found = next((f"holds {each}" for each in _MAGIC if _MAGIC[each] == magic), "is no such IDX file")
        raise DataError(
            f"{name}: {found} (it starts with {start.hex()}), {expected} were expected: "
            "pass a file named ...-images-idx3-ubyte for images, ...-labels-idx1-ubyte for labels"
        )
    ndim = magic & 0xFF
    lengths = stream.read(4 * ndim)
    if len(lengths) < 4 * ndim:
        raise DataError(
            f"{name}: ends after {4 + len(lengths)} bytes, inside its header of {4 + 4 * ndim}; fetch the file again"
        )
    return struct.unpack(f">{ndim}I", lengths)


def _read_payload(stream: io.BufferedIOBase, shape: tuple[int, ...], capacity: int, name: str) -> bytearray:
    """Read the elements, which must be as many as `shape` says and at most `capacity` bytes."""
    promised = math.prod(shape)
    claim = f"its header promises {' x '.join(map(str, shape))} = {promised} bytes"
    if promised > capacity:
        raise DataError(
            f"{name}: truncated: {claim}, a file of its size holds at most {capacity}; fetch the file again"
        )
    payload = bytearray()
    # One byte more than promised tells a file that goes on from one that ends, and makes gzip check its CRC.
    while chunk := stream.read(min(_CHUNK, promised + 1 - len(payload))):
        payload += chunk
    if len(payload) < promised:
        raise DataError(f"{name}: truncated: {claim}, {len(payload)} follow; fetch the file again")
    if len(payload) > promised:
        raise DataError(f"{name}: oversized: {claim}, more follow; fetch the file again")
    return payload
