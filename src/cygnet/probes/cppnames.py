"""Functions of a binary by their C++ or Rust names: in C++ ``ns::f`` means every overload, ``ns::f(int)`` one."""

from __future__ import annotations

from cygnet.probes.wildcard import matcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cygnet.probes.symbols import Symbols


def demangled(symbols: Symbols, pattern: str, language: str = "cpp") -> dict[str, list[int]]:
    """Name as its author wrote it (in C++ with parameters) → addresses, for every function that matches.

    A pattern without a parameter list is compared with names without theirs.
    """
    from cygnet.elf.demangle import demangle, is_rust

    test, found = matcher(pattern) if language == "rust" else _test(pattern), dict[str, set[int]]()
    for mangled, addresses in symbols.places(_prefilter(pattern, language)).items():
        if language == "rust" and not is_rust(mangled):
            continue
        name = demangle(mangled)
        if name != mangled and test(name):
            found.setdefault(name, set()).update(addresses)
    return {name: sorted(found[name]) for name in sorted(found)}


def _test(pattern: str) -> Callable[[str], bool]:
    wanted = matcher(pattern)
    if "(" in pattern.replace("operator()", ""):
        return wanted
    return lambda name: wanted(bare := without_parameters(name)) or wanted(without_result(bare))


def _prefilter(pattern: str, language: str) -> str:
    """A pattern for mangled names. The function's own name stands there as it is, but for constructors,
    destructors and operators; demangling all names of a large library would take a second."""
    start = "_Z" if language == "cpp" else "_"  # Rust's older names look like C++'s
    *owner, last = pattern.partition("(")[0].partition("<")[0].split("::")
    if not last.isidentifier() or last.startswith("operator") or owner[-1:] == [last]:
        return start + "*"
    return f"{start}*{last}*"


def without_parameters(name: str) -> str:
    """``ns::f(int) const`` without its last parenthesis; ``operator()`` stays."""
    end = name.rfind(")")
    depth = 0
    for at in range(end, -1, -1):
        depth += (name[at] == ")") - (name[at] == "(")
        if depth == 0 and end >= 0:
            return name[:at] if not name[:at].endswith("operator") else name[: end + 1]
    return name


def without_result(name: str) -> str:
    """``void f<int>`` without the type it returns, which only templates show."""
    depth = 0
    for at in range(len(name) - 1, -1, -1):
        char = name[at]
        depth += (char in ">)") - (char in "<(")
        if char == " " and depth == 0 and not name[:at].endswith("operator"):
            return name[at + 1 :]
    return name
