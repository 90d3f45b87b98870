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
    ("_RNvC6_123foo3bar", "123foo::bar"),
    ("_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar"),
    ("_RNCNCNgCs6DXkGYLi8lr_2cc5spawn00B5_", "cc::spawn::{closure#0}::{closure#0}"),
    ("_RNvXs_C4cratNtB4_5ThingNtB4_5Trait4work", "<crat::Thing as crat::Trait>::work"),
    ("_RNvMC4cratNtB2_5Thing4work", "<crat::Thing>::work"),
    ("_RINvC4crat3mapKj3_KhFF_Kan1_Kb1_Kc61_E", "_RINvC4crat3mapKj3_KhFF_Kan1_Kb1_Kc61_E"),  # upper case digits
    ("_RINvC4crat3mapKj3_Khff_Kan1_Kb1_Kc61_KpE", "crat::map::<3, 255, -1, true, 'a', _>"),
    ("_RINvC4crat1fRL_eQhPhOhE", "crat::f::<&str, &mut u8, *const u8, *mut u8>"),
    ("_RINvC4crat1fAhj4_ShTThbEEuE", "crat::f::<[u8; 4], [u8], ((u8, bool),), ()>"),
    ("_RINvC4crat1fFUKCRhmEuFEzE", 'crat::f::<unsafe extern "C" fn(&u8, u32), fn() -> !>'),
    ("_RINvC4crat1fFG_RL0_hEuE", "crat::f::<for<'a> fn(&'a u8)>"),
    ("_RINvC4crat1fDNtC4core4SendNtC4core4SyncEL_E", "crat::f::<dyn core::Send + core::Sync>"),
    ("_RINvC4crat1fDINtC4core4IterhEp4ItembEL_E", "crat::f::<dyn core::Iter<u8, Item = bool>>"),
    ("_RINvC4crat1fDNtC4core4Iterp4ItembEL_E", "crat::f::<dyn core::Iter<Item = bool>>"),
    ("_RNvNtNtC4crat5inner7__intern1x", "crat::inner::_intern::x"),
    ("_RNvC4cratu8gdel_5qa", "crat::gödel"),
    ("_RNvC4crat3foo.llvm.1234567", "crat::foo"),
    ("_RNvC4crat3foo.cold", "crat::foo.cold"),
    ("_RNvB_3foo", "_RNvB_3foo"),  # refers to itself
    ("_RNvC4crat99foo", "_RNvC4crat99foo"),
    ("_R", "_R"),
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


def test_rust_reads_as_cxxfilt_writes_it() -> None:
    """But for what follows a dot, which c++filt leaves out, and what it cannot read."""
    names = [name for name, _ in NAMES if name.startswith("_R") and "." not in name]
    theirs = filtered(names)
    different = [
        (name, demangle(name), their)
        for name, their in zip(names, theirs, strict=True)
        if demangle(name) != their and their != name
    ]
    assert not different
    assert sum(name != their for name, their in zip(names, theirs, strict=True)) > 12


@pytest.mark.parametrize("seed", range(20))
def test_damaged_rust_names_are_read_or_given_back(seed: int) -> None:
    chance = random.Random(seed)
    good = [name for name, _ in NAMES if name.startswith("_R")]
    for _ in range(50):
        name = list(chance.choice(good))
        for _ in range(chance.choice((1, 2, 5))):
            name[chance.randrange(2, len(name) + 1) - 1] = chance.choice("CNMXYIBLKEGUTASRQPOFDspn_0123456789u")
        assert isinstance(demangle("".join(name)), str)


def test_rust_names_that_would_grow_without_end_are_given_back() -> None:
    doubling, last = "_RINvC1a1b", "h"
    text = "_RINvC1a1bTTTTTTTTTThhEB9_EB8_EB7_EB6_EB5_EB4_EB3_EE"
    for name in (text, doubling + "T" * 3000 + last, "_RNvB0_1a", "_RINvC1a1b" + "R" * 5000 + "hE", "_R" + "I" * 4000):
        assert isinstance(demangle(name), str)
