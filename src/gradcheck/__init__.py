"""Tell whether a gradient written by hand is right, where it is wrong, and how far to trust the answer.

Importing this package imports neither jax nor hypothesis nor pytest; each name below is fetched when it is used.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "check": "gradcheck.checks",
    "examine": "gradcheck.checks",
    "from_forward_backward": "gradcheck.adapters",
    "from_loss": "gradcheck.adapters",
    "from_pullback": "gradcheck.adapters",
    "from_vjp": "gradcheck.adapters",
    "load_failure": "gradcheck.report",
    "parametrize": "gradcheck.verification",
    "power": "gradcheck.mutation",
    "verify": "gradcheck.verification",
    "GradcheckError": "gradcheck.errors",
    "GradientMismatch": "gradcheck.errors",
    "GradientUndecided": "gradcheck.errors",
    "InvalidArgument": "gradcheck.errors",
    "Outcome": "gradcheck.verdict",
    "PowerReport": "gradcheck.mutation",
    "Report": "gradcheck.report",
    "Rule": "gradcheck.rule",
    "RuleError": "gradcheck.errors",
}
_ROOMS = ("derivations", "domain", "errors", "mnist", "strategies")

__all__ = [
    "GradcheckError",
    "GradientMismatch",
    "GradientUndecided",
    "InvalidArgument",
    "Outcome",
    "PowerReport",
    "Report",
    "Rule",
    "RuleError",
    "check",
    "derivations",
    "domain",
    "errors",
    "examine",
    "from_forward_backward",
    "from_loss",
    "from_pullback",
    "from_vjp",
    "load_failure",
    "mnist",
    "parametrize",
    "power",
    "strategies",
    "verify",
]

if TYPE_CHECKING:
    from gradcheck import derivations, domain, errors, mnist, strategies
    from gradcheck.adapters import from_forward_backward, from_loss, from_pullback, from_vjp
    from gradcheck.checks import check, examine
    from gradcheck.errors import GradcheckError, GradientMismatch, GradientUndecided, InvalidArgument, RuleError
    from gradcheck.mutation import PowerReport, power
    from gradcheck.report import Report, load_failure
    from gradcheck.rule import Rule
    from gradcheck.verdict import Outcome
    from gradcheck.verification import parametrize, verify


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"gradcheck.{name}")
    if name not in _HOME:
        # with both, Python's traceback suggests the nearest name that there is
        raise AttributeError(f"module 'gradcheck' has no attribute {name!r}", name=name, obj=sys.modules[__name__])
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value  # asked for once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
