"""Builtin values and functions: one class each, one file a family, one registry.

A family's module is imported when a program first names one of its members, so that a short question
loads little. `FAMILIES` says which module holds which name; a test holds it against the classes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cygnet.lang.trace.builtins.base import Builtin

FAMILIES: dict[str, tuple[str, ...]] = {
    "task": (
        "pid", "tid", "uid", "gid", "comm", "cpu", "cgroup", "curtask", "rand", "numaid", "ppid", "pcomm",
        "leader_tid", "leader_comm", "username", "cpid", "has_cpid", "ncpus",
    ),
    "clock": ("nsecs", "elapsed", "jiffies", "strftime"),
    "probe": ("probe", "probetype", "func", "retval", "reg", "usermode", "ctx"),
    "output": ("printf", "print", "errorf", "warnf", "time", "cat", "system", "join", "exit", "clear", "zero"),
    "maps": ("delete", "has_key", "find", "len"),
    "text": ("str", "buf", "strncmp", "strcontains", "strstr", "strlen", "strcap", "memcmp"),
    "stacks": ("kstack", "ustack", "dw_ustack", "ksym", "usym", "kaddr", "uaddr"),
    "net": ("ntop", "macaddr", "pton", "bswap"),
    "pointers": (
        "container_of", "is_err", "percpu_kaddr", "kfunc_exist", "kfunc_allowed", "socket_cookie", "path", "override",
        "write_user",
    ),
    "packets": ("skboutput",),
    "settings": ("config",),
    "textops": ("str_concat", "debugf"),
    "tables": ("strerror", "signal_name", "syscall_name"),
    "kinds": (
        "kptr", "uptr", "is_str", "is_ptr", "is_array", "is_integer", "is_unsigned_integer", "is_literal", "is_scalar",
        "static_assert", "assert", "assert_str", "default_str_length", "fail",
        "getopt", "unwatch", "signal", "signal_thread", "cgroupid", "cgroup_path",
    ),
}  # fmt: skip

_found: dict[str, Builtin | None] = {}
_family: dict[str, str] = {}


def find(name: str) -> Builtin | None:
    """The row of a builtin, or None when the language has no such name."""
    if name in _found:
        return _found[name]
    _found[name] = row = _load(name)
    return row


def _load(name: str) -> Builtin | None:
    if not _family:
        _family.update((member, family) for family, members in FAMILIES.items() for member in members)
    family = _family.get(name)
    if family is None:
        return _special(name)
    from cygnet import lazy

    row: Builtin = lazy.module(f"cygnet.lang.trace.builtins.{family}").ROWS[name]
    return row


def _special(name: str) -> Builtin | None:
    """arg0 …, sarg0 …; and ``__builtin_cpu``, under which scripts with macros of their own find what they replace."""
    if name.startswith("__builtin_"):
        return find(name[len("__builtin_") :])
    for prefix in ("sarg", "arg"):
        number = name[len(prefix) :]
        if name.startswith(prefix) and number.isdigit():
            from cygnet.lang.trace.builtins.probe import Argument

            return Argument(name, int(number), stack=prefix == "sarg")
    return None


def names() -> Iterable[str]:
    """All names, for a suggestion."""
    return [*(member for members in FAMILIES.values() for member in members), "args", "retval", "arg0", "arg1"]
