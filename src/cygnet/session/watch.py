"""Watchpoints on what a function's argument points to: set when the function is called."""

from __future__ import annotations

import os

from cygnet.errors import CygnetError
from cygnet.session.signals import SIGCONT
from cygnet.session.values import decoder
from cygnet.spec.objects import LinkSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cygnet.session.state import State
    from cygnet.spec.actions import Action


def handler(state: State, action: Action) -> Callable[[memoryview], None]:
    """Sets each address once for a process, and lets it run on. What cannot be set is told once for each reason."""
    program, length, mode, waits, probe = action.data
    (at, vtype), (pid_at, _) = action.fields
    read = decoder(vtype)
    told: set[str] = set()

    def handle(record: memoryview) -> None:
        address, pid = read(record, at), read(record, pid_at)
        try:
            if (pid, address, program) not in state.watched and state.watch is not None:
                state.watched.add((pid, address, program))
                place = {"address": address, "len": length, "mode": mode, "pid": pid}
                state.watch(LinkSpec(program, "watchpoint", place, probe))
        except CygnetError as error:
            state.watched.discard((pid, address, program))
            reason = str(error).rpartition(": ")[2]
            if reason not in told and state.options.warnings:
                told.add(reason)
                state.out.say(f"WARNING: {probe}: {error}\n")
        finally:
            if waits:
                go_on(pid)

    return handle


def go_on(pid: int) -> None:
    """Let a stopped process run. One that has ended needs nothing."""
    try:
        os.kill(pid, SIGCONT)
    except ProcessLookupError:
        pass
