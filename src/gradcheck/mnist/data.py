"""MNIST's digits, from a folder, from the cache, from the network on request, or from the sample inside.

Where the digits come from is decided by `load`; that they are what they claim to be, by their hashes.
A sample of the real digits, 5,000 for training and 1,000 for testing, comes with the package, so that
training works with no network and no set-up.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np

from gradcheck.errors import DataError, InvalidArgument
from gradcheck.mnist import idx
from gradcheck.mnist.download import MIRRORS, fetch

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PUBLISHED", "SAMPLE", "Digits", "Split", "cache_directory", "download_mnist", "load"]

Split: TypeAlias = Literal["train", "test"]

_NAMES: Final[dict[Split, tuple[str, str]]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}

# sha256 of the uncompressed files, so that plain copies and copies gzipped by others pass.
PUBLISHED: Final[Mapping[str, str]] = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}

# The same for the sample inside the package: what tools/make_mnist_sample.py prints.
SAMPLE: Final[Mapping[str, str]] = {
    "train-images-idx3-ubyte": "36cb395b94762f0009909e61c7df0bc6d23da1b3e0251f38b10b10501b652034",
    "train-labels-idx1-ubyte": "6bf07e4d2b09bd66291b74f06f4d0e8c9f34e62ddcb50269a3126f861d1e7d68",
    "t10k-images-idx3-ubyte": "b97c8bfeb834d8e7999eaa2d69239abe06653dc09c1e5d7eb0c974c5965bc6a9",
    "t10k-labels-idx1-ubyte": "41cf2f530031915ba9fbb241407c369dba1acd7515053edff48cebeee8b260f4",
}


@dataclass(frozen=True, eq=False)
class Digits:
    """Labelled images.

    Attributes
    ----------
    images : uint8 array, shape (N, rows, columns)
        Ink from 0 (none) to 255. Read-only.
    labels : uint8 array, shape (N,)
        Which of `classes` each image shows, 0 to ``len(classes) - 1``. Read-only.
    source : str
        Where they come from, for people to read.
    sha256 : tuple of two str
        Of the uncompressed files of images and of labels that they were read from.
    classes : tuple of str
        What each label stands for.

    Raises
    ------
    DataError
        There are no images, not as many labels as images, or a label beyond `classes`.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    source: str
    sha256: tuple[str, str]
    classes: tuple[str, ...] = tuple("0123456789")

    def __post_init__(self) -> None:
        if self.images.size == 0:
            raise DataError(f"{self.source}: holds no images (their shape is {self.images.shape})")
        if len(self.images) != len(self.labels):
            raise DataError(
                f"{self.source}: {len(self.images)} images but {len(self.labels)} labels: "
                "the two files do not belong together"
            )
        if (largest := int(self.labels.max())) >= len(self.classes):
            raise DataError(
                f"{self.source}: labels[{int(self.labels.argmax())}] is {largest}, labels of digits are "
                f"0 to {len(self.classes) - 1}: this is another kind of dataset"
            )
        for name in ("images", "labels"):
            view = getattr(self, name).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, digits: Iterable[int]) -> Digits:
        """Keep some digits only, relabelled 0 to ``len(digits) - 1`` in the order given.

        Parameters
        ----------
        digits : iterable of int
            The digits to keep, as `classes` names them, each once.

        Raises
        ------
        InvalidArgument
            A digit is not among `classes`, or comes twice, or there are none.

        Examples
        --------
        >>> odd = load("test", "sample").select([1, 3, 5, 7, 9])
        >>> len(odd), odd.classes, int(odd.labels.max())
        (500, ('1', '3', '5', '7', '9'), 4)
        """
        names = tuple(str(digit) for digit in digits)
        if not names or len(set(names)) < len(names) or not set(names) <= set(self.classes):
            raise InvalidArgument(
                f"digits is ({', '.join(names)}): pass one or more of ({', '.join(self.classes)}), each once"
            )
        dropped = len(names)
        relabel = np.full(len(self.classes), dropped, np.uint8)
        for label, name in enumerate(names):
            relabel[self.classes.index(name)] = label
        labels = relabel[self.labels]
        kept = labels != dropped
        return replace(self, images=self.images[kept], labels=labels[kept], classes=names)


def load(split: Split, data: str | os.PathLike[str] | None = None, *, verify_hash: bool = True) -> Digits:
    """Load the digits to train on or to test with.

    Parameters
    ----------
    split : {"train", "test"}
    data : str or path, optional
        ``"sample"``: the sample inside the package.
        ``"mnist"``: all of MNIST, from the folder named by the environment variable GRADCHECK_DATA or else
        from the cache; downloaded into that folder if it is not there yet.
        Another path: a folder with MNIST's files under their published names, plain or ``.gz``, in it or in
        ``MNIST/raw`` below it (torchvision's layout). A folder named ``mnist`` is ``"./mnist"``.
        Left out: the folder named by GRADCHECK_DATA; without that variable the cache, if MNIST is there;
        else the sample. Only ``"mnist"`` ever uses the network.
    verify_hash : bool
        Whether the files of a folder must be those of MNIST. False admits other datasets in MNIST's form
        (ten classes or fewer), such as Fashion-MNIST. ``"mnist"`` and ``"sample"`` are always verified.

    Returns
    -------
    digits : Digits
        60,000 for training and 10,000 for testing, of 28 x 28 pixels; 5,000 and 1,000 from the sample, the
        same number of each class.

    Raises
    ------
    DataError
        Files are missing, damaged, not MNIST's, or could not be downloaded.
    InvalidArgument
        `split` is neither of the two.
    MissingExtra
        MNIST has to be downloaded and pooch is not installed.

    Examples
    --------
    >>> digits = load("train", "sample")
    >>> digits.images.shape, digits.labels[:4].tolist()
    ((5000, 28, 28), [5, 0, 4, 1])
    """
    if split not in _NAMES:
        raise InvalidArgument(f"split is {split!r}: pass 'train' or 'test'")
    data = _default_source() if data is None else data
    if data == "sample":
        return _load_sample(split)
    if data == "mnist":
        return _load_directory(split, download_mnist(), PUBLISHED)
    return _load_directory(split, Path(os.path.expanduser(data)), PUBLISHED if verify_hash else None)


def download_mnist(
    directory: Path | None = None, *, mirrors: Sequence[str] | None = None, progress: object = False
) -> Path:
    """Download those of MNIST's four files that are not there yet.

    Parameters
    ----------
    directory : Path, optional
        By default the folder named by GRADCHECK_DATA, else `cache_directory`.
    mirrors, progress
        As for `gradcheck.mnist.download.fetch`; by default that module's mirrors.

    Returns
    -------
    directory : Path
        Where the files are.

    Raises
    ------
    DataError, MissingExtra
        As for `gradcheck.mnist.download.fetch`.
    """
    directory = directory or _data_directory() or cache_directory()
    for name, sha256 in PUBLISHED.items():
        if _find(directory, name) is None:
            fetch(name, sha256, directory, mirrors=MIRRORS if mirrors is None else mirrors, progress=progress)
    return directory


def cache_directory() -> Path:
    """Name the folder that MNIST is downloaded into unless GRADCHECK_DATA names another.

    Where each system keeps such files: ``$XDG_CACHE_HOME`` or ``~/.cache`` (Linux and others),
    ``~/Library/Caches`` (macOS), ``%LOCALAPPDATA%`` (Windows); there ``gradcheck/mnist``.
    """
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    # os.path, since Path.expanduser raises where a user has no home, as in some containers.
    return Path(os.path.expanduser(base), "gradcheck", "mnist")


def _data_directory() -> Path | None:
    """Give the folder that the user's environment names, if it names one."""
    named = os.environ.get("GRADCHECK_DATA")
    return Path(os.path.expanduser(named)) if named else None


def _default_source() -> Path | Literal["sample"]:
    if (named := _data_directory()) is not None:
        return named
    # All four or none: training on all of MNIST and testing on the sample would compare unlike things.
    cache = cache_directory()
    return cache if all(_find(cache, name) for name in PUBLISHED) else "sample"


def _find(directory: Path, name: str) -> Path | None:
    """Find a published file, plain or gzipped, in a folder or in torchvision's layout below it."""
    places = (directory, directory / "MNIST" / "raw")
    candidates = (place / file for place in places for file in (name, f"{name}.gz"))
    # os.path, since Path.is_file raises where a folder may not be looked into.
    return next((path for path in candidates if os.path.isfile(path)), None)


def _load_directory(split: Split, directory: Path, hashes: Mapping[str, str] | None) -> Digits:
    paths = [_require(directory, name) for name in _NAMES[split]]
    return _read(split, paths, str(directory), hashes)


def _require(directory: Path, name: str) -> Path:
    if (path := _find(directory, name)) is None:
        lack = "holds neither" if os.path.isdir(directory) else "is no folder that can be read: neither"
        raise DataError(
            f"{directory}: {lack} {name} nor {name}.gz (MNIST/raw below it was searched too): "
            "name the folder that does, or download MNIST and train on it: gradcheck train --data mnist"
        )
    return path


def _load_sample(split: Split) -> Digits:
    folder = importlib.resources.files("gradcheck.mnist") / "sample"
    with contextlib.ExitStack() as stack:  # which puts files on disk while the package lies in a zip
        paths = [stack.enter_context(importlib.resources.as_file(folder / f"{name}.gz")) for name in _NAMES[split]]
        return _read(split, paths, "sample of MNIST inside the package", SAMPLE)


def _read(split: Split, paths: Sequence[Path], source: str, hashes: Mapping[str, str] | None) -> Digits:
    images, labels = idx.read_images(paths[0]), idx.read_labels(paths[1])
    found = (idx.sha256(images), idx.sha256(labels))
    for name, path, sha256 in zip(_NAMES[split], paths, found, strict=True):
        if hashes is not None and sha256 != hashes[name]:
            raise DataError(
                f"{path}: its uncompressed contents have sha256\n  {sha256}, those of the published {name}\n"
                f"  {hashes[name]}: damaged (delete it, and gradcheck train --data mnist fetches it again) "
                "or another dataset's (which --any-idx, verify_hash=False, admits)"
            )
    return Digits(images, labels, source, found)
