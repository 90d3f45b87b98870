"""A machine: the maps and programs of an object in user space, run on packets and contexts. The VM as a Runtime.

::

    with Machine(object_spec) as machine:
        machine.run("filter", packet)                     r0, an unsigned 64-bit number
        machine.program("filter").test_run(packet, data_out_bytes=2048)
        machine.maps["counts"][key]
        machine.world.task.comm = "nginx"
"""

from __future__ import annotations

from cygnet.maps.facade import Map
from cygnet.maps.making import from_spec
from cygnet.spec.apply import apply
from cygnet.spec.objects import ObjectSpec, ProgramSpec
from cygnet.vm.calls import Nested, Room, prepared, run_batch
from cygnet.vm.contexts import Context, for_program
from cygnet.vm.engines import engine_of
from cygnet.vm.host import Host
from cygnet.vm.jit.natives import is_plain
from cygnet.vm.linking import constants_of, is_of, resolver_of
from cygnet.vm.packetcalls import STRUCTURES, prepared_packet
from cygnet.vm.packets import Packet
from cygnet.vm.program import Program
from cygnet.vm.testrun import TestResult, test_run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, Self

    from cygnet.errors import CygnetError
    from cygnet.maps.base import UserMap
    from cygnet.spec.apply import Resolver
    from cygnet.spec.objects import LinkSpec, MapSpec
    from cygnet.spec.protocols import TargetInfo
    from cygnet.vm.coverage import Coverage
    from cygnet.vm.events import RingReader
    from cygnet.vm.world import World

    Input = Context | bytes | bytearray | memoryview | None
    Prepared = Callable[[bytes | bytearray | memoryview], int]

# kinds of links that are no places: whoever drives the machine runs their programs
_NO_PLACE = frozenset(("begin", "end", "signal", "test", "bench"))


class VmProgram:
    """A program of a machine."""

    __slots__ = ("code", "machine", "name", "spec", "type", "type_name")

    def __init__(self, machine: Machine, spec: ProgramSpec, code: Program) -> None:
        from cygnet.facts.progtypes import program_type

        self.machine = machine
        self.spec = spec
        self.code = code
        self.name, self.type = spec.name, spec.type
        self.type_name: str = program_type(spec.type).name

    def run(self, context: Input = None, *, packet: bytes | None = None) -> int:
        """r0 of one run; `context` is a packet, the bytes of a context, or what a builder made."""
        return self.machine.run(self, context, packet=packet)

    def test_run(
        self,
        data_in: bytes = b"",
        ctx_in: bytes = b"",
        *,
        data_out_bytes: int = 0,
        ctx_out_bytes: int = 0,
        repeat: int = 0,
        flags: int = 0,
        cpu: int = 0,
    ) -> TestResult:
        """What `cygnet.kernel.progs.Program.test_run` gives, for any type of program."""
        return test_run(self, data_in, ctx_in, data_out_bytes, ctx_out_bytes, repeat, flags, cpu)

    def close(self) -> None:
        """It goes with its machine."""

    def __repr__(self) -> str:
        return f"<VmProgram {self.name!r} {self.type_name}>"


class Link:
    """A program that waits for a probe: `Machine.fire` runs it."""

    __slots__ = ("machine", "program", "spec")

    def __init__(self, machine: Machine, spec: LinkSpec, program: VmProgram) -> None:
        self.machine, self.spec, self.program = machine, spec, program

    def close(self) -> None:
        if self in self.machine.links:
            self.machine.links.remove(self)


class Machine:
    """spec.protocols.Runtime in user space.

    `engine` is jit, python or interpreter; `unsafe` lets the JIT leave out its checks, `budget` is how many instructions one
    run may take. `target` says what types and records look like, for programs whose relocations ask (RelocationError
    without one); `session` holds the numbers of SESSION relocations. `coverage` counts the instructions executed, and
    needs the interpreter. `verdicts` are a verifier's, by program name: such a program runs unchecked, if it is the one
    that the verdict is about, with the same maps, and touches nothing but its stack, context, packet and maps.
    """

    def __init__(
        self,
        spec: ObjectSpec | ProgramSpec | None = None,
        engine: str = "jit",
        *,
        unsafe: bool = False,
        budget: int | None = None,
        seed: int | None = None,
        cpus: int = 0,
        target: TargetInfo | None = None,
        session: Mapping[str, int] | None = None,
        resolver: Resolver | None = None,
        verdicts: Mapping[str, Any] | None = None,
        coverage: bool = False,
    ) -> None:
        self.spec = ObjectSpec(programs=(spec,)) if isinstance(spec, ProgramSpec) else spec or ObjectSpec()
        self.engine_name = "interpreter" if coverage else engine
        self.host = Host(budget=budget, seed=seed, cpus=cpus)
        self.engine = engine_of(self.engine_name, self.host, unsafe)
        self.maps: dict[str, Map] = {}
        self.programs: dict[str, VmProgram] = {}
        self.links: list[Link] = []
        self.coverage: Coverage | None = None
        if coverage:
            from cygnet.vm.coverage import Coverage

            self.coverage = Coverage()
        self._stores: dict[str, UserMap] = {}
        self._specs: dict[str, MapSpec] = {}
        self._rings: dict[str, RingReader] = {}
        self._verdicts = dict(verdicts or {})
        self._resolver = resolver or resolver_of(self, target, session or {})
        self._prepared: dict[VmProgram, Prepared] = {}
        self._room: Room | None = None
        self._depth = 0
        self._spare: Packet | None = None
        if any(map_spec.btf for map_spec in self.spec.maps):
            self.host.kfuncs.btf = next(map_spec.btf for map_spec in self.spec.maps if map_spec.btf)
        try:
            for map_spec in self.spec.maps:
                self.open_map(map_spec)
            for program in self.spec.programs:
                self.load(program)
        except BaseException:
            self.close()
            raise

    @property
    def world(self) -> World:
        """Task, clock, address space, sockets … that programs see, and what they did."""
        return self.host.world

    # ── maps and programs ──

    def open_map(self, spec: MapSpec, *, inner: UserMap | None = None, **more: Any) -> UserMap:
        """Make a map; `inner` (the template of a map of maps) and `fields` (special ones of its values) stand for what the
        spec says of them."""
        made = from_spec(self.host.map_host, spec, inner=inner, **more)
        self._stores[spec.name] = made
        self._specs[spec.name] = spec
        self.maps[spec.name] = Map(made)
        return made

    def map(self, name: str) -> UserMap:
        """A map as bytes; `maps` has it as a mapping. KeyError when there is none."""
        return self._stores[name]

    def map_spec(self, name: str) -> MapSpec:
        """The blueprint that a map was made from; KeyError when there is none."""
        return self._specs[name]

    def load(self, program: ProgramSpec) -> VmProgram:
        """Relocate a program and take it in. RelocationError for what this machine has not got."""
        insns, constants = apply(program, self._resolver), constants_of(self, program)
        verdict = self._verdicts.get(program.name)
        if verdict is not None and not is_of(verdict, self, program, insns):
            verdict = None
        code = Program(
            insns,
            name=program.name,
            type=program.type,
            lines=program.lines,
            functions=program.functions,
            constants=constants,
            verdict=verdict,
            context_bytes=verdict.context_bytes if verdict is not None else 0,
        )
        made = self.programs[program.name] = VmProgram(self, program, code)
        return made

    def program(self, name: str) -> VmProgram:
        """A program by name; KeyError when there is none."""
        return self.programs[name]

    def _find(self, program: str | ProgramSpec | VmProgram) -> VmProgram:
        if isinstance(program, VmProgram):
            return program
        return self.programs[program if isinstance(program, str) else program.name]

    def set_program(self, array: str, index: int, program: str | VmProgram) -> None:
        """Let tail calls through a program array's index go to a program."""
        store: Any = self._stores[array]
        store.set_program(index, self._find(program).code)

    # ── running ──

    def run(
        self,
        program: str | ProgramSpec | VmProgram,
        context: Input = None,
        *,
        packet: bytes | None = None,
        cpu: int | None = None,
    ) -> int:
        """Run a program once; r0 as an unsigned 64-bit number. Raises RuntimeFault."""
        found = self._find(program)
        if cpu is not None:
            self.host.cpu = cpu
        given = context if packet is None else packet
        if not isinstance(given, Context):
            return (self._prepared.get(found) or self.prepare(found))(given or b"")
        with Placed(self, found, given) as placed:
            return placed.run()

    def run_apart(self, program: VmProgram, context: Input) -> int:
        """`run` with memory of its own for the context: inside of another run, or with every instruction counted."""
        with Placed(self, program, self._context(program, context)) as placed:
            return placed.run()

    def _context(self, program: VmProgram, given: Input) -> Context:
        return given if isinstance(given, Context) else for_program(program.type_name, bytes(given or b""))

    def prepare(self, program: str | ProgramSpec | VmProgram) -> Prepared:
        """A function of the context, or of the packet, that runs the program, with everything done that can be done
        before."""
        found = self._find(program)
        call = self._prepared.get(found)
        if call is None:
            call = self._prepared[found] = self._prepare(found)
        return call

    def _prepare(self, program: VmProgram) -> Prepared:
        if self.coverage is not None:
            return lambda given: self.run_apart(program, given)
        if for_program(program.type_name, b"").structure in STRUCTURES:
            return prepared_packet(self, program)
        call, world = prepared(self.engine, program.code), self.world
        if is_plain(program.code):
            return call
        kind, place = program.type_name, program.spec.attach_type

        def typed(given: bytes | bytearray | memoryview) -> int:
            world.program_type, world.attach_type = kind, place
            return call(given)

        return typed

    def run_batch(
        self, program: str | ProgramSpec | VmProgram, contexts: bytes | bytearray | memoryview, size: int
    ) -> Sequence[int]:
        """r0 for each context of `size` bytes that lies in `contexts`, in order; with machine code the loop is
        machine code too (not for programs that have packets). RuntimeFault tells which by its `run`."""
        found = self._find(program)
        if _has_packets(found.type_name) or self.coverage is not None:
            return [self.run(found, contexts[at : at + size]) for at in range(0, len(contexts), size)]
        self.world.program_type = found.type_name
        return run_batch(self.engine, found.code, contexts, size)

    def execute(self, program: VmProgram, r1: int, r2: int) -> int:
        """Run with these registers, nothing else set up."""
        program.code.need_context(r2)
        if self.coverage is not None:
            return self.coverage.run(self.host, program.code, r1, r2)
        return self.engine.run(program.code, r1, r2)

    # ── probes ──

    def attach(self, link: LinkSpec) -> Link:
        """Let a program wait for its probe: `fire` with that name, or the link, runs it."""
        made = Link(self, link, self.programs[link.program])
        self.links.append(made)
        return made

    def attach_all(
        self,
        links: Iterable[LinkSpec] | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
        failed: Callable[[LinkSpec, CygnetError], None] | None = None,
    ) -> int:
        """Attach every link (of the object, unless some are given); how many there are. Nothing can fail here."""
        wanted = [link for link in (self.spec.links if links is None else links) if link.kind not in _NO_PLACE]
        for done, link in enumerate(wanted, 1):
            self.attach(link)
            if progress is not None:
                progress(done, len(wanted))
        return len(wanted)

    def detach_all(self) -> None:
        """No program waits for a probe any more."""
        self.links.clear()

    def fire(self, probe: str | LinkSpec, context: Input = None) -> list[int]:
        """An event happens: r0 of every program that waits for it, in the order they were attached."""
        name = probe if isinstance(probe, str) else probe.probe
        return [self.run(link.program, context) for link in list(self.links) if link.spec.probe == name]

    def events(self, ring: str) -> RingReader:
        """The reader of a ring buffer map; always the same one for a map."""
        found = self._rings.get(ring)
        if found is None:
            from cygnet.vm.events import RingReader

            store: Any = self._stores[ring]
            found = self._rings[ring] = RingReader(store)
        return found

    def advance(self, nanoseconds: int) -> int:
        """Move the world's clock on, and fire the timers that become due; how many did."""
        from cygnet.vm.timers import advance

        return advance(self, nanoseconds)

    # ── the end ──

    def close(self) -> None:
        """Give all memory back. May be called twice."""
        if self._depth >= 0:
            self._depth = -1
            self.programs.clear()
            self._prepared.clear()
            self.links.clear()
            self.maps.clear()
            for ring in self._rings.values():
                ring.close()
            self._stores.clear()
            if self._spare is not None:
                self._spare.close()
            self.host.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Placed:
    """A context in the machine's memory for as long as a run takes."""

    __slots__ = ("_before", "address", "context", "machine", "packet", "program", "room")

    def __init__(self, machine: Machine, program: VmProgram, context: Context) -> None:
        self.machine, self.program, self.context = machine, program, context
        host, world = machine.host, machine.world
        self._before = world.packet, host.packet if host._callback is not None else (0, 0)
        # a run inside of another (a helper that fires a probe) must not share the memory of its context
        if machine._room is None or machine._depth:
            self.room = Room(host)
            if not machine._depth:
                machine._room = self.room
        else:
            self.room = machine._room
        self.packet: Packet | None = None
        size = len(context.data)
        self.room.fit(size)
        if size:
            self.room.view[:] = context.data
        self.address = self.room.address
        world.program_type = program.type_name
        world.attach_type = program.spec.attach_type
        if context.packet is not None:
            spare, machine._spare = machine._spare, None
            if spare is not None and spare.fits(len(context.packet)):
                spare.reset(context.packet, context.meta)
                self.packet = spare
            else:
                self.packet = Packet(host, context.packet, context.meta)
                if spare is not None:
                    spare.close()
            if context.skip:
                self.packet.move(self.packet.data + context.skip, self.packet.end)
            self.packet.on_move = self._refresh
            self._refresh()
        world.packet = self.packet
        host.context = self.address
        if context.setup is not None:
            context.setup(world, host)

    def _refresh(self) -> None:
        if self.packet is not None:
            self.context.refresh(self.room.view, self.packet)

    def run(self) -> int:
        machine = self.machine
        machine._depth += 1
        try:
            with Nested(machine.host):
                return machine.execute(self.program, self.address, self.room.size)
        finally:
            machine._depth -= 1

    def data(self) -> bytes:
        """The context as it is now."""
        return bytes(self.room.view)

    def close(self) -> None:
        machine, packet = self.machine, self.packet
        machine.world.packet, machine.host.packet = self._before
        if self.room is not machine._room:
            self.room.free()
        if packet is None:
            return
        packet.on_move = None
        if machine._spare is None and machine._depth == 0:
            machine._spare = packet  # the next packet goes to the same place
        else:
            packet.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _has_packets(program_type: str) -> bool:
    from cygnet.facts.progtypes import program_type as row

    return row(program_type).context in ("xdp_md", "__sk_buff", "sk_msg_md", "sk_reuseport_md")
