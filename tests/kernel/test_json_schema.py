"""What `cygnet trace -f json` prints is what docs/trace-output.schema.json says, type by type."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cygnet.errors import NotSupported

SCHEMA = Path(__file__).parents[2] / "docs/trace-output.schema.json"
ENTRY = "import sys; from cygnet.cli import main; sys.argv[0] = 'cygnet'; main()"
#: program → the types that it must show, and more options
PROGRAMS: tuple[tuple[str, set[str], list[str]], ...] = (
    ('begin { printf("a %d\\n", 1); time("%H\\n"); cat("/proc/version"); exit(); }', {"printf", "time", "cat"}, []),
    ('begin { system("echo hi"); exit(); }', {"syscall"}, ["--unsafe"]),
    ('begin { print(1); print(-1); print("s"); print((1, "a", (true, -2))); print(true); exit(); }', {"value"}, []),
    ("begin { print((uint64)18446744073709551615); print(curtask); print(kstack); print(nsecs); exit(); }", {"value"}, []),
    ('begin { print((a=1, b=("x", 2))); print(buf("ab", 2)); print(strftime("%Y", nsecs)); exit(); }', {"value"}, []),
    ("begin { @a = 1; @b[1, \"x y\"] = 2; @c[comm] = count(); @d = sum(-5); @e = min(3); @f[1] = max(4); exit(); }", {"map"}, []),
    ("begin { @s = avg(4); @t[1] = avg(5); @u = stats(-6); @v[\"k\"] = stats(7); exit(); }", {"stats"}, []),
    ("begin { @h = hist(5); @i[comm] = hist(0); @j = lhist(50, 0, 100, 10); @k[1] = lhist(-1, 0, 9, 1); exit() }", {"hist"}, []),
    ("begin { @h = hist(-5); @z = lhist(1000, 0, 10, 5); zero(@h); print(@h); print(@z, 5, 2); exit(); }", {"hist"}, []),
    ("begin { @t = tseries(3, 1s, 5); @u[1] = tseries(4, 100ms, 3); exit(); }", {"tseries"}, []),
    ("begin { @st[kstack] = count(); @us[ustack(2)] = 1; @tup = (1, \"two\"); exit(); }", {"map"}, []),
    ('begin { for ($i : 0..30) { cat("/no/such"); @y = 5 / @x; } @x = 0; exit(); }', {"suppressed_warnings"}, []),
    ('begin { errorf("bad %d", 1); warnf("hm"); exit(); }', {"errorf", "warnf"}, []),
    ("begin { @x = 0; @y = 5 / @x; exit(); }", {"runtime_error"}, []),
    ("begin { delete(@none, 1); @none[2] = 1; exit(); }", {"helper_error"}, ["-k"]),
    ("config = { max_map_keys = 3 } begin { for ($i : 0..10) { @m[$i] = $i; } exit(); }", {"dropped_updates", "map"}, []),
    (
        "config = { perf_rb_pages = 2 } interval:ms:10 { for ($i : 0..3000) { printf(\"%d\\n\", $i); } exit(); }",
        {"lost_events", "printf", "attached_probes"},
        [],
    ),
    ('test:one { printf("t"); return 0; } test:two { return 1; }', {"test_result"}, ["--test"]),
    ("tracepoint:syscalls:sys_enter_execve { join(args.argv); exit(); }", {"join"}, ["-c", "/bin/sh -c '/bin/true a b'"]),
    ("tracepoint:sched:* { @[probe] = count(); } profile:hz:9 { print(1) } begin { exit(); }", {"explanation"}, ["--explain"]),
    ("uprobe:/bin/bash:main { @[ustack] = count(); printf(\"%s\", str(arg0)); }", {"explanation"}, ["--explain", "-p", "1"]),
)  # fmt: skip


@cache
def validator() -> Any:
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def lines_of(program: str, *options: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-c", ENTRY, "trace", "-f", "json", *options, "-e", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "TZ": "UTC"})
    assert "ERROR" not in done.stderr.replace("ERROR: failed to open file '/no/such'", ""), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(lines: list[dict[str, Any]]) -> set[str]:
    for line in lines:
        kind = line["type"]
        named = validator().evolve(schema={"$ref": f"#/$defs/{kind}", "$defs": validator().schema["$defs"]})
        named.validate(line)  # says what is wrong; the whole schema then says that it is one of its types
        validator().validate(line)
    return {line["type"] for line in lines}


@pytest.mark.parametrize(("program", "types", "options"), PROGRAMS, ids=[str(at) for at in range(len(PROGRAMS))])
def test_output_fits_the_schema(program: str, types: set[str], options: list[str]) -> None:
    seen = check(lines_of(program, *options))
    assert types <= seen


@pytest.mark.parametrize(
    ("words", "types"),
    [
        (
            ["list", "--json", "-v", "tracepoint:sched:sched_wak*", "software:dummy", "struct sock_filt*"],
            {"probe", "ctype"},
        ),
        (["trace", "-l", "-f", "json", "-e", "begin { } profile:hz:9 { }"], {"probe"}),
    ],
)
def test_lists_fit_the_schema(words: list[str], types: set[str]) -> None:
    command = [sys.executable, "-c", ENTRY, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert check(lines) == types
    shown = {line["data"]["name"]: line["data"] for line in lines}
    if "ctype" in types:
        assert "pid_t pid" in shown["tracepoint:sched:sched_wakeup"]["fields"]
        (text,) = shown["struct sock_filter"]["definitions"]
        theirs = subprocess.run(["bpftrace", "-lv", "struct sock_filter"], capture_output=True, text=True, check=True)
        assert text == theirs.stdout.strip()


def test_events_that_no_program_saw() -> None:
    """A timer interrupts a long program, and its own program cannot run then."""
    if not Path("/sys/kernel/tracing/events/irq_vectors/local_timer_entry").exists():
        raise NotSupported("irq_vectors:local_timer_entry", "a tracepoint that fires in interrupts (x86)")
    text = "tracepoint:syscalls:sys_enter_getpgid /pid == cpid/ { for $i : 0..20000 { @x += $i; } } "
    text += "tracepoint:irq_vectors:local_timer_entry { @ = count(); }"
    script = f'{sys.executable} -c "import os; [os.getpgid(0) for i in range(6000)]"'
    lines = lines_of(text, "-c", script)
    assert "missed_events" in check(lines)
    missed = next(line for line in lines if line["type"] == "missed_events")
    assert missed["count"] == missed["data"]["events"] > 0


def test_every_type_has_a_row_in_the_page() -> None:
    page = SCHEMA.with_name("json.md").read_text()
    types = [row["$ref"].rpartition("/")[2] for row in validator().schema["oneOf"]]
    assert [kind for kind in types if f"`{kind}`" not in page] == []


@pytest.mark.parametrize(
    "wrong", [{"type": "map", "data": {"m": 1}}, {"type": "new", "data": 1}, {"type": "printf"}, {}]
)
def test_the_schema_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validator().validate(wrong)
