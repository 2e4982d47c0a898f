"""What a report was made with: versions that a figure may depend on, and nothing that names a person or a machine."""

from __future__ import annotations

import platform
from importlib import metadata

from gradcheck import __version__

__all__ = ["environment"]

_PACKAGES = {"numpy": "numpy", "jax": "jax", "hypothesis": "hypothesis", "flint": "python-flint"}


def environment() -> dict[str, str | None]:
    """Give the versions of Python, of gradcheck and of what it computes with; None for what is not installed.

    Nothing is imported for it.
    """
    return {
        "gradcheck": __version__,
        "python": platform.python_version(),
        **{name: _version(package) for name, package in _PACKAGES.items()},
        "platform": f"{platform.system()} {platform.machine()}",
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
