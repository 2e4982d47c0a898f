"""What may be asked of softmax + NLL, and which form takes what: a table, and the errors of what is not in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypedDict

import numpy.typing as npt

from gradcheck.derivations._options import check_index, check_number

__all__ = ["KEYWORDS", "OPTIONS", "Options", "check_index", "check_number", "check_taken"]


class Options(TypedDict, total=False):
    """The keywords of the forms that take them all; what each does is said by `fused`."""

    reduction: str
    weights: npt.ArrayLike | None
    ignore_index: int | None
    label_smoothing: float
    temperature: float
    z_loss: float
    softcap: float | None


KEYWORDS: tuple[str, ...] = (
    "reduction",
    "weights",
    "ignore_index",
    "label_smoothing",
    "temperature",
    "z_loss",
    "softcap",
)
# What no keyword asks for, but the shapes and values of the arguments.
_INPUTS = ("soft labels", "masks", "sequences")

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "full_jacobian": ("reduction", "soft labels", "masks"),
    "contracted_jacobian": ("reduction", "soft labels", "masks"),
    "log_softmax": (*KEYWORDS, *_INPUTS),
    "fused": (*KEYWORDS, *_INPUTS),
    "accurate": (*KEYWORDS, *_INPUTS),
    "streaming": ("reduction", "ignore_index", "temperature", "z_loss", "softcap", "masks"),
    "fused_linear": ("reduction", "ignore_index", "z_loss", "softcap", "masks"),  # in b
    "sharded": ("reduction", "ignore_index", "z_loss", "masks"),
}
"""Form by form, the keywords it takes, and what else its arguments may be; `fused_linear` has its masks in `b`."""


def check_taken(form: str, given: Iterable[str]) -> None:
    """Check that a form takes all the keywords it was given.

    Raises
    ------
    TypeError
        Naming the first that it does not take, and the forms that do.
    """
    for name in given:
        if name in OPTIONS[form]:
            continue
        takers = [other for other, names in OPTIONS.items() if name in names and name in KEYWORDS]
        if takers:
            raise TypeError(f"{form} takes no {name}: {', '.join(takers)} do")
        known = [option for option in OPTIONS[form] if option in KEYWORDS]
        raise TypeError(f"{form} takes no {name!r}: its options are {', '.join(known)}")
