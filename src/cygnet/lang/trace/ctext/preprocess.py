"""The preprocessor's lines: what is included, what is left out.

Headers of the kernel and of the C library are not read: BTF knows their types, `constants` their numbers (`library` has
what BTF lacks). Others are found beside the file that names them, in the folders of ``-I`` and where a system has its
headers.
"""

from __future__ import annotations

import os

from cygnet.errors import SourceErrors, TraceSyntaxError
from cygnet.lang.trace.ast import CDefine, CDirective, CType
from cygnet.lang.trace.ctext.constant import Evaluator
from cygnet.lang.trace.ctext.tokens import END, Stream, Token, expand, tokenize
from cygnet.source import Source, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from cygnet.lang.trace.ast import Program

    CItem = CDirective | CDefine | CType

#: folders of the kernel's headers and of its source, and of the C library's
_SYSTEM = (
    " linux uapi asm asm-generic net trace crypto scsi rdma xen drm sound media video acpi kvm keys vdso generated target"
    " misc soc dt-bindings memory pcmcia ras rv math-emu clocksource kunit cxl ufs hyperv mtd pcap sys bits gnu netinet"
    " arpa rpc netpacket bpf bcc arch block certs drivers fs include init io_uring ipc kernel lib mm security tools virt .. "
)
#: headers of the C library, and the one that holds all of the kernel's types
_SYSTEM_FILES = (
    " vmlinux aio alloca argp assert byteswap cpio ctype dirent dlfcn elf endian err errno error execinfo fcntl features"
    " fenv float fnmatch getopt glob grp ifaddrs inttypes iso646 langinfo libgen limits link locale malloc math mntent"
    " mqueue netdb nl_types poll pthread pwd regex resolv sched search semaphore setjmp shadow signal spawn stdalign"
    " stdarg stdatomic stdbool stddef stdint stdio stdlib string strings syscall sysexits syslog termios tgmath threads"
    " time types uchar ucontext ulimit unistd utime utmp utmpx values wchar wctype wordexp "
)
_FOLDERS = ("/usr/local/include", "/usr/include")  # of other libraries
_DEEPEST = 100  # files within files


class Preprocessor:
    """Selects the definitions that count. `defines` are the macros in force at the end of what was read."""

    def __init__(self, target: Any, include_dirs: Sequence[str] = ()) -> None:
        self.target = target
        self.include_dirs = list(include_dirs)
        self.defines: dict[str, CDefine] = {}
        self.types: list[CType] = []
        self.errors: list[TraceSyntaxError] = []
        self.warnings: list[TraceSyntaxError] = []
        self.passed: list[str] = []  # headers that were not read
        self._once: set[str] = set()
        self._depth = 0
        self._builtin: dict[str, int] = {}

    def predefined(self) -> dict[str, int]:
        """What is defined before the first line."""
        if not self._builtin:
            self._builtin = {
                "__bpf__": 1, "__BPF__": 1, "__KERNEL__": 1, "__linux__": 1, "__LP64__": 1, "__BPF_TRACING__": 1,
                f"__{self.target.machine}__": 1, "LINUX_VERSION_CODE": self._version(), "KBUILD_MODNAME": 0,
            }  # fmt: skip
            try:
                if self.target.btf() is not None:
                    self._builtin["BPFTRACE_HAVE_BTF"] = 1
            except OSError:
                pass
        return self._builtin

    def _version(self) -> int:
        major, minor = (int(number) for number in self.target.version[:2])
        patch = self.target.release.split("-")[0].split(".")[2:3]
        return (major << 16) + (minor << 8) + min(255, int(patch[0]) if patch and patch[0].isdigit() else 0)

    # -- files ------------------------------------------------------------------------------------

    def include_file(self, name: str) -> None:
        """``--include``: as if the program's first line included it."""
        path = self._find(name, "")
        if path is not None:
            self._read(path, None)
        elif _is_system(name):
            self.passed.append(name)
        else:
            raise TraceSyntaxError(f"--include: no such file: {name}", None)

    def library_types(self, text: str) -> list[CType]:
        """The types `text` names of the headers that were not read, if neither it nor the kernel defines them."""
        from cygnet.btf.kinds import STRUCT, TYPEDEF, UNION
        from cygnet.lang.trace.ctext.library import expanded, interface_file, missing_types

        if not self.passed:
            return []
        try:
            btf = self.target.btf()
        except OSError:
            btf = None
        own = {item.name for item in self.types}
        if btf is None:
            return []

        def known(name: str) -> bool:
            return name in own or any(btf.find(name, kind) is not None for kind in (STRUCT, UNION, TYPEDEF))

        def read(path: str) -> list[CType]:
            other = Preprocessor(self.target, self.include_dirs)
            try:
                other._read(path, None)
                seen = {path}
                for name in other.passed:  # grows
                    inner = interface_file(name, self.include_dirs)
                    if inner is not None and inner not in seen:
                        seen.add(inner)
                        other._read(inner, None)
            except TraceSyntaxError:
                pass  # what could be read counts
            return [
                CType(item.span, item.keyword, item.name, expanded(item.text, other.defines)) for item in other.types
            ]

        return missing_types(text, known, self.passed, self.include_dirs, read)

    def run(self, items: Sequence[CItem], folder: str) -> None:
        """Go through the C text of one file; `folder` is where its includes are looked for."""
        states: list[_State] = []
        for item in items:
            active = all(state.active for state in states)
            try:
                if isinstance(item, CDirective):
                    self._directive(item, states, active, folder)
                elif active and isinstance(item, CDefine):
                    self.defines[item.name] = item
                elif active and isinstance(item, CType):
                    self.types.append(self._cleaned(item))
            except TraceSyntaxError as error:
                self.errors.append(error)
        if states:
            self.errors.append(TraceSyntaxError("this condition has no #endif", states[-1].span))

    def _directive(self, item: CDirective, states: list[_State], active: bool, folder: str) -> None:
        word, rest, at = split_directive(item)
        if _conditional(self, word, rest, at, item, states):
            return
        if not active or not word:
            return
        if word == "include":
            self._include(item, rest, folder)
        elif word == "undef":
            self.defines.pop(rest.split()[0] if rest.split() else "", None)
        elif word == "error":
            raise TraceSyntaxError(f"#error {rest}", item.span)
        elif word == "warning":
            self.warnings.append(TraceSyntaxError(f"#warning {rest}", item.span))
        elif word == "pragma":
            if rest.split()[:1] == ["once"]:
                self._once.add(os.path.realpath(item.span.source.name))
        elif word not in ("line", "ident"):
            raise TraceSyntaxError(f"unknown directive #{word}", item.span)

    def _include(self, item: CDirective, rest: str, folder: str) -> None:
        close = {"<": ">", '"': '"'}.get(rest[:1], "")
        end = rest.find(close, 1) if close else -1
        if end < 0:
            raise TraceSyntaxError('#include takes "file" or <file>', item.span)
        name = rest[1:end]
        if close == ">" and _is_system(name):
            self.passed.append(name)
            return
        path = self._find(name, folder if close == '"' else None)
        if path is not None:
            self._read(path, item.span)
        elif _is_system(name):
            self.passed.append(name)
        else:
            raise TraceSyntaxError(f"'{name}' file not found", item.span, ["-I names folders to look in"])

    def _find(self, name: str, folder: str | None) -> str | None:
        folders = [*([] if folder is None else [folder]), *self.include_dirs, *([] if _is_system(name) else _FOLDERS)]
        for one in folders:
            path = os.path.join(one, name)
            if os.path.isfile(path):
                return path
        return None

    def _read(self, path: str, span: Span | None) -> None:
        if os.path.realpath(path) in self._once:
            return
        if self._depth >= _DEEPEST:
            raise TraceSyntaxError(f"{path} is included too deep: does it include itself?", span)
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                source = Source(path, file.read())
        except OSError as error:
            raise TraceSyntaxError(f"cannot read {path}: {error.strerror}", span) from None
        self._depth += 1
        self.run(header_items(source), os.path.dirname(path))
        self._depth -= 1

    # -- conditions -------------------------------------------------------------------------------

    def defined(self, name: str) -> bool:
        return name in self.defines or name in self.predefined() or name == "KERNEL_VERSION" or self._known(name) != 0

    def _known(self, name: str) -> int:
        """The value of a constant of the headers that were included and not read; 0 when there is none."""
        if not self.passed:
            return 0
        from cygnet.lang.trace.constants import constant

        return constant(name) or 0

    def truth(self, text: str, at: int, span: Span) -> bool:
        """The value of the condition of an ``#if``."""
        tokens = expand(self._asked(tokenize(text, at)), self.defines)
        stream = Stream(tokens, span.source)
        if not tokens:
            raise TraceSyntaxError("#if without a condition", span)
        try:
            value = Evaluator(stream, lambda token: self._word(token, stream)).value()
        except RecursionError:
            raise TraceSyntaxError("this condition is nested too deep", span) from None
        if stream.now is not END:
            raise stream.unexpected("the end of the condition")
        return value != 0

    def _asked(self, tokens: list[Token]) -> list[Token]:
        """``defined X`` and ``defined(X)`` as numbers, before macros are put in."""
        out: list[Token] = []
        at = 0
        while at < len(tokens):
            token = tokens[at]
            at += 1
            if token.text == "defined" and token.kind == "word":
                bracket = at < len(tokens) and tokens[at].text == "("
                name = tokens[at + bracket].text if at + bracket < len(tokens) else ""
                at += 3 if bracket else 1
                token = Token("number", str(int(self.defined(name))), token.at)
            out.append(token)
        return out

    def _word(self, token: Token, stream: Stream) -> int:
        """A word that no macro explains is 0, as in C; so is a call of something unknown."""
        if stream.now.text == "(" and stream.now.kind == "op":
            inside = stream.skip_brackets()
            if token.text == "KERNEL_VERSION":
                numbers = [int(t.text) for t in inside if t.kind == "number" and t.text.isdigit()]
                if len(numbers) == 3:
                    return (numbers[0] << 16) + (numbers[1] << 8) + min(255, numbers[2])
            return 0
        return self.predefined().get(token.text) or self._known(token.text)

    def _cleaned(self, item: CType) -> CType:
        """A definition without the parts that conditions within it leave out; offsets stay."""
        if "#" not in item.text:
            return item
        source, start = item.span.source, item.span.start
        kept: list[str] = []
        states: list[_State] = []
        at = until = 0
        for line in item.text.splitlines(keepends=True):
            active = all(state.active for state in states)
            if at < until:  # the rest of a directive
                kept.append(" " * len(line))
            elif line.lstrip().startswith("#"):
                until = self._within(source, start + at, line, states, active) - start
                kept.append(" " * len(line))
            else:
                kept.append(line if active else " " * len(line))
            at += len(line)
        return CType(item.span, item.keyword, item.name, "".join(kept))

    def _within(self, source: Source, at: int, line: str, states: list[_State], active: bool) -> int:
        """Follow a preprocessor's line among a definition's members; gives the offset after it."""
        from cygnet.lang.trace.parser_c import c_directive

        item, end = c_directive(source, at + len(line) - len(line.lstrip()))
        if isinstance(item, CDirective):
            word, rest, where = split_directive(item)
            if not _conditional(self, word, rest, where, item, states) and active and word == "undef":
                self.defines.pop(rest.split()[0] if rest.split() else "", None)
        elif active:
            self.defines[item.name] = item
        return end


class _State:
    """One open ``#if``: is the present part kept, and was one kept before?"""

    __slots__ = ("active", "done", "span")

    def __init__(self, active: bool, span: Span) -> None:
        self.active = active
        self.done = active
        self.span = span


def _conditional(pre: Preprocessor, word: str, rest: str, at: int, item: CDirective, states: list[_State]) -> bool:
    """Follow #if … #endif. False when it is another line."""
    if word in ("ifdef", "ifndef"):
        name = rest.split()[0] if rest.split() else ""
        states.append(_State(pre.defined(name) == (word == "ifdef"), item.span))
    elif word == "if":
        dead = not all(state.active for state in states)
        states.append(_State(not dead and pre.truth(rest, at, item.span), item.span))
    elif word in ("elif", "else", "endif", "elifdef", "elifndef"):
        if not states:
            raise TraceSyntaxError(f"#{word} without #if", item.span)
        state = states[-1]
        if word == "endif":
            states.pop()
        elif state.done or not all(outer.active for outer in states[:-1]):
            state.active = False
        else:
            if word == "elif":
                state.active = pre.truth(rest, at, item.span)
            elif word == "else":
                state.active = True
            else:
                state.active = pre.defined(rest.split()[0] if rest.split() else "") == (word == "elifdef")
            state.done = state.active
    else:
        return False
    return True


def split_directive(item: CDirective) -> tuple[str, str, int]:
    """("if", "A > 1", offset of that in the source); comments and continuations taken out."""
    from cygnet.lang.trace.parser_c import strip_comments

    text = item.text
    hash_at = text.find("#")
    start = hash_at + 1
    while text[start : start + 1] in (" ", "\t"):
        start += 1
    end = start
    while end < len(text) and (text[end].isalnum() or text[end] == "_"):
        end += 1
    rest = text[end:]
    lead = len(rest) - len(rest.lstrip())
    return text[start:end], strip_comments(rest), item.span.start + end + lead


def _is_system(name: str) -> bool:
    folder, slash, _ = name.partition("/")
    return f" {folder} " in _SYSTEM if slash else f" {name.removesuffix('.h')} " in _SYSTEM_FILES


def header_items(source: Source) -> list[CItem]:
    """The C text of a header: its lines for the preprocessor and its types. Functions and variables are passed over."""
    from cygnet.lang.trace.parser_attach import skip_blank
    from cygnet.lang.trace.parser_c import C_WORDS, after_type, c_directive, c_type

    items: list[CItem] = []
    text, pos = source.text, 1 if source.text.startswith("\ufeff") else 0
    while True:
        pos = skip_blank(source, pos)
        if pos >= len(text):
            return items
        start = pos
        if text[pos] == "#":
            item, pos = c_directive(source, pos)
            items.append(item)
            continue
        end = pos
        while end < len(text) and (text[end].isalnum() or text[end] == "_"):
            end += 1
        if text[pos:end] in C_WORDS:
            try:
                ctype, pos = c_type(source, pos)
                items.append(ctype)
            except TraceSyntaxError:
                pos = after_type(source, pos)
        else:
            pos = _over(source, pos)
        pos = max(pos, start + 1)


def _over(source: Source, pos: int) -> int:
    """Past a declaration or a function's body."""
    from cygnet.lang.trace.parser_c import after_type

    text = source.text
    semicolon, brace = text.find(";", pos), text.find("{", pos)
    if semicolon >= 0 and (brace < 0 or semicolon < brace):
        return semicolon + 1
    return after_type(source, pos)


def preprocess(
    program: Program, target: Any, include_dirs: Sequence[str], includes: Sequence[str]
) -> list[TraceSyntaxError]:
    """A program's C text as it counts, its warnings: macros and types, conditions decided. Raises SourceErrors."""
    pre = Preprocessor(target, include_dirs)
    for name in includes:
        try:
            pre.include_file(name)
        except TraceSyntaxError as error:
            pre.errors.append(error)
    pre.run(program.c_defs, os.path.dirname(program.span.source.name))
    if pre.errors:
        raise SourceErrors(pre.errors)
    program.c_defs = [*pre.defines.values(), *pre.types, *pre.library_types(program.span.source.text)]
    return list(pre.warnings)
