"""Helpers that are machine code: the BPF assembly of this folder, put together for a map."""

from __future__ import annotations

from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.isa.insn import Insn

_FOLDER = Path(__file__).parent
_made: dict[tuple[str, ...], list[Insn]] = {}


def text_of(parts: tuple[str, ...]) -> str:
    """The assembly of a helper: `parts` are files of this folder without ``.s``, one after the other."""
    return "".join((_FOLDER / f"{part}.s").read_text() for part in parts)


def helper_code(parts: tuple[str, ...]) -> list[Insn]:
    """The same as instructions: a function of r1 to r5 that gives r0, keeps r10 and uses no stack.

    It may change r6 to r9, so whoever calls it keeps them as for a call of a BPF function.
    """
    code = _made.get(parts)
    if code is None:
        from cygnet.isa.asm import assemble

        code = _made[parts] = assemble(text_of(parts))
    return code
