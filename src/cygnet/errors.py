"""Every exception Cygnet raises, in one tree.

::

    CygnetError
    ├── SourceError(span, hints)        a user's text; printed with a caret
    │   ├── AsmError · TraceSyntaxError · TraceTypeError · PyFrontError · CFrontError
    │   ├── FilterError · PolicyError
    │   └── SourceErrors(errors)        several of them, collected
    ├── FormatError(ValueError)         bytes that are not what they should be (offset)
    │   └── ElfError · BtfError · InsnDecodeError · RecordingError
    ├── RelocationError                 CO-RE, tracepoint fields, ksyms, kfuncs
    ├── VerifierError(insn, log, span, hints)
    │   └── KernelVerifierError(errno, log)
    ├── RuntimeFault(pc, insn, line, registers)
    │   └── MemoryFault · HelperFault · BudgetExceeded
    ├── MapError
    │   └── KeyMissing(KeyError) · KeyExists · MapFull
    ├── ProbeError(span)                a probe that cannot be found or attached
    ├── UsageError                      a command line that makes no sense
    └── SystemCallError(OSError)
        └── PermissionDenied · NotSupported(feature, needs)

`NotSupported` is the only error a test may turn into a skip. A class also subclasses the built-in
that a Python user would catch.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from cygnet.source import Span


class CygnetError(Exception):
    """The root. `str()` of any of these is one sentence for a person."""

    hints: Sequence[str] = ()
    exit_status = 1


class SourceError(CygnetError, ValueError):
    """Something wrong in a text the user wrote."""

    prefix = ""  # what a diagnostic says after ERROR:, such as "syntax: "

    def __init__(self, message: str, span: Span | None = None, hints: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.span = span
        self.hints = tuple(hints)


class AsmError(SourceError): ...


class TraceSyntaxError(SourceError):
    prefix = "syntax: "


class TraceTypeError(SourceError): ...


class PyFrontError(SourceError): ...


class CFrontError(SourceError): ...


class FilterError(SourceError): ...


class PolicyError(SourceError): ...


class SourceErrors(SourceError):
    """Several errors of one text, in the order of the text."""

    def __init__(self, errors: Iterable[SourceError]) -> None:
        self.errors = tuple(errors)
        first = self.errors[0]
        super().__init__(first.message, first.span, first.hints)

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


class FormatError(CygnetError, ValueError):
    """Bytes that do not follow their format; `offset` is where, when known."""

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message if offset is None else f"{message} (at byte {offset})")
        self.offset = offset


class ElfError(FormatError): ...


class BtfError(FormatError): ...


class InsnDecodeError(FormatError): ...


class RecordingError(FormatError): ...


class RelocationError(CygnetError, LookupError):
    """A number of the target system that a program needs, and that the system does not have."""


class VerifierError(CygnetError):
    """A program that a verifier refuses.

    `insn` is the instruction's index, `log` the verifier's own words, `span` the user's text.
    `explanation` is what the explainer makes of it (verifier.explaining.Explanation), found when it is asked for.
    """

    explainer: Callable[[], Any] | None = None

    def __init__(
        self,
        message: str,
        *,
        insn: int | None = None,
        log: str = "",
        span: Span | None = None,
        hints: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.insn = insn
        self.log = log
        self.span = span
        self.hints = tuple(hints)

    @property
    def reason(self) -> str:
        """What is wrong, in the verifier's words."""
        return self.message

    @property
    def explanation(self) -> Any:
        """None when nobody can explain it."""
        if self.explainer is not None:
            self._explanation = self.explainer()
            self.explainer = None
        return getattr(self, "_explanation", None)


class KernelVerifierError(VerifierError):
    def __init__(self, message: str, *, errno: int, **data: object) -> None:
        super().__init__(message, **data)  # type: ignore[arg-type]
        self.errno = errno


class RuntimeFault(CygnetError):
    """A program that went wrong in the user-space machine.

    `pc` is the slot, `insn` the instruction there, `line` the LineInfo it belongs to where there is one,
    `registers` r0 to r10 as they were before it, `run` the number of the run in a batch.
    """

    def __init__(
        self,
        message: str,
        pc: int | None = None,
        insn: object = None,
        *,
        line: object = None,
        registers: Sequence[int] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.pc = pc
        self.insn = insn
        self.line = line
        self.run: int | None = None
        self.registers = tuple(registers)


class MemoryFault(RuntimeFault): ...


class HelperFault(RuntimeFault): ...


class BudgetExceeded(RuntimeFault): ...


class MapError(CygnetError): ...


class KeyMissing(MapError, KeyError):
    def __str__(self) -> str:  # KeyError would print the repr
        return str(self.args[0]) if self.args else "no such key"


class KeyExists(MapError): ...


class MapFull(MapError): ...


class ProbeError(CygnetError):
    """A probe that does not exist, or cannot be attached."""

    def __init__(self, message: str, span: Span | None = None, hints: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.span = span
        self.hints = tuple(hints)


class UsageError(CygnetError):
    """A command line that makes no sense."""


class SystemCallError(CygnetError, OSError):
    """A system call that failed: `call` names it, `errno` says why."""

    def __init__(self, message: str, *, call: str = "", errno: int | None = None, hints: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.call = call
        self.errno = errno
        self.hints = tuple(hints)

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else self.call


class PermissionDenied(SystemCallError, PermissionError):
    """`reason` is ``privilege``, ``lockdown``, ``config`` or ``unknown``."""

    def __init__(self, message: str, *, reason: str = "unknown", **data: object) -> None:
        super().__init__(message, **data)  # type: ignore[arg-type]
        self.reason = reason


class NotSupported(SystemCallError):
    """This kernel or machine has not got `feature`; `needs` says what would bring it."""

    def __init__(self, feature: str, needs: str = "", **data: object) -> None:
        super().__init__(f"{feature} is not supported here" + (f": needs {needs}" if needs else ""), **data)  # type: ignore[arg-type]
        self.feature = feature
        self.needs = needs
