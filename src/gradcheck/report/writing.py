"""Files that are whole or not there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from gradcheck.errors import InvalidArgument

__all__ = ["require_folder", "write_whole"]


def require_folder(path: str | os.PathLike[str]) -> Path:
    """Refuse a file that could not be written, before the work is done that would be lost.

    Raises
    ------
    InvalidArgument
        If the folder it is to lie in is not there, is a file or may not be written to, or the path itself is a folder.
    """
    path = _in_a_folder(path)
    try:
        # Asking for permissions does not tell: a disk may be mounted read-only, and root is refused nothing.
        with tempfile.TemporaryFile(dir=path.parent):
            return path
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be written: the folder {path.parent}: {error.strerror}") from error


def _in_a_folder(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if path.is_dir():
        raise InvalidArgument(f"{path} is a folder; give the name of a file in it")
    if not path.parent.is_dir():
        what = "is a file, not a folder" if path.parent.exists() else "does not exist; create it first"
        raise InvalidArgument(f"{path} cannot be written: the folder {path.parent} {what}")
    return path


def write_whole(path: str | os.PathLike[str], text: str) -> Path:
    """Write a text under a temporary name and rename it, so that whoever reads the file sees all of it or none.

    Raises
    ------
    InvalidArgument
        If the folder is not there.
    OSError
        If the disk is full or the folder may not be written to.
    """
    path = _in_a_folder(path)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(text.encode("utf-8"))
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path
