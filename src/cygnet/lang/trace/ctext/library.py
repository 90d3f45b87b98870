"""Types of headers that are not read as a whole, for a kernel whose BTF does not have them.

A kernel built without a feature lacks the types of its user interface, and no kernel has the C library's own. A script
that includes the header may still name them: the interface's are in the header, the library's are written down here.
"""

from __future__ import annotations

import os
from itertools import pairwise

from cygnet.lang.trace.ast import CType
from cygnet.source import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cygnet.lang.trace.ast import CDefine

_APART = {code: " " for code in range(128) if not (chr(code).isalnum() or chr(code) == "_")}
_FOLDERS = ("/usr/local/include", "/usr/include")

#: the C library's, as 64-bit machines lay them out: the headers that give them, the definition
_LIBRARY = {
    "timespec": ("time sys/time sys/stat sys/select pthread signal linux/time", "long tv_sec; long tv_nsec;"),
    "timeval": ("time sys/time sys/select sys/resource linux/time", "long tv_sec; long tv_usec;"),
    "itimerval": ("sys/time linux/time", "struct timeval it_interval; struct timeval it_value;"),
    "itimerspec": ("time sys/timerfd linux/time", "struct timespec it_interval; struct timespec it_value;"),
    "addrinfo": ("netdb", "int ai_flags; int ai_family; int ai_socktype; int ai_protocol; unsigned int ai_addrlen;"
                 " struct sockaddr *ai_addr; char *ai_canonname; struct addrinfo *ai_next;"),
    "hostent": ("netdb", "char *h_name; char **h_aliases; int h_addrtype; int h_length; char **h_addr_list;"),
    "servent": ("netdb", "char *s_name; char **s_aliases; int s_port; char *s_proto;"),
    "passwd": ("pwd", "char *pw_name; char *pw_passwd; unsigned int pw_uid; unsigned int pw_gid; char *pw_gecos;"
               " char *pw_dir; char *pw_shell;"),
    "group": ("grp", "char *gr_name; char *gr_passwd; unsigned int gr_gid; char **gr_mem;"),
    "dirent": ("dirent", "unsigned long d_ino; long d_off; unsigned short d_reclen; unsigned char d_type;"
               " char d_name[256];"),
    "utsname": ("sys/utsname", "char sysname[65]; char nodename[65]; char release[65]; char version[65];"
                " char machine[65]; char domainname[65];"),
    "link_map": ("link dlfcn", "unsigned long l_addr; char *l_name; void *l_ld; struct link_map *l_next;"
                 " struct link_map *l_prev;"),
}  # fmt: skip


def missing_types(
    text: str,
    known: Callable[[str], bool],
    headers: Sequence[str],
    folders: Iterable[str],
    read: Callable[[str], list[CType]],
) -> list[CType]:
    """The structs and unions that `text` names and nothing defines, and those they hold, in order of need.

    `known` tells what is defined; `headers` are the names that were included, looked for in `folders` and read by
    `read`, which gives a file's types.
    """
    names = {name for name in _named(text) if not known(name)}
    if not names:
        return []
    found: dict[str, CType] = {}
    for path in filter(None, [interface_file(header, folders) for header in headers]):
        for item in read(path):
            if item.keyword in ("struct", "union") and "{" in item.text:
                found.setdefault(item.name, item)
            elif item.keyword == "typedef" and item.name:
                found.setdefault(f"typedef {item.name}", item)
    stems = {header.removesuffix(".h") for header in headers}
    needed: dict[str, CType] = {}
    for name in sorted(names):
        if name in found or (name in _LIBRARY and not stems.isdisjoint(_LIBRARY[name][0].split())):
            _need(name, found, known, needed)
    return list(needed.values())


def _words(text: str) -> list[str]:
    return text.translate(_APART).split()


def _named(text: str) -> set[str]:
    """The words after ``struct`` and ``union``."""
    words = _words(text)
    return {after for word, after in pairwise(words) if word in ("struct", "union")}


def expanded(text: str, macros: Mapping[str, CDefine]) -> str:
    """A definition without the plain macros of its header: they give lengths, marks, and names of types."""

    import re  # headers are seldom read

    def body(found: re.Match[str]) -> str:
        macro = macros.get(found[0])
        return macro.body if macro is not None and macro.params is None else found[0]

    for _ in range(4):  # macros of macros
        text = re.sub(r"\b[A-Za-z_]\w*", body, text)
    return text


def _need(key: str, found: dict[str, CType], known: Callable[[str], bool], needed: dict[str, CType]) -> None:
    item = found.pop(key, None)
    if item is None and key in _LIBRARY and key not in needed:
        item = _written(key, _LIBRARY[key][1])
    if item is None:
        return
    inner = set(_named(item.text)) - {item.name}
    inner |= {f"typedef {word}" for word in _words(item.text)} & found.keys()
    for other in sorted(inner):
        if not known(other.removeprefix("typedef ")):
            _need(other, found, known, needed)
    needed[key] = item


def _written(name: str, members: str) -> CType:
    from cygnet.lang.trace.ctext.preprocess import header_items

    items = header_items(Source(f"<struct {name}>", f"struct {name} {{ {members} }};"))
    return next(item for item in items if isinstance(item, CType))


def interface_file(header: str, folders: Iterable[str]) -> str | None:
    """The file of a header of the kernel's user interface."""
    if header.startswith(("linux/", "uapi/", "asm-generic/")):
        for folder in (*folders, *_FOLDERS):
            path = os.path.join(folder, header)
            if os.path.isfile(path):
                return path
    return None
