"""Rust's names of the newer scheme (RFC 2603, "v0"), as `c++filt` writes them: without hashes and types of constants."""

from __future__ import annotations

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BASIC = {
    "a": "i8", "b": "bool", "c": "char", "d": "f64", "e": "str", "f": "f32", "h": "u8", "i": "isize", "j": "usize",
    "l": "i32", "m": "u32", "n": "i128", "o": "u128", "p": "_", "s": "i16", "t": "u16", "u": "()", "v": "...",
    "x": "i64", "y": "u64", "z": "!",
}  # fmt: skip
_KINDS = {"C": "closure", "S": "shim"}
_DEEPEST, _LONGEST = 150, 1 << 22
_ESCAPES = {"\t": "\\t", "\r": "\\r", "\n": "\\n", "'": "\\'", "\\": "\\\\"}


class _Wrong(Exception):
    """It is no such name."""


def demangle_rust(name: str) -> str | None:
    """The readable form of a name that begins with ``_R``; None for one that cannot be read."""
    plain, dot, suffix = name.partition(".")
    if not plain.startswith("_R") or not plain.isascii() or not plain[2:3].isupper():
        return None
    reader = _Reader(plain[2:])
    try:
        text = reader.path(True)
        if reader.at < len(reader.text):
            reader.path(False)  # the crate that made this copy of it
    except (_Wrong, ValueError, IndexError):
        return None
    if reader.at < len(reader.text):
        return None
    return text + (dot + suffix if dot and not suffix.startswith("llvm.") else "")


class _Reader:
    __slots__ = ("at", "bound", "depth", "made", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.bound = 0  # lifetimes that binders around have named
        self.depth = 0
        self.made = 0

    # ── what names are made of ──

    def take(self) -> str:
        letter = self.text[self.at]
        self.at += 1
        return letter

    def eat(self, letter: str) -> bool:
        if self.text[self.at : self.at + 1] == letter:
            self.at += 1
            return True
        return False

    def base62(self) -> int:
        if self.eat("_"):
            return 0
        value = 0
        while not self.eat("_"):
            value = value * 62 + _DIGITS.index(self.take())
            if value >= 1 << 64:
                raise _Wrong
        return value + 1

    def disambiguator(self) -> int:
        return self.base62() + 1 if self.eat("s") else 0

    def identifier(self) -> str:
        coded = self.eat("u")
        start = self.at
        while self.text[self.at : self.at + 1].isdigit():
            self.at += 1
            if self.text[start] == "0":
                break
        length = int(self.text[start : self.at])
        self.eat("_")
        word = self.text[self.at : self.at + length]
        if len(word) != length:
            raise _Wrong
        self.at += length
        if not coded:
            return word
        plain, mark, code = word.rpartition("_")
        return f"{plain}-{code}".encode().decode("punycode") if mark else f"-{code}".encode()[1:].decode("punycode")

    def enter(self) -> None:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _Wrong

    def grown(self, text: str) -> str:
        """A bound on all that was written: back references can make a short name as long as they like."""
        self.made += len(text)
        if self.made > _LONGEST:
            raise _Wrong
        return text

    def again(self, read: str, *args: bool) -> str:
        """What stands where a back reference points to."""
        here = self.at - 1
        place = self.base62()
        if place >= here:
            raise _Wrong
        after, self.at = self.at, place
        text: str = getattr(self, read)(*args)
        self.at = after
        return text

    def lifetime(self, number: int) -> str:
        if not number:
            return "'_"
        depth = self.bound - number
        if depth < 0:
            raise _Wrong
        return "'" + _DIGITS[10 + depth] if depth < 26 else f"'_{depth}"

    def binder(self) -> str:
        if not self.eat("G"):
            return ""
        count = self.base62() + 1
        if count > _DEEPEST:
            raise _Wrong
        names = []
        for _ in range(count):
            self.bound += 1
            names.append(self.lifetime(1))
        return f"for<{', '.join(names)}> "

    # ── paths ──

    def path(self, value: bool) -> str:
        self.enter()
        text = self.grown(self._path(self.take(), value))
        self.depth -= 1
        return text

    def _path(self, tag: str, value: bool) -> str:
        if tag == "C":
            self.disambiguator()
            return self.identifier()
        if tag == "N":
            return self._nested(value)
        if tag in "MX":
            self.disambiguator()
            self.path(False)  # where the impl stands
        if tag in "MXY":
            type = self.type()
            return f"<{type}>" if tag == "M" else f"<{type} as {self.path(False)}>"
        if tag == "I":
            head = self.path(value)
            return f"{head}{'::' * value}<{self._arguments()}>"
        if tag == "B":
            return self.again("path", value)
        raise _Wrong

    def _nested(self, value: bool) -> str:
        space = self.take()
        if not space.isalpha():
            raise _Wrong
        head = self.path(value)
        number, name = self.disambiguator(), self.identifier()
        if space.isupper():
            return f"{head}::{{{_KINDS.get(space, space)}{':' * bool(name)}{name}#{number}}}"
        return f"{head}::{name}" if name else head

    def _arguments(self) -> str:
        found = []
        while not self.eat("E"):
            if self.eat("L"):
                found.append(self.lifetime(self.base62()))
            else:
                found.append(self.const() if self.eat("K") else self.type())
        return ", ".join(found)

    # ── types and constants ──

    def type(self) -> str:
        tag = self.take()
        if tag in _BASIC:
            return _BASIC[tag]
        self.enter()
        text = self.grown(self._type(tag))
        self.depth -= 1
        return text

    def _type(self, tag: str) -> str:
        if tag in "RQ":
            life = self.lifetime(number) + " " if self.eat("L") and (number := self.base62()) else ""
            return f"&{life}{'mut ' if tag == 'Q' else ''}{self.type()}"
        if tag in "PO":
            return f"*{'const' if tag == 'P' else 'mut'} {self.type()}"
        if tag == "S":
            return f"[{self.type()}]"
        if tag == "A":
            return f"[{self.type()}; {self.const()}]"
        if tag == "T":
            parts = self._types()
            return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"
        if tag in "FD":
            outer = self.bound
            text = self._function() if tag == "F" else self._object()
            self.bound = outer
            return text if tag == "F" else text + self._object_lifetime()
        if tag == "B":
            return self.again("type")
        self.at -= 1
        return self.path(False)

    def _types(self) -> list[str]:
        found = []
        while not self.eat("E"):
            found.append(self.type())
        return found

    def _function(self) -> str:
        text = self.binder()
        if self.eat("U"):
            text += "unsafe "
        if self.eat("K"):
            kind = "C" if self.eat("C") else self.identifier().replace("_", "-")
            text += f'extern "{kind}" '
        text += f"fn({', '.join(self._types())})"
        return text if self.eat("u") else f"{text} -> {self.type()}"

    def _object(self) -> str:
        text, bounds = "dyn " + self.binder(), []
        while not self.eat("E"):
            bounds.append(self._bound())
        return text + " + ".join(bounds)

    def _object_lifetime(self) -> str:
        if not self.eat("L"):
            raise _Wrong
        number = self.base62()
        return f" + {self.lifetime(number)}" if number else ""

    def _bound(self) -> str:
        """A trait with the types that it is told: they are written among its arguments."""
        text, open_ = self._open_path()
        while self.eat("p"):
            text += ", " if open_ else "<"
            open_ = True
            name = self.identifier()
            text += f"{name} = {self.type()}"
        return text + ">" * open_

    def _open_path(self) -> tuple[str, bool]:
        if self.eat("B"):
            here = self.at - 1
            place = self.base62()
            if place >= here:
                raise _Wrong
            after, self.at = self.at, place
            self.enter()
            found = self._open_path()
            self.depth -= 1
            self.at = after
            return found
        if self.eat("I"):
            head = self.path(False)
            return f"{head}<{self._arguments()}", True
        return self.path(False), False

    def const(self) -> str:
        tag = self.take()
        if tag == "B":
            return self.again("const")
        if tag == "p":
            return "_"
        if tag in "aslxni":
            return "-" * self.eat("n") + self._number()
        if tag in "htmyoj":
            return self._number()
        if tag == "b":
            return {"0": "false", "1": "true"}.get(self._hex()) or self._wrong()
        if tag == "c":
            return _character(int(self._hex(), 16))
        return self._wrong()

    def _wrong(self) -> str:
        raise _Wrong

    def _hex(self) -> str:
        end = self.text.index("_", self.at)
        digits = self.text[self.at : end]
        if any(digit not in "0123456789abcdef" for digit in digits):
            raise _Wrong
        self.at = end + 1
        return digits or "0"

    def _number(self) -> str:
        digits = self._hex()
        return "0x" + digits if len(digits) > 16 else str(int(digits, 16))


def _character(code: int) -> str:
    letter = chr(code)
    shown = _ESCAPES.get(letter) or (letter if letter.isprintable() else f"\\u{{{code:x}}}")
    return f"'{shown}'"
