"""The same program on two engines: their answers must not differ."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Runnable(Protocol):
        """A program of the machine or of the kernel."""

        def test_run(
            self, data_in: bytes = b"", ctx_in: bytes = b"", *, data_out_bytes: int = 0, ctx_out_bytes: int = 0
        ) -> Any: ...


class Difference(AssertionError):
    """Two engines disagree. `what` is retval, data or ctx; `ours` and `theirs` are their answers."""

    def __init__(self, what: str, ours: object, theirs: object) -> None:
        super().__init__(f"{what} differs: {_shown(ours)} here, {_shown(theirs)} there{_where(ours, theirs)}")
        self.what, self.ours, self.theirs = what, ours, theirs


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _where(ours: object, theirs: object) -> str:
    if not isinstance(ours, bytes) or not isinstance(theirs, bytes):
        return ""
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    return f" (from byte {at})"


def assert_same(
    vm: Runnable,
    kernel: Runnable,
    data: bytes = b"",
    ctx: bytes = b"",
    *,
    data_out_bytes: int | None = None,
    ctx_out_bytes: int = 0,
) -> Any:
    """Run on both; gives the first one's TestResult. Difference when return value, packet or context differ.

    `data_out_bytes` None takes room for a whole packet when there is one.
    """
    room = (4096 if data else 0) if data_out_bytes is None else data_out_bytes
    results = [one.test_run(data, ctx, data_out_bytes=room, ctx_out_bytes=ctx_out_bytes) for one in (vm, kernel)]
    for what in ("retval", "data", "ctx"):
        ours, theirs = (getattr(result, what) for result in results)
        if ours != theirs:
            raise Difference(what, ours, theirs)
    return results[0]
