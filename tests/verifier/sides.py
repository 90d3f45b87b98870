"""One program before both verifiers: ours, without the explainer, and the live kernel's."""

from __future__ import annotations

from tests.verifier.judge import Judge, Opinion

from cygnet.verifier import verify
from cygnet.verifier.program import ProgramSpec
from cygnet.verifier.target import Target


class Ours:
    """Our verdict: `reason` is the last line of what was said, `insn` where, `errno` what loading would have given."""

    __slots__ = ("accepted", "errno", "insn", "processed", "reason", "said")

    def __init__(self, spec: ProgramSpec, kernel_btf: object = None, budget: int | None = None) -> None:
        env, reject, _ = verify._run(spec, Target("6.18"), budget, 0, kernel_btf)
        self.accepted = reject is None
        self.said = "" if reject is None else reject.message
        self.reason = self.said.splitlines()[-1].strip() if self.said else ""
        self.insn = None if reject is None or reject.insn < 0 else int(reject.insn)
        self.errno = 0 if reject is None else int(reject.errno)
        self.processed = int(env.processed)


# Where we refuse what this kernel takes, and should not: a null pointer for an argument that is never null, which the
# function then reads. And: programs of tracepoints may read before their context here, by mistake
_STRICTER = ("is expected to be non-NULL",)
# What this kernel, as it was built, cannot do: find its own data by name, load the queue that a socket was received on
_UNABLE = ("failed to find the address for kernel symbol", "error during ctx access conversion")
# Helpers that depend on how the kernel was built and started
_BUILD = ("bpf_probe_write_user#36", "bpf_override_return#58")
# What is said before the log shows the instruction, or after it showed it as no instruction
_NO_PLACE = ("infinite loop", "atomic opcode")


class Pair:
    """What both said of one program. `kind` is "" for the same, else how they differ."""

    __slots__ = ("kernel", "kind", "ours", "spec")

    def __init__(self, spec: ProgramSpec, kernel: Opinion, ours: Ours) -> None:
        self.spec, self.kernel, self.ours = spec, kernel, ours
        self.kind = self._compare()

    def _compare(self) -> str:
        kernel, ours = self.kernel, self.ours
        if any(text in kernel.reason for text in _BUILD):
            return ""
        if "invalid bpf_context access off=-" in ours.said and self.spec.type == "tracepoint":
            return ""
        if kernel.accepted and any(text in ours.said for text in _STRICTER):
            return ""
        if kernel.accepted != ours.accepted:
            return "false accept" if ours.accepted else "false reject"
        if kernel.accepted:
            return ""
        if "infinite loop" in ours.said and "infinite loop detected" in kernel.log[-400:]:  # with no line of its own
            return ""
        if kernel.reason.startswith(("processed ", "0: R1=")):  # refused in silence
            return ""
        if "too complex" in kernel.reason or "too large" in kernel.reason:  # the end of a long log is lost
            return "" if words(kernel.reason) == words(ours.reason) else "reason"
        if not kernel.log.strip():  # refused before the verifier began: nothing but the error to compare
            return "" if kernel.errno == ours.errno else "errno"
        if words(kernel.reason) != words(ours.reason):
            return "reason"
        if any(text in kernel.reason for text in _NO_PLACE):
            return ""
        if kernel.insn is not None and ours.insn is not None and kernel.insn != ours.insn:
            return "insn"
        return ""

    def __repr__(self) -> str:
        kernel, ours = self.kernel, self.ours
        theirs = "accepts" if kernel.accepted else f"@{kernel.insn} {kernel.reason!r} ({kernel.errno})"
        mine = "accepts" if ours.accepted else f"@{ours.insn} {ours.said!r} ({ours.errno})"
        return f"<{self.kind or 'same'}: {self.spec.name} {self.spec.type} kernel {theirs}, ours {mine}>"


def words(reason: str) -> str:
    """The class of a reason: its text without the numbers."""
    reason = reason.partition("processed ")[0] or reason
    return "".join("#" if char.isdigit() else char for char in reason).replace("##", "#").replace("##", "#").strip()


def pair(judge: Judge, spec: ProgramSpec, *, kernel_btf: object = None) -> Pair | None:
    """Both verdicts; None where the kernel gave none."""
    kernel = judge.load(spec)
    if kernel.accepted is None or any(text in kernel.reason for text in _UNABLE):
        return None
    return Pair(spec, kernel, Ours(spec, kernel_btf))
