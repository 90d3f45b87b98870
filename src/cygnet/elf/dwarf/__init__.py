"""DWARF 2 to 5 as far as probes want it: functions with their parameters, types, and source lines.

Nothing is read before it is asked for: a unit's entries only when an address leads to it.
"""

from cygnet.elf.dwarf.info import Dwarf, Entry, Unit

__all__ = ["Dwarf", "Entry", "Unit"]
