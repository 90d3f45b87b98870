"""Cygnet: the whole of BPF in one Python package."""

__version__ = "0.1.0"
