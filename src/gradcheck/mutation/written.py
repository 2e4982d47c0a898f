"""Mutants of what the user wrote: one edit in the source of the gradient, or of a function that it calls."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import FunctionType
from typing import Any

from gradcheck.adapters import from_forward_backward, from_loss, from_pullback, from_vjp
from gradcheck.mutation import parts
from gradcheck.mutation.edits import edits
from gradcheck.mutation.exchange import exchanged, inner, neighbours
from gradcheck.mutation.mutant import Change, Mutant
from gradcheck.mutation.snippet import Edit, Snippet
from gradcheck.mutation.source import Fuse, NoSource, compiled, source_of
from gradcheck.rule import Pullback, Rule

__all__ = ["Written", "written"]

_MAKERS: dict[str, Callable[..., Rule]] = {
    "from_loss": from_loss,
    "from_vjp": from_vjp,
    "from_forward_backward": from_forward_backward,
}


@dataclass(frozen=True, eq=False)
class Written:
    """A function that a rule is made of, with its source and all edits of it."""

    rule: Rule
    function: FunctionType
    snippet: Snippet
    edits: tuple[Edit, ...]
    fuse: Fuse

    @property
    def name(self) -> str:
        """How its author calls it."""
        return self.function.__qualname__.replace("<locals>.", "")

    def as_it_is(self) -> Rule:
        """Make the rule again of the source as it stands: unless it answers alike, no mutant means anything.

        While it is run, the fuse is told which lines are.
        """
        return self._remade(self.snippet.text, tell_lines=True)

    def of_what_ran(self) -> Written:
        """Leave out the edits of statements that never ran. A lambda is none, and taken to have run."""
        kept = tuple(e for e in self.edits if self._is_lambda or self.snippet.statement_at(e.start) in self.fuse.lines)
        return replace(self, edits=kept)

    @property
    def _is_lambda(self) -> bool:
        return isinstance(self.snippet.function, ast.Lambda)

    def mutants(self) -> Iterator[Mutant]:
        """Yield a mutant for each edit that compiles."""
        for edit in self.edits:
            text = self.snippet.edited(edit)
            where = f"{Path(self.snippet.file).name}:{self.snippet.line_of(edit)}, {self.name}"
            try:
                yield Mutant(Change(edit.says, where, self.snippet.diff(text)), self._remade(text))
            except NoSource:
                continue

    def _remade(self, text: str, *, tell_lines: bool = False) -> Rule:
        *others, derivative = _functions(self.rule)
        made = compiled(self.function, text, self.fuse, tell_lines=tell_lines)
        changed = exchanged(derivative, self.function, made)
        remade = _MAKERS.get(self.rule.maker, from_pullback)(*others, changed)
        return replace(self.rule, call=_fused(remade.call, self.fuse))


def _functions(rule: Rule) -> tuple[Callable[..., Any], ...]:
    return rule.written or (rule.call,)


def _fused(call: Callable[..., tuple[Any, Pullback]], fuse: Fuse) -> Callable[..., tuple[Any, Pullback]]:
    """Give each call, and each pullback, its time."""

    def timed(*args: Any, **kwargs: Any) -> tuple[Any, Pullback]:
        fuse.light()
        out, pullback = call(*args, **kwargs)

        def again(cotangent: Any) -> Any:
            fuse.light()
            return pullback(cotangent)

        return out, again

    return timed


def written(rule: Rule, seconds: float) -> tuple[list[Written], list[str]]:
    """Find what the derivative of a rule is made of, and say of what there is no source.

    Parameters
    ----------
    rule : Rule
        The rule.
    seconds : float
        How long a call of a mutant may stay in a loop.
    """
    nodes_of = parts.of_gradient if rule.maker in _MAKERS else parts.of_pullback
    todo = list(inner(_functions(rule)[-1]))
    found: list[Written] = []
    notes: list[str] = []
    seen: list[FunctionType] = []
    while todo:
        function = todo.pop(0)
        if any(function is other for other in seen):
            continue
        seen.append(function)
        try:
            snippet = source_of(function)
        except NoSource as reason:
            notes.append(str(reason))
            continue
        nodes = nodes_of(snippet.function)
        found.append(Written(rule, function, snippet, tuple(edits(snippet, nodes)), Fuse(seconds)))
        todo += neighbours(function, parts.called(nodes))
    return found, notes
