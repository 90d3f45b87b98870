"""The C text at the head of a script: kept as text, cut into directives, defines and type definitions."""

from __future__ import annotations

from cygnet.errors import TraceSyntaxError
from cygnet.lang.trace.ast import CDefine, CDirective, CType
from cygnet.lang.trace.lexer import LETTERS, WORD
from cygnet.lang.trace.parser_attach import skip_blank
from cygnet.source import Source, Span

C_WORDS = frozenset(("struct", "union", "enum", "typedef"))


def c_directive(source: Source, i: int) -> tuple[CDirective | CDefine, int]:
    """The preprocessor line at offset `i`, with its continuation lines, and the offset after it."""
    text = source.text
    end = _line_end(text, i)
    span = Span(source, i, len(text[:end].rstrip()) if end - i < 4096 else end)
    word_at = i + 1
    while text[word_at : word_at + 1] in (" ", "\t"):
        word_at += 1
    word_end = _word_end(text, word_at)
    if text[word_at:word_end] == "define":
        return _define(source, span, word_end, end), end
    return CDirective(span, text[span.start : span.end].rstrip()), end


def _define(source: Source, span: Span, i: int, end: int) -> CDefine:
    text = source.text
    while text[i : i + 1] in (" ", "\t") and i < end:
        i += 1
    name_end = _word_end(text, i)
    if name_end == i or text[i] not in LETTERS:
        raise TraceSyntaxError("expected a name after `#define`", Span(source, span.start, max(span.end, i)))
    name = text[i:name_end]
    params: tuple[str, ...] | None = None
    i = name_end
    if text[i : i + 1] == "(":
        close = text.find(")", i, end)
        if close < 0:
            raise TraceSyntaxError("expected `)`", Span(source, i, i + 1))
        inside = text[i + 1 : close].replace("\\\n", " ").strip()
        params = tuple(part.strip() for part in inside.split(",")) if inside else ()
        i = close + 1
    body = strip_comments(text[i:end])
    lead = len(text[i:end]) - len(text[i:end].lstrip())
    return CDefine(span, name, params, body, Span(source, i + lead, max(i + lead, span.end)))


def strip_comments(text: str) -> str:
    """One line without comments and continuations, as the C preprocessor would see it."""
    out: list[str] = []
    i = 0
    text = text.replace("\\\r\n", " ").replace("\\\n", " ")
    while i < len(text):
        if text[i] in "\"'":
            end = _string_end(text, i)
            out.append(text[i:end])
            i = end
        elif text.startswith("//", i):
            break
        elif text.startswith("/*", i):
            close = text.find("*/", i + 2)
            out.append(" ")
            i = close + 2 if close >= 0 else len(text)
        else:
            out.append(text[i])
            i += 1
    return "".join(out).strip()


def c_type(source: Source, i: int) -> tuple[CType, int]:
    """The definition that begins with struct, union, enum or typedef at offset `i`, and the offset after it.

    The ``;`` after a ``}`` may be left out, as many scripts do.
    """
    text = source.text
    keyword = text[i : _word_end(text, i)]
    if keyword == "typedef":
        return _typedef(source, i)
    name, brace = _type_name(source, i + len(keyword), keyword)
    if brace is None:
        end = text.find(";", i)
        return CType(Span(source, i, end + 1), keyword, name, text[i : end + 1]), end + 1
    end = _closing(source, brace)
    end = _attributes_end(source, end)
    after = skip_blank(source, end)
    if text[after : after + 1] == ";":
        return CType(Span(source, i, after + 1), keyword, name, text[i:end] + ";"), after + 1
    return CType(Span(source, i, end), keyword, name, text[i:end] + ";"), end


def _typedef(source: Source, i: int) -> tuple[CType, int]:
    """A typedef, up to its ``;``. Its name is "" where it declares a pointer to a function or several names."""
    text = source.text
    end = i
    while text[end : end + 1] != ";":
        if text[end : end + 1] == "":
            raise TraceSyntaxError("expected `;` after the typedef", Span(source, i, i + len("typedef")))
        if text[end] in "({[":
            end = _closing(source, end)
        else:
            end = max(skip_blank(source, end), end + 1) if text[end] in "/ \t\r\n" else end + 1
    words = text[i:end].split()
    name = words[-1].strip("*") if words[-1].strip("*").isidentifier() and "," not in text[i:end] else ""
    return CType(Span(source, i, end + 1), "typedef", name, text[i : end + 1]), end + 1


def after_type(source: Source, i: int) -> int:
    """Where to go on after a definition at `i` that could not be read."""
    brace = source.text.find("{", i)
    if brace < 0:
        return len(source.text)
    try:
        return _closing(source, brace)
    except TraceSyntaxError:
        return len(source.text)


def _type_name(source: Source, i: int, keyword: str) -> tuple[str, int | None]:
    """The name before ``{`` and where that is; None when ``;`` comes first."""
    text = source.text
    name = ""
    while True:
        i = skip_blank(source, i)
        char = text[i : i + 1]
        if char == "{":
            return name, i
        if char == ";" and name:
            return name, None
        if char in LETTERS and char:
            end = _word_end(text, i)
            word = text[i:end]
            if word == "__attribute__":
                end = _closing(source, skip_blank(source, end))
            else:
                name = word
            i = end
        elif char == ":":  # enum x : unsigned char {…}
            i += 1
        else:
            where = Span(source, min(i, len(text) - 1), min(i + 1, len(text)))
            what = f"unexpected `{char}`" if char else "unexpected end of the text"
            raise TraceSyntaxError(f"{what}, expected `{{` of the {keyword}'s definition", where)


def _attributes_end(source: Source, i: int) -> int:
    """Over ``__attribute__((packed))`` and its like, and over words that end with a ``;``: macros for them, variables."""
    text = source.text
    end = i
    while True:
        after = skip_blank(source, i)
        if text.startswith("__attribute__", after):
            end = i = _closing(source, skip_blank(source, after + len("__attribute__")))
            continue
        i = _word_end(text, after)
        if i == after:
            return after if text[after : after + 1] == ";" else end


def _closing(source: Source, i: int) -> int:
    """The offset after the bracket that closes the one at `i`."""
    text = source.text
    start = i
    level = 0
    while i < len(text):
        char = text[i]
        if char in "{([":
            level += 1
        elif char in "})]":
            level -= 1
            if level <= 0:
                return i + 1
        elif char == "/" and text[i + 1 : i + 2] in ("/", "*"):
            i = skip_blank(source, i)
            continue
        elif char in "\"'":
            i = _string_end(text, i)
            continue
        i += 1
    raise TraceSyntaxError(f"this `{text[start : start + 1] or '('}` is never closed", Span(source, start, start + 1))


def _string_end(text: str, i: int) -> int:
    mark = text[i]
    i += 1
    while i < len(text) and text[i] not in (mark, "\n"):
        i += 2 if text[i] == "\\" else 1
    return i + 1


def _word_end(text: str, i: int) -> int:
    while text[i : i + 1] in WORD and i < len(text):
        i += 1
    return i


def _line_end(text: str, i: int) -> int:
    """The end of the line, continuation lines and comments that reach over its end included."""
    while True:
        end = text.find("\n", i)
        if end < 0:
            return len(text)
        open_comment = text.rfind("/*", i, end)
        if open_comment >= 0 and text.find("*/", open_comment + 2, end) < 0 and "//" not in text[i:open_comment]:
            close = text.find("*/", open_comment + 2)
            if close < 0:
                return end
            i = close + 2
            continue
        if not text[i:end].rstrip("\r").endswith("\\"):
            return end
        i = end + 1
