"""Programs as the tracing language emits them, before both verifiers, with maps, BTF and functions as when they run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.verifier.judge import Opinion
from tests.verifier.sides import Ours, Pair

from cygnet.errors import CygnetError
from cygnet.kernel.progs import _Request
from cygnet.kernel.target import LiveTarget
from cygnet.lang.trace.compile import compile_program
from cygnet.lang.trace.instances import Params
from cygnet.loader.runtime import KernelRuntime
from cygnet.source import Source
from cygnet.spec.apply import apply
from cygnet.spec.objects import ObjectSpec
from cygnet.spec.objects import ProgramSpec as Emitted
from cygnet.verifier.program import ProgramSpec

TESTS = Path(__file__).parents[1]


class AnyNumber(dict[str, int]):
    """The numbers that a session gives: any will do."""

    def get(self, name: str, default: Any = None) -> int:
        return 1


class Loading(KernelRuntime):
    """Makes the maps and loads the programs with a log, keeping none."""

    def opinion(self, program: Emitted, code: bytes) -> tuple[Opinion, bytes, bytes | None]:
        """What the kernel says; the func_info and BTF it was given."""
        btf_fd, func_info, line_info = self._debug_info(program)
        place = self._place(program)
        try:
            request = _Request(
                code, program.license, func_info, line_info, b"", prog_type=program.type, prog_btf_fd=btf_fd,
                expected_attach_type=self._attach_type(program), attach_btf_id=place.btf_id, attach_prog_fd=place.fd,
                prog_flags=program.flags,
            )  # fmt: skip
            fd = request.load(1)
        finally:
            place.close()
        if fd >= 0:
            import os

            os.close(fd)
        data = self._debug.data if self._debug is not None and btf_fd else None
        return Opinion(fd, request.log), func_info, data


def judge(object_spec: ObjectSpec, target: Any, kernel_btf: object = None) -> Iterator[Pair]:
    """Both verdicts on each program of an object."""
    runtime = Loading(object_spec, target=target, session=AnyNumber(a=1))
    try:
        for map_spec in object_spec.maps:
            runtime.open_map(map_spec)
        by_name = {each.name: each for each in object_spec.maps}
        for program in object_spec.programs:
            code = apply(program, runtime._resolver)
            opinion, func_info, btf = runtime.opinion(program, code)
            if opinion.accepted is None:
                continue
            maps: dict[int | str, Any] = {
                reloc.insn: by_name[reloc.name] for reloc in program.relocs if reloc.kind in ("map", "map_value")
            }
            spec = ProgramSpec(
                program.type, code, program.name, runtime._attach_type(program), program.flags, maps, btf,
                license=program.license, attach_to=program.attach_to, func_info=func_info,
            )  # fmt: skip
            yield Pair(spec, opinion, Ours(spec, kernel_btf))
    finally:
        runtime.close()


def compiled(name: str, text: str, target: Any, words: tuple[str, ...] = (), **options: Any) -> ObjectSpec | None:
    """None where the text does not compile here."""
    try:
        made = compile_program(Source(name, text), target, params=Params(list(words)), unsafe=True, **options)
    except CygnetError:
        return None
    return made.spec


def texts() -> Iterator[tuple[str, str, tuple[str, ...], dict[str, Any]]]:
    """(name, text, words after it, options) of all programs that the tests and tools have."""
    from tests.lang.casefile import read_all
    from tests.lang.test_programs import programs

    for path in sorted((TESTS.parent / "src/cygnet/tools").glob("*.bt")):
        yield f"tool {path.name}", path.read_text(), (), {}
    for case in read_all():
        yield f"{case.place} {case.name}", case.program, tuple(case.words("PARAMS")), {"environment": case.environment}
    for name, text in programs().items():
        yield name, text, (), {}


def live_target() -> Any:
    return LiveTarget()
