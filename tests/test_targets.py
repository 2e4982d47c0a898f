from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis.strategies import SearchStrategy

import gradcheck
from gradcheck.errors import TargetError
from gradcheck.report import Failure
from gradcheck.rule import Rule
from gradcheck.targets import (
    Target,
    find_pairs,
    load_module,
    load_rule,
    resolve,
    resolve_rule,
    softmax_nll_gradient,
)

Write = Callable[[str, str], Path]

PAIR = """
    def nll(z, y): return 0.0
    def nll_grad(z, y): return z
"""


def _one(text: str) -> Target:
    (target,) = resolve(text)
    return target


def test_pairs_are_found_by_name(write: Write) -> None:
    path = write(
        "pairs.py",
        """
        from math import sqrt

        def nll(z, y): ...
        def nll_grad(z, y): ...
        def hinge(z, y): ...
        def grad_hinge(z, y): ...
        def forward(x, w): ...
        def backward(dout, cache): ...
        def relu_forward(x): ...
        def relu_backward(dout, cache): ...
        def alone(x): ...
        def other_grad(x): ...
        nll_cases = sqrt
        """,
    )
    assert find_pairs(load_module(str(path))) == {
        "nll_grad": ("nll", "nll_grad"),
        "grad_hinge": ("hinge", "grad_hinge"),
        "backward": ("forward", "backward"),
        "relu_backward": ("relu_forward", "relu_backward"),
    }


def test_imported_functions_make_no_pair(write: Write) -> None:
    write("elsewhere.py", PAIR)
    path = write("here.py", "from elsewhere import nll, nll_grad")
    assert find_pairs(load_module(str(path))) == {}


@pytest.mark.parametrize("name", ["nll", "nll_grad"])
def test_either_half_names_the_pair(write: Write, name: str) -> None:
    target = _one(f"{write('mine.py', PAIR)}:{name}")
    assert (target.name, target.how, target.rule.name) == (
        "nll",
        "nll with nll_grad, a loss and its gradient",
        "mine.nll_grad",
    )


@pytest.mark.parametrize(
    ("forward", "backward", "maker"),
    [
        ("nll(z, y)", "nll_grad(z, y)", "from_loss"),
        ("nll(z, y, reduction='mean')", "nll_grad(z, y, reduction='mean')", "from_loss"),
        ("layer(x, w)", "layer_grad(x, w, cotangent)", "from_vjp"),
        ("forward(x, w)", "backward(dout, cache)", "from_forward_backward"),
        ("f_forward(x)", "f_backward(dout, cache)", "from_forward_backward"),
        ("forward(x)", "backward(x, cotangent)", "from_vjp"),
        ("forward(z, y)", "backward(z, y)", "from_loss"),
    ],
)
def test_the_form_follows_from_the_parameters(write: Write, forward: str, backward: str, maker: str) -> None:
    path = write("mine.py", f"def {forward}: ...\ndef {backward}: ...")
    assert _one(str(path)).rule.maker == maker


@pytest.mark.parametrize(
    ("forward", "backward", "shown"),
    [
        ("nll(z, y)", "nll_grad(z)", "nll(z, y) and nll_grad(z) do not pair up"),
        ("forward(x)", "backward(a, b, c)", "forward(x) and backward(a, b, c) do not pair up"),
    ],
)
def test_signatures_that_do_not_fit_are_shown(write: Write, forward: str, backward: str, shown: str) -> None:
    path = write("mine.py", f"def {forward}: ...\ndef {backward}: ...")
    with pytest.raises(TargetError, match=re.escape(shown)):
        resolve(str(path))


def test_a_file_gives_every_pair_and_every_rule(write: Write) -> None:
    path = write(
        "mine.py",
        """
        import gradcheck
        def nll(z, y): ...
        def nll_grad(z, y): ...
        def hinge(z, y): ...
        def grad_hinge(z, y): ...
        squared = gradcheck.from_loss(lambda w: 0.0, lambda w: w, name="squared")
        """,
    )
    assert [(t.name, t.how.split(",")[0]) for t in resolve(str(path))] == [
        ("nll", "nll with nll_grad"),
        ("hinge", "hinge with grad_hinge"),
        ("squared", "a rule"),
    ]
    assert _one(f"{path}:squared").rule.name == "squared"


def test_a_module_is_found_by_its_dotted_name(write: Write) -> None:
    write("package/__init__.py", "")
    write("package/losses.py", PAIR)
    importlib.invalidate_caches()
    assert _one("package.losses:nll").rule.target == ("package.losses:nll", "package.losses:nll_grad")
    assert [t.name for t in resolve("package.losses")] == ["nll"]


def test_a_file_finds_its_neighbours_and_leaves_the_path_as_it_was(write: Write) -> None:
    write("folder/helper.py", "value = 1")
    path = write("folder/mine.py", "import sys\nsys.path.insert(0, 'mine')\nfrom helper import value\n")
    before = list(sys.path)
    assert load_module(str(path)).value == 1
    assert sys.path == ["mine", *before], "what it added itself stays"
    sys.path.remove("mine")


def test_a_dataclass_in_a_file_works(write: Write) -> None:
    # dataclasses look their module up in sys.modules when annotations are strings
    path = write(
        "mine.py",
        """
        from __future__ import annotations
        from dataclasses import dataclass
        @dataclass
        class Settings:
            seed: int = 0
        """,
    )
    assert load_module(str(path)).Settings(3).seed == 3


def test_a_file_named_like_another_module_replaces_nothing(write: Write) -> None:
    path = write("json.py", PAIR)
    import json

    assert _one(f"{path}:nll").rule.name == "json.nll_grad"
    assert sys.modules["json"] is json


def test_cases_come_from_the_module(write: Write) -> None:
    path = write(
        "mine.py", PAIR + "    cases = 'for all'\n    hinge_cases = 'for hinge'\n" + PAIR.replace("nll", "hinge")
    )
    found: list[object] = [t.cases() for t in resolve(str(path))]
    assert found == ["for all", "for hinge"]


def test_cases_of_a_forward_are_those_of_the_function_it_is_of(write: Write) -> None:
    names = ("relu", "tanh", "norm")
    pairs = "".join(f"def {f}_forward(x): ...\ndef {f}_backward(dout, cache): ...\n" for f in names)
    mine = write("mine.py", pairs + "relu_cases = 'short'\ntanh_cases = 'of f'\ntanh_forward_cases = 'full'\n")
    found: list[object] = [t.cases() for t in resolve(str(mine))[:2]]
    assert found == ["short", "full"]
    with pytest.raises(TargetError, match=r"mine: norm_forward takes 1 argument, .* norm_cases = gradcheck\."):
        _one(f"{mine}:norm_forward").cases()


@pytest.mark.parametrize("more", ["", ", reduction='mean'", ", *, reduction='mean'"])
def test_two_arguments_are_taken_for_logits_and_labels(write: Write, more: str) -> None:
    path = write("mine.py", f"def nll(z, y{more}): ...\ndef nll_grad(z, y{more}): ...")
    assert isinstance(_one(str(path)).cases(), SearchStrategy)


@pytest.mark.parametrize(("parameters", "shown"), [("w", "1 argument,"), ("x, w, b", "3 arguments,")])
def test_other_arguments_need_cases(write: Write, parameters: str, shown: str) -> None:
    target = _one(str(write("mine.py", f"def f({parameters}): ...\ndef f_grad({parameters}): ...")))
    with pytest.raises(TargetError, match=rf"mine: f takes {shown} so .* f_cases = gradcheck\.strategies\.like"):
        target.cases()


RULE = """
    import gradcheck
    rule = gradcheck.from_{maker}(lambda {parameters}: 0.0, lambda {parameters}: 0.0, name="rule")
"""


@pytest.mark.parametrize("maker", ["loss", "forward_backward"])
def test_a_rule_of_two_arguments_too(write: Write, maker: str) -> None:
    two = _one(str(write("two.py", RULE.format(maker=maker, parameters="z, y"))))
    assert isinstance(two.cases(), SearchStrategy)
    three = _one(str(write("three.py", RULE.format(maker=maker, parameters="a, b, c"))))
    with pytest.raises(TargetError, match="rule takes 3 arguments"):
        three.cases()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("absent.py", r"^absent\.py: no such file$"),
        ("absent.py:nll", r"^absent\.py: no such file$"),
        (
            "no.such.module:f",
            r"^no\.such\.module: importing it raised ModuleNotFoundError: .*; is it installed, or should",
        ),
        ("", "Empty module name"),
    ],
)
def test_what_cannot_be_imported(text: str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        resolve(text)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_package", r"ModuleNotFoundError: No module named 'no_such_package', at .*broken\.py:1$"),
        ("\n1 / 0", r"importing it raised ZeroDivisionError: division by zero, at .*broken\.py:2$"),
        ("def f(:", r"importing it raised SyntaxError: .*broken\.py, line 1"),
        ("import sys\nsys.exit(0)", r"importing it raised SystemExit: 0, at .*broken\.py:2$"),
    ],
)
@pytest.mark.parametrize("text", ["broken.py", "broken"])
def test_what_raises_at_import_says_where(write: Write, text: str, source: str, message: str) -> None:
    write("broken.py", source)
    importlib.invalidate_caches()
    with pytest.raises(TargetError, match=message):
        resolve(text)
    assert "broken" not in sys.modules


def test_an_interrupt_is_not_caught(write: Write) -> None:
    path = write("mine.py", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        resolve(str(path))


def test_a_file_without_an_ending_is_no_module(write: Write) -> None:
    write("notes", "text")
    with pytest.raises(TargetError, match=r"^notes: not a Python file$"):
        resolve("notes")


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        (PAIR, "nul", r"^mine has no 'nul'; it has nll_grad$"),
        ("", "nll", r"^mine has no 'nll'; it has nothing to check$"),
        ("def nll(z, y): ...", "nll", r"^nll stands alone in mine: name its partner nll_grad or grad_nll"),
        ("nll = 3", "nll", r"^nll in mine is neither a function nor a Rule: int$"),
        ("nll = None", "nll", r"^nll in mine is neither a function nor a Rule: NoneType$"),
        ("def f(): ...", "", r"mine\.py: no pair found\. A pair is f with f_grad or grad_f"),
    ],
)
def test_what_is_no_target(write: Write, source: str, name: str, message: str) -> None:
    path = write("mine.py", source)
    with pytest.raises(TargetError, match=message):
        resolve(f"{path}:{name}")


@pytest.mark.parametrize("text", ["C:\\mine.py", "C:/folder/mine.py"])
def test_the_colon_of_a_drive_is_no_name(text: str) -> None:
    with pytest.raises(TargetError, match=f"^{re.escape(text)}: no such file$"):
        resolve(text)


def test_a_single_rule_is_wanted(write: Write) -> None:
    path = write("mine.py", PAIR + PAIR.replace("nll", "hinge"))
    with pytest.raises(TargetError, match=rf"{path} holds 2 gradients \(nll, hinge\); name one: {path}:nll$"):
        resolve_rule(str(path))
    assert resolve_rule(f"{path}:hinge").name == "mine.hinge_grad"


LONE = """
    import numpy as np
    def dz(z, y):
        a = np.exp(z - z.max(axis=1, keepdims=True))
        a /= a.sum(axis=1, keepdims=True)
        return (a - (np.arange(z.shape[1]) == y[:, None])) / len(y)
    def three(z, y, w): ...
"""


def test_a_lone_gradient_by_the_logits_has_the_usual_loss(write: Write) -> None:
    path = write("mine.py", LONE)
    rule = softmax_nll_gradient(f"{path}:dz")
    assert rule.target == ("gradcheck.targets:mean_nll", "mine:dz"), "so that a failure can be replayed"
    assert gradcheck.check(rule, np.array([[0.5, -1.0, 0.0]]), np.array([1]))
    with pytest.raises(TargetError, match=r"^three takes 3 arguments; .* takes two: three\(z, y\)$"):
        softmax_nll_gradient(f"{path}:three")


def test_a_gradient_by_the_logits_may_bring_its_loss(write: Write) -> None:
    path = write("mine.py", PAIR + PAIR.replace("nll", "hinge"))
    assert softmax_nll_gradient(f"{path}:nll_grad").name == "mine.nll_grad"
    with pytest.raises(TargetError, match=r"^mine has no 'absent'"):
        softmax_nll_gradient(f"{path}:absent")
    with pytest.raises(TargetError, match="holds 2 gradients"):
        softmax_nll_gradient(str(path))


def _failure(target: tuple[str, ...], files: tuple[str, ...], maker: str = "from_loss") -> Failure:
    return Failure("my rule", maker, target, files, (1,), False, (np.ones(2),), {}, None, 0)


def _value(rule: Rule) -> object:
    return rule(np.ones(2), np.ones(2))[0]


def test_a_kept_rule_is_made_again(write: Write) -> None:
    write("kept.py", PAIR)
    importlib.invalidate_caches()
    rule = load_rule(_failure(("kept:nll", "kept:nll_grad"), ("", "")))
    assert (rule.name, rule.argnums, rule.maker, rule.target) == (
        "my rule",
        (1,),
        "from_loss",
        ("kept:nll", "kept:nll_grad"),
    )


@pytest.mark.parametrize("module", ["gone", "__main__", "json"])
def test_a_kept_rule_is_found_in_its_file(write: Write, module: str) -> None:
    # no module of that name is on the path, or it is another one
    file = str(write(f"folder/{module}.py", PAIR.replace("0.0", "'from the file'")))
    assert _value(load_rule(_failure((f"{module}:nll", f"{module}:nll_grad"), (file, file)))) == "from the file"


def test_a_module_of_a_package_is_found_by_name_wherever_it_was(write: Write) -> None:
    write("package/__init__.py", "")
    write("package/losses.py", PAIR.replace("0.0", "'now'"))
    old = str(write("old/losses.py", PAIR.replace("0.0", "'then'")))
    importlib.invalidate_caches()
    assert _value(load_rule(_failure(("package.losses:nll", "package.losses:nll_grad"), (old, old)))) == "now"


@pytest.mark.parametrize(
    ("target", "maker", "message"),
    [
        ((), "from_loss", r"^the functions of my rule cannot be found by name; .*--target FILE\.py:NAME$"),
        (("json:dumps", "json:loads"), "", r"^the functions of my rule cannot be found by name"),
        (("json:absent", "json:loads"), "from_loss", r"^json has no absent any more; .*--target FILE\.py:NAME$"),
        (("json:JSONDecoder.absent", "json:loads"), "from_loss", r"^json has no JSONDecoder\.absent any more"),
        (("no_such:f", "no_such:g"), "from_loss", r"^no_such: importing it raised ModuleNotFoundError"),
    ],
)
def test_a_kept_rule_that_is_gone(target: tuple[str, ...], maker: str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        load_rule(_failure(target, ("",) * len(target), maker))
