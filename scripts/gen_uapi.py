#!/usr/bin/env python3
"""Make src/cygnet/uapi/*.py: kernel numbers and layouts, as plain constants.

Sources, in rising precedence: the installed linux/*.h headers (values by compiling a small C program, so
that the compiler is the judge of every macro), then the running kernel's BTF, which also knows the
enumerators newer than the headers. What neither holds is in HAND_ROWS, each row with its source.

    python3 scripts/gen_uapi.py            write the modules
    python3 scripts/gen_uapi.py --check    exit 1 when what is checked in differs
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from cygnet.btf import ARRAY, COMPOSITES, ENUMS, INT, STRUCT, UNION, Btf, BtfType, resolve, size_of  # noqa: E402

OUT = ROOT / "src" / "cygnet" / "uapi"
HEADERS = ("linux/bpf.h", "linux/bpf_common.h", "linux/btf.h", "linux/perf_event.h")

# Enumerations of the kernel's user-space interface that the installed header may not have yet.
NEW_ENUMS = {
    "bpf_addr_space_cast", "bpf_cond_pseudo_jmp", "bpf_kfunc_flags", "bpf_perf_event_type", "bpf_stream_id",
    "bpf_cgroup_iter_order", "perf_sw_ids", "perf_event_sample_format",
}  # fmt: skip
# Anonymous ones, known by one member.
NEW_ANONYMOUS = {"BPF_F_UPROBE_MULTI_RETURN", "BPF_F_TIMER_ABS", "BPF_SKB_CLOCK_REALTIME"}

# name, value, source
HAND_ROWS: tuple[tuple[str, int, str], ...] = (
    ("BPF_MEMSX", 0x80, "include/uapi/linux/bpf.h, Linux 6.6: load with sign extension"),
    ("BPF_JCOND", 0xE0, "include/uapi/linux/bpf.h, Linux 6.9: may_goto"),
    ("BPF_LOAD_ACQ", 0x100, "include/uapi/linux/bpf.h, Linux 6.15: load-acquire"),
    ("BPF_STORE_REL", 0x110, "include/uapi/linux/bpf.h, Linux 6.15: store-release"),
    ("BPF_F_XDP_DEV_BOUND_ONLY", 1 << 6, "include/uapi/linux/bpf.h, Linux 6.3: prog_flags"),
    ("BPF_F_TEST_REG_INVARIANTS", 1 << 7, "include/uapi/linux/bpf.h, Linux 6.8: prog_flags"),
    ("BPF_F_NETFILTER_IP_DEFRAG", 1 << 0, "include/uapi/linux/bpf.h, Linux 6.6: link_create.netfilter.flags"),
    ("BPF_F_BEFORE", 1 << 3, "include/uapi/linux/bpf.h, Linux 6.6: multi-prog attach flags"),
    ("BPF_F_AFTER", 1 << 4, "include/uapi/linux/bpf.h, Linux 6.6: multi-prog attach flags"),
    ("BPF_F_ID", 1 << 5, "include/uapi/linux/bpf.h, Linux 6.6: multi-prog attach flags"),
    ("BPF_F_LINK", 1 << 13, "include/uapi/linux/bpf.h, Linux 6.6: multi-prog attach flags"),
    ("BPF_F_PREORDER", 1 << 6, "include/uapi/linux/bpf.h, Linux 6.15: cgroup attach flags"),
    ("PERF_UPROBE_REF_CTR_OFFSET_SHIFT", 32, "kernel/events/core.c: enum perf_probe_config"),
    ("PERF_UPROBE_REF_CTR_OFFSET_BITS", 32, "kernel/events/core.c: enum perf_probe_config"),
    ("PERF_PROBE_CONFIG_IS_RETPROBE", 1, "kernel/events/core.c: enum perf_probe_config"),
)

# module → its docstring and the pattern of its names; the first that matches has the name
MODULES: tuple[tuple[str, str, str], ...] = (
    ("bpf_func", "Helper function ids (enum bpf_func_id): BPF_FUNC_*.", r"BPF_FUNC_"),
    ("btf", "BTF kinds and CO-RE relocation kinds (linux/btf.h, enum bpf_core_relo_kind).", r"BTF_|BPF_CORE_"),
    (
        "bpf_insn",
        "Instruction encoding: classes, sizes, modes, operations, pseudo source registers.",
        r"BPF_(LDX?|STX?|ALU(64)?|JMP(32)?|RET|MISC|[WHB]|DW|IMM|ABS|IND|MEM|LEN|MSH|MEMSX|ATOMIC|XADD|FETCH|XCHG|CMPXCHG"
        r"|ADD|SUB|MUL|DIV|OR|AND|LSH|RSH|NEG|MOD|XOR|MOV|ARSH|END|TO_[LB]E|FROM_[LB]E|J[A-Z0-9]+|CALL|EXIT|K|X|LOAD_ACQ"
        r"|STORE_REL|MAY_GOTO|ADDR_SPACE_CAST|MAXINSNS|REG_\d+|PSEUDO_.*)$",
    ),
    (
        "bpf",
        "What bpf(2) takes: commands, map, program, attach and link types, and their flags.",
        r"BPF_(MAP_|PROG_|OBJ_|LINK_|BTF_|TASK_FD_QUERY|RAW_TRACEPOINT_OPEN|ENABLE_STATS|ITER_|TOKEN_|STATS_|TRACE_|CGROUP_"
        r"|SK_|XDP|LSM_|MODIFY_RETURN|PERF_EVENT|STRUCT_OPS|NETFILTER|TCX_|NETKIT_|FLOW_DISSECTOR$|LIRC_|FD_TYPE_|ANY$|NOEXIST$"
        r"|EXIST$|F_LOCK$|F_NO_PREALLOC|F_NO_COMMON_LRU|F_NUMA_NODE|F_RDONLY|F_WRONLY|F_STACK_BUILD_ID|F_ZERO_SEED|F_CLONE"
        r"|F_MMAPABLE|F_PRESERVE_ELEMS|F_INNER_MAP|F_LINK|F_PATH_FD|F_VTYPE_BTF_OBJ_FD|F_TOKEN_FD|F_SEGV_ON_FAULT|F_NO_USER_CONV"
        r"|F_RB_OVERWRITE|F_STRICT_ALIGNMENT|F_ANY_ALIGNMENT|F_TEST_|F_SLEEPABLE|F_XDP_|F_ALLOW_|F_REPLACE|F_BEFORE|F_AFTER|F_ID$"
        r"|F_PREORDER|F_KPROBE_MULTI_RETURN|F_UPROBE_MULTI_RETURN|F_QUERY_EFFECTIVE|F_NETFILTER|RINGBUF_|TAG_SIZE|STREAM_"
        r"|STDOUT$|STDERR$|BUILD_ID_SIZE|STACK_BUILD_ID)",
    ),
    (
        "bpf_flags",
        "What helpers take and programs return: flags, verdicts, socket and fib constants.",
        r"BPF_|XDP_|SK_|TCP_BPF_",
    ),
    (
        "perf_record",
        "Perf records, branches and memory operations: what a perf ring of samples holds.",
        r"PERF_(RECORD_|BR_|MEM_|TXN_|AUX_|SAMPLE_BRANCH_(?!STACK)|SAMPLE_REGS_ABI|CONTEXT_|REG_|BPF_EVENT|BRANCH_|IOC_FLAG)",
    ),
    ("perf", "What perf_event_open(2) takes: types, events, sample and read formats, ioctls.", r"PERF_"),
)  # fmt: skip

# name in layouts.py, name of the struct or union in BTF, path of members into it (None: the struct itself).
# A path element "=member" is the anonymous struct that has that member.
LAYOUTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("ATTR_MAP_CREATE", "bpf_attr", ("=map_type",)),
    ("ATTR_MAP_ELEM", "bpf_attr", ("=key",)),
    ("ATTR_MAP_BATCH", "bpf_attr", ("batch",)),
    ("ATTR_PROG_LOAD", "bpf_attr", ("=prog_type",)),
    ("ATTR_OBJ", "bpf_attr", ("=pathname",)),
    ("ATTR_PROG_ATTACH", "bpf_attr", ("=attach_bpf_fd",)),
    ("ATTR_TEST_RUN", "bpf_attr", ("test",)),
    ("ATTR_GET_ID", "bpf_attr", ("=next_id",)),
    ("ATTR_INFO", "bpf_attr", ("info",)),
    ("ATTR_PROG_QUERY", "bpf_attr", ("query",)),
    ("ATTR_RAW_TRACEPOINT", "bpf_attr", ("raw_tracepoint",)),
    ("ATTR_BTF_LOAD", "bpf_attr", ("=btf_log_buf",)),
    ("ATTR_TASK_FD_QUERY", "bpf_attr", ("task_fd_query",)),
    ("ATTR_LINK_CREATE", "bpf_attr", ("link_create",)),
    ("LINK_CREATE_PERF_EVENT", "bpf_attr", ("link_create", "perf_event")),
    ("LINK_CREATE_TRACING", "bpf_attr", ("link_create", "tracing")),
    ("LINK_CREATE_ITER", "bpf_attr", ("link_create", "=iter_info")),
    ("LINK_CREATE_KPROBE_MULTI", "bpf_attr", ("link_create", "kprobe_multi")),
    ("LINK_CREATE_UPROBE_MULTI", "bpf_attr", ("link_create", "uprobe_multi")),
    ("ATTR_LINK_UPDATE", "bpf_attr", ("link_update",)),
    ("MAP_INFO", "bpf_map_info", ()),
    ("PROG_INFO", "bpf_prog_info", ()),
    ("BTF_INFO", "bpf_btf_info", ()),
    ("LINK_INFO", "bpf_link_info", ()),
    ("LINK_INFO_RAW_TRACEPOINT", "bpf_link_info", ("raw_tracepoint",)),
    ("LINK_INFO_TRACING", "bpf_link_info", ("tracing",)),
    ("LINK_INFO_CGROUP", "bpf_link_info", ("cgroup",)),
    ("LINK_INFO_NETNS", "bpf_link_info", ("netns",)),
    ("LINK_INFO_XDP", "bpf_link_info", ("xdp",)),
    ("LINK_INFO_TCX", "bpf_link_info", ("tcx",)),
    ("LINK_INFO_STRUCT_OPS", "bpf_link_info", ("struct_ops",)),
    ("LINK_INFO_NETFILTER", "bpf_link_info", ("netfilter",)),
    ("LINK_INFO_KPROBE_MULTI", "bpf_link_info", ("kprobe_multi",)),
    ("LINK_INFO_UPROBE_MULTI", "bpf_link_info", ("uprobe_multi",)),
    ("LINK_INFO_PERF_EVENT", "bpf_link_info", ("perf_event",)),
    ("LINK_INFO_PERF_UPROBE", "bpf_link_info", ("perf_event", "uprobe")),
    ("LINK_INFO_PERF_KPROBE", "bpf_link_info", ("perf_event", "kprobe")),
    ("LINK_INFO_PERF_TRACEPOINT", "bpf_link_info", ("perf_event", "tracepoint")),
    ("LINK_INFO_PERF_EVENT_EVENT", "bpf_link_info", ("perf_event", "event")),
    ("FUNC_INFO", "bpf_func_info", ()),
    ("LINE_INFO", "bpf_line_info", ()),
    ("CORE_RELO", "bpf_core_relo", ()),
    ("PERF_EVENT_ATTR", "perf_event_attr", ()),
)


# ── sources ──────────────────────────────────────────────────────────────────────────────────────────────


def header_names(text: str) -> list[str]:
    """Object-like macros and enumerators of a preprocessed-with-macros (`cpp -dD`) header."""
    names = re.findall(r"^#define[ \t]+([A-Z_][A-Za-z0-9_]*)[ \t]+\S", text, re.M)
    code = re.sub(r"^#.*$", "", text, flags=re.M)
    for body in re.findall(r"\benum\s*\w*\s*\{([^}]*)\}", code):
        names += re.findall(r"(?:^|,)\s*([A-Za-z_]\w*)", body)
    return names


def header_constants(names_of_modules: re.Pattern[str]) -> dict[str, int]:
    includes = "".join(f"#include <{h}>\n" for h in HEADERS)
    cpp = subprocess.run(["cc", "-E", "-dD", "-"], input=includes, text=True, capture_output=True, check=True).stdout
    names = sorted({n for n in header_names(cpp) if names_of_modules.match(n) and not is_sentinel(n)})
    source = "#include <stdio.h>\n#include <sys/ioctl.h>\n" + includes + "int main(void) {\n"
    source += "".join(f'printf("{n} %lld\\n", (long long)({n}));\n' for n in names) + "return 0; }\n"
    with tempfile.TemporaryDirectory() as folder:
        exe = os.path.join(folder, "constants")
        subprocess.run(["cc", "-w", "-x", "c", "-", "-o", exe], input=source, text=True, check=True)
        out = subprocess.run([exe], capture_output=True, text=True, check=True).stdout
    return {name: int(value) for name, value in (line.split() for line in out.splitlines())}


def btf_constants(btf: Btf, known: dict[str, int]) -> dict[str, int]:
    """Enumerators of the uapi's enumerations: those the header has a member of, and the NEW_ ones."""
    result: dict[str, int] = {}
    for t in btf.types():
        if t.kind not in ENUMS:
            continue
        values = dict(t.enumerators)
        new = t.name in NEW_ENUMS or not NEW_ANONYMOUS.isdisjoint(values)
        if new or sum(n in known for n in values) * 2 >= min(len(values), 4):
            result.update({n: v for n, v in values.items() if not is_sentinel(n)})
    return result


def is_sentinel(name: str) -> bool:
    """Ends of enumerations: they change with every kernel, and no one may depend on them."""
    return name.startswith(("__", "MAX_", "NR_")) or name.endswith(("_MAX", "_MAX_SHIFT", "_MAX_STATES"))


# ── layouts ──────────────────────────────────────────────────────────────────────────────────────────────


def follow(t: BtfType, path: tuple[str, ...]) -> BtfType:
    for step in path:
        t = member_type(t, step)
    return t


def member_type(t: BtfType, step: str) -> BtfType:
    """The type of a member, looking through anonymous ones; for "=name", of the anonymous one that has it."""
    for member in t.members:
        inner = resolve(t.btf.type(member.type_id))
        if member.name == step:
            return inner
        if not member.name:
            if step[0] == "=" and any(m.name == step[1:] for m in inner.members):
                return inner
            with contextlib.suppress(LookupError):
                return member_type(inner, step)
    raise LookupError(f"no {step} in {t.name}")


def format_of(t: BtfType) -> str:
    if t.kind == ARRAY:
        element = resolve(t.type)
        return f"{t.nelems}s" if size_of(element) == 1 else format_of(element) * t.nelems
    letter = {1: "B", 2: "H", 4: "I", 8: "Q"}[size_of(t)]
    return letter.lower() if t.kind == INT and t.is_signed else letter


def flatten(struct: BtfType) -> tuple[str, list[str], dict[str, int]]:
    """A `struct` format, field names, and bit numbers of bit fields (which share one integer field).

    A union of members of one size is one field, by the first one's name. A union that holds structs (the
    per-kind tail of link_create and link_info) ends the layout: its variants have layouts of their own.
    """
    fields: list[str] = []
    bits: dict[str, int] = {}
    fmt, at, storage = "=", 0, 0
    for member in struct.members:
        t, offset, name = resolve(struct.btf.type(member.type_id)), member.bit_offset // 8, member.name
        if member.bitfield_size:
            bits[name] = member.bit_offset
            storage = size_of(t)
            continue
        if bits and "bits" not in fields:
            first = min(bits.values())
            fmt, fields, at = fmt + {4: "I", 8: "Q"}[storage], [*fields, "bits"], first // 8 + storage
            bits = {n: b - first for n, b in bits.items()}
        if t.kind == UNION:
            parts = [resolve(struct.btf.type(m.type_id)) for m in t.members]
            if any(part.kind in COMPOSITES for part in parts):
                pad = offset - at
                return fmt + (f"{pad}x" if pad else ""), fields, bits
            name, t = name or t.members[0].name, parts[0]
        if offset != at:
            fmt += f"{offset - at}x"
        fmt, at = fmt + format_of(t), offset + size_of(t)
        fields.append(name)
    return fmt + (f"{struct.size - at}x" if struct.size > at else ""), fields, bits


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────


def provenance() -> str:
    """Line one of every module. The release without its local suffix: the numbers do not depend on it."""
    release = ".".join(os.uname().release.split(".")[:2])
    version = Path("/usr/include/linux/version.h").read_text()
    code = int(re.search(r"LINUX_VERSION_CODE (\d+)", version).group(1))  # type: ignore[union-attr]
    header = f"{code >> 16}.{code >> 8 & 255}"
    sources = f"linux-libc-dev {header} and the BTF of Linux {release}"
    return f"# Generated by scripts/gen_uapi.py from {sources}; do not edit.\n"


def render(value: int, name: str) -> str:
    flag = re.search(r"_F_|FLAG|SAMPLE_|FORMAT_|_IOC_|BPF_(LDX?|STX?|ALU|JMP|J|[A-Z]+$)", name)
    return f"0x{value:X}" if (flag and value > 9) or value > 0xFFFF else str(value)


def module_text(doc: str, rows: dict[str, int]) -> str:
    notes = {name: source for name, _value, source in HAND_ROWS}
    lines = [provenance(), f'"""{doc}"""\n\n']
    for name, value in rows.items():
        note = f"  # by hand: {notes[name]}" if name in notes else ""
        lines.append(f"{name} = {render(value, name)}{note}\n")
    return "".join(lines)


def layouts_text(btf: Btf) -> str:
    lines = [
        provenance(),
        '"""Layouts of bpf_attr\'s members and of the info structs: a `struct` format and the fields\' names.\n\n'
        "Padding is in the format. A union's tail that depends on the kind has a layout of its own.\n"
        '"""\n\n',
    ]
    for const, name, path in LAYOUTS:
        struct = btf.find(name, UNION if name == "bpf_attr" else STRUCT)
        if struct is None:
            raise LookupError(f"the kernel's BTF has no {name}")
        fmt, fields, bits = flatten(follow(struct, path))
        body = "".join(f'        "{f}",\n' for f in fields)
        names = f"(\n{body}    )" if len(fields) > 1 else f'("{fields[0]}",)'
        lines.append(f'{const} = (\n    "{fmt}",\n    {names},\n)\n')
        for field, bit in bits.items():
            if not field.startswith("__"):
                lines.append(f"{const}_BIT_{field.upper()} = {bit}\n")
    return "".join(lines)


def modules() -> dict[str, str]:
    """File name → text, of every generated module."""
    patterns = [(name, doc, re.compile(p)) for name, doc, p in MODULES]
    known = header_constants(re.compile("|".join(f"(?:{p})" for _n, _d, p in MODULES)))
    btf = Btf.kernel(use_cache=False)
    constants = known | btf_constants(btf, known)
    constants |= {name: value for name, value, _source in HAND_ROWS if name not in constants}
    rows: dict[str, dict[str, int]] = {name: {} for name, _doc, _p in MODULES}
    for const, value in sorted(constants.items(), key=lambda item: (family(item[0]), item[1], item[0])):
        home = next((name for name, _doc, p in patterns if p.match(const)), None)
        if home:
            rows[home][const] = value
    texts = {f"{name}.py": module_text(doc, rows[name]) for name, doc, _p in MODULES}
    texts["layouts.py"] = layouts_text(btf)
    return texts


def family(name: str) -> str:
    """What a constant is sorted by before its value, so that one enumeration stays together."""
    match = re.match(r"(BPF_MAP_TYPE|BPF_PROG_TYPE|BPF_LINK_TYPE|BPF_FUNC|BPF_[A-Z]+|[A-Z]+_[A-Z]+)_", name)
    return match.group(1) if match else name


def main() -> int:
    parser = argparse.ArgumentParser(description="Make src/cygnet/uapi from the kernel's headers and BTF.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file differs")
    check = parser.parse_args().check
    OUT.mkdir(exist_ok=True)
    stale = [n for n, text in modules().items() if not (OUT / n).exists() or (OUT / n).read_text() != text]
    if check:
        print("\n".join(f"differs: {name}" for name in stale) or "uapi is up to date")
        return bool(stale)
    for name, text in modules().items() if stale else ():
        (OUT / name).write_text(text)
    print(f"wrote {', '.join(stale) or 'nothing: up to date'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
