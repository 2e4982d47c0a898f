"""What gradcheck raises.

::

    GradcheckError
    ├── InvalidArgument (also ValueError)  the call is wrong: what, where, what to do
    ├── RuleError                          the rule's own forward raised, so there is nothing to differentiate
    ├── TargetError                        a TARGET on the command line cannot be found, imported or paired
    ├── DataError                          data is missing, damaged or not what it claims to be
    ├── MissingExtra (also ImportError)    an optional dependency is not installed; says which extra brings it
    ├── TrainingDiverged                   the loss of a training run stopped being finite; says where
    └── CheckFailed (also AssertionError)  a gradient did not pass; carries ``report``
        ├── GradientMismatch               it is wrong
        └── GradientUndecided              nothing available could tell, and the reason why

Every class can be pickled with what it carries, since pytest-xdist sends exceptions between processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradcheck.report.report import Report

__all__ = [
    "CheckFailed",
    "DataError",
    "GradcheckError",
    "GradientMismatch",
    "GradientUndecided",
    "InvalidArgument",
    "MissingExtra",
    "RuleError",
    "TargetError",
    "TrainingDiverged",
]


class GradcheckError(Exception):
    """Root of everything that gradcheck raises on purpose."""


class InvalidArgument(GradcheckError, ValueError):
    """An argument cannot mean what was asked. The message names it, shows it and says what to pass."""


class RuleError(GradcheckError):
    """The forward of a rule raised on the inputs it was given; ``__cause__`` is what it raised."""


class TargetError(GradcheckError):
    """A target such as ``package.module:name`` or ``file.py:name`` names nothing that can be checked."""


class DataError(GradcheckError):
    """A data file is missing, truncated, mislabelled or not the file it claims to be."""


class MissingExtra(GradcheckError, ImportError):
    """A feature needs a package that is not installed."""

    def __init__(self, feature: str, package: str, extra: str) -> None:
        super().__init__(feature, package, extra)
        self.feature, self.package, self.extra = feature, package, extra

    def __str__(self) -> str:
        return (
            f"{self.feature} needs {self.package}, which is not installed: "
            f"python -m pip install 'gradcheck[{self.extra}]'"
        )


class TrainingDiverged(GradcheckError):
    """The loss of a training run was NaN or infinite. Epochs and steps count from 1; 0 is before the first."""

    def __init__(self, loss: float, epoch: int, step: int, learning_rate: float) -> None:
        super().__init__(loss, epoch, step, learning_rate)
        self.loss, self.epoch, self.step, self.learning_rate = loss, epoch, step, learning_rate

    def __str__(self) -> str:
        if self.step == 0:
            return f"the loss is {self.loss} before the first step: check the loss itself"
        return (
            f"the loss is {self.loss} in epoch {self.epoch} at step {self.step}, where the learning rate is "
            f"{self.learning_rate:.3g}: try a tenth of it, and check the gradient if it is your own; "
            "stop_on_divergence=False goes on regardless"
        )


class CheckFailed(GradcheckError, AssertionError):
    """A check that did not pass. ``report`` holds everything that is known about it."""

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self.report = report

    def __str__(self) -> str:
        return str(self.report)


class GradientMismatch(CheckFailed):
    """The rule's gradient is wrong at the point in ``report``."""


class GradientUndecided(CheckFailed):
    """No oracle could judge the rule at the point in ``report``; ``report`` says why."""
