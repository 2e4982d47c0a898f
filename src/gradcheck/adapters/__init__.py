"""Foreign forms into a `Rule`: each module serves one way of writing a gradient by hand."""

from gradcheck.adapters.numpy import from_forward_backward, from_loss, from_pullback, from_vjp

__all__ = ["from_forward_backward", "from_loss", "from_pullback", "from_vjp"]
