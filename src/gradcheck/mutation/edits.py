"""The small mistakes that a syntax tree allows: each is one edit of the text, and most of the text stays as it is."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence

from gradcheck.mutation.snippet import Edit, Snippet

__all__ = ["edits"]

Operator = Callable[[Snippet, ast.AST], Iterator[Edit]]

_SYMBOLS: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_OTHER = {"+": "-", "-": "+", "*": "/", "/": "*"}
_COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
}
# Functions that are taken for each other, or, as log1p(x) for log(x), forgotten to be another.
_NAMES = {
    "sum": "mean",
    "mean": "sum",
    "max": "min",
    "min": "max",
    "amax": "amin",
    "amin": "amax",
    "maximum": "minimum",
    "minimum": "maximum",
    "argmax": "argmin",
    "argmin": "argmax",
    "log1p": "log",
    "expm1": "exp",
    "zeros_like": "ones_like",
    "ones_like": "zeros_like",
}
_BUILTINS = {"max", "min"}
_DROPPED = {"T", "mT"}
_DROPPED_CALLS = {"copy", "transpose", "swapaxes"}


def edits(snippet: Snippet, nodes: Sequence[ast.AST]) -> Iterator[Edit]:
    """Yield every edit of some nodes of a snippet that leaves it a program, each resulting text once."""
    seen = {snippet.text}
    for node in nodes:
        for operator in _OPERATORS:
            for edit in operator(snippet, node):
                text = snippet.edited(edit)
                if text not in seen and _parses(text):
                    seen.add(text)
                    yield edit


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def _operator(snippet: Snippet, node: ast.AST) -> Iterator[Edit]:
    """Turn ``a + b`` into ``a - b``, ``a * b`` into ``a / b``, also in place."""
    if isinstance(node, ast.AugAssign) and type(node.op) in _SYMBOLS:
        start, stop, tail = snippet.stop(node.target), snippet.start(node.value), "="
    elif isinstance(node, ast.BinOp) and _is_arithmetic(node):
        start, stop, tail = snippet.stop(node.left), snippet.start(node.right), ""
    else:
        return
    symbol = _SYMBOLS[type(node.op)]
    at = snippet.find(symbol + tail, start, stop)
    yield Edit(at, at + 1, _OTHER[symbol], f"{_OTHER[symbol]} for {symbol}")


def _operand(snippet: Snippet, node: ast.AST) -> Iterator[Edit]:
    """Drop a term of a sum or a factor of a product."""
    if not (isinstance(node, ast.BinOp) and _is_arithmetic(node)):
        return
    symbol = _SYMBOLS[type(node.op)]
    start, stop = snippet.start(node), snippet.stop(node)
    at = snippet.find(symbol, snippet.stop(node.left), snippet.start(node.right))
    behind = snippet.past_space(at + 1)
    yield Edit(snippet.before_space(at), stop, "", f"dropped: {symbol} {_short(snippet.read(behind, stop))}")
    # the left side of a longer chain is more than one operand, and a reciprocal is rarely forgotten to be one
    if symbol == "/" or (isinstance(node.left, ast.BinOp) and _SYMBOLS.get(type(node.left.op)) == symbol):
        return
    kept = "-" if symbol == "-" else ""
    yield Edit(start, behind, kept, f"dropped: {_short(snippet.read(start, snippet.before_space(at)))}")


def _is_arithmetic(node: ast.BinOp) -> bool:
    """Whether an operator works on numbers, and does not put strings or tuples together."""
    parts = (node.left, node.right)
    joined = any(isinstance(p, (ast.Tuple, ast.List, ast.JoinedStr)) or _is_text(p) for p in parts)
    return type(node.op) in _SYMBOLS and not joined


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 40 else f"{text[:37]}..."


def _sign(snippet: Snippet, node: ast.AST) -> Iterator[Edit]:
    """Drop a minus, or flip what is returned."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        start = snippet.start(node)
        yield Edit(start, start + 1, "", "minus dropped")
    for value in _returned(node):
        bare = isinstance(value, (ast.Name, ast.Call, ast.Attribute, ast.Subscript))
        start, stop = snippet.start(value), snippet.stop(value)
        shown = snippet.read(start, stop)
        yield Edit(start, stop, f"-{shown}" if bare else f"-({shown})", f"sign of {_short(shown)} flipped")


def _returned(node: ast.AST) -> list[ast.expr]:
    """Give the arrays that a function returns; what has a minus already loses that elsewhere."""
    value = node.value if isinstance(node, ast.Return) else node.body if isinstance(node, ast.Lambda) else None
    parts = value.elts if isinstance(value, ast.Tuple) else value.values if isinstance(value, ast.Dict) else [value]
    kept = (ast.Name, ast.Call, ast.Attribute, ast.Subscript, ast.BinOp, ast.IfExp)
    return [part for part in parts if isinstance(part, kept)]


def _axis(snippet: Snippet, node: ast.AST) -> Iterator[Edit]:
    """Take another axis, none, or do not keep it."""
    if not isinstance(node, ast.keyword):
        return
    start, stop = snippet.start(node.value), snippet.stop(node.value)
    if node.arg == "keepdims" and isinstance(node.value, ast.Constant) and node.value.value is True:
        yield Edit(start, stop, "False", "keepdims left out")
    if node.arg == "axis":
        axis = snippet.read(start, stop)
        if axis.lstrip("-").isdecimal():
            other = "1" if axis == "0" else "0"
            yield Edit(start, stop, other, f"axis {other} for {axis}")
        yield Edit(start, stop, "None", f"no axis for {_short(axis)}")


def _constant(snippet: Snippet, node: ast.AST) -> Iterator[Edit]:
    """Take a neighbour of a whole number, and twice any other."""
    value = node.value if isinstance(node, ast.Constant) else None
    if not isinstance(node, ast.Constant) or not isinstance(value, (int, float)) or isinstance(value, bool):
        return
    others = [value - 1, value + 1] if isinstance(value, int) else [2 * value if value else 1.0]
    for other in others:
        text = repr(other) if other >= 0 else f"({other!r})"
        yield Edit(snippet.start(node), snippet.stop(node), text, f"{other!r} for {value!r}")


def _comparison(snippet: Snippet, node: ast.AST) -> Iterator[Edit]:
    """Include the end of a range, or leave it out; the opposite of an equality."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARISONS:
        symbol, other = _COMPARISONS[type(node.ops[0])]
        at = snippet.find(symbol, snippet.stop(node.left), snippet.start(node.comparators[0]))
        yield Edit(at, at + len(symbol), other, f"{other} for {symbol}")


def _name(snippet: Snippet, node: ast.AST) -> Iterator[Edit]:
    """Call another function, mean for sum or min for max; exchange the branches of ``where``."""
    if not isinstance(node, ast.Call):
        return
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name in _NAMES and (isinstance(function, ast.Attribute) or name in _BUILTINS):
        stop = snippet.stop(function)
        yield Edit(stop - len(name), stop, _NAMES[name], f"{_NAMES[name]} for {name}")
    if name == "where" and len(node.args) == 3 and not node.keywords:
        yes, no = node.args[1:]
        texts = (snippet.shown(no), snippet.read(snippet.stop(yes), snippet.start(no)), snippet.shown(yes))
        yield Edit(snippet.start(yes), snippet.stop(no), "".join(texts), "branches of where exchanged")


def _transposed(snippet: Snippet, node: ast.AST) -> Iterator[Edit]:
    """Drop ``.T`` or ``.copy()``."""
    inner = node.func if isinstance(node, ast.Call) else node
    dropped = _DROPPED if inner is node else _DROPPED_CALLS
    if isinstance(inner, ast.Attribute) and inner.attr in dropped and not _is_library(inner.value):
        dot = snippet.bytes.rindex(b".", 0, snippet.stop(inner))
        yield Edit(dot, snippet.stop(node), "", f".{inner.attr} dropped")  # type: ignore[arg-type]  # one of these two


def _is_library(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("np", "numpy", "jnp", "xp", "torch")


def _index(snippet: Snippet, node: ast.AST) -> Iterator[Edit]:
    """Take an index, or an end of a slice, off by one. Constants among them have neighbours anyway."""
    if not isinstance(node, ast.Subscript):
        return
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    for part in parts:
        ends = ((part.lower, "+"), (part.upper, "-")) if isinstance(part, ast.Slice) else ((part, "-"),)
        for end, sign in ends:
            if isinstance(end, (ast.Name, ast.Attribute)):
                shown = snippet.shown(end)
                yield Edit(snippet.start(end), snippet.stop(end), f"{shown} {sign} 1", f"index {shown} off by one")


def _statement(snippet: Snippet, node: ast.AST) -> Iterator[Edit]:
    """Delete what changes an array, or a name, that was there before."""
    if isinstance(node, ast.AugAssign):
        changes = True
    elif isinstance(node, ast.Assign):
        names = {n.id for n in ast.walk(node.value) if isinstance(n, ast.Name)}
        changes = all(isinstance(t, ast.Subscript) or getattr(t, "id", None) in names for t in node.targets)
    else:
        changes = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    if changes:
        assert isinstance(node, ast.stmt)
        yield Edit(snippet.start(node), snippet.stop(node), "pass", f"deleted: {_short(snippet.shown(node))}")


_OPERATORS: tuple[Operator, ...] = (
    _operator,
    _operand,
    _sign,
    _axis,
    _constant,
    _comparison,
    _name,
    _transposed,
    _index,
    _statement,
)
