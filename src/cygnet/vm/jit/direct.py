"""Prepared programs as functions of CPython written in machine code: no Python is run between the caller and the program.

The function takes any object with a buffer, copies its bytes to the program's memory, runs, and gives r0. It does so
only for as many bytes as the last time (of an skb: with the same headers), while nothing else runs, and when Python has
changed nothing. Whatever else is asked of it goes to the function in Python that it stands for. Programs whose helpers may
want to know about the run are not called this way.

The code, and the cell that tells it where things are, live as long as the function does, longer than the machine.
"""

from __future__ import annotations

import ctypes
import sys
import sysconfig

from cygnet.maps.memory import SPACE, Mapping
from cygnet.vm.jit import state
from cygnet.vm.jit.encoding import (
    R12,
    R13,
    R14,
    RAX,
    RBX,
    RCX,
    RDI,
    RDX,
    RSI,
    RSP,
    alu_imm,
    load_imm64,
    mem,
    mov,
    pop,
    push,
    rr,
)
from cygnet.vm.jit.memory import Executable
from cygnet.vm.jit.routines import NE, Code, E

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cygnet.vm.jit.engine import Jit, Unit

AT = state.OFFSETS
_BUFFER_BYTES = 88  # of struct Py_buffer there are 80; the rest aligns the stack
_BUFFER, _BUFFER_LENGTH = 0, 16
_METH_O = 0x0008
_KEPT = (RBX, R12, R13, R14)
# words of the cell
ENABLED, SIZE, TARGET, R1, R2, TEMPLATE, TEMPLATE_SIZE, TEMPLATE_TARGET, HEAD, HEAD_SIZE = range(10)
_CELL_BYTES = 80
NONE, NO_HEAD = (0, 0, 0), (0, 0)


class _MethodDef(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


def is_possible() -> bool:
    """Whether this is the Python whose functions are made so, one thread at a time."""
    return sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")


class Direct:
    """What a function in machine code stands for: `slow` in Python, the code, its cell, and how failures are told.

    The function is `function`; called itself, this is the way that goes through Python. `place` tells where things are
    from now on; `stop` that they are nowhere any more.
    """

    __slots__ = ("_cell", "_code", "_fail", "_method", "slow", "words")

    def __init__(self, jit: Jit, unit: Unit, slow: Callable[[Any], int]) -> None:
        self.slow, self._fail = slow, jit.fail
        self._cell = Mapping(_CELL_BYTES)
        self.words = SPACE[self._cell.address : self._cell.address + _CELL_BYTES].cast("Q")
        code = _code(self._cell.address, jit.state_address + state.BIAS, unit.way)
        self._code = Executable(len(code))
        self._code.fill(code)
        self._method = _MethodDef(b"prepared", self._code.address, _METH_O, b"Run the program with this context; r0.")

    def __call__(self, given: Any) -> int:
        """An int is the number of a fault."""
        return self._fail(given) if type(given) is int else self.slow(given)

    def function(self) -> Callable[[Any], int]:
        make = ctypes.pythonapi.PyCFunction_NewEx
        make.restype, make.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
        made: Callable[[Any], int] = make(ctypes.addressof(self._method), self, None)
        return made

    def place(
        self,
        size: int,
        target: int,
        r1: int,
        r2: int,
        template: tuple[int, int, int] = NONE,
        head: tuple[int, int] = NO_HEAD,
    ) -> None:
        """Contexts of `size` bytes go to `target`; `template` is (from, bytes, to) of what is copied beside, for those that
        begin as `head` (address, bytes) does."""
        for word, value in enumerate((1, size, target, r1, r2, *template, *head)):
            self.words[word] = value

    def stop(self) -> None:
        self.words[ENABLED] = 0


def _api(name: str) -> bytes:
    """Call a function of Python's C interface."""
    address = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0
    return load_imm64(RAX, address) + rr(b"\xff", 2, RAX, wide=False)


def _word(reg: int, word: int) -> bytes:
    return mem(b"\x8b", reg, R13, 8 * word, wide=True)


def _code(cell: int, state_at: int, way: int) -> bytes:
    """PyObject *f(PyObject *self, PyObject *given): rbx and r12 keep these, r13 is the cell, r14 the state."""
    code = Code()
    code.add(*map(push, _KEPT), alu_imm(5, RSP, _BUFFER_BYTES))
    code.add(mov(RBX, RDI), mov(R12, RSI), load_imm64(R13, cell), load_imm64(R14, state_at))
    code.add(mem(b"\x83", 7, R13, 8 * ENABLED, wide=True), b"\0")
    code.jump("slow", E)
    for name, condition in (("ready", E), ("saved_rsp", NE)):  # Python changed nothing, and no program is running
        code.add(mem(b"\x83", 7, R14, AT[name], wide=True), b"\0")
        code.jump("slow", condition)
    code.add(mov(RDI, R12), mov(RSI, RSP), rr(b"\x31", RDX, RDX, wide=False), _api("PyObject_GetBuffer"))
    code.add(rr(b"\x85", RAX, RAX, wide=False))
    code.jump("refused", NE)
    code.add(mem(b"\x8b", RCX, RSP, _BUFFER_LENGTH, wide=True), mem(b"\x3b", RCX, R13, 8 * SIZE, wide=True))
    code.jump("other", NE)
    code.add(_word(RCX, HEAD_SIZE), mem(b"\x8b", RSI, RSP, _BUFFER, wide=True), _word(RDI, HEAD))
    code.add(rr(b"\x31", RAX, RAX, wide=False), b"\xf3\xa6")  # repe cmpsb, where nothing is equal to nothing
    code.jump("other", NE)
    code.add(_word(RCX, SIZE), mem(b"\x8b", RSI, RSP, _BUFFER, wide=True), _word(RDI, TARGET), b"\xf3\xa4")  # rep movsb
    code.add(mov(RDI, RSP), _api("PyBuffer_Release"))
    code.add(_word(RCX, TEMPLATE_SIZE), _word(RSI, TEMPLATE), _word(RDI, TEMPLATE_TARGET), b"\xf3\xa4")
    for word, name in ((R1, "context"), (R2, "length")):
        code.add(_word(RAX, word), mem(b"\x89", RAX, R14, AT[name], wide=True))
    code.add(load_imm64(RAX, way), rr(b"\xff", 2, RAX, wide=False), rr(b"\x85", RAX, RAX, wide=False))
    code.jump("failed", NE)
    code.add(mem(b"\x8b", RDI, R14, AT["result"], wide=True), _api("PyLong_FromUnsignedLongLong"))
    code.label("done")
    code.add(alu_imm(0, RSP, _BUFFER_BYTES), *map(pop, reversed(_KEPT)), b"\xc3")
    code.label("other")
    code.add(mov(RDI, RSP), _api("PyBuffer_Release"))
    code.jump("slow")
    code.label("failed")
    code.add(rr(b"\x63", RDI, RAX), _api("PyLong_FromLong"), mov(R12, RAX))
    code.label("slow")
    code.add(mov(RDI, RBX), mov(RSI, R12), rr(b"\x31", RDX, RDX, wide=False), rr(b"\x31", RAX, RAX, wide=False))
    address = ctypes.cast(ctypes.pythonapi.PyObject_CallFunctionObjArgs, ctypes.c_void_p).value or 0
    # a variadic function: al is how many vector registers have arguments
    code.add(load_imm64(RCX, address), rr(b"\xff", 2, RCX, wide=False))
    code.jump("done")
    code.label("refused")
    code.add(rr(b"\x31", RAX, RAX, wide=False))
    code.jump("done")
    return code.finish()
