"""Addresses to names: the kernel's symbols, and those of processes."""

from cygnet.session.symbols.kernel import KernelSymbols
from cygnet.session.symbols.user import UserSymbols

__all__ = ["KernelSymbols", "UserSymbols"]
