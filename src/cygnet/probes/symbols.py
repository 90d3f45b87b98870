"""The functions of a binary, and where in its file they begin."""

from __future__ import annotations

from cygnet.elf import Elf
from cygnet.errors import ElfError, ProbeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cygnet.elf.dwarf import Dwarf
    from cygnet.elf.symbols import AddressIndex, Symbol
    from cygnet.source import Span


class Symbols:
    """A binary's symbols; a stripped one's from its separate debug file, when there is one.

    Raises ProbeError when the file cannot be read or is not ELF.
    """

    __slots__ = ("_elf", "_extra", "_index", "path")

    def __init__(self, path: str, span: Span | None = None) -> None:
        self.path = path
        self._extra: list[Elf] | None = None
        self._index: AddressIndex | None = None
        try:
            self._elf = Elf.open(path)
        except OSError as error:
            raise ProbeError(f"cannot read {path}: {error.strerror}", span) from None
        except ElfError as error:
            raise ProbeError(f"{path} is not a program or library: {error}", span) from None

    def find(self, name: str) -> list[tuple[int, int]]:
        """(address, size) of each defined function of exactly that name, by address."""
        for elf in self._files():
            found = {
                symbol.value: symbol.size
                for table in elf.tables()
                for symbol in table.named(name)
                if symbol.is_function and symbol.is_defined
            }
            if found:
                return sorted(found.items())
        return []

    def names(self, pattern: str = "*") -> list[str]:
        """Names of defined functions that match, sorted, each once.

        Without ``f.part.0`` and the like: the compiler split these off, and enters them as it pleases.
        """
        found = {symbol.name for elf in self._files() for symbol in elf.functions(pattern)}
        return sorted([name for name in found if ".part." not in name])

    def places(self, pattern: str) -> dict[str, list[int]]:
        """name → its addresses, for every defined function that matches."""
        wanted = set(self.names(pattern))
        found: dict[str, set[int]] = {}
        for symbol in self._functions():
            if symbol.name in wanted:
                found.setdefault(symbol.name, set()).add(symbol.value)
        return {name: sorted(found[name]) for name in sorted(found)}

    def file_offset(self, address: int) -> int | None:
        """Where in the file the byte at an address lies; None when it is in no loaded part."""
        try:
            return self._elf.file_offset(address)
        except ElfError:
            return None

    def address_at(self, offset: int) -> int | None:
        """The file's own address of the byte at a file offset; None when it is in no loaded part."""
        return self._elf.address_at(offset)

    def variable(self, name: str) -> tuple[int, int] | None:
        """(address, size) of any defined symbol of that name: a variable, or a function."""
        for elf in self._files():
            for table in elf.tables():
                for symbol in table.named(name):
                    if symbol.is_defined:
                        return symbol.value, symbol.size
        return None

    def function_at(self, address: int) -> str | None:
        """The name of the function that covers an address."""
        found = self.function_around(address)
        return None if found is None else found[0]

    def function_around(self, address: int) -> tuple[str, int] | None:
        """(the function that covers an address, how many bytes into it)."""
        if self._index is None:
            self._index = self._elf.addresses()
        return self._index.find(address)

    def is_code(self, address: int) -> bool:
        """Whether an address lies in a part of the file that is executed."""
        return self._elf.is_executable(address)

    @property
    def machine(self) -> int:
        """The number of the architecture (e_machine)."""
        return self._elf.machine

    def code(self, address: int, size: int) -> bytes:
        """So many bytes of the file from an address on, or as many as there are."""
        offset = self.file_offset(address)
        return b"" if offset is None else bytes(self._elf._data[offset : offset + size])

    def dwarf(self) -> Dwarf | None:
        """The debug information, of the binary itself or of a separate file; None when there is none."""
        from cygnet.elf.dwarf import Dwarf

        for elf in self._with_debug():
            found = Dwarf(elf)
            try:
                if found.present:
                    return found
            except ElfError:  # damaged: as good as none
                continue
        return None

    def _with_debug(self) -> Iterator[Elf]:
        yield self._elf
        if self._extra is None:
            self._extra = list(_separate(self._elf))
        yield from self._extra

    def _functions(self) -> Iterator[Symbol]:
        for elf in self._files():
            for symbol in elf.symbols():
                if symbol.is_function and symbol.is_defined:
                    yield symbol

    def _files(self) -> Iterator[Elf]:
        """The binary itself, then, only where it has no full table, what holds one for it."""
        yield self._elf
        if self._elf.table(".symtab") is None:
            if self._extra is None:
                self._extra = list(_separate(self._elf))
            yield from self._extra


def _separate(elf: Elf) -> Iterator[Elf]:
    from cygnet.elf.lookup import debug_file, mini_debug_info

    try:
        path = debug_file(elf)
        if path is not None:
            yield Elf.open(path)
        mini = mini_debug_info(elf)
        if mini is not None:
            yield mini
    except (ElfError, OSError):  # without the extra names the binary's own still serve
        return
