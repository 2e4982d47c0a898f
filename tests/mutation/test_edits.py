from __future__ import annotations

import ast
import textwrap

import pytest

from gradcheck.mutation import parts
from gradcheck.mutation.edits import edits
from gradcheck.mutation.snippet import Snippet


def _mutants(source: str) -> list[str]:
    """Bodies of all mutants of a function, without its head."""
    snippet = Snippet(textwrap.dedent(source))
    texts = [snippet.edited(edit) for edit in edits(snippet, parts.of_gradient(snippet.function))]
    assert len(set(texts)) == len(texts)
    for text in texts:
        ast.parse(text)
    return [text.partition("\n    ")[2].strip() for text in texts]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("return a - y", {"return a + y", "return a", "return -y", "return -(a - y)"}),
        ("return (a - y) / n", {"return (a - y) * n", "return (a - y)", "return (a) / n", "return -((a - y) / n)"}),
        ("return 2 * x", {"return 2 / x", "return 2", "return x", "return 1 * x", "return 3 * x"}),
        ("return x**2", {"return x**1", "return x**3", "return -(x**2)"}),
        ("return -x", {"return x"}),
        ("return x.sum(axis=0)", {"return x.sum(axis=1)", "return x.sum(axis=None)", "return x.mean(axis=0)"}),
        ("return x.max(axis=-1, keepdims=True)",
         {"return x.max(axis=0, keepdims=True)", "return x.max(axis=-1, keepdims=False)",
          "return x.min(axis=-1, keepdims=True)"}),
        ("return (g.T @ h).copy()", {"return (g @ h).copy()", "return (g.T @ h)"}),
        ("return x[i, 1:n]", {"return x[i - 1, 1:n]", "return x[i, 1:n - 1]", "return x[i, 2:n]", "return x[i, 0:n]"}),
        ("return x if a < b else y", {"return x if a <= b else y", "return -(x if a < b else y)"}),
        ("return np.where(x > 0, g, 0.5)",
         {"return np.where(x >= 0, g, 0.5)", "return np.where(x > 0, 0.5, g)", "return np.where(x > 0, g, 1.0)",
          "return np.where(x > (-1), g, 0.5)"}),
        ("return np.maximum(x, 0.0)", {"return np.minimum(x, 0.0)", "return np.maximum(x, 1.0)"}),
        ("d[i] -= 1", {"d[i] += 1", "d[i - 1] -= 1", "d[i] -= 0", "d[i] -= 2", "pass"}),
        ("np.add.at(d, i, g)", {"pass"}),
        ("g = g / n", {"g = g", "g = g * n", "pass"}),
        ("return d, {'b': s}, -c", {"return -d, {'b': s}, -c", "return d, {'b': s}, c"}),
        ("return {'W': g @ h, 'b': s}", {"return {'W': -(g @ h), 'b': s}", "return {'W': g @ h, 'b': -s}"}),
        ("return a + (  # a term\n        b)", {"return a"}),
    ],
)  # fmt: skip
def test_a_statement_has_these_mutants(statement: str, expected: set[str]) -> None:
    assert expected <= set(_mutants(f"def f():\n    {statement}\n"))


def test_a_sum_loses_each_term_once() -> None:
    assert {"return a + b", "return b + c", "return a + c"} <= set(_mutants("def f():\n    return a + b + c\n"))
    assert "return c" not in _mutants("def f():\n    return a + b + c\n")


def test_text_is_counted_in_bytes() -> None:
    assert "return 'é', x + 1" in _mutants("def f():\n    return 'é', x - 1\n")


@pytest.mark.parametrize(
    "statement",
    [
        "raise ValueError(f'{1 + 1} of {n - 1}')",
        "assert n == 1",
        "'''A docstring, and nothing - else.'''",
        "return x",
        "a = np.zeros(n, dtype=1)",
        "import numpy as np",
        "if n != 2:\n        raise ValueError('two')",
        "if n != 2:\n        at = n - 1\n        if at > 2:\n            raise ValueError(at)",
    ],
)
def test_what_makes_no_gradient_is_left_alone(statement: str) -> None:
    assert set(_mutants(f"def f(a=1, *, b=2 - 1):\n    {statement}\n")) <= {"return -x"}


def test_a_loop_keeps_its_end() -> None:
    source = """
        def f(x, n):
            while n > 0:
                n -= 1
                x += n
            return x
    """
    mutants = _mutants(source)
    assert any("x -= n" in text for text in mutants)
    assert all("while n > 0:" in text and "n -= 1" in text for text in mutants)


def test_beside_a_pullback_only_what_it_reads_is_mutated() -> None:
    source = """
        def f(x):
            slope = 3 * x
            value = x + x
            out = value * 7
            def pullback(ct):
                return ct * slope
            return out - 9, pullback
    """
    snippet = Snippet(textwrap.dedent(source).strip() + "\n")
    changed = {snippet.line_of(e) for e in edits(snippet, parts.of_pullback(snippet.function))}
    assert changed == {2, 6}


def test_what_leads_to_what_a_pullback_reads_is_mutated_too() -> None:
    source = """
        def f(x):
            a = x - 1
            if a.ndim > 1:
                b = a * a
            else:
                b = 1 + a
            c = np.zeros_like(b)
            np.add.at(c, 0, b)
            return a + 8, lambda ct: ct * c
    """
    snippet = Snippet(textwrap.dedent(source).strip() + "\n")
    texts = [snippet.edited(e) for e in edits(snippet, parts.of_pullback(snippet.function))]
    lines = {snippet.line_of(e) for e in edits(snippet, parts.of_pullback(snippet.function))}
    assert lines == {2, 4, 6, 7, 8, 9}
    assert not any("a - 8" in text or "-(a + 8)" in text for text in texts)


def test_a_function_that_makes_its_pullback_elsewhere_is_mutated_whole() -> None:
    snippet = Snippet("def f(x):\n    return made(x * 2)\n")
    assert {snippet.edited(e) for e in edits(snippet, parts.of_pullback(snippet.function))} >= {
        "def f(x):\n    return made(x / 2)\n"
    }


def test_a_diff_has_the_lines_of_the_file() -> None:
    snippet = Snippet("def f(x):\n    # half\n    return x / 2\n", "mine.py", 41)
    (edit,) = [e for e in edits(snippet, parts.of_gradient(snippet.function)) if e.says == "* for /"]
    assert snippet.line_of(edit) == 43
    assert snippet.diff(snippet.edited(edit)) == "@@ -43 +43 @@\n-    return x / 2\n+    return x * 2"
