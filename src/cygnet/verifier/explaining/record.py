"""All that a verification went through: the state at each instruction, on each of the paths."""

from __future__ import annotations

from cygnet.verifier import verify
from cygnet.verifier.log import insn_text, state_text
from cygnet.verifier.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.verifier.env import Env
    from cygnet.verifier.program import ProgramSpec
    from cygnet.verifier.state import Reject

MOST_VISITS = 50_000


class Visit:
    """An instruction that was about to be followed: `state` is what was known before it."""

    __slots__ = ("insn", "state")

    def __init__(self, insn: int, state: str) -> None:
        self.insn = insn
        self.state = state


class Path:
    """A stretch without a way back: visits, the paths that branch off (by the index of the visit they branch from),
    and how it ended: ``exit``, ``safe`` (a state that covers it was followed before), ``refused`` or ``cut``."""

    __slots__ = ("branches", "end", "parent", "visits")

    def __init__(self, parent: tuple[Path, int] | None) -> None:
        self.parent = parent
        self.visits: list[Visit] = []
        self.branches: dict[int, list[Path]] = {}
        self.end = "exit"


class Recorder:
    """Stands where the log would: the main loop tells it of each instruction."""

    def __init__(self) -> None:
        self.root = Path(None)
        self.path = self.root
        self.count = 0
        self.texts: dict[int, str] = {}
        self._marks: list[tuple[Path, int]] = []
        self._ended = False

    def mark(self) -> int:
        """Where a branch leaves; the number comes back with it."""
        self._marks.append((self.path, len(self.path.visits) - 1))
        return len(self._marks) - 1

    def insn(self, env: Env, before: int, at: int) -> None:
        if self._ended:  # a global function, which is followed by itself
            self._ended = False
            self._begin(self.root, -1)
        self.count += 1
        if self.count > MOST_VISITS:
            self.path.end = "cut"
            return
        if at not in self.texts:
            self.texts[at] = insn_text(env, at)
        self.path.visits.append(Visit(at, state_text(env.cur)))

    def pruned(self, env: Env, before: int, at: int) -> None:
        self.path.end = "safe"

    def branch(self, env: Env, mark: int) -> None:
        """A branch that was left for later is taken up."""
        self._begin(*self._marks[mark])

    def _begin(self, path: Path, at: int) -> None:
        self.path = Path((path, at))
        path.branches.setdefault(at, []).append(self.path)

    def done(self, env: Env, number: int) -> None:
        """All paths of a function were followed."""
        self._ended = True

    def finish(self, env: Env, reject: Reject | None) -> str:
        if reject is not None and not self._ended:
            self.path.end = "refused"
        return ""

    # -- what was recorded

    def states(self) -> dict[int, list[str]]:
        """The states of each instruction that was followed, in the order they came; each once."""
        found: dict[int, dict[str, None]] = {}
        todo = [self.root]
        while todo:
            path = todo.pop()
            for visit in path.visits:
                found.setdefault(visit.insn, {})[visit.state] = None
            for each in reversed(path.branches.values()):
                todo += each
        return {insn: list(states) for insn, states in sorted(found.items())}

    def failing(self) -> list[Visit]:
        """The visits from the beginning to the refusal; none when it came after all paths."""
        if self.path.end != "refused":
            return []
        visits: list[Visit] = list(self.path.visits)
        path = self.path
        while path.parent is not None:
            path, at = path.parent
            visits[:0] = path.visits[: at + 1]
        return visits


def record(spec: ProgramSpec, kernel: str = "6.18", budget: int | None = None, kernel_btf: Any = None) -> Recorder:
    """Verify once more, and keep everything."""
    recorder = Recorder()
    verify._run(spec, Target(kernel), budget, 0, kernel_btf, recorder)
    return recorder
