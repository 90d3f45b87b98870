"""BTF of our own programs: one object for all of them, with their functions and source lines."""

from __future__ import annotations

from cygnet.btf import kinds
from cygnet.btf.builder import Builder, ProgramInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cygnet.spec.objects import FuncInfo, LineInfo, ProgramSpec

_IDENTIFIER = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


class DebugInfo:
    """`data` is what BPF_BTF_LOAD takes; `infos` gives (func_info, line_info) by program name."""

    __slots__ = ("data", "infos")

    def __init__(self, programs: Iterable[ProgramSpec]) -> None:
        builder = Builder()
        prototypes = Prototypes(builder)
        self.infos = {program.name: _info(program, builder, prototypes) for program in programs}
        self.data = builder.to_bytes() if len(builder) else b""


class Prototypes:
    """``int f(void *ctx)`` for programs, ``long f(void)`` for what they call.

    The kernel reads prototypes of global functions only; ours are static but for the entry, and a static
    one is checked by the instructions alone (kernel/bpf/btf.c, btf_prepare_func_args).
    """

    __slots__ = ("_builder", "_main", "_static")

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._main = builder.func_proto(builder.integer(4, True), [("ctx", builder.ptr(0))])
        self._static = builder.func_proto(builder.integer(8, True), [])

    def function(self, function: FuncInfo) -> int:
        """The FUNC type of a function."""
        name = identifier(function.name)
        if function.kind == "main":
            return self._builder.func(name, self._main, kinds.GLOBAL)
        return self._builder.func(name, self._static, kinds.STATIC)


def _info(program: ProgramSpec, builder: Builder, prototypes: Prototypes) -> tuple[bytes, bytes]:
    info = ProgramInfo(builder)
    ends = [function.insn for function in program.functions[1:]] + [len(program.insns) // 8]
    for function, end in zip(program.functions, ends, strict=False):
        info.func(function.insn, prototypes.function(function))
        add_lines(info, program, function.insn, end)
    return info.func_info(), info.line_info() if program.functions else b""


def add_lines(info: ProgramInfo, program: ProgramSpec, start: int, end: int, shift: int = 0) -> None:
    """The lines of the function in slots `start` to `end`, which lies `shift` slots further on in what is made.

    Each function must begin with a line; one without one takes the next line, or an empty one.
    """
    lines = [line for line in program.lines if start <= line.insn < end]
    for line in lines:
        info.line(line.insn + shift, program.source, line.text, line.line, line.col)
    if program.lines and not (lines and lines[0].insn == start):
        after = next((line for line in program.lines if line.insn > start), None)
        text, number, col = (after.text, after.line, after.col) if after else ("", 0, 0)
        info.line(start + shift, program.source, text, number, col)


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
