"""Names of C++ and Rust functions as their authors wrote them."""

from __future__ import annotations

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


def demangle(name: str) -> str:
    """The readable form of a C++ or a Rust symbol; any other, or one that cannot be read, as it is.

    C++ names read as `c++filt --no-verbose` writes them.
    """
    if name.startswith("_R"):
        from cygnet.elf.rust import demangle_rust

        return demangle_rust(name) or name
    if not name.startswith("_Z"):
        return name
    rust = _rust_legacy(name)
    if rust is not None:
        return rust
    from cygnet.elf.cxx import demangle_cxx

    return demangle_cxx(name) or name


def is_rust(name: str) -> bool:
    """Whether a symbol is one of Rust's, in the newer or the older form."""
    return name.startswith("_R") or _rust_legacy(name) is not None


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
