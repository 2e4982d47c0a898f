"""How adapters say that their peer rejects a gradient."""

from __future__ import annotations


class Objection(Exception):
    """A peer says that the gradient is wrong."""
