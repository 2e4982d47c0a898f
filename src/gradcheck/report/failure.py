"""Failures kept on disk: exact bits in an ``.npz`` that holds no pickle, named by its content."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gradcheck.errors import DataError
from gradcheck.report.code import described
from gradcheck.report.report import Report
from gradcheck.rule import is_float
from gradcheck.tree import Array

__all__ = ["Failure", "keep", "load_failure"]

_SCHEMA = 1
_FOLDER = Path(".gradcheck") / "failures"
_META = "gradcheck"


@dataclass(frozen=True, eq=False)
class Failure:
    """A point at which a rule failed, and where its functions can be found: by module, else by file."""

    rule: str
    maker: str
    target: tuple[str, ...]
    files: tuple[str, ...]
    argnums: tuple[int, ...] | None
    takes_cotangent: bool
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    cotangent: Any
    seed: int
    domain: str = ""


def keep(report: Report, folder: Path = _FOLDER) -> Report:
    """Write the point of a report to ``folder`` and return the report with ``saved`` set.

    The file is written under a temporary name and renamed, so that an interrupt or a second process leaves either
    a whole file or none. Where the folder cannot be written the report comes back as it was: a full disk must not
    hide the failure itself.
    """
    arrays: dict[str, Array] = {}
    origin, point = report.origin, report.point
    meta = {
        "schema": _SCHEMA,
        "rule": origin.name,
        "maker": origin.maker,
        "target": list(origin.target),
        "files": [_file_of(target) for target in origin.target],
        "argnums": origin.argnums,
        "takes_cotangent": origin.takes_cotangent,
        **({"domain": origin.domain} if origin.domain else {}),
        "seed": report.seed,
        "args": _encode(tuple(point.args), arrays),
        "kwargs": _encode(dict(point.kwargs), arrays),
        "cotangent": _encode(point.cotangent, arrays),
    }
    text = json.dumps(meta, sort_keys=True)
    content = json.dumps({key: meta[key] for key in sorted(meta) if key != "files"})  # the same failure anywhere
    digest = hashlib.sha256(content.encode() + b"".join(a.tobytes() for a in arrays.values())).hexdigest()
    path = folder / f"{digest[:12]}.npz"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(path, {_META: np.array(text), **arrays})
    except OSError:
        return report
    return replace(report, saved=path)


def _file_of(target: str) -> str:
    """Find the file a function lives in, for a module that cannot be imported by its name elsewhere."""
    return str(getattr(sys.modules.get(target.partition(":")[0]), "__file__", None) or "")


def _write(path: Path, arrays: Mapping[str, Array]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # NumPy's stub takes the keyword allow_pickle for an array
    # a name of its own: another thread, or a process of this number on another machine, may be writing the same
    temporary = path.with_suffix(f".{os.urandom(8).hex()}.tmp")
    try:
        temporary.write_bytes(buffer.getvalue())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load_failure(path: str | os.PathLike[str]) -> Failure:
    """Read a kept failure.

    Parameters
    ----------
    path : path
        A file under ``.gradcheck/failures``.

    Returns
    -------
    Failure
        With ``args``, ``kwargs`` and ``cotangent`` bit for bit as they were.

    Raises
    ------
    DataError
        If the file is missing, damaged, or not one of ours.
    """
    try:
        # opened here, since NumPy leaves a damaged archive open
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as data:
            arrays = {name: data[name] for name in data.files}
        meta = json.loads(str(arrays.pop(_META)[()]))
        if meta["schema"] != _SCHEMA:
            raise DataError(f"written by a gradcheck with another layout (schema {meta['schema']}, not {_SCHEMA})")
        return Failure(
            meta["rule"],
            meta["maker"],
            tuple(meta["target"]),
            tuple(meta["files"]),
            None if meta["argnums"] is None else tuple(meta["argnums"]),
            bool(meta["takes_cotangent"]),
            _decode(meta["args"], arrays),
            _decode(meta["kwargs"], arrays),
            _decode(meta["cotangent"], arrays),
            int(meta["seed"]),
            str(meta.get("domain", "")),
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; kept failures lie in {_FOLDER}") from None
    except Exception as error:  # zipfile, NumPy and json have a dozen ways to stumble over damaged bytes
        raise DataError(
            f"{path}: not a failure kept by gradcheck, or damaged ({type(error).__name__}: {error})"
        ) from None


def _encode(value: Any, arrays: dict[str, Array]) -> Any:
    """Write a tree as JSON, with its arrays set apart."""
    if isinstance(value, dict):
        return {"dict": [[_encode(k, arrays), _encode(v, arrays)] for k, v in value.items()]}
    if isinstance(value, (tuple, list)):
        return {type(value).__name__ if type(value) in (tuple, list) else "tuple": [_encode(v, arrays) for v in value]}
    if value is None or isinstance(value, (bool, int, str)):
        return {"plain": value}
    if isinstance(value, float) and not isinstance(value, np.generic):
        return {"float": value.hex()}
    if hasattr(value, "dtype") and hasattr(value, "shape") and not np.asarray(value).dtype.hasobject:
        array = np.asarray(value)
        name = f"a{len(arrays)}"
        # dtypes of ml_dtypes have no code in .npy files: their bits are kept as integers
        narrow = array.dtype.kind == "V" and is_float(array.dtype)
        arrays[name] = array.view(f"u{array.dtype.itemsize}") if narrow else array
        return {"array": name, "dtype": array.dtype.name, "shape": array.shape}
    return {"opaque": described(value)}


def _decode(node: Any, arrays: Mapping[str, Array]) -> Any:
    ((kind, content), *_) = node.items()
    if kind == "dict":
        return {_decode(k, arrays): _decode(v, arrays) for k, v in content}
    if kind in ("tuple", "list"):
        items = [_decode(v, arrays) for v in content]
        return tuple(items) if kind == "tuple" else items
    if kind == "float":
        return float.fromhex(content)
    if kind == "array":
        array = arrays[content]
        if array.dtype.name == node["dtype"]:
            return array
        import ml_dtypes

        return array.view(getattr(ml_dtypes, node["dtype"]))
    if kind == "plain":
        return content
    raise DataError(f"the failure was kept without one of its data arguments, which is not an array: {content}")
