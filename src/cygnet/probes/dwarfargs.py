"""The parameters of a function of a program, by its debug information: names, types, and the registers they come in.

The System V ABI for x86-64 (section 3.2.3) and AAPCS64 say which parameter is in which register when the function is
entered. Those on the stack, and floating-point numbers, are left out.
"""

from __future__ import annotations

from cygnet.elf.dwarf import numbers as n
from cygnet.elf.dwarf.cursor import guarded
from cygnet.errors import ElfError
from cygnet.facts.registers import argument_offset
from cygnet.probes.dwarftypes import Converter, plain, size_of
from cygnet.probes.model import Arg

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cygnet.btf.types import BtfType
    from cygnet.elf.dwarf.info import Dwarf, Entry

_TAGS = {
    "struct": frozenset((n.TAG_STRUCT, n.TAG_CLASS)),
    "union": frozenset((n.TAG_UNION,)),
    "enum": frozenset((n.TAG_ENUM,)),
    "": frozenset((n.TAG_TYPEDEF,)),
}
_RECORDS = frozenset((n.TAG_STRUCT, n.TAG_CLASS, n.TAG_UNION))


def parameters(dwarf: Dwarf, address: int, machine: str) -> tuple[Arg, ...]:
    """The parameters of the function that begins at an address; none when its debug information is missing or wrong."""
    try:
        return _at(dwarf, address, machine)
    except ElfError:  # what lies must not stop a probe that does not ask for it
        return ()


@guarded
def _at(dwarf: Dwarf, address: int, machine: str) -> tuple[Arg, ...]:
    function = dwarf.function_at(address)
    if function is None or address not in [start for start, _ in function.ranges()]:
        return ()
    return _parameters(function, machine)


def named_type(dwarf: Dwarf, address: int, keyword: str, name: str) -> BtfType | None:
    """The type of that name (``struct``, ``union``, ``enum`` or, without keyword, a typedef) in the unit of an address."""
    try:
        return _named(dwarf, address, _TAGS[keyword], name)
    except ElfError:
        return None


@guarded
def _named(dwarf: Dwarf, address: int, tags: frozenset[int], name: str) -> BtfType | None:
    unit = dwarf.whole_unit_of(address)
    for entry in () if unit is None else unit.root().entries():
        if entry.tag in tags and entry.name == name and not entry.get(n.AT_DECLARATION):
            from cygnet.btf.reader import Btf

            converter = Converter()
            number = converter.type(entry)
            return Btf(converter.builder.to_bytes()).type(number) if number else None
    return None


def _parameters(function: Entry, machine: str) -> tuple[Arg, ...]:
    converter = Converter()
    found: list[tuple[str, int, list[int]]] = []
    for name, type, registers in _placed(function, machine):
        if name and registers:
            found.append((name, converter.type(type), registers))
    from cygnet.btf.reader import Btf

    btf = Btf(converter.builder.to_bytes())
    return tuple([_arg(btf, name, type_id, registers) for name, type_id, registers in found if type_id])


def _arg(btf: Btf, name: str, type_id: int, registers: list[int]) -> Arg:  # type: ignore[name-defined]  # noqa: F821
    from cygnet.btf.render import c_decl

    type = btf.type(type_id)
    whole = btf.resolve(type)
    size = btf.size_of(whole)
    return Arg(name, c_decl(type), registers[0], 8, whole.is_signed, index=registers[-1], btf=type,
               value_size=min(8, size), value_signed=whole.is_signed)  # fmt: skip


def _placed(function: Entry, machine: str) -> Iterator[tuple[str, Entry | None, list[int]]]:
    """(name, type, offsets in pt_regs of the words that hold it) of each parameter; no words: not in registers."""
    number = 1 if _returns_in_memory(function) else 0
    for entry in function.entries():
        if entry.tag != n.TAG_PARAMETER:
            continue
        type = entry.type()
        words = _words(type)
        places = [argument_offset(machine, number + at) for at in range(len(words))]
        if words and "integer" in words and set(words) == {"integer"} and None not in places:
            number += len(words)
            yield entry.name, type, [place for place in places if place is not None]
            continue
        number += words.count("integer") if None not in places else 0
        yield entry.name, type, []


def _returns_in_memory(function: Entry) -> bool:
    """Whether the first register holds the address of what is returned."""
    type = plain(function.type())
    return type is not None and type.tag in _RECORDS and not _words(type)


def _words(type: Entry | None) -> list[str]:
    """The class of each word of a parameter: ``integer`` or ``float``; none for one in memory."""
    type = plain(type)
    if type is None:
        return []
    if type.tag in _RECORDS:
        if type.get(n.AT_CALLING_CONVENTION) == n.CC_PASS_BY_REFERENCE:
            return ["integer"]
        size = size_of(type)
        words = ["float"] * -(-size // 8)
        if not 0 < size <= 16 or not _classify(type, 0, words, 0):
            return []
        return words
    if type.tag == n.TAG_BASE and type.get(n.AT_ENCODING) == n.ATE_FLOAT:
        return ["float"] if size_of(type) <= 8 else []
    return ["integer"] * -(-size_of(type) // 8)


def _classify(type: Entry, offset: int, words: list[str], depth: int) -> bool:
    """Mark the words of a record that hold something other than floating-point numbers; False when it is in memory."""
    if depth > 8:
        return False
    for member in type.entries():
        if member.tag not in (n.TAG_MEMBER, n.TAG_INHERITANCE):
            continue
        place = member.get(n.AT_MEMBER_LOCATION, 0)
        inner = plain(member.type())
        if not isinstance(place, int) or inner is None:
            return False
        if member.get(n.AT_DATA_BIT_OFFSET) is not None:
            place = member.get(n.AT_DATA_BIT_OFFSET) // 8
        at = offset + place
        if inner.tag in _RECORDS:
            if not _classify(inner, at, words, depth + 1):
                return False
            continue
        element = inner
        while element is not None and element.tag == n.TAG_ARRAY:
            element = plain(element.type())  # type: ignore[assignment]
        is_float = element is not None and element.tag == n.TAG_BASE and element.get(n.AT_ENCODING) == n.ATE_FLOAT
        if not is_float:
            for word in range(at // 8, min(len(words), -(-(at + max(1, size_of(inner))) // 8))):
                words[word] = "integer"
    return True
