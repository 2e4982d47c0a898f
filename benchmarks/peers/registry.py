"""Every peer, by the name under which it stands in the tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

from . import autograd_check_grads, jax_check_vjp, scipy_check_grad, torch_gradcheck
from .handwritten import Handwritten


@dataclass(frozen=True)
class Peer:
    """A gradient check of another package; ``check`` raises `Objection`, ``how`` says what is called."""

    name: str
    package: str
    how: str
    check: Callable[[Handwritten], None]

    @property
    def installed(self) -> bool:
        """Whether its package is there."""
        return find_spec(self.package) is not None


_ALL = (
    Peer("torch-slow", "torch", "torch.autograd.gradcheck(f, inputs)", torch_gradcheck.check),
    Peer(
        "torch-fast",
        "torch",
        "torch.autograd.gradcheck(f, inputs, fast_mode=True)",
        partial(torch_gradcheck.check, fast=True),
    ),
    Peer("jax", "jax", "jax.test_util.check_vjp(f, f_vjp, args) in float64", jax_check_vjp.check),
    Peer(
        "autograd",
        "autograd",
        'autograd.test_util.check_grads(f, modes=["rev"], order=1)(*args)',
        autograd_check_grads.check,
    ),
    Peer("scipy", "scipy", f"scipy.optimize.check_grad {scipy_check_grad.CRITERION}", scipy_check_grad.check),
)
PEERS = {peer.name: peer for peer in _ALL}
