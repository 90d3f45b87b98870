"""Kernel functions that programs may call: in Python, as helpers are, by name."""
