"""usdt: static probes that a program's authors left in its binary."""

from __future__ import annotations

from cygnet.errors import ElfError, ProbeError
from cygnet.probes.binary import program_of, resolve, resolve_all
from cygnet.probes.model import Match, Parsed
from cygnet.probes.syntax import count
from cygnet.uapi.bpf import BPF_PROG_TYPE_KPROBE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from cygnet.elf import Elf
    from cygnet.elf.notes import Usdt
    from cygnet.probes.model import Options, Part, Target
    from cygnet.probes.operands import Operand
    from cygnet.probes.registry import Provider
    from cygnet.source import Span


def parse(row: Provider, parts: list[Part], span: Span | None) -> Parsed:
    """``usdt:BINARY[:NAMESPACE]:PROBE``; the binary may be ``*``. Binary and namespace may be left empty, and the
    binary left out: with -p or -c it is any that the process has, or the program of the command."""
    count(row, parts, span, 1, 3, empty=len(parts) - 1)
    binary = parts[0].text if len(parts) > 1 else ""
    namespace = parts[1].text if len(parts) == 3 else ""
    return Parsed(row, parts, span, target=binary, name=parts[-1].text, mode=namespace)


# ── expansion ────────────────────────────────────────────────────────────────────────────────────────────


def expand(parsed: Parsed, target: Target, options: Options) -> list[Match]:
    """One match for each probe and each way its arguments are passed: a probe may stand at several places."""
    paths = _paths(parsed, options)
    found: list[Match] = []
    for path in paths:
        found += _in_binary(parsed, path, options, only=len(paths) == 1)
    if not found:
        raise _no_probe(parsed, paths)
    return found


def _paths(parsed: Parsed, options: Options) -> list[str]:
    if parsed.target:
        return resolve_all(parsed.target, options.pid, parsed.parts[0].span or parsed.span)
    if options.pid > 0:
        return resolve_all("*", options.pid, parsed.span)
    if options.command:
        return [resolve(program_of(options.command), -1, parsed.span)]
    raise ProbeError(f"{parsed.text} names no binary, and no process was given with -p or -c", parsed.span,
                     (f"write {parsed.provider.syntax}; a * as the binary stands for all processes",))  # fmt: skip


def _in_binary(parsed: Parsed, path: str, options: Options, only: bool) -> list[Match]:
    elf = _open(path, parsed.span if only else None)
    if elf is None:
        if only:
            raise ProbeError(f"{path} is not a program or library", parsed.span)
        return []
    try:
        chosen = _chosen(parsed, path, elf)
        return [
            _match(parsed, path, name, operands, probes, options)
            for (name, operands), probes in _grouped(chosen, elf).items()
        ]
    finally:
        elf.close()


def _open(path: str, span: Span | None) -> Elf | None:
    from cygnet.elf import Elf

    try:
        return Elf.open(path)
    except OSError as error:
        if span is None:
            return None
        raise ProbeError(f"cannot read {path}: {error.strerror}", span) from None
    except ElfError:
        return None


def _chosen(parsed: Parsed, path: str, elf: Elf) -> list[Usdt]:
    from cygnet.probes.wildcard import matcher

    wanted, in_namespace = matcher(parsed.name), matcher(parsed.mode or "*")
    found = [probe for probe in _probes(elf, path) if wanted(probe.name) and in_namespace(probe.provider)]
    namespaces = sorted({probe.provider for probe in found})
    if not parsed.mode and "*" not in parsed.name and len(namespaces) > 1:
        hint = f"write one of {', '.join(f'usdt:{path}:{each}:{parsed.name}' for each in namespaces)}"
        raise ProbeError(f"{path} has a probe {parsed.name} in several namespaces", parsed.span, (hint,))
    return found


def _probes(elf: Elf, path: str) -> list[Usdt]:
    try:
        return elf.usdt()
    except ElfError as error:
        raise ProbeError(f"the probes of {path} cannot be read: {error}") from None


def _grouped(probes: Iterable[Usdt], elf: Elf) -> dict[tuple[str, tuple[Operand, ...]], list[Usdt]]:
    from cygnet.probes.operands import parse as parse_operands

    groups: dict[tuple[str, tuple[Operand, ...]], list[Usdt]] = {}
    for probe in probes:
        operands = parse_operands(probe.arguments, lambda name, at=probe.address: _from(elf, name, at))  # type: ignore[misc]
        groups.setdefault((f"{probe.provider}:{probe.name}", operands), []).append(probe)
    return groups


def _from(elf: Elf, name: str, address: int) -> int | None:
    """How far a variable lies from an address."""
    symbol = elf.symbol(name)
    return None if symbol is None or not symbol.is_defined else symbol.value - address


def _match(
    parsed: Parsed, path: str, name: str, operands: tuple[Operand, ...], probes: list[Usdt], options: Options
) -> Match:
    pid = options.pid if options.pid > 0 else -1
    targets: tuple[dict[str, Any], ...] = tuple(
        {"path": path, "offset": probe.offset, "ret": False, "pid": pid, "ref_ctr_offset": probe.semaphore_offset}
        for probe in probes
    )
    match = Match(parsed, f"usdt:{path}:{name}", BPF_PROG_TYPE_KPROBE, "usdt", targets, context="regs", space="user",
                  func=name.partition(":")[2], preemptible=True, per_cpu_exact=False)  # fmt: skip
    match.operands = operands
    return match


def _no_probe(parsed: Parsed, paths: list[str]) -> ProbeError:
    name = f"{parsed.mode}:{parsed.name}" if parsed.mode else parsed.name
    if len(paths) > 1:
        return ProbeError(f"no binary of {parsed.target} has a probe {name}", parsed.span)
    from cygnet.probes.closest import did_you_mean

    known = list(_names(paths[0]))
    if not known:
        return ProbeError(f"{paths[0]} has no static probes", parsed.span)
    short = [each.partition(":")[2] for each in known]
    hints = did_you_mean(name, known if parsed.mode else short, f"usdt:{paths[0]}:{{}}")
    return ProbeError(f"{paths[0]} has no static probe {name}", parsed.span, hints)


# ── listing ──────────────────────────────────────────────────────────────────────────────────────────────


def _names(path: str) -> Iterator[str]:
    elf = _open(path, None)
    if elf is not None:
        with elf:
            yield from sorted({f"{probe.provider}:{probe.name}" for probe in _probes(elf, path)})


def select(row: Provider, pattern: str, target: Target, pid: int = -1) -> Iterator[str]:
    """``BINARY:NAMESPACE:PROBE`` for a pattern of both; a binary alone means all of its probes, no binary those that
    the process has mapped."""
    from cygnet.probes.wildcard import matcher

    if pid > 0 and ":" not in pattern and "/" not in pattern and pattern != "*":
        pattern = f"*:{pattern}"
    binary, _, rest = pattern.partition(":")
    rest = rest.removeprefix(":")  # a namespace that is left empty
    wanted = matcher(rest or "*")
    for path in resolve_all(binary or "*", pid):
        for name in _names(path):
            if wanted(name) or wanted(name.partition(":")[2]):
                yield f"{path}:{name}"
