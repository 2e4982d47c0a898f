"""Wrong gradients of no listed kind: slips of algebra that are one author's alone, and have no name.

Each is a right rule and what is returned in the place of its answer. The first are functions of one number, with a
slope that somebody got wrong; the others tamper with the rules that mistakes are put into.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from _diagnosis_rules import RULES, log_softmax, one_hot, softmax
from _diagnosis_subject import Arguments, Cases, Subject

import gradcheck
from gradcheck import domain
from gradcheck import strategies as gst


@dataclass(frozen=True, eq=False)
class Here:
    """What a wrong gradient is made of: arguments, options, cotangent, and the right answer."""

    args: Arguments
    data: dict[str, Any]
    cotangent: Any
    right: Any


Tamper = Callable[[Here], Any]


@dataclass(frozen=True)
class Unlisted:
    """A wrong gradient that has no name, beside the right rule."""

    name: str
    subject: Subject
    make: Callable[[], gradcheck.Rule]


def _slope(name: str, function: Any, right: Any, wrong: Any, positive: bool = False) -> Unlisted:
    """Make a function of one number with two slopes."""
    where = domain.positive if positive else None

    def make(slope: Any) -> gradcheck.Rule:
        return gradcheck.from_vjp(function, lambda x, cotangent: cotangent * slope(x), name=name, domain=where)

    example = np.linspace(0.5, 2.5, 6).reshape(2, 3) if positive else np.linspace(-2.0, 2.5, 6).reshape(2, 3)
    cases: Cases = partial(gst.like, example, domain=where)
    return Unlisted(name, Subject(name, partial(make, right), cases), partial(make, wrong))


def _tampered(subject: str, name: str, tamper: Tamper) -> Unlisted:
    (right,) = (rule for rule in RULES if rule.name == subject)

    def make() -> gradcheck.Rule:
        rule = right.make()

        def call(*args: Any, **data: Any) -> Any:
            out, pullback = rule(*args, **data)
            return out, lambda cotangent: tamper(Here(args, data, cotangent, pullback(cotangent)))

        return replace(rule, call=call)

    return Unlisted(f"{subject}: {name}", right, make)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _softplus(x: Any) -> Any:
    return np.logaddexp(0.0, x)


def _bump(x: Any) -> Any:
    return x * np.exp(-x * x)


def _half_parabola(x: Any) -> Any:
    return np.where(x > 0, x * x, 0.0)


_SLOPES = (
    _slope("1 - tanh for 1 - tanh^2", np.tanh, lambda x: 1 - np.tanh(x) ** 2, lambda x: 1 - np.tanh(x)),
    _slope(
        "a (1 + a) for a (1 - a)",
        _sigmoid,
        lambda x: _sigmoid(x) * _sigmoid(-x),
        lambda x: _sigmoid(x) * (1 + _sigmoid(x)),
    ),
    _slope("sine for cosine", np.sin, np.cos, np.sin),
    _slope("an exponent off by one", lambda x: x**3, lambda x: 3 * x**2, lambda x: 3 * x),
    _slope("the other side of softplus", _softplus, _sigmoid, lambda x: _sigmoid(-x)),
    _slope("sinh for tanh", lambda x: _softplus(2 * x) - x, np.tanh, np.sinh),
    _slope("1 / x^2 for 1 / x", np.log, lambda x: 1 / x, lambda x: 1 / x**2, positive=True),
    _slope("x / (2 sqrt(x))", np.sqrt, lambda x: 0.5 / np.sqrt(x), lambda x: x / (2 * np.sqrt(x)), positive=True),
    _slope(
        "a product rule with a minus lost",
        _bump,
        lambda x: np.exp(-x * x) * (1 - 2 * x * x),
        lambda x: np.exp(-x * x) * (1 + 2 * x * x),
    ),
    _slope("arctan without its square", np.arctan, lambda x: 1 / (1 + x * x), lambda x: 1 / (1 + abs(x))),
    _slope("a threshold moved", _half_parabola, lambda x: 2 * np.maximum(x, 0), lambda x: np.where(x > 1, 2 * x, 0.0)),
)


def _entry_off(here: Here) -> Any:
    wrong = here.right.copy()
    wrong[..., 0] *= 1.3
    return wrong


def _two_mixed(here: Here) -> Any:
    wrong = here.right.copy()
    wrong[..., 0] = 0.75 * here.right[..., 0] + 0.25 * here.right[..., -1]
    wrong[..., -1] = 0.75 * here.right[..., -1] + 0.25 * here.right[..., 0]
    return wrong if here.right.shape[-1] > 1 else 1.1 * here.right + 0.01


def _clipped(here: Here) -> Any:
    return np.clip(here.right, -0.3, 0.3)


def _rounded(here: Here) -> Any:
    return np.rint(8 * here.right) / 8


def _wavy(here: Here) -> Any:
    return here.right * (1 + 0.1 * np.cos(1.0 + np.arange(here.right.size).reshape(here.right.shape)))


def _squared_probabilities(here: Here) -> Any:
    z, y = here.args
    return (softmax(z) ** 2 - one_hot(y, z.shape[1])) / max(len(y), 1)


def _brier(here: Here) -> Any:
    """Give the gradient of the mean squared distance of probabilities and labels."""
    z, y = here.args
    a = softmax(z)
    d = 2 * (a - one_hot(y, z.shape[1]))
    return a * (d - (a * d).sum(axis=1, keepdims=True)) / max(len(y), 1)


def _hinge(here: Here) -> Any:
    z, y = here.args
    own = one_hot(y, z.shape[1])
    over = (z - (z * own).sum(axis=1, keepdims=True) + 1 > 0) * (1 - own)
    return (over - own * over.sum(axis=1, keepdims=True)) * here.cotangent[:, None]


def _log_probabilities(here: Here) -> Any:
    z, y = here.args
    return (log_softmax(z) - one_hot(y, z.shape[1])) * here.cotangent[:, None]


def _temperature_upside_down(here: Here) -> Any:
    z, teacher = here.args
    t = here.data["temperature"]
    return t * (softmax(z * t) - softmax(teacher / t)) / max(len(z), 1)


def _power_of_the_norm(here: Here) -> Any:
    (x,) = here.args
    return x * (here.cotangent / (1.0 + np.sum(x * x, axis=-1)))[..., None]


def _smallest(here: Here) -> Any:
    (x,) = here.args
    return one_hot(np.argmin(x, axis=-1), x.shape[-1]) * here.cotangent[..., None] * 0.9


def _weights_squared(here: Here) -> Any:
    x, W, b, target = here.args
    dout = 2 * (x @ W.T + b - target) / len(x)
    return (dout @ (W * W), *here.right[1:])


def _target_added(here: Here) -> Any:
    x, W, b, target = here.args
    dout = 2 * (x @ W.T + b + target) / len(x)
    return dout @ W, dout.T @ x + here.data["l2"] * W, dout.sum(axis=0)


def _scale_twice_inside(here: Here) -> Any:
    q, k, v = here.args
    d = np.sqrt(q.shape[1]) + 0.5
    a = softmax(q @ k.T / d)
    dp = here.cotangent @ v.T
    ds = a * (dp - (a * dp).sum(axis=-1, keepdims=True)) / d
    return ds @ k, ds.T @ q, a.T @ here.cotangent


def _first_layer_of_another_slope(here: Here) -> Any:
    params, x, _ = here.args
    slope = 1 / (1 + (x @ params["W1"].T + params["b1"]) ** 2)
    return {**here.right, "b1": here.right["b1"] * (0.5 + slope.sum(axis=0) / (len(x) + 1))}


_TAMPERED = (
    _tampered("nll mean", "one entry off by a third", _entry_off),
    _tampered("nll mean", "probabilities squared", _squared_probabilities),
    _tampered("nll mean", "the gradient of the Brier score", _brier),
    _tampered("nll mean", "rounded to eighths", _rounded),
    _tampered("nll rows", "the gradient of a hinge loss", _hinge),
    _tampered("nll rows", "logarithms for probabilities", _log_probabilities),
    _tampered("distillation", "multiplied by the temperature", _temperature_upside_down),
    _tampered("softmax", "first and last entry mixed", _two_mixed),
    _tampered("softmax", "weights that nobody can explain", _wavy),
    _tampered("soft norm of rows", "another power of the norm", _power_of_the_norm),
    _tampered("soft norm of rows", "clipped", _clipped),
    _tampered("largest of rows", "given to the smallest", _smallest),
    _tampered("ridge", "the square of the weights", _weights_squared),
    _tampered("ridge", "target added", _target_added),
    _tampered("attention", "another scale inside", _scale_twice_inside),
    _tampered("network", "another slope in the first bias", _first_layer_of_another_slope),
)

UNLISTED = (*_SLOPES, *_TAMPERED)
