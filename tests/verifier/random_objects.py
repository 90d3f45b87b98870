"""Random programs that hold things: records, sockets, tasks, dynptrs, iterators, locks, sections, objects, lists.

The writer keeps books of what is held, mostly gives it back, and now and then does not, or does it twice, or in the
wrong order. Registers r6 to r9 hold pointers; the stack below -64 is scratch.
"""

from __future__ import annotations

import random

from tests.verifier.corpus import Case

from cygnet.verifier.program import ProgramSpec
from cygnet.verifier.records import shared_kernel

TYPES = ("sched_cls", "sched_cls", "xdp", "tracepoint", "cgroup_skb", "kprobe", "syscall")
MAPS = (
    ".map r ringbuf 0 0 4096", ".map a array 4 64 1", ".map h hash 4 16 8", ".map l array 4 v_lock 1",
    ".map t array 4 v_tree 1", ".map q array 4 v_list 1", ".map k array 4 v_kptr 1", ".map c percpu_array 4 16 2",
    ".map o array_of_maps 4 4 2", ".map p array 4 v_local 1",
)  # fmt: skip
_KEPT = ("r6", "r7", "r8", "r9")


class Writer:
    """`held` are the things to give back: (what, where it is)."""

    def __init__(self, rng: random.Random, care: float) -> None:
        self.rng = rng
        self.care = care
        self.kind = rng.choice(TYPES)
        self.lines = [f".type {self.kind}", *MAPS, ".main main"]
        if self.kind == "syscall":
            self.lines.append(".flags sleepable")
        self.held: list[tuple[str, str]] = []
        self.free = list(_KEPT[1:])
        self.places = [-16, -32, -48]
        self.labels = 0
        self.out("r6 = r1")

    def out(self, *lines: str) -> None:
        self.lines += lines

    def careful(self) -> bool:
        return self.rng.random() < self.care

    def label(self) -> str:
        self.labels += 1
        return f"l{self.labels}"

    def keep(self, what: str, source: str = "r0") -> str | None:
        """Move a pointer to a register that calls leave alone, checked for null."""
        if not self.free:
            return None
        reg = self.free.pop(self.rng.randrange(len(self.free)))
        self.out(f"{reg} = {source}")
        self.held.append((what, reg))
        return reg

    def unless_null(self, reg: str = "r0") -> None:
        """End the program where the pointer is null: everything that is held goes back first, mostly."""
        if not self.careful():
            return
        skip = self.label()
        self.out(f"if {reg} != 0 goto {skip}")
        for what, where in reversed(self.held):
            if self.rng.random() < 0.97:
                self.give(what, where)
        self.out("r0 = 0", "exit", f"{skip}:")

    def give(self, what: str, where: str) -> None:
        where = where if self.rng.random() < 0.99 else self.rng.choice(_KEPT)
        pointer = ["r1 = r10", f"r1 += {where}"] if where.startswith("-") else [f"r1 = {where}"]
        rows = {
            "record": [*pointer, "r2 = 0", f"call bpf_ringbuf_{self.rng.choice(('submit', 'discard'))}"],
            "socket": [*pointer, "call bpf_sk_release"],
            "task": [*pointer, "kfunc bpf_task_release"],
            "mask": [*pointer, "kfunc bpf_cpumask_release"],
            "object": [*pointer, "r2 = 0", "kfunc bpf_obj_drop_impl"],
            "ringbuf dynptr": [*pointer, "r2 = 0", "call bpf_ringbuf_submit_dynptr"],
            "iterator": [*pointer, "kfunc bpf_iter_num_destroy"],
            "lock": ["r1 = value l", "call bpf_spin_unlock"],
            "list lock": ["r1 = value q", "call bpf_spin_unlock"],
            "rcu": ["kfunc bpf_rcu_read_unlock"],
            "preempt": ["kfunc bpf_preempt_enable"],
            "irq": [*pointer, "kfunc bpf_local_irq_restore"],
            "value": [],
        }
        self.out(*rows[what])

    def give_one(self) -> None:
        if not self.held:
            return
        at = len(self.held) - 1 if self.careful() else self.rng.randrange(len(self.held))
        what, where = self.held.pop(at)
        self.give(what, where)
        if where in _KEPT:
            self.free.append(where)
        elif where:
            self.places.append(int(where))
        if not self.careful():
            self.use(where)

    def use(self, where: str) -> None:
        """Look at, or write to, what a register points to."""
        if where not in _KEPT:
            return
        off = self.rng.choice((0, 0, 4, 8, 12, 16))
        if self.rng.random() < 0.6:
            self.out(f"r1 = *({self.rng.choice(('u8', 'u32', 'u64'))} *)({where} +{off})")
        else:
            self.out(f"*({self.rng.choice(('u8', 'u32', 'u64'))} *)({where} +{off}) = {self.rng.randrange(9)}")

    # -- steps

    def record(self) -> None:
        self.out("r1 = map r", f"r2 = {self.rng.choice((8, 16, 24))}", "r3 = 0", "call bpf_ringbuf_reserve")
        self.unless_null()
        self.keep("record")

    def socket(self) -> None:
        if self.kind not in ("sched_cls", "xdp", "cgroup_skb"):
            return
        self.out("r1 = r6", "r2 = r10", "r2 += -112", "r3 = 12", "r4 = 0", "r5 = 0", "call bpf_sk_lookup_tcp")
        self.unless_null()
        self.keep("socket")

    def task(self) -> None:
        if self.kind == "kprobe" and self.careful():
            return
        if self.kind == "tracepoint" and self.rng.random() < 0.5:
            self.out("call bpf_get_current_task_btf", "r1 = r0", "kfunc bpf_task_acquire")
        else:
            self.out("r1 = 1", "kfunc bpf_task_from_pid")
        self.unless_null()
        self.keep("task")

    def mask(self) -> None:
        if self.kind not in ("tracepoint", "syscall"):
            return
        self.out("kfunc bpf_cpumask_create")
        self.unless_null()
        reg = self.keep("mask")
        if reg:
            self.out(f"r1 = {self.rng.randrange(4)}", f"r2 = {reg}", "kfunc bpf_cpumask_set_cpu")

    def object(self) -> None:
        if self.kind == "kprobe" and self.careful():
            return
        self.out(f"r1 = type {self.rng.choice(('plain', 'listnode', 'counted'))}", "r2 = 0", "kfunc bpf_obj_new_impl")
        self.unless_null()
        self.keep("object")

    def dynptr(self) -> None:
        if not self.places:
            return
        place = self.places.pop()
        if self.rng.random() < 0.5:
            self.out("r1 = map r", "r2 = 16", "r3 = 0", "r4 = r10", f"r4 += {place}", "call bpf_ringbuf_reserve_dynptr")
            self.held.append(("ringbuf dynptr", str(place)))
        else:
            self.out("r1 = value a", "r2 = 64", "r3 = 0", "r4 = r10", f"r4 += {place}", "call bpf_dynptr_from_mem")
        self.out("r1 = r10", f"r1 += {place}", "r2 = 0", f"r3 = {self.rng.choice((8, 16))}", "call bpf_dynptr_data")
        if self.rng.random() < 0.5:
            self.unless_null()
            self.out("r1 = *(u64 *)(r0 +0)")

    def iterator(self) -> None:
        if not self.places:
            return
        place = self.places.pop()
        self.out("r1 = r10", f"r1 += {place}", "r2 = 0", "r3 = 10", "kfunc bpf_iter_num_new")
        loop, done = self.label(), self.label()
        self.out(f"{loop}:", "r1 = r10", f"r1 += {place}", "kfunc bpf_iter_num_next", f"if r0 == 0 goto {done}")
        held, free, places = list(self.held), list(self.free), list(self.places)
        self.held.append(("iterator", str(place)))
        for _ in range(self.rng.randrange(3)):
            self.step(1)
        while len(self.held) > len(held) + 1 and self.careful():
            self.give_one()
        self.held, self.free, self.places = [*held, ("iterator", str(place))], free, places
        self.out(f"goto {loop}", f"{done}:")
        if self.careful():
            self.give_one()

    def lock(self) -> None:
        if self.kind in ("kprobe", "tracepoint") and self.careful():
            return
        self.out("r1 = value l", "call bpf_spin_lock", "r1 = value l", "*(u32 *)(r1 +4) = 1")
        self.held.append(("lock", ""))
        if self.careful():
            self.give_one()

    def section(self) -> None:
        which = self.rng.choice(("rcu", "preempt"))
        self.out({"rcu": "kfunc bpf_rcu_read_lock", "preempt": "kfunc bpf_preempt_disable"}[which])
        self.held.append((which, ""))

    def pointer_in_map(self) -> None:
        """A kernel pointer is looked at, or exchanged with one that is held."""
        tasks = [where for what, where in self.held if what == "task"]
        if tasks and self.rng.random() < 0.5:
            reg = tasks[-1]
            self.held.remove(("task", reg))
            self.out("r1 = value k", f"r2 = {reg}", "call bpf_kptr_xchg")
            self.free.append(reg)
            skip = self.label()
            self.out(f"if r0 == 0 goto {skip}", "r1 = r0", "kfunc bpf_task_release", f"{skip}:")
            return
        skip = self.label()
        self.out("r1 = value k", "r1 = *(u64 *)(r1 +0)")
        if self.careful():
            self.out(f"if r1 == 0 goto {skip}")
        self.out("r2 = *(u32 *)(r1 +100)", f"{skip}:")

    def list(self) -> None:
        objects = [where for what, where in self.held if what == "object"]
        self.out("r1 = value q", "call bpf_spin_lock")
        if objects and self.rng.random() < 0.6:
            self.held.remove(("object", objects[-1]))
            self.free.append(objects[-1])
            self.out("r1 = value q", "r1 += 8", f"r2 = {objects[-1]}", "r2 += 8", "r3 = 0", "r4 = 0")
            self.out("kfunc bpf_list_push_front_impl", "r1 = value q", "call bpf_spin_unlock")
            return
        self.out("r1 = value q", "r1 += 8", f"kfunc bpf_list_pop_{self.rng.choice(('front', 'back'))}")
        if not self.free:
            self.out("r1 = value q", "call bpf_spin_unlock")
            return
        reg = self.free.pop()
        self.out(f"{reg} = r0", "r1 = value q", "call bpf_spin_unlock")
        self.unless_null(reg)
        self.out(f"{reg} += -8")
        self.held.append(("object", reg))

    def lookup(self) -> None:
        which = self.rng.choice("ahco")
        self.out("r1 = 0", "*(u32 *)(r10 -68) = r1", "r2 = r10", "r2 += -68", f"r1 = map {which}")
        self.out("call bpf_map_lookup_elem")
        self.unless_null()
        if which == "o":
            self.out("r1 = r0", "r2 = r10", "r2 += -68", "call bpf_map_lookup_elem")
            self.unless_null()
            self.out("r1 = *(u32 *)(r0 +0)")
            return
        number = self.rng.choice(("r1 = 8", "r1 = *(u64 *)(r0 +0)", "r1 = *(u8 *)(r0 +0)"))
        self.out(number)
        if self.careful():
            self.out(self.rng.choice(("r1 &= 7", "r1 &= 8", "w1 &= 7", "r1 >>= 61", "r1 %= 9")))
        self.out("r0 += r1", f"r1 = *(u64 *)(r0 +{self.rng.choice((0, 0, 1))})")

    def look(self) -> None:
        if self.held:
            self.use(self.rng.choice(self.held)[1])

    def branch(self, depth: int) -> None:
        skip = self.label()
        self.out("call bpf_get_prandom_u32", f"if r0 {self.rng.choice(('==', '>', 's<'))} 5 goto {skip}")
        held, free, places = list(self.held), list(self.free), list(self.places)
        for _ in range(self.rng.randrange(1, 3)):
            self.step(depth + 1)
        while len(self.held) > len(held) and self.careful():
            self.give_one()
        if self.careful():
            self.held, self.free, self.places = held, free, places
        self.out(f"{skip}:")

    def step(self, depth: int = 0) -> None:
        if depth < 2 and self.rng.random() < 0.12:
            self.branch(depth)
            return
        steps = (
            self.record, self.socket, self.task, self.mask, self.object, self.dynptr, self.lock, self.section,
            self.pointer_in_map, self.list, self.lookup, self.look, self.look, self.give_one, self.give_one,
        )  # fmt: skip
        self.rng.choice((*steps, self.iterator) if not depth else steps)()


def program(seed: int) -> ProgramSpec:
    rng = random.Random(seed)
    writer = Writer(rng, rng.choice((0.9, 0.97, 0.995)))
    writer.out(*[f"*(u64 *)(r10 {off}) = 0" for off in range(-112, -64, 8)])
    for _ in range(rng.randrange(1, 8)):
        writer.step()
    while writer.held and rng.random() < 0.99:
        writer.give_one()
    writer.out("r0 = 0" if rng.random() < 0.97 else f"r0 = {rng.choice(_KEPT)}", "exit")
    return Case(f"objects {seed}", writer.lines).spec(shared_kernel())
