"""fentry and fexit: kernel functions with typed arguments, by BPF trampolines."""

from __future__ import annotations

from cygnet.btf.kinds import FUNC, FUNC_PROTO, STRUCT, UNION
from cygnet.errors import NotSupported, ProbeError
from cygnet.probes.kprobe import KERNEL, check_module, matching, no_function
from cygnet.probes.model import Arg, Match, Parsed
from cygnet.probes.syntax import count, wrong
from cygnet.uapi.bpf import BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY, BPF_TRACE_FEXIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from cygnet.probes.model import Options, Part, Target
    from cygnet.probes.registry import Provider
    from cygnet.source import Span

_MAX_ARGS = 12  # include/linux/bpf.h: MAX_BPF_FUNC_ARGS, in words of 8 bytes
RETVAL = "$retval"


def parse(row: Provider, parts: list[Part], span: Span | None) -> Parsed:
    """``fentry[:MODULE]:FUNCTION`` or ``fentry:bpf[:ID]:PROGRAM``."""
    count(row, parts, span, 1, 3)
    if len(parts) == 3:
        if parts[0].text != "bpf":
            raise wrong(parts[0], span, f"{row.name} has three arguments only as {row.name}:bpf:ID:PROGRAM")
        if not parts[1].text.isdigit():
            raise wrong(parts[1], span, f"{parts[1].text} is not the id of a BPF program")
        return Parsed(row, parts, span, target="bpf", name=parts[2].text, value=int(parts[1].text))
    return Parsed(row, parts, span, target=parts[0].text if len(parts) == 2 else "", name=parts[-1].text)


# ── expansion ────────────────────────────────────────────────────────────────────────────────────────────


def expand(parsed: Parsed, target: Target, options: Options) -> list[Match]:
    if parsed.target == "bpf":
        return _bpf(parsed, target)
    if parsed.is_wild:
        return _wild(parsed, target)
    module = "" if parsed.target == KERNEL else parsed.target
    check_module(parsed, module, target)
    if _function(target, module, parsed.name) is None and not module:
        module = _module_of(parsed, target)
    function = _function(target, module, parsed.name)
    if function is None:
        ask: Any = getattr(target, "traceable_functions", None)
        listed: Any = getattr(target, "ksym_functions", None)
        raise no_function(parsed, parsed.name, (ask() if ask else ()) or (listed() if listed else ()))
    why = _untraceable(function)
    if why:
        raise ProbeError(f"{parsed.text} cannot be attached: {why}", parsed.span, ("a kprobe can be",))
    return [_match(parsed, module, parsed.name)]


def _wild(parsed: Parsed, target: Target) -> list[Match]:
    found = []
    for module, name in sorted(set(matching(parsed, target))):
        function = _function(target, module, name)
        if function is not None and not _untraceable(function):
            found.append(_match(parsed, module, name))
    if not found:
        raise ProbeError(f"no kernel function matches {parsed.text.partition(':')[2]}", parsed.span)
    return found


def _match(parsed: Parsed, module: str, name: str) -> Match:
    row = parsed.provider
    attach_type = BPF_TRACE_FENTRY if row.name == "fentry" else BPF_TRACE_FEXIT
    place = f"{module}:{name}" if module else name
    data = {"name": place, "attach_type": attach_type, "module": module, "function": name}
    # A program that is preempted is not entered again on its CPU: the trampoline counts that as a miss.
    return Match(parsed, f"{row.name}:{module or KERNEL}:{name}", BPF_PROG_TYPE_TRACING, row.name, (data,),
                 context="raw", space="kernel", func=name, attach_type=attach_type, attach_to=place,
                 per_cpu_exact=False)  # fmt: skip


def _btf(target: Target, module: str) -> Any:
    """The BTF of the kernel or of a module; None where that has none."""
    try:
        if not module:
            return target.btf()
        of_module: Any = getattr(target, "module_btf", None)
        return of_module(module) if of_module else None
    except FileNotFoundError:
        return None
    except NotSupported:
        if module:
            return None
        raise


def _function(target: Target, module: str, name: str) -> Any:
    btf = _btf(target, module)
    return None if btf is None else btf.find(name, FUNC)


def _module_of(parsed: Parsed, target: Target) -> str:
    """The module that has the function, when no module was written and the kernel itself has not."""
    ask: Any = getattr(target, "traceable_functions", None)
    end = ":" + parsed.name
    return next((name[: -len(end)] for name in (ask() if ask else ()) if name.endswith(end)), "")


def _untraceable(function: Any) -> str:
    """Why a trampoline cannot be made for a function; empty when it can (kernel/bpf/btf.c, btf_distill_func_proto)."""
    proto = function.type
    if proto.kind != FUNC_PROTO:
        return "it has no prototype in BTF"
    words = 0
    for param in proto.params:
        if not param.type_id:
            return "it takes a variable number of arguments"
        words += _words(function.btf, param.type_id)
        if function.btf.size_of(function.btf.resolve(param.type_id)) > 16:
            return f"its argument {param.name} is too large"
    return f"it takes more than {_MAX_ARGS} words of arguments" if words > _MAX_ARGS else ""


def _words(btf: Any, type_id: int) -> int:
    plain = btf.resolve(type_id)
    return -(-btf.size_of(plain) // 8) if plain.kind in (STRUCT, UNION) else 1


# ── BPF programs ─────────────────────────────────────────────────────────────────────────────────────────


def _bpf(parsed: Parsed, target: Target) -> list[Match]:
    """Functions of loaded BPF programs: their arguments are not known."""
    from cygnet.probes.wildcard import matcher

    ask: Any = getattr(target, "bpf_functions", None)
    wanted = matcher(parsed.name)
    found = [
        _bpf_match(parsed, number, name)
        for number, name in (ask() if ask else ())
        if wanted(name) and parsed.value in (0, number)
    ]
    if not found:
        raise ProbeError(f"no loaded BPF program has a function {parsed.name}, or BTF that says so", parsed.span)
    return found


def _bpf_match(parsed: Parsed, number: int, name: str) -> Match:
    row = parsed.provider
    attach_type = BPF_TRACE_FENTRY if row.name == "fentry" else BPF_TRACE_FEXIT
    data = {"name": f"bpf:{number}:{name}", "attach_type": attach_type, "bpf": True}
    return Match(parsed, f"{row.name}:bpf:{number}:{name}", BPF_PROG_TYPE_TRACING, row.name, (data,), context="raw",
                 space="kernel", func=name, attach_type=attach_type, attach_to=f"bpf:{number}:{name}",
                 per_cpu_exact=False)  # fmt: skip


# ── arguments ────────────────────────────────────────────────────────────────────────────────────────────


def arguments(match: Match, target: Target) -> tuple[Arg, ...]:
    """The function's parameters as words of the context; for fexit what it returns too, under the name `RETVAL`."""
    data = match.targets[0]
    if data.get("bpf"):
        return ()
    function = _function(target, data["module"], data["function"])
    if function is None:
        return ()
    found, word = [], 0
    for param in function.type.params:
        found.append(_arg(function.btf, word, param.name, param.type_id))
        word += _words(function.btf, param.type_id)
    result = function.type.type_id
    if match.provider.name == "fexit" and result:
        found.append(_arg(function.btf, word, RETVAL, result))
    return tuple(found)


def _arg(btf: Any, index: int, name: str, type_id: int) -> Arg:
    from cygnet.btf.render import c_decl

    type = btf.type(type_id)
    plain = btf.resolve(type)
    size = btf.size_of(plain)
    return Arg(name, c_decl(type), 8 * index, 8, plain.is_signed, index=index, btf=type, value_size=min(8, size),
               value_signed=plain.is_signed)  # fmt: skip


# ── listing ──────────────────────────────────────────────────────────────────────────────────────────────


def names(row: Provider, target: Target) -> Iterator[str]:
    """The kernel functions that BTF describes and the tracer can patch; none where it cannot patch any."""
    ask: Any = getattr(target, "traceable_functions", None)
    known: dict[str, Any] = {}
    for function in sorted(set(ask())) if ask else ():
        module, _, name = function.rpartition(":")
        if module not in known:
            btf = _btf(target, module)
            known[module] = set() if btf is None else {each.name for each in btf.functions()}
        if name in known[module]:
            yield f"{module or KERNEL}:{name}"


def describe(row: Provider, name: str, target: Target) -> Iterator[str]:
    module, _, function = name.partition(":")
    found = _function(target, "" if module == KERNEL else module, function)
    if found is None:
        return
    for param in found.type.params:
        yield _arg(found.btf, 0, param.name, param.type_id).c_text
    if row.name == "fexit" and found.type.type_id:
        yield _arg(found.btf, 0, "retval", found.type.type_id).c_text
