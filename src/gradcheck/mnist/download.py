"""Download one IDX file from the first mirror that sends the published one.

A mirror may be down, have moved, stop half-way, never stop, or send something else. Whatever arrives
waits under a temporary name until its uncompressed contents have the published hash, and only then
takes its own name, so that a file found under that name later is whole.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final

from gradcheck.errors import DataError, MissingExtra
from gradcheck.mnist import idx

__all__ = ["MIRRORS", "fetch"]

# The CVDF's copy, then the one torchvision uses. The original site, yann.lecun.com/exdb/mnist, has
# answered 403 for these files since mid-2024.
MIRRORS: Final = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)

# No copy of MNIST's largest file, 47,040,016 bytes uncompressed, comes near twice its size, gzipped or not.
_MOST_BYTES: Final = 2 * 47_040_016
_CHUNK: Final = 1 << 16  # bytes between two steps of the progress bar


def fetch(
    name: str, sha256: str, directory: Path, *, mirrors: Sequence[str] = MIRRORS, progress: object = False
) -> Path:
    """Download ``name.gz`` into `directory`.

    Parameters
    ----------
    name : str
        The published name without ``.gz``, such as ``"train-images-idx3-ubyte"``.
    sha256 : str
        The published hash, in hexadecimal, of the uncompressed file.
    directory : Path
        Where the file goes; made if need be.
    mirrors : sequence of str
        Addresses of the folders to try, in order.
    progress : object
        What ``pooch.HTTPDownloader`` takes as ``progressbar``: False, True (needs tqdm) or a bar of your own.

    Returns
    -------
    path : Path
        The file, its contents verified.

    Raises
    ------
    DataError
        No mirror sent the published file (the message says what each did instead), or `directory`
        cannot be written. Either way `directory` is left without the file and without parts of it.
    MissingExtra
        pooch is not installed.
    """
    receive = _receiver(progress)
    path = directory / f"{name}.gz"
    # Unique, so that two processes that download at once do not write into one file.
    partial = directory / f".{name}.{uuid.uuid4().hex}.part"
    failures: list[str] = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for mirror in mirrors:
            url = f"{mirror.rstrip('/')}/{name}.gz"
            if (failure := receive(url, partial) or _mismatch(partial, sha256)) is None:
                os.replace(partial, path)
                return path
            failures.append(f"  {url}: {failure}")
    except OSError as error:
        raise DataError(
            f"{directory}: cannot be written ({error.strerror or error}): set GRADCHECK_DATA to a folder that can be"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
    raise DataError(
        "\n".join([f"no mirror sent the published {name}:", *failures])
        + "\ntry again later; or set GRADCHECK_DATA to a folder that holds the file; "
        "or train on the sample inside the package: gradcheck train --data sample"
    )


def _receiver(progress: object) -> Callable[[str, Path], str | None]:
    """Make the function that saves what an address sends, and returns what went wrong there, if anything."""
    try:
        pooch, requests = importlib.import_module("pooch"), importlib.import_module("requests")
    except ImportError as error:
        raise MissingExtra("downloading MNIST", "pooch", "mnist") from error
    download = pooch.HTTPDownloader(progressbar=progress, chunk_size=_CHUNK)

    def receive(url: str, partial: Path) -> str | None:
        with open(partial, "wb") as file:
            try:
                download(url, _Bounded(file), None)
            # ValueError: a Content-Length that is no number. An OSError of the disk is not the mirror's fault
            # and passes through.
            except (requests.RequestException, ValueError, DataError) as error:
                return str(error)
        return None

    return receive


def _mismatch(partial: Path, sha256: str) -> str | None:
    """Say in what way a received file is not the published one, if it is not."""
    try:
        found = idx.sha256(idx.read(partial, name="what arrived"))
    except DataError as error:
        return str(error)
    return None if found == sha256 else f"what arrived has sha256 {found}, the published file {sha256}"


class _Bounded:
    """The two verbs of a file that the download calls, up to as many bytes as a file of MNIST can have."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._written = file, 0

    def write(self, chunk: bytes) -> None:
        self._written += len(chunk)
        if self._written > _MOST_BYTES:
            raise DataError(f"it sent more than {_MOST_BYTES} bytes, which no file of MNIST has")
        self._file.write(chunk)

    def flush(self) -> None:
        self._file.flush()
