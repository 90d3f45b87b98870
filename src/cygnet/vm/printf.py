"""The format strings of programs: bpf_bprintf_prepare (kernel/bpf/helpers.c) and vsnprintf, over simulated memory."""

from __future__ import annotations

from errno import EINVAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    #: reads a string: (address, "kernel" or "user" or "any") → its bytes, or None
    ReadString = Callable[[int, str], bytes | None]
    #: reads memory: (address, size) → bytes or None
    Read = Callable[[int, int], bytes | None]
    #: address → name and offset, or None
    Symbol = Callable[[int], str | None]

_FLAGS = "0+- "
_STRING_LIMIT = 512  # bytes of all strings of one call: MAX_BPRINTF_BIN_ARGS


class BadFormat(Exception):
    """What the kernel answers EINVAL to."""


def format_text(fmt: bytes, arguments: list[int], string: ReadString, memory: Read, symbol: Symbol) -> bytes | int:
    """The text, or -EINVAL for a format that programs may not use. `fmt` has no NUL."""
    try:
        return _Formatter(fmt, arguments, string, memory, symbol).run()
    except BadFormat:
        return -EINVAL


class _Formatter:
    def __init__(self, fmt: bytes, arguments: list[int], string: ReadString, memory: Read, symbol: Symbol) -> None:
        self.fmt = fmt.decode("latin-1")
        self.arguments = arguments
        self.used = 0
        self.string, self.memory, self.symbol = string, memory, symbol
        self.at = 0

    def run(self) -> bytes:
        out: list[bytes] = []
        while self.at < len(self.fmt):
            char = self.fmt[self.at]
            if not (" " <= char <= "~" or char in "\t\n\v\f\r"):
                raise BadFormat
            self.at += 1
            out.append(self._specifier() if char == "%" else char.encode())
        return b"".join(out)

    def _peek(self) -> str:
        return self.fmt[self.at] if self.at < len(self.fmt) else ""

    def _next(self) -> str:
        char = self._peek()
        self.at += 1
        return char

    def _argument(self) -> int:
        if self.used >= len(self.arguments):
            raise BadFormat
        self.used += 1
        return self.arguments[self.used - 1]

    def _specifier(self) -> bytes:
        if self._peek() == "%":
            self.at += 1
            return b"%"
        flags = ""
        while self._peek() and self._peek() in _FLAGS:
            flags += self._next()
        width = ""
        while self._peek().isdigit():
            width += self._next()
        return _pad(self._conversion(flags), int(width or 0), flags)

    def _conversion(self, flags: str) -> bytes:
        longs = 0
        char = self._next()
        if char == "p":
            return self._pointer()
        if char == "s":
            return self._string(self._argument(), "any")
        if char == "c":
            return bytes((self._argument() & 0xFF,))
        while char == "l" and longs < 2:
            longs += 1
            char = self._next()
        if not char or char not in "diuxX":
            raise BadFormat
        return _integer(char, self._argument(), bool(longs), flags)

    def _string(self, address: int, where: str) -> bytes:
        return (self.string(address, where) or b"")[:_STRING_LIMIT]

    def _pointer(self) -> bytes:
        kind = self._peek()
        if kind in ("k", "u") and self.fmt[self.at + 1 : self.at + 2] == "s":
            self.at += 2
            return self._string(self._argument(), "kernel" if kind == "k" else "user")
        if kind in ("i", "I") and kind:
            return self._address(kind)
        if kind and kind in "KxsSB":
            self.at += 1
            value = self._argument()
            if kind in "sSB":
                return (self.symbol(value) or f"0x{value:x}").encode()
            return f"{value:016x}".encode()
        if kind and not (kind.isspace() or not kind.isalnum()):
            raise BadFormat
        return f"{self._argument():016x}".encode()

    def _address(self, kind: str) -> bytes:
        version = self.fmt[self.at + 1 : self.at + 2]
        if version not in ("4", "6"):
            raise BadFormat
        self.at += 2
        data = self.memory(self._argument(), 4 if version == "4" else 16) or bytes(16)
        if version == "4":
            text = ".".join(f"{byte:03d}" if kind == "i" else str(byte) for byte in data[:4])
            return text.encode()
        if kind == "i":
            return data.hex().encode()
        return ":".join(data[i : i + 2].hex() for i in range(0, 16, 2)).encode()


def _integer(char: str, value: int, is_long: bool, flags: str) -> bytes:
    bits = 64 if is_long else 32
    value &= (1 << bits) - 1
    if char in "xX":
        return format(value, char).encode()
    if char in "di" and value >> bits - 1:
        value -= 1 << bits
    sign = "+" if "+" in flags else " " if " " in flags else ""
    return (sign if char in "di" and value >= 0 else "").encode() + str(value).encode()


def _pad(text: bytes, width: int, flags: str) -> bytes:
    if "-" in flags:
        return text.ljust(width)
    if "0" in flags:
        sign = text[:1] if text[:1] in (b"-", b"+", b" ") else b""
        return sign + text[len(sign) :].rjust(width - len(sign), b"0")
    return text.rjust(width)
