"""Oracles: each says what a derivative is, and how far it may be off."""
