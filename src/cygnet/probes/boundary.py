"""Whether an instruction begins where a probe is to be: one inside of an instruction breaks the program."""

from __future__ import annotations

from cygnet.elf.numbers import EM_AARCH64, EM_X86_64
from cygnet.errors import ProbeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.probes.model import Parsed
    from cygnet.probes.symbols import Symbols

_LONGEST = 15
_UNSAFE = "--unsafe skips the check; a probe inside of an instruction breaks the traced program"


def check(parsed: Parsed, symbols: Symbols, start: int, offset: int, name: str, *, sure: bool) -> None:
    """Refuse `offset` bytes behind `start`, where the function `name` begins, unless an instruction begins there.

    On x86-64 the instructions are followed from the function's start. One that is not known leaves it open whether
    what comes after it is right: that is refused too, unless `sure`.
    """
    if not offset:
        return
    if symbols.machine == EM_AARCH64:
        if offset % 4:
            raise _inside(parsed, name, offset, offset & ~3, (offset | 3) + 1)
    elif symbols.machine == EM_X86_64:
        from cygnet.elf.x86 import neighbours

        found = neighbours(symbols.code(start, offset + _LONGEST), offset)
        if found is None and not sure:
            raise ProbeError(f"cannot tell whether an instruction begins at {name}+{offset}", parsed.span, (_UNSAFE,))
        if found is not None and found[0] != offset:
            raise _inside(parsed, name, offset, *found)


def _inside(parsed: Parsed, name: str, offset: int, begin: int, end: int) -> ProbeError:
    here = f"{name}+{begin}" if begin else name
    return ProbeError(
        f"{name}+{offset} is inside of an instruction, which begins at {here}", parsed.span,
        (f"instructions begin at {here} and {name}+{end}", _UNSAFE),
    )  # fmt: skip
