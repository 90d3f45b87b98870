"""The context table against the running kernel: layout by its BTF, access by its verifier."""

import platform

from cygnet.btf.reader import Btf
from cygnet.facts.contexts import field_at, fields, structures
from cygnet.facts.progtypes import attach_type, program_types
from cygnet.facts.registers import offsets
from cygnet.isa.encode import encode
from cygnet.isa.insn import Insn

SIZES = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}
WRONG = ("invalid bpf_context access", "misaligned", "cannot write")
# given to programs that a load alone cannot make here
NEEDS_MORE = {"lirc_mode2"}


def attach_types(kind):
    if kind.name == "xdp":
        return [attach_type("XDP"), attach_type("XDP_DEVMAP")]
    return [attach_type(name) for name in kind.attach_types] if kind.expects_attach_type else [0]


def allowed(rawbpf, kind, offset, size, write):
    access = Insn(0x63 | SIZES[size], 1, 2, offset, 0) if write else Insn(0x61 | SIZES[size], 2, 1, offset, 0)
    code = encode([Insn(0xB7, 2), access, Insn(0xB7, 0), Insn(0x95)])
    for number in attach_types(kind):
        _, log = rawbpf.load(code, kind.id, 1, attach_type=number)
        assert log, kind
        if not any(word in log for word in WRONG):
            return True
    return False


def test_access(rawbpf):
    wrong = []
    for structure in structures():
        users = [kind for kind in program_types() if kind.context == structure]
        assert users
        for field in fields(structure, platform.machine()).values():
            for kind in users:
                at = [field.offset + field.size * index for index in range(field.count)]
                reads = all(allowed(rawbpf, kind, offset, field.size, False) for offset in at)
                writes = all(allowed(rawbpf, kind, offset, field.size, True) for offset in at)
                if (reads, writes) != (kind.name in field.readers, kind.name in field.writers):
                    if (structure, kind.name) != ("bpf_raw_tracepoint_args", "raw_tracepoint_writable"):
                        wrong.append((structure, field, kind, reads, writes))
    assert not wrong


def flat(btf, kind, base=0):
    for member in kind.members:
        offset, of = base + member.byte_offset, btf.resolve(member.type_id)
        if member.name:
            yield member.name, offset, of
        else:
            yield from flat(btf, of, offset)


def test_layout():
    btf = Btf.kernel()
    for structure in structures():
        if structure in ("bpf_perf_event_data", "pt_regs", "bpf_raw_tracepoint_args"):
            continue
        theirs = {name: (offset, btf.size_of(of)) for name, offset, of in flat(btf, btf.find(structure, 4))}
        ours = {field.name: (field.offset, field.size * field.count) for field in fields(structure).values()}
        assert ours == theirs, structure


def test_registers():
    btf = Btf.kernel()
    regs = "user_pt_regs" if platform.machine() == "aarch64" else "pt_regs"
    theirs = {name: offset for name, offset, _ in flat(btf, btf.find(regs, 4)) if name not in ("csx", "ssx", "regs")}
    ours = offsets(platform.machine())
    assert {name: ours.get(name) for name in theirs if not name.startswith("fred_")} == {
        name: offset for name, offset in theirs.items() if not name.startswith("fred_")
    }
    event = {name: offset for name, offset, _ in flat(btf, btf.find("bpf_perf_event_data", 4))}
    for name in ("sample_period", "addr"):
        assert fields("bpf_perf_event_data", platform.machine())[name].offset == event[name]


def test_fields_by_offset():
    assert field_at("__sk_buff", 52).name == "cb"
    assert field_at("__sk_buff", 4000) is None
    assert fields("bpf_perf_event_data", "aarch64")["addr"].offset == 34 * 8 + 8
