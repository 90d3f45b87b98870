"""What all programs of an object share while they are lowered: maps, actions, control words."""

from __future__ import annotations

from cygnet.lang.trace import types as T
from cygnet.spec.actions import Action
from cygnet.spec.mapviews import MapView, Store
from cygnet.spec.objects import MapSpec
from cygnet.spec.values import MORE, UNWOUND
from cygnet.uapi.bpf import (
    BPF_F_MMAPABLE,
    BPF_F_NO_PREALLOC,
    BPF_F_STACK_BUILD_ID,
    BPF_MAP_TYPE_ARRAY,
    BPF_MAP_TYPE_HASH,
    BPF_MAP_TYPE_LRU_HASH,
    BPF_MAP_TYPE_LRU_PERCPU_HASH,
    BPF_MAP_TYPE_PERCPU_ARRAY,
    BPF_MAP_TYPE_PERCPU_HASH,
    BPF_MAP_TYPE_RINGBUF,
    BPF_MAP_TYPE_STACK_TRACE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from cygnet.ir.core import Value
    from cygnet.lang.trace.check.names import MapInfo
    from cygnet.lang.trace.config import Config
    from cygnet.lang.trace.types import Type

#: Keys with longer strings go to a map of their own, so that a short key never costs like a long one:
#: hashing 64 bytes took 117 ns where 1,024 took 550.
SHORT = 64
CONTROL, RING, SCRATCH = "cygnet_control", "cygnet_ring", "cygnet_scratch"
EXIT_WORD, PENDING_WORD, LOST_WORD, IDLE_WORD, ZERO_WORD, ACTION_WORDS = 0, 1, 2, 3, 4, 5
MOST_CONTROL = 256  # actions of control that can be pending
DROP_WORDS = ACTION_WORDS + MOST_CONTROL
_STACKS, _MOST_STACKS = 8192, 1 << 16  # places for stacks of one kind
_MOST_UNWOUND = 1 << 14  # numbers of stacks that were sent; one that is forgotten is sent again
_MANY = 4096  # intervals of a series that take memory only when they come
_BUILD_ID_BYTES = 32  # struct bpf_stack_build_id

_KINDS = {
    "hash": BPF_MAP_TYPE_HASH,
    "lruhash": BPF_MAP_TYPE_LRU_HASH,
    "percpuhash": BPF_MAP_TYPE_PERCPU_HASH,
    "percpulruhash": BPF_MAP_TYPE_LRU_PERCPU_HASH,
}


class Layout:
    """How a map of the language lies in machine maps."""

    __slots__ = ("agg", "entries", "info", "key", "long_key", "name", "percpu", "stores", "value", "value_size")

    def __init__(self, info: MapInfo, name: str) -> None:
        self.info = info
        self.name = name
        self.agg = info.agg
        self.key: Type | None = info.key if info.keyed else None
        self.long_key = self.key is not None and T.strings_beyond(self.key, SHORT)
        self.value = info.value if info.agg is None else None
        self.percpu = info.agg is not None
        self.value_size = value_size(info)
        self.entries = 0
        #: (machine map, layout of its key): the short one first
        self.stores: list[tuple[str, Type | None]] = []
        if self.key is None:
            self.stores.append((name, None))
        else:
            self.stores.append((name, T.shorten(self.key, SHORT)))
            if self.long_key:
                self.stores.append((name + "_long", self.key))

    @property
    def bucketed(self) -> bool:
        """Keyed histograms keep one entry a bucket, keyed series one an interval."""
        return self.agg is not None and self.agg.kind in ("hist", "lhist", "tseries") and self.key is not None

    def key_size(self, key: Type) -> int:
        return max(8, T.storage(key)) + (8 if self.bucketed else 0)


def buckets(agg: T.Agg) -> int:
    """How many buckets a histogram can have."""
    if agg.kind == "hist":
        k: int = agg.args[0]
        return 1 + (1 << k) + (64 - k) * (1 << k)
    low, high, step = agg.args
    return int(-(-(high - low) // step) + 2)


def value_size(info: MapInfo) -> int:
    """Bytes of a value in the machine map: see spec.mapviews."""
    agg = info.agg
    if agg is None:
        size = max(8, T.storage(info.value))
        return size if info.keyed else size + 8
    if agg.kind == "count":
        return 8
    if agg.kind in ("hist", "lhist"):
        return 8 if info.keyed else 8 * buckets(agg)
    return 24 if agg.kind == "tseries" else 16


class Unit:
    """Collects the object. `patches`: constants that are record sizes, set when all records are known."""

    def __init__(self, config: Config, maps: dict[str, MapInfo], *, unsafe: bool = False) -> None:
        self.config = config
        self.unsafe = unsafe
        self.actions: list[Action] = []
        self._action_ids: dict[Any, int] = {}
        self.patches: list[tuple[Value, int]] = []
        self.stacks: dict[str, tuple[str, int]] = {}  # name -> mode, limit
        self.warnings = 1  # 0 none, 1 what changes a result, 2 failed reads and missing keys too (-k)
        self.stack_lengths = False  # the frames of stacks are counted, for len()
        self.tables: dict[str, bytes] = {}  # maps of constants: name -> contents
        self.unwinds = False  # stacks are sent to be unwound
        self.pending = 0
        self.drops: list[str] = []
        self.uses_ring = False
        self.layouts: dict[str, Layout] = {}
        taken: set[str] = set()
        for info in maps.values():
            if info.keyed is None or (info.agg is None and info.value is T.UNKNOWN):
                continue
            base = "at_" + info.name[1:]
            self.layouts[info.name] = Layout(info, base)
            taken.add(base)

    def layout(self, name: str) -> Layout:
        return self.layouts[name]

    def action(self, action: Action, *, control: bool = False) -> int:
        """The number of an action; equal ones share it. `control` actions have a pending bit."""
        known = self._action_ids.get(action)
        if known is None:
            known = self._action_ids[action] = len(self.actions)
            if control and self.pending < MOST_CONTROL:
                action = action._replace(pending=self.pending)
                self.pending += 1
            self.actions.append(action)
        self.uses_ring = True
        return known

    def drop_word(self, name: str) -> int:
        """Byte offset in the control map of the word that counts refused updates of a map."""
        if name not in self.drops:
            self.drops.append(name)
        return 8 * (DROP_WORDS + self.drops.index(name))

    def stack_map(self, type: Type) -> str:
        name = T.stack_map(type)
        self.stacks[name] = type.extra
        return name

    def stack_length_map(self, type: Type) -> str:
        """The map that says how many frames a stack has, by its number."""
        return self.stack_map(type) + "_len"

    # -- the result -------------------------------------------------------------------------------

    def set_strides(self) -> None:
        """One record size for all, when the largest is small: a reader then takes them in one step."""
        sizes = [self.actions[number].size for _, number in self.patches]
        if sizes and max(sizes) <= 64:
            widest = max(sizes)
            self.actions = [
                action._replace(size=widest) if 0 < action.size <= widest else action for action in self.actions
            ]
        for value, number in self.patches:
            value.imm = self.actions[number].size

    def map_specs(self, scratch: int, scratch_programs: int, pools: Mapping[str, int]) -> list[MapSpec]:
        specs = [MapSpec(CONTROL, BPF_MAP_TYPE_ARRAY, 4, 8 * (DROP_WORDS + len(self.drops)), 1, BPF_F_MMAPABLE)]
        if self.uses_ring:
            specs.append(MapSpec(RING, BPF_MAP_TYPE_RINGBUF, 0, 0, self.ring_bytes()))
        if scratch:
            specs.append(MapSpec(SCRATCH, BPF_MAP_TYPE_PERCPU_ARRAY, 4, scratch, scratch_programs))
        specs += [MapSpec(name, BPF_MAP_TYPE_ARRAY, 4, size, 1) for name, size in pools.items()]
        places = self._stack_places()
        for name, (mode, limit) in self.stacks.items():
            size, flags = (_BUILD_ID_BYTES, BPF_F_STACK_BUILD_ID) if mode == "build_id" else (8, 0)
            specs.append(MapSpec(name, BPF_MAP_TYPE_STACK_TRACE, 4, size * limit, places, flags))
            specs.append(MapSpec(name + MORE, BPF_MAP_TYPE_STACK_TRACE, 4, size * limit, places >> 1, flags))
            if self.stack_lengths:
                specs.append(MapSpec(name + "_len", BPF_MAP_TYPE_HASH, 8, 8, places, BPF_F_NO_PREALLOC))
        if self.unwinds:
            specs.append(MapSpec(UNWOUND, BPF_MAP_TYPE_LRU_HASH, 8, 8, _MOST_UNWOUND))
        for layout in self.layouts.values():
            specs += self._language_map(layout)
        for name, data in self.tables.items():
            specs.append(MapSpec(name, BPF_MAP_TYPE_ARRAY, 4, len(data), 1, data=data))
        return specs

    def _stack_places(self) -> int:
        """Twice as many as a map has keys, as a power of two: a stack whose place another has taken is lost."""
        places = _STACKS
        while places < min(2 * self.config["max_map_keys"], _MOST_STACKS):
            places *= 2
        return places

    def ring_bytes(self) -> int:
        """A power of two: 8 MiB unless the script says how many pages."""
        pages = self.config["perf_rb_pages"]
        size = 4096
        while size < pages * 4096:
            size *= 2
        return size if pages else 8 << 20

    def _language_map(self, layout: Layout) -> list[MapSpec]:
        size = layout.value_size
        if layout.key is None and layout.agg is not None and layout.agg.kind == "tseries":
            count = layout.agg.args[1]
            flags = BPF_F_NO_PREALLOC if count > _MANY else 0
            return [MapSpec(layout.name, BPF_MAP_TYPE_PERCPU_HASH, 8, size, count, flags)]
        if layout.key is None:
            type = BPF_MAP_TYPE_PERCPU_ARRAY if layout.percpu else BPF_MAP_TYPE_ARRAY
            return [MapSpec(layout.name, type, 4, size, 1)]
        decl = layout.info.decl
        entries = self.config["max_map_keys"]
        type = BPF_MAP_TYPE_PERCPU_HASH if layout.percpu else BPF_MAP_TYPE_HASH
        if decl is not None:
            type = _KINDS.get(decl.kind, type)
            if decl.args:
                entries = decl.args[0].const
        specs = []
        for name, key in layout.stores:
            assert key is not None
            lazily = name != layout.name and type in (BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_PERCPU_HASH)
            flags = BPF_F_NO_PREALLOC if lazily else 0
            specs.append(MapSpec(name, type, layout.key_size(key), size, entries, flags))
        return specs

    def views(self) -> list[MapView]:
        views = []
        for name in sorted(self.layouts):
            layout = self.layouts[name]
            key = None if layout.key is None else T.vtype(layout.key)
            stores = tuple(Store(m, None if k is None else T.vtype(k)) for m, k in layout.stores)
            if layout.agg is not None:
                agg = layout.agg
                signed = agg.signed and agg.kind != "count"
                views.append(MapView(name, stores, key, None, agg.kind, agg.args, signed))
            else:
                value = T.vtype(layout.info.value)
                views.append(MapView(name, stores, key, value, signed=value.signed))
        return views
