"""What ``-d STAGE`` shows: the program as text after each stage of the compiler."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cygnet.ir.core import Module
    from cygnet.lang.trace import ast
    from cygnet.lang.trace.check.checker import Checker
    from cygnet.spec.objects import ProgramSpec

#: stage -> what it shows, in the order of the compiler
STAGES = {
    "parse": "the program as it was read",
    "ast": "the program with macros expanded",
    "types": "the maps and their types",
    "codegen": "the intermediate representation, as lowered",
    "codegen-opt": "the same, simplified",
    "dis": "the instructions",
}
#: other names for stages
_ALIASES = {"ir": "codegen"}


class Dump:
    """Prints the stages that were asked for."""

    def __init__(self, stages: Sequence[str], write: Callable[[str], object]) -> None:
        wanted = {_ALIASES.get(stage, stage) for stage in stages}
        self.wanted = set(STAGES) if "all" in wanted else wanted
        self.write = write

    def _show(self, stage: str, text: str) -> None:
        self.write(f"-- {stage}: {STAGES[stage]}\n{text.rstrip()}\n\n")

    def program(self, stage: str, program: ast.Program) -> None:
        if stage in self.wanted:
            from cygnet.lang.trace.printer import to_text

            self._show(stage, to_text(program))

    def types(self, checker: Checker) -> None:
        if "types" not in self.wanted:
            return
        from cygnet.lang.trace import types as T

        lines = []
        for info in checker.maps.values():
            key = f"[{T.name(info.key)}]" if info.keyed else ""
            lines.append(f"{info.name}{key}: {info.agg.kind + '_t' if info.agg else T.name(info.value)}")
        self._show("types", "\n".join(lines))

    def modules(self, modules: Sequence[Module]) -> None:
        """The IR as lowered, and as it is after simplifying, which rewrites it in place."""
        from cygnet.ir.rules import simplify
        from cygnet.ir.text import print_module

        if "codegen" in self.wanted:
            self._show("codegen", "\n".join(print_module(module) for module in modules))
        if "codegen-opt" in self.wanted:
            for module in modules:
                for function in module.functions:
                    simplify(function)
            self._show("codegen-opt", "\n".join(print_module(module) for module in modules))

    def instructions(self, programs: Sequence[ProgramSpec]) -> None:
        if "dis" in self.wanted:
            self._show("dis", "\n".join(insns_text(program) for program in programs))


def insns_text(program: ProgramSpec) -> str:
    """A program's instructions under the lines of the source that they come from."""
    from cygnet.facts.helpers import helper_name
    from cygnet.isa.disasm import disassemble
    from cygnet.isa.encode import decode

    lines = {line.insn: line.text.strip() for line in program.lines}
    relocs = {reloc.insn: f"  ; {reloc.kind} {reloc.name}" for reloc in program.relocs}
    out = [f"{program.name}:"]
    shown = ""
    for slot, text in disassemble(decode(program.insns), helper_name=helper_name):
        line = lines.get(slot, shown)
        if line != shown:
            shown = line
            out.append(f"; {line}")
        out.append(f"{slot:5}: {text}{relocs.get(slot, '')}")
    return "\n".join(out) + "\n"
