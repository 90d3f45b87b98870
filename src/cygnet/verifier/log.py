"""The log of a verification, in the kernel's own format."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.verifier.env import Env
    from cygnet.verifier.state import Reject


class Log:
    def __init__(self, level: int = 1) -> None:
        self.level = level
        self.lines: list[str] = []

    def mark(self) -> int:
        return len(self.lines)

    def insn(self, env: Env, before: int, at: int) -> None:
        self.lines.append(f"{at}:")

    def pruned(self, env: Env, before: int, at: int) -> None:
        self.lines.append(f"{at}: safe")

    def branch(self, env: Env, mark: int) -> None:
        if self.level == 1:
            del self.lines[mark:]

    def finish(self, env: Env, reject: Reject | None) -> str:
        return "\n".join(self.lines) + "\n"
