"""The kernel's structs, unions and enumerations, listed by name: ``struct sock*``."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cygnet.btf.reader import Btf
    from cygnet.btf.types import BtfType
    from cygnet.kernel.target import LiveTarget

_KEYWORDS = ("struct", "union", "enum")


def wanted(pattern: str) -> bool:
    """Whether a pattern asks for types, not for probes."""
    head, blank, name = pattern.strip().partition(" ")
    return bool(blank) and head in _KEYWORDS and bool(name.strip())


def matching(pattern: str, target: LiveTarget) -> Iterator[tuple[str, list[BtfType]]]:
    """(``struct x``, its definitions) by name: the kernel's, or those of its modules where the kernel has none."""
    keyword, _, name = pattern.strip().partition(" ")
    kinds = _kinds(keyword)
    for btf in _everywhere(target):
        found = _found(btf, kinds, name.strip())
        if found:
            yield from ((f"{keyword} {one}", found[one]) for one in sorted(found))
            return


def definitions(found: Iterable[BtfType]) -> list[str]:
    """C text of each, those that read alike once."""
    from cygnet.btf.render import c_definition

    return list(dict.fromkeys(f"{c_definition(of)};" for of in found))


def _everywhere(target: LiveTarget) -> Iterator[Btf]:
    yield target.btf()
    for module in target.modules():
        try:
            yield target.module_btf(module)
        except OSError:  # it went meanwhile
            continue


def _kinds(keyword: str) -> tuple[int, ...]:
    from cygnet.btf import kinds

    return {"struct": (kinds.STRUCT,), "union": (kinds.UNION,), "enum": tuple(kinds.ENUMS)}[keyword]


def _found(btf: Btf, kinds: tuple[int, ...], pattern: str) -> dict[str, list[BtfType]]:
    """Name → types. A pattern walks over all types, which takes about a second; a name does not."""
    from cygnet.probes.wildcard import matcher

    if "*" not in pattern:
        exact = [of for kind in kinds for of in btf.find_all(pattern, kind)]
        return {pattern: exact} if exact else {}
    matches = matcher(pattern)
    found: dict[str, list[BtfType]] = {}
    for of in btf.types():
        if of.kind in kinds and of.name and matches(of.name):
            found.setdefault(of.name, []).append(of)
    return found
