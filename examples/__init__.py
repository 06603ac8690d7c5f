"""Runnable examples: the embedded stack, and applications that use it."""
