"""kprobe and kretprobe: entry to and return from any kernel function."""

from __future__ import annotations

from cygnet.errors import ProbeError
from cygnet.probes.model import Match, Parsed
from cygnet.probes.numbers import number
from cygnet.probes.syntax import count, function_offset, wrong
from cygnet.uapi.bpf import BPF_PROG_TYPE_KPROBE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from cygnet.probes.model import Options, Part, Target
    from cygnet.probes.registry import Provider
    from cygnet.source import Span

#: what the kernel itself is called where a module may be named
KERNEL = "vmlinux"
#: with probes everywhere these bring a system down, so that no wildcard means them, and none that begins with rcu_
#: (the kernel leaves them out of its own test of many probes: tools/testing/selftests/bpf/prog_tests/kprobe_multi_test.c)
_UNSTABLE = frozenset(("arch_cpu_idle", "default_idle", "bpf_dispatcher_xdp_func"))
_LOCKS = frozenset(("_raw_spin_lock", "_raw_spin_lock_irqsave", "_raw_spin_unlock_irqrestore",
                    "queued_spin_lock_slowpath"))  # fmt: skip


def parse(row: Provider, parts: list[Part], span: Span | None) -> Parsed:
    """``kprobe[:MODULE]:FUNCTION[+OFFSET]`` or ``kprobe:ADDRESS``."""
    count(row, parts, span, 1, 2)
    module = parts[0].text if len(parts) == 2 else ""
    last = parts[-1]
    address = number(last.text)
    if address is not None and (module or row.name == "kretprobe"):
        raise wrong(last, span, f"{row.name} wants a function here, not an address")
    if address is not None:
        return Parsed(row, parts, span, address=address)
    name, offset = function_offset(last, span)
    if offset and (row.name == "kretprobe" or "*" in name):
        raise wrong(last, span, f"{row.name} on {name} takes no offset")
    return Parsed(row, parts, span, target=module, name=name, offset=offset)


# ── expansion ────────────────────────────────────────────────────────────────────────────────────────────


def expand(parsed: Parsed, target: Target, options: Options) -> list[Match]:
    """A function that is named is taken at its word where its existence cannot be told cheaply: to attach to it is
    the proof. A wildcard stands for the functions that the kernel's tracer can patch."""
    if parsed.address >= 0:
        if not options.unsafe:
            raise ProbeError(f"{parsed.text}: a probe at an address may crash the kernel", parsed.span,
                             ("--unsafe allows it",))  # fmt: skip
        return [_match(parsed, parsed.text, {"address": parsed.address})]
    if parsed.is_wild:
        return _wild(parsed, target)
    module = "" if parsed.target == KERNEL else parsed.target
    check_module(parsed, module, target)
    check_banned(parsed)
    _check_name(parsed, module, target)
    data = {"function": parsed.name, "offset": parsed.offset}
    if module:
        data["module"] = module
    return [_match(parsed, parsed.text, data, parsed.name)]


def _wild(parsed: Parsed, target: Target) -> list[Match]:
    found = []
    for module, name in sorted(set(matching(parsed, target))):
        data = {"function": name, "offset": 0, "module": module}
        place = f"{module}:{name}" if module else name
        found.append(_match(parsed, f"{parsed.provider.name}:{place}", data, name))
    if not found:
        raise ProbeError(f"no kernel function matches {parsed.text.partition(':')[2]}", parsed.span)
    return found


def _match(parsed: Parsed, probe: str, data: dict[str, Any], func: str = "") -> Match:
    row = parsed.provider
    full = {**data, "ret": row.name == "kretprobe"}
    return Match(parsed, probe, BPF_PROG_TYPE_KPROBE, row.name, (full,), context="regs", space="kernel", func=func)


def traceable(parsed: Parsed, target: Target) -> Sequence[str]:
    """``name`` or ``module:name`` of each function that can be traced. NotSupported where there is none at all."""
    ask: Any = getattr(target, "traceable_functions", None)
    known: Sequence[str] = ask() if ask else ()
    if not known:
        from cygnet.errors import NotSupported

        raise NotSupported(f"{parsed.text}", "a kernel whose functions can be traced (CONFIG_FUNCTION_TRACER=y); the "
                           "same program works there")  # fmt: skip
    return known


def matching(parsed: Parsed, target: Target) -> Iterator[tuple[str, str]]:
    """(module or "", name) of each function that the module's and the function's pattern match."""
    from cygnet.probes.wildcard import matcher

    in_module, wanted = matcher(parsed.target or "*"), matcher(parsed.name)
    for function in traceable(parsed, target):
        module, _, name = function.rpartition(":")
        if wanted(name) and in_module(module or KERNEL) and not (name in _UNSTABLE or name.startswith("rcu_")):
            yield module, name


def _check_name(parsed: Parsed, module: str, target: Target) -> None:
    """Refuse what certainly does not exist. BTF knows most functions, and answers at once; a kernel without a tracer
    lists its functions too, but not which can be probed."""
    ask: Any = getattr(target, "traceable_functions", None)
    if ask is None or (not module and _in_btf(parsed.name, target)):
        return
    functions = ask()
    full = f"{module}:{parsed.name}" if module else parsed.name
    has_ksym: Any = getattr(target, "has_ksym", None)
    if full in functions or (has_ksym and (not module or not functions) and has_ksym(parsed.name)):
        return
    listed: Any = getattr(target, "ksym_functions", None)
    if functions or listed is not None:
        raise no_function(parsed, full, functions or listed())


def check_module(parsed: Parsed, module: str, target: Target) -> None:
    """Refuse a module that is not there. A target that cannot tell has all of them."""
    ask: Any = getattr(target, "has_module", None)
    if module and ask is not None and not ask(module):
        raise ProbeError(f"the module {module} in {parsed.text} is not loaded", parsed.span)


def check_banned(parsed: Parsed) -> None:
    """Refuse the functions of spinlocks to kretprobes: those take such locks themselves, and the system may hang."""
    if parsed.provider.name == "kretprobe" and parsed.name in _LOCKS:
        raise ProbeError(f"{parsed.text} can't be used as it might lock up your system", parsed.span)


def no_function(parsed: Parsed, name: str, functions: Sequence[str]) -> ProbeError:
    from cygnet.probes.closest import did_you_mean

    row = parsed.provider.name
    hints = _kin(name, row, functions)
    if not hints:
        near = [function for function in functions if abs(len(function) - len(name)) <= 2 and function[:1] == name[:1]]
        hints = did_you_mean(name, near, row + ":{}")
    return ProbeError(f"the kernel has no function {name}, or has inlined it", parsed.span, hints)


def _kin(name: str, row: str, functions: Sequence[str]) -> tuple[str, ...]:
    """Hints at what became of a function: a compiler's copy of it, or the function that a change of the kernel's left
    when it made a macro or an inline function of the name."""
    copies = sorted([one for one in functions if one.startswith(name + ".") and not one.endswith(".cold")])
    if copies and row in ("kprobe", "kretprobe"):
        return (f"the compiler made {copies[0]} of it, whose arguments may differ: write {row}:{copies[0]}",)
    known = frozenset(functions)
    later = [other for other in (f"{name}_noprof", f"__{name}", name.lstrip("_")) if other != name and other in known]
    return (f"did you mean {row}:{later[0]}?",) if later else ()


def _in_btf(name: str, target: Target) -> bool:
    from cygnet.btf.kinds import FUNC
    from cygnet.errors import NotSupported

    try:
        return target.btf().find(name, FUNC) is not None
    except NotSupported:
        return False


# ── listing ──────────────────────────────────────────────────────────────────────────────────────────────


def names(row: Provider, target: Target) -> Iterator[str]:
    """Functions that the target's tracer can probe: where the kernel was built without one, none."""
    ask: Any = getattr(target, "traceable_functions", None)
    return iter(sorted(set(ask()))) if ask else iter(())
