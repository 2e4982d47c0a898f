from __future__ import annotations

import ast
import importlib
import importlib.resources
import inspect
import json
import pkgutil
import re
import subprocess
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest

import gradcheck

Python = Callable[..., "subprocess.CompletedProcess[str]"]

HEAVY = {"hypothesis", "jax", "matplotlib", "numpy", "pooch", "pytest", "rich", "torch"}


def _heavy_after(python: Python, statement: str) -> set[str]:
    """Names of the heavy packages that a statement brings into a fresh interpreter."""
    done = python("-c", f"import json, sys\n{statement}\nprint(json.dumps(list(sys.modules)))")
    assert done.returncode == 0, done.stderr
    return HEAVY & set(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import gradcheck", set()),
        ("import gradcheck; dir(gradcheck); gradcheck.GradientMismatch", set()),
        ("import gradcheck; gradcheck.derivations.softmax_nll", {"numpy"}),
        ("import gradcheck; gradcheck.from_loss, gradcheck.Report", {"numpy"}),
        ("import gradcheck.mnist.data", {"numpy"}),
        ("import gradcheck.pytest_plugin", {"pytest"}),
    ],
)
def test_importing_brings_nothing_heavy(python: Python, statement: str, allowed: set[str]) -> None:
    assert _heavy_after(python, statement) <= allowed


def test_heavy_imports_would_be_noticed(python: Python) -> None:
    assert _heavy_after(python, "import gradcheck; gradcheck.strategies") >= {"hypothesis", "numpy"}


SETTINGS = """
import random, sys, warnings
import hypothesis, jax, numpy as np

def settings():
    return {
        "x64": jax.config.jax_enable_x64,
        "errors": np.geterr(),
        "numpy random": [np.random.get_state()[0], np.random.get_state()[1].tolist(), np.random.get_state()[2]],
        "random": random.getstate(),
        "hypothesis": repr(hypothesis.settings.default),
        "warnings": list(warnings.filters),
        "path": list(sys.path),
        "recursion": sys.getrecursionlimit(),
    }

before = settings()
import gradcheck
from gradcheck import strategies as gst
assert settings() == before, "after the import"

rule = gradcheck.from_loss(lambda z: 0.5 * np.sum(z * z), lambda z: z.copy(), name="half square")
wrong = gradcheck.from_loss(lambda z: 0.5 * np.sum(z * z), lambda z: 2 * z, name="half square")
assert gradcheck.check(rule, np.ones(3))
assert settings() == before, "after a check"
assert not gradcheck.examine(wrong, np.ones(3))
assert settings() == before, "after a failure"
gradcheck.verify(rule, like=(np.ones(3),), examples=5)
"""


def test_no_global_setting_changes(python: Python, tmp_path: Path) -> None:
    done = python("-c", SETTINGS + 'assert settings() == before, "after a verification"', cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_changed_settings_would_be_noticed(python: Python, tmp_path: Path) -> None:
    done = python("-c", SETTINGS + 'np.seterr(over="raise")\nassert settings() == before, "too bad"', cwd=tmp_path)
    assert "AssertionError: too bad" in done.stderr


def test_all_resolves_and_is_complete() -> None:
    assert len(set(gradcheck.__all__)) == len(gradcheck.__all__)
    assert {*gradcheck._HOME, *gradcheck._ROOMS} == set(gradcheck.__all__)
    for name in gradcheck.__all__:
        assert getattr(gradcheck, name).__doc__, name
        assert not name.startswith("test_"), "pytest would collect it"


def test_every_name_is_public_where_it_lives() -> None:
    for name, home in gradcheck._HOME.items():
        assert name in importlib.import_module(home).__all__


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(inspect.getsource(gradcheck))
    (block,) = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    seen = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == set(gradcheck.__all__)


def test_dir_lists_what_there_is() -> None:
    assert {*gradcheck.__all__, "__version__"} <= set(dir(gradcheck))


def test_unknown_name_is_an_attribute_error_that_python_can_improve_on() -> None:
    with pytest.raises(AttributeError, match=re.escape("module 'gradcheck' has no attribute 'chek'")) as caught:
        gradcheck.chek  # noqa: B018  the access is the test
    assert (caught.value.name, caught.value.obj) == ("chek", gradcheck)
    with pytest.raises(ImportError, match="cannot import name 'chek'"):
        exec("from gradcheck import chek")


def test_public_functions_are_not_shadowed_by_modules_of_the_same_name() -> None:
    for info in pkgutil.walk_packages(gradcheck.__path__, "gradcheck."):
        importlib.import_module(info.name)
    shadowed = [name for name in gradcheck._HOME if isinstance(getattr(gradcheck, name), ModuleType)]
    assert not shadowed
    assert inspect.isfunction(gradcheck.check)
    assert inspect.isfunction(gradcheck.verify)


def test_package_under_test_is_the_installed_one() -> None:
    installed = distribution("gradcheck")
    assert installed.version == gradcheck.__version__
    direct = json.loads(installed.read_text("direct_url.json") or "{}")
    if direct.get("dir_info", {}).get("editable"):
        expected = Path(unquote(urlsplit(direct["url"]).path)) / "src" / "gradcheck" / "__init__.py"
    else:
        expected = Path(str(installed.locate_file("gradcheck/__init__.py")))
        listed = {str(path) for path in installed.files or ()}
        assert {"gradcheck/py.typed", "gradcheck/mnist/sample/train-images-idx3-ubyte.gz"} <= listed
    assert expected.samefile(gradcheck.__file__)


def test_data_opens_from_the_package() -> None:
    sample = importlib.resources.files("gradcheck.mnist") / "sample"
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        assert (sample / f"{name}-ubyte.gz").read_bytes()[:2] == b"\x1f\x8b", "a gzip file begins with its magic"
    assert "CC BY-SA" in (sample / "LICENSE.mnist").read_text(encoding="utf-8")
    assert (importlib.resources.files("gradcheck") / "py.typed").is_file()


def test_entry_points_lead_to_what_they_name() -> None:
    found = {(point.group, point.name): point for point in distribution("gradcheck").entry_points}
    assert found["console_scripts", "gradcheck"].load() is importlib.import_module("gradcheck.cli").main
    assert found["pytest11", "gradcheck"].load() is importlib.import_module("gradcheck.pytest_plugin")
