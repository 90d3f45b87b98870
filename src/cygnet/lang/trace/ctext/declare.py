"""Definitions of C types: struct, union, enum, typedef; from their text to the language's types."""

from __future__ import annotations

from cygnet.errors import SourceErrors, TraceSyntaxError, TraceTypeError
from cygnet.lang.trace import types as T
from cygnet.lang.trace.ctext.constant import Evaluator
from cygnet.lang.trace.ctext.layout import Array, Done, Member, Named, Pointer, TextRecord, place
from cygnet.lang.trace.ctext.tokens import END, Stream, Token, expand, tokenize
from cygnet.lang.trace.records import CEnum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cygnet.lang.trace.ast import CDefine, CType
    from cygnet.lang.trace.records import CTypes
    from cygnet.lang.trace.types import Type

    Node = Done | Named | Pointer | Array

_BASE = frozenset(("void", "char", "short", "int", "long", "float", "double", "signed", "unsigned", "_Bool", "bool",
                   "__int128"))  # fmt: skip
#: words that say nothing about a layout
_QUALIFIERS = frozenset((
    "const", "volatile", "restrict", "__restrict", "__const", "static", "extern", "inline", "register", "__user",
    "__kernel", "__rcu", "__percpu", "__iomem", "__force", "__nocast", "__bitwise", "__private", "__refcounted",
    "__randomize_layout", "__no_randomize_layout", "__ro_after_init", "__read_mostly", "__always_unused",
    "__maybe_unused", "__extension__", "_Atomic", "__hot", "__cold", "__counted_by",
))  # fmt: skip
_CACHE_LINE = 64
_DEEPEST = 64  # definitions or brackets within one another


class _Marks:
    """What attributes say."""

    __slots__ = ("align", "packed")

    def __init__(self) -> None:
        self.align = 0
        self.packed = False


class Definer:
    """Adds a program's own types to `types`."""

    def __init__(self, types: CTypes, macros: Mapping[str, CDefine]) -> None:
        self.types = types
        self.macros = macros
        self.typedefs: dict[str, Node] = {}
        self.texts: dict[str, str] = {}
        self.enumerators: dict[str, int] = {}
        self.stream = Stream([], None)  # type: ignore[arg-type]
        self._nameless = 0
        self._depth = 0

    def define_all(self, items: list[CType]) -> None:
        """Raises SourceErrors with all that is wrong."""
        errors: list[TraceSyntaxError | TraceTypeError] = []
        for item in items:
            try:
                self.define(item)
            except (TraceSyntaxError, TraceTypeError) as error:
                errors.append(error)
            except RecursionError:
                errors.append(TraceSyntaxError("nested too deep", item.span))
        for name, node in self.typedefs.items():
            try:
                self.types.own.setdefault(name, self.to_type(node))
            except TraceTypeError as error:
                errors.append(error)
        if errors:
            raise SourceErrors(errors)

    def define(self, item: CType) -> None:
        key = f"{item.keyword} {item.name}"
        if item.name and "{" in item.text:
            known = self.texts.get(key)
            if known is not None and known.split() != item.text.split():
                raise TraceTypeError(f"redefinition of '{key}'", item.span)
            if known is not None:
                return
            self.texts[key] = item.text
        self.stream = Stream(expand(tokenize(item.text, item.span.start), self.macros), item.span.source)
        self._depth = 0
        typedef = self.stream.skip("typedef")
        marks = _Marks()
        node = self.specifier(marks)
        while self.stream.now is not END and not self.stream.skip(";"):
            name, whole = self.declarator(node, marks)
            if typedef and name is not None:
                self.typedefs[name.text] = whole
                if isinstance(whole, Done) and whole.type.kind in ("struct", "enum") and not whole.type.extra.name:
                    whole.type.extra.name = name.text
            if not self.stream.skip(","):
                self.stream.skip(";")
                break

    # -- specifiers -------------------------------------------------------------------------------

    def specifier(self, marks: _Marks) -> Node:
        """``const struct x``, ``unsigned long``, ``u32``, or a definition in place."""
        stream = self.stream
        words: list[str] = []
        node: Node | None = None
        while True:
            token = stream.now
            if token.kind != "word":
                break
            if token.text in ("struct", "union", "enum") and node is None and not words:
                stream.next()
                node = self._tagged(token, marks)
            elif token.text in _BASE:
                words.append(stream.next().text)
            elif self._mark(marks) or self._qualifier():
                continue
            elif token.text in ("typeof", "__typeof__", "__typeof"):
                raise TraceSyntaxError("typeof is not understood in C text", stream.span(token))
            elif node is None and not words:
                node = Named("", stream.next().text, token)
            else:
                break
        if words:
            return Done(_base_type(words))
        if node is None:
            raise stream.unexpected("a type")
        return node

    def _qualifier(self) -> bool:
        if self.stream.now.text not in _QUALIFIERS:
            return False
        if self.stream.next().text == "__counted_by" and self.stream.now.text == "(":
            self.stream.skip_brackets()
        return True

    def _mark(self, marks: _Marks) -> bool:
        """Over an attribute, if one is next."""
        stream = self.stream
        word = stream.now.text
        if word in ("__attribute__", "__attribute"):
            stream.next()
            self._attributes(stream.skip_brackets(), marks)
        elif word == "__packed":
            stream.next()
            marks.packed = True
        elif word in ("__aligned", "_Alignas", "alignas"):
            stream.next()
            self._aligned(stream.skip_brackets(), marks)
        elif word in ("____cacheline_aligned", "____cacheline_aligned_in_smp", "__cacheline_aligned"):
            stream.next()
            marks.align = max(marks.align, _CACHE_LINE)
        else:
            return False
        return True

    def _attributes(self, tokens: list[Token], marks: _Marks) -> None:
        """What stands in ``__attribute__(( … ))``."""
        outer, self.stream = self.stream, Stream(tokens, self.stream.source)
        inside = self.stream
        while inside.now is not END:
            word = inside.next().text.strip("_")
            if word == "packed":
                marks.packed = True
            elif word == "aligned":
                self._aligned(inside.skip_brackets() if inside.now.text == "(" else [], marks)
            elif word == "(":
                continue  # the second of the two brackets
            elif inside.now.text == "(":
                inside.skip_brackets()
        self.stream = outer

    def _aligned(self, tokens: list[Token], marks: _Marks) -> None:
        number = self._constant(Stream(tokens, self.stream.source)) if tokens else 16
        if number <= 0 or number & (number - 1) or number > 1 << 20:
            raise TraceSyntaxError("an alignment is a power of two", self.stream.span(tokens[0]))
        marks.align = max(marks.align, number)

    def _tagged(self, keyword: Token, marks: _Marks) -> Node:
        """After ``struct``, ``union`` or ``enum``."""
        stream = self.stream
        own = _Marks()
        while self._mark(own):
            pass
        name = stream.next() if stream.now.kind == "word" else None
        while self._mark(own):
            pass
        if keyword.text == "enum" and stream.now.text == ":":
            stream.next()
            base = self.to_type(self.specifier(_Marks()))
            return self._enum(name, base)
        if stream.now.text != "{":
            if name is None:
                raise stream.unexpected(f"the name of the {keyword.text} or `{{`")
            self.types.declared.add(name.text)
            return Named(keyword.text, name.text, name)
        if keyword.text == "enum":
            return self._enum(name, None)
        return self._record(keyword, name, own)

    def _record(self, keyword: Token, name: Token | None, marks: _Marks) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise TraceSyntaxError("nested too deep", self.stream.span(keyword))
        record = TextRecord(keyword.text, name.text if name else "", self.to_type)
        self.stream.take("{")
        members: list[Member] = []
        while not self.stream.skip("}"):
            if self.stream.now is END:
                raise self.stream.unexpected("`}`")
            members += self._members()
        self._check_names(members)
        while self._mark(marks):
            pass
        place(record, members, self.measure, packed=marks.packed, align=marks.align)
        self._depth -= 1
        type = record.type(T.KERNEL)
        if name is not None:
            self.types.own[f"{keyword.text} {name.text}"] = type
        return Done(type, record.align)

    def _check_names(self, members: list[Member]) -> None:
        names: set[str] = set()
        for member in members:
            if member.name in names:
                raise TraceSyntaxError(f"duplicate member '{member.name}'", self.stream.span(member.token))
            if member.name:
                names.add(member.name)

    def _members(self) -> list[Member]:
        """One declaration within a record."""
        stream = self.stream
        if stream.skip(";"):
            return []
        if stream.now.text in ("_Static_assert", "static_assert"):
            stream.next()
            stream.skip_brackets()
            stream.skip(";")
            return []
        marks = _Marks()
        first = stream.now
        node = self.specifier(marks)
        if stream.skip(";"):  # an anonymous record, or a bare tag that declares nothing
            anonymous = isinstance(node, Done) and node.type.kind == "struct" and not node.type.extra.name
            return [Member("", node, -1, first)] if anonymous else []
        out = []
        while True:
            out.append(self._member(node, marks))
            if not stream.skip(","):
                break
        if stream.now.text != "}":  # compilers, too, only warn of a last one that is left out
            stream.take(";")
        return out

    def _member(self, node: Node, marks: _Marks) -> Member:
        stream = self.stream
        at = stream.now
        own = _Marks()
        own.align, own.packed = marks.align, marks.packed
        bits = -1
        name = None
        if at.text != ":":
            name, node = self.declarator(node, own)
        if stream.skip(":"):
            bits = self._bits(node, name)
            while self._mark(own):
                pass
        if name is None and bits < 0:
            raise stream.unexpected("the name of a member")
        member = Member(name.text if name else "", node, bits, name or at)
        member.align, member.packed = own.align, own.packed
        return member

    def _bits(self, node: Node, name: Token | None) -> int:
        token = self.stream.now
        bits = self._constant(self.stream)
        type = self.to_type(node)
        if type.kind not in T.NUMERIC:
            raise TraceSyntaxError("a bit-field's type is an integer", self.stream.span(token))
        if not 0 <= bits <= 8 * type.size or (bits == 0 and name is not None):
            raise TraceSyntaxError(f"a bit-field of {T.name(type)} can not have {bits} bits", self.stream.span(token))
        return bits

    def _enum(self, name: Token | None, base: Type | None) -> Node:
        stream = self.stream
        if stream.now.text != "{":
            return Done(base or T.UINT32)
        stream.take("{")
        pairs: list[tuple[int, str]] = []
        value = 0
        while not stream.skip("}"):
            word = stream.next()
            if word.kind != "word":
                stream.at -= 1
                raise stream.unexpected("the name of a constant or `}`")
            while self._mark(_Marks()):
                pass
            if stream.skip("="):
                value = self._constant(stream)
            pairs.append((value, word.text))
            self.enumerators[word.text] = value
            value += 1
            if not stream.skip(",") and stream.now.text != "}":
                raise stream.unexpected("`,` or `}`")
        low, high = min([0, *[v for v, _ in pairs]]), max([0, *[v for v, _ in pairs]])
        size = base.size if base else 8 if low < -(1 << 31) or high >= 1 << (31 if low < 0 else 32) else 4
        signed = base.signed if base else low < 0
        type = T.Type("enum", size, signed, extra=CEnum(name.text if name else "", None, tuple(pairs)))
        self._nameless += name is None
        self.types.own[f"enum {name.text}" if name else f"enum #{self._nameless}"] = type
        return Done(type)

    # -- declarators ------------------------------------------------------------------------------

    def declarator(self, node: Node, marks: _Marks) -> tuple[Token | None, Node]:
        """``*x[3]``, ``(*f)(int)``: the name, and the whole type."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise TraceSyntaxError("nested too deep", self.stream.span(self.stream.now))
        name, whole = self._declarator(node, marks)
        self._depth -= 1
        while self._mark(marks) or self._qualifier():
            pass
        return name, whole

    def _declarator(self, node: Node | None, marks: _Marks) -> tuple[Token | None, Node]:
        stream = self.stream
        user = stream.at > 0 and stream.tokens[stream.at - 1].text == "__user"
        while stream.now.text == "*":
            stream.next()
            node = Pointer(None if _is_void(node) else node, user)
            user = False
            while stream.now.kind == "word" and (self._mark(marks) or self._qualifier()):
                pass
        inner: Stream | None = None
        name: Token | None = None
        if stream.now.text == "(" and stream.peek().text in ("*", "(", "__attribute__"):
            inner = Stream(stream.skip_brackets(), stream.source)
        elif stream.now.kind == "word":
            name = stream.next()
        whole = self._suffixes(node)
        if inner is not None:
            outer, self.stream = stream, inner
            name, whole = self.declarator(whole, marks)  # type: ignore[arg-type]
            self.stream = outer
        if whole is None:
            raise TraceSyntaxError("a function is no member: a pointer to one is", stream.span(name or stream.now))
        return name, whole

    def _suffixes(self, node: Node | None) -> Node | None:
        """Over ``[3][4]`` and ``(int, char)``; None stands for a function."""
        stream = self.stream
        lengths: list[int] = []
        while stream.now.text in ("[", "(") and stream.now.kind == "op":
            function = stream.now.text == "("
            inside = stream.skip_brackets()
            if function:
                node = None
                continue
            length = self._constant(Stream(inside, stream.source)) if inside else 0
            if not 0 <= length < 1 << 32:
                token = inside[0] if inside else stream.now
                raise TraceSyntaxError(f"an array can not have {length} elements", stream.span(token))
            lengths.append(length)
        for length in reversed(lengths):
            node = Array(node, length) if node is not None else None
        return node

    # -- values and sizes -------------------------------------------------------------------------

    def _constant(self, stream: Stream) -> int:
        return Evaluator(stream, lambda token: self._named_value(token, stream), self._size_of).value()

    def _named_value(self, token: Token, stream: Stream) -> int:
        if token.text in self.enumerators:
            return self.enumerators[token.text]
        known = self.types.enumerator(token.text)
        if known is not None:
            return known[0]
        from cygnet.lang.trace.constants import constant

        number = constant(token.text)
        if number is None:
            raise TraceTypeError(f"Unknown constant: '{token.text}'", stream.span(token))
        return number

    def _size_of(self, tokens: list[Token], token: Token) -> int:
        """``sizeof(type)``"""
        outer, self.stream = self.stream, Stream(tokens, self.stream.source)
        marks = _Marks()
        node = self.specifier(marks)
        _, node = self.declarator(node, marks)
        self.stream = outer
        return self.measure(node, token)[0]

    def measure(self, node: Node, token: Token) -> tuple[int, int]:
        """(bytes, alignment)"""
        if isinstance(node, Pointer):
            return 8, 8
        if isinstance(node, Array):
            size, align = self.measure(node.of, token)
            return size * node.length, align
        if isinstance(node, Named):
            if not node.keyword and node.base in self.typedefs:
                return self.measure(self.typedefs[node.base], token)
            node = Done(self._find(node))
        if node.type is T.NONE:
            raise TraceTypeError("a member can not be void", self.stream.span(token))
        return T.natural_size(node.type), node.align or alignment(node.type)

    def _find(self, node: Named) -> Type:
        type = self.types.find(node.keyword, node.base)
        if type is None:
            name = f"{node.keyword} {node.base}".strip()
            raise TraceTypeError(f"Unknown type: '{name}'", self.stream.span(node.token))
        return type

    def to_type(self, node: Node) -> Type:
        if isinstance(node, Done):
            return node.type
        if isinstance(node, Pointer):
            return T.pointer(self._pointee(node.to), T.USER if node.user else T.KERNEL)
        if isinstance(node, Array):
            elem = self.to_type(node.of)
            text = "text" if elem == T.INT8 else None
            return T.Type("array", T.natural_size(elem) * node.length, elem=elem, length=node.length, extra=text)
        if not node.keyword and node.base in self.typedefs:
            return self.to_type(self.typedefs[node.base])
        return self._find(node)

    def _pointee(self, node: Node | None) -> Type | None:
        """What a pointer points to; nobody need define it."""
        if node is None:
            return None
        if isinstance(node, Named) and not (not node.keyword and node.base in self.typedefs):
            found = self.types.find(node.keyword, node.base)
            return None if found is T.NONE else found
        type = self.to_type(node)
        return None if type is T.NONE else type


def _is_void(node: Node | None) -> bool:
    return node is None or (isinstance(node, Done) and node.type is T.NONE)


def _base_type(words: list[str]) -> Type:
    """``unsigned long int`` in any order."""
    if "void" in words:
        return T.NONE
    if "bool" in words or "_Bool" in words:
        return T.BOOL
    if "float" in words:
        return T.Type("float", 4)
    if "double" in words:
        return T.Type("float", 16 if "long" in words else 8)
    if "__int128" in words:
        return T.Type("array", 16, elem=T.UINT64, length=2)
    size = 1 if "char" in words else 2 if "short" in words else 8 if "long" in words else 4
    return T.INTS[size, "unsigned" not in words]


def alignment(type: Type) -> int:
    """A type's natural alignment in C."""
    if type.kind == "array":
        return alignment(type.elem)
    if type.kind == "struct":
        record = type.extra
        if isinstance(record, TextRecord):
            return record.align
        return max((alignment(member.type) for member in record.members()), default=1)
    return min(16, max(1, type.size))


def define_types(types: CTypes, items: list[CType], macros: Mapping[str, CDefine]) -> None:
    """Add the program's own C types. Raises SourceErrors."""
    Definer(types, macros).define_all(items)
