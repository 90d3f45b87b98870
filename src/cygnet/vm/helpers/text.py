"""Text: printing, formatting, comparing, and numbers from text."""

from __future__ import annotations

from errno import EINVAL, ENAMETOOLONG, EOVERFLOW, ERANGE
from struct import unpack

from cygnet.maps.memory import store64, write
from cygnet.vm.helpers.common import MASK32
from cygnet.vm.helpers.registry import helper
from cygnet.vm.printf import format_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host

_MAX_ARGUMENTS = 12  # MAX_BPRINTF_VARARGS
_SEQ_BYTES = 1 << 20


def _formatted(machine: Host, fmt: bytes, arguments: list[int]) -> bytes | int:
    world, regions = machine.world, machine.regions

    def string(address: int, where: str) -> bytes | None:
        return world.peek_string(regions, address, 512, where)

    def symbol(address: int) -> str | None:
        near = max(((at, name) for name, at in world.symbols.items() if at <= address), default=None)
        return f"{near[1]}+{address - near[0]:#x}" if near else None

    return format_text(fmt, arguments, string, lambda at, size: world.peek(regions, at, size, "any"), symbol)


def _format_of(machine: Host, address: int, size: int) -> bytes | None:
    """A format up to its NUL; None when it has none."""
    text = machine.readable(address, size & MASK32, "format")
    end = text.find(b"\0")
    return None if end < 0 else text[:end]


def _print(machine: Host, fmt: int, size: int, arguments: list[int]) -> int:
    text = _format_of(machine, fmt, size)
    made = -EINVAL if text is None else _formatted(machine, text, arguments)
    if isinstance(made, int):
        return made
    machine.world.printed.append(made.decode(errors="replace"))
    return len(made)


@helper("trace_printk")
def trace_printk(machine: Host, fmt: int, size: int, a: int, b: int, c: int) -> int:
    """The text goes to `world.printed`; its length."""
    return _print(machine, fmt, size, [a, b, c])


def _array(machine: Host, data: int, size: int) -> list[int] | int:
    """The arguments of a formatting helper that has an array of them."""
    size &= MASK32
    if size % 8 or size > _MAX_ARGUMENTS * 8 or (size and not data):
        return -EINVAL
    return list(unpack(f"<{size // 8}Q", machine.readable(data, size, "arguments")))


@helper("trace_vprintk")
def trace_vprintk(machine: Host, fmt: int, size: int, data: int, length: int) -> int:
    arguments = _array(machine, data, length)
    return arguments if isinstance(arguments, int) else _print(machine, fmt, size, arguments)


def _constant(machine: Host, address: int) -> bytes:
    """A NUL-terminated string in a map."""
    found = machine.world.peek_string(machine.regions, address, 1 << 16, "kernel")
    if found is None:
        machine.check(address, 1, what="format")
    return found or b""


@helper("snprintf")
def snprintf(machine: Host, out: int, size: int, fmt: int, data: int, length: int) -> int:
    """The length of the whole text and its NUL, which may be more than fits."""
    size &= MASK32
    machine.check(out, size, write=True, what="buffer")
    arguments = _array(machine, data, length)
    made = arguments if isinstance(arguments, int) else _formatted(machine, _constant(machine, fmt), arguments)
    if isinstance(made, int):
        return made
    if size:
        write(out, made[: size - 1] + b"\0")
    return len(made) + 1


@helper("seq_printf")
def seq_printf(machine: Host, seq: int, fmt: int, size: int, data: int, length: int) -> int:
    text, arguments = _format_of(machine, fmt, size), _array(machine, data, length)
    if text is None or isinstance(arguments, int):
        return -EINVAL
    made = _formatted(machine, text, arguments)
    return made if isinstance(made, int) else _append(machine, made)


@helper("seq_write")
def seq_write(machine: Host, seq: int, data: int, length: int) -> int:
    return _append(machine, machine.readable(data, length & MASK32, "data"))


def _append(machine: Host, text: bytes) -> int:
    if len(machine.world.seq) + len(text) > _SEQ_BYTES:
        return -EOVERFLOW
    machine.world.seq += text
    return 0


@helper("strncmp")
def strncmp(machine: Host, first: int, size: int, second: int) -> int:
    """-1, 0 or 1."""
    size &= MASK32
    ours, theirs = machine.readable(first, size, "string"), _constant(machine, second)
    ours = ours.split(b"\0", 1)[0] if b"\0" in ours else ours
    a, b = (text[:size].ljust(size, b"\0") for text in (ours, theirs))
    return (a > b) - (a < b)


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────

_DIGITS = b"0123456789abcdefghijklmnopqrstuvwxyz"
_SPACES = b" \t\n\v\f\r\xa0"


def parse_number(text: bytes, flags: int) -> tuple[int, int]:
    """__bpf_strtoull: (characters used or a negative errno, the number with its sign)."""
    if not text or flags not in (0, 8, 10, 16):
        return -EINVAL, 0
    rest = text.lstrip(_SPACES)
    negative = rest[:1] == b"-"
    rest = rest[1:] if negative else rest
    skipped = len(text) - len(rest)
    if not rest:
        return -EINVAL, 0
    digits, base = _radix(rest[:63].lower(), flags)
    used = len(rest[:63]) - len(digits)
    count = next((i for i, char in enumerate(digits) if char not in _DIGITS[:base]), len(digits))
    if not count:
        return -EINVAL, 0
    number = int(digits[:count], base)
    if number >> 64:
        return -ERANGE, 0
    return skipped + used + count, -number if negative else number


def _radix(text: bytes, base: int) -> tuple[bytes, int]:
    """The digits after a prefix, and their base."""
    hexadecimal = text[:2] == b"0x"
    if not base:
        base = 10 if text[:1] != b"0" else 16 if hexadecimal and text[2:3] in _hex_digits() else 8
    return (text[2:] if base == 16 and hexadecimal else text), base


def _hex_digits() -> tuple[bytes, ...]:
    return tuple(_DIGITS[i : i + 1] for i in range(16))


def _store_number(machine: Host, text: int, size: int, flags: int, out: int, signed: bool) -> int:
    machine.check(out, 8, write=True, what="result")
    used, number = parse_number(machine.readable(text, size & MASK32, "text"), flags)
    store64(out, 0)
    if used < 0:
        return used
    if signed and not -(1 << 63) <= number < 1 << 63:
        return -ERANGE
    if not signed and number <= 0 and b"-" in machine.readable(text, min(used, size), "text"):
        return -EINVAL
    store64(out, number)
    return used


@helper("strtol")
def strtol(machine: Host, text: int, size: int, flags: int, out: int) -> int:
    return _store_number(machine, text, size, flags, out, True)


@helper("strtoul")
def strtoul(machine: Host, text: int, size: int, flags: int, out: int) -> int:
    return _store_number(machine, text, size, flags, out, False)


@helper("d_path")
def d_path(machine: Host, path: int, out: int, size: int) -> int:
    """What `world.paths` says of a struct path's address; its length with the NUL."""
    size &= MASK32
    machine.check(out, size, write=True, what="buffer")
    text = machine.world.paths.get(path)
    if text is None:
        return -EINVAL
    if not size:
        return 0
    data = text.encode() + b"\0"
    if len(data) > size:
        write(out, data[-size:])  # it is put together from its end
        return -ENAMETOOLONG
    write(out, data)
    return len(data)


@helper("kallsyms_lookup_name")
def kallsyms_lookup_name(machine: Host, name: int, size: int, flags: int, out: int) -> int:
    machine.check(out, 8, write=True, what="result")
    store64(out, 0)
    text = machine.readable(name, size & MASK32, "name")
    if flags or len(text) <= 1 or text[-1:] != b"\0":
        return -EINVAL
    address = machine.world.symbols.get(text[:-1].decode(errors="replace"))
    if address is None:
        return -2  # ENOENT
    store64(out, address)
    return 0
