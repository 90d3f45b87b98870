"""The lowerer: maps. Keys are built in place; aggregations are counted per CPU, in the kernel."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T
from cygnet.lang.trace.lower.exprs import ExprLowerer
from cygnet.lang.trace.lower.operands import Gen, Mem
from cygnet.lang.trace.lower.unit import CONTROL, SHORT, Layout, buckets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cygnet.ir.core import Value
    from cygnet.lang.trace.types import Type

_ANY, _NOEXIST = 0, 1
_E2BIG = -7


class MapLowerer(ExprLowerer):
    # -- keys -------------------------------------------------------------------------------------

    def with_key(
        self, layout: Layout, keys: tuple[ast.Expr, ...], use: Callable[[str, Value], None], bucket: Value | None = None
    ) -> None:
        """Build the key, then `use(machine map, pointer to the key)`.

        With long strings `use` is lowered twice: for the map of short keys, and for that of long ones.
        """
        assert layout.key is not None
        parts = [self._key_part(key) for key in keys]
        name, short = layout.stores[0]
        assert short is not None
        slot = self.new_slot(layout.key_size(short), "key")
        lengths = self._fill_key(parts, layout.key, short, slot)
        self._fill_bucket(slot, short, bucket)
        if not layout.long_key:
            use(name, slot)
            return
        b = self.b
        is_long, is_short, join = b.new_block(), b.new_block(), b.new_block()
        self._all_short(lengths, is_short, is_long)
        self.arm(is_short, join, lambda: use(name, slot))

        def long_key() -> None:
            long_name, long = layout.stores[1]
            assert long is not None
            big = self.new_slot(layout.key_size(long), "long_key")
            self._fill_key(parts, layout.key, long, big)
            self._fill_bucket(big, long, bucket)
            use(long_name, big)

        if is_long.preds:
            self.arm(is_long, join, long_key)
        if join.preds:
            b.open(join)

    def _key_part(self, node: ast.Expr) -> tuple[ast.Expr, Value | Mem | Gen | None]:
        """A part of a key, evaluated as far as it can be before there is a place for it."""
        if isinstance(node.const, bytes):
            return node, None
        if node.type.kind in T.SCALARS or node.type.kind == "agg":
            return node, self.scalar(node)
        thing = self.operand(node)
        if isinstance(thing, Gen) and thing.once and (T.strings_beyond(node.type, SHORT)):
            thing = Mem(self.in_memory(thing, node.type), "bpf", node.type)
        return node, thing

    def _fill_key(
        self, parts: list[tuple[ast.Expr, Value | Mem | Gen | None]], key: Type | None, layout: Type, slot: Value
    ) -> list[Value | int]:
        """Write all parts. Returns, for each long string cut to `layout`, how many bytes it took."""
        assert key is not None
        if len(parts) == 1:
            return self._fill_part(parts[0], key, layout, slot, 0)
        lengths: list[Value | int] = []
        for part, wide, narrow, at in zip(parts, key.fields, layout.fields, T.offsets(layout)):
            lengths += self._fill_part(part, wide, narrow, slot, at)
        return lengths

    def _fill_part(
        self, part: tuple[ast.Expr, Value | Mem | Gen | None], wide: Type, narrow: Type, slot: Value, at: int
    ) -> list[Value | int]:
        node, thing = part
        long = T.strings_beyond(wide, SHORT) and narrow != wide
        if thing is None:
            self.store_bytes(node.const, narrow, slot, at, True)
            return [len(node.const) + 1] if long else []
        if narrow.kind in T.SCALARS and not isinstance(thing, (Mem, Gen)):
            self.b.store(slot, self.convert(thing, node.type, narrow), 8, at)
            return []
        if not long:
            self.put(thing, narrow, slot, at, True)
            return []
        if wide.kind == "str":
            return [self._cut_string(thing, narrow, slot, at)]
        # a tuple of strings as one part of the key: field by field
        mem = thing if isinstance(thing, Mem) else Mem(self.in_memory(thing, node.type), "bpf", node.type)
        assert not isinstance(mem, Gen)
        lengths: list[Value | int] = []
        starts = T.offsets(mem.type)
        for index, (w, n, offset) in enumerate(zip(wide.fields, narrow.fields, T.offsets(narrow))):
            place = Mem(mem.addr, mem.space, mem.type.fields[index], mem.offset + starts[index])
            inner = (node, self.load_typed(place, place.type, stored=True))
            lengths += self._fill_part(inner, w, n, slot, at + offset)
        return lengths

    def _cut_string(self, thing: Value | Mem | Gen, narrow: Type, slot: Value, at: int) -> Value | int:
        """Write a string of any length to a short place; how many bytes it took, NUL included."""
        if isinstance(thing, Gen):
            if thing.type.size < SHORT:
                self.put(thing, narrow, slot, at, True)
                return 0
            thing = Mem(self.in_memory(thing, thing.type), "bpf", thing.type)
        assert isinstance(thing, Mem)
        if thing.type.size < SHORT and thing.limit is None:
            self.put(thing, narrow, slot, at, True)
            return 0
        self.b.memzero(slot, SHORT, at)
        size: Value = self.const(SHORT)
        if thing.limit is not None:
            size = self._limited(thing.limit, SHORT)
        from cygnet.lang.trace.lower.core import READ_STR

        return self.fetch(READ_STR[thing.space], self.b.offset(slot, at), size, self.address(thing))

    def _all_short(self, lengths: list[Value | int], yes: object, no: object) -> None:
        """Branch: a string that took the whole short place may go on."""
        b = self.b
        values = [self.const(n) if isinstance(n, int) else n for n in lengths]
        for number, value in enumerate(values):
            last = number == len(values) - 1
            after = yes if last else b.new_block()
            b.br("slt", value, self.const(SHORT), after, no)  # type: ignore[arg-type]
            if not last:
                if not after.preds:  # type: ignore[attr-defined]
                    return
                b.open(after)  # type: ignore[arg-type]
        if not values:
            b.jump(yes)  # type: ignore[arg-type]

    def _fill_bucket(self, slot: Value, key: Type, bucket: Value | None) -> None:
        if bucket is not None:
            self.b.store(slot, bucket, 8, max(8, T.storage(key)))

    # -- reading ----------------------------------------------------------------------------------

    def read_map(self, node: ast.MapRef | ast.MapIndex) -> Value | Mem | Gen:
        ref = node if isinstance(node, ast.MapRef) else node.map
        layout = self.unit.layout(ref.name)
        if layout.agg is not None:
            return self._read_aggregate(layout, node)
        type = layout.info.value
        if isinstance(node, ast.MapRef):
            return self.load_typed(Mem(self.b.map_value(layout.name), "bpf", type), type, stored=True)
        keys = node.keys
        if type.kind in T.SCALARS:
            result = object()

            def read(map: str, key: Value) -> None:
                found = self.b.call("map_lookup_elem", self.b.map(map), key)
                self.choose("ne", found, self.const(0), lambda: self.b.write(result, self.b.load(found, 8)), missing)

            def missing() -> None:
                self.b.write(result, self.const(0))
                self._tell_missing(node)

            self.with_key(layout, keys, read)
            return self.b.read(result)
        return Gen(type, lambda p, o, t, pad: self._copy_value(layout, node, p, o, t, pad), once=True)

    def _tell_missing(self, node: ast.MapIndex) -> None:
        """A key that is not there reads as zero; with -k that is told."""
        if self.unit.warnings > 1:
            code = (T.INT64, lambda record, at: self.b.store(record, self.const(0), 8, at))
            self.emit("helper_error", [code], text="map_lookup_elem", span=node.span)

    def _copy_value(
        self, layout: Layout, node: ast.MapIndex, pointer: Value, offset: int, type: Type, pad: bool
    ) -> None:
        """Copy a map's value, or zeros when the key is missing."""
        keys = node.keys
        given = layout.info.value

        def read(map: str, key: Value) -> None:
            found = self.b.call("map_lookup_elem", self.b.map(map), key)
            self.choose(
                "ne", found, self.const(0),
                lambda: self.put(Mem(found, "bpf", given), type, pointer, offset, pad),
                missing,
            )  # fmt: skip

        def missing() -> None:
            self.b.memzero(pointer, T.storage(type), offset)
            self._tell_missing(node)

        self.with_key(layout, keys, read)

    def _read_aggregate(self, layout: Layout, node: ast.MapRef | ast.MapIndex) -> Value:
        """An aggregation as a number: all CPUs are read now."""
        if isinstance(node, ast.MapRef):
            return self.sum_cpus(layout, layout.name, self._zero_key())
        result = object()
        self.with_key(layout, node.keys, lambda map, key: self.b.write(result, self.sum_cpus(layout, map, key)))
        return self.b.read(result)

    def sum_cpus(self, layout: Layout, map: str, key: Value) -> Value:
        """What the copies of all CPUs come to: their sum, least, greatest or average."""
        total, times = self._merge_cpus(layout, map, key)
        agg = layout.agg
        assert agg is not None
        return self.average(total, times, agg.signed) if agg.kind == "avg" else total

    def _merge_cpus(self, layout: Layout, map: str, key: Value) -> tuple[Value, Value]:
        """The sum (or the extreme) of all CPUs' copies, and how often they were added to."""
        b, agg = self.b, layout.agg
        assert agg is not None
        total, times, cpu = object(), object(), object()
        for variable in (total, times):
            b.write(variable, self.const(0))
        b.write(cpu, self.opaque_zero())
        head, test, more, read, out = (b.new_block() for _ in range(5))
        cpus = self.session("possible_cpus")
        b.jump(head)
        b.start(head)
        b.may_goto(test, out)
        b.open(test)
        b.br("ult", b.read(cpu), cpus, more, out)
        b.open(more)
        found = b.call("map_lookup_percpu_elem", b.map(map), key, b.read(cpu))
        b.br("eq", found, self.const(0), out, read)
        b.open(read)
        value = b.load(found, 8)
        if agg.kind in ("min", "max"):
            self._merge_extreme(agg, value, b.load(found, 8, 8), total, times)
        else:
            b.write(total, b.add(b.read(total), value))
            if agg.kind in ("avg", "stats"):
                b.write(times, b.add(b.read(times), b.load(found, 8, 8)))
        b.write(cpu, b.add(b.read(cpu), self.const(1)))
        b.jump(head)
        b.seal(head)
        b.open(out)
        return b.read(total), b.read(times)

    def _merge_extreme(self, agg: T.Agg, value: Value, count: Value, total: object, times: object) -> None:
        b = self.b
        better = {("min", True): "slt", ("min", False): "ult", ("max", True): "sgt", ("max", False): "ugt"}
        take, skip, compare, known = (b.new_block() for _ in range(4))
        b.br("ne", count, self.const(0), known, skip)
        b.open(known)
        b.br("eq", b.read(times), self.const(0), take, compare)
        b.open(compare)
        b.br(better[agg.kind, agg.signed], value, b.read(total), take, skip)
        b.open(take)
        b.write(total, value)
        b.write(times, self.const(1))
        b.jump(skip)
        b.open(skip)

    def read_stats(self, node: ast.Expr) -> tuple[Value, Value]:
        """(count, total) of a stats()."""
        assert isinstance(node, (ast.MapRef, ast.MapIndex))
        layout = self.unit.layout(node.name if isinstance(node, ast.MapRef) else node.map.name)
        total, times = object(), object()

        def read(map: str, key: Value) -> None:
            for variable, value in zip((total, times), self._merge_cpus(layout, map, key)):
                self.b.write(variable, value)

        if isinstance(node, ast.MapIndex):
            self.with_key(layout, node.keys, read)
        else:
            read(layout.name, self._zero_key())
        return self.b.read(times), self.b.read(total)

    def _zero_key(self) -> Value:
        slot = self.new_slot(8, "zero_key")
        self.b.store(slot, self.const(0), 8)
        return slot

    def average(self, total: Value, times: Value, signed: bool) -> Value:
        """total / times towards zero; a signed sum's magnitude is divided."""
        zero = self.const(0)

        def divide(number: Value) -> Value:
            return self.select("eq", times, zero, lambda: zero, lambda: self.b.binary("udiv", number, times))

        if not signed:
            return divide(total)
        return self.select("slt", total, zero, lambda: self.b.neg(divide(self.b.neg(total))), lambda: divide(total))

    # -- writing ----------------------------------------------------------------------------------

    def assign_map(self, target: ast.MapRef | ast.MapIndex, value: ast.Expr) -> None:
        """``@m = e``, ``@m[k] = e``"""
        ref = target if isinstance(target, ast.MapRef) else target.map
        layout = self.unit.layout(ref.name)
        if layout.agg is not None:
            while isinstance(value, ast.BlockExpr):
                self.block(value.block)
                assert value.block.value is not None
                value = value.block.value
            assert isinstance(value, ast.Call)
            self.add_to_aggregate(layout, target, value)
            return
        type = layout.info.value
        if type.kind in T.SCALARS:
            self.write_map(target, self.scalar(value), value.type)
        elif isinstance(target, ast.MapRef):
            pointer = self.b.map_value(layout.name)
            thing = None if isinstance(value.const, bytes) else self.operand(value)
            if isinstance(thing, (Mem, Gen)) and not isinstance(thing, Mem):
                thing = Mem(self.in_memory(thing, type), "bpf", type)
            if thing is None:
                self.store(value, type, pointer)
            else:
                self.put(thing, type, pointer, 0, False)
            self.b.store(pointer, self.const(1), 8, layout.value_size - 8)
        else:
            place = self.place(value, type)
            self._update(layout, target.keys, place)

    def write_map(self, target: ast.MapRef | ast.MapIndex, value: Value, type: Type) -> None:
        """Give a scalar to a map."""
        ref = target if isinstance(target, ast.MapRef) else target.map
        layout = self.unit.layout(ref.name)
        value = self.convert(value, type, layout.info.value)
        if isinstance(target, ast.MapRef):
            pointer = self.b.map_value(layout.name)
            self.b.store(pointer, value, 8)
            self.b.store(pointer, self.const(1), 8, layout.value_size - 8)
            return
        slot = self.new_slot(8, "value")
        self.b.store(slot, value, 8)
        self._update(layout, target.keys, slot)

    def _update(self, layout: Layout, keys: tuple[ast.Expr, ...], value: Value) -> None:
        self.with_key(layout, keys, lambda map, key: self._checked_update(layout, map, key, value, _ANY))

    def _checked_update(self, layout: Layout, map: str, key: Value, value: Value, flags: int) -> None:
        """Update, and count a refusal because the map is full."""
        result = self.b.call("map_update_elem", self.b.map(map), key, value, self.const(flags))
        self.choose("eq", result, self.const(_E2BIG), lambda: self._count_drop(layout))

    def _count_drop(self, layout: Layout) -> None:
        word = self.unit.drop_word(layout.info.name)
        self.b.atomic("add", self.b.map_value(CONTROL, word), self.const(1))

    def map_add(self, target: ast.MapRef | ast.MapIndex, amount: Value) -> bool:
        """``@m[k] += n`` where the value is not looked at: added in place. False when it cannot be."""
        ref = target if isinstance(target, ast.MapRef) else target.map
        layout = self.unit.layout(ref.name)
        type = layout.info.value
        if layout.agg is not None or type.kind not in ("int", "ptr") or type.size != 8:
            return False
        if isinstance(target, ast.MapRef):
            pointer = self.b.map_value(layout.name)
            self.b.atomic("add", pointer, amount)
            self.b.store(pointer, self.const(1), 8, layout.value_size - 8)
            return True

        def add(map: str, key: Value) -> None:
            self._add_or_insert(layout, map, key, lambda found: self.b.atomic("add", found, amount), [amount])

        self.with_key(layout, target.keys, add)
        return True

    def _add_or_insert(
        self, layout: Layout, map: str, key: Value, add: Callable[[Value], object], initial: list[Value]
    ) -> None:
        """Add to the value that is there, or insert the first one; when another CPU was quicker, add after all."""
        b = self.b
        found = b.call("map_lookup_elem", b.map(map), key)

        def insert() -> None:
            first = self.new_slot(8 * len(initial), "first")
            for number, word in enumerate(initial):
                b.store(first, word, 8, 8 * number)
            result = b.call("map_update_elem", b.map(map), key, first, self.const(_NOEXIST))
            self.choose("ne", result, self.const(0), again)

        def again() -> None:
            now = b.call("map_lookup_elem", b.map(map), key)
            self.choose("ne", now, self.const(0), lambda: add(now), lambda: self._count_drop(layout))

        self.choose("ne", found, self.const(0), lambda: add(found), insert)

    # -- aggregations -----------------------------------------------------------------------------

    def add_to_aggregate(self, layout: Layout, target: ast.MapRef | ast.MapIndex, call: ast.Call) -> None:
        agg = layout.agg
        assert agg is not None
        number = self.scalar(call.args[0]) if call.args else self.const(1)
        if agg.kind in ("hist", "lhist"):
            self._add_to_histogram(layout, target, agg, number)
            return
        if agg.kind == "tseries":
            from cygnet.lang.trace.lower.series import add_to_series

            add_to_series(self.whole, layout, target, agg, number)
            return
        initial = [number] if agg.kind == "count" else [number, self.const(1)]
        if isinstance(target, ast.MapIndex):
            self.with_key(
                layout,
                target.keys,
                lambda map, key: self._add_or_insert(layout, map, key, lambda v: self._add(agg, v, number), initial),
            )
        else:
            self._with_scalar(layout, lambda value: self._add(agg, value, number))

    def _with_scalar(self, layout: Layout, use: Callable[[Value], None]) -> None:
        """This CPU's copy of a map without keys."""
        slot = self.new_slot(8, "zero_key")
        self.b.store(slot, self.const(0), 4)
        found = self.b.call("map_lookup_elem", self.b.map(layout.name), slot)
        self.choose("ne", found, self.const(0), lambda: use(found))

    def _bump(self, pointer: Value, amount: Value, offset: int = 0) -> None:
        """Add to a word of this CPU; atomically where another program may come in between."""
        b = self.b
        if self.instance.match.per_cpu_exact:
            b.store(pointer, b.add(b.load(pointer, 8, offset), amount), 8, offset)
        else:
            b.atomic("add", pointer, amount, 8, offset)

    def _add(self, agg: T.Agg, value: Value, number: Value) -> None:
        """One more for this CPU's copy."""
        if agg.kind == "count":
            self._bump(value, number)
        elif agg.kind in ("sum", "avg", "stats"):
            self._bump(value, number)
            self._bump(value, self.const(1), 8)
        else:
            self._extreme(agg, value, number)

    def _extreme(self, agg: T.Agg, value: Value, number: Value) -> None:
        b = self.b
        better = {("min", True): "slt", ("min", False): "ult", ("max", True): "sgt", ("max", False): "ugt"}
        take, compare, skip = b.new_block(), b.new_block(), b.new_block()
        b.br("eq", b.load(value, 8, 8), self.const(0), take, compare)
        b.open(compare)
        b.br(better[agg.kind, agg.signed], number, b.load(value, 8), take, skip)
        b.open(take)
        b.store(value, number, 8)
        b.jump(skip)
        b.open(skip)
        self._bump(value, self.const(1), 8)

    def _add_to_histogram(self, layout: Layout, target: ast.MapRef | ast.MapIndex, agg: T.Agg, number: Value) -> None:
        bucket = self.log_bucket(agg, number) if agg.kind == "hist" else self.linear_bucket(agg, number)
        if isinstance(target, ast.MapIndex):
            one = self.const(1)
            self.with_key(
                layout,
                target.keys,
                lambda map, key: self._add_or_insert(layout, map, key, lambda v: self._bump(v, one), [one]),
                bucket,
            )
            return

        def add(value: Value) -> None:
            b = self.b
            inside = lambda: self._bump(b.add(value, b.binary("shl", bucket, self.const(3))), self.const(1))  # noqa: E731
            self.choose("ult", bucket, self.const(buckets(agg)), inside)

        self._with_scalar(layout, add)

    def log_bucket(self, agg: T.Agg, number: Value) -> Value:
        """The bucket of hist(): see spec.mapviews. Without branches, so that the verifier sees one path."""
        k = agg.args[0]

        def positive() -> Value:
            return self._fine_bucket(number, k) if k else self._power_bucket(number)

        if not agg.signed:
            return positive()
        return self.select("slt", number, self.const(0), lambda: self.const(0), positive)

    def _power_bucket(self, number: Value) -> Value:
        return self.b.add(self.bit_length(number), self.const(1))

    def _fine_bucket(self, number: Value, k: int) -> Value:
        b, c = self.b, self.const

        def above() -> Value:
            shift = b.binary("sub", self.bit_length(number), c(k + 1))
            within = b.binary("shr", number, shift)
            return b.add(b.add(b.binary("shl", shift, c(k)), within), c(1))

        return self.select("ult", number, c(1 << k), lambda: b.add(number, c(1)), above)

    def bit_length(self, number: Value) -> Value:
        """How many bits a number has: its highest bit is spread down, then all are counted."""
        b, c = self.b, self.const
        spread = number
        for distance in (1, 2, 4, 8, 16, 32):
            spread = b.binary("or", spread, b.binary("shr", spread, c(distance)))
        pairs = b.binary("sub", spread, b.binary("and", b.binary("shr", spread, c(1)), c(0x5555555555555555)))
        twos = c(0x3333333333333333)
        fours = b.add(b.binary("and", pairs, twos), b.binary("and", b.binary("shr", pairs, c(2)), twos))
        bytes_ = b.binary("and", b.add(fours, b.binary("shr", fours, c(4))), c(0x0F0F0F0F0F0F0F0F))
        return b.binary("shr", b.binary("mul", bytes_, c(0x0101010101010101)), c(56))

    def linear_bucket(self, agg: T.Agg, number: Value) -> Value:
        """The bucket of lhist(): 0 below min, then one a step, the last from max on."""
        low, high, step = agg.args
        b, c = self.b, self.const
        less, more = ("slt", "sge") if agg.signed else ("ult", "uge")
        last = c(buckets(agg) - 1)

        def inside() -> Value:
            return b.add(b.binary("udiv", b.binary("sub", number, c(low)), c(step)), c(1))

        return self.select(
            less, number, c(low), lambda: c(0), lambda: self.select(more, number, c(high), lambda: last, inside)
        )

    # -- deleting and asking ----------------------------------------------------------------------

    def delete_key(self, target: ast.MapRef, keys: tuple[ast.Expr, ...]) -> Value:
        """Remove a key; 1 when it was there."""
        layout = self.unit.layout(target.name)
        if layout.agg is not None and layout.agg.kind in ("hist", "lhist", "tseries"):
            from cygnet.lang.trace.lower.buckets import delete_all, is_divided

            if is_divided(layout):
                return delete_all(self.whole, layout, keys)
        if layout.key is None:
            return self._delete_scalar(layout)
        result = object()

        def delete(map: str, key: Value) -> None:
            status = self.b.call("map_delete_elem", self.b.map(map), key)
            self.b.write(result, self.b.cmp("eq", status, self.const(0)))

        self.with_key(layout, keys, delete)
        return self.b.read(result)

    def _delete_scalar(self, layout: Layout) -> Value:
        b = self.b
        if layout.percpu:
            self._with_scalar(layout, lambda value: b.memzero(value, layout.value_size))
            return self.const(1)
        pointer = b.map_value(layout.name)
        was = b.load(pointer, 8, layout.value_size - 8)
        b.memzero(pointer, layout.value_size)
        return b.cmp("ne", was, self.const(0))

    def has_key(self, target: ast.MapRef, keys: tuple[ast.Expr, ...]) -> Value:
        layout = self.unit.layout(target.name)
        if layout.bucketed:
            from cygnet.lang.trace.lower.buckets import has_any

            return has_any(self.whole, layout, keys)
        result = object()

        def look(map: str, key: Value) -> None:
            found = self.b.call("map_lookup_elem", self.b.map(map), key)
            self.choose(
                "ne", found, self.const(0),
                lambda: self.b.write(result, self.const(1)), lambda: self.b.write(result, self.const(0)),
            )  # fmt: skip

        self.with_key(layout, keys, look)
        return self.b.read(result)
