"""What programs run in: memory, helpers, maps by handle, stack, clock. Engines and helpers share one Host."""

from __future__ import annotations

import random
from functools import cached_property

from cygnet.errors import HelperFault, RuntimeFault
from cygnet.maps.host import MapHost
from cygnet.maps.memory import Memory, read, write
from cygnet.vm.faults import describe_access
from cygnet.vm.helpers.registry import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cygnet.maps.base import UserMap
    from cygnet.vm.helpers.registry import Helper
    from cygnet.vm.kfuncs.registry import Kfuncs
    from cygnet.vm.program import Program
    from cygnet.vm.world import World


MAX_FRAMES = 8
FRAME_BYTES = 512
STACK_BYTES = MAX_FRAMES * FRAME_BYTES
MAX_TAIL_CALLS = 33
MAY_GOTO_ROUNDS = 8 * 1024 * 1024  # BPF_MAX_LOOPS of the kernel
# A function's address as programs see it: no memory can be there, every engine gives the same.
FUNCTIONS = 0x4000_0000_0000_0000
MASK64 = 0xFFFFFFFFFFFFFFFF


class Host:
    """One machine's state outside of its registers.

    helpers        by number; an own copy, which may be changed
    maps           by the handle that a 64-bit load puts in a register
    packet         (address, bytes) of what legacy packet loads read; (0, 0) is none
    cpu            the number of the processor that a run is on; `cpus` is how many there are (as here when 0)
    budget         instructions that one run may take, or None: what the engine thinks right
    """

    def __init__(self, *, budget: int | None = None, seed: int | None = None, cpus: int = 0) -> None:
        self.memory = Memory()
        self.regions = self.memory.regions
        self.stack = self.memory.block(STACK_BYTES, "stack")
        self.stack_top = self.stack.address + STACK_BYTES
        self.helpers: dict[int, Helper] = dict(table())
        self.map_host = MapHost(self.memory, cpus)
        self.maps: dict[int, UserMap] = self.map_host.maps
        self.programs: list[Program] = []
        self.settled: object = None  # the engine that has taken over packet and budget as they are
        self.ready = memoryview(bytearray(8)).cast("Q")  # 0 in what machine code reads: none has
        self._packet = (0, 0)
        self._budget = budget
        self.random = random.Random(seed)
        self.context = 0  # the context of the running program
        # the piece of memory that was read, and written, last: [start, end), so that most accesses need no search
        self.read_window = [0, 0]
        self.write_window = [0, 0]
        self.closing: list[Callable[[], None]] = []
        self.closed = False
        self._callback: Callable[..., int] | None = None  # of the run that is going on

    @property
    def cpu(self) -> int:
        return self.map_host.cpu

    @cpu.setter
    def cpu(self, number: int) -> None:
        self.map_host.cpu = number

    @property
    def packet(self) -> tuple[int, int]:
        return self._packet

    @packet.setter
    def packet(self, place: tuple[int, int]) -> None:
        self._packet = place
        self.unsettle()

    @property
    def budget(self) -> int | None:
        return self._budget

    @budget.setter
    def budget(self, instructions: int | None) -> None:
        self._budget = instructions
        self.unsettle()

    def unsettle(self) -> None:
        """What an engine has taken over is no longer so."""
        self.settled = None
        self.ready[0] = 0

    def enter(self, program: Program) -> None:
        """Give a program its number, by which function addresses find it. RuntimeFault when the host is closed."""
        if self.closed:
            raise RuntimeFault("the machine is closed")
        if program.number < 0 or program.number >= len(self.programs) or self.programs[program.number] is not program:
            program.number = len(self.programs)
            self.programs.append(program)

    def close(self) -> None:
        """End the engines that were made for this host, and give its memory back."""
        self.closed, self._callback = True, _ended  # prepared calls look at the latter only
        while self.closing:
            self.closing.pop()()
        self.map_host.close()
        self.memory.close()

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ── for helpers ──────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def world(self) -> World:
        """What helpers are told about task, clocks, sockets and the rest; made when it is first asked for."""
        from cygnet.vm.world import World

        made = World()
        made.on_socket = self.unsettle
        return made

    @cached_property
    def kfuncs(self) -> Kfuncs:
        """The kernel functions that programs name; made when the first does."""
        from cygnet.vm.kfuncs.registry import Kfuncs

        return Kfuncs()

    def call_kfunc(self, number: int, *arguments: int) -> int:
        """Run a kernel function with r1 to r5; its r0, unsigned."""
        found = self.kfuncs.find(number)
        return int(found.function(self, *arguments[: found.arity])) & MASK64

    def now_ns(self) -> int:
        return self.world.now_ns()

    def call(self, function: int, *arguments: int) -> int:
        """Call a function of the running program by its address, as bpf_loop does; its r0, unsigned."""
        if self._callback is None:
            raise HelperFault("no program is running that could be called back")
        return self._callback(function, arguments)

    def readable(self, address: int, size: int, what: str = "") -> bytes:
        """`size` bytes at an address that a program gave; HelperFault when it may not read them."""
        if size and not self.regions.find(address, size):
            raise HelperFault(_in(what) + describe_access(self.regions, address, size, False))
        return read(address, size)

    def writable(self, address: int, data: bytes, what: str = "") -> None:
        """Write to an address that a program gave; HelperFault when it may not write there."""
        if data and not self.regions.find(address, len(data), True):
            raise HelperFault(_in(what) + describe_access(self.regions, address, len(data), True))
        write(address, data)

    def check(self, address: int, size: int, *, write: bool = False, what: str = "") -> None:
        """HelperFault unless a program may do this."""
        if size and not self.regions.find(address, size, write):
            raise HelperFault(_in(what) + describe_access(self.regions, address, size, write))

    # ── for engines ──────────────────────────────────────────────────────────────────────────────────────

    def function_address(self, program: Program, slot: int) -> int:
        return FUNCTIONS | program.number << 32 | slot

    def function_slot(self, program: Program, address: int) -> int:
        """The slot of a function by its address; -1 when no function of `program` is there."""
        if address >> 32 != (FUNCTIONS >> 32) | program.number:
            return -1
        slot = address & 0xFFFFFFFF
        return slot if slot in program.starts else -1

    def tail_target(self, handle: int, index: int) -> Program | None:
        """The program that a tail call goes to; None when the slot is empty or out of range."""
        array = self.maps.get(handle)
        if array is None or not hasattr(array, "program"):
            raise HelperFault(f"tail call through {handle:#x}, which is no program array")
        found: Program | None = array.program(index & 0xFFFFFFFF)
        return found


def _ended(*_: object) -> int:
    raise RuntimeFault("the machine is closed")


def _in(what: str) -> str:
    return f"{what}: " if what else ""
