"""Instances: a probe's body together with one kind of context that it runs in."""

from __future__ import annotations

from cygnet.lang.trace import ast
from cygnet.lang.trace import types as T

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from cygnet.btf.types import BtfType
    from cygnet.lang.trace.check.names import VarInfo
    from cygnet.lang.trace.records import CTypes
    from cygnet.lang.trace.types import Type
    from cygnet.probes.model import Arg, Match

#: names whose value differs between the attach points of one probe
_PER_MATCH = frozenset(("args", "probe", "probetype", "retval"))


class Instance:
    """One program to be: a body and the matches that can share it."""

    __slots__ = ("_args", "_named", "index", "match", "matches", "probe", "program", "target", "variables")

    def __init__(self, index: int, program: ast.Program, probe: ast.Probe, matches: list[Match], target: Any) -> None:
        self.index = index
        self.program = program
        self.probe = probe
        self.matches = matches
        self.match = matches[0]
        self.target = target
        self.variables: dict[int, VarInfo] = {}  # id(node) -> what it names
        self._args: dict[str, Arg] | None = None
        self._named: dict[tuple[str, str], BtfType | None] = {}

    def named_type(self, keyword: str, name: str) -> BtfType | None:
        """A type that the traced binary's debug information knows by that name."""
        key = (keyword, name)
        if key not in self._named:
            found = None
            if self.match.parsed.provider.name in ("uprobe", "uretprobe") and keyword in (
                "",
                "struct",
                "union",
                "enum",
            ):
                from cygnet.probes.uprobe import named_type

                found = named_type(self.match, keyword, name)
            self._named[key] = found
        return self._named[key]

    def _arguments(self) -> dict[str, Arg]:
        if self._args is None:
            self._args = {arg.name: arg for arg in self.match.arguments(self.target)}
        return self._args

    def argument(self, name: str) -> Arg | None:
        return self._arguments().get(name)

    def argument_names(self) -> list[str]:
        return [name for name in self._arguments() if not name.startswith("$")]

    def argument_type(self, arg: Arg, types: CTypes) -> Type:
        """The language's type of ``args.NAME``."""
        if arg.btf is not None:
            return types.from_btf(arg.btf, T.USER if self.match.space == T.USER else T.KERNEL)
        space = T.USER if arg.event.startswith("syscalls:") else self.match.space
        if arg.data_loc:
            return T.pointer(T.INT8 if arg.type == "char" else _element(arg.type, types, space), T.CTX)
        if arg.is_string:
            return T.string(arg.length)
        if arg.length:
            elem = _element(arg.type, types, space)
            return T.Type("array", arg.size, elem=elem, length=arg.size // (elem.size or 1), space=T.CTX)
        if arg.is_pointer:
            return _c_type(arg.type, types, space)
        if arg.type == "bool":
            return T.BOOL
        if arg.type.startswith("enum "):
            enum = types.find("enum", arg.type[5:])
            if enum is not None and enum.size == arg.value_size:
                return enum
        return T.INTS.get((arg.value_size, arg.value_signed), T.UINT64)


def _c_type(text: str, types: CTypes, space: str) -> Type:
    """The type that C text such as ``const struct sock *`` names; an unknown pointee is void."""
    words = [word for word in text.replace("*", " * ").split() if word not in ("const", "volatile", "__user", "__rcu")]
    depth = words.count("*")
    words = [word for word in words if word != "*"]
    keyword = words.pop(0) if words and words[0] in ("struct", "union", "enum") else ""
    base = types.find(keyword, " ".join(words))
    type = base if base is not None else T.NONE
    for _ in range(depth):
        type = T.pointer(None if type is T.NONE else type, space)
    return type


def _element(text: str, types: CTypes, space: str) -> Type:
    type = _c_type(text, types, space)
    return type if type.size else T.UINT8


def _uses(probe: ast.Probe) -> bool:
    """Does the body mean something different at each attach point?"""
    for node in ast.walk(probe):
        name = node.name if isinstance(node, (ast.Ident, ast.Call)) else ""
        if name.removeprefix("__builtin_") in _PER_MATCH:
            return True
    return False


def _uses_operands(probe: ast.Probe) -> bool:
    """Does the body name an argument by its number? Those of a usdt probe may lie elsewhere at each of its places."""
    names = [node.name.removeprefix("__builtin_") for node in ast.walk(probe) if isinstance(node, ast.Ident)]
    return any(name[:3] == "arg" and name[3:].isdigit() for name in names)


def make_instances(program: ast.Program, found: Sequence[tuple[ast.Probe, list[Match]]], target: Any) -> list[Instance]:
    """Instances in the order of the text; matches that can share a program do."""
    instances: list[Instance] = []
    for probe, matches in found:
        groups: dict[Any, list[Match]] = {}
        alone, operands = _uses(probe), _uses_operands(probe)
        for number, match in enumerate(matches):
            shared = (match.prog_type, match.kind, match.context, match.space, match.preemptible, match.per_cpu_exact,
                      match.attach_to, match.operands if operands else (), id(match.place) if match.place else 0)  # fmt: skip
            groups.setdefault(number if alone else shared, []).append(match)
        for group in groups.values():
            instances.append(Instance(len(instances), program, probe, group, target))
    return instances


class Params:
    """The script's parameters: positional ones, and named ones (``--x=v``); `bare` are those named without a value."""

    __slots__ = ("bare", "named", "positional", "used")

    def __init__(
        self, positional: Sequence[str] = (), named: dict[str, str] | None = None, bare: Sequence[str] = ()
    ) -> None:
        self.positional = list(positional)
        self.bare = frozenset(bare)
        self.named = dict(named or {})
        self.used: dict[str, tuple[Any, str]] = {}  # named parameters the program knows: default, description

    def value(self, number: int) -> int | bytes | None:
        """``$N``: a number, a text, or None when it is not given; 0 is the count, ``$#``."""
        if number == 0:
            return len(self.positional)
        if number > len(self.positional):
            return None
        text = self.positional[number - 1]
        parsed = parse_number(text)
        if parsed is not None and -(1 << 63) <= parsed < 1 << 64:
            return parsed
        return text.encode("utf-8", "surrogateescape")

    def text(self, number: int) -> bytes:
        """``str($N)``: always the text, empty when it is not given."""
        if number == 0:
            return str(len(self.positional)).encode()
        given = number <= len(self.positional)
        return self.positional[number - 1].encode("utf-8", "surrogateescape") if given else b""


_UNITS = {
    "ns": 1, "us": 1000, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9,
}  # fmt: skip


def parse_number(text: str) -> int | None:
    """A number as the language writes it: decimal, 0x, octal, 1e3, underscores, a duration; None if it is none."""
    body = text.replace("_", "")
    sign = -1 if body.startswith("-") else 1
    body = body.removeprefix("-")
    if not body or not body[0].isdigit():
        return None
    try:
        if body[:2] in ("0x", "0X"):
            return sign * int(body, 16)
        if len(body) > 1 and body[0] == "0" and body.isdigit():
            return sign * int(body, 8)
        if body.isdigit():
            return sign * int(body)
        mantissa, mark, exponent = body.partition("e")
        if mark and len(mantissa) == 1 and mantissa.isdigit() and exponent.isdigit() and len(exponent) < 3:
            value: int = sign * int(mantissa) * 10 ** int(exponent)
            return value
    except ValueError:
        return None
    digits = body.rstrip("nusmhd")
    unit = body[len(digits) :]
    return sign * int(digits) * _UNITS[unit] if digits.isdigit() and unit in _UNITS else None
