"""What programs of the language see of a process: functions, arguments, results, stacks, system calls.

The process is a small C program, compiled here, whose source says what must be seen.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from cygnet.errors import NotSupported

SOURCE = r"""
    #include <fcntl.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <unistd.h>

    struct point { int x; long y; char name[8]; struct point *next; unsigned low : 3, high : 5; };
    int global_int = 42;
    unsigned char global_byte = 7;
    long sink;

    __attribute__((noinline)) int add(int a, int b) { sink += a; return a + b; }
    __attribute__((noinline)) long negative(long n) { sink += n; return -n; }
    __attribute__((noinline)) unsigned long length(const char *text, char **list) { sink++; return strlen(text); }
    __attribute__((noinline)) int walk(struct point *p) { sink += p->x; return p->next ? p->next->x : 0; }
    __attribute__((noinline)) int six(int a, int b, int c, int d, int e, int f, int g, int h) { sink += g + h; return f; }
    __attribute__((noinline)) int outer(int n) { int result = add(n, 1); sink++; return result; }

    int main(int argc, char **argv)
    {
        char text[] = "some text", one[] = "first", two[] = "second"; /* where reading needs no page fault */
        char *list[] = {one, two, NULL};
        struct point last = {.x = 9}, first = {5, -6, "origin", &last, 5, 17};
        if (argc > 1) usleep(1000 * atoi(argv[1]));
        for (int i = 0; i < 3; i++) add(i, 10);
        negative(7);
        length(text, list);
        walk(&first);
        six(1, 2, 3, 4, 5, 6, 77, 88);
        outer(100);
        char path[] = "/proc/self/cmdline";
        int fd = open(path, O_RDONLY);
        char buffer[16];
        if (fd >= 0 && read(fd, buffer, 3) == 3) close(fd);
        usleep(200000); /* symbols are looked up while the process lives */
        return write(1, "", 0) != 0;
    }
"""


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if os.geteuid() != 0:
        raise NotSupported("tracing", "root")
    compiler = shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")
    if compiler is None:
        raise NotSupported("compiling a program to trace", "a C compiler")
    folder = tmp_path_factory.mktemp("traced")
    (folder / "traced.c").write_text(textwrap.dedent(SOURCE))
    command = [
        compiler,
        "-O1",
        "-g",
        "-fno-omit-frame-pointer",
        "-fno-optimize-sibling-calls",
        "-o",
        "traced",
        "traced.c",
    ]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "traced"


def trace(*args: str) -> subprocess.CompletedProcess[str]:
    script = "import sys; from cygnet.cli import main; sys.exit(main(['trace', *sys.argv[1:]]))"
    return subprocess.run([sys.executable, "-c", script, *args], capture_output=True, text=True, timeout=60)


#: program ({b}: the binary), the lines it prints (a pattern each)
CASES = {
    "arguments": ("uprobe:{b}:add {{ printf('%d %d\\n', arg0, arg1) }}", ["0 10", "1 10", "2 10", "100 1"]),
    "results": ("uretprobe:{b}:add {{ print(retval) }}", ["10", "11", "12", "101"]),
    "negative results": ("uretprobe:{b}:negative {{ print((int64)retval); print((int32)retval < 0) }}", ["-7", "true"]),
    "strings": ("uprobe:{b}:length {{ print(str(arg0)); print(str(arg0, 5)); print(strlen(str(arg0))) }}",
                ["some text", "some", "9"]),
    "join": ("uprobe:{b}:length {{ join(arg1); join(arg1, ',') }}", ["first second", "first,second"]),
    "several probes": ("uprobe:{b}:add, uprobe:{b}:negative {{ @[probe] = count() }} end {{ print(len(@)); clear(@) }}",
                       ["2"]),
    "wildcards": ("uprobe:{b}:ad* {{ @[func] = count(); if (arg0 == 100) {{ exit() }} }}", [r"@\[add\]: 4"]),
    "the function": ("uprobe:{b}:walk {{ print(func); printf('%s\\n', func) }} uretprobe:{b}:walk {{ print(func) }}",
                     ["walk", "walk", "walk"]),
    "the probe": ("uprobe:{b}:walk {{ print(probe); print(probetype); print(comm) }}",
                  ["uprobe:.*/traced:walk", "uprobe", "traced"]),
    "process ids": ("uprobe:{b}:walk {{ print(pid == cpid); print(tid == pid); print(has_cpid); print(ppid != pid) }}",
                    ["true"] * 4),
    "stack arguments": ("uprobe:{b}:six {{ print(arg5); print(sarg0); print(sarg1) }}", ["6", "77", "88"]),
    "registers": ("uprobe:{b}:add {{ print(reg('di') == arg0); exit() }}", ["true"]),
    "the context": ("uprobe:{b}:add {{ print(ctx.di == arg0); $r = (struct pt_regs *)ctx; print($r->ip == reg('ip')); "
                    "print(usermode); exit() }}", ["true", "true", "1"]),
    "start and end": ("uprobe:{b}:outer {{ @start[tid] = nsecs }} uretprobe:{b}:outer /@start[tid]/ {{ "
                      "$t = nsecs - @start[tid]; print($t > 0); print($t < 1s); delete(@start, tid) }}", ["true", "true"]),
    "predicates": ("uprobe:{b}:add /arg0 == 2/ {{ print(arg0) }} uprobe:{b}:add /arg0 > 50 && comm == 'traced'/ {{ "
                   "print(arg0) }}", ["2", "100"]),
    "casts of pointers": ("uprobe:{b}:walk {{ print(*(int32 *)arg0); print(*((int64 *)arg0 + 1)) }}", ["5", "-6"]),
    "a struct of the program's text": (
        "struct point {{ int x; long y; char name[8]; struct point *next; unsigned low : 3, high : 5; }};\n"
        "uprobe:{b}:walk {{ $p = (struct point *)arg0; print($p->x); print($p->y); print($p->name); print($p->next->x); "
        "print($p->low); print($p->high); print($p->next->next) }}", ["5", "-6", "origin", "9", "5", "17", "0x0"]),
    "globals": ("uprobe:{b}:walk {{ print(*uaddr('global_int')); print(*uaddr('global_byte')) }}", ["42", "7"]),
    "user symbols": ("uprobe:{b}:add {{ print(usym(reg('ip'))); exit() }}", ["add"]),
    "user stacks": ("uprobe:{b}:add /arg0 == 100/ {{ print(ustack(2)) }}",
                    [r" +add\+\d+.*", r" +(outer|main)\+\d+.*"]),  # on entry the caller has no frame yet
    "user stacks as keys": ("uprobe:{b}:add {{ @[ustack(1)] = count() }} end {{ print(len(@) >= 1); clear(@) }}", ["true"]),
    "raw stacks": ("uprobe:{b}:add /arg0 == 100/ {{ print(ustack(raw, 1)) }}", ["", "[0-9a-f]{6,16}"]),
    "perf stacks": ("uprobe:{b}:add /arg0 == 100/ {{ print(ustack(perf, 1)) }}", ["", r"\t[0-9a-f]+ add\+\d+ \(.*traced\)"]),
    "buffers": ("uprobe:{b}:length {{ printf('%r|%rh\\n', buf(arg0, 4), buf(arg0, 2)) }}", [r"some\|73 6f"]),
    "memory compared": ("uprobe:{b}:length {{ print(strncmp(str(arg0), 'some', 4)); print(str(arg0) == 'some text') }}",
                        ["0", "true"]),
    "counted": ("uprobe:{b}:add {{ @c = count(); @s = sum(arg0); @m = max(arg0); @h = hist(arg0) }} end {{ "
                "print((@c == 4, @s == 103, @m == 100)); clear(@h); clear(@c); clear(@s); clear(@m) }}",
                [r"\(true, true, true\)"]),
    "system calls": ("tracepoint:syscalls:sys_enter_openat /pid == cpid && str(args.filename) == '/proc/self/cmdline'/ {{ "
                     "print(str(args.filename)); print(args.flags == O_RDONLY) }}", ["/proc/self/cmdline", "true"]),
    "numbers that are a system call's pointers": (
        "t:syscalls:sys_enter_openat /pid == cpid && str(args.filename) == '/proc/self/cmdline'/ {{ "
        "$n = (uint64)args.filename; print(str($n + 6)); @a = $n + 2; print(*(uint8 *)(@a - 1)); $n += 7; "
        "printf('%r\\n', buf($n, 3)); print(*$n & 0xff); print(str((int8 *)@a, 4)); clear(@a) }}",
        ["self/cmdline", "112", "elf", "101", "roc"]),
    "results of system calls": ("tracepoint:syscalls:sys_enter_read /pid == cpid && args.count == 3/ {{ @fd[tid] = args.fd }}"
                                "tracepoint:syscalls:sys_exit_read /has_key(@fd, tid)/ {{ print(args.ret); "
                                "delete(@fd, tid) }}", ["3"]),
    "the older spelling": ("t:syscalls:sys_enter_read /pid == cpid && args->count == 3/ {{ printf('%d\\n', args->count) }}",
                           ["3"]),
    "args by name": ("uprobe:{b}:add {{ print(args.a); print(args.b); exit() }}", ["0", "10"]),
    "an offset": ("uprobe:{b}:add+0 {{ print(arg0); exit() }}", ["0"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_process(name: str, binary: Path) -> None:
    program, lines = CASES[name]
    text = program.format(b=binary).replace("'", '"')
    done = trace("-c", str(binary), "-e", text)
    shown = f"{text}\n--- {done.returncode}\n{done.stdout}{done.stderr}"
    assert done.returncode == 0, shown
    got = [line for line in strip_warnings(done.stdout).splitlines() if line.strip()]
    wanted = [line for line in lines if line]
    assert len(got) == len(wanted), shown
    for line, pattern in zip(got, wanted):
        assert re.fullmatch(pattern, line), f"{pattern}\n{shown}"


def strip_warnings(text: str) -> str:
    return re.sub(r"^stdin:\S+ WARNING: .*\n(?:.*\n)*? *~+\n(?:HINT: .*\n)*", "", text, flags=re.M)


def test_only_the_process_of_p(binary: Path) -> None:
    """-p: the other run of the same program is not seen."""
    wait = "8000" if os.environ.get("VMLAB_KERNEL") else "400"  # ms, enough to attach
    with subprocess.Popen([binary, wait]) as watched, subprocess.Popen([binary, wait]) as other:
        done = trace("-p", str(watched.pid), "-e", f"uprobe:{binary}:negative {{ print(pid); @n = count() }}")
        watched.wait()
        other.wait()
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(watched.pid), "@n:", "1"]


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("uprobe:{b}:no_such_function {{ }}", "no_such_function"),
        ("uprobe:/no/such/binary:main {{ }}", "/no/such/binary"),
        ("uprobe:{b}:add {{ print(arg9) }}", "arg9"),
        ("uprobe:{b}:add {{ print(retval) }}", "retval"),
        ("uretprobe:{b}:add {{ print(arg0) }}", "arg0"),
        ("uprobe:{b}:add {{ print(uaddr('nothing')) }}", "nothing"),
        ("uprobe:{b}:ad {{ }}", "did you mean"),
    ],
)
def test_mistakes(program: str, message: str, binary: Path) -> None:
    done = trace("-e", program.format(b=binary).replace("'", '"'))
    assert done.returncode == 1, done.stderr
    assert "ERROR" in done.stderr and message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and "internal" not in done.stderr
