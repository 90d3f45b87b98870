"""What mangled C++ is made of: the tables of codes, and a type as text before and after a declared name."""

from __future__ import annotations

DEEPEST = 96
MOST_STEPS = 20_000  # packs inside of packs are read again and again
LONGEST = 1 << 15  # characters of one part: repeated substitutions can double a name at every step

BUILTINS = {
    "v": "void", "w": "wchar_t", "b": "bool", "c": "char", "a": "signed char", "h": "unsigned char",
    "s": "short", "t": "unsigned short", "i": "int", "j": "unsigned int", "l": "long", "m": "unsigned long",
    "x": "long long", "y": "unsigned long long", "n": "__int128", "o": "unsigned __int128", "f": "float",
    "d": "double", "e": "long double", "g": "__float128", "z": "...",
}  # fmt: skip
D_BUILTINS = {
    "d": "decimal64", "e": "decimal128", "f": "decimal32", "h": "half", "i": "char32_t", "s": "char16_t",
    "u": "char8_t", "a": "auto", "c": "decltype(auto)", "n": "decltype(nullptr)",
}  # fmt: skip
OPERATORS = {
    "nw": "new", "na": "new[]", "dl": "delete", "da": "delete[]", "aw": "co_await", "ng": "-", "ps": "+",
    "ad": "&", "de": "*", "co": "~", "pl": "+", "mi": "-", "ml": "*", "dv": "/", "rm": "%", "an": "&",
    "or": "|", "eo": "^", "aS": "=", "pL": "+=", "mI": "-=", "mL": "*=", "dV": "/=", "rM": "%=", "aN": "&=",
    "oR": "|=", "eO": "^=", "ls": "<<", "rs": ">>", "lS": "<<=", "rS": ">>=", "eq": "==", "ne": "!=",
    "lt": "<", "gt": ">", "le": "<=", "ge": ">=", "ss": "<=>", "nt": "!", "aa": "&&", "oo": "||", "pp": "++",
    "mm": "--", "cm": ",", "pm": "->*", "pt": "->", "cl": "()", "ix": "[]", "qu": "?",
}  # fmt: skip
UNARY = frozenset(("ng", "ps", "ad", "de", "co", "nt", "pp", "mm"))
LITERALS = {"i": "", "j": "u", "l": "l", "m": "ul", "x": "ll", "y": "ull"}
ABBREVIATIONS = {
    "a": ("std::allocator", "allocator"), "b": ("std::basic_string", "basic_string"), "s": ("std::string", "string"),
    "i": ("std::istream", "istream"), "o": ("std::ostream", "ostream"), "d": ("std::iostream", "iostream"),
}  # fmt: skip
_TRAITS = "char, std::char_traits<char>"
WHOLE = {  # what an abbreviation stands for, where a constructor or destructor follows
    "s": (f"std::basic_string<{_TRAITS}, std::allocator<char> >", "basic_string"),
    "i": (f"std::basic_istream<{_TRAITS} >", "basic_istream"),
    "o": (f"std::basic_ostream<{_TRAITS} >", "basic_ostream"),
    "d": (f"std::basic_iostream<{_TRAITS} >", "basic_iostream"),
}
SPECIAL = {
    "TV": "vtable for ", "TT": "VTT for ", "TI": "typeinfo for ", "TS": "typeinfo name for ",
    "TA": "template parameter object for ",
}  # fmt: skip
SPECIAL_NAMES = {"GV": "guard variable for ", "TH": "TLS init function for ", "TW": "TLS wrapper function for "}


class Unread(Exception):
    """The name does not follow the part of the grammar that is known here."""


class Type:
    """`left` and `right` of a declared name; `kind` is "F" for a bare function, "A" for a bare array, else empty.

    A function's `left` ends with the blank after its return type.

    `base` is the last plain name in it, for constructors; `pack` holds the members of an argument pack.
    """

    __slots__ = ("base", "kind", "left", "pack", "right")

    def __init__(
        self, left: str, right: str = "", kind: str = "", base: str = "", pack: list[Type] | None = None
    ) -> None:
        if len(left) + len(right) > LONGEST:
            raise Unread
        self.left = left
        self.right = right
        self.kind = kind
        self.base = base
        self.pack = pack

    def __str__(self) -> str:
        if self.pack is not None:
            return ", ".join(text for text in map(str, self.pack) if text)
        return self.left + self.right


def pointer(of: Type, mark: str) -> Type:
    if of.kind:
        return Type(f"{of.left}{' ' * (of.kind == 'A')}({mark}", f"){of.right}")
    if mark in ("&", "&&") and of.left.endswith("&"):  # references to references collapse
        return Type(of.left.removesuffix("&"), of.right) if mark == "&" and of.left.endswith("&&") else of
    return Type(of.left + mark, of.right)


def qualified(of: Type, words: str) -> Type:
    if of.kind == "F":
        return Type(of.left, of.right + words, "F")
    if of.left.endswith(words):  # const of what is const already
        return of
    return Type(of.left + words, of.right, of.kind, of.base)


def clone_notes(text: str) -> str:
    """``.part.0.cold`` as `` [clone .part.0] [clone .cold]``: a word and the numbers after it belong together."""
    found: list[str] = []
    for piece in text.split(".")[1:]:
        if found and piece.isdecimal():
            found[-1] += f".{piece}"
        else:
            found.append(f".{piece}")
    return "".join(f" [clone {clone}]" for clone in found)


def in_angles(types: list[Type]) -> str:
    texts = [str(of) for of in types]
    text = ", ".join(filter(None, texts))
    return (
        f"<{text} >" if text.endswith(">") and texts[-1] else f"<{text}>"
    )  # GNU's tools: an empty pack takes the blank


def in_brackets(parameters: list[Type]) -> str:
    text = ", ".join(text for text in map(str, parameters) if text)
    return "()" if text == "void" else f"({text})"
