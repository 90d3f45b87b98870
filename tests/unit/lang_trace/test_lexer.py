from __future__ import annotations

import pytest

from cygnet.errors import TraceSyntaxError
from cygnet.lang.trace.lexer import Tokens, scan
from cygnet.lang.trace.literals import int_value, quote, string_value
from cygnet.source import Source


def tokens(text: str, **options: object) -> Tokens:
    return scan(Source("t", text), text + "\0\0", 0, **options)  # type: ignore[arg-type]


def kinds(text: str, **options: object) -> list[str]:
    return tokens(text, **options).kinds[:-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("a b1 _c", "IDENT IDENT IDENT"),
        ("if iff", "if IDENT"),
        ("$a @b @ $1 $# $12", "VAR MAP MAP PARAM PARAM PARAM"),
        ("1 0x1f 1e6 10ms 1_000", "INT INT INT INT INT"),
        ('"" "a" "a\\"b" "\\\\"', "STR STR STR STR"),
        ("a+++b", "IDENT ++ + IDENT"),
        ("a---b", "IDENT -- - IDENT"),
        ("a<<=b>>=c<<d>=e", "IDENT <<= IDENT >>= IDENT << IDENT >= IDENT"),
        ("a&&&b", "IDENT && & IDENT"),
        ("a..b.c->d", "IDENT .. IDENT . IDENT -> IDENT"),
        ("1..5", "INT .. INT"),
        ("$t.0.1", "VAR . INT . INT"),
        ("a?:b", "IDENT ? : IDENT"),
        ("a //b\nc", "IDENT IDENT"),
        ("a /*b\n*/ c /**/ d", "IDENT IDENT IDENT"),
        ("a / b", "IDENT / IDENT"),
        ("{a}b", "{ IDENT }"),  # up to the } that closes
        ("{{}a}b", "{ { } IDENT }"),
        ("a;b", "IDENT ;"),
        ("{a;b", "{ IDENT ; IDENT"),
        ("1 \\\n2", "INT INT"),
    ],
)
def test_kinds(text: str, expected: str) -> None:
    assert " ".join(kinds(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a/{}", "IDENT END/ { }"),
        ("a / b / \n /* c */ {}b", "IDENT / IDENT END/ { }"),
        ("(a / {1}) == b/{}c", "( IDENT / { INT } ) == IDENT END/ { }"),
        ("{a;b}/{}c", "{ IDENT ; IDENT } END/ { }"),
        ("a /b", "IDENT / IDENT"),
    ],
)
def test_the_end_of_a_predicate(text: str, expected: str) -> None:
    assert " ".join(kinds(text, predicate=True)) == expected


def test_a_limit_is_the_only_end() -> None:
    assert kinds("{1};{2}xyz", limit=7) == ["{", "INT", "}", ";", "{", "INT", "}"]


@pytest.mark.parametrize(
    ("text", "message", "where"),
    [
        ('a "b', "unterminated string", (2, 4)),
        ('"a\nb', "unterminated string", (0, 2)),
        ('"a\\', "unterminated string", (0, 3)),
        ("a /* b", "unterminated comment", (2, 4)),
        ("a ' b", "unexpected character `'`", (2, 3)),
        ("\x01\x02\x03", "unexpected character U+0001", (0, 3)),
        ("$ a", "`$` without a name", (0, 1)),
        ("@1", "`@` without a name", (0, 2)),
    ],
)
def test_faults(text: str, message: str, where: tuple[int, int]) -> None:
    found = tokens(text)
    (index,) = found.faults
    fault = found.faults[index]
    assert found.kinds[index] == "ERROR"
    assert fault.message == message
    assert fault.span is not None
    assert (fault.span.start, fault.span.end) == where


def test_a_text_of_faults_only_is_given_up() -> None:
    assert len(tokens("' " * 10_000).kinds) < 200


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("42", 42), ("18446744073709551615", 2**64 - 1), ("010", 8), ("0x1F", 31), ("0Xff", 255),
        ("1_000", 1000), ("0x1_0", 16), ("1e6", 10**6), ("9E3", 9000), ("1e0", 1), ("5u", 5), ("5UL", 5), ("5ull", 5),
        ("5llu", 5), ("0x5ul", 5), ("1e3u", 1000), ("0u", 0), ("1ns", 1), ("2us", 2000), ("3ms", 3 * 10**6),
        ("4s", 4 * 10**9), ("5m", 300 * 10**9), ("6h", 21600 * 10**9), ("7d", 7 * 86400 * 10**9), ("1_0ms", 10**7),
    ],
)  # fmt: skip
def test_numbers(text: str, value: int) -> None:
    assert int_value(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "12e3",
        "0e3",
        "1e20",
        "1e99999999",
        "08",
        "0x",
        "0xg",
        "1x",
        "1q",
        "18446744073709551616",
        "300000000d",
        "1e3s",
        "1e",
    ],
)
def test_no_numbers(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        int_value(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('""', b""),
        ('"a b"', b"a b"),
        (r'"\n\t\r\"\\"', b'\n\t\r"\\'),
        (r'"\x41\x4"', b"A\x04"),
        (r'"\101\0\7x"', b"A\0\x07x"),
        (r'"\xff\xc3\xa9"', b"\xff\xc3\xa9"),
        ('"é世"', "é世".encode()),
    ],
)
def test_strings(text: str, value: bytes) -> None:
    decoded = string_value(Source("s", text), 0, len(text))
    assert decoded.encode("utf-8", "surrogateescape") == value
    written = quote(decoded)
    assert string_value(Source("s", written), 0, len(written)) == decoded


@pytest.mark.parametrize(
    ("text", "span"), [(r'"a\qb"', (2, 4)), (r'"\x"', (1, 3)), (r'"\400"', (1, 5)), (r'"\8"', (1, 3))]
)
def test_unknown_escapes(text: str, span: tuple[int, int]) -> None:
    with pytest.raises(TraceSyntaxError, match="unknown escape") as caught:
        string_value(Source("s", text), 0, len(text))
    assert caught.value.span is not None
    assert (caught.value.span.start, caught.value.span.end) == span
