"""ProgramSpec, MapSpec, LinkSpec and ObjectSpec: blueprints, immutable and deterministic."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple

    from cygnet.spec.actions import Action
    from cygnet.spec.mapviews import MapView
    from cygnet.spec.relocs import Reloc
else:
    from cygnet.named import NamedTuple


class MapSpec(NamedTuple):
    """One kernel or VM map. Sizes in bytes; `type` is a BPF_MAP_TYPE number.

    `data` is what the only value of an array map holds from the start; programs cannot change it once it is `frozen`.
    `inner` is what a map of maps holds. `btf` (bytes) and `value_type_id` describe the value; locks, timers and kernel
    pointers in it may be given as (kind, offset) pairs in `fields` instead (kinds: verifier.program.SPECIAL_BYTES).
    """

    name: str
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int = 0
    data: bytes = b""
    frozen: bool = False
    inner: MapSpec | None = None
    btf: Any = None
    value_type_id: int = 0
    fields: tuple[tuple[str, int], ...] = ()


class LineInfo(NamedTuple):
    """From instruction slot `insn` on, the code is of `line`:`col` (both from 1) with text `text`."""

    insn: int
    line: int
    col: int
    text: str
    start: int  # the span's offsets in the source text, for a caret
    end: int


class FuncInfo(NamedTuple):
    """A function begins at instruction slot `insn`. `kind` as in ir.core.Function."""

    insn: int
    name: str
    kind: str


class ProgramSpec(NamedTuple):
    """One program. `insns` are encoded instructions, little-endian, with relocations unapplied.

    `type` and `attach_type` are BPF_PROG_TYPE and BPF_ATTACH_TYPE numbers; `attach_to` is a BTF
    function name where the type wants one. `flags` go to BPF_PROG_LOAD.
    """

    name: str
    type: int
    insns: bytes
    relocs: tuple[Reloc, ...] = ()
    functions: tuple[FuncInfo, ...] = ()
    lines: tuple[LineInfo, ...] = ()
    license: str = "GPL"
    attach_type: int = 0
    attach_to: str = ""
    flags: int = 0
    source: str = ""  # the name of the text that `lines` speak of


class LinkSpec(NamedTuple):
    """Where a program goes. `kind` selects the attacher; `target` is plain data for it.

    kind            target
    begin, end      {}
    test, bench     {}
    signal          {"signal": number}
    tracepoint      {"subsys": …, "event": …}
    raw_tracepoint  {"event": …, "module": ""}
    uprobe          {"path": …, "offset": file offset, "ret": bool, "pid": -1 or pid, "ref_ctr_offset": 0}
    perf_sample     {"unit": "hz" or "ns", "value": n, "cpus": "all" or "one"}
    software        {"event": PERF_COUNT_SW number, "count": n}
    """

    program: str
    kind: str
    target: dict[str, Any]
    probe: str  # the probe's full name, as the language shows it
    span: tuple[int, int] | None = None  # offsets in the source


class ObjectSpec(NamedTuple):
    """Everything that is needed to run a question somewhere.

    `settings` are the values of the language's configuration that matter after compiling.
    """

    programs: tuple[ProgramSpec, ...] = ()
    maps: tuple[MapSpec, ...] = ()
    links: tuple[LinkSpec, ...] = ()
    actions: tuple[Action, ...] = ()
    views: tuple[MapView, ...] = ()
    control: Control | None = None
    settings: dict[str, Any] = {}


class Control(NamedTuple):
    """The control map: one array value of u64 words, shared with the programs.

    word 0: exit asked for (0, or 1 + (status << 8)), word 1: how often an action of control (exit, print,
    clear …) found the ring full, word 2: events lost, word 3: the reader sleeps, word 4: always 0, word
    `pending` + n: how often that happened to the action whose `pending` is n, word `drops` + i: updates
    that the i-th name of `drop_maps` refused because it was full. Programs only add to the counters and
    the reader only reads them, so that nothing is lost between the two.

    Wake-ups: a program reads word 3 after it has reserved its record, and submits with
    BPF_RB_FORCE_WAKEUP when it is 1, with BPF_RB_NO_WAKEUP when it is 0. So a busy reader is never
    woken, which makes the producer several times faster. The reader, before it sleeps, sets word 3 to
    1, makes a system call (a barrier), and looks at the ring once more; if it sees a record that is
    still busy it polls with a timeout of a millisecond, else it sleeps; awake, it sets word 3 to 0.
    The map is created with BPF_F_MMAPABLE, so the reader sets the word through memory.
    """

    map: str
    ring: str
    drops: int
    drop_maps: tuple[str, ...]
    pending: int = 5
    pending_count: int = 0
