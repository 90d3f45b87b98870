"""The IR as text: printer and parser (each the other's inverse), for people, dumps and tests.

::

    func main main() {
    entry:
      v0:ctx = ctx
      v1 = load v0, size=8 offset=8
      br ult v1, 10, b1, b2
    b1(p0:i64):
      ...

Constants stand where they are used, `@name` is a map or a function of the module, types other than
i64 follow a colon. Spans are not part of the text.
"""

from __future__ import annotations

from cygnet.ir.core import I64, NONE, OPS, Block, Function, Module, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: op → the names of the parts of its immediate, in order
_FIELDS: dict[str, tuple[str, ...]] = {
    "slot": ("size", "align", "name"),
    "map_value": ("map", "offset"),
    "load": ("size", "signed", "offset", "reloc"),
    "store": ("size", "offset"),
    "atomic": ("op", "size", "offset", "fetch"),
    "memzero": ("size", "offset"),
    **dict.fromkeys(
        (
            "map",
            "func",
            "call",
            "kfunc",
            "callsub",
            "param",
            "zext",
            "sext",
            "bswap",
            "cmp",
            "memcpy",
            "memeq",
            "reloc",
        ),
        ("",),
    ),
    "reloc": ("",),
}


class Printer:
    """Names values v0, v1 … in the order of their definition."""

    __slots__ = ("blocks", "lines", "names")

    def __init__(self, function: Function) -> None:
        self.names: dict[Value, str] = {}
        self.blocks: dict[Block, str] = {}
        for index, block in enumerate(function.blocks):
            self.blocks[block] = f"b{index}"
            for value in block.params:
                self._name(value)
            for value in block.body:
                if value.op != "const" and value.type != NONE:
                    self._name(value)
        kinds = ", ".join(function.param_types)
        flags = " preemptible" if function.preemptible else ""
        self.lines = [f"func {function.name} {function.kind}({kinds}){flags} {{"]
        for block in function.blocks:
            self._block(block)
        self.lines.append("}")

    def _name(self, value: Value) -> None:
        self.names[value] = f"v{len(self.names)}"

    def _block(self, block: Block) -> None:
        params = ", ".join([self.names[p] + _type(p) for p in block.params])
        self.lines.append(f"{self.blocks[block]}({params}):" if params else f"{self.blocks[block]}:")
        for value in block.body:
            if value.op != "const":
                self.lines.append("  " + self._value(value))
        if block.term is not None:
            self.lines.append("  " + self._term(block.term))

    def ref(self, value: Value) -> str:
        return str(value.imm) if value.op == "const" else self.names.get(value, f"?{value.op}")

    def _value(self, value: Value) -> str:
        name = self.names.get(value)
        left = f"{name}{_type(value)} = " if name else ""
        args = ", ".join([self.ref(arg) for arg in value.args])
        return " ".join([left + value.op, *([args] if args else []), *_immediate(value)])

    def _term(self, term: Value) -> str:
        blocks = self.blocks
        args = [self.ref(arg) for arg in term.args]
        if term.op == "jump":
            return f"jump {blocks.get(term.imm, '?')}" + (f"({', '.join(args)})" if args else "")
        if term.op == "br":
            cond, then, other = term.imm
            return f"br {cond} {args[0]}, {args[1]}, {blocks.get(then, '?')}, {blocks.get(other, '?')}"
        if term.op == "ret":
            return f"ret {args[0]}"
        body, out = term.imm
        return f"may_goto {blocks.get(body, '?')}, {blocks.get(out, '?')}"


def _type(value: Value) -> str:
    return "" if value.type == I64 else ":" + value.type


def _immediate(value: Value) -> list[str]:
    names = _FIELDS.get(value.op)
    if names is None:
        return []
    parts = value.imm if len(names) > 1 else (value.imm,)
    return [f"{name}={part!r}" if name else f"={part!r}" for name, part in zip(names, parts)]


def print_function(function: Function) -> str:
    return "\n".join(Printer(function).lines) + "\n"


def print_module(module: Module) -> str:
    return "\n".join([print_function(function) for function in module.functions])


# -- parser ----------------------------------------------------------------------------------------------


class Parser:
    """Reads what the printer writes. Raises ValueError with the number of the offending line."""

    __slots__ = ("at", "blocks", "lines", "values")

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.at = 0
        self.blocks: dict[str, Block] = {}
        self.values: dict[str, Value] = {}

    def module(self) -> Module:
        functions = []
        while (line := self._next()) is not None:
            try:
                functions.append(self._function(line))
            except (ValueError, KeyError, IndexError, SyntaxError) as error:
                raise ValueError(f"line {self.at}: {error}: {self.lines[self.at - 1].strip()!r}") from None
        return Module(functions)

    def _next(self) -> str | None:
        while self.at < len(self.lines):
            line = self.lines[self.at].strip()
            self.at += 1
            if line and not line.startswith("#"):
                return line
        return None

    def _function(self, line: str) -> Function:
        word, name, rest = line.split(" ", 2)
        if word != "func" or not rest.endswith("{"):
            raise ValueError("expected: func NAME KIND(TYPES) {")
        kind, rest = rest.split("(", 1)
        types, flags = rest.split(")", 1)
        params = tuple([part.strip() for part in types.split(",") if part.strip()])
        function = Function(name, kind, params, preemptible="preemptible" in flags)
        self.blocks, self.values = {}, {}
        self._declare(function)
        while (text := self._next()) is not None and text != "}":
            self._line(text, function)
        return function

    def _declare(self, function: Function) -> None:
        """Values and blocks by name, before they are used: a jump may go forward, an argument come from a loop."""
        for line in self.lines[self.at :]:
            text = line.strip()
            if text == "}":
                break
            if text.endswith(":"):
                name, _, params = text[:-1].partition("(")
                block = self.blocks[name] = Block(name)
                block.sealed = True
                for index, part in enumerate([p for p in params.rstrip(")").split(", ") if p]):
                    value, type = _typed(part)
                    self.values[value] = Value("param", (), index, type, None)
                    block.params.append(self.values[value])
            elif " = " in text:
                name, type = _typed(text.split(" = ", 1)[0])
                self.values[name] = Value("", (), None, type, None)

    def _line(self, text: str, function: Function) -> None:
        if text.endswith(":"):
            function.blocks.append(self.blocks[text[:-1].partition("(")[0]])
            return
        block = function.blocks[-1]
        op = text.split(" ", 1)[0]
        if op in ("jump", "br", "ret", "may_goto"):
            block.term = self._term(op, text.partition(" ")[2])
            for target in block.successors():
                target.preds.append(block)
        else:
            block.body.append(self._value(text))

    def _ref(self, text: str) -> Value:
        text = text.strip()
        if text[0] == "-" or text[0].isdigit():
            return Value("const", (), int(text), I64, None)
        return self.values[text]

    def _value(self, text: str) -> Value:
        left, found, right = text.partition(" = ")
        value = self.values[_typed(left)[0]] if found else Value("", (), None, NONE, None)
        value.op, _, rest = (right if found else text).partition(" ")
        if value.op not in OPS:
            raise ValueError(f"unknown operation {value.op!r}")
        names = _FIELDS.get(value.op)
        first = f"{names[0]}=" if names else ""
        cut = len(rest)
        if names:
            cut = rest.rfind(" " + first) + 1 if len(names) == 1 else rest.index(first)
            value.imm = _parts(rest[cut:], names)
        value.args = tuple([self._ref(arg) for arg in rest[:cut].split(",") if arg.strip()])
        return value

    def _term(self, op: str, rest: str) -> Value:
        if op == "jump":
            name, _, args = rest.partition("(")
            values = [self._ref(arg) for arg in args.rstrip(")").split(",") if arg]
            return Value(op, tuple(values), self.blocks[name], NONE, None)
        parts = [part.strip() for part in rest.split(",")]
        if op == "ret":
            return Value(op, (self._ref(parts[0]),), None, NONE, None)
        if op == "may_goto":
            return Value(op, (), (self.blocks[parts[0]], self.blocks[parts[1]]), NONE, None)
        cond, a = parts[0].split(" ")
        targets = (cond, self.blocks[parts[2]], self.blocks[parts[3]])
        return Value(op, (self._ref(a), self._ref(parts[1])), targets, NONE, None)


def _typed(text: str) -> tuple[str, str]:
    name, _, type = text.partition(":")
    return name, type or I64


def _parts(text: str, names: tuple[str, ...]) -> Any:
    """The immediate: Python literals, or a RelocTemplate, after each name."""
    if len(names) == 1:
        return _evaluate(text[1:])
    starts = [text.index(f"{name}=") for name in names]
    ends = [*starts[1:], len(text)]
    return tuple([_evaluate(text[start + len(name) + 1 : end]) for name, start, end in zip(names, starts, ends)])


def _evaluate(text: str) -> Any:
    """A literal, or one RelocTemplate(...) of literals; nothing else is a value here."""
    import ast

    from cygnet.spec.relocs import RelocTemplate

    tree = ast.parse(text.strip(), mode="eval").body
    if isinstance(tree, ast.Call):
        if not isinstance(tree.func, ast.Name) or tree.func.id != "RelocTemplate":
            raise ValueError("only RelocTemplate may be called")
        args = [ast.literal_eval(arg) for arg in tree.args]
        return RelocTemplate(*args, **{str(k.arg): ast.literal_eval(k.value) for k in tree.keywords})
    return ast.literal_eval(tree)


def parse_module(text: str) -> Module:
    """The module that `print_module` wrote. Raises ValueError with the line's number."""
    return Parser(text).module()


def parse_function(text: str) -> Function:
    return parse_module(text).functions[0]


__all__ = ["Parser", "Printer", "parse_function", "parse_module", "print_function", "print_module"]
