"""From what a user types to a rule: ``package.module:name``, ``path/file.py:name``, or a file to look through.

A pair of functions is recognised by name: ``f`` with ``f_grad`` or ``grad_f``, ``forward`` with ``backward`` (also
``f_forward`` with ``f_backward``). What draws its arguments is ``f_cases`` or ``cases`` in the same module, a
Hypothesis strategy of tuples; without one a pair of two arguments is taken for logits and labels.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gradcheck.adapters import from_forward_backward, from_loss, from_pullback, from_vjp
from gradcheck.domain import parsed
from gradcheck.errors import TargetError
from gradcheck.report import Failure
from gradcheck.rule import Rule, positional_names

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = [
    "Target",
    "find_pairs",
    "load_module",
    "load_rule",
    "mean_nll",
    "resolve",
    "resolve_one",
    "resolve_rule",
    "softmax_nll_gradient",
]

Function = Callable[..., Any]


@dataclass(frozen=True)
class Target:
    """Something that can be checked: a rule, where it lives and under which name, and how it was found."""

    rule: Rule
    module: ModuleType
    name: str
    how: str

    def cases(self) -> SearchStrategy[tuple[Any, ...]]:
        """Find what draws its arguments.

        Raises
        ------
        TargetError
            If nothing does, and the arguments cannot be taken for logits and labels.
        """
        stem = self.name.removesuffix("_forward")
        for candidate in (f"{self.name}_cases", f"{stem}_cases", "cases"):
            if hasattr(self.module, candidate):
                found: SearchStrategy[tuple[Any, ...]] = getattr(self.module, candidate)
                return found
        required = _required(self.rule.forward) or len(self.rule.parameters)
        if required == 2:
            from gradcheck import strategies

            return strategies.softmax_nll()
        raise TargetError(
            f"{self.module.__name__}: {self.name} takes {required} argument{'s' * (required != 1)}, so they are not "
            f"taken for logits and labels; say what draws them: {stem}_cases = "
            "gradcheck.strategies.like(<example arguments>)"
        )


def resolve(text: str) -> list[Target]:
    """Resolve a target; a module without a name gives every pair and every rule in it.

    Raises
    ------
    TargetError
        If nothing can be checked under that name; the message lists what could.
    """
    place, name = _split(text)
    return _found(load_module(place), place, name)


def _found(module: ModuleType, place: str, name: str) -> list[Target]:
    pairs = find_pairs(module)
    names = [*pairs, *(n for n, value in vars(module).items() if isinstance(value, Rule))]
    if name:
        return [_target(module, name, pairs, names)]
    if not names:
        raise TargetError(
            f"{place}: no pair found. A pair is f with f_grad or grad_f, or forward with backward; "
            "or name a Rule made with gradcheck.from_loss"
        )
    return [_target(module, n, pairs, names) for n in names]


def resolve_rule(text: str) -> Rule:
    """Resolve a target that must be a single rule.

    Raises
    ------
    TargetError
        As in `resolve`, and if there are several.
    """
    return resolve_one(text).rule


def resolve_one(text: str) -> Target:
    """Resolve a target that must be a single one; raises as `resolve_rule` does."""
    return _only(resolve(text), text)


def _only(found: list[Target], text: str) -> Target:
    if len(found) > 1:
        names = ", ".join(t.name for t in found)
        raise TargetError(f"{text} holds {len(found)} gradients ({names}); name one: {text}:{found[0].name}")
    return found[0]


def softmax_nll_gradient(text: str) -> Rule:
    """Resolve a gradient of softmax and negative log-likelihood by the logits.

    That is what `resolve_rule` finds or, since everybody knows the loss, a function ``f(z, y)`` that stands alone: it
    is taken for the gradient of `mean_nll`.

    Raises
    ------
    TargetError
        As in `resolve_rule`, and if a function that stands alone takes other than two arguments.
    """
    place, name = _split(text)
    module = load_module(place)
    value = getattr(module, name, None)
    if not inspect.isfunction(value) or any(name in pair for pair in find_pairs(module).values()):
        return _only(_found(module, place, name), text).rule
    if _required(value) != 2:
        raise TargetError(
            f"{name} takes {_required(value)} arguments; a gradient by the logits takes two: {name}(z, y)"
        )
    return from_loss(mean_nll, value)


def mean_nll(z: Any, y: Any) -> Any:
    """Compute softmax and negative log-likelihood, mean over the rows: ``z`` (N, K), ``y`` (N,) or (N, K)."""
    from gradcheck.derivations import softmax_nll

    return softmax_nll.fused(z, y)[0]


def _split(text: str) -> tuple[str, str]:
    """Split off the name after the last colon, unless that colon belongs to a Windows drive."""
    place, colon, name = text.rpartition(":")
    return (place, name) if colon and name.isidentifier() else (text.rstrip(":"), "")


def load_module(text: str) -> ModuleType:
    """Import a module by dotted name or by path.

    Raises
    ------
    TargetError
        If there is none, or if importing it raises; the message says what, and where.
    """
    path = Path(text)
    if text.endswith(".py") or path.is_file():
        return _load_file(text, path)
    with _importing(text, ""):
        return importlib.import_module(text)


def _load_file(text: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise TargetError(f"{text}: no such file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise TargetError(f"{text}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    # dataclasses and pickle look a module up by name; a name that is taken, as by the standard library, stays so
    known = sys.modules.setdefault(path.stem, module)
    try:
        with _importing(text, str(path.resolve().parent)):
            spec.loader.exec_module(module)
    except BaseException:
        if known is module:
            del sys.modules[path.stem]
        raise
    return module


@contextmanager
def _importing(text: str, folder: str) -> Iterator[None]:
    """Let a module find its neighbours, as a script does, and say what its import raises."""
    sys.path.insert(0, folder)
    try:
        yield
    except (Exception, SystemExit) as error:  # a script that calls sys.exit has not been checked
        missing = isinstance(error, ModuleNotFoundError) and f"{text}.".startswith(f"{error.name}.")
        hint = "; is it installed, or should this be a path ending in .py?" if missing else _line(error)
        raise TargetError(f"{text}: importing it raised {type(error).__name__}: {error}{hint}") from error
    finally:
        with suppress(ValueError):
            sys.path.remove(folder)


def _line(error: BaseException) -> str:
    """Tell where a module was when its import raised."""
    ours = (__file__, importlib.__file__)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename not in ours and f.filename[0] != "<"]
    return f", at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def find_pairs(module: ModuleType) -> dict[str, tuple[str, str]]:
    """List the pairs a module defines: the name one asks for, with the names of both functions."""
    own = {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
    }
    pairs = {}
    for name in own:
        for partner in (f"{name}_grad", f"grad_{name}", _swap(name)):
            if partner in own:
                pairs[partner] = (name, partner)
    return pairs


def _swap(name: str) -> str:
    return name[: -len("forward")] + "backward" if name == "forward" or name.endswith("_forward") else ""


def _target(module: ModuleType, name: str, pairs: dict[str, tuple[str, str]], names: list[str]) -> Target:
    value = getattr(module, name, None)
    if isinstance(value, Rule):
        return Target(value, module, name, "a rule")
    pair = pairs.get(name) or next((p for p in pairs.values() if name in p), None)
    if pair is not None:
        rule, form = _pair_rule(*(getattr(module, n) for n in pair))
        return Target(rule, module, pair[0], f"{pair[0]} with {pair[1]}, {form}")
    if callable(value):
        raise TargetError(
            f"{name} stands alone in {module.__name__}: name its partner {name}_grad or grad_{name} (or, if it is the "
            f"gradient, name the function it differentiates so that {name} becomes its partner)"
        )
    if hasattr(module, name):
        raise TargetError(f"{name} in {module.__name__} is neither a function nor a Rule: {type(value).__name__}")
    raise TargetError(f"{module.__name__} has no {name!r}; it has {', '.join(names) or 'nothing to check'}")


def _pair_rule(forward: Function, backward: Function) -> tuple[Rule, str]:
    """Make the rule of a pair, telling its form by the parameters."""
    names, more = positional_names(forward), positional_names(backward)
    if backward.__name__.endswith("backward") and len(more) == 2 and more[0] not in names:
        return from_forward_backward(forward, backward), "a cache between them"
    if len(more) == len(names) + 1:
        return from_vjp(forward, backward), "the cotangent last"
    if len(more) == len(names):
        return from_loss(forward, backward), "a loss and its gradient"
    raise TargetError(
        f"{forward.__name__}({', '.join(names)}) and {backward.__name__}({', '.join(more)}) do not pair up: "
        "a gradient takes what its loss takes, a vjp one cotangent more, a backward (dout, cache)"
    )


def _required(function: Function) -> int:
    """How many positional arguments a function cannot do without."""
    parameters = inspect.signature(function).parameters.values()
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty for p in parameters)


_MAKERS: dict[str, Callable[..., Rule]] = {
    "from_loss": from_loss,
    "from_vjp": from_vjp,
    "from_forward_backward": from_forward_backward,
    "from_pullback": from_pullback,
}


def load_rule(failure: Failure) -> Rule:
    """Make the rule of a kept failure again, from its functions as they are now.

    Raises
    ------
    TargetError
        If a function cannot be found any more, or never had a name to be found by.
    """
    if not failure.target or failure.maker not in _MAKERS:
        raise TargetError(
            f"the functions of {failure.rule} cannot be found by name; say where they are: --target FILE.py:NAME"
        )
    functions = [_function(target, file) for target, file in zip(failure.target, failure.files, strict=True)]
    domain = parsed(failure.domain) if failure.domain else None
    return _MAKERS[failure.maker](*functions, argnums=failure.argnums, name=failure.rule, domain=domain)


def _function(target: str, file: str) -> Function:
    place, _, qualname = target.partition(":")
    value: Any = _home(place, file)
    for part in qualname.split("."):
        value = getattr(value, part, None)
    if not callable(value):
        raise TargetError(f"{place} has no {qualname} any more; say where it is: --target FILE.py:NAME")
    return value  # type: ignore[no-any-return]  # callable() narrows to a type mypy will not call


def _home(place: str, file: str) -> ModuleType:
    """Load a module by name, or from its file where the name is gone or, as ``__main__``, now means another."""
    path = Path(file)
    try:
        module = load_module(place)
    except TargetError:
        if not path.is_file():
            raise
        return load_module(file)
    found = getattr(module, "__file__", None)
    moved = "." not in place and path.is_file() and not (found and path.samefile(found))
    return load_module(file) if moved else module
