"""BTF of our own programs: one object for all of them, with their functions and source lines."""

from __future__ import annotations

from cygnet.btf import kinds
from cygnet.btf.builder import Builder, ProgramInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cygnet.spec.objects import LineInfo, ProgramSpec

_IDENTIFIER = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


class DebugInfo:
    """`data` is what BPF_BTF_LOAD takes; `infos` gives (func_info, line_info) by program name."""

    __slots__ = ("data", "infos")

    def __init__(self, programs: Iterable[ProgramSpec]) -> None:
        builder = Builder()
        prototypes = _Prototypes(builder)
        self.infos = {program.name: _info(program, builder, prototypes) for program in programs}
        self.data = builder.to_bytes() if len(builder) else b""


class _Prototypes:
    """``int f(void *ctx)`` for programs, ``long f(void)`` for what they call.

    The kernel reads prototypes of global functions only; ours are static but for the entry, and a static
    one is checked by the instructions alone (kernel/bpf/btf.c, btf_prepare_func_args).
    """

    __slots__ = ("main", "static")

    def __init__(self, builder: Builder) -> None:
        self.main = builder.func_proto(builder.integer(4, True), [("ctx", builder.ptr(0))])
        self.static = builder.func_proto(builder.integer(8, True), [])


def _info(program: ProgramSpec, builder: Builder, prototypes: _Prototypes) -> tuple[bytes, bytes]:
    info = ProgramInfo(builder)
    for function in program.functions:
        name = identifier(function.name)
        if function.kind == "main":
            info.func(function.insn, builder.func(name, prototypes.main, kinds.GLOBAL))
        else:
            info.func(function.insn, builder.func(name, prototypes.static, kinds.STATIC))
    for line in program.lines:
        info.line(line.insn, program.source, line.text, line.line, line.col)
    if program.lines:
        _cover_starts(program, info)
    return info.func_info(), info.line_info() if program.functions else b""


def _cover_starts(program: ProgramSpec, info: ProgramInfo) -> None:
    """Each function must begin with a line; one without one takes the next line, or an empty one."""
    starts = {line.insn for line in program.lines}
    for function in program.functions:
        if function.insn not in starts:
            line = next((line for line in program.lines if line.insn > function.insn), None)
            text, number, col = (line.text, line.line, line.col) if line else ("", 0, 0)
            info.line(function.insn, program.source, text, number, col)


def identifier(name: str) -> str:
    """A name that BTF accepts for a function: letters, digits and underscores, not a digit first."""
    if name.isidentifier() and name.isascii():
        return name
    text = "".join([char if char in _IDENTIFIER else "_" for char in name]) or "_"
    return "_" + text if text[0].isdigit() else text


def line_of(program: ProgramSpec, insn: int) -> LineInfo | None:
    """The line that instruction slot `insn` stems from."""
    found = None
    for line in program.lines:
        if line.insn > insn:
            break
        found = line
    return found
