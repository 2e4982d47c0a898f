"""``torch.autograd.gradcheck`` of an ``autograd.Function`` that calls NumPy."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .handwritten import Handwritten
from .objection import Objection


def check(rule: Handwritten, *, fast: bool = False) -> None:
    """Check the pair, wrapped."""
    torch: Any = import_module("torch")  # typed as Any: an optional package must not be needed to check types
    checker: Any = import_module("torch.autograd.gradcheck")  # as an attribute this is the function of the same name
    inputs = tuple(torch.tensor(primal, requires_grad=True) for primal in rule.primals)
    torch.manual_seed(0)  # the fast mode's direction
    try:
        checker.gradcheck(wrapped(rule).apply, inputs, fast_mode=fast)
    except checker.GradcheckError as error:
        raise Objection(str(error)) from error


def wrapped(rule: Handwritten) -> Any:
    """Make a Function of the pair; its arrays share memory with the tensors, strides included."""
    torch: Any = import_module("torch")

    class Wrapped(torch.autograd.Function):  # type: ignore[misc]  # its base is Any
        @staticmethod
        def forward(ctx: Any, *tensors: Any) -> Any:
            out, ctx.pull = rule.linearize(*(tensor.detach().numpy() for tensor in tensors))
            return torch.as_tensor(out)

        @staticmethod
        def backward(ctx: Any, cotangent: Any) -> Any:
            gradients = ctx.pull(cotangent.detach().numpy())
            return tuple(None if gradient is None else torch.as_tensor(gradient) for gradient in gradients)

    return Wrapped
