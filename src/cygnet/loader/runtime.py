"""The live kernel as a Runtime: maps, programs, attachments and rings of one question, owned together."""

from __future__ import annotations

from cygnet.kernel.maps import KernelMap
from cygnet.kernel.progs import Program
from cygnet.spec.apply import apply
from cygnet.spec.objects import ObjectSpec
from cygnet.spec.resolver import SystemResolver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, Self

    from cygnet.errors import CygnetError, KernelVerifierError
    from cygnet.kernel.btfload import KernelBtf
    from cygnet.kernel.links import Attachment
    from cygnet.kernel.progs import RunStats
    from cygnet.kernel.ringbuf import RingBuffer
    from cygnet.loader.debuginfo import DebugInfo
    from cygnet.source import Source
    from cygnet.spec.objects import LinkSpec, MapSpec, ProgramSpec
    from cygnet.spec.protocols import TargetInfo


def kernel_runtime(
    spec: ObjectSpec,
    *,
    target: TargetInfo | None = None,
    session: Mapping[str, int] | None = None,
    source: Source | None = None,
) -> KernelRuntime:
    """A runtime with the object's maps made and its programs loaded; nothing is attached yet.

    `target` is the running system unless one is given; it is asked only for what relocations need.
    `session` holds the numbers of SESSION relocations; `source` gives verifier errors their span.
    When anything fails, all that was made is given back before the error goes on.
    """
    runtime = KernelRuntime(spec, target=target, session=session, source=source)
    try:
        for map_spec in spec.maps:
            runtime.open_map(map_spec)
        for program in spec.programs:
            runtime.load(program)
    except BaseException:
        runtime.close()
        raise
    return runtime


class ProgramStats:
    """What the kernel counted for a program: `run_time_ns` and `run_cnt` only while `count_run_time` is on."""

    __slots__ = ("name", "recursion_misses", "run_cnt", "run_time_ns")

    def __init__(self, name: str, run_cnt: int, run_time_ns: int, recursion_misses: int) -> None:
        self.name = name
        self.run_cnt = run_cnt
        self.run_time_ns = run_time_ns
        self.recursion_misses = recursion_misses


class KernelRuntime:
    """spec.protocols.Runtime on the running kernel.

    `notes` are sentences for a verbose user: what works less well than it could. Everything is held by
    file descriptors: when the process ends, however it ends, nothing is left.
    """

    __slots__ = ("_attachments", "_btf", "_debug", "_detached", "_iterators", "_maps", "_multi", "_programs",
                 "_resolver", "_rings", "_source", "_spec", "_stats", "_target", "_watched", "notes")  # fmt: skip

    def __init__(
        self,
        spec: ObjectSpec,
        *,
        target: TargetInfo | None = None,
        session: Mapping[str, int] | None = None,
        source: Source | None = None,
    ) -> None:
        self.notes: list[str] = []
        self._spec = spec
        self._source = source
        self._target = target
        self._maps: dict[str, KernelMap] = {}
        self._programs: dict[str, Program] = {}
        self._attachments: list[Attachment] = []
        self._detached: list[Attachment] = []
        self._iterators: list[Attachment] = []
        self._watched: list[tuple[int, Attachment]] = []
        self._rings: dict[str, RingBuffer] = {}
        self._multi: dict[str, str] | None = None
        self._debug: DebugInfo | None = None
        self._btf: KernelBtf | None = None
        self._stats: RunStats | None = None
        self._resolver = SystemResolver(self.target, self._map_fd, session or {}, _has_feature, _ksym)

    def target(self) -> TargetInfo:
        """The system that relocations are looked up on."""
        if self._target is None:
            from cygnet.kernel.target import LiveTarget

            self._target = LiveTarget()
        return self._target

    # ── maps ──

    def open_map(self, spec: MapSpec) -> KernelMap:
        """Make a map. Raises SystemCallError with the map's name and size when the kernel refuses."""
        made = self._maps[spec.name] = KernelMap.from_spec(spec)
        if spec.data:
            made.update(bytes(spec.key_size), spec.data)
        if spec.frozen:
            made.freeze()
        return made

    def map(self, name: str) -> KernelMap:
        """A map by name; KeyError when there is none."""
        return self._maps[name]

    def _map_fd(self, name: str) -> int:
        return self._maps[name].fd

    # ── programs ──

    def load(self, program: ProgramSpec) -> Program:
        """Relocate and load a program.

        Raises RelocationError, or KernelVerifierError whose `span` and `hints` name the user's line.
        """
        from cygnet.kernel import progs

        code = apply(program, self._resolver)
        btf_fd, func_info, line_info = self._debug_info(program)
        place = self._place(program)
        try:
            loaded = progs.load(
                code, program.type, program.license, program.name,
                expected_attach_type=self._attach_type(program), attach_btf_id=place.btf_id, attach_fd=place.fd,
                flags=program.flags, btf_fd=btf_fd, func_info=func_info, line_info=line_info,
            )  # fmt: skip
        except Exception as error:
            from cygnet.errors import KernelVerifierError

            if isinstance(error, KernelVerifierError):
                self._locate(error, program)
            raise
        finally:
            place.close()
        self._programs[program.name] = loaded
        return loaded

    def program(self, name: str) -> Program:
        """A loaded program by name; KeyError when there is none."""
        return self._programs[name]

    def _debug_info(self, program: ProgramSpec) -> tuple[int, bytes, bytes]:
        """(BTF descriptor, func_info, line_info); one BTF object serves all programs of the spec."""
        if not program.functions:
            return 0, b"", b""
        if self._debug is None:
            self._make_btf()
        if self._btf is None or self._debug is None:
            return 0, b"", b""
        return self._btf.fd, *self._debug.infos.get(program.name, (b"", b""))

    def _make_btf(self) -> None:
        """Without BTF programs run as well, but for callbacks; rejections then name no line. A note says so."""
        from cygnet.errors import BtfError
        from cygnet.kernel.btfload import KernelBtf
        from cygnet.loader.debuginfo import DebugInfo

        self._debug = DebugInfo([program for program in self._spec.programs if program.functions])
        try:
            self._btf = KernelBtf.load(self._debug.data) if self._debug.data else None
        except BtfError as error:
            self.notes.append(f"programs are loaded without function and line information: {error}")

    def _place(self, program: ProgramSpec) -> Any:
        """The function that a typed program belongs to; most belong to none."""
        if not program.attach_to:
            return _NOWHERE
        from cygnet.loader.attachto import place

        return place(self.target(), program)

    def _attach_type(self, program: ProgramSpec) -> int:
        """The expected_attach_type."""
        kind = self._multi_programs().get(program.name)
        if kind is None:
            return program.attach_type
        from cygnet.uapi import bpf

        return bpf.BPF_TRACE_UPROBE_MULTI if kind == "uprobe_multi" else bpf.BPF_TRACE_KPROBE_MULTI

    def _multi_programs(self) -> dict[str, str]:
        """Programs whose places are made as one link, and its kind: faster by far, to attach and to detach."""
        if self._multi is None:
            from cygnet.loader.multi import multi_programs

            self._multi = multi_programs(self._spec.links, _has_feature)
        return self._multi

    def _locate(self, error: KernelVerifierError, program: ProgramSpec) -> None:
        from cygnet.loader.locate import locate

        locate(error, program, self._source)

    def run(self, program: str | ProgramSpec) -> int:
        """Run a raw tracepoint program once, now, on this CPU: begin, end and signal probes. Its return value."""
        name = program if isinstance(program, str) else program.name
        return self._programs[name].test_run().retval

    # ── attachments ──

    def attach(self, link: LinkSpec) -> Attachment:
        """Attach a loaded program. Raises ProbeError, NotSupported or PermissionDenied."""
        from cygnet.kernel.links import attach

        if link.program in self._multi_programs():
            return self._attach_multi([link])
        made = attach(link.kind, self._programs[link.program].fd, link.target)
        self._attachments.append(made)
        if link.kind == "iter":
            self._iterators.append(made)
        elif link.kind == "watchpoint":
            self._watched.append((int(link.target["address"]), made))
        return made

    def unwatch(self, address: int) -> bool:
        """Detach the watchpoints on an address; whether there was one."""
        gone = [made for place, made in self._watched if place == address]
        self._watched = [one for one in self._watched if one[0] != address]
        for made in gone:
            made.close()
            if made in self._attachments:
                self._attachments.remove(made)
        return bool(gone)

    def iterate(self) -> None:
        """Run every attached iterator once, to its end. The call does not return before."""
        from cygnet.kernel.attach.iter import read

        for iterator in self._iterators:
            read(iterator)

    def _attach_multi(self, links: list[LinkSpec]) -> Attachment:
        from cygnet.kernel.links import attach
        from cygnet.loader.multi import multi_target

        program = links[0].program
        kind = self._multi_programs()[program]
        made = attach(kind, self._programs[program].fd, multi_target(kind, links))
        self._attachments.append(made)
        return made

    def attach_all(
        self,
        links: Iterable[LinkSpec] | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
        failed: Callable[[LinkSpec, CygnetError], None] | None = None,
    ) -> int:
        """Attach every link (of the object, unless some are given), in order; the number that hold.

        In which order programs at one place run then is the kernel's affair: some kinds go before those
        that are there.

        Links of kinds begin, end and signal are no places: they are left to `run`. `progress` is called
        with (done, total) after each step. A link that cannot be attached raises, or is handed to `failed`.
        """
        from cygnet.loader.multi import group

        wanted = [link for link in (self._spec.links if links is None else links) if link.kind not in NO_PLACE]
        if len(wanted) > FEW:
            from cygnet.kernel.rlimit import raise_nofile

            raise_nofile(2 * len(wanted) + FEW)
        done = held = 0
        for each in group(wanted, self._multi_programs()):
            held += self._attach_group(each, failed)
            done += len(each)
            if progress is not None:
                progress(done, len(wanted))
        return held

    def _attach_group(self, links: list[LinkSpec], failed: Callable[[LinkSpec, CygnetError], None] | None) -> int:
        from cygnet.errors import CygnetError

        try:
            if links[0].program in self._multi_programs():
                self._attach_multi(links)
            else:
                self.attach(links[0])
            return len(links)
        except CygnetError as error:
            if len(links) > 1:  # find out which of them it is, in halves: it may be one of thousands
                half = len(links) // 2
                return self._attach_group(links[:half], failed) + self._attach_group(links[half:], failed)
            if failed is None:
                raise
            failed(links[0], error)
            return 0

    def detach_all(self) -> None:
        """Detach what was attached: no program runs any more when this returns. Programs and maps stay, and so does
        what takes the kernel long to give back, until `close`."""
        from cygnet.loader.detach import detach_all

        attachments, self._attachments = self._attachments, []
        self._detached += detach_all(attachments)

    # ── events and numbers ──

    def events(self, ring: str) -> RingBuffer:
        """The reader of a ring buffer map; always the same one for a map."""
        if ring not in self._rings:
            from cygnet.kernel.ringbuf import RingBuffer

            store = self._maps[ring]
            self._rings[ring] = RingBuffer(store.fd, store.max_entries)
        return self._rings[ring]

    def count_run_time(self) -> None:
        """Let the kernel count the run time of programs (of all in the system) until this runtime is closed."""
        if self._stats is None:
            from cygnet.kernel.progs import RunStats

            self._stats = RunStats()

    def stats(self) -> list[ProgramStats]:
        """The counts of each program, in the order they were loaded."""
        rows = [(name, program.info()) for name, program in self._programs.items()]
        return [ProgramStats(name, i.run_cnt, i.run_time_ns, i.recursion_misses) for name, i in rows]

    def missed(self) -> int:
        """Events that no program saw, because its probe fired while another program ran on that CPU."""
        return sum([program.missed() for program in self._programs.values()])

    # ── the end ──

    def close(self) -> None:
        """Give everything back, in the reverse order of making. May be called twice."""
        self.detach_all()
        from cygnet.loader.detach import close_all

        detached, self._detached = self._detached, []
        close_all(detached)
        for ring in self._rings.values():
            ring.close()
        self._rings.clear()
        for program in reversed(self._programs.values()):
            program.close()
        self._programs.clear()
        for store in reversed(self._maps.values()):
            store.close()
        self._maps.clear()
        for other in (self._btf, self._stats):
            if other is not None:
                other.close()
        self._btf = self._stats = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


#: kinds of links that are no places in the kernel: the session runs their programs itself
NO_PLACE = frozenset(("begin", "end", "signal", "test", "bench"))


class _Nowhere:
    btf_id = fd = 0

    def close(self) -> None: ...


_NOWHERE = _Nowhere()
#: up to so many attachments nothing special is needed
FEW = 64


def _has_feature(name: str) -> bool:
    from cygnet.kernel.features import has

    return has(name)


def _ksym(name: str) -> int:
    from cygnet.loader.ksyms import address

    return address(name)
