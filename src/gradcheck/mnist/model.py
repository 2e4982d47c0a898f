"""A trained classifier: its parameters and whatever else is needed to use them; kept in a file of its own.

The file is an ``.npz`` that ``numpy.load(path)`` opens, with nothing pickled in it: the parameters ``W1``,
``b1``, ... and ``header``, a JSON text. Equal models give equal bytes: members are stored uncompressed, in a
fixed order, with no time and no trace of the system that wrote them.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from gradcheck.derivations import mlp_logits
from gradcheck.derivations.activations import ACTIVATIONS
from gradcheck.errors import DataError, InvalidArgument
from gradcheck.mnist.optim import Arrays

__all__ = ["Model", "load_model", "replacing", "save_model"]

_FORMAT: Final = "gradcheck mnist model"
_VERSION: Final = 1
_AT_ONCE: Final = 1024  # images that pass the network at once: memory stays small, and it is as fast as 10,000


@dataclass(frozen=True, eq=False)
class Model:
    """A classifier of images.

    Attributes
    ----------
    params : dict of array
        ``W1``, ``b1``, ... as `gradcheck.derivations.mlp_logits` takes them.
    activation : str
        Of the hidden layers.
    mean, standard_deviation : float
        Of the pixels of the images trained on, as fractions of full ink. On all of MNIST they are the 0.1307 and
        0.3081 that are often given as constants. Inputs are shifted and divided by them.
    image_shape : tuple of two int
        Rows and columns.
    classes : tuple of str
        What each logit stands for.
    """

    params: Arrays
    activation: str
    mean: float
    standard_deviation: float
    image_shape: tuple[int, int]
    classes: tuple[str, ...]

    def inputs(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Turn uint8 images (N, rows, columns) into inputs (N, rows * columns) in the dtype of the parameters.

        Raises
        ------
        InvalidArgument
            The images are not uint8, or have another shape than `image_shape`.
        """
        if images.dtype != np.uint8 or images.shape[1:] != self.image_shape or images.ndim != 3:
            rows, columns = self.image_shape
            raise InvalidArgument(
                f"images is {images.dtype} of shape {images.shape}: pass uint8, (N, {rows}, {columns})"
            )
        x = images.reshape(len(images), -1).astype(self.params["W1"].dtype)
        x *= 1 / (255 * self.standard_deviation)
        x -= self.mean / self.standard_deviation
        return x

    def logits(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Compute the logits, shape (N, K), of uint8 images (N, rows, columns), N >= 1.

        Raises
        ------
        InvalidArgument
            As `inputs`.
        """
        blocks = (images[start : start + _AT_ONCE] for start in range(0, len(images), _AT_ONCE))
        return np.concatenate(
            [mlp_logits(self.params, self.inputs(block), activation=self.activation)[0] for block in blocks]
        )


def save_model(path: str | os.PathLike[str], model: Model) -> None:
    """Write a model. `path` holds a whole file at every moment: the old one or the new one."""
    members = {"header": np.array(json.dumps(_header(model))), **model.params}
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in members.items():
            # The earliest time a zip can hold; 3 is Unix, which zipfile writes wherever it is not Windows.
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            with archive.open(entry, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), version=(1, 0), allow_pickle=False)


def load_model(path: str | os.PathLike[str]) -> Model:
    """Read a model that `save_model` wrote.

    Raises
    ------
    DataError
        The file is missing, damaged, or not such a model. Nothing in it is ever executed.

    Examples
    --------
    >>> load_model(__file__)
    Traceback (most recent call last):
        ...
    gradcheck.errors.DataError: ...model.py: is no model of gradcheck's...
    """
    name = os.fspath(path)
    arrays = _read_arrays(name)
    try:
        header = json.loads(str(arrays.pop("header")))
        if header["format"] != _FORMAT:
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{name}: is no model of gradcheck's: it has no header that says so") from error
    if header.get("version") != _VERSION:
        raise DataError(
            f"{name}: is a model in version {header.get('version')!r} of the format, and this gradcheck reads "
            f"version {_VERSION}: use the gradcheck that wrote it"
        )
    try:
        model = Model(
            arrays,
            header["activation"],
            float(header["mean"]),
            float(header["standard_deviation"]),
            (int(header["image_shape"][0]), int(header["image_shape"][1])),
            tuple(map(str, header["classes"])),
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(f"{name}: its header is damaged ({error!r})") from error
    if (fault := _fault(model)) is not None:
        raise DataError(f"{name}: {fault}")
    return model


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes the name `path` once it is complete, and not at all if writing fails."""
    target = Path(path)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        with open(partial, "wb") as file:
            yield file
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _header(model: Model) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "version": _VERSION,
        "activation": model.activation,
        "mean": model.mean,
        "standard_deviation": model.standard_deviation,
        "image_shape": model.image_shape,
        "classes": model.classes,
    }


def _read_arrays(name: str) -> Arrays:
    try:
        with zipfile.ZipFile(name) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("its contents are compressed")  # ours are not, and a small file could fill memory
            members = {entry.removesuffix(".npy"): archive.read(entry) for entry in archive.namelist()}
        return {
            member: np.lib.format.read_array(io.BytesIO(contents), allow_pickle=False)
            for member, contents in members.items()
        }
    except FileNotFoundError as error:
        raise DataError(f"{name}: there is no such file") from error
    # Damage can raise almost anything: zipfile's own errors, EOFError and NotImplementedError, from NumPy's parser of
    # headers ValueError, SyntaxError and tokenize.TokenError, and MemoryError where a header promises too much.
    except Exception as error:
        raise DataError(f"{name}: is no model of gradcheck's, or a damaged one ({error})") from error


def _fault(model: Model) -> str | None:
    """Say what keeps a model from being usable, if anything does."""
    depth = len(model.params) // 2
    if model.activation not in ACTIVATIONS:
        return f"its activation {model.activation!r} is none of {', '.join(ACTIVATIONS)}"
    if not (np.isfinite(model.mean) and 0 < model.standard_deviation < np.inf):
        return f"its pixels' mean {model.mean} and standard deviation {model.standard_deviation} cannot be"
    width = model.image_shape[0] * model.image_shape[1]
    for layer in range(1, depth + 1):
        W, b = model.params.get(f"W{layer}"), model.params.get(f"b{layer}")
        if W is None or b is None or W.ndim != 2 or W.shape[1] != width or b.shape != W.shape[:1]:
            return f"its layer {layer} is missing or does not fit {width} inputs"
        if not (np.issubdtype(W.dtype, np.floating) and W.dtype == b.dtype):
            return f"its layer {layer} holds {W.dtype} and {b.dtype}, not floating-point numbers of one kind"
        width = len(W)
    if len(model.params) != 2 * depth or depth == 0 or width != len(model.classes):
        return f"its {len(model.params)} arrays and {width} outputs do not make {len(model.classes)} classes"
    return None
