"""Names of C++ and Rust functions as their authors wrote them.

C++ is left to the C++ run-time library of the machine, which has a demangler (`__cxa_demangle`); without one, names
stay as they are. Rust's older scheme is simple enough to be undone here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_RUST_HASH = len("17h0123456789abcdefE")
_RUST_ESCAPES = {
    "SP": "@",
    "BP": "*",
    "RF": "&",
    "LT": "<",
    "GT": ">",
    "LP": "(",
    "RP": ")",
    "C": ",",
}
_library: Callable[[bytes], bytes | None] | None = None


def demangle(name: str) -> str:
    """The readable form of a C++ or Rust symbol; any other name, and one that cannot be read, as it is."""
    if not name.startswith(("_Z", "__Z", "_R")):
        return name
    rust = _rust_legacy(name)
    if rust is not None:
        return rust
    return _cxx(name) if name.startswith("_Z") else name


def _rust_legacy(name: str) -> str | None:
    """``_ZN…17h<16 hex digits>E``: a path of counted words, the last one a hash, which is left out."""
    tail = name[-_RUST_HASH:]
    if not name.startswith("_ZN") or not tail.startswith("17h") or not tail.endswith("E"):
        return None
    if not all(digit in "0123456789abcdef" for digit in tail[3:-1]):
        return None
    words, at, end = [], 3, len(name) - _RUST_HASH
    while at < end:
        digits = at
        while digits < end and name[digits].isdecimal():
            digits += 1
        length = int(name[at:digits] or "0")
        if not length or digits + length > end:
            return None
        words.append(_rust_word(name[digits : digits + length]))
        at = digits + length
    return "::".join(words) if words else None


def _rust_word(word: str) -> str:
    if word.startswith("_$"):
        word = word[1:]
    pieces = word.replace("..", "::").split("$")
    for index in range(1, len(pieces), 2):
        piece = pieces[index]
        if piece in _RUST_ESCAPES:
            pieces[index] = _RUST_ESCAPES[piece]
        elif piece.startswith("u") and piece[1:].isalnum():
            try:
                pieces[index] = chr(int(piece[1:], 16))
            except (ValueError, OverflowError):
                return word
        else:
            return word
    return "".join(pieces)


def _cxx(name: str) -> str:
    global _library
    if _library is None:
        _library = _open_library() or (lambda _: None)
    text = _library(name.encode())
    return name if text is None else text.decode("utf-8", "replace")


def _open_library() -> Callable[[bytes], bytes | None] | None:
    import ctypes

    from cygnet.elf.lookup import find_library
    from cygnet.errors import ElfError

    for library in ("stdc++", "c++abi"):
        try:
            path = find_library(library)
            function = ctypes.CDLL(path).__cxa_demangle if path else None
        except (OSError, AttributeError, ElfError):
            continue
        if function is not None:
            return _caller(function)
    return None


def _caller(function: object) -> Callable[[bytes], bytes | None]:
    import ctypes

    free = ctypes.CDLL(None).free
    free.argtypes, free.restype = [ctypes.c_void_p], None
    function.restype = ctypes.c_void_p  # type: ignore[attr-defined]
    function.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)]  # type: ignore[attr-defined]

    def call(name: bytes) -> bytes | None:
        status = ctypes.c_int()
        place = function(name, None, None, ctypes.byref(status))  # type: ignore[operator]
        if not place:
            return None
        text = ctypes.string_at(place)
        free(place)
        return text if status.value == 0 else None

    return call
