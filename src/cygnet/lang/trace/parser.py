"""The parser's face: text to `ast.Program`, all errors of a text at once."""

from __future__ import annotations

import gc

from cygnet.errors import TraceSyntaxError
from cygnet.lang.trace.ast import (
    Block,
    CDefine,
    CDirective,
    Config,
    ConfigEntry,
    CType,
    Expr,
    Fn,
    Ident,
    Import,
    Macro,
    MapDecl,
    MapRef,
    Param,
    Probe,
    Program,
    Var,
)
from cygnet.lang.trace.lexer import LETTERS, WORD
from cygnet.lang.trace.parser_attach import attach_points, skip_blank
from cygnet.lang.trace.parser_base import MAX_HEIGHT, height
from cygnet.lang.trace.parser_stmt import StmtParser
from cygnet.source import Source, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T", Program, Expr)
    U = TypeVar("U", Config, Import)

MAX_CHARACTERS = 1 << 20  # a script of this size takes two seconds; a long published one has 20,000
_MANY_CHARACTERS = 100_000
_C_WORDS = frozenset(("struct", "union", "enum", "typedef"))
_CONFIG_VALUES = frozenset(("IDENT", "INT", "STR", "true", "false"))


def parse(source: Source) -> Program:
    """The syntax tree of a whole script. Raises SourceErrors with every TraceSyntaxError found, in the text's order."""
    parser = Parser(source)
    return parser.guarded(parser.program)


def parse_expression(source: Source, span: Span | None = None) -> Expr:
    """The expression in `span` (default: the whole text), such as the body of a ``#define``. Raises SourceErrors."""
    start, stop = (span.start, span.end) if span else (0, len(source.text))
    parser = Parser(source)
    return parser.guarded(lambda: parser.lone_expression(start, stop))


class Parser(StmtParser):
    __slots__ = ("inside", "pos", "stage")

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.pos = 0  # where the next thing of the top level is to be read
        self.inside = False  # within the braces of an item, so that an error leaves nothing more to read in it
        self.stage = 0  # 0: C text, 1: config and imports, 2: all the rest
        self.prepare()

    def guarded(self, work: Callable[[], T]) -> T:
        """Run `work`; raise all that was noted, or a last error that nothing caught, as one SourceErrors."""
        many = len(self.text) > _MANY_CHARACTERS and gc.isenabled()
        if many:
            gc.disable()  # it would look at the growing tree again and again: half of the time
        try:
            self._refuse_oddities()
            result = work()
            if self.steep and not self.errors and height(result) > MAX_HEIGHT:
                self.errors.append(TraceSyntaxError("nested too deep", result.span))
        except TraceSyntaxError as error:
            self.errors.append(error)
        except RecursionError:
            # MAX_DEPTH is meant to come first; a caller that is deep in calls itself may make this possible.
            self.errors.append(TraceSyntaxError("nested too deep", self.span(self.at)))
        finally:
            if many:
                gc.enable()
        if self.errors:
            self.give_up()
        return result

    def _refuse_oddities(self) -> None:
        text = self.text
        if len(text) > MAX_CHARACTERS:
            message = f"the script is too long: the most that is read is {MAX_CHARACTERS:,} characters"
            raise TraceSyntaxError(message, Span(self.source, 0, 1))
        nul = text.find("\0")
        if nul >= 0:
            raise TraceSyntaxError(
                "the script holds a NUL character: is it a binary file?", Span(self.source, nul, nul + 1)
            )

    def lone_expression(self, start: int, stop: int) -> Expr:
        self.load(start, limit=stop)
        result = self.expr()
        if self.kinds[self.at] != "END":
            self.fail("the end of the expression")
        return result

    # ---------------------------------------------------------------------------------------------------- top level

    def program(self) -> Program:
        shebang = self._shebang()
        c_defs: list[CDirective | CDefine | CType] = []
        imports: list[Import] = []
        items: list[MapDecl | Macro | Fn | Probe] = []
        config: Config | None = None
        while True:
            start = self.pos
            try:
                self.pos = start = skip_blank(self.source, self.pos)
                if start >= len(self.text):
                    break
                self.depth = 0
                self.inside = False
                item = self._item()
            except TraceSyntaxError as error:
                self.note(error)
                self._next_item(start)
                continue
            if isinstance(item, (CDirective, CDefine, CType)):
                c_defs.append(item)
            elif isinstance(item, Import):
                imports.append(item)
            elif isinstance(item, Config):
                if config is not None:
                    self.note(TraceSyntaxError("a second `config` block", item.span, ("one block holds all settings",)))
                config = item
            elif item is not None:
                items.append(item)
        return Program(Span(self.source, 0, len(self.text)), shebang, c_defs, config, imports, items)

    def _shebang(self) -> str:
        if self.text.startswith("\ufeff"):
            self.pos = 1
        if not self.text.startswith("#!", self.pos):
            return ""
        end = self.text.find("\n", self.pos)
        line = self.text[self.pos : end if end >= 0 else len(self.text)]
        self.pos += len(line)
        return line.rstrip()

    def _item(self) -> CDirective | CDefine | CType | Config | Import | MapDecl | Macro | Fn | Probe | None:
        start = self.pos
        text = self.text
        if text[start] == "#":
            return self._c_text(start, "#")
        if text[start] == ";":
            self.pos += 1
            return None
        end = start
        while end < len(text) and text[end] in WORD:
            end += 1
        word = text[start:end]
        if word in _C_WORDS:
            return self._c_text(start, word)
        if word == "config":
            return self._staged(1, "`config`", self._config)
        if word == "import":
            return self._staged(1, "`import`", self._import)
        self.stage = 2
        if word == "let":
            return self._map_decl()
        if word == "macro":
            return self._macro()
        if word == "fn":
            return self._fn()
        return self._probe(start, end)

    def _c_text(self, start: int, word: str) -> CDirective | CDefine | CType | None:
        from cygnet.lang.trace.parser_c import after_type, c_directive, c_type

        item: CDirective | CDefine | CType
        try:
            item, self.pos = c_directive(self.source, start) if word == "#" else c_type(self.source, start)
        except TraceSyntaxError as error:
            self.note(error)
            self.pos = after_type(self.source, start) if word != "#" else start + len(self._first_line_text(start))
            return None
        if word == "typedef":
            self.own_types.add(item.name)  # type: ignore[union-attr]
        if self.stage > 0:
            hints = ("C text stands at the head of the script, before config, imports and probes",)
            self.note(TraceSyntaxError("C text after the head of the script", self._first_line(item.span), hints))
        return item

    def _first_line_text(self, start: int) -> str:
        end = self.text.find("\n", start)
        return self.text[start : end if end >= 0 else len(self.text)]

    def _first_line(self, span: Span) -> Span:
        end = self.text.find("\n", span.start, span.end)
        return Span(self.source, span.start, end) if end >= 0 else span

    def _staged(self, stage: int, what: str, read: Callable[[], U]) -> U:
        item = read()
        if self.stage > stage:
            hints = ("it stands before all probes, macros, map declarations and functions",)
            self.note(TraceSyntaxError(f"{what} after the head of the script", self._first_line(item.span), hints))
        self.stage = max(self.stage, stage)
        return item

    def _next_item(self, start: int) -> None:
        """After an error: on to what follows the block that was begun, or to the end."""
        if self.inside:
            self.pos = max(self.tokens.stop, start + 1)
            return
        brace = self.text.find("{", max(self.pos, start))
        if brace < 0:
            self.pos = len(self.text)
            return
        self.load(brace)
        self.depth = 0
        try:
            self.pos = max(self._body(False).span.end, start + 1)
        except TraceSyntaxError as error:
            self.note(error)
            self.pos = max(self.tokens.stop, start + 1)

    # ------------------------------------------------------------------------------------------ config, import, let

    def _config(self) -> Config:
        start = self.pos
        self.load(start)
        self.take("config")
        self.take("=")
        self.take("{")
        self.inside = True
        entries: list[ConfigEntry] = []
        while self.kinds[self.at] != "}":
            at = self.name("the name of a setting or `}`")
            self.take("=")
            kind = self.kinds[self.at]
            if kind not in _CONFIG_VALUES:
                self.fail("a number, a word or a string")
            value = Ident(self.span(self.at), self.word(self.at)) if kind == "IDENT" else self.postfix()
            if kind == "IDENT":
                self.at += 1
            entries.append(ConfigEntry(self.since(self.starts[at]), self.word(at), value))
            if self.kinds[self.at] != "}":
                self.take(";", "`;` or `}`")
        self.at += 1
        self.pos = self.ends[self.at - 1]
        return Config(self.since(start), tuple(entries))

    def _import(self) -> Import:
        self.load(self.pos)
        item = self.s_import(False)
        self._semicolon()
        return item

    def _map_decl(self) -> MapDecl:
        start = self.pos
        self.load(start)
        self.at += 1
        if self.kinds[self.at] == "VAR":
            self.fail("a map", ("outside of probes only maps are declared: `let @m = hash(100);`",))
        at = self.take("MAP", "a map")
        self.take("=")
        kind = self.word(self.take("IDENT", "a kind of map, such as hash or lruhash"))
        if self.kinds[self.at] != "(":
            self.fail("`(`")
        args = self.arguments()
        item = MapDecl(self.since(start), MapRef(self.span(at), self.word(at)), kind, args)
        self._semicolon()
        return item

    def _semicolon(self) -> None:
        self.pos = self.ends[self.at - 1]
        if self.kinds[self.at] == ";":
            self.at += 1
            self.pos = self.ends[self.at - 1]
        else:
            self.note(TraceSyntaxError("expected `;`", self.last_place()))

    # ---------------------------------------------------------------------------------------------------- macro, fn

    def _macro(self) -> Macro:
        start = self.pos
        self.load(start)
        self.at += 1
        name = self.word(self.take("IDENT", "the name of the macro"))
        self.take("(")
        params: list[Expr] = []
        while self.kinds[self.at] != ")":
            params.append(self._macro_param())
            if self.kinds[self.at] != ",":
                break
            self.at += 1
        self.take(")", "`,` or `)`")
        body = self._body(True)
        return Macro(self.since(start), name, tuple(params), body)

    def _macro_param(self) -> Expr:
        kind = self.kinds[self.at]
        if kind not in ("VAR", "MAP", "IDENT"):
            self.fail("a parameter: $name, @name or name")
        at = self.at
        self.at += 1
        cls = Var if kind == "VAR" else MapRef if kind == "MAP" else Ident
        return cls(self.span(at), self.word(at))

    def _fn(self) -> Fn:
        start = self.pos
        self.load(start)
        self.at += 1
        name = self.word(self.take("IDENT", "the name of the function"))
        self.take("(")
        params: list[Param] = []
        while self.kinds[self.at] != ")":
            at = self.take("VAR", "a parameter: $name: type")
            self.take(":", "`:` and the parameter's type")
            target = self.type_name()
            params.append(Param(self.since(self.starts[at]), Var(self.span(at), self.word(at)), target))
            if self.kinds[self.at] != ",":
                break
            self.at += 1
        self.take(")", "`,` or `)`")
        result = None
        if self.kinds[self.at] == ":":
            self.at += 1
            result = self.type_name()
        body = self._body(False)
        return Fn(self.since(start), name, tuple(params), result, body)

    def _body(self, wanted: bool) -> Block:
        self.inside = True
        body = self.block(wanted)
        self.pos = self.ends[self.at - 1]
        return body

    # -------------------------------------------------------------------------------------------------------- probe

    def _probe(self, start: int, word_end: int) -> Probe:
        name, at = self._probe_name(start, word_end)
        points, self.pos = attach_points(self.source, at)
        text = self.text
        next_char = text[self.pos : self.pos + 1]
        predicate: Expr | None = None
        if next_char == "/":
            predicate = self._predicate()
        elif next_char == "{":
            self.load(self.pos)
        else:
            self._fail_header(next_char)
        body = self._body(False)
        return Probe(self.since(start), name, points, predicate, body)

    def _probe_name(self, start: int, word_end: int) -> tuple[str | None, int]:
        """``name =`` before the attach point, and where that begins."""
        equals = skip_blank(self.source, word_end)
        if word_end > start and self.text[start] in LETTERS and self.text[equals : equals + 1] == "=":
            if self.text[equals + 1 : equals + 2] != "=":
                return self.text[start:word_end], skip_blank(self.source, equals + 1)
        return None, start

    def _predicate(self) -> Expr | None:
        """From its opening slash to before the ``{``. An error in it is noted, and the body read nevertheless."""
        slash = self.pos
        self.load(slash + 1, predicate=True)
        try:
            result = self.expr()
            self.take("END/", "`/` and the probe's block", self._predicate_hint())
            return result
        except TraceSyntaxError as error:
            self.note(error)
            self.depth = 0
            kinds = self.kinds
            if "END/" in kinds:
                self.at = kinds.index("END/") + 1
                return None
            at = self.at
            while kinds[at] not in ("{", "END"):
                at += 1
            self.load(self.starts[at])
            return None

    def _predicate_hint(self) -> tuple[str, ...]:
        if self.kinds[self.at] == "/":
            return ("one predicate a probe: `/a && b/`",)
        if self.kinds[self.at] == "=":
            return ("`==` compares",)
        return ("a predicate is one expression between slashes: /pid == 123/",)

    def _fail_header(self, char: str) -> None:
        at = self.pos
        text = self.text
        end = at + 1
        while end < len(text) and text[end] in WORD and text[at] in WORD:
            end += 1
        if not char:
            where = Span(self.source, max(len(text.rstrip()) - 1, 0), max(len(text.rstrip()), 1))
            raise TraceSyntaxError("unexpected end of the text, expected `{`", where, ("every probe has a block",))
        hints: tuple[str, ...] = ()
        if char in LETTERS or char == "*":
            hints = ("attach points are divided by commas; one that holds a blank stands in quotation marks",)
        where = Span(self.source, at, end)
        raise TraceSyntaxError(f"unexpected `{text[at:end]}`, expected `,`, `{{` or `/`", where, hints)
