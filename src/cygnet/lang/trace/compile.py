"""The compiler of the tracing language: text in, ObjectSpec out; its passes in order."""

from __future__ import annotations

from cygnet.errors import ProbeError, SourceError, SourceErrors, TraceTypeError
from cygnet.lang.trace import ast
from cygnet.lang.trace.check.checker import Checker
from cygnet.lang.trace.config import Config
from cygnet.lang.trace.instances import Instance, Params, make_instances
from cygnet.lang.trace.lower.stmts import Lowerer
from cygnet.lang.trace.lower.unit import ACTION_WORDS, CONTROL, DROP_WORDS, LOST_WORD, RING, SCRATCH, Unit
from cygnet.lang.trace.parser import parse
from cygnet.lang.trace.records import CTypes
from cygnet.source import Source, Span
from cygnet.spec.objects import Control, LinkSpec, ObjectSpec, ProgramSpec
from cygnet.spec.relocs import MAP, MAP_VALUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from cygnet.ir.core import Module
    from cygnet.lang.trace.dump import Dump
    from cygnet.probes.model import Match, Options, Parsed


#: kinds of places where -p becomes a test in the program
_FILTERED = frozenset(("tracepoint", "raw_tracepoint", "kprobe", "kretprobe", "fentry", "fexit"))


#: calls within calls while a program is compiled: three for each link of a chain such as a + b + c …
_DEEPEST_CALLS = 100_000
_MOST_MAPS = 64  # of one program: MAX_USED_MAPS, include/linux/bpf_verifier.h


class Result:
    """A compiled program: its object, the warnings on the way, the source it came from."""

    __slots__ = ("config", "source", "spec", "warnings")

    def __init__(self, spec: ObjectSpec, warnings: Sequence[SourceError], source: Source, config: Config) -> None:
        self.spec = spec
        self.warnings = list(warnings)
        self.source = source
        self.config = config


def compile_program(
    source: Source,
    target: Any,
    *,
    params: Params | None = None,
    environment: dict[str, str] | None = None,
    pid: int = 0,
    command: str = "",
    unsafe: bool = False,
    include_dirs: Sequence[str] = (),
    includes: Sequence[str] = (),
    mode: str = "",
    runtime_warnings: int = 1,
    dump: Dump | None = None,
) -> Result:
    """Compile a program for a system's types. Raises SourceErrors with everything that is wrong.

    `pid`: watch only this process (``-p``); `command`: that of ``-c``. `include_dirs` (``-I``) and `includes`
    (``--include``) are for C text.
    `mode` is test or bench: probes of that name run, which are left out else.
    `runtime_warnings`: what is told of helpers that fail at run time, 0 nothing, 2 (``-k``) all.
    `dump` is shown what each stage made.
    """
    import sys

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _DEEPEST_CALLS))  # chains of operators may be thousands of nodes long
    try:
        return _compile(
            source, target, params or Params(), environment or {}, pid, command, unsafe, include_dirs, includes, mode,
            runtime_warnings, dump,
        )  # fmt: skip
    except RecursionError:
        raise TraceTypeError("an expression of the program is too long", Span(source, 0, 1)) from None
    finally:
        sys.setrecursionlimit(limit)


def _compile(
    source: Source,
    target: Any,
    params: Params,
    environment: dict[str, str],
    pid: int,
    command: str,
    unsafe: bool,
    include_dirs: Sequence[str],
    includes: Sequence[str],
    mode: str,
    runtime_warnings: int,
    dump: Dump | None,
) -> Result:
    program = parse(source)
    _select(program, mode)
    config = Config()
    config.read_block(program.config)
    config.read_environment(environment)
    if dump:
        dump.program("parse", program)
    if program.imports or "import" in source.text:
        from cygnet.lang.trace.imports import resolve

        resolve(program, config)
    c_types, macros, c_warnings = _c_text(program, target, include_dirs, includes)
    own_names = [*(fn.name for fn in program.fns), *(macro.name for macro in program.macros)]
    program = _expand(program, params)
    if dump:
        dump.program("ast", program)
    if mode:
        _return_values(program, mode)
    if program.fns:
        from cygnet.lang.trace.functions import inline

        inline(program)
    found, warnings = _find_probes(program, target, params, config, pid, unsafe, command)
    instances = make_instances(program, found, target)
    types = CTypes(target)
    if c_types:
        from cygnet.lang.trace.ctext.declare import define_types

        define_types(types, c_types, macros)
    checker = _checked(program, instances, types, config, params, unsafe, own_names)
    _check_parameters(params)
    if dump:
        dump.types(checker)
    spec = _generate(checker, config, source, target, pid, unsafe, runtime_warnings, dump)
    return Result(spec, [*config.warnings, *c_warnings, *warnings, *checker.warnings], source, config)


def _checked(
    program: ast.Program,
    instances: list[Instance],
    types: CTypes,
    config: Config,
    params: Params,
    unsafe: bool,
    own_names: list[str],
) -> Checker:
    """The checker, when it has found every type; older scripts get the scopes they were written for."""
    widened: list[TraceTypeError] = []
    while True:
        checker = Checker(program, instances, types, config, params)
        checker.unsafe = unsafe
        checker.own_names = own_names
        try:
            checker.run()
        except SourceErrors:
            if widened or not checker.undefined:
                raise
            from cygnet.lang.trace.scopes import widen

            widened = widen(program, checker.undefined)
            if not widened:
                raise
            continue
        checker.warnings += widened
        return checker


def _select(program: ast.Program, mode: str) -> None:
    """Leave out the test and bench probes that this run is not for."""
    left_out = {"test", "bench"} - {mode}
    for item in program.probes:
        points = tuple([point for point in item.attach_points if point.provider.lower() not in left_out])
        if len(points) != len(item.attach_points):
            item.attach_points = points
    program.items = [item for item in program.items if not isinstance(item, ast.Probe) or item.attach_points]


def _return_values(program: ast.Program, mode: str) -> None:
    """Let test and bench probes return what their bodies do."""
    from cygnet.lang.trace.functions import body_as_function

    for probe in program.probes:
        if any(point.provider.lower() == mode for point in probe.attach_points):
            body_as_function(probe)


def _check_parameters(params: Params) -> None:
    """A named parameter that the program does not know is a mistake of whoever runs it. Raises UsageError."""
    unknown = [name for name in params.named if name not in params.used and name != "help"]
    if not unknown:
        return
    from cygnet.errors import UsageError
    from cygnet.lang.trace.suggest import did_you_mean

    error = UsageError(f"unexpected named parameter: --{unknown[0]}")
    guess = did_you_mean(unknown[0], params.used)
    known = ", ".join("--" + name for name in params.used)
    error.hints = (
        *([f"did you mean --{guess}?"] if guess else []),
        f"the program's parameters: {known}" if known else "the program has no named parameters",
    )
    raise error


def _c_text(
    program: ast.Program, target: Any, include_dirs: Sequence[str], includes: Sequence[str]
) -> tuple[list[ast.CType], dict[str, ast.CDefine], list[SourceError]]:
    """The C text of a program: the types it defines, the macros in force, warnings."""
    if not program.c_defs and not includes:
        return [], {}, []
    from cygnet.lang.trace.ctext.preprocess import preprocess

    warnings = preprocess(program, target, include_dirs, includes)
    types = [item for item in program.c_defs if isinstance(item, ast.CType)]
    return types, {item.name: item for item in program.c_defs if isinstance(item, ast.CDefine)}, list(warnings)


def _expand(program: ast.Program, params: Params) -> ast.Program:
    """Macros and #define constants."""
    if program.macros or any(isinstance(item, ast.CDefine) for item in program.c_defs):
        from cygnet.lang.trace.macros import expand

        return expand(program)
    return program


def _find_probes(
    program: ast.Program, target: Any, params: Params, config: Config, pid: int, unsafe: bool, command: str
) -> tuple[list[tuple[ast.Probe, list[Match]]], list[TraceTypeError]]:
    """Every probe with the events it names."""
    from cygnet.probes.model import Options
    from cygnet.probes.point import expand_all, parse_wild

    missing = config["missing_probes"] if "missing_probes" in config.given else "alternatives"
    options = Options(pid=pid or -1, missing=missing, unsafe=unsafe, command=command)
    found: list[tuple[ast.Probe, list[Match]]] = []
    errors: list[SourceError] = []
    names: set[str] = set()
    for probe in program.probes:
        try:
            points = [parsed for point in probe.attach_points for parsed in parse_wild(point, params.positional)]
            _check_name(probe, names, points)
            matches = expand_all(points, target, options)
            if missing in ("warn", "ignore"):
                matches = _with_fields(probe, matches, target, options)
        except (ProbeError, ValueError) as error:
            errors.append(_as_source_error(error, probe))
            continue
        if matches:
            found.append((probe, matches))
    if errors:
        raise SourceErrors(errors)
    total = sum(len(matches) for _, matches in found)
    _check_iterators(found, total)
    if total > config["max_probes"]:
        raise TraceTypeError(
            f"Can't attach to {total} probes because it exceeds the current limit of {config['max_probes']} probes",
            program.probes[0].span,
            ["raise the limit with BPFTRACE_MAX_PROBES or config = { max_probes = … }"],
        )
    if not found:
        why = tuple([warning.message for warning in options.warnings])
        raise ProbeError("No probes to attach" if program.probes else "the program has no probes", None, why)
    return found, [TraceTypeError(w.message, w.span, w.hints) for w in options.warnings]


def _with_fields(probe: ast.Probe, matches: list[Match], target: Any, options: Options) -> list[Match]:
    """The matches without those that a wildcard found and that lack a field of ``args`` which the probe asks for."""
    asked = {
        node.name
        for node in ast.walk(probe)
        if isinstance(node, ast.Field) and isinstance(node.operand, ast.Ident) and node.operand.name == "args"
    }
    fit: list[Match] = []
    for match in matches:
        lacking = asked and match.parsed.is_wild and asked - {arg.name for arg in match.arguments(target)}
        if not lacking:
            fit.append(match)
        elif options.missing == "warn":
            message = f"skipping {match.probe}, which has no field named '{min(lacking)}'"
            options.warnings.append(ProbeError(message, match.parsed.span))
    return fit


def _check_name(probe: ast.Probe, names: set[str], points: list[Parsed]) -> None:
    """Tests and benchmarks are told apart by their names."""
    for parsed in points:
        if parsed.provider.file == "named":
            if parsed.text in names:
                raise TraceTypeError(f"there is more than one {parsed.text}", parsed.span or probe.span)
            names.add(parsed.text)


def _check_iterators(found: list[tuple[ast.Probe, list[Match]]], total: int) -> None:
    """An iterator is alone in its program; a pinned one does nothing that needs us."""
    for probe, matches in found:
        if matches[0].kind != "iter":
            continue
        if total > 1:
            raise TraceTypeError("an iter probe must be the only probe of its program", probe.span)
        if matches[0].targets[0]["pin"]:
            from cygnet.lang.trace.builtins.seq import foreign_call

            call = foreign_call(probe)
            if call is not None:
                what = f"{call.name}() can not be used in a pinned iterator"
                raise TraceTypeError(f"{what}: its text goes to those who read the file", call.span)


def _as_source_error(error: Exception, probe: ast.Probe) -> SourceError:
    """An error with its place: that of the attach points for what knows none, such as a file that is cut short."""
    if isinstance(error, SourceError):
        return error
    span = getattr(error, "span", None) or probe.attach_points[0].span
    return TraceTypeError(str(error), span, getattr(error, "hints", ()))


# -- generating ---------------------------------------------------------------------------------------


def _generate(
    checker: Checker,
    config: Config,
    source: Source,
    target: Any,
    pid: int,
    unsafe: bool,
    runtime_warnings: int,
    dump: Dump | None,
) -> ObjectSpec:
    unit = Unit(config, checker.maps, unsafe=unsafe)
    unit.stack_lengths = checker.stack_lengths
    unit.warnings = runtime_warnings
    lowered: list[tuple[Instance, str, Module]] = []
    shared = len(checker.instances) != len({id(instance.probe) for instance in checker.instances})
    for instance in checker.instances:
        if shared:
            checker.check_instance(instance)  # the notes on the tree are this instance's again
        name = _program_name(instance)
        lowerer = Lowerer(unit, instance, name)
        lowerer.types = checker.types
        if pid and instance.match.kind in _FILTERED:
            lowerer.only_pid = True
        lowered.append((instance, name, lowerer.module()))
        if instance.match.place is not None:
            from cygnet.lang.trace.lower.watching import setter

            one, module = setter(unit, instance, instance.match, name, len(lowered))
            lowered.append((one, f"set_{name}"[:15], module))
    unit.set_strides()
    if dump:
        dump.modules([module for _, _, module in lowered])
    pools: dict[str, int] = {}
    programs, links, scratch = _programs(lowered, config, source, pools)
    if dump:
        dump.instructions(programs)
    control = Control(
        CONTROL, RING if unit.uses_ring else "", DROP_WORDS, tuple(unit.drops), ACTION_WORDS, unit.pending
    )
    return ObjectSpec(
        programs=tuple(programs),
        maps=tuple(unit.map_specs(scratch, len(programs), pools)),
        links=tuple(links),
        actions=tuple(unit.actions),
        views=tuple(unit.views()),
        control=control,
        settings=config.values,
    )


def _programs(
    lowered: list[tuple[Instance, str, Module]], config: Config, source: Source, pools: dict[str, int]
) -> tuple[list[ProgramSpec], list[LinkSpec], int]:
    from cygnet.codegen.pipeline import compile_module

    programs: list[ProgramSpec] = []
    links: list[LinkSpec] = []
    scratch = 0
    for number, (instance, name, module) in enumerate(lowered):
        match = instance.match
        program, needed = compile_module(
            module,
            name=name,
            prog_type=match.prog_type,
            license=config["license"],
            scratch_map=SCRATCH,
            scratch_key=number,
            lost=(CONTROL, 8 * LOST_WORD),
            attach_type=match.attach_type,
            attach_to=match.attach_to,
            source=source.name,
            pools=pools,
        )
        scratch = max(scratch, needed)
        programs.append(program)
        _check_maps(program, instance)
        for one in instance.matches:
            links += one.links(name)
    return programs, links, scratch


def _check_maps(program: ProgramSpec, instance: Instance) -> None:
    """The kernel's own sentence would not say how many there are, and whose."""
    used = {reloc.name for reloc in program.relocs if reloc.kind in (MAP, MAP_VALUE)}
    if len(used) > _MOST_MAPS:
        raise TraceTypeError(
            f"this probe uses {len(used)} maps; the kernel allows {_MOST_MAPS} in one program",
            instance.probe.attach_points[0].span,
            ["maps without keys may be one map with keys: @v[1], @v[2] …"],
        )


def _program_name(instance: Instance) -> str:
    """A name for the kernel's lists: letters, digits and underscores, and a number that makes it unique."""
    text = "".join(c if c.isascii() and c.isalnum() else "_" for c in instance.match.probe.rpartition(":")[2])
    return f"{text[:11] or 'probe'}_{instance.index}"
