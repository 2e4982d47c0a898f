"""From a function to its source, and from a changed source to a function with the same closure and defaults."""

from __future__ import annotations
import __future__

import ast
import inspect
import textwrap
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from types import CellType, CodeType, FunctionType
from typing import Any

from gradcheck.mutation.snippet import Snippet

__all__ = ["Fuse", "NoSource", "TooLong", "compiled", "source_of"]

_FUSE = "__fuse__"
_FUTURE = reduce(or_, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names))


class NoSource(Exception):
    """The source of a function cannot be had, and why."""


class TooLong(Exception):
    """A loop of a mutant ran past its time."""


@dataclass
class Fuse:
    """What every loop of a mutant asks whether it may go on: a mutant may have no end.

    Where it is told lines, ``lines`` are those that were run.
    """

    seconds: float
    until: float = float("inf")
    lines: set[int] = field(default_factory=set)

    def light(self) -> None:
        """Begin to count."""
        self.until = time.perf_counter() + self.seconds

    def __call__(self, line: int = 0) -> None:
        """Stop the mutant once its time is up.

        Raises
        ------
        TooLong
            If it is.
        """
        if line:
            self.lines.add(line)
        if time.perf_counter() > self.until:
            raise TooLong(f"a loop ran for more than {self.seconds:.1f} s")


def source_of(function: FunctionType) -> Snippet:
    """Find the source of a function or lambda.

    Raises
    ------
    NoSource
        If there is none, or none that Python can tell to be its own.
    """
    code = function.__code__
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lines, _ = inspect.findsource(code)
            module = ast.parse("".join(lines))
    except (OSError, TypeError, SyntaxError, ValueError) as error:
        raise NoSource(f"the source of {function.__qualname__} cannot be read: {error}") from None
    found = [n for n in ast.walk(module) if isinstance(n, (ast.FunctionDef, ast.Lambda)) and _is_of(n, code)]
    if not found:
        raise NoSource(f"the source of {function.__qualname__} is not where Python says, or is no plain function")
    node = min(found, key=_extent)  # of two lambdas that code fits into it is the inner one's
    if isinstance(node, ast.Lambda):
        text = f"({ast.get_source_segment(''.join(lines), node)})"
    else:
        text = textwrap.dedent("".join(lines[node.lineno - 1 : node.end_lineno]))
    snippet = Snippet(text, code.co_filename, node.lineno)
    try:
        snippet.function  # noqa: B018  whether it can be read is the question
    except (SyntaxError, TypeError, ValueError) as error:
        raise NoSource(f"the source of {function.__qualname__} does not stand alone: {error}") from None
    return snippet


def _is_of(node: ast.FunctionDef | ast.Lambda, code: CodeType) -> bool:
    """Whether code was compiled from a function in a syntax tree, by its name, its first line and its place."""
    if isinstance(node, ast.FunctionDef):
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        return node.name == code.co_name and first == code.co_firstlineno
    if code.co_name != "<lambda>" or node.lineno != code.co_firstlineno:
        return False
    body = node.body
    start, stop = (body.lineno, body.col_offset), (body.end_lineno or 0, body.end_col_offset or 0)
    # the instruction that begins a function stands before it
    places = [(line, column) for line, _, column, _ in code.co_positions() if line and column]
    return all(start <= place <= stop for place in places)


def _extent(node: Any) -> tuple[int, int]:
    return node.end_lineno - node.lineno, node.end_col_offset - node.col_offset


def compiled(function: FunctionType, text: str, fuse: Fuse, *, tell_lines: bool = False) -> FunctionType:
    """Make a function like another from a changed source. Nothing of it is run.

    With ``tell_lines`` it tells the fuse the first line of each statement that is run, counted from its own.

    Raises
    ------
    NoSource
        If the text does not compile to one function.
    """
    tree = Snippet(text).tree
    (statement,) = tree.body
    bare = _Bare(tell_lines).visit(statement)
    result = bare.value if isinstance(bare, ast.Expr) else ast.Name(bare.name, ast.Load())
    free = (*function.__code__.co_freevars, _FUSE)
    maker = ast.parse(f"def maker({', '.join(free)}): pass").body[0]
    assert isinstance(maker, ast.FunctionDef)
    maker.body = [*([] if isinstance(bare, ast.Expr) else [bare]), ast.Return(result)]
    module = ast.fix_missing_locations(ast.Module([maker], []))
    flags = function.__code__.co_flags & _FUTURE
    made: dict[str, Callable[..., FunctionType]] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what no one would write, such as a number that is called
            exec(compile(module, "<mutant>", "exec", flags, dont_inherit=True), made)  # noqa: S102  the user's own
            code = made["maker"](*[None] * len(free)).__code__
    except (SyntaxError, ValueError) as error:
        raise NoSource(f"{function.__qualname__}: {error}") from None
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    cells[_FUSE] = CellType(fuse)
    return like(function, code, closure=tuple(cells[name] for name in code.co_freevars))


def like(
    function: FunctionType,
    code: CodeType,
    *,
    closure: tuple[CellType, ...] | None,
    namespace: dict[str, Any] | None = None,
) -> FunctionType:
    """Copy a function with another code, closure or namespace."""
    globals_ = function.__globals__ if namespace is None else namespace
    made = FunctionType(code, globals_, function.__name__, function.__defaults__, closure)
    made.__kwdefaults__ = function.__kwdefaults__
    made.__module__, made.__qualname__ = function.__module__, function.__qualname__
    made.__dict__.update(function.__dict__)
    return made


class _Bare(ast.NodeTransformer):
    """Leaves out what runs when a function is made, and puts a fuse into its loops, or before each statement."""

    def __init__(self, every: bool) -> None:
        self._every = every
        self._inside = False

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Put a fuse before each statement, where that is wanted."""
        super().generic_visit(node)
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if self._every and isinstance(block, list):
                setattr(node, name, [part for statement in block for part in (_asking(statement.lineno), statement)])
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Take decorators, annotations and defaults off the function itself; those inside are part of it."""
        if not self._inside:
            node.decorator_list, node.returns = [], None
            self._undefault(node.args)
        self._inside = True
        return self.generic_visit(node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        """Take the defaults off."""
        if not self._inside:
            self._undefault(node.args)
        self._inside = True
        return self.generic_visit(node)

    def visit_For(self, node: ast.For) -> ast.AST:
        """Let every round ask the fuse."""
        return self._fused(node)

    def visit_While(self, node: ast.While) -> ast.AST:
        """Let every round ask the fuse."""
        return self._fused(node)

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        """Let every round ask the fuse, whose answer is None."""
        self.generic_visit(node)
        node.ifs.insert(0, ast.UnaryOp(ast.Not(), _asking().value))
        return node

    def _fused(self, node: ast.For | ast.While) -> ast.AST:
        self.generic_visit(node)
        node.body.insert(0, _asking())
        return node

    @staticmethod
    def _undefault(arguments: ast.arguments) -> None:
        arguments.defaults = []
        arguments.kw_defaults = [None] * len(arguments.kwonlyargs)
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        for argument in every:
            if argument is not None:
                argument.annotation = None


def _asking(line: int = 0) -> ast.Expr:
    """Write the statement that asks the fuse."""
    return ast.Expr(ast.Call(ast.Name(_FUSE, ast.Load()), [ast.Constant(line)], []))
