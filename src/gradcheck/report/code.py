"""Values as Python code, and the complete test that reproduces a failure."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from gradcheck.report.report import Report
from gradcheck.rule import is_float
from gradcheck.tree import Array

__all__ = ["as_code", "described", "reproduction"]

_SMALL = 64  # entries in all, a dozen lines of digits; more are read from the file they were kept in
_WIDTH = 88


def as_code(value: Any) -> str:
    """Write a value as an expression that evaluates to it exactly, given ``np`` (and ``ml_dtypes`` for its types).

    A function has no such expression and is left as ``...``.
    """
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_code(k)}: {as_code(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(as_code, value)) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_code, value)) + "]"
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return _array_code(np.asarray(value))
    if isinstance(value, float):
        return _number(value, np.dtype(float))
    return "..." if callable(value) else described(value)


def described(value: Any) -> str:
    """Write what has no such expression, in words that are the same in every process."""
    try:
        text = repr(value)
    except Exception as error:  # somebody else's repr must not hide the failure
        return f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"
    return re.sub(r" at 0x[0-9A-Fa-f]+", "", text) if text.startswith("<") else text


def _array_code(array: Array) -> str:
    dtype = array.dtype
    if dtype.kind == "V" and is_float(dtype):
        name = f"ml_dtypes.{dtype.name}"
    else:
        name = repr(dtype.name if dtype.kind in "biufc" else dtype.str)
    if not array.size:
        return f"np.zeros({array.shape}, dtype={name})"
    values = array.astype(np.float64).tolist() if is_float(dtype) else array.tolist()
    # what NumPy makes of floats and ints by itself
    option = "" if dtype in (np.float64, np.int64) else f", dtype={name}"
    return f"np.array({_nested(values, dtype)}{option})"


def _nested(value: Any, dtype: np.dtype[Any]) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_nested(v, dtype) for v in value) + "]"
    return _number(value, dtype) if isinstance(value, float) else repr(value)


def _number(value: float, dtype: np.dtype[Any]) -> str:
    if np.isnan(value):
        return "np.nan"
    if np.isinf(value):
        return "np.inf" if value > 0 else "-np.inf"
    short = float(str(dtype.type(value)))
    # The fewest digits that identify a float32 may still name its neighbour once a float64 has rounded them, as
    # 7.038531e-26 does.
    return repr(short if dtype.type(short) == dtype.type(value) else value)


def reproduction(report: Report) -> str:
    """Write a complete pytest module that runs this very check again."""
    call, before = _call(report)
    imports = ["import numpy as np", "", "import gradcheck"]
    if "ml_dtypes." in call:
        imports.insert(0, "import ml_dtypes")
    origin = report.origin
    names = [target.partition(":")[::2] for target in origin.target]
    for module in sorted({module for module, _ in names}):
        functions = sorted({name.split(".")[0] for home, name in names if home == module})
        imports.append(f"from {_importable(module)} import {', '.join(functions)}")
    test = "".join(c if c.isalnum() else "_" for c in origin.name.split(".")[-1])
    body = [f"    rule = {_maker(report)}", *before, call]
    return "\n".join([*imports, "", "", f"def test_{test}():", *body])


def _importable(module: str) -> str:
    """Name the module of a script as a file beside it would import it."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(script).stem if module == "__main__" and script else module


def _maker(report: Report) -> str:
    origin = report.origin
    if not origin.target or not origin.maker:
        return "...  # the rule, as you made it"
    functions = ", ".join(target.partition(":")[2] for target in origin.target)
    default = origin.argnums is None or (origin.maker == "from_loss" and origin.argnums == (0,))
    argnums = "" if default else f", argnums={origin.argnums}"
    domain = f", domain={origin.domain}" if origin.domain else ""
    return f"gradcheck.{origin.maker}({functions}{argnums}{domain})"


def _entries(value: Any) -> int:
    if isinstance(value, (dict, tuple, list)):
        return sum(map(_entries, value.values() if isinstance(value, dict) else value))
    return np.size(value)


def _call(report: Report) -> tuple[str, list[str]]:
    """Write the call of ``check``, and the lines that must come before it."""
    point, before = report.point, []
    if _entries((point.args, point.kwargs, point.cotangent)) <= _SMALL:
        arguments = [as_code(a) for a in point.args] + [f"{k}={as_code(v)}" for k, v in point.kwargs.items()]
        cotangent = as_code(point.cotangent)
    else:
        where = f"gradcheck.load_failure({str(report.saved)!r})" if report.saved is not None else (
            "...  # too large to paste: gradcheck.report.keep(error.report).saved is a file for gradcheck.load_failure"
        )  # fmt: skip
        before = [f"    case = {where}"]
        arguments = ["*case.args", "**case.kwargs"]
        cotangent = "case.cotangent"
    if report.origin.takes_cotangent:
        arguments.append(f"cotangent={cotangent}")
    if report.seed:
        arguments.append(f"seed={report.seed}")
    line = f"    gradcheck.check(rule, {', '.join(arguments)})"
    if len(line) > _WIDTH:
        line = "\n".join(["    gradcheck.check(", *(f"        {a}," for a in ("rule", *arguments)), "    )"])
    return line, before
