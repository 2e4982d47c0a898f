"""How often the examples of a run visited each regime, and which it could have."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from gradcheck.strategies.cotangents import COTANGENT_REGIMES, cotangent_regimes_of
from gradcheck.strategies.nested import leaves
from gradcheck.strategies.regimes import REGIMES


class Coverage:
    """The regimes of the examples so far. Cases that were made by hand offer none: theirs count where visited."""

    def __init__(self) -> None:
        self._visited: Counter[str] = Counter()
        self._offered: set[str] = set()

    def add(self, case: tuple[Any, ...], cotangent: Any) -> frozenset[str]:
        """Count the regimes of one example, and note which its strategy offers; None is no cotangent.

        Returns those of the example.
        """
        visited = frozenset(getattr(case, "regimes", ()))
        self._offered |= getattr(case, "offered", frozenset())
        if cotangent is not None:
            visited |= cotangent_regimes_of(cotangent)
            several = sum(map(np.size, leaves(cotangent))) > 1
            self._offered |= COTANGENT_REGIMES.keys() - (set() if several else {"unequal cotangent"})
        self._visited.update(visited)
        return visited

    def counts(self) -> dict[str, int]:
        """Give the number of visits of every regime that was offered or visited, in the order of their tables."""
        return {
            name: self._visited[name]
            for name in (*REGIMES, *COTANGENT_REGIMES)
            if name in self._offered or self._visited[name]
        }
