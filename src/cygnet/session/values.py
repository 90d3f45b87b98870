"""Bytes to Python values: one decoder for each kind of value type.

A decoder is made once for a type and then called for each record: ``decoder(vtype)(buffer, offset)``.
What a kind becomes::

    int enum ptr ksym username timestamp cgroup gfp kstack   int
    bool bool · str str · buf bytes · inet mac str · none None
    usym ustack      (address or stack id, pid)
    tuple            tuple · array list · record, struct  dict by name

Numbers that need the world (symbols, users, stacks, times) stay numbers here; `session.text` names them.
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cygnet.spec.values import Field, VType

    Buffer = bytes | memoryview | bytearray
    Decoder = Callable[[Buffer, int], Any]

#: struct codes of integers by (size, signed)
CODES = {
    (1, False): "B", (1, True): "b", (2, False): "H", (2, True): "h",
    (4, False): "I", (4, True): "i", (8, False): "Q", (8, True): "q",
}  # fmt: skip

#: kinds that are one unsigned word in memory
_WORDS = {"ptr", "ksym", "username", "timestamp", "cgroup", "gfp"}
TRAILER = ".."


def decode(vtype: VType, buffer: Buffer, offset: int = 0, trailer: str = TRAILER) -> Any:
    """The value of `vtype` at byte `offset`; `trailer` marks a string that was cut."""
    return decoder(vtype, trailer)(buffer, offset)


def decoder(vtype: VType, trailer: str = TRAILER) -> Decoder:
    """A function of (buffer, offset) for values of one type."""
    make = _MAKERS.get(vtype.kind)
    if make is None:
        raise ValueError(f"no decoder for values of kind {vtype.kind!r}")
    return make(vtype, trailer)


def scalar_code(vtype: VType) -> str:
    """The struct code when the type is one integer in memory, else an empty string."""
    kind = vtype.kind
    if kind == "int" or kind == "enum":
        return CODES.get((vtype.size, vtype.signed), "")
    if kind == "kstack":
        return "q"
    return "Q" if kind in _WORDS and vtype.size == 8 else ""


def text_of(raw: bytes, trailer: str = TRAILER) -> str:
    """A string in a buffer of fixed capacity: up to the first NUL; without one it was cut, and `trailer` says so."""
    end = raw.find(0)
    if end >= 0:
        return raw[:end].decode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "surrogateescape") + trailer


def buffer_of(raw: bytes) -> bytes:
    """The bytes of a `buf`: a u32 length, then at most so many."""
    return raw[4 : 4 + int.from_bytes(raw[:4], "little")]


def record_decoder(fields: tuple[tuple[int, VType], ...], trailer: str = TRAILER) -> Decoder:
    """A decoder of several (offset, type) fields into a tuple: one unpack when all are integers."""
    layout = ["<"]
    at = 0
    for offset, vtype in fields:
        code = scalar_code(vtype)
        if not code or offset < at:
            break
        layout.append(f"{offset - at}x{code}")
        at = offset + vtype.size
    else:
        unpack = Struct("".join(layout)).unpack_from
        return lambda buffer, offset: unpack(buffer, offset)
    parts = [(offset, decoder(vtype, trailer)) for offset, vtype in fields]
    return lambda buffer, offset: tuple([read(buffer, offset + at) for at, read in parts])


def _scalar(vtype: VType, trailer: str) -> Decoder:
    code = scalar_code(vtype)
    if not code:
        raise ValueError(f"no integer of {vtype.size} bytes")
    unpack = Struct("<" + code).unpack_from
    return lambda buffer, offset: unpack(buffer, offset)[0]


def _bool(vtype: VType, trailer: str) -> Decoder:
    return lambda buffer, offset: buffer[offset] != 0


def _none(vtype: VType, trailer: str) -> Decoder:
    return lambda buffer, offset: None


def _str(vtype: VType, trailer: str) -> Decoder:
    size = vtype.size
    if vtype.text == "whole":
        trailer = ""
    return lambda buffer, offset: text_of(bytes(buffer[offset : offset + size]), trailer)


def _buf(vtype: VType, trailer: str) -> Decoder:
    size = vtype.size
    return lambda buffer, offset: buffer_of(bytes(buffer[offset : offset + size]))


def _address_and_pid(vtype: VType, trailer: str) -> Decoder:
    return Struct("<QI").unpack_from


def _stack_and_pid(vtype: VType, trailer: str) -> Decoder:
    return Struct("<qI").unpack_from


def _mac(vtype: VType, trailer: str) -> Decoder:
    return lambda buffer, offset: bytes(buffer[offset : offset + 6]).hex(":").upper()


def _inet(vtype: VType, trailer: str) -> Decoder:
    return lambda buffer, offset: address_text(bytes(buffer[offset : offset + 20]))


def address_text(raw: bytes) -> str:
    """A u32 address family and 16 bytes: dotted IPv4, or IPv6 in its shortest form."""
    if raw[0] == 10:
        from socket import AF_INET6, inet_ntop

        return inet_ntop(AF_INET6, raw[4:20])
    return ".".join(map(str, raw[4:8]))


def _bits(field: Field, inner: Decoder) -> Decoder:
    shift, mask = field.shift, (1 << field.bits) - 1
    return lambda buffer, offset: (inner(buffer, offset) >> shift) & mask


def members(vtype: VType, trailer: str) -> list[tuple[str, int, Decoder]]:
    """(name, offset, decoder) of each field; a bit-field's decoder shifts and masks, unsigned."""
    out = []
    for field in vtype.fields:
        inner = decoder(field.type, trailer)
        out.append((field.name, field.offset, _bits(field, inner) if 0 < field.bits < 8 * field.type.size else inner))
    return out


def _tuple(vtype: VType, trailer: str) -> Decoder:
    parts = [(at, read) for _, at, read in members(vtype, trailer)]
    return lambda buffer, offset: tuple([read(buffer, offset + at) for at, read in parts])


def _record(vtype: VType, trailer: str) -> Decoder:
    parts = members(vtype, trailer)
    return lambda buffer, offset: {name: read(buffer, offset + at) for name, at, read in parts}


def _array(vtype: VType, trailer: str) -> Decoder:
    elem = vtype.elem
    if elem is None:
        raise ValueError("an array type without elements")
    code = scalar_code(elem)
    if code:
        unpack = Struct(f"<{vtype.length}{code}").unpack_from
        return lambda buffer, offset: list(unpack(buffer, offset))
    read, step, count = decoder(elem, trailer), elem.size, vtype.length
    return lambda buffer, offset: [read(buffer, offset + i * step) for i in range(count)]


_MAKERS: dict[str, Callable[[VType, str], Decoder]] = {
    "int": _scalar, "enum": _scalar, "ptr": _scalar, "ksym": _scalar, "username": _scalar,
    "timestamp": _scalar, "cgroup": _scalar, "gfp": _scalar, "kstack": _scalar,
    "bool": _bool, "none": _none, "str": _str, "buf": _buf, "usym": _address_and_pid,
    "ustack": _stack_and_pid, "mac": _mac, "inet": _inet, "tuple": _tuple, "record": _record,
    "struct": _record, "array": _array,
}  # fmt: skip
