"""Programs that JAX derives, and the arithmetics that NumPy evaluates them in."""
