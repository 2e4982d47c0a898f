"""The built-in derivations as rules: what `gradcheck verify` checks when it is given no target.

Each is paired with a reference that restates only its forward, written without looking at the derivation, and with
the strategy that covers its domain. A page of the catalogue is a module with one function, ``entries``.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradcheck.catalogue import blocked, layers, losses, network, softmax_nll
from gradcheck.catalogue.entry import Entry

__all__ = ["Entry", "entries"]


def entries() -> Iterator[Entry]:
    """Yield every built-in derivation."""
    for page in (softmax_nll, blocked, losses, layers, network):
        yield from page.entries()
