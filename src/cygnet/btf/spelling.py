"""C spellings of types, looked up: ``struct file *``, ``unsigned long``, ``u32``, ``char[16]`` need no parser of C."""

from __future__ import annotations

from cygnet.btf import kinds as k
from cygnet.btf.types import BtfType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.btf.reader import Btf

_TAGGED = {"struct": (k.STRUCT,), "union": (k.UNION,), "enum": (k.ENUM, k.ENUM64)}
_INT_WORDS = frozenset(("signed", "unsigned", "char", "short", "int", "long"))
_PLAIN_KINDS = (k.TYPEDEF, k.INT, k.FLOAT)


def find_c_type(btf: Btf, spelling: str) -> BtfType | None:
    """The type that C calls by this name, without stars or brackets; None when there is none.

    A bare name is a typedef or a basic type, and then, as tracing scripts write it, a struct, union or enumeration. The
    two orders in which compilers spell integers (``long unsigned int``, ``unsigned long``) are the same here.
    """
    words = [word for word in spelling.split() if word not in ("const", "volatile", "restrict")]
    if not words:
        return None
    if words[0] in _TAGGED:
        return _first(btf, " ".join(words[1:]), _TAGGED[words[0]])
    if _INT_WORDS.issuperset(words):
        return next(filter(None, (btf.find(name, k.INT) for name in integer_spellings(words))), None)
    name = " ".join(words)
    if name == "void":
        return btf.type(0)
    if name == "bool":
        return btf.find("bool", k.TYPEDEF) or btf.find("_Bool", k.INT)
    return _first(btf, name, (*_PLAIN_KINDS, k.STRUCT, k.UNION, k.ENUM, k.ENUM64))


def _first(btf: Btf, name: str, kinds: tuple[int, ...]) -> BtfType | None:
    for kind in kinds:
        found = btf.find(name, kind)
        if found is not None:
            return found
    return None


def integer_spellings(words: list[str]) -> tuple[str, ...]:
    """The names that compilers give an integer type: GCC's, clang's, and bare."""
    longs, unsigned = words.count("long"), "unsigned" in words
    if "char" in words:
        sign = "unsigned " if unsigned else "signed " if "signed" in words else ""
        return (sign + "char",)
    prefix = "unsigned " if unsigned else ""
    if "short" in words:
        return ("short unsigned int" if unsigned else "short int", prefix + "short")
    if longs:
        length = " ".join(["long"] * min(longs, 2))
        return (f"{length} {prefix}int", prefix + length)
    return (prefix + "int",)
