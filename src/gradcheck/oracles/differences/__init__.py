"""Derivatives from values of the user's own forward: finite differences and complex steps, with errors that hold."""
