"""The routines that machine code shares, made once a host: ways in and out, the search for a region, calls to Python.

In a routine that is reached by `call [r9 + …]` r10 carries a number: of a helper, of a fault, or what to check.
"""

from __future__ import annotations

from cygnet.vm.host import FRAME_BYTES
from cygnet.vm.jit import state
from cygnet.vm.jit.encoding import (
    I8,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
    RAX,
    RBP,
    RBX,
    RCX,
    RDI,
    RDX,
    RSI,
    RSP,
    alu_imm,
    lea,
    load_imm64,
    mem,
    mov,
    nops,
    pack32,
    pop,
    push,
    rr,
)
from cygnet.vm.jit.x86_64 import REGISTERS

AT = state.OFFSETS
E, NE, B, AE, BE, A, NS, S = 0x4, 0x5, 0x2, 0x3, 0x6, 0x7, 0x9, 0x8
_SAVED = (RBX, RBP, R12, R13, R14, R15)


class Code:
    """Bytes with labels; jumps are 32 bits wide."""

    def __init__(self) -> None:
        self.bytes = bytearray()
        self.labels: dict[str, int] = {}
        self._jumps: list[tuple[int, str]] = []

    def add(self, *parts: bytes) -> None:
        for part in parts:
            self.bytes += part

    def label(self, name: str) -> None:
        self.labels[name] = len(self.bytes)

    def align(self) -> None:
        self.bytes += nops(-len(self.bytes) % 16)

    def jump(self, name: str, condition: int | None = None) -> None:
        self.bytes += b"\xe9" if condition is None else bytes((0x0F, 0x80 | condition))
        self._jumps.append((len(self.bytes), name))
        self.bytes += bytes(4)

    def call(self, name: str) -> None:
        self.bytes += b"\xe8"
        self._jumps.append((len(self.bytes), name))
        self.bytes += bytes(4)

    def finish(self) -> bytes:
        for at, name in self._jumps:
            self.bytes[at : at + 4] = pack32(self.labels[name] - at - 4)
        return bytes(self.bytes)


def get(reg: int, name: str) -> bytes:
    return mem(b"\x8b", reg, R9, AT[name], wide=True)


def put(name: str, reg: int) -> bytes:
    return mem(b"\x89", reg, R9, AT[name], wide=True)


def _clear(*regs: int) -> bytes:
    return b"".join(rr(b"\x31", reg, reg, wide=False) for reg in regs)


def build(state_address: int) -> Code:
    """All routines, position-independent; r9 is to be `state_address` + BIAS."""
    code = Code()
    here = load_imm64(R9, state_address + state.BIAS)
    for routine in (
        _leave,
        _flush,
        _enter,
        _prepared,
        _batch,
        _call_back,
        _check,
        _check_wide,
        _faults,
        _py_call,
        _py_tail,
        _features,
    ):
        code.align()
        routine(code, here)
    return code


def _begin(code: Code, here: bytes) -> None:
    """Keep what C expects back, and the run that is going on (a helper may start another): `leave` undoes it."""
    code.add(*map(push, _SAVED), here)
    code.add(mem(b"\xff", 6, R9, AT["saved_rsp"]), mem(b"\xff", 6, R9, AT["cur_fp"]), put("saved_rsp", RSP))


def _leave(code: Code, here: bytes) -> None:
    """Out of machine code, with a number in eax."""
    code.label("leave")
    code.add(put("budget", R12), get(RSP, "saved_rsp"))
    code.add(mem(b"\x8f", 0, R9, AT["cur_fp"]), mem(b"\x8f", 0, R9, AT["saved_rsp"]))
    code.add(*map(pop, reversed(_SAVED)), b"\xc3")


def _start(code: Code) -> None:
    """Registers of a program that begins; r1 and r2 are there, and it clears r6 to r9 itself."""
    code.add(get(R12, "budget_start"), mem(b"\xc7", 0, R9, AT["tail_calls"], wide=True), pack32(0))
    code.add(_clear(RAX, RDX, RCX, R8))


def _enter(code: Code, here: bytes) -> None:
    """enter(r1, r2), with the function in rax: a run of a program; gives 0, or the number of a fault."""
    code.label("enter")
    _begin(code, here)
    code.add(mov(R10, RAX))
    _flush_if_changed(code, "enter")
    code.add(get(RBP, "stack_top"))
    _start(code)
    code.add(rr(b"\xff", 2, R10, wide=False))
    code.add(put("result", RAX), rr(b"\x31", RAX, RAX, wide=False))
    code.jump("leave")


def _flush_if_changed(code: Code, where: str) -> None:
    """Forget every slot when regions have come or gone. Uses r11 only."""
    code.add(get(R11, "regions"), mem(b"\x8b", R11, R11, 16, wide=True))
    code.add(mem(b"\x3b", R11, R9, AT["generation"], wide=True))
    code.jump(f"{where} same", E)
    code.call("flush")
    code.label(f"{where} same")


def _flush(code: Code, here: bytes) -> None:
    code.label("flush")
    code.add(put("generation", R11), rr(b"\x31", R11, R11, wide=False))
    for index in range(state.SLOTS):
        for offset in state.LIMIT_OF.values():
            code.add(mem(b"\x89", R11, R9, state.slot_offset(index) + offset, wide=True))
    code.add(push(RCX), get(RCX, "wide_used"))
    code.label("flush wide")
    code.add(alu_imm(5, RCX, 16))
    code.jump("flushed", B)
    # mov [r9 + rcx + …], r11
    code.add(b"\x4d\x89\x9c\x09", pack32(state.wide_slot_offset(0) + 8))
    code.jump("flush wide")
    code.label("flushed")
    code.add(pop(RCX), b"\xc3")


def _features(code: Code, here: bytes) -> None:
    """features(): ebx of cpuid leaf 7, where bit 8 is BMI2; 0 when there is no such leaf."""
    code.label("features")
    code.add(push(RBX), _clear(RAX), b"\x0f\xa2", alu_imm(7, RAX, 7, wide=False), b"\xb8\0\0\0\0")
    code.jump("no leaf", B)
    code.add(b"\xb8\x07\0\0\0", _clear(RCX), b"\x0f\xa2", rr(b"\x89", RBX, RAX, wide=False))
    code.label("no leaf")
    code.add(pop(RBX), b"\xc3")


def _prepared(code: Code, here: bytes) -> None:
    """prepared(), with the function in rax: `enter` with r1 and r2 from the state, since arguments cost Python more
    than all the rest."""
    code.label("prepared")
    code.add(mov(R10, R9), here, get(RDI, "context"), get(RSI, "length"), mov(R9, R10))
    code.jump("enter")


def _batch(code: Code, here: bytes) -> None:
    """batch(contexts, length, count, results, room), with the function in rax; gives 0, or a fault's number.

    Each context is copied to the room, which is r1 of every run; `length` is r2, and the 64-bit results go to an
    array. `rest` in the state is how many runs have not ended. Between runs, registers that every function keeps
    hold what is needed.
    """
    context, rest, results, function = RBX, R13, R14, R15
    code.label("batch")
    _begin(code, here)
    code.add(push(R8), push(RSI))  # room at rsp + 8, length at rsp
    code.add(mov(function, RAX), mov(context, RDI), mov(rest, RDX), mov(results, RCX))
    code.add(get(RBP, "stack_top"))
    _flush_if_changed(code, "batch")
    code.align()
    code.label("batch next")
    code.add(mem(b"\x8b", RDI, RSP, 8, wide=True), mem(b"\x8b", RSI, RSP, 0, wide=True))
    _copy_context(code)
    code.add(put("rest", rest))
    _start(code)
    code.add(rr(b"\xff", 2, function, wide=False))
    code.add(mem(b"\x89", RAX, results, 0, wide=True), alu_imm(0, results, 8))
    code.add(mem(b"\x03", context, RSP, 0, wide=True), alu_imm(5, rest, 1))
    code.jump("batch next", NE)
    code.add(rr(b"\x31", RAX, RAX, wide=False))
    code.jump("leave")


def _copy_context(code: Code) -> None:
    """rsi bytes from rbx to rdi: pieces of 16 from the end on, then one that overlaps; when they are fewer, of 1."""
    code.add(mov(RCX, RSI), alu_imm(5, RCX, 16))
    code.jump("batch few", B)
    code.label("batch piece")
    code.add(b"\x0f\x10\x04\x0b\x0f\x11\x04\x0f", alu_imm(5, RCX, 16))  # movups xmm0, [rbx + rcx]; [rdi + rcx] = xmm0
    code.jump("batch piece", AE)
    code.add(b"\x0f\x10\x03\x0f\x11\x07")  # the first 16
    code.jump("batch copied")
    code.label("batch few")
    code.add(alu_imm(0, RCX, 16))
    code.label("batch byte")
    code.add(alu_imm(5, RCX, 1))
    code.jump("batch copied", B)
    code.add(b"\x8a\x04\x0b\x88\x04\x0f")  # al = [rbx + rcx]; [rdi + rcx] = al
    code.jump("batch byte")
    code.label("batch copied")


def _call_back(code: Code, here: bytes) -> None:
    """call_back(function, r1 … r5) from a helper in Python: a function of the running program, one frame down."""
    code.label("call_back")
    code.add(mov(R10, RDI), mov(R11, R9), mov(RDI, RSI), mov(RSI, RDX), mov(RDX, RCX), mov(RCX, R8), mov(R8, R11))
    _begin(code, here)
    code.add(get(RBP, "cur_fp"), alu_imm(0, RBP, -FRAME_BYTES), get(R12, "budget"))
    code.add(mem(b"\x3b", RBP, R9, AT["stack_limit"], wide=True))
    code.jump("too deep", B)
    _flush_if_changed(code, "callback")
    code.add(_clear(RAX, RBX, R13, R14, R15), rr(b"\xff", 2, R10, wide=False))
    code.add(put("result", RAX), rr(b"\x31", RAX, RAX, wide=False))
    code.jump("leave")
    code.label("too deep")
    code.add(load_imm64(RAX, state.DEPTH))
    code.jump("leave")


_KEPT = (RAX, RCX, RDX, RSI, RDI)  # what the search for a region uses


def _check(code: Code, here: bytes) -> None:
    """A slot did not allow an access: look in the table of regions, and refill the slot.

    r11 is the address less the slot's start; r10d the slot's displacement, the size << 16, and bit 31
    for writing. A fault when no region allows it.
    """
    code.label("check")
    _look_up(code, "check failed")
    _fill(code)
    code.add(*map(pop, reversed(_KEPT)), b"\xc3")
    code.label("check failed")
    code.add(*map(pop, reversed(_KEPT)), put("address", R11), put("access", R10), load_imm64(R10, state.MEMORY))
    code.jump("fault")


def _check_wide(code: Code, here: bytes) -> None:
    """The same for several accesses at once; the carry flag tells that no region allows them all."""
    code.label("check_wide")
    _look_up(code, "check_wide failed")
    code.add(rr(b"\x0f\xbf", RSI, R10), rr(b"\x01", R9, RSI), mem(b"\x89", RAX, RSI, 0, wide=True))
    # rcx - rax is as long as the access at least
    code.add(rr(b"\x29", RAX, RCX), rr(b"\x29", RDX, RCX), alu_imm(0, RCX, 1), mem(b"\x89", RCX, RSI, 8, wide=True))
    code.add(*map(pop, reversed(_KEPT)), b"\xf8\xc3")
    code.label("check_wide failed")
    code.add(*map(pop, reversed(_KEPT)), b"\xf9\xc3")


def _look_up(code: Code, failed: str) -> None:
    """[rax, rcx) = what around the address r11 is allowed, rdx = the size of the access."""
    code.add(*map(push, _KEPT))
    code.add(rr(b"\x0f\xbf", RAX, R10), b"\x4d\x03\x1c\x01")  # movsx rax, r10w; add r11, [r9 + rax]
    code.add(rr(b"\x89", R10, RDX, wide=False), rr(b"\xc1", 5, RDX, wide=False), I8[16])
    code.add(alu_imm(4, RDX, 0x7FFF, wide=False))
    _search(code, failed)
    code.add(mem(b"\x8b", RAX, RSI, 0, wide=True), mem(b"\x8b", RCX, RSI, 8, wide=True))
    code.add(rr(b"\x39", RAX, R11))
    code.jump(failed, B)
    code.add(rr(b"\x39", RCX, R11))
    code.jump(failed, AE)
    code.add(rr(b"\x85", R10, R10, wide=False))
    code.jump(f"{failed} readable", NS)
    code.add(mem(b"\x83", 7, RSI, 16, wide=True), I8[0])
    code.jump(failed, E)
    code.label(f"{failed} readable")
    _narrow(code, failed)
    code.add(b"\x49\x8d\x3c\x13", rr(b"\x39", RCX, RDI))  # lea rdi, [r11 + rdx]
    code.jump(failed, A)


def _search(code: Code, where: str) -> None:
    """rsi = the last entry that begins at r11 or below; the table is never empty (the stack is in it)."""
    code.add(get(RCX, "regions"), mem(b"\x8b", RSI, RCX, 0, wide=True), mem(b"\x8b", RDI, RCX, 8, wide=True))
    code.label(f"{where} halve")
    code.add(alu_imm(7, RDI, 1))
    code.jump(f"{where} found", BE)
    code.add(mov(RCX, RDI), rr(b"\xd1", 5, RCX), mov(RAX, RCX), rr(b"\xc1", 4, RAX), I8[5])
    code.add(b"\x4c\x3b\x1c\x06")  # cmp r11, [rsi + rax]
    code.jump(f"{where} lower half", B)
    code.add(rr(b"\x01", RAX, RSI), rr(b"\x29", RCX, RDI))
    code.jump(f"{where} halve")
    code.label(f"{where} lower half")
    code.add(mov(RDI, RCX))
    code.jump(f"{where} halve")
    code.label(f"{where} found")


def _narrow(code: Code, failed: str) -> None:
    """[rax, rcx) is the region; make it the item of a row of items, or what is in use of the stack."""
    code.add(mem(b"\x8b", RDI, RSI, 28), rr(b"\x85", RDI, RDI, wide=False))
    code.jump(f"{failed} undivided", E)
    code.add(push(RDX), mov(RCX, RAX), mov(RAX, R11), rr(b"\x29", RCX, RAX), _clear(RDX), rr(b"\xf7", 6, RDI))
    code.add(mov(RAX, R11), rr(b"\x29", RDX, RAX), mem(b"\x8b", RCX, RSI, 24), rr(b"\x01", RAX, RCX), pop(RDX))
    code.label(f"{failed} undivided")
    code.add(mem(b"\x3b", RAX, R9, AT["stack_start"], wide=True))
    code.jump(f"{failed} no stack", NE)
    code.add(lea(RAX, RBP, -FRAME_BYTES), rr(b"\x39", RAX, R11))
    code.jump(failed, B)
    code.label(f"{failed} no stack")


def _fill(code: Code) -> None:
    """[rax, rcx) into the slot of r10w; r11 becomes the offset in it."""
    code.add(rr(b"\x0f\xbf", RSI, R10), rr(b"\x01", R9, RSI), mem(b"\x89", RAX, RSI, 0, wide=True))
    code.add(rr(b"\x29", RAX, R11), rr(b"\x29", RAX, RCX), _clear(RDI))
    for size, offset in state.LIMIT_OF.items():
        code.add(lea(RDX, RCX, 1 - size), alu_imm(7, RCX, size))
        code.add(b"\x48\x0f\x42\xd7")  # cmovb rdx, rdi
        code.add(mem(b"\x89", RDX, RSI, offset, wide=True))


def _faults(code: Code, here: bytes) -> None:
    """fault: r10d says which; the return address says where."""
    code.label("fault")
    for number, reg in enumerate(REGISTERS):
        code.add(put(f"reg{number}", reg))
    code.add(pop(R11), put("site", R11), rr(b"\x89", R10, RAX, wide=False))
    code.jump("leave")


_ARGUMENTS = (RDI, RSI, RDX, RCX, R8)


def _to_python(code: Code, here: bytes) -> None:
    """Call what r11 points to with the program's r1 to r5 and r10 as arguments; r9 and r12 are right afterwards."""
    code.add(put("cur_fp", RBP), put("budget", R12))
    for number, reg in enumerate(_ARGUMENTS, 1):
        code.add(put(f"reg{number}", reg))
    code.add(put("reg0", RAX), mov(RAX, RSP), alu_imm(4, RSP, -16), push(RAX), push(RAX), mov(R9, R10))
    code.add(rr(b"\xff", 2, R11, wide=False), mem(b"\x8b", RSP, RSP, 0, wide=True))
    code.add(here, get(R12, "budget"))


def _py_call(code: Code, here: bytes) -> None:
    """Helper number r10 through Python; r0 is its result."""
    code.label("py_call")
    code.add(get(R11, "dispatch"))
    _to_python(code, here)
    code.add(mem(b"\x83", 7, R9, AT["pending"]), I8[0])
    code.jump("helper failed", NE)
    _flush_if_changed(code, "call")
    code.add(b"\xc3")
    code.label("helper failed")
    for number, reg in enumerate((RAX, *_ARGUMENTS)):
        code.add(get(reg, f"reg{number}"))
    code.add(load_imm64(R10, state.HELPER))
    code.jump("fault")


def _py_tail(code: Code, here: bytes) -> None:
    """A tail call: r11 is the function to go to, or 0; r0 and r1 stay as they were."""
    code.label("py_tail")
    code.add(get(R11, "tail"))
    _to_python(code, here)
    code.add(mem(b"\x83", 7, R9, AT["pending"]), I8[0])
    code.jump("helper failed", NE)
    code.add(mov(R10, RAX))
    _flush_if_changed(code, "tail")
    code.add(mov(R11, R10), get(RAX, "reg0"), get(RDI, "reg1"), b"\xc3")
