"""``import "path"``: other scripts and headers made part of a program, each once, what is imported first."""

from __future__ import annotations

import os
import stat

from cygnet.errors import SourceErrors, TraceSyntaxError, TraceTypeError
from cygnet.lang.trace import ast
from cygnet.source import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.errors import SourceError
    from cygnet.lang.trace.ast import Import, Node, Program
    from cygnet.lang.trace.config import Config
    from cygnet.source import Span

_SUFFIXES = (".bt", ".h")
_DEEPEST = 50  # imports within imports


def _statements(program: Program) -> list[ast.Block]:
    """The blocks that hold an import as a statement."""
    return [
        node
        for item in program.items
        for node in ast.walk(item)
        if isinstance(node, ast.Block) and any(isinstance(stmt, ast.Import) for stmt in node.stmts)
    ]


def resolve(program: Program, config: Config) -> None:
    """Replace all imports of a program by what they name. Raises SourceErrors."""
    importer = _Importer()
    importer.seen.add(os.path.realpath(program.span.source.name))
    importer.take_statements(program, config)
    importer.merge(program)
    if importer.errors:
        raise SourceErrors(importer.errors)


class _Importer:
    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.errors: list[SourceError] = []
        self.depth = 0

    def take_statements(self, program: Program, config: Config) -> None:
        """An import within a block is one of the head, if the script allows it."""
        mode = config["unstable_import_statement"]
        for block in _statements(program):
            found = [stmt for stmt in block.stmts if isinstance(stmt, ast.Import)]
            block.stmts[:] = [stmt for stmt in block.stmts if not isinstance(stmt, ast.Import)]
            program.imports += found
            if mode == "error":
                hints = ["import at the head of the script, or config = { unstable_import_statement = enable }"]
                self.errors.append(TraceTypeError("import as a statement is unstable", found[0].span, hints))
            elif mode == "warn":
                config.warnings.append(TraceTypeError("import as a statement is unstable", found[0].span))

    def merge(self, program: Program) -> None:
        """What is imported goes before what imports it."""
        items: list[Node] = []
        c_defs: list[Node] = []
        for node in program.imports:
            try:
                for path in self._files(node, program):
                    self._file(path, node.span, items, c_defs)
            except (TraceSyntaxError, TraceTypeError) as error:
                self.errors.append(error)
            except SourceErrors as errors:
                self.errors += errors.errors
        program.imports = []
        program.items = [*items, *program.items]  # type: ignore[list-item]
        program.c_defs = [*c_defs, *program.c_defs]  # type: ignore[list-item]

    def _files(self, node: Import, program: Program) -> list[str]:
        """The files that an import names: one, or all of a folder, in order of name."""
        folder = os.path.dirname(program.span.source.name)
        path = os.path.join(folder, node.path)
        try:
            found = os.stat(path)
        except OSError as error:
            if node.path.split("/")[0] == "stdlib":  # the peer's library, which is part of the language here
                return []
            raise TraceTypeError(f"cannot import '{node.path}': {error.strerror}", node.span) from None
        if not stat.S_ISDIR(found.st_mode):
            self._refuse_writable(os.path.dirname(os.path.realpath(path)), node)
            if not path.endswith(_SUFFIXES):
                raise TraceTypeError(
                    f"cannot import '{node.path}': its kind is not known",
                    node.span,
                    ["scripts (.bt) and headers (.h) are; C programs (.bpf.c) would need a compiler"],
                )
            return [path]
        self._refuse_writable(os.path.realpath(path), node)
        return [os.path.join(path, name) for name in sorted(os.listdir(path)) if name.endswith(_SUFFIXES)]

    @staticmethod
    def _refuse_writable(folder: str, node: Import) -> None:
        """A folder that anybody may write to could hold anybody's program, run with our privileges."""
        if os.stat(folder or ".").st_mode & stat.S_IWOTH:
            raise TraceTypeError(
                f"cannot import '{node.path}': {folder} can be written by everyone", node.span, [f"chmod o-w {folder}"]
            )

    def _file(self, path: str, span: Span, items: list[Node], c_defs: list[Node]) -> None:
        real = os.path.realpath(path)
        if real in self.seen:
            return
        self.seen.add(real)
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                source = Source(path, file.read())
        except OSError as error:
            raise TraceTypeError(f"cannot import '{path}': {error.strerror}", span) from None
        if path.endswith(".h"):
            from cygnet.lang.trace.ctext.preprocess import header_items

            c_defs += header_items(source)
            return
        self._script(source, span, items, c_defs)

    def _script(self, source: Source, span: Span, items: list[Node], c_defs: list[Node]) -> None:
        from cygnet.lang.trace.parser import parse

        if self.depth >= _DEEPEST:
            raise TraceTypeError(f"{source.name} is imported too deep", span)
        program = parse(source)
        if program.config is not None:
            raise TraceTypeError("a script that is imported can have no config block", program.config.span)
        self.depth += 1
        self.merge(program)
        self.depth -= 1
        items += program.items
        c_defs += program.c_defs
