"""Which mistake a verifier speaks of: its sentences, as patterns, and the kind that each belongs to."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: kind → what to call it
TITLES = {
    "null-check": "a pointer that may be NULL is used without a check",
    "packet-bounds": "packet bytes are used without a check that the packet has them",
    "unbounded-index": "an index or a length has no sufficient bounds",
    "out-of-bounds": "an access outside of its memory",
    "stack-depth": "the stack is too deep",
    "infinite-loop": "a loop that may never end",
    "scalar-pointer": "a number is used as a pointer",
    "kernel-pointer": "kernel memory is read directly",
    "reference-leak": "a reference is not released",
    "double-release": "something is used after it was released",
    "helper-not-allowed": "a function that programs of this type cannot call",
    "bad-context": "a place of the context that cannot be accessed so",
    "unset-register": "a register is read before it has a value",
    "unset-stack": "stack is read that was never written",
    "too-many-insns": "the program has too many instructions on all its paths",
    "too-many-branches": "the program has too many branches open at once",
    "unreachable": "instructions that no path reaches",
    "wrong-map": "a map that this function does not take",
    "sleepable": "a function that may sleep where sleeping is forbidden",
    "gpl-only": "a function for GPL programs only",
    "bad-return": "a return value out of its range",
    "misaligned": "a misaligned access",
    "spin-lock": "a lock is used wrongly",
    "pointer-arithmetic": "arithmetic that pointers do not have",
    "pointer-leak": "a kernel address would leak",
    "read-only": "memory that may only be read is written",
    "wrong-argument": "an argument of the wrong kind",
    "object-state": "a dynptr or iterator in the wrong state",
    "special-field": "a special field of a value is used like plain memory, or in the wrong place",
    "bad-spill": "a pointer is stored where pointers cannot be kept",
    "critical-section": "a critical section (RCU, preemption, interrupts) is left or used wrongly",
    "bad-jump": "a jump or the end of the code leads out of the program",
    "bad-instruction": "something that is no instruction",
    "bad-attach": "what the program is attached to does not fit",
    "bad-type": "types or prototypes do not fit",
    "too-new": "something that this kernel does not have",
    "other": "the verifier refuses the program",
}

# The first line of the table that matches any line of the reason decides; so what is narrow stands before what is wide.
_PATTERNS = (
    ("too-new", r"\(.* is there since Linux|^(map|program) type \w+ is there since"),
    ("infinite-loop", r"infinite loop detected at insn (?P<insn>\d+)|back-edge from insn (?P<at>\d+) to (?P<to>\d+)"),
    ("too-many-insns", r"BPF program is too large\. Processed (?P<count>\d+) insn"),
    ("too-many-branches", r"The sequence of (?P<count>\d+) jumps is too complex"),
    ("unreachable", r"unreachable insn (?P<insn>\d+)"),
    (
        "bad-jump",
        r"jump out of range from insn (?P<insn>\d+) to (?P<to>-?\d+)|last insn is not an exit or jmp"
        r"|jump into the middle of ldimm64 insn (?P<middle>\d+)|invalid insn idx|no function begins at"
        r"|call to invalid destination|subprog .*no exit|fall-through",
    ),
    (
        "spin-lock",
        r"bpf_(res_)?spin_lock|while holding a lock|Locking two|spin_(un)?lock(_.*)? (cannot be|of different|without|requires)"
        r"|(un)?lock without taking a lock|unlock of different lock|unlock cannot be out of order|AA deadlock"
        r"|missing unlock|has no valid \w*_lock|spin_\{lock,unlock\}|has to have BTF in order to use \w*_lock"
        r"|BPF_EXIT.*lock",
    ),
    (
        "sleepable",
        r"might sleep|sleepable (helper|func|kfunc)|that may sleep|must be sleepable|can be sleepable|use sleepable"
        r"|Sleepable programs|is sleepable within|Syscall programs can only be sleepable",
    ),
    (
        "special-field",
        r"direct access to \w+ is disallowed|cannot be accessed (in)?directly|store to (referenced kptr|uptr)|kptr isn't"
        r"|doesn't point to ('struct|kptr)|not found at offset|has no valid (bpf_)?\w+$|kptr (in map|has to)|has to have BTF"
        r"|special fields|kptr access size|accessed indirectly|node_offset|but expected \w+ at offset",
    ),
    ("bad-spill", r"cannot spill|invalid size of register (spill|fill)"),
    (
        "critical-section",
        r"rcu_read_(un)?lock|RCU (CS|critical)|preempt|IRQ|irq (flag|state|save)|local_irq|unmatched",
    ),
    ("reference-leak", r"Unreleased reference id=(?P<id>\d+) alloc_insn=(?P<alloc>\d+)|would lead to reference leak"),
    (
        "double-release",
        r"must be referenced when passed to release|reference has not been acquired before|Reference may already be released"
        r"|release (helper|kernel function) .* expects|cannot release|is an unacquired reference",
    ),
    ("gpl-only", r"from non-GPL compatible|GPL compatible license"),
    (
        "helper-not-allowed",
        r"program of this type cannot use helper (?P<helper>\w+)#(?P<number>\d+)"
        r"|(unknown|invalid) func (?P<func>\w+)#(?P<n>-?\d+)|helper call is not allowed in probe"
        r"|calling kernel function (?P<kfunc>\w+) is not allowed|not supported for program type"
        r"|progs cannot use bpf_|helper access to the packet is not allowed|kernel function .* not found",
    ),
    (
        "wrong-map",
        r"cannot pass map_type (?P<map_type>\d+) into func (?P<helper>\w+)#\d+|expected=map_ptr|fd -?\d+ is not pointing to valid"
        r"|pointer in R\d isn't map pointer|invalid map_ptr|doesn't match map pointer|map_ptr access not supported"
        r"|callback function not allowed for map|expected prog array map"
        r"|no direct value access support|Only one arena|map type .* is not|doesn't support .* map",
    ),
    (
        "null-check",
        r"R(?P<reg>\d+) invalid mem access '(?P<type>\w*_or_null\w*)'|null-check it first"
        r"|R(?P<r2>\d+) type=(?P<t2>\w*or_null\w*) expected=|Possibly NULL pointer passed|is expected to be non-NULL"
        r"|R(?P<r3>\d+) pointer arithmetic on \w*or_null",
    ),
    (
        "packet-bounds",
        r"invalid access to packet, off=(?P<off>-?\d+) size=(?P<size>\d+), R(?P<reg>\d+)\(id=\d+,\s?off=(?P<roff>-?\d+),"
        r"\s?r=(?P<range>\d+)\)|R\d+ offset is outside of the packet",
    ),
    (
        "misaligned",
        r"misaligned (?P<what>\w+ )?access off .* size (?P<size>\d+)|access misaligned expected"
        r"|func '\S+' offset \d+ is not multiple of 8",
    ),
    (
        "stack-depth",
        r"combined stack size of (?P<calls>\d+) calls is (?P<depth>\d+)|stack size of subprog (?P<sub>\d+) is (?P<own>\d+)"
        r"|call stack of (?P<frames>\d+) frames is too deep|tail_calls are not allowed when call stack"
        r"|invalid( write to| read from| indirect access to)? stack R(?P<reg>\d+) off=(?P<off>-\d+) size=(?P<size>\d+)"
        r"|invalid stack off=(?P<off2>-\d+) size=(?P<size2>\d+)|invalid stack type",
    ),
    (
        "out-of-bounds",
        r"invalid( write to| read from| indirect access to)? stack R(?P<sreg>\d+) off=(?P<soff>\d+) size=(?P<ssize>\d+)",
    ),
    (
        "unset-stack",
        r"invalid (?P<indirect>indirect )?(read from|access to) stack (R(?P<reg>\d+) |off )?(off |var_off )?"
        r"(?P<off>-?\d+)?\S*\+\d+ size (?P<size>\d+)|uninit stack in range",
    ),
    ("unset-register", r"R(?P<reg>\d+) !read_ok|R(?P<reg2>\d+) type=\?"),
    (
        "bad-return",
        r"(At .* )?the register R0 has (?P<value>.*) should have been in (?P<range>.*)|At .*register R0 is not"
        r"|R0 leaks addr as return value|cannot return stack pointer",
    ),
    (
        "bad-context",
        r"invalid bpf_context access off=(?P<off>-?\d+)( size=(?P<size>\d+))?|dereference of modified ctx ptr"
        r"|variable ctx access|negative offset ctx ptr|func '(?P<func>\S+)' doesn't have (?P<arg>\d+)-th argument"
        r"|func '\S+' size \d+ must be 8|BPF_\w+ stores into R\d+ ctx is not allowed|invalid tracepoint buffer",
    ),
    ("pointer-leak", r"leaks addr|partial copy of pointer|attempt to corrupt spilled pointer"),
    (
        "read-only",
        r"cannot write into|write into map forbidden|may write into memory pointed|the prog does not allow writes"
        r"|only read is supported|only read from \w+ is supported|write to change key",
    ),
    (
        "unbounded-index",
        r"R(?P<reg>\d+) (?P<why>unbounded memory access|min value is negative)"
        r"|math between (?P<ptr>\w+) pointer and register with unbounded"
        r"|value (?P<value>-?\d+) makes (?P<ptr2>\w+) pointer be out of bounds"
        r"|R(?P<r2>\d+) max value is outside of the allowed|invalid (unbounded )?variable-offset"
        r"|R(?P<r4>\d+) unbounded|R(?P<r5>\d+) invalid zero-sized read|invalid zero-size"
        r"|R(?P<r6>\d+) has unknown scalar with mixed signed bounds"
        r"|math between (?P<ptr3>\w+) pointer and (?P<v2>-?\d+) is not allowed",
    ),
    (
        "out-of-bounds",
        r"invalid access to (?P<what>map value|map key|memory|flow keys)|R(?P<reg>\d+) min value is outside of the allowed"
        r"|access beyond|out of bounds"
        r"|cannot access ptr member|doesn't have field at|invalid \w+ (buffer )?access[:]? off="
        r"|R(?P<r3>\d+) is \S+ invalid negative access"
        r"|invalid access to map value pointer",
    ),
    (
        "scalar-pointer",
        r"R(?P<reg>\d+) invalid mem access '(?P<type>inv|scalar|unknown)'|R(?P<r2>\d+) type=(?P<t2>inv|scalar) expected="
        r"|invalid mem access 'scalar'",
    ),
    ("wrong-argument", r"R(?P<reg>\d+) invalid mem access '(?P<type>\w+)'"),
    (
        "pointer-arithmetic",
        r"R(?P<reg>\d+) (pointer arithmetic|bitwise operator|32-bit pointer|pointer .* pointer prohibited|pointer comparison)"
        r"|frame pointer is read only|R(?P<r2>\d+) (subtraction from stack pointer|tried to subtract pointer)"
        r"|R\d+ tried to add|pointer offset .* is not allowed|makes \w+ pointer be out|BPF_ATOMIC stores|BPF_ATOMIC loads"
        r"|R(?P<r3>\d+) is not a pointer to arena",
    ),
    ("object-state", r"dynptr|iter_|iterator"),
    (
        "bad-attach",
        r"attach_btf_id|btf_id|expected_attach_type|Tracing programs must|attach_type",
    ),
    (
        "bad-type",
        r"func_info|BTF|prototype|Global function|Arg#\d|Caller passes invalid args|arg#\d+ (pointer type|reference type)"
        r"|without BTF|only allowed in functions that return|type ID argument",
    ),
    (
        "wrong-argument",
        r"R(?P<reg>\d+) type=(?P<type>\w+) expected=(?P<expected>.*)|arg#?(?P<arg>\d+)|R(?P<r2>\d+) is of type"
        r"|R(?P<r3>\d+) (must be|is not a|doesn't have|does not point|has no valid|must have)|R\d+ is ptr_"
        r"|at the time of BPF_LD_ABS|string is not zero|Invalid format|kernel function|must be a known constant|ptr_",
    ),
    (
        "bad-instruction",
        r"unknown opcode (?P<opcode>\w+)|uses reserved fields|invalid BPF_|unrecognized bpf_ld_imm64|invalid bpf_ld_imm64"
        r"|invalid shift (?P<shift>-?\d+)|div by zero|R\d+ is invalid|not a whole number of|at least one instruction"
        r"|more than the \d+|invalid atomic|invalid may_goto|BPF_LD_\[ABS|fd_idx without",
    ),
)  # fmt: skip

_compiled: dict[str, re.Pattern[str]] = {}


class Match:
    """A kind, the line of the reason that tells it, and what the pattern found in it."""

    __slots__ = ("found", "kind", "line")

    def __init__(self, kind: str, line: str, found: dict[str, str]) -> None:
        self.kind = kind
        self.line = line
        self.found = found

    def number(self, *names: str) -> int | None:
        """The first of these groups that is a number."""
        for name in names:
            text = self.found.get(name)
            if text is not None and re.fullmatch(r"-?\d+", text):
                return int(text)
        return None


def _table() -> Iterator[tuple[str, re.Pattern[str]]]:
    """The patterns, each compiled when it is first needed: most reasons are known early."""
    for kind, text in _PATTERNS:
        pattern = _compiled.get(text)
        if pattern is None:
            pattern = _compiled[text] = re.compile(text)
        yield kind, pattern


def classify(reason: Sequence[str]) -> Match:
    """The kind of a reason of one or more lines; ``other`` when no pattern knows any of them."""
    for kind, pattern in _table():
        for line in reason:
            found = pattern.search(line)
            if found is not None:
                return Match(kind, line, {key: value for key, value in found.groupdict().items() if value is not None})
    return Match("other", reason[0] if reason else "", {})


#: kinds whose patterns are so wide that other texts match them too
_LOOSE = frozenset(("object-state", "bad-type", "bad-attach", "wrong-argument", "critical-section", "special-field"))


def known(line: str) -> bool:
    """Is this a sentence of a verifier that says why, by itself?"""
    return any(kind not in _LOOSE and pattern.search(line) is not None for kind, pattern in _table())
