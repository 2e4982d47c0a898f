"""What a specimen is: a gradient written by hand, and what is known of it before any checker has seen it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from hypothesis.strategies import SearchStrategy

import gradcheck

if TYPE_CHECKING:
    from gradcheck.rule import Rule

Array: TypeAlias = Any  # numpy.ndarray; typed as what NumPy says that most of its arithmetic returns
Function: TypeAlias = Callable[..., Any]
Arguments: TypeAlias = tuple[Any, ...]
Cases: TypeAlias = Callable[[], SearchStrategy[Any]]
Form: TypeAlias = Literal["loss", "vjp", "pullback"]
Shows: TypeAlias = Literal["everywhere", "ordinary class of inputs", "corner", "nowhere"]
Fault: TypeAlias = Literal[
    "value", "structure", "argument changed", "cotangent changed", "aliasing", "repeat", "layout", "none"
]

EVERYWHERE: Shows = "everywhere"
ORDINARY: Shows = "ordinary class of inputs"
CORNER: Shows = "corner"


@dataclass(frozen=True)
class Forward:
    """A function to differentiate, in plain NumPy, with the inputs it is defined on.

    ``witness`` are arguments written by hand at which a specimen's fault shows; ``cases`` makes the public
    strategy that a user of the rule would hand to ``gradcheck.verify``.
    """

    fun: Function
    form: Form
    witness: Arguments
    cases: Cases
    argnums: tuple[int, ...] = (0,)

    def on(self, *witness: Any, cases: Cases | None = None) -> Forward:
        """Return the same function with other hand-written arguments and, where given, other cases."""
        return replace(self, witness=witness, cases=cases or self.cases)

    def in_form(self, form: Form) -> Forward:
        """Return the same function for a rule of another form."""
        return replace(self, form=form)


@dataclass(frozen=True)
class Specimen:
    """One hand-written gradient.

    ``functions`` returns ``(forward, backward)``, with fresh state at each call. ``backward`` is
    ``grad(*args)`` in the form ``loss``, ``vjp(*args, cotangent)`` in ``vjp``, and
    ``fun(*args) -> (out, pullback)`` in ``pullback``. ``report`` is the public report whose mistake it models
    or, for a right one, what is unusual about it.
    """

    name: str
    family: str
    report: str
    shows: Shows
    fault: Fault
    forward: Forward
    functions: Callable[[], tuple[Function, Function]]

    def make(self) -> Rule:
        """Build the rule, with fresh state."""
        fun, backward = self.functions()
        argnums = self.forward.argnums[0] if len(self.forward.argnums) == 1 else self.forward.argnums
        if self.forward.form == "loss":
            return gradcheck.from_loss(fun, backward, argnums=argnums, name=self.name)
        if self.forward.form == "vjp":
            return gradcheck.from_vjp(fun, backward, argnums=argnums, name=self.name)
        return gradcheck.from_pullback(backward, argnums=argnums, forward=fun, name=self.name)

    def cases(self) -> SearchStrategy[Any]:
        """Build the strategy of argument tuples that the rule is meant for."""
        return self.forward.cases()


Decorator: TypeAlias = Callable[[Function], Specimen]


def wrong(forward: Forward, family: str, report: str, shows: Shows, fault: Fault = "value") -> Decorator:
    """Make a specimen of the backward function below; its name is the specimen's."""
    return lambda backward: Specimen(
        _name(backward), family, report, shows, fault, forward, lambda: (forward.fun, backward)
    )


def wrong_anew(forward: Forward, family: str, report: str, shows: Shows, fault: Fault = "value") -> Decorator:
    """Make a specimen of the factory below, which returns a fresh ``(forward, backward)``."""
    return lambda factory: Specimen(_name(factory), family, report, shows, fault, forward, factory)


def right(forward: Forward, unusual: str) -> Decorator:
    """Make a specimen that must pass of the backward function below."""
    return lambda backward: Specimen(
        _name(backward), "right", unusual, "nowhere", "none", forward, lambda: (forward.fun, backward)
    )


def right_anew(forward: Forward, unusual: str) -> Decorator:
    """Make a specimen that must pass of the factory below, which returns a fresh ``(forward, backward)``."""
    return lambda factory: Specimen(_name(factory), "right", unusual, "nowhere", "none", forward, factory)


def specimens_in(module: ModuleType) -> tuple[Specimen, ...]:
    """Return the specimens of a module in the order in which they are written."""
    return tuple(value for value in vars(module).values() if isinstance(value, Specimen))


def _name(function: Function) -> str:
    return function.__name__.replace("_", "-")
