"""ELF files: sections, segments, symbols, notes; which file a name means.

Reading is here; a writer will be `cygnet.elf.writer`.
"""

from cygnet.elf.reader import Elf, Section, Segment

__all__ = ["Elf", "Section", "Segment"]
