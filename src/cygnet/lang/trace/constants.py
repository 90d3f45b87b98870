"""Constants that kernel headers define and BTF lacks: address families, protocols, error numbers, signals."""

from __future__ import annotations


def constant(name: str) -> int | None:
    """The value of a well-known constant."""
    if name[:1] == "E":
        from cygnet.facts.errnos import error_number

        number = error_number(name)
        if number is not None:
            return number
    if name.startswith("SIG"):
        from cygnet.facts.signals import signal_number

        number = signal_number(name)
        if number is not None:
            return number
    from cygnet.facts.constants import value

    return value(name)
