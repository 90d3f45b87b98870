"""The helper table against the running kernel: who may call what, and every argument's kind.

For each helper a program is made in which all its arguments are of the kinds the row says. The
verifier must take the call; with one argument spoilt it must refuse it, and name that register.
"""

import re

import pytest

from cygnet.btf.builder import Builder
from cygnet.btf.reader import Btf
from cygnet.facts.helpers import helper, helpers
from cygnet.facts.progtypes import attach_type, program_type
from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.isa.insn import Insn

SLEEPABLE = 16
# how to load a program of a type: attach type, kernel type to attach to (kind of BTF record, name), flags
VARIANTS = {
    "socket_filter": [()],
    "sched_cls": [()],
    "xdp": [()],
    "tracing": [("TRACE_RAW_TP", (8, "btf_trace_sched_switch")), ("TRACE_ITER", (12, "bpf_iter_task"))],
    "kprobe": [()],
    "sched_act": [()],
    "tracepoint": [()],
    "perf_event": [()],
    "cgroup_skb": [()],
    "cgroup_sock": [("CGROUP_INET_SOCK_CREATE",)],
    "lwt_in": [()],
    "lwt_out": [()],
    "lwt_xmit": [()],
    "sock_ops": [()],
    "sk_skb": [()],
    "cgroup_device": [(), ("CGROUP_DEVICE",)],
    "sk_msg": [()],
    "raw_tracepoint": [()],
    "cgroup_sock_addr": [("CGROUP_INET4_CONNECT",)],
    "lwt_seg6local": [()],
    "sk_reuseport": [("SK_REUSEPORT_SELECT_OR_MIGRATE",)],
    "flow_dissector": [()],
    "cgroup_sysctl": [("CGROUP_SYSCTL",)],
    "raw_tracepoint_writable": [()],
    "cgroup_sockopt": [("CGROUP_SETSOCKOPT",), ("CGROUP_GETSOCKOPT",)],
    "sk_lookup": [("SK_LOOKUP",)],
    "syscall": [("", None, SLEEPABLE)],
    "netfilter": [("NETFILTER",)],
}
# what a kernel may lack: by lockdown, by configuration, or for want of an attach point here
NOT_EVERYWHERE = {"bpf_probe_write_user", "bpf_override_return", "bpf_sk_assign"}
# fentry and fexit only
TRAMPOLINE = {"bpf_get_func_arg", "bpf_get_func_ret", "bpf_get_func_arg_cnt"}
MAPS = {  # helper number → type of map it wants, where it is not a hash
    **dict.fromkeys((22, 25, 55, 111, 121), 4),
    **dict.fromkeys((130, 131, 134, 198), 27),
    **dict.fromkeys((52, 53, 60), 15),
    **dict.fromkeys((70, 71, 72), 18),
    **dict.fromkeys((87, 88, 89), 22),
    **dict.fromkeys((107, 108), 24),
    **dict.fromkeys((156, 157), 29),
    **dict.fromkeys((210, 211), 32),
    **dict.fromkeys((33, 37), 8),
    **dict(zip((12, 27, 51, 82, 195, 209), (3, 7, 14, 20, 5, 31))),
}
NO_KEY, LOCAL_STORAGE = (22, 27), (24, 29, 32)
# arguments that a short program cannot make
TOO_HARD = {"lock", "timer", "func", "kptr_slot"}


class Lab:
    def __init__(self, bpf):
        self.bpf = bpf
        self.kernel = Btf.kernel()
        self.made = {}

    def kernel_id(self, kind, name):
        return self.kernel.find(name, kind).id

    def load(self, prog_type, variant, insns, license=b"GPL"):
        attach, target, flags = (*variant, *("", None, 0)[len(variant) :])
        fd, log = self.bpf.load(
            encode(insns),
            program_type(prog_type).id,
            1,
            license,
            attach_type(attach) if attach else 0,
            self.kernel_id(*target) if target else 0,
            flags,
        )
        return fd >= 0, log

    def map_fd(self, kind):
        if kind not in self.made:
            self.made[kind] = self.make_map(kind)
        return self.made[kind]

    def make_map(self, kind):
        if kind in NO_KEY:
            return self.bpf.map(kind, 0, 8 if kind == 22 else 0, 4096)
        if kind == 31:
            return self.bpf.map(kind, 0, 0, 4096)
        if kind in LOCAL_STORAGE:
            types = Builder()
            number = types.integer(4, True, "int")
            value = types.integer(8, False, "u64")
            return self.bpf.map(kind, 4, 8, 0, 1, (self.bpf.btf(types.to_bytes()), number, value))
        return self.bpf.map(kind, 4, 8 if kind in (1, 5, 7, 20) else 4, 2)

    def text_fd(self):
        """A frozen read-only array whose value is a string."""
        if "text" not in self.made:
            fd = self.bpf.map(2, 4, 8, 1, 1 << 7)
            self.bpf.write(fd, b"x\0\0\0\0\0\0\0")
            self.bpf.call(22, fd.to_bytes(4, "little"))
            self.made["text"] = fd
        return self.made["text"]


@pytest.fixture
def lab(rawbpf):
    return Lab(rawbpf)


REFUSED = re.compile(r"program of this type cannot use helper|unknown func|invalid func")


def callable_in(lab, row, prog_type):
    """Whether any variant of the program type may call the helper."""
    for variant in VARIANTS[prog_type]:
        _, log = lab.load(prog_type, variant, [Insn(0x85, 0, 0, 0, row.id), Insn(0x95)])
        assert log, (row, prog_type)
        if not REFUSED.search(log):
            return True
    return False


def test_which_programs_may_call(lab):
    wrong = []
    for row in helpers():
        allowed = {name for name in VARIANTS if callable_in(lab, row, name)}
        expected = set(row.programs) & set(VARIANTS)
        if allowed != expected and not (row.name in NOT_EVERYWHERE | TRAMPOLINE and not allowed):
            wrong.append((row, "also", sorted(allowed - expected), "not", sorted(expected - allowed)))
    assert not wrong


def test_which_need_a_gpl_program(lab):
    for row in helpers():
        for prog_type in VARIANTS:
            if prog_type in row.programs and callable_in(lab, row, prog_type):
                break
        else:
            continue
        for variant in VARIANTS[prog_type]:
            _, log = lab.load(prog_type, variant, [Insn(0x85, 0, 0, 0, row.id), Insn(0x95)], b"Proprietary")
            if not REFUSED.search(log):
                assert ("GPL" in log) is row.gpl_only, (row, log)


# --- arguments ----------------------------------------------------------------------------------------------

ZERO_STACK = "".join(f"*(u64 *)(r10 -{at}) = 0\n" for at in range(8, 136, 8))
STACK = "r{r} = r10\nr{r} += -128\n"
SK_FIELD = {"sched_cls": 168, "sched_act": 168, "cgroup_skb": 168, "socket_filter": 168, "lwt_in": 168, "sock_ops": 184}
SIMPLE = {
    "ctx": "r{r} = r6\n",
    **dict.fromkeys(("key", "value", "value_out", "mem", "mem_out", "mem_rw", "stack", "long_out", "int_rw"), STACK),
    **dict.fromkeys(("size", "size0", "alloc_size"), "r{r} = 8\n"),
    "num": "r{r} = 0\n",
    "fixed": STACK,
    "dynptr_out": "r{r} = r10\nr{r} += -152\n",
    "sock": "r{r} = r7\n",
    "record": "r{r} = r7\n",
    "dynptr": "r{r} = r10\nr{r} += -152\n",
}


class Impossible(Exception):
    """This row's arguments cannot be made in a program of this type."""


def prologue(lab, row, prog_type, variant):
    """Instructions that set r6 to the context and r7 to whatever object the arguments need."""
    text, kinds = ZERO_STACK + "r6 = r1\n", {kind.rstrip("?").partition(":")[0] for kind in row.args}
    objects = {kind.rstrip("?").partition(":")[2] for kind in row.args if kind.startswith("btf:")}
    if kinds & TOO_HARD or row.name in ("bpf_ringbuf_submit_dynptr", "bpf_ringbuf_discard_dynptr", "bpf_sk_release"):
        raise Impossible
    if row.name == "bpf_get_local_storage":  # one map a program, checked when it is attached
        raise Impossible
    if row.name == "bpf_get_cgroup_classid" and prog_type != "sched_cls":  # elsewhere it has no argument
        raise Impossible
    if "record" in kinds:
        text += f"r1 = map[fd:{lab.map_fd(27)}]\nr2 = 8\nr3 = 0\ncall 131\nif r0 == 0 goto out\nr7 = r0\n"
    elif "dynptr" in kinds:
        text += f"r1 = map[fd:{lab.bpf.array(8)}][0]+0\nr2 = 8\nr3 = 0\nr4 = r10\nr4 += -152\ncall 197\n"
    elif "sock" in kinds and prog_type == "tracing":
        raise Impossible
    elif "sock" in kinds:
        if prog_type not in SK_FIELD:
            raise Impossible
        text += f"r7 = *(u64 *)(r6 +{SK_FIELD[prog_type]})\nif r7 == 0 goto out\n"
        if row.name in ("bpf_tcp_check_syncookie", "bpf_tcp_gen_syncookie", "bpf_sk_assign"):
            raise Impossible
    elif objects == {"task_struct"}:
        text += "call 158\nr7 = r0\n"
    elif objects == {"seq_file"} and variant[:1] == ("TRACE_ITER",):
        text += "r7 = *(u64 *)(r6 +0)\nr7 = *(u64 *)(r7 +0)\n"
    elif objects:
        raise Impossible
    return text + "call 5\n"  # after a call r1 to r5 are unwritten


def argument(lab, row, register, kind):
    """Instructions that put an argument of `kind` into r`register`."""
    base = kind.rstrip("?").partition(":")[0]
    if base == "map":
        return f"r{register} = map[fd:{lab.map_fd(MAPS.get(row.id, 1))}]\n"
    if base == "str":
        return f"r{register} = map[fd:{lab.text_fd()}][0]+0\n"
    if row.id == 197 and register == 1:  # the stack is no place for a dynptr's data
        return f"r1 = map[fd:{lab.bpf.array(8)}][0]+0\n"
    if base == "btf":
        return f"r{register} = r7\n"
    if base == "percpu":
        number = lab.kernel_id(14, "bpf_prog_active")
        return f"r{register} = btf[fd:0 id:{number}]\n"
    if base == "...":
        return ""
    return SIMPLE[base].format(r=register)


SPOIL = {  # how to make an argument wrong; the verifier must name its register
    "num": "",  # left unwritten
    "size": "r{r} = r10\n",
    "size0": "r{r} = r10\n",
    "alloc_size": "r{r} = r10\n",
    "...": "",
}


def variations(lab, row, index, kind):
    """(instructions for the argument, accepted?)"""
    register, base = index + 1, kind.rstrip("?").partition(":")[0]
    null = f"r{register} = 0\n"
    if base == "...":
        return
    yield SPOIL.get(base, f"r{register} = 1\n").format(r=register), False
    if kind.endswith("?"):
        yield null, True
    elif base in ("key", "value", "value_out", "stack", "long_out", "int_rw", "fixed", "ctx"):
        yield null, False
    if base in ("size", "size0"):
        yield null, base == "size0"
    if base in ("mem", "mem_out", "mem_rw", "key", "value", "value_out"):
        yield f"r{register} = map[fd:{lab.text_fd()}][0]+0\n", base in ("mem", "key", "value")


def blame(log, register):
    return re.search(rf"\bR{register}\b|arg#{register - 1}\b|arg {register}\b|args#{register - 1}\b", log) is not None


def attempt(lab, row, prog_type, variant, pieces, start):
    text = start + "".join(pieces) + f"call {row.id}\nr0 = 0\nout:\nr0 = 0\nexit\n"
    return lab.load(prog_type, variant, assemble(text))


def judge(lab, row, prog_type, variant):
    """Faults of the row as this kernel sees them."""
    start = prologue(lab, row, prog_type, variant)
    good = [argument(lab, row, number + 1, kind) for number, kind in enumerate(row.args)]
    accepted, log = attempt(lab, row, prog_type, variant, good, start)
    if REFUSED.search(log) or re.search("might sleep|supported only for|failed to find the address", log):
        raise Impossible
    if not accepted and "reference" not in log:
        return [(row, "refused", log.splitlines()[-2])]
    faults = []
    for index, kind in enumerate(row.args):
        for piece, expected in variations(lab, row, index, kind):
            pieces = [*good[:index], piece, *good[index + 1 :]]
            if expected and kind.startswith("mem") and kind.endswith("?") and piece.endswith(" = 0\n"):
                pieces[index + 1] = f"r{index + 2} = 0\n"  # no memory has no bytes
            accepted, log = attempt(lab, row, prog_type, variant, pieces, start)
            taken = accepted or "reference" in log
            if taken is not expected or not (taken or blame(log, index + 1)):
                faults.append((row, index + 1, kind, piece, "taken" if taken else log.splitlines()[-2]))
    return faults


def test_arguments(lab):
    faults, judged = [], set()
    for row in helpers():
        for prog_type, variants in VARIANTS.items():
            for variant in variants:
                if prog_type not in row.programs or row.id in judged:
                    continue
                try:
                    faults += judge(lab, row, prog_type, variant)
                except Impossible:
                    continue
                judged.add(row.id)
    assert not faults, "\n".join(map(repr, faults))
    left = sorted(row.name for row in helpers() if row.id not in judged)
    assert len(judged) > 165, left


def test_numbers_agree_with_the_kernel():
    kinds = Btf.kernel().find("bpf_func_id")
    theirs = {name: value for name, value in kinds.enumerators if not name.startswith("__")}
    assert theirs.pop("BPF_FUNC_unspec") == 0
    assert theirs == {f"BPF_FUNC_{row.name[4:]}": row.id for row in helpers()}
    assert helper("ktime_get_ns") is helper(5) is helper("bpf_ktime_get_ns")
