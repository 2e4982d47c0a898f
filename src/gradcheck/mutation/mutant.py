"""A mutant: a rule that is wrong in one way, and what was changed to make it so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gradcheck.rule import Rule

__all__ = ["Change", "Mutant"]


@dataclass(frozen=True)
class Change:
    """What a mutant changes: a named mistake in what the rule returns, or an edit of its source.

    ``where`` is the file, the line and the function, ``diff`` the edit; both are empty for a mistake.
    """

    says: str
    where: str = ""
    diff: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON takes it."""
        return {"says": self.says, "where": self.where, "diff": self.diff}

    def __str__(self) -> str:
        return f"{self.where}: {self.says}" if self.where else self.says


@dataclass(frozen=True, eq=False)
class Mutant:
    """A rule with one change in it."""

    change: Change
    rule: Rule
