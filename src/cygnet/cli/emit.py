"""`cygnet trace --mode codegen` and `--emit-elf FILE`: compile, and no more, or write a BPF object file."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.cli.options import Request


def emit(request: Request) -> int:
    """Compile; with --emit-elf write the programs and maps as an object file."""
    from cygnet.cli.program import compiled, text
    from cygnet.errors import UsageError
    from cygnet.kernel.target import LiveTarget
    from cygnet.source import Source

    options, target = request.options, LiveTarget()
    spec = compiled(Source(*text(request)), options, target)
    if not options.emit_elf:
        return 0
    from cygnet.loader.objectfile import for_target

    data = for_target(spec, target, {"start_ns": 0, "cpid": 0, "target_pid": options.pid})
    try:
        with open(options.emit_elf, "wb") as file:
            file.write(data)
    except OSError as error:
        raise UsageError(f"cannot write to {options.emit_elf!r}: {error.strerror}") from None
    return 0
