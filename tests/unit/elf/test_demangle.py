"""C++ and Rust names; GNU's c++filt is the witness."""

from __future__ import annotations

import random
import subprocess

import pytest

from cygnet.elf import Elf
from cygnet.elf.cxx import demangle_cxx
from cygnet.elf.demangle import demangle
from cygnet.elf.lookup import find_library

NAMES = [
    ("main", "main"),
    ("_start", "_start"),
    ("_ZN4pond4Swan5glideEi", "pond::Swan::glide(int)"),
    ("_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back(int const&)"),
    ("_ZN3Foo3barEv.part.0.cold", "Foo::bar() [clone .part.0] [clone .cold]"),
    ("_ZNK3Foo3barEOS_", "Foo::bar(Foo&&) const"),
    ("_ZZ3fooiE1x_0", "foo(int)::x"),
    ("_Z1fPFvPFciEE", "f(void (*)(char (*)(int)))"),
    ("_Z1fRA3_KiM1AKFvdE", "f(int const (&) [3], void (A::*)(double) const)"),
    ("_ZGVZ1fvE1s", "guard variable for f()::s"),
    ("_ZThn16_N1A1gEv", "non-virtual thunk to A::g()"),
    ("_ZN1AcvPKcEv", "A::operator char const*()"),
    ("_ZNKUlvE_clEv", "{lambda()#1}::operator()() const"),
    ("_Z1fIJiPcdEEvDpT_", "void f<int, char*, double>(int, char*, double)"),
    ("_Z1fILi3ELb1EEvv", "void f<3, true>()"),
    ("_Zbroken", "_Zbroken"),
    ("_Z", "_Z"),
    ("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt"),
    (
        "_ZN50_$LT$T$u20$as$u20$core..convert..Into$LT$U$GT$$GT$4into17h0123456789abcdefE",
        "<T as core::convert::Into<U>>::into",
    ),
    ("_RNvC6_123foo3bar", "_RNvC6_123foo3bar"),
]


@pytest.mark.parametrize(("name", "text"), NAMES)
def test_names(name: str, text: str) -> None:
    assert demangle(name) == text


@pytest.fixture(scope="module")
def library_names() -> list[str]:
    path = find_library("stdc++")
    assert path is not None
    with Elf.open(path) as elf:
        return sorted({symbol.name for symbol in elf.symbols() if symbol.name.startswith("_Z")})


def filtered(names: list[str]) -> list[str]:
    command = ["c++filt", "--no-strip-underscore", "--no-verbose"]
    text = subprocess.run(command, input="\n".join(names), capture_output=True, text=True, check=True).stdout
    return text.splitlines()


def test_the_whole_c_plus_plus_library_reads_as_cxxfilt_writes_it(library_names: list[str]) -> None:
    assert len(library_names) > 1000
    different = [
        (name, ours, theirs)
        for name, theirs in zip(library_names, filtered(library_names), strict=True)
        if (ours := demangle(name)) != theirs
    ]
    assert not different


@pytest.mark.parametrize("seed", range(40))
def test_damaged_names_are_read_or_given_back(library_names: list[str], seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(50):
        name = list(chance.choice(library_names))
        for _ in range(chance.choice((1, 2, 5))):
            name[chance.randrange(2, len(name))] = chance.choice("SITEJDpNZXL_0123456789iKPRFA")
        assert isinstance(demangle_cxx("".join(name)), str | None)


def test_names_that_would_grow_without_end_are_given_back() -> None:
    doubling = "_Z1f" + "I1AIiEEv" + "St4pairI" + "S0_S0_E" * 1
    for _ in range(40):
        doubling += "St4pairIS_S_E"
    packs = "_Z1fIJ" + "i" * 40 + "EEv" + "Dp" * 30 + "T_"
    deep = "_Z1f" + "P" * 5000 + "i"
    for name in (doubling, packs, deep, "_Z" + "N" * 3000, "_ZL" + "I" * 3000, "_Z1fIX" + "ad" * 3000):
        assert isinstance(demangle(name), str)
