"""Text of what a pass made: IR, machine instructions, or assembly."""

from __future__ import annotations

from cygnet.codegen.machine import ALU, CALL, DEF, KIND_NAMES, MFunction
from cygnet.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.codegen.machine import Insn, MBlock
    from cygnet.ir.core import Function, Module


def dump(module: Module, stage: str, scratch_map: str) -> str:
    """Compile `module` and give the state after pass `stage`. UsageError when there is no such pass."""
    from cygnet.codegen.pipeline import PASSES, Compiler

    if stage not in PASSES:
        raise UsageError(f"no pass {stage!r}; there are {', '.join(PASSES)}")
    texts: dict[str, str] = {}

    def watch(name: str, what: Function | MFunction, place: list[int] | None) -> None:
        if name == stage:
            texts[what.name] = machine_text(what, place) if isinstance(what, MFunction) else _ir_text(what)

    compiler = Compiler(module, scratch_map, 0, None, watch)
    stream = compiler.run()
    if stage == "emit":
        return _assembly(stream.finish(), stream.starts)
    return "\n".join([texts[function.name] for function in module.functions if function.name in texts])


def _ir_text(function: Function) -> str:
    from cygnet.ir.text import print_function

    return print_function(function)


def _assembly(insns: bytes, starts: dict[str, int]) -> str:
    from cygnet.isa.disasm import disassemble
    from cygnet.isa.encode import decode
    from cygnet.uapi import bpf_func

    names = {number: name[9:] for name, number in vars(bpf_func).items() if name.startswith("BPF_FUNC_")}
    labels = {slot: name for name, slot in starts.items()}
    lines = []
    for slot, text in disassemble(decode(insns), helper_name=lambda number: names.get(number)):
        if slot in labels:
            lines.append(f"{labels[slot]}:")
        lines.append(f"{slot:5}: {text}")
    return "\n".join(lines) + "\n"


def machine_text(function: MFunction, place: list[int] | None = None) -> str:
    """Machine instructions; with `place`, in the registers that they got."""
    lines = [f"{function.name} {function.kind}, {function.stack_bytes} bytes of stack:"]
    for block in function.blocks:
        params = ", ".join([_reg(param, place) for param in block.params])
        lines.append(f"b{block.index}({params}):" if params else f"b{block.index}:")
        lines += ["  " + _insn(insn, place) for insn in block.insns]
        if block.term is not None:
            lines.append("  " + _term(block, place))
    return "\n".join(lines) + "\n"


def _reg(reg: int, place: list[int] | None) -> str:
    if place is not None and reg >= 0:
        reg = place[reg]
    return f"r{reg}" if 0 <= reg <= 10 else "-" if reg < 0 else f"v{reg}"


def _insn(insn: Insn, place: list[int] | None) -> str:
    kind, code, dst, a, b, off, imm, extra, _, _ = insn
    target = f"{_reg(dst, place)} = " if dst >= 0 else ""
    words = [f"{target}{KIND_NAMES[kind]} {code:#04x}"]
    if kind == CALL:
        words.append(f"{extra if extra is not None else imm} of {a}")
        return " ".join(words)
    words += [_reg(reg, place) for reg in (a, b) if reg >= 0]
    if off and kind != DEF:
        words.append(f"off {off:+}")
    if b < 0 and (imm or kind in (ALU, DEF)):
        words.append(f"#{imm}")
    if extra is not None:
        words.append(str(extra))
    return " ".join(words)


def _term(block: MBlock, place: list[int] | None) -> str:
    assert block.term is not None
    code, a, b, imm, then, other = block.term[:6]
    if code == 0:
        args = ", ".join([_reg(arg, place) if arg.__class__ is int else f"{arg[0]} {arg[1]}" for arg in block.args])
        return f"goto b{then}({args})" if args else f"goto b{then}"
    right = _reg(b, place) if b >= 0 else f"#{imm}"
    return f"if {_reg(a, place)} {code:#04x} {right} goto b{then} else b{other}"
